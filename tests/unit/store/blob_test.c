/* SPDX-License-Identifier: Apache-2.0 */
#include "store/blob/blob.h"

#include "base/host/host.h"
#include "base/rng.h"
#include "store/kv_mem.h"
#include "store/kv_rocks.h"
#include "tst.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = BLOB_CHUNK_BYTES };

static const struct kv_cf cfs[] = {{.name = "blob", .kind = KV_CF_LARGE}};

struct shelf {
    struct kv *kv;
    struct blob *blob;
};

static struct kv *open_rocks(void)
{
    char why[KV_TEXT_BYTES];
    char path[512];
    struct kv *kv = NULL;
    (void)snprintf(path, sizeof path, "%s/bulk", tst_dir());
    struct kv_rocks_options options = {
        .path = path, .cfs = cfs, .cf_count = SH_COUNT(cfs), .create = true};
    EXPECT_EQ(kv_rocks_open(&options, &kv, why), SH_OK);
    return kv;
}

static const bool on_rocks[] = {false, true};

static struct shelf open_shelf(bool rocks)
{
    struct shelf s = {0};
    sh_host_init();
    if (rocks) {
        s.kv = open_rocks();
    } else {
        EXPECT_EQ(kv_mem_open(cfs, SH_COUNT(cfs), &s.kv), SH_OK);
    }
    EXPECT_EQ(blob_open(s.kv, 0, &s.blob), SH_OK);
    return s;
}

static void close_shelf(struct shelf *s)
{
    blob_close(s->blob);
    kv_close(s->kv);
}

/* A power cut (or, on RocksDB, the end of the process) and a new life. */
static void new_life(struct shelf *s, bool rocks)
{
    blob_close(s->blob);
    if (rocks) {
        kv_close(s->kv);
        s->kv = open_rocks();
    } else {
        kv_mem_crash(s->kv, UINT32_MAX);
    }
    EXPECT_EQ(blob_open(s->kv, 0, &s->blob), SH_OK);
}

static uint8_t *make_bytes(size_t size, uint64_t seed)
{
    uint8_t *bytes = malloc(size + 8);
    struct sh_rng rng;
    EXPECT(bytes != NULL);
    sh_rng_init(&rng, seed);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = sh_rng_u64(&rng);
        memcpy(bytes + i, &word, sizeof word);
    }
    return bytes;
}

static struct blob_id id_of(const uint8_t *bytes, size_t size)
{
    struct blob_id id;
    sh_blake2b(id.digest, sizeof id.digest, bytes, size);
    return id;
}

static void expect_blob(struct shelf *s, const struct blob_id *id, const uint8_t *bytes,
                        size_t size)
{
    struct blob_reader *reader = NULL;
    uint8_t *out = malloc(size + 1);
    size_t got = 0;
    EXPECT(out != NULL);
    EXPECT_EQ(blob_read_open(s->blob, id, &reader), SH_OK);
    EXPECT_EQ(blob_read_size(reader), size);
    EXPECT_EQ(blob_read(reader, 0, out, size + 1, &got), SH_OK);
    EXPECT_EQ(got, size);
    EXPECT_MEM(out, bytes, size);
    blob_read_close(reader);
    free(out);
}

/* Rows left in the store whose key begins with the letter. */
static unsigned count_rows(struct kv *kv, char letter)
{
    char next = (char)(letter + 1);
    struct kv_iter *iter = NULL;
    unsigned count = 0;
    EXPECT_EQ(kv_iter_open(kv, NULL, 0, KV_SPAN(&letter, 1), KV_SPAN(&next, 1), &iter), SH_OK);
    for (bool more = kv_iter_first(iter); more; more = kv_iter_next(iter)) {
        count++;
    }
    kv_iter_close(iter);
    return count;
}

static const size_t sizes[] = {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 77};

TEST_ROWS(a_blob_comes_back_under_the_digest_of_its_bytes, sizes)
{
    for (size_t store = 0; store < SH_COUNT(on_rocks); store++) {
        struct shelf s = open_shelf(on_rocks[store]);
        size_t size = sizes[tst_row];
        uint8_t *bytes = make_bytes(size, 1);
        struct blob_id want = id_of(bytes, size);
        struct blob_id id;
        EXPECT_EQ(blob_put(s.blob, bytes, size, &id), SH_OK);
        EXPECT_MEM(&id, &want, sizeof id);
        expect_blob(&s, &id, bytes, size);
        new_life(&s, on_rocks[store]);
        expect_blob(&s, &id, bytes, size);
        free(bytes);
        close_shelf(&s);
    }
}

