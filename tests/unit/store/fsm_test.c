/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fsm/fsm.h"
#include "store/fsm/rows.h"

#include "base/rng.h"
#include "store/kv_mem.h"
#include "store/kv_ops.h"
#include "store/kv_rocks.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kv_cf cfs[] = {{.name = "fsm", .kind = KV_CF_ROWS}};

static struct kv *open_mem(void)
{
    struct kv *kv = NULL;
    EXPECT_EQ(kv_mem_open(cfs, SH_COUNT(cfs), &kv), SH_OK);
    return kv;
}

static struct kv *open_rocks(void)
{
    char why[KV_TEXT_BYTES];
    char path[512];
    struct kv *kv = NULL;
    (void)snprintf(path, sizeof path, "%s/state", tst_dir());
    struct kv_rocks_options options = {
        .path = path, .cfs = cfs, .cf_count = SH_COUNT(cfs), .create = true};
    EXPECT_EQ(kv_rocks_open(&options, &kv, why), SH_OK);
    return kv;
}

static struct kv *(*const openers[])(void) = {open_mem, open_rocks};

static struct fsm *open_fsm(struct kv *kv, struct fsm_applied *applied)
{
    struct fsm *fsm = NULL;
    EXPECT_EQ(fsm_open(kv, 0, NULL, &fsm, applied), SH_OK);
    return fsm;
}

static struct sh_span str(const char *text)
{
    return KV_SPAN(text, strlen(text));
}

static void put(const struct sh_table *t, const char *key, const char *value)
{
    t->put(t->ctx, str(key), str(value));
}

static void expect_get(const struct sh_table *t, const char *key, const char *value)
{
    struct sh_span span;
    char text[64] = "absent";
    if (t->get(t->ctx, str(key), &span)) {
        (void)snprintf(text, sizeof text, "%.*s", (int)span.size, (const char *)span.at);
    }
    EXPECT_STR(text, value);
}

/* "a=1 b=2 " between low and high; steps exactly as base/table.h says: past the key given last. */
static const char *walk(const struct sh_table *t, const char *low, const char *high, bool reverse)
{
    static char text[1024];
    uint8_t at[SH_TABLE_KEY_MAX + 1];
    struct sh_span from = str(low);
    struct sh_span to = str(high);
    struct sh_span key;
    struct sh_span value;
    size_t used = 0;
    text[0] = '\0';
    while (t->seek(t->ctx, from, to, reverse, &key, &value)) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s=%.*s ", (int)key.size,
                                 (const char *)key.at, (int)value.size, (const char *)value.at);
        if (reverse) {
            to = key; /* borrowed from the call before */
        } else {
            memcpy(at, key.at, key.size);
            at[key.size] = 0;
            from = KV_SPAN(at, key.size + 1);
        }
    }
    return text;
}

static void commit(struct fsm *fsm, uint64_t index, bool sync)
{
    EXPECT_EQ(fsm_commit(fsm, index, 1, 0, KV_ALL, sync), SH_OK);
}

TEST_ROWS(a_transaction_reads_its_own_writes, openers)
{
    struct kv *kv = openers[tst_row]();
    struct fsm *fsm = open_fsm(kv, NULL);
    const struct sh_table *t = fsm_begin(fsm);
    put(t, "a", "1");
    put(t, "b", "2");
    put(t, "d", "4");
    expect_get(t, "b", "2");
    commit(fsm, 1, true);
    t = fsm_begin(fsm);
    put(t, "c", "3");
    put(t, "a", "one");
    t->del(t->ctx, str("b"));
    expect_get(t, "a", "one");
    expect_get(t, "b", "absent");
    expect_get(t, "d", "4");
    EXPECT_STR(walk(t, "", "", false), "a=one c=3 d=4 ");
    EXPECT_STR(walk(t, "", "", true), "d=4 c=3 a=one ");
    EXPECT_STR(walk(t, "b", "d", false), "c=3 ");
    EXPECT_STR(walk(t, "b", "c", true), "");
    t->del(t->ctx, str("c"));
    EXPECT_STR(walk(t, "", "", false), "a=one d=4 ");
    put(t, "b", "again");
    EXPECT_STR(walk(t, "", "c", true), "b=again a=one ");
    fsm_abort(fsm);
    t = fsm_begin(fsm);
    EXPECT_STR(walk(t, "", "", false), "a=1 b=2 d=4 ");
    fsm_close(fsm);
    kv_close(kv);
}

