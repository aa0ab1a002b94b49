/* SPDX-License-Identifier: Apache-2.0
 *
 * The contract of store/kv.h: every test runs against each implementation. */
#include "kv_bench.h"

#include "base/rng.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static struct kv *open_row(void)
{
    return benches[tst_row].open();
}

/* "a=1 b=2 " of what an iterator walks over. */
static const char *walk(struct kv *kv, const struct kv_snap *snap, const char *low,
                        const char *high, bool reverse)
{
    static char text[4096];
    struct kv_iter *iter = NULL;
    size_t used = 0;
    text[0] = '\0';
    EXPECT_EQ(kv_iter_open(kv, snap, A, text_span(low), text_span(high), &iter), SH_OK);
    bool more = reverse ? kv_iter_last(iter) : kv_iter_first(iter);
    while (more) {
        struct sh_span key = kv_iter_key(iter);
        struct sh_span value = kv_iter_value(iter);
        int n = snprintf(text + used, sizeof text - used, "%.*s=%.*s ", (int)key.size,
                         (const char *)key.at, (int)value.size, (const char *)value.at);
        EXPECT(n > 0);
        used += (size_t)n;
        more = reverse ? kv_iter_prev(iter) : kv_iter_next(iter);
    }
    EXPECT_EQ(kv_iter_error(iter), SH_OK);
    kv_iter_close(iter);
    return text;
}

static void fill(struct kv *kv)
{
    put_now(kv, A, "b", "1");
    put_now(kv, A, "d", "2");
    put_now(kv, A, "da", "3");
    put_now(kv, A, "f", "4");
}

TEST_ROWS(an_absent_key_is_not_found_and_leaves_an_empty_value, benches)
{
    struct kv *kv = open_row();
    struct kv_value value;
    EXPECT_EQ(kv_get(kv, NULL, A, text_span("x"), &value), SH_ERR_NOT_FOUND);
    EXPECT_EQ(value.bytes.size, 0);
    kv_value_free(&value);
    kv_close(kv);
}

TEST_ROWS(a_put_replaces_and_a_delete_removes, benches)
{
    struct kv *kv = open_row();
    put_now(kv, A, "x", "1");
    put_now(kv, B, "x", "other family");
    put_now(kv, A, "x", "2");
    expect_value(kv, NULL, A, "x", "2");
    struct kv_batch batch;
    kv_batch_init(&batch);
    kv_batch_del(&batch, A, text_span("x"));
    kv_batch_del(&batch, A, text_span("never there"));
    EXPECT_EQ(kv_write(kv, &batch, true), SH_OK);
    expect_value(kv, NULL, A, "x", "NOT_FOUND");
    expect_value(kv, NULL, B, "x", "other family");
    kv_batch_fini(&batch);
    kv_close(kv);
}

TEST_ROWS(an_empty_value_is_a_value, benches)
{
    struct kv *kv = open_row();
    struct kv_value value;
    put_now(kv, A, "x", "");
    EXPECT_EQ(kv_get(kv, NULL, A, text_span("x"), &value), SH_OK);
    EXPECT_EQ(value.bytes.size, 0);
    kv_value_free(&value);
    kv_close(kv);
}

TEST_ROWS(operations_of_a_batch_take_effect_in_their_order, benches)
{
    struct kv *kv = open_row();
    struct kv_batch batch;
    fill(kv);
    kv_batch_init(&batch);
    kv_batch_put(&batch, A, text_span("a"), text_span("x"));
    kv_batch_del(&batch, A, text_span("a"));
    kv_batch_put(&batch, A, text_span("c"), text_span("gone"));
    kv_batch_del_range(&batch, A, text_span("a"), text_span("e"));
    kv_batch_put(&batch, A, text_span("d"), text_span("new"));
    EXPECT_EQ(kv_write(kv, &batch, false), SH_OK);
    EXPECT_STR(walk(kv, NULL, "", "", false), "d=new f=4 ");
    kv_batch_clear(&batch);
    EXPECT_EQ(kv_write(kv, &batch, true), SH_OK);
    kv_batch_fini(&batch);
    kv_close(kv);
}