TEST(a_finished_blob_survives_a_power_cut)
{
    struct shelf s = open_shelf(false);
    uint8_t *bytes = make_bytes(CHUNK + 5, 2);
    struct blob_id id;
    EXPECT_EQ(blob_put(s.blob, bytes, CHUNK + 5, &id), SH_OK);
    EXPECT_EQ(kv_mem_unsynced(s.kv), 0);
    blob_close(s.blob);
    kv_mem_crash(s.kv, 0);
    EXPECT_EQ(blob_open(s.kv, 0, &s.blob), SH_OK);
    expect_blob(&s, &id, bytes, CHUNK + 5);
    free(bytes);
    close_shelf(&s);
}

TEST(reads_at_any_offset_give_the_same_bytes)
{
    struct shelf s = open_shelf(false);
    struct sh_rng rng;
    size_t size = 4 * CHUNK + 1234;
    uint8_t *bytes = make_bytes(size, 3);
    uint8_t *out = malloc(size);
    struct blob_id id;
    struct blob_reader *reader = NULL;
    sh_rng_init(&rng, tst_seed());
    EXPECT(out != NULL);
    EXPECT_EQ(blob_put(s.blob, bytes, size, &id), SH_OK);
    EXPECT_EQ(blob_read_open(s.blob, &id, &reader), SH_OK);
    for (int i = 0; i < 100; i++) {
        size_t offset = sh_rng_below(&rng, size + 100);
        size_t want = sh_rng_below(&rng, i % 2 == 0 ? 100 : size);
        size_t got = 0;
        size_t left = offset < size ? size - offset : 0;
        EXPECT_EQ(blob_read(reader, offset, out, want, &got), SH_OK);
        EXPECT_EQ(got, want < left ? want : left);
        EXPECT_MEM(out, bytes + (offset < size ? offset : 0), got);
    }
    blob_read_close(reader);
    free(bytes);
    free(out);
    close_shelf(&s);
}

static void write_part(struct shelf *s, const struct blob_id *id, const uint8_t *bytes, size_t upto,
                       uint64_t expect_received)
{
    struct blob_writer *w = NULL;
    uint64_t received = 0;
    EXPECT_EQ(blob_write_open(s->blob, id, &w, &received), SH_OK);
    EXPECT_EQ(received, expect_received);
    EXPECT_EQ(blob_write(w, bytes + received, upto - received), SH_OK);
    EXPECT_EQ(blob_write_close(w), SH_OK);
    EXPECT_EQ(blob_received(s->blob, id, &received), SH_OK);
    EXPECT_EQ(received, upto / CHUNK * CHUNK);
}

TEST_ROWS(an_upload_goes_on_where_it_stopped_also_in_a_new_life, on_rocks)
{
    struct shelf s = open_shelf(on_rocks[tst_row]);
    size_t size = 5 * CHUNK + 9;
    uint8_t *bytes = make_bytes(size, 4);
    struct blob_id id = id_of(bytes, size);
    struct blob_writer *w = NULL;
    uint64_t received = 9;
    bool has = true;
    EXPECT_EQ(blob_received(s.blob, &id, &received), SH_OK);
    EXPECT_EQ(received, 0);
    write_part(&s, &id, bytes, 2 * CHUNK + 100, 0);
    new_life(&s, on_rocks[tst_row]);
    write_part(&s, &id, bytes, 4 * CHUNK - 1, 2 * CHUNK);
    EXPECT_EQ(blob_has(s.blob, &id, &has), SH_OK);
    EXPECT(!has);
    EXPECT_EQ(blob_write_open(s.blob, &id, &w, &received), SH_OK);
    EXPECT_EQ(blob_write(w, bytes + received, size - received), SH_OK);
    EXPECT_EQ(blob_write_finish(w, NULL), SH_OK);
    expect_blob(&s, &id, bytes, size);
    EXPECT_EQ(count_rows(s.kv, 's'), 0);
    EXPECT_EQ(blob_write_open(s.blob, &id, &w, &received), SH_ERR_EXISTS);
    free(bytes);
    close_shelf(&s);
}

