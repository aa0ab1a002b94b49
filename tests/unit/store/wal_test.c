/* SPDX-License-Identifier: Apache-2.0 */
#include "store/wal/wal.h"

#include "base/rng.h"
#include "store/kv_mem.h"
#include "store/kv_rocks.h"
#include "tst.h"

#include <stdio.h>
#include <string.h>

enum { META, LOG };

static const struct kv_cf cfs[] = {{.name = "meta", .kind = KV_CF_SMALL},
                                   {.name = "log", .kind = KV_CF_SMALL}};

struct desk { /* a store and the wal on it */
    struct kv *kv;
    struct wal *wal;
    struct wal_boot boot;
};

static void open_wal(struct desk *d)
{
    EXPECT_EQ(wal_open(d->kv, LOG, META, &d->boot, &d->wal), SH_OK);
}

static struct desk make_desk(void)
{
    struct desk d = {0};
    EXPECT_EQ(kv_mem_open(cfs, SH_COUNT(cfs), &d.kv), SH_OK);
    open_wal(&d);
    return d;
}

static void end_desk(struct desk *d)
{
    wal_close(d->wal);
    kv_close(d->kv);
}

static void reopen(struct desk *d)
{
    wal_close(d->wal);
    kv_mem_crash(d->kv, 0);
    open_wal(d);
}

/* Entries first.. of the given terms; the payload names both. */
static enum sh_err append(struct wal *wal, uint64_t first, const char *terms, bool sync)
{
    static char text[64][32];
    struct wal_entry entries[64];
    uint32_t count = (uint32_t)strlen(terms);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t term = (uint64_t)(terms[i] - '0');
        int n = snprintf(text[i], sizeof text[i], "%llu in %llu", (unsigned long long)(first + i),
                         (unsigned long long)term);
        entries[i] = (struct wal_entry){.index = first + i,
                                        .term = term,
                                        .type = (uint8_t)(i % 2),
                                        .bytes = KV_SPAN(text[i], (size_t)n)};
    }
    return wal_save(wal, NULL, entries, count, sync);
}

static void save_hard(struct wal *wal, uint64_t term, uint64_t vote, uint64_t commit)
{
    struct wal_hard hard = {.term = term, .vote = vote, .commit = commit};
    EXPECT_EQ(wal_save(wal, &hard, NULL, 0, true), SH_OK);
}

/* "1122" from compacted + 1 on, read through wal_read, with wal_term agreeing. */
static const char *terms_of(struct wal *wal)
{
    static char text[256];
    static struct wal_entry entries[256];
    static uint8_t buffer[WAL_ENTRY_BYTES_MAX];
    uint64_t low = wal_compacted_index(wal) + 1;
    uint32_t count = 0;
    text[0] = '\0';
    if (low > wal_last_index(wal)) {
        return text;
    }
    EXPECT_EQ(
        wal_read(wal, low, wal_last_index(wal) + 1, entries, 255, buffer, sizeof buffer, &count),
        SH_OK);
    EXPECT_EQ(count, wal_last_index(wal) + 1 - low);
    for (uint32_t i = 0; i < count; i++) {
        char want[32];
        uint64_t term = 0;
        int n = snprintf(want, sizeof want, "%llu in %llu", (unsigned long long)entries[i].index,
                         (unsigned long long)entries[i].term);
        EXPECT_EQ(entries[i].bytes.size, n);
        EXPECT_MEM(entries[i].bytes.at, want, entries[i].bytes.size);
        EXPECT_EQ(wal_term(wal, entries[i].index, &term), SH_OK);
        EXPECT_EQ(term, entries[i].term);
        text[i] = (char)('0' + entries[i].term);
    }
    text[count] = '\0';
    return text;
}

/* Replaces a row of the store behind the wal's back. */
static void overwrite(struct kv *kv, uint32_t cf, struct sh_span key, struct sh_span value)
{
    struct kv_batch batch;
    kv_batch_init(&batch);
    if (value.size > 0) {
        kv_batch_put(&batch, cf, key, value);
    } else {
        kv_batch_del(&batch, cf, key);
    }
    EXPECT_EQ(kv_write(kv, &batch, true), SH_OK);
    kv_batch_fini(&batch);
}