TEST_ROWS(an_iterator_gives_low_and_leaves_out_high, benches)
{
    static const struct {
        const char *low;
        const char *high;
        const char *forward;
        const char *backward;
    } cases[] = {
        {"", "", "b=1 d=2 da=3 f=4 ", "f=4 da=3 d=2 b=1 "},
        {"b", "f", "b=1 d=2 da=3 ", "da=3 d=2 b=1 "},
        {"c", "da", "d=2 ", "d=2 "},
        {"d", "", "d=2 da=3 f=4 ", "f=4 da=3 d=2 "},
        {"", "d", "b=1 ", "b=1 "},
        {"e", "f", "", ""},
        {"g", "", "", ""},
        {"", "a", "", ""},
        {"f", "b", "", ""},
    };
    struct kv *kv = open_row();
    EXPECT_STR(walk(kv, NULL, "", "", false), "");
    EXPECT_STR(walk(kv, NULL, "", "", true), "");
    fill(kv);
    for (size_t i = 0; i < SH_COUNT(cases); i++) {
        EXPECT_STR(walk(kv, NULL, cases[i].low, cases[i].high, false), cases[i].forward);
        EXPECT_STR(walk(kv, NULL, cases[i].low, cases[i].high, true), cases[i].backward);
    }
    kv_close(kv);
}

TEST_ROWS(seeking_respects_the_bounds_of_the_iterator, benches)
{
    struct kv *kv = open_row();
    struct kv_iter *iter = NULL;
    fill(kv);
    EXPECT_EQ(kv_iter_open(kv, NULL, A, text_span("c"), text_span("f"), &iter), SH_OK);
    EXPECT(kv_iter_seek(iter, text_span("a")));
    EXPECT_MEM(kv_iter_key(iter).at, "d", 1);
    EXPECT(kv_iter_seek(iter, text_span("d\x01")));
    EXPECT_EQ(kv_iter_key(iter).size, 2);
    EXPECT(!kv_iter_seek(iter, text_span("e")));
    EXPECT(kv_iter_seek_before(iter, text_span("z")));
    EXPECT_EQ(kv_iter_key(iter).size, 2);
    EXPECT(kv_iter_seek_before(iter, text_span("da")));
    EXPECT_EQ(kv_iter_key(iter).size, 1);
    EXPECT(!kv_iter_seek_before(iter, text_span("d")));
    EXPECT(!kv_iter_seek_before(iter, text_span("a")));
    EXPECT(kv_iter_seek(iter, text_span("da")));
    EXPECT(kv_iter_prev(iter));
    EXPECT(!kv_iter_prev(iter));
    kv_iter_close(iter);
    kv_close(kv);
}

TEST_ROWS(a_snapshot_and_an_iterator_keep_showing_their_state, benches)
{
    struct kv *kv = open_row();
    struct kv_snap *snap = NULL;
    struct kv_iter *iter = NULL;
    struct kv_batch batch;
    fill(kv);
    EXPECT_EQ(kv_snap_open(kv, &snap), SH_OK);
    EXPECT_EQ(kv_iter_open(kv, NULL, A, KV_ALL, KV_ALL, &iter), SH_OK);
    put_now(kv, A, "b", "changed");
    put_now(kv, A, "z", "new");
    kv_batch_init(&batch);
    kv_batch_del_range(&batch, A, text_span("d"), text_span("e"));
    EXPECT_EQ(kv_write(kv, &batch, true), SH_OK);
    kv_batch_fini(&batch);
    EXPECT_EQ(kv_flush(kv), SH_OK);
    EXPECT_STR(walk(kv, snap, "", "", false), "b=1 d=2 da=3 f=4 ");
    EXPECT_STR(walk(kv, NULL, "", "", false), "b=changed f=4 z=new ");
    expect_value(kv, snap, A, "b", "1");
    expect_value(kv, snap, A, "z", "NOT_FOUND");
    EXPECT(kv_iter_first(iter));
    EXPECT_MEM(kv_iter_value(iter).at, "1", 1);
    EXPECT(kv_iter_last(iter));
    EXPECT_MEM(kv_iter_key(iter).at, "f", 1);
    kv_iter_close(iter);
    kv_snap_close(kv, snap);
    kv_close(kv);
}