TEST(bytes_that_are_not_what_was_expected_are_dropped)
{
    struct shelf s = open_shelf(false);
    uint8_t *bytes = make_bytes(2 * CHUNK + 9, 5);
    struct blob_id id = id_of(bytes, 2 * CHUNK + 9);
    struct blob_writer *w = NULL;
    uint64_t received = 0;
    bytes[CHUNK] ^= 1;
    EXPECT_EQ(blob_write_open(s.blob, &id, &w, &received), SH_OK);
    EXPECT_EQ(blob_write(w, bytes, 2 * CHUNK + 9), SH_OK);
    EXPECT_EQ(blob_write_finish(w, NULL), SH_ERR_CORRUPT);
    EXPECT_EQ(count_rows(s.kv, 'c') + count_rows(s.kv, 's') + count_rows(s.kv, 'm'), 0);
    bytes[CHUNK] ^= 1;
    write_part(&s, &id, bytes, CHUNK, 0);
    EXPECT_EQ(blob_drop_partial(s.blob, &id), SH_OK);
    EXPECT_EQ(blob_drop_partial(s.blob, &id), SH_ERR_NOT_FOUND);
    EXPECT_EQ(count_rows(s.kv, 'c') + count_rows(s.kv, 's'), 0);
    free(bytes);
    close_shelf(&s);
}

TEST(one_upload_of_a_blob_at_a_time)
{
    struct shelf s = open_shelf(false);
    struct blob_id id = {{1}};
    struct blob_writer *w[BLOB_WRITERS_MAX];
    struct blob_writer *more = NULL;
    uint64_t received = 0;
    EXPECT_EQ(blob_write_open(s.blob, &id, &w[0], &received), SH_OK);
    EXPECT_EQ(blob_write_open(s.blob, &id, &more, &received), SH_ERR_IN_USE);
    EXPECT_EQ(blob_drop_partial(s.blob, &id), SH_ERR_IN_USE);
    for (size_t i = 1; i < BLOB_WRITERS_MAX; i++) {
        EXPECT_EQ(blob_write_open(s.blob, NULL, &w[i], &received), SH_OK);
    }
    EXPECT_EQ(blob_write_open(s.blob, NULL, &more, &received), SH_ERR_FULL);
    for (size_t i = 0; i < BLOB_WRITERS_MAX; i++) {
        EXPECT_EQ(blob_write_close(w[i]), SH_OK);
    }
    EXPECT_EQ(blob_write_open(s.blob, &id, &more, &received), SH_OK);
    EXPECT_EQ(blob_write_close(more), SH_OK);
    close_shelf(&s);
}

TEST(equal_bytes_are_kept_once)
{
    struct shelf s = open_shelf(false);
    uint8_t *bytes = make_bytes(2 * CHUNK, 6);
    struct blob_id id;
    struct blob_writer *late = NULL;
    uint64_t received = 0;
    EXPECT_EQ(blob_write_open(s.blob, NULL, &late, &received), SH_OK);
    EXPECT_EQ(blob_write(late, bytes, 2 * CHUNK), SH_OK);
    EXPECT_EQ(blob_put(s.blob, bytes, 2 * CHUNK, &id), SH_OK);
    EXPECT_EQ(blob_write_finish(late, &id), SH_OK);
    EXPECT_EQ(count_rows(s.kv, 'c'), 2);
    EXPECT_EQ(count_rows(s.kv, 't'), 0);
    expect_blob(&s, &id, bytes, 2 * CHUNK);
    free(bytes);
    close_shelf(&s);
}

TEST(an_upload_without_a_name_is_gone_in_the_next_life)
{
    struct shelf s = open_shelf(true);
    uint8_t *bytes = make_bytes(3 * CHUNK, 7);
    uint64_t received = 0;
    struct blob_writer *w = NULL;
    EXPECT_EQ(blob_write_open(s.blob, NULL, &w, &received), SH_OK);
    EXPECT_EQ(blob_write(w, bytes, 3 * CHUNK), SH_OK);
    EXPECT_EQ(count_rows(s.kv, 'c'), 3);
    struct blob *second = NULL; /* the next life, while the dead writer can still be freed */
    EXPECT_EQ(blob_open(s.kv, 0, &second), SH_OK);
    EXPECT_EQ(count_rows(s.kv, 'c') + count_rows(s.kv, 't'), 0);
    blob_close(second);
    EXPECT_EQ(blob_write_close(w), SH_OK);
    free(bytes);
    close_shelf(&s);
}

