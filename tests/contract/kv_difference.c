/* SPDX-License-Identifier: Apache-2.0
 *
 * The same random operations against kv_mem and kv_rocks: every answer must be the same. TST_SEED
 * picks the sequence. */
#include "kv_bench.h"

#include "base/rng.h"

enum { OPERATIONS = 4000, SNAPS = 4, RUN_MORE = 5 };

struct pair {
    struct kv *mem;
    struct kv *rocks;
    bool redo; /* of rocks */
    struct kv_snap *mem_snaps[SNAPS];
    struct kv_snap *rocks_snaps[SNAPS];
    struct sh_rng rng;
};

struct word { /* a short random key or value */
    uint8_t bytes[4 + RUN_MORE];
    size_t size;
};

static struct word pick_key(struct sh_rng *rng)
{
    static const uint8_t alphabet[] = {0x00, 0x01, 'a', 0xff};
    struct word w = {.size = 1 + sh_rng_below(rng, 4)};
    for (size_t i = 0; i < w.size; i++) {
        w.bytes[i] = alphabet[sh_rng_below(rng, SH_COUNT(alphabet))];
    }
    return w;
}

static struct sh_span span_of(const struct word *w)
{
    return KV_SPAN(w->bytes, w->size);
}

/* In ROWS longer than every bound, and many begin with the same KV_RUN_BYTES. */
static struct word pick_row(struct sh_rng *rng, uint32_t cf)
{
    struct word w = pick_key(rng);
    if (cf == ROWS) {
        memmove(w.bytes + 1 + RUN_MORE, w.bytes + 1, w.size - 1);
        memset(w.bytes + 1, '-', RUN_MORE);
        w.size += RUN_MORE;
    }
    return w;
}

static struct sh_span pick_bound(struct sh_rng *rng, struct word *w)
{
    *w = pick_key(rng);
    return sh_rng_chance(rng, 1, 4) ? KV_ALL : span_of(w);
}

static void write_some(struct pair *p)
{
    struct kv_batch batch;
    kv_batch_init(&batch);
    uint64_t count = sh_rng_below(&p->rng, 6);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t cf = (uint32_t)sh_rng_below(&p->rng, BENCH_CFS);
        struct word key = pick_row(&p->rng, cf);
        struct word other = pick_key(&p->rng);
        struct word low;
        struct word high;
        struct sh_span from = pick_bound(&p->rng, &low);
        struct sh_span to = pick_bound(&p->rng, &high);
        uint64_t kind = sh_rng_below(&p->rng, 20);
        if (kind == 0) {
            kv_batch_del_range(&batch, cf, from, to);
        } else if (kind < 5) {
            kv_batch_del(&batch, cf, span_of(&key));
        } else {
            kv_batch_put(&batch, cf, span_of(&key), span_of(&other));
        }
    }
    bool sync = sh_rng_chance(&p->rng, 1, 20);
    EXPECT_EQ(kv_write(p->mem, &batch, sync), SH_OK);
    EXPECT_EQ(kv_write(p->rocks, &batch, sync), SH_OK);
    kv_batch_fini(&batch);
}

static void compare_get(struct pair *p, size_t snap, uint32_t cf)
{
    struct word key = pick_row(&p->rng, cf);
    struct kv_value a;
    struct kv_value b;
    enum sh_err err = kv_get(p->mem, p->mem_snaps[snap], cf, span_of(&key), &a);
    EXPECT_EQ(err, kv_get(p->rocks, p->rocks_snaps[snap], cf, span_of(&key), &b));
    EXPECT_EQ(a.bytes.size, b.bytes.size);
    EXPECT_MEM(a.bytes.at, b.bytes.at, a.bytes.size);
    kv_value_free(&a);
    kv_value_free(&b);
}

static bool move(struct kv_iter *iter, uint64_t kind, struct sh_span key)
{
    switch (kind) {
    case 0:
        return kv_iter_first(iter);
    case 1:
        return kv_iter_last(iter);
    case 2:
        return kv_iter_seek(iter, key);
    default:
        return kv_iter_seek_before(iter, key);
    }
}