TEST_ROWS(clearing_a_family_removes_its_largest_key_and_no_other_family, benches)
{
    struct kv *kv = open_row();
    struct kv_batch batch;
    struct kv_value value;
    uint8_t key[KV_KEY_BYTES_MAX];
    memset(key, 0xff, sizeof key);
    kv_batch_init(&batch);
    kv_batch_put(&batch, A, KV_SPAN(key, sizeof key), text_span("last"));
    kv_batch_put(&batch, A, KV_SPAN("", 1), text_span("first"));
    EXPECT_EQ(kv_write(kv, &batch, false), SH_OK);
    put_now(kv, B, "b", "kept");
    EXPECT_EQ(kv_get(kv, NULL, A, KV_SPAN(key, sizeof key), &value), SH_OK);
    kv_value_free(&value);
    kv_batch_clear(&batch);
    kv_batch_del_range(&batch, A, KV_ALL, KV_ALL);
    EXPECT_EQ(kv_write(kv, &batch, false), SH_OK);
    EXPECT_STR(walk(kv, NULL, "", "", false), "");
    expect_value(kv, NULL, B, "b", "kept");
    kv_batch_fini(&batch);
    kv_close(kv);
}

TEST_ROWS(an_inverted_range_deletes_nothing, benches)
{
    struct kv *kv = open_row();
    struct kv_batch batch;
    fill(kv);
    kv_batch_init(&batch);
    kv_batch_del_range(&batch, A, text_span("f"), text_span("b"));
    kv_batch_del_range(&batch, A, text_span("d"), text_span("d"));
    EXPECT_EQ(kv_write(kv, &batch, true), SH_OK);
    EXPECT_STR(walk(kv, NULL, "", "", false), "b=1 d=2 da=3 f=4 ");
    kv_batch_fini(&batch);
    kv_close(kv);
}

TEST_ROWS(a_batch_past_its_limit_writes_nothing_and_harms_nothing, benches)
{
    struct kv *kv = open_row();
    struct kv_batch batch;
    size_t size = KV_BATCH_BYTES_MAX / 2;
    uint8_t *bytes = calloc(1, size);
    EXPECT(bytes != NULL);
    kv_batch_init(&batch);
    kv_batch_put(&batch, A, text_span("x"), text_span("1"));
    kv_batch_put(&batch, BIG, text_span("y"), KV_SPAN(bytes, size));
    kv_batch_put(&batch, BIG, text_span("z"), KV_SPAN(bytes, size));
    kv_batch_put(&batch, A, text_span("w"), text_span("1"));
    EXPECT_EQ(kv_write(kv, &batch, true), SH_ERR_LIMIT);
    EXPECT_EQ(kv_health(kv), SH_OK);
    expect_value(kv, NULL, A, "x", "NOT_FOUND");
    expect_value(kv, NULL, A, "w", "NOT_FOUND");
    kv_batch_clear(&batch);
    kv_batch_put(&batch, A, text_span("x"), text_span("2"));
    EXPECT_EQ(kv_write(kv, &batch, true), SH_OK);
    expect_value(kv, NULL, A, "x", "2");
    kv_batch_fini(&batch);
    free(bytes);
    kv_close(kv);
}

TEST_ROWS(get_into_tells_the_size_that_it_needs, benches)
{
    struct kv *kv = open_row();
    char out[4];
    size_t used = 0;
    put_now(kv, A, "x", "12345");
    EXPECT_EQ(kv_get_into(kv, NULL, A, text_span("x"), out, sizeof out, &used), SH_ERR_LIMIT);
    EXPECT_EQ(used, 5);
    EXPECT_EQ(kv_get_into(kv, NULL, A, text_span("y"), out, sizeof out, &used), SH_ERR_NOT_FOUND);
    EXPECT_EQ(used, 0);
    kv_close(kv);
}