TEST(a_storage_number_is_never_given_out_twice)
{
    struct shelf s = open_shelf(false);
    uint8_t *a = make_bytes(CHUNK, 8);
    uint8_t *b = make_bytes(CHUNK, 9);
    struct blob_id first;
    struct blob_id second;
    EXPECT_EQ(blob_put(s.blob, a, CHUNK, &first), SH_OK);
    new_life(&s, false);
    EXPECT_EQ(blob_put(s.blob, b, CHUNK, &second), SH_OK);
    expect_blob(&s, &first, a, CHUNK);
    EXPECT_EQ(blob_delete(s.blob, &first), SH_OK);
    EXPECT_EQ(blob_delete(s.blob, &first), SH_ERR_NOT_FOUND);
    expect_blob(&s, &second, b, CHUNK);
    EXPECT_EQ(count_rows(s.kv, 'c'), 1);
    free(a);
    free(b);
    close_shelf(&s);
}

/* Flips one bit of the value under a key that begins with the letter: the n-th such key. */
static void damage(struct kv *kv, char letter, unsigned n, size_t bit)
{
    struct kv_iter *iter = NULL;
    struct kv_batch batch;
    kv_batch_init(&batch);
    EXPECT_EQ(kv_iter_open(kv, NULL, 0, KV_SPAN(&letter, 1), KV_ALL, &iter), SH_OK);
    EXPECT(kv_iter_first(iter));
    while (n-- > 0) {
        EXPECT(kv_iter_next(iter));
    }
    struct sh_span value = kv_iter_value(iter);
    uint8_t *bytes = malloc(value.size);
    EXPECT(bytes != NULL);
    memcpy(bytes, value.at, value.size);
    bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    kv_batch_put(&batch, 0, kv_iter_key(iter), KV_SPAN(bytes, value.size));
    EXPECT_EQ(kv_write(kv, &batch, true), SH_OK);
    kv_iter_close(iter);
    kv_batch_fini(&batch);
    free(bytes);
}

TEST(a_flipped_bit_of_a_chunk_is_never_handed_out_and_names_its_place)
{
    struct shelf s = open_shelf(false);
    uint8_t *bytes = make_bytes(3 * CHUNK, 10);
    uint8_t *out = malloc(3 * CHUNK);
    struct blob_id id;
    struct blob_reader *reader = NULL;
    char why[KV_TEXT_BYTES];
    char name[2 * SH_DIGEST_BYTES + 1];
    size_t got = 0;
    EXPECT(out != NULL);
    EXPECT_EQ(blob_put(s.blob, bytes, 3 * CHUNK, &id), SH_OK);
    damage(s.kv, 'c', 1, 8 * 1000 + 3);
    EXPECT_EQ(blob_read_open(s.blob, &id, &reader), SH_OK);
    EXPECT_EQ(blob_read(reader, 0, out, CHUNK, &got), SH_OK);
    EXPECT_EQ(blob_read(reader, 0, out, CHUNK + 1, &got), SH_ERR_CORRUPT);
    EXPECT_EQ(got, 0);
    EXPECT_EQ(blob_read(reader, 2 * CHUNK, out, CHUNK, &got), SH_OK);
    blob_read_why(reader, why);
    sh_hex(name, id.digest, sizeof id.digest);
    EXPECT(strstr(why, name) != NULL);
    EXPECT(strstr(why, "chunk 2 of 3") != NULL);
    blob_read_close(reader);
    EXPECT_EQ(blob_delete(s.blob, &id), SH_OK);
    EXPECT_EQ(blob_put(s.blob, bytes, 3 * CHUNK, &id), SH_OK);
    expect_blob(&s, &id, bytes, 3 * CHUNK);
    free(bytes);
    free(out);
    close_shelf(&s);
}