TEST_ROWS(what_was_read_in_an_earlier_transaction_follows_what_was_written_since, openers)
{
    struct kv *kv = openers[tst_row]();
    struct fsm *fsm = open_fsm(kv, NULL);
    const struct sh_table *t = fsm_begin(fsm);
    expect_get(t, "a", "absent");
    put(t, "b", "1");
    expect_get(t, "b", "1");
    commit(fsm, 1, false);
    t = fsm_begin(fsm);
    expect_get(t, "b", "1");
    put(t, "a", "2");
    put(t, "b", "3");
    commit(fsm, 2, false);
    t = fsm_begin(fsm);
    expect_get(t, "a", "2");
    expect_get(t, "b", "3");
    t->del(t->ctx, str("a"));
    commit(fsm, 3, false);
    t = fsm_begin(fsm);
    expect_get(t, "a", "absent");
    put(t, "b", "never committed");
    fsm_abort(fsm);
    t = fsm_begin(fsm);
    expect_get(t, "b", "3");
    commit(fsm, 4, false);
    fsm_close(fsm);
    kv_close(kv);
}

TEST(more_rows_than_are_remembered_can_be_read)
{
    struct kv *kv = open_mem();
    struct fsm *fsm = open_fsm(kv, NULL);
    const struct sh_table *t = fsm_begin(fsm);
    char key[16];
    put(t, "a", "1");
    commit(fsm, 1, false);
    t = fsm_begin(fsm);
    expect_get(t, "a", "1");
    for (unsigned i = 0; i < 2 * FSM_READ_MAX; i++) {
        (void)snprintf(key, sizeof key, "n%u", i);
        expect_get(t, key, "absent");
    }
    put(t, "a", "2");
    put(t, "n7", "here");
    commit(fsm, 2, false);
    t = fsm_begin(fsm);
    expect_get(t, "a", "2");
    expect_get(t, "n7", "here");
    expect_get(t, "n8", "absent");
    commit(fsm, 3, false);
    fsm_close(fsm);
    kv_close(kv);
}

TEST(a_value_that_was_just_read_can_be_put_elsewhere)
{
    struct kv *kv = open_mem();
    struct fsm *fsm = open_fsm(kv, NULL);
    struct sh_span value;
    const struct sh_table *t = fsm_begin(fsm);
    put(t, "a", "first");
    commit(fsm, 1, false);
    t = fsm_begin(fsm);
    EXPECT(t->get(t->ctx, str("a"), &value));
    t->put(t->ctx, str("b"), value);
    EXPECT(t->get(t->ctx, str("b"), &value));
    t->put(t->ctx, str("b"), KV_SPAN(value.at + 1, value.size - 1));
    expect_get(t, "b", "irst");
    EXPECT(t->get(t->ctx, str("a"), &value));
    EXPECT(!t->get(t->ctx, value, &value));
    fsm_close(fsm);
    kv_close(kv);
}

TEST(rows_and_applied_position_change_together)
{
    struct kv *kv = open_mem();
    static struct fsm_applied applied;
    struct fsm *fsm = open_fsm(kv, &applied);
    EXPECT_EQ(applied.index, 0);
    EXPECT_EQ(applied.conf_size, 0);
    put(fsm_begin(fsm), "a", "1");
    EXPECT_EQ(fsm_commit(fsm, 7, 3, 5, str("voters"), true), SH_OK);
    put(fsm_begin(fsm), "a", "2");
    EXPECT_EQ(fsm_commit(fsm, 8, 3, 0, KV_ALL, false), SH_OK);
    EXPECT_EQ(fsm_applied_index(fsm), 8);
    fsm_close(fsm);
    kv_mem_crash(kv, 0);
    fsm = open_fsm(kv, &applied);
    EXPECT_EQ(applied.index, 7);
    EXPECT_EQ(applied.term, 3);
    EXPECT_EQ(applied.conf_index, 5);
    EXPECT_EQ(applied.conf_size, 6);
    EXPECT_MEM(applied.conf, "voters", 6);
    expect_get(fsm_begin(fsm), "a", "1");
    fsm_close(fsm);
    kv_close(kv);
}