TEST_ROWS(large_values_come_back_whole_after_a_flush_and_a_reopening, benches)
{
    enum { SIZE = 256 << 10, COUNT = 40 };
    struct kv *kv = open_row();
    struct kv_batch batch;
    struct sh_rng rng;
    static uint8_t bytes[SIZE];
    kv_batch_init(&batch);
    sh_rng_init(&rng, 3);
    for (size_t i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)sh_rng_u64(&rng);
    }
    for (uint8_t i = 0; i < COUNT; i++) {
        kv_batch_clear(&batch);
        bytes[0] = i;
        kv_batch_put(&batch, BIG, KV_SPAN(&i, 1), KV_SPAN(bytes, SIZE));
        EXPECT_EQ(kv_write(kv, &batch, false), SH_OK);
    }
    EXPECT_EQ(kv_flush(kv), SH_OK);
    kv = benches[tst_row].reopen(kv);
    for (uint8_t i = 0; i < COUNT; i++) {
        struct kv_value value;
        EXPECT_EQ(kv_get(kv, NULL, BIG, KV_SPAN(&i, 1), &value), SH_OK);
        EXPECT_EQ(value.bytes.size, SIZE);
        bytes[0] = i;
        EXPECT_MEM(value.bytes.at, bytes, SIZE);
        kv_value_free(&value);
    }
    kv_batch_fini(&batch);
    kv_close(kv);
}

TEST_ROWS(everything_written_is_there_after_a_reopening, benches)
{
    struct kv *kv = open_row();
    fill(kv);
    kv = benches[tst_row].reopen(kv);
    EXPECT_STR(walk(kv, NULL, "", "", false), "b=1 d=2 da=3 f=4 ");
    put_now(kv, A, "e", "5");
    kv = benches[tst_row].reopen(kv);
    EXPECT_STR(walk(kv, NULL, "", "", true), "f=4 e=5 da=3 d=2 b=1 ");
    kv_close(kv);
}

struct watch {
    struct kv *kv;
    atomic_bool done;
    atomic_uint looks;
};

/* Every batch puts the same number in both families: no reader may see them differ in one snapshot.
 */
static void *watch_pairs(void *arg)
{
    struct watch *watch = arg;
    while (!atomic_load(&watch->done)) {
        struct kv_snap *snap = NULL;
        char a[32] = {0};
        char b[32] = {0};
        size_t used = 0;
        EXPECT_EQ(kv_snap_open(watch->kv, &snap), SH_OK);
        EXPECT_EQ(kv_get_into(watch->kv, snap, A, text_span("n"), a, sizeof a, &used), SH_OK);
        EXPECT_EQ(kv_get_into(watch->kv, snap, B, text_span("n"), b, sizeof b, &used), SH_OK);
        EXPECT_STR(a, b);
        kv_snap_close(watch->kv, snap);
        atomic_fetch_add(&watch->looks, 1);
    }
    return NULL;
}

TEST_ROWS(readers_beside_a_writer_never_see_half_a_batch, benches)
{
    struct watch watch = {.kv = open_row()};
    struct kv_batch batch;
    pthread_t threads[2];
    kv_batch_init(&batch);
    put_now(watch.kv, A, "n", "0");
    put_now(watch.kv, B, "n", "0");
    for (size_t i = 0; i < SH_COUNT(threads); i++) {
        EXPECT(pthread_create(&threads[i], NULL, watch_pairs, &watch) == 0);
    }
    for (int i = 0; i < 2000 || atomic_load(&watch.looks) < 200; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "%d", i);
        kv_batch_clear(&batch);
        kv_batch_put(&batch, A, text_span("n"), text_span(text));
        kv_batch_put(&batch, B, text_span("n"), text_span(text));
        EXPECT_EQ(kv_write(watch.kv, &batch, false), SH_OK);
    }
    atomic_store(&watch.done, true);
    for (size_t i = 0; i < SH_COUNT(threads); i++) {
        EXPECT(pthread_join(threads[i], NULL) == 0);
    }
    kv_batch_fini(&batch);
    kv_close(watch.kv);
}

TEST_DIES(an_empty_key_is_a_programming_error, "key.size > 0")
{
    struct kv_batch batch;
    kv_batch_init(&batch);
    kv_batch_put(&batch, A, KV_ALL, text_span("x"));
}

TEST_DIES(a_family_that_was_not_opened_is_a_programming_error, "op.cf < cf_count")
{
    struct kv *kv = bench_open_mem();
    put_now(kv, BENCH_CFS, "x", "1");
}