TEST(every_flipped_bit_and_every_cut_of_a_manifest_is_found)
{
    uint8_t digests[2 * BLOB_CHUNK_DIGEST_SIZE] = {1, 2, 3};
    uint8_t bytes[128];
    struct blob_id id = {{7}};
    struct blob_id other = {{8}};
    struct blob_manifest in = {
        .size = CHUNK + 1, .storage = 5, .chunk_count = 2, .chunks = digests};
    struct blob_manifest out;
    size_t size = blob_manifest_bytes(2);
    sh_host_init();
    blob_manifest_encode(&id, &in, bytes);
    EXPECT_EQ(blob_manifest_decode(&id, KV_SPAN(bytes, size), &out), SH_OK);
    EXPECT_EQ(out.size, in.size);
    EXPECT_EQ(out.storage, 5);
    EXPECT_MEM(out.chunks, digests, sizeof digests);
    EXPECT_EQ(blob_manifest_decode(&other, KV_SPAN(bytes, size), &out), SH_ERR_CORRUPT);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        EXPECT_EQ(blob_manifest_decode(&id, KV_SPAN(bytes, size), &out), SH_ERR_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t cut = 0; cut < size; cut++) {
        EXPECT_EQ(blob_manifest_decode(&id, KV_SPAN(bytes, cut), &out), SH_ERR_CORRUPT);
    }
}

TEST(a_blob_with_a_damaged_manifest_is_corrupt_and_can_be_deleted)
{
    struct shelf s = open_shelf(false);
    struct blob_id id;
    struct blob_reader *reader = NULL;
    uint64_t size = 0;
    EXPECT_EQ(blob_put(s.blob, "abc", 3, &id), SH_OK);
    damage(s.kv, 'm', 0, 20);
    EXPECT_EQ(blob_read_open(s.blob, &id, &reader), SH_ERR_CORRUPT);
    EXPECT_EQ(blob_size(s.blob, &id, &size), SH_ERR_CORRUPT);
    EXPECT_EQ(blob_delete(s.blob, &id), SH_OK);
    EXPECT_EQ(blob_put(s.blob, "abc", 3, &id), SH_OK);
    EXPECT_EQ(blob_size(s.blob, &id, &size), SH_OK);
    EXPECT_EQ(size, 3);
    close_shelf(&s);
}

TEST(a_list_goes_through_all_blobs_in_pages)
{
    struct shelf s = open_shelf(false);
    struct blob_id page[3];
    struct blob_id last;
    uint32_t count = 0;
    unsigned total = 0;
    for (uint8_t i = 0; i < 10; i++) {
        EXPECT_EQ(blob_put(s.blob, &i, 1, NULL), SH_OK);
    }
    EXPECT_EQ(blob_list(s.blob, NULL, page, SH_COUNT(page), &count), SH_OK);
    while (count > 0) {
        for (uint32_t i = 0; i < count; i++) {
            EXPECT(total == 0 || memcmp(&page[i], &last, sizeof last) > 0);
            last = page[i];
            total++;
        }
        EXPECT_EQ(blob_list(s.blob, &last, page, SH_COUNT(page), &count), SH_OK);
    }
    EXPECT_EQ(total, 10);
    close_shelf(&s);
}

/* Runs the whole upload with its n-th write failing; true when the fault had no chance to fire. */
static bool upload_with_fault(uint32_t n, bool torn, bool named, uint32_t keep)
{
    struct shelf s = open_shelf(false);
    size_t size = 2 * CHUNK + 5;
    uint8_t *bytes = make_bytes(size, 11);
    struct blob_id id = id_of(bytes, size);
    struct blob_writer *w = NULL;
    uint64_t received = 0;
    bool has = false;
    kv_mem_fail(s.kv, n, SH_ERR_NO_SPACE, torn);
    enum sh_err err = blob_write_open(s.blob, named ? &id : NULL, &w, &received);
    if (err == SH_OK) {
        err = blob_write(w, bytes, size);
        enum sh_err end = err == SH_OK ? blob_write_finish(w, NULL) : blob_write_close(w);
        err = err == SH_OK ? end : err;
    }
    bool quiet = kv_mem_armed(s.kv);
    EXPECT_EQ(err, quiet ? SH_OK : SH_ERR_NO_SPACE);
    blob_close(s.blob);
    kv_mem_crash(s.kv, keep);
    EXPECT_EQ(blob_open(s.kv, 0, &s.blob), SH_OK);
    EXPECT_EQ(blob_has(s.blob, &id, &has), SH_OK);
    EXPECT(!quiet || has);
    if (!has) {
        EXPECT(named || count_rows(s.kv, 'c') == 0);
        EXPECT_EQ(blob_write_open(s.blob, &id, &w, &received), SH_OK);
        EXPECT_EQ(blob_write(w, bytes + received, size - received), SH_OK);
        EXPECT_EQ(blob_write_finish(w, NULL), SH_OK);
    }
    expect_blob(&s, &id, bytes, size);
    EXPECT_EQ(count_rows(s.kv, 'c'), 3);
    free(bytes);
    close_shelf(&s);
    return quiet;
}