static void compare_walk(struct pair *p, size_t snap, uint32_t cf)
{
    struct word low;
    struct word high;
    struct sh_span from = pick_bound(&p->rng, &low);
    struct sh_span to = pick_bound(&p->rng, &high);
    struct kv_iter *a = NULL;
    struct kv_iter *b = NULL;
    EXPECT_EQ(kv_iter_open(p->mem, p->mem_snaps[snap], cf, from, to, &a), SH_OK);
    EXPECT_EQ(kv_iter_open(p->rocks, p->rocks_snaps[snap], cf, from, to, &b), SH_OK);
    for (int rounds = 0; rounds < 3; rounds++) {
        struct word key = pick_row(&p->rng, cf);
        uint64_t kind = sh_rng_below(&p->rng, 4);
        bool more = move(a, kind, span_of(&key));
        EXPECT_EQ(more, move(b, kind, span_of(&key)));
        while (more) {
            EXPECT_EQ(kv_compare(kv_iter_key(a), kv_iter_key(b)), 0);
            EXPECT_EQ(kv_compare(kv_iter_value(a), kv_iter_value(b)), 0);
            bool forward = sh_rng_chance(&p->rng, 3, 4);
            more = forward ? kv_iter_next(a) : kv_iter_prev(a);
            EXPECT_EQ(more, forward ? kv_iter_next(b) : kv_iter_prev(b));
            more = more && !sh_rng_chance(&p->rng, 1, 30);
        }
    }
    EXPECT_EQ(kv_iter_error(b), SH_OK);
    kv_iter_close(a);
    kv_iter_close(b);
}

static void close_snap(struct pair *p, size_t i)
{
    kv_snap_close(p->mem, p->mem_snaps[i]);
    kv_snap_close(p->rocks, p->rocks_snaps[i]);
    p->mem_snaps[i] = NULL;
    p->rocks_snaps[i] = NULL;
}

static void renew_snap(struct pair *p)
{
    size_t i = 1 + sh_rng_below(&p->rng, SNAPS - 1); /* 0 stays the present */
    close_snap(p, i);
    EXPECT_EQ(kv_snap_open(p->mem, &p->mem_snaps[i]), SH_OK);
    EXPECT_EQ(kv_snap_open(p->rocks, &p->rocks_snaps[i]), SH_OK);
}

static void reopen_both(struct pair *p)
{
    for (size_t i = 0; i < SNAPS; i++) {
        close_snap(p, i);
    }
    p->mem = bench_reopen_mem(p->mem);
    p->rocks = p->redo ? bench_reopen_redo(p->rocks) : bench_reopen_rocks(p->rocks);
}

static void step(struct pair *p)
{
    size_t snap = sh_rng_below(&p->rng, SNAPS);
    uint32_t cf = (uint32_t)sh_rng_below(&p->rng, BENCH_CFS);
    uint64_t kind = sh_rng_below(&p->rng, 1000);
    if (kind < 500) {
        write_some(p);
    } else if (kind < 750) {
        compare_get(p, snap, cf);
    } else if (kind < 960) {
        compare_walk(p, snap, cf);
    } else if (kind < 990) {
        renew_snap(p);
    } else if (kind < 997) {
        EXPECT_EQ(kv_flush(p->mem), SH_OK);
        EXPECT_EQ(kv_flush(p->rocks), SH_OK);
    } else {
        reopen_both(p);
    }
}

static const struct {
    uint64_t seed;
    bool redo;
} runs[] = {{1, false}, {2, false}, {3, false}, {4, false},
            {1, true},  {2, true},  {3, true},  {4, true}};

TEST_ROWS(random_operations_give_the_same_answers_in_memory_and_in_rocksdb, runs)
{
    struct pair p = {.mem = bench_open_mem(), .redo = runs[tst_row].redo};
    p.rocks = bench_open_rocks("kv", p.redo);
    sh_rng_init(&p.rng, tst_seed() * 1000 + runs[tst_row].seed);
    for (int i = 0; i < OPERATIONS; i++) {
        step(&p);
    }
    for (size_t i = 0; i < SNAPS; i++) {
        close_snap(&p, i);
    }
    kv_close(p.mem);
    kv_close(p.rocks);
}