TEST(a_failed_commit_changes_nothing)
{
    struct kv *kv = open_mem();
    struct fsm *fsm = open_fsm(kv, NULL);
    put(fsm_begin(fsm), "a", "1");
    commit(fsm, 1, true);
    kv_mem_fail(kv, 1, SH_ERR_NO_SPACE, false);
    put(fsm_begin(fsm), "a", "2");
    EXPECT_EQ(fsm_commit(fsm, 2, 1, 0, KV_ALL, true), SH_ERR_NO_SPACE);
    EXPECT_EQ(fsm_applied_index(fsm), 1);
    expect_get(fsm_begin(fsm), "a", "1");
    fsm_close(fsm);
    kv_close(kv);
}

TEST_ROWS(a_view_keeps_showing_its_moment, openers)
{
    struct kv *kv = openers[tst_row]();
    static struct fsm_applied applied;
    struct fsm *fsm = open_fsm(kv, NULL);
    struct fsm_view *view = NULL;
    put(fsm_begin(fsm), "a", "1");
    EXPECT_EQ(fsm_commit(fsm, 1, 1, 1, str("conf"), true), SH_OK);
    put(fsm_begin(fsm), "a", "uncommitted");
    EXPECT_EQ(fsm_view_open(fsm, &view), SH_OK);
    EXPECT_EQ(fsm_commit(fsm, 2, 1, 0, KV_ALL, true), SH_OK);
    EXPECT_EQ(fsm_view_index(view), 1);
    expect_get(fsm_view_table(view), "a", "1");
    EXPECT_STR(walk(fsm_view_table(view), "", "", true), "a=1 ");
    EXPECT_EQ(fsm_view_applied(view, &applied), SH_OK);
    EXPECT_EQ(applied.index, 1);
    EXPECT_EQ(applied.conf_size, 4);
    fsm_view_close(view);
    fsm_close(fsm);
    kv_close(kv);
}

TEST_DIES(writing_to_a_view_is_a_programming_error, "a view is read-only")
{
    struct fsm_view *view = NULL;
    struct fsm *fsm = open_fsm(open_mem(), NULL);
    EXPECT_EQ(fsm_view_open(fsm, &view), SH_OK);
    put(fsm_view_table(view), "a", "1");
}

TEST_DIES(an_applied_index_that_falls_is_a_programming_error, "index >= fsm->index")
{
    struct fsm *fsm = open_fsm(open_mem(), NULL);
    (void)fsm_begin(fsm);
    commit(fsm, 5, false);
    (void)fsm_begin(fsm);
    commit(fsm, 4, false);
}

TEST_DIES(a_table_outside_its_transaction_is_a_programming_error, "fsm->open")
{
    struct fsm *fsm = open_fsm(open_mem(), NULL);
    const struct sh_table *t = fsm_begin(fsm);
    fsm_abort(fsm);
    put(t, "a", "1");
}

static void overwrite(struct kv *kv, const char *key, size_t key_size, struct sh_span value)
{
    struct kv_batch batch;
    kv_batch_init(&batch);
    kv_batch_put(&batch, 0, KV_SPAN(key, key_size), value);
    EXPECT_EQ(kv_write(kv, &batch, true), SH_OK);
    kv_batch_fini(&batch);
}

TEST(every_flipped_bit_of_the_records_is_found)
{
    static const char *const keys[] = {"\0\0\0\1\0a", "\0\0\0\1\0c"};
    static struct fsm_applied applied;
    struct kv *kv = open_mem();
    struct fsm *fsm = open_fsm(kv, NULL);
    (void)fsm_begin(fsm);
    EXPECT_EQ(fsm_commit(fsm, 7, 3, 5, str("voters"), true), SH_OK);
    fsm_close(fsm);
    for (size_t i = 0; i < SH_COUNT(keys); i++) {
        uint8_t bytes[64];
        size_t size = 0;
        EXPECT_EQ(kv_get_into(kv, NULL, 0, KV_SPAN(keys[i], 6), bytes, sizeof bytes, &size), SH_OK);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            overwrite(kv, keys[i], 6, KV_SPAN(bytes, size));
            enum sh_err err = fsm_open(kv, 0, NULL, &fsm, &applied);
            EXPECT(err == SH_ERR_CORRUPT || (bit < 8 && err == SH_ERR_VERSION));
            bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        overwrite(kv, keys[i], 6, KV_SPAN(bytes, size));
    }
    fsm_close(open_fsm(kv, &applied));
    kv_close(kv);
}