TEST(an_upload_survives_a_failure_of_any_of_its_writes_and_any_crash_after_it)
{
    for (unsigned kind = 0; kind < 4; kind++) {
        for (uint32_t keep = 0; keep < 5; keep++) {
            uint32_t n = 1;
            while (!upload_with_fault(n, kind % 2 == 1, kind / 2 == 1, keep)) {
                n++;
            }
            EXPECT_EQ(n, 5); /* staging, two chunks, the end; the fifth never comes */
        }
    }
}

struct upload {
    struct blob *blob;
    const uint8_t *bytes;
    size_t size;
};

static void *upload_all(void *arg)
{
    const struct upload *u = arg;
    for (int i = 0; i < 10; i++) {
        EXPECT_EQ(blob_put(u->blob, u->bytes, u->size, NULL), SH_OK);
    }
    return NULL;
}

TEST(threads_that_write_equal_bytes_at_once_keep_one_copy)
{
    struct shelf s = open_shelf(false);
    uint8_t *bytes = make_bytes(CHUNK + 1, 12);
    struct upload u = {.blob = s.blob, .bytes = bytes, .size = CHUNK + 1};
    struct blob_id id = id_of(bytes, u.size);
    pthread_t threads[4];
    for (size_t i = 0; i < SH_COUNT(threads); i++) {
        EXPECT(pthread_create(&threads[i], NULL, upload_all, &u) == 0);
    }
    for (size_t i = 0; i < SH_COUNT(threads); i++) {
        EXPECT(pthread_join(threads[i], NULL) == 0);
    }
    EXPECT_EQ(count_rows(s.kv, 'c'), 2);
    expect_blob(&s, &id, bytes, u.size);
    free(bytes);
    close_shelf(&s);
}

/* ---- leases ---- */

static uint64_t lease_now_us;
static uint64_t lease_wall_us;

static void lease_clock(void *ctx, uint64_t *now_us, uint64_t *wall_us)
{
    (void)ctx;
    *now_us = lease_now_us;
    *wall_us = lease_wall_us;
}

/* Another life of the agent, with a grace of 10. */
static void begin_leases(struct shelf *s, uint64_t life)
{
    struct blob_leases leases = {.life = life, .grace_us = 10, .clock = lease_clock};
    blob_lease_begin(s->blob, &leases);
}

static struct blob_lease lease_of(struct shelf *s, const struct blob_id *id)
{
    struct blob_lease lease;
    EXPECT_EQ(blob_lease_get(s->blob, id, &lease), SH_OK);
    return lease;
}

TEST(a_blob_is_collected_when_its_lease_is_over)
{
    struct shelf s = open_shelf(false);
    struct blob_id id;
    uint64_t size = 0;
    bool has = false;
    lease_now_us = 1000;
    begin_leases(&s, 1);
    EXPECT_EQ(blob_put(s.blob, "abc", 3, &id), SH_OK);
    struct blob_lease seen = lease_of(&s, &id);
    EXPECT_EQ(seen.left_us, 10);
    lease_now_us += 9;
    EXPECT_EQ(blob_collect(s.blob, &id, &seen, &size), SH_ERR_IN_USE);
    lease_now_us++;
    EXPECT_EQ(blob_collect(s.blob, &id, &seen, &size), SH_OK);
    EXPECT_EQ(size, 3);
    EXPECT_EQ(blob_has(s.blob, &id, &has), SH_OK);
    EXPECT(!has);
    EXPECT_EQ(blob_collect(s.blob, &id, &seen, NULL), SH_ERR_IN_USE); /* its lease went too */
    seen = lease_of(&s, &id);
    EXPECT_EQ(blob_collect(s.blob, &id, &seen, NULL), SH_ERR_NOT_FOUND);
    close_shelf(&s);
}