static enum sh_err try_open(struct kv *kv)
{
    struct wal_boot boot;
    struct wal *wal = NULL;
    enum sh_err err = wal_open(kv, LOG, META, &boot, &wal);
    wal_close(wal);
    return err;
}

TEST(a_new_store_boots_with_an_empty_log)
{
    struct desk d = make_desk();
    uint64_t term = 7;
    EXPECT(!d.boot.has_identity);
    EXPECT_EQ(d.boot.hard.term, 0);
    EXPECT_EQ(d.boot.last_index, 0);
    EXPECT_EQ(wal_term(d.wal, 0, &term), SH_OK);
    EXPECT_EQ(term, 0);
    EXPECT_EQ(wal_term(d.wal, 1, &term), SH_ERR_NOT_FOUND);
    end_desk(&d);
}

TEST(what_was_synced_boots_again)
{
    struct desk d = make_desk();
    struct wal_identity id = {.cluster = {1, 2}, .node = {3}, .handle = 9, .boots = 4};
    uint32_t runs = 0;
    EXPECT_EQ(wal_put_identity(d.wal, &id), SH_OK);
    EXPECT_EQ(append(d.wal, 1, "11123", true), SH_OK);
    save_hard(d.wal, 4, 77, 3);
    reopen(&d);
    EXPECT(d.boot.has_identity);
    EXPECT_MEM(&d.boot.identity, &id, sizeof id);
    EXPECT_EQ(d.boot.hard.term, 4);
    EXPECT_EQ(d.boot.hard.vote, 77);
    EXPECT_EQ(d.boot.hard.commit, 3);
    EXPECT_EQ(d.boot.last_index, 5);
    EXPECT_EQ(d.boot.last_term, 3);
    EXPECT_STR(terms_of(d.wal), "11123");
    EXPECT_EQ(wal_runs(d.wal, &runs)[1].first, 4);
    EXPECT_EQ(runs, 3);
    end_desk(&d);
}

TEST(a_crash_takes_back_what_was_not_synced)
{
    struct desk d = make_desk();
    EXPECT_EQ(append(d.wal, 1, "11", true), SH_OK);
    EXPECT_EQ(append(d.wal, 3, "22", false), SH_OK);
    EXPECT_STR(terms_of(d.wal), "1122");
    reopen(&d);
    EXPECT_STR(terms_of(d.wal), "11");
    end_desk(&d);
}

TEST(a_conflicting_append_replaces_the_tail)
{
    static const struct {
        uint64_t first;
        const char *terms;
        const char *after;
    } cases[] = {
        {5, "4", "11224"}, {3, "3", "113"},      {2, "333", "1333"},
        {1, "9", "9"},     {6, "34", "1122334"}, {4, "5555", "1125555"},
    };
    for (size_t i = 0; i < SH_COUNT(cases); i++) {
        struct desk d = make_desk();
        EXPECT_EQ(append(d.wal, 1, "11223", true), SH_OK);
        EXPECT_EQ(append(d.wal, cases[i].first, cases[i].terms, true), SH_OK);
        EXPECT_STR(terms_of(d.wal), cases[i].after);
        reopen(&d);
        EXPECT_STR(terms_of(d.wal), cases[i].after);
        end_desk(&d);
    }
}

TEST(entries_and_hard_state_of_one_save_are_atomic)
{
    struct desk d = make_desk();
    struct wal_entry entry = {.index = 1, .term = 5, .bytes = KV_SPAN("x", 1)};
    struct wal_hard hard = {.term = 5, .vote = 2, .commit = 1};
    EXPECT_EQ(wal_save(d.wal, &hard, &entry, 1, false), SH_OK);
    EXPECT_EQ(kv_mem_unsynced(d.kv), 1);
    reopen(&d);
    EXPECT_EQ(d.boot.hard.term, 0);
    EXPECT_EQ(d.boot.last_index, 0);
    end_desk(&d);
}