TEST(a_scan_gives_every_row_once_in_order_whatever_the_chunks)
{
    enum { ROWS = 5000 };
    static uint8_t chunk[FSM_CHUNK_BYTES_MIN + 100];
    static uint8_t value[SH_TABLE_VALUE_MAX];
    struct kv *kv = open_mem();
    struct fsm *fsm = open_fsm(kv, NULL);
    struct fsm_view *view = NULL;
    const struct sh_table *t = fsm_begin(fsm);
    for (uint32_t i = 0; i < ROWS; i++) {
        char key[SH_TABLE_KEY_MAX + 1];
        (void)snprintf(key, sizeof key, "%0256u", i);
        t->put(t->ctx, KV_SPAN(key, i % 2 == 0 ? 256 : 255), KV_SPAN(value, i % 1000));
    }
    t->put(t->ctx, str("z"), KV_SPAN(value, sizeof value));
    t->put(t->ctx, KV_ALL, str("the empty key"));
    commit(fsm, 1, false);
    EXPECT_EQ(fsm_view_open(fsm, &view), SH_OK);
    uint32_t rows = 0;
    uint32_t chunks = 0;
    char last[SH_TABLE_KEY_MAX] = {0};
    size_t last_size = 0;
    for (;;) {
        size_t used = fsm_view_scan(view, chunk, sizeof chunk, SIZE_MAX);
        struct sh_reader r = sh_reader_over(chunk, used);
        struct sh_span key;
        struct sh_span bytes;
        if (used == 0) {
            break;
        }
        while (fsm_chunk_row(&r, &key, &bytes)) {
            EXPECT(rows == 0 || kv_compare(KV_SPAN(last, last_size), key) < 0);
            if (key.size > 0) {
                memcpy(last, key.at, key.size);
            }
            last_size = key.size;
            rows++;
        }
        EXPECT_EQ(sh_reader_end(&r), SH_OK);
        chunks++;
    }
    EXPECT(chunks > 3);
    /* the odd numbers of one decade share their first 255 digits and so one row */
    EXPECT_EQ(rows, ROWS / 2 + ROWS / 10 + 2);
    fsm_view_close(view);
    fsm_close(fsm);
    kv_close(kv);
}

TEST(a_damaged_chunk_is_told_from_its_end)
{
    static const struct {
        const char *bytes;
        size_t size;
        unsigned rows;
        enum sh_err end;
    } cases[] = {
        {"", 0, 0, SH_OK},
        {"\1\0\0\0\1\0\0\0ab", 10, 1, SH_OK},
        {"\1\0\0\0\1\0\0\0a", 9, 0, SH_ERR_CORRUPT},
        {"\1\0\0\0\1\0\0", 7, 0, SH_ERR_CORRUPT},
        {"\1\1\0\0\1\0\0\0ab", 10, 0, SH_ERR_CORRUPT},
        {"\1\0\0\0\xff\xff\xff\xff"
         "ab",
         10, 0, SH_ERR_CORRUPT},
        {"\1\0\0\0\1\0\0\0ab\1", 11, 1, SH_ERR_CORRUPT},
    };
    for (size_t i = 0; i < SH_COUNT(cases); i++) {
        struct sh_reader r = sh_reader_over(cases[i].bytes, cases[i].size);
        struct sh_span key;
        struct sh_span value;
        unsigned rows = 0;
        while (fsm_chunk_row(&r, &key, &value)) {
            rows++;
        }
        EXPECT_EQ(rows, cases[i].rows);
        EXPECT_EQ(sh_reader_end(&r), cases[i].end);
    }
}

/* A model that cannot be wrong: all keys of one byte in an array. */
struct model {
    int value[256]; /* -1: absent */
};

static void compare(const struct sh_table *t, const struct model *m, struct sh_rng *rng)
{
    uint8_t low = (uint8_t)sh_rng_u64(rng);
    uint8_t high = (uint8_t)sh_rng_u64(rng);
    bool bounded = sh_rng_chance(rng, 3, 4);
    bool reverse = sh_rng_chance(rng, 1, 2);
    int end = bounded ? high : 256;
    int want = -1;
    for (int k = low; k < end && (reverse || want < 0); k++) {
        want = m->value[k] >= 0 ? k : want;
    }
    struct sh_span key;
    struct sh_span value;
    bool found = t->seek(t->ctx, KV_SPAN(&low, 1), bounded ? KV_SPAN(&high, 1) : KV_ALL, reverse,
                         &key, &value);
    EXPECT_EQ(found, want >= 0);
    if (found) {
        EXPECT_EQ(key.at[0], want);
        EXPECT_EQ(value.at[0], m->value[want]);
    }
    EXPECT_EQ(t->get(t->ctx, KV_SPAN(&low, 1), &value), m->value[low] >= 0);
}