TEST(whoever_writes_or_keeps_a_blob_gives_it_another_lease_that_a_collector_has_not_seen)
{
    struct shelf s = open_shelf(false);
    struct blob_id id;
    lease_now_us = 1000;
    begin_leases(&s, 1);
    EXPECT_EQ(blob_put(s.blob, "abc", 3, &id), SH_OK);
    lease_now_us += 10;
    struct blob_lease seen = lease_of(&s, &id);
    EXPECT_EQ(seen.left_us, 0);
    EXPECT_EQ(blob_put(s.blob, "abc", 3, &id), SH_OK);
    lease_now_us += 100; /* over again, but it is another one */
    EXPECT_EQ(blob_collect(s.blob, &id, &seen, NULL), SH_ERR_IN_USE);
    seen = lease_of(&s, &id);
    EXPECT_EQ(blob_keep(s.blob, &id, 50), SH_OK);
    EXPECT_EQ(lease_of(&s, &id).left_us, 50);
    EXPECT_EQ(blob_keep(s.blob, &id, 0), SH_OK); /* does not cut what it had */
    EXPECT_EQ(lease_of(&s, &id).left_us, 50);
    lease_now_us += 50;
    EXPECT_EQ(blob_collect(s.blob, &id, &seen, NULL), SH_ERR_IN_USE);
    seen = lease_of(&s, &id);
    EXPECT_EQ(blob_collect(s.blob, &id, &seen, NULL), SH_OK);
    EXPECT_EQ(blob_keep(s.blob, &id, 5), SH_ERR_NOT_FOUND);
    close_shelf(&s);
}

TEST(a_lease_of_an_earlier_life_ends_by_the_wall_clock_and_not_before_the_grace_is_over)
{
    struct shelf s = open_shelf(false);
    struct blob_id id;
    lease_now_us = 1000;
    lease_wall_us = 500000;
    begin_leases(&s, 1);
    EXPECT_EQ(blob_put(s.blob, "abc", 3, &id), SH_OK);
    EXPECT_EQ(blob_keep(s.blob, &id, 100), SH_OK);
    lease_now_us = 7; /* the machine booted: another steady clock */
    lease_wall_us += 30;
    begin_leases(&s, 2);
    EXPECT_EQ(lease_of(&s, &id).left_us, 70);
    lease_wall_us = 900000; /* the wall clock was set: the grace is left */
    EXPECT_EQ(lease_of(&s, &id).left_us, 10);
    lease_wall_us = 3; /* set back: no longer than it was given for */
    EXPECT_EQ(lease_of(&s, &id).left_us, 100);
    lease_now_us += 100;
    EXPECT_EQ(lease_of(&s, &id).left_us, 0);
    close_shelf(&s);
}

TEST(half_an_upload_is_dropped_when_its_lease_is_over_and_nobody_writes_it)
{
    struct shelf s = open_shelf(false);
    static uint8_t bytes[BLOB_CHUNK_BYTES];
    struct blob_id id = {{9}};
    struct blob_writer *writer = NULL;
    uint64_t received = 0;
    uint32_t count = 0;
    lease_now_us = 1000;
    begin_leases(&s, 1);
    EXPECT_EQ(blob_write_open(s.blob, &id, &writer, &received), SH_OK);
    EXPECT_EQ(blob_write(writer, bytes, sizeof bytes), SH_OK);
    lease_now_us += 50;
    EXPECT_EQ(blob_collect_partial(s.blob, &count), SH_OK);
    EXPECT_EQ(count, 0); /* it is being written */
    EXPECT_EQ(blob_write_close(writer), SH_OK);
    EXPECT_EQ(blob_collect_partial(s.blob, &count), SH_OK);
    EXPECT_EQ(count, 0); /* closed just now */
    lease_now_us += 50;
    EXPECT_EQ(blob_collect_partial(s.blob, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(blob_received(s.blob, &id, &received), SH_OK);
    EXPECT_EQ(received, 0);
    close_shelf(&s);
}