TEST(compaction_forgets_a_prefix_and_keeps_its_term)
{
    for (uint64_t upto = 0; upto <= 6; upto++) {
        struct desk d = make_desk();
        uint64_t term = 0;
        EXPECT_EQ(append(d.wal, 1, "112233", true), SH_OK);
        save_hard(d.wal, 3, 0, 6);
        EXPECT_EQ(wal_compact(d.wal, upto), SH_OK);
        EXPECT_STR(terms_of(d.wal), &"112233"[upto]);
        reopen(&d);
        EXPECT_STR(terms_of(d.wal), &"112233"[upto]);
        EXPECT_EQ(d.boot.compacted_index, upto);
        EXPECT_EQ(d.boot.last_index, 6);
        EXPECT_EQ(d.boot.last_term, 3);
        EXPECT_EQ(wal_term(d.wal, upto, &term), SH_OK);
        EXPECT_EQ(term, upto == 0 ? 0 : (upto + 1) / 2);
        EXPECT(upto == 0 || wal_term(d.wal, upto - 1, &term) == SH_ERR_NOT_FOUND);
        EXPECT_EQ(append(d.wal, 7, "5", true), SH_OK);
        EXPECT_EQ(wal_compact(d.wal, upto), SH_OK);
        EXPECT_EQ(wal_last_index(d.wal), 7);
        end_desk(&d);
    }
}