static void change(const struct sh_table *t, struct model *m, struct sh_rng *rng)
{
    uint8_t key = (uint8_t)sh_rng_u64(rng);
    uint8_t value = (uint8_t)sh_rng_u64(rng);
    if (sh_rng_chance(rng, 1, 2)) {
        t->del(t->ctx, KV_SPAN(&key, 1));
        m->value[key] = -1;
    } else {
        t->put(t->ctx, KV_SPAN(&key, 1), KV_SPAN(&value, 1));
        m->value[key] = value;
    }
}

/* A whole scan, with changes on the way before and behind it. */
static void scan(const struct sh_table *t, struct model *m, struct sh_rng *rng)
{
    uint8_t at[2] = {0, 0};
    struct sh_span from = KV_ALL;
    struct sh_span key;
    struct sh_span value;
    int last = -1;
    while (t->seek(t->ctx, from, KV_ALL, false, &key, &value)) {
        EXPECT_EQ(key.size, 1);
        at[0] = key.at[0];
        for (int k = last + 1; k < at[0]; k++) {
            EXPECT(m->value[k] < 0);
        }
        last = at[0];
        EXPECT_EQ(m->value[last], value.at[0]);
        from = KV_SPAN(at, 2);
        if (sh_rng_chance(rng, 1, 4)) {
            change(t, m, rng);
        }
    }
    for (int k = last + 1; k < 256; k++) {
        EXPECT(m->value[k] < 0);
    }
}

TEST_ROWS(random_transactions_agree_with_a_plain_array, openers)
{
    struct kv *kv = openers[tst_row]();
    struct fsm *fsm = open_fsm(kv, NULL);
    struct model committed;
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    memset(&committed, 0xff, sizeof committed);
    for (uint64_t index = 1; index < 150; index++) {
        struct model now = committed;
        const struct sh_table *t = fsm_begin(fsm);
        for (int i = 0; i < 40; i++) {
            if (sh_rng_chance(&rng, 1, 2)) {
                change(t, &now, &rng);
            } else {
                compare(t, &now, &rng);
            }
        }
        scan(t, &now, &rng);
        if (sh_rng_chance(&rng, 1, 4)) {
            fsm_abort(fsm);
        } else {
            commit(fsm, index, false);
            committed = now;
        }
    }
    fsm_close(fsm);
    kv_close(kv);
}

/* Keys in an order that is none, values of all sizes that grow and shrink. */
static struct sh_span scrambled(uint8_t key[static 8], uint32_t i, uint32_t count)
{
    sh_key_u64(key, (uint64_t)i * 7919 % count);
    return KV_SPAN(key, 8);
}

TEST_ROWS(a_transaction_of_many_rows_sees_them_in_order_while_it_grows, openers)
{
    enum { COUNT = 5000 };
    static uint8_t bytes[70000];
    struct kv *kv = openers[tst_row]();
    struct fsm *fsm = open_fsm(kv, NULL);
    struct sh_span key;
    struct sh_span value;
    uint8_t name[8];
    uint8_t least[8];
    const struct sh_table *t = fsm_begin(fsm);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct sh_span at = scrambled(name, i, COUNT);
        bytes[0] = (uint8_t)i;
        t->put(t->ctx, at, KV_SPAN(bytes, 1 + i % 60));
        t->put(t->ctx, at, KV_SPAN(bytes, i % 500 == 0 ? sizeof bytes : 1 + i % 90));
        if (i % 100 == 0) {
            EXPECT(t->seek(t->ctx, KV_ALL, KV_ALL, false, &key, &value));
            EXPECT_MEM(key.at, scrambled(least, 0, COUNT).at, 8);
            EXPECT(t->seek(t->ctx, at, KV_ALL, false, &key, &value));
            EXPECT_MEM(key.at, name, 8);
            EXPECT_EQ(value.size, i % 500 == 0 ? sizeof bytes : 1 + i % 90);
        }
    }
    commit(fsm, 1, false);
    t = fsm_begin(fsm); /* memory of the large one is gone or empty */
    EXPECT(!t->get(t->ctx, KV_SPAN("none", 4), &value));
    t->del(t->ctx, scrambled(name, 1, COUNT));
    for (uint32_t i = 0; i < COUNT; i++) {
        bool found = t->get(t->ctx, scrambled(name, i, COUNT), &value);
        EXPECT_EQ(found, i != 1);
        EXPECT(!found || value.at[0] == (uint8_t)i);
    }
    commit(fsm, 2, false);
    t = fsm_begin(fsm);
    EXPECT(!t->get(t->ctx, scrambled(name, 1, COUNT), &value));
    uint32_t rows = 0;
    uint8_t past[9] = {0};
    struct sh_span from = KV_ALL;
    while (t->seek(t->ctx, from, KV_ALL, false, &key, &value)) {
        rows++;
        memcpy(past, key.at, 8);
        from = KV_SPAN(past, 9);
    }
    EXPECT_EQ(rows, COUNT - 1);
    fsm_abort(fsm);
    fsm_close(fsm);
    kv_close(kv);
}

/* A store whose reads of one kind fail from the shutting on. */
static struct {
    const struct kv_ops *plain;
    struct kv_ops ops;
    bool shut;
} reading;

static enum sh_err failing_get(struct kv *kv, const struct kv_snap *snap, uint32_t cf,
                               struct sh_span key, struct kv_value *value)
{
    return reading.shut ? SH_ERR_IO : reading.plain->get(kv, snap, cf, key, value);
}

static enum sh_err failing_iter(struct kv *kv, const struct kv_snap *snap, uint32_t cf,
                                struct sh_span low, struct sh_span high, struct kv_iter **out)
{
    return reading.shut ? SH_ERR_CORRUPT : reading.plain->iter_open(kv, snap, cf, low, high, out);
}

static struct kv *open_failing(void)
{
    struct kv *kv = open_mem();
    reading.plain = kv->ops;
    reading.ops = *kv->ops;
    reading.ops.get = failing_get;
    reading.ops.iter_open = failing_iter;
    kv->ops = &reading.ops;
    return kv;
}

/* Ends the process as the agent's does; the test has passed where it gets here. */
static void stopped(void *ctx, enum sh_err err, const char *text)
{
    const enum sh_err *expected = ctx;
    EXPECT_EQ(err, *expected);
    EXPECT(strlen(text) < KV_TEXT_BYTES);
    _Exit(0);
}

TEST(a_row_that_cannot_be_read_is_never_taken_for_absent)
{
    struct sh_span value;
    struct fsm *fsm = NULL;
    static enum sh_err expected = SH_ERR_IO;
    struct fsm_fault fault = {.stop = stopped, .ctx = &expected};
    EXPECT_EQ(fsm_open(open_failing(), 0, &fault, &fsm, NULL), SH_OK);
    const struct sh_table *t = fsm_begin(fsm);
    put(t, "own", "1");
    reading.shut = true;
    expect_get(t, "own", "1"); /* needs no disk */
    (void)t->get(t->ctx, str("row"), &value);
    tst_fail(__FILE__, __LINE__, "the process to end");
}

TEST(rows_that_cannot_be_listed_are_never_taken_for_none)
{
    struct sh_span key;
    struct sh_span value;
    struct fsm *fsm = NULL;
    static enum sh_err expected = SH_ERR_CORRUPT;
    struct fsm_fault fault = {.stop = stopped, .ctx = &expected};
    EXPECT_EQ(fsm_open(open_failing(), 0, &fault, &fsm, NULL), SH_OK);
    const struct sh_table *t = fsm_begin(fsm);
    reading.shut = true;
    (void)t->seek(t->ctx, KV_ALL, KV_ALL, false, &key, &value);
    tst_fail(__FILE__, __LINE__, "the process to end");
}

TEST_DIES(a_store_that_cannot_be_read_panics_where_nobody_takes_the_fault,
          "the state store cannot be read")
{
    struct sh_span value;
    struct fsm *fsm = open_fsm(open_failing(), NULL);
    const struct sh_table *t = fsm_begin(fsm);
    reading.shut = true;
    (void)t->get(t->ctx, str("row"), &value);
}