TEST(a_read_stops_at_its_limits_and_gives_at_least_one_entry)
{
    struct desk d = make_desk();
    struct wal_entry out[8];
    uint8_t buffer[16];
    uint32_t count = 0;
    EXPECT_EQ(append(d.wal, 1, "11111111", true), SH_OK); /* 6 bytes each */
    EXPECT_EQ(wal_read(d.wal, 2, 9, out, 8, buffer, 12, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(out[1].index, 3);
    EXPECT_EQ(wal_read(d.wal, 2, 9, out, 1, buffer, 16, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(wal_read(d.wal, 7, 99, out, 8, buffer, 16, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(wal_read(d.wal, 2, 9, out, 8, buffer, 5, &count), SH_ERR_LIMIT);
    EXPECT_EQ(wal_read(d.wal, 9, 10, out, 8, buffer, 16, &count), SH_ERR_NOT_FOUND);
    EXPECT_EQ(count, 0);
    save_hard(d.wal, 1, 0, 4);
    EXPECT_EQ(wal_compact(d.wal, 4), SH_OK);
    EXPECT_EQ(wal_read(d.wal, 4, 9, out, 8, buffer, 16, &count), SH_ERR_NOT_FOUND);
    end_desk(&d);
}

TEST(the_largest_entry_and_an_empty_one_come_back)
{
    static uint8_t big[WAL_ENTRY_BYTES_MAX];
    static uint8_t buffer[WAL_ENTRY_BYTES_MAX];
    struct desk d = make_desk();
    struct wal_entry out[2];
    uint32_t count = 0;
    memset(big, 0xa5, sizeof big);
    struct wal_entry in[2] = {{.index = 1, .term = 1, .type = 255},
                              {.index = 2, .term = 1, .bytes = KV_SPAN(big, sizeof big)}};
    EXPECT_EQ(wal_save(d.wal, NULL, in, 2, true), SH_OK);
    reopen(&d);
    EXPECT_EQ(wal_read(d.wal, 1, 3, out, 2, buffer, sizeof buffer, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(out[0].bytes.size, 0);
    EXPECT_EQ(out[0].type, 255);
    EXPECT_MEM(out[1].bytes.at, big, sizeof big);
    end_desk(&d);
}

TEST(every_flipped_bit_of_a_row_is_found)
{
    struct desk d = make_desk();
    struct wal_identity id = {.handle = 1};
    EXPECT_EQ(wal_put_identity(d.wal, &id), SH_OK);
    EXPECT_EQ(append(d.wal, 1, "123", true), SH_OK);
    save_hard(d.wal, 3, 1, 2);
    EXPECT_EQ(wal_compact(d.wal, 1), SH_OK);
    uint8_t index[8];
    sh_key_u64(index, 2);
    const struct {
        uint32_t cf;
        struct sh_span key;
    } rows[] = {{LOG, KV_SPAN(index, 8)},
                {META, KV_SPAN("id", 2)},
                {META, KV_SPAN("hard", 4)},
                {META, KV_SPAN("first", 5)}};
    for (size_t i = 0; i < SH_COUNT(rows); i++) {
        uint8_t good[128];
        uint8_t bad[128];
        size_t size = 0;
        EXPECT_EQ(kv_get_into(d.kv, NULL, rows[i].cf, rows[i].key, good, sizeof good, &size),
                  SH_OK);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            memcpy(bad, good, size);
            bad[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            overwrite(d.kv, rows[i].cf, rows[i].key, KV_SPAN(bad, size));
            EXPECT_EQ(try_open(d.kv), SH_ERR_CORRUPT);
        }
        for (size_t cut = 1; cut < size; cut++) {
            overwrite(d.kv, rows[i].cf, rows[i].key, KV_SPAN(good, cut));
            EXPECT_EQ(try_open(d.kv), SH_ERR_CORRUPT);
        }
        overwrite(d.kv, rows[i].cf, rows[i].key, KV_SPAN(good, size));
        EXPECT_EQ(try_open(d.kv), SH_OK);
    }
    end_desk(&d);
}

TEST(a_missing_or_misplaced_entry_refuses_the_log)
{
    struct desk d = make_desk();
    uint8_t row[64];
    uint8_t two[8];
    uint8_t three[8];
    size_t size = 0;
    sh_key_u64(two, 2);
    sh_key_u64(three, 3);
    EXPECT_EQ(append(d.wal, 1, "1111", true), SH_OK);
    save_hard(d.wal, 1, 0, 4);
    EXPECT_EQ(kv_get_into(d.kv, NULL, LOG, KV_SPAN(two, 8), row, sizeof row, &size), SH_OK);
    overwrite(d.kv, LOG, KV_SPAN(two, 8), KV_ALL);
    EXPECT_EQ(try_open(d.kv), SH_ERR_CORRUPT);
    overwrite(d.kv, LOG, KV_SPAN(two, 8), KV_SPAN(row, size));
    EXPECT_EQ(try_open(d.kv), SH_OK);
    overwrite(d.kv, LOG, KV_SPAN(three, 8), KV_SPAN(row, size));
    EXPECT_EQ(try_open(d.kv), SH_ERR_CORRUPT);
    end_desk(&d);
}

TEST(a_log_shorter_than_its_commit_is_refused)
{
    struct desk d = make_desk();
    uint8_t four[8];
    sh_key_u64(four, 4);
    EXPECT_EQ(append(d.wal, 1, "1111", true), SH_OK);
    save_hard(d.wal, 1, 0, 4);
    overwrite(d.kv, LOG, KV_SPAN(four, 8), KV_ALL);
    EXPECT_EQ(try_open(d.kv), SH_ERR_CORRUPT);
    end_desk(&d);
}

TEST(a_record_of_a_later_version_is_refused_as_such)
{
    uint8_t row[64];
    struct wal_entry entry = {.index = 1, .term = 1, .bytes = KV_SPAN("x", 1)};
    struct wal_entry out;
    size_t size = wal_entry_encode(&entry, row);
    uint64_t hash = 0;
    row[0] = 2;
    hash = sh_hash64(sh_hash64(1, row, 10), row + 18, 1);
    struct sh_writer w = sh_writer_over(row + 10, 8);
    sh_put_u64(&w, hash);
    EXPECT_EQ(wal_entry_decode(1, KV_SPAN(row, size), &out), SH_ERR_VERSION);
}

TEST(a_failed_write_leaves_the_log_as_it_was_and_refuses_more)
{
    struct desk d = make_desk();
    EXPECT_EQ(append(d.wal, 1, "11", true), SH_OK);
    kv_mem_fail(d.kv, 1, SH_ERR_NO_SPACE, false);
    EXPECT_EQ(append(d.wal, 2, "2", true), SH_ERR_NO_SPACE);
    EXPECT_STR(terms_of(d.wal), "11");
    EXPECT_EQ(append(d.wal, 3, "2", true), SH_ERR_NO_SPACE);
    reopen(&d);
    EXPECT_STR(terms_of(d.wal), "11");
    EXPECT_EQ(append(d.wal, 3, "2", true), SH_OK);
    end_desk(&d);
}

/* ---- what is at hand ---- */

enum { LONG = 600, READ_MAX = 64, HISTORY = 600, BULK = 3000 };

/* Entries of one term and of random sizes, some of them too large to be kept at hand. */
static void append_sized(struct wal *wal, uint64_t first, uint32_t count, uint64_t term,
                         struct sh_rng *rng)
{
    static uint8_t bytes[READ_MAX][LONG];
    struct wal_entry entries[READ_MAX];
    EXPECT(count <= READ_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t size = sh_rng_chance(rng, 1, 40) ? LONG : sh_rng_below(rng, 40);
        memset(bytes[i], (int)(first + i + term), LONG);
        entries[i] = (struct wal_entry){.index = first + i,
                                        .term = term,
                                        .type = (uint8_t)sh_rng_below(rng, 2),
                                        .bytes = KV_SPAN(bytes[i], size)};
    }
    EXPECT_EQ(wal_save(wal, NULL, entries, count, true), SH_OK);
}

/* A second wal on the same store has nothing at hand. */
static void compare_reads(struct desk *d, struct sh_rng *rng)
{
    static uint8_t near_bytes[READ_MAX * LONG];
    static uint8_t far_bytes[READ_MAX * LONG];
    struct wal_entry near[READ_MAX];
    struct wal_entry far[READ_MAX];
    struct wal_boot boot;
    struct wal *other = NULL;
    EXPECT_EQ(wal_open(d->kv, LOG, META, &boot, &other), SH_OK);
    for (int i = 0; i < 20; i++) {
        uint64_t behind = wal_last_index(d->wal) + 5;
        uint64_t span = sh_rng_chance(rng, 1, 2) && behind > 80 ? 80 : behind;
        uint64_t low = behind - sh_rng_below(rng, span);
        uint64_t high = low + 1 + sh_rng_below(rng, READ_MAX);
        uint32_t near_count = 0;
        uint32_t far_count = 0;
        enum sh_err err =
            wal_read(d->wal, low, high, near, READ_MAX, near_bytes, sizeof near_bytes, &near_count);
        EXPECT_EQ(err, wal_read(other, low, high, far, READ_MAX, far_bytes, sizeof far_bytes,
                                &far_count));
        EXPECT(near_count <= far_count);
        EXPECT_EQ(near_count > 0, far_count > 0);
        for (uint32_t n = 0; n < near_count; n++) {
            EXPECT_EQ(near[n].index, far[n].index);
            EXPECT_EQ(near[n].term, far[n].term);
            EXPECT_EQ(near[n].type, far[n].type);
            EXPECT_EQ(kv_compare(near[n].bytes, far[n].bytes), 0);
        }
    }
    wal_close(other);
}

TEST(what_is_read_from_memory_is_what_the_store_has)
{
    struct desk d = make_desk();
    struct sh_rng rng;
    uint64_t term = 1;
    uint64_t commit = 0;
    sh_rng_init(&rng, tst_seed());
    for (int i = 0; i < HISTORY; i++) {
        uint64_t last = wal_last_index(d.wal);
        uint64_t kind = sh_rng_below(&rng, 100);
        if (kind < 80 || last == commit) {
            append_sized(d.wal, last + 1, 1 + (uint32_t)sh_rng_below(&rng, 8), term, &rng);
        } else if (kind < 90) { /* of another coordinator: truncates */
            uint64_t first = last + 1 - sh_rng_below(&rng, last - commit < 20 ? last - commit : 20);
            append_sized(d.wal, first, 1, ++term, &rng);
        } else if (kind < 98) {
            commit += sh_rng_below(&rng, last - commit + 1);
            save_hard(d.wal, term, 0, commit);
            uint64_t compacted = wal_compacted_index(d.wal);
            EXPECT_EQ(wal_compact(d.wal, compacted + sh_rng_below(&rng, commit - compacted + 1)),
                      SH_OK);
        } else { /* with entries behind the snapshot, which go too */
            commit += 1 + sh_rng_below(&rng, last - commit);
            struct wal_hard hard = {.term = term, .commit = commit};
            EXPECT_EQ(wal_install(d.wal, commit, term, &hard, NULL), SH_OK);
        }
        if (i % 10 == 0 || kind >= 80) {
            compare_reads(&d, &rng);
        }
    }
    for (uint32_t n = 0; n < BULK; n += READ_MAX) { /* round the places in memory */
        append_sized(d.wal, wal_last_index(d.wal) + 1, READ_MAX, term, &rng);
    }
    for (int i = 0; i < 20; i++) {
        compare_reads(&d, &rng);
    }
    end_desk(&d);
}

TEST(random_histories_survive_reopening_on_rocksdb)
{
    char why[KV_TEXT_BYTES];
    char path[512];
    char model[64] = "";
    struct desk d = {0};
    struct sh_rng rng;
    (void)snprintf(path, sizeof path, "%s/state", tst_dir());
    struct kv_rocks_options options = {
        .path = path, .cfs = cfs, .cf_count = SH_COUNT(cfs), .create = true};
    sh_rng_init(&rng, tst_seed());
    EXPECT_EQ(kv_rocks_open(&options, &d.kv, why), SH_OK);
    open_wal(&d);
    for (int i = 0; i < 60; i++) {
        size_t length = strlen(model);
        size_t first = 1 + sh_rng_below(&rng, length + 1);
        size_t count = 1 + sh_rng_below(&rng, 3);
        char term = (char)(first > 1 ? model[first - 2] : '1');
        term = (char)(term + (term < '9' && sh_rng_chance(&rng, 1, 4)));
        if (first - 1 + count >= sizeof model - 1) {
            continue;
        }
        memset(model + first - 1, term, count);
        model[first - 1 + count] = '\0';
        EXPECT_EQ(append(d.wal, first, model + first - 1, true), SH_OK);
        EXPECT_STR(terms_of(d.wal), model);
        if (sh_rng_chance(&rng, 1, 8)) {
            wal_close(d.wal);
            kv_close(d.kv);
            EXPECT_EQ(kv_rocks_open(&options, &d.kv, why), SH_OK);
            open_wal(&d);
            EXPECT_STR(terms_of(d.wal), model);
        }
    }
    end_desk(&d);
}

TEST_DIES(replacing_a_committed_entry_is_a_programming_error, "entries[0].index >")
{
    struct desk d = make_desk();
    EXPECT_EQ(append(d.wal, 1, "111", true), SH_OK);
    save_hard(d.wal, 2, 0, 2);
    EXPECT_EQ(append(d.wal, 2, "2", true), SH_OK);
}

TEST_DIES(a_hole_in_the_log_is_a_programming_error, "entries[0].index <=")
{
    struct desk d = make_desk();
    EXPECT_EQ(append(d.wal, 2, "1", true), SH_OK);
}

TEST_DIES(a_term_that_falls_is_a_programming_error, "hard->term >=")
{
    struct desk d = make_desk();
    save_hard(d.wal, 5, 0, 0);
    save_hard(d.wal, 4, 0, 0);
}

TEST_DIES(compacting_past_the_commit_is_a_programming_error, "upto <=")
{
    struct desk d = make_desk();
    EXPECT_EQ(append(d.wal, 1, "11", true), SH_OK);
    EXPECT_EQ(wal_compact(d.wal, 1), SH_OK);
}
