/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/agg/tree.h"

#include "tst.h"

#include <stdlib.h>
#include <string.h>

enum { SIZE = 611 }; /* two blocks of the root and an odd rest */

static float vectors[KN_TREE_RANKS_MAX][SIZE];
static uint64_t random_state;

static uint32_t random_u32(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 32);
}

/* Floats of both signs over 2^-20 .. 2^20, so that another order of additions rounds elsewhere. */
static void fill_vectors(void)
{
    random_state = tst_seed();
    for (uint32_t r = 0; r < KN_TREE_RANKS_MAX; r++) {
        for (uint32_t i = 0; i < SIZE; i++) {
            uint32_t exponent = 127 - 20 + random_u32() % 41;
            uint32_t bits = (random_u32() & 0x807fffff) | exponent << 23;
            memcpy(&vectors[r][i], &bits, sizeof bits);
        }
    }
}

/* The definition, level by level: sum of [0, n) = sum of the left half + sum of the right half. */
static void root_by_definition(uint32_t ranks, float *out)
{
    static float level[KN_TREE_RANKS_MAX];
    for (uint32_t i = 0; i < SIZE; i++) {
        for (uint32_t r = 0; r < ranks; r++) {
            level[r] = vectors[r][i];
        }
        for (uint32_t n = ranks / 2; n > 0; n /= 2) {
            for (uint32_t r = 0; r < n; r++) {
                level[r] = level[2 * r] + level[2 * r + 1];
            }
        }
        out[i] = level[0];
    }
}

struct shipment {
    struct kn_subtree subtree[KN_TREE_RANKS_MAX];
    const float *sum[KN_TREE_RANKS_MAX];
    uint32_t count;
};

/* What an agent with ranks [lo, hi) computes and ships, through O(log V) slots per subtree. */
static void ship(struct shipment *s, uint32_t lo, uint32_t hi)
{
    struct kn_subtree cover[KN_TREE_COVER_MAX];
    uint32_t count = kn_tree_cover(lo, hi, cover);
    for (uint32_t c = 0; c < count; c++) {
        float *slots[KN_TREE_DEPTH_MAX];
        for (uint32_t i = 0; i <= cover[c].level; i++) {
            slots[i] = malloc(SIZE * sizeof(float));
            EXPECT(slots[i] != NULL);
        }
        struct kn_tree_sum sum;
        kn_tree_begin(&sum, cover[c].level, SIZE, slots);
        for (uint32_t r = 0; r < (1U << cover[c].level); r++) {
            EXPECT(kn_tree_done(&sum) == NULL);
            memcpy(kn_tree_next(&sum), vectors[cover[c].lo + r], sizeof vectors[0]);
            kn_tree_push(&sum);
        }
        EXPECT(kn_tree_next(&sum) == NULL);
        EXPECT(kn_tree_done(&sum) == slots[0]);
        for (uint32_t i = 1; i <= cover[c].level; i++) {
            free(slots[i]);
        }
        s->subtree[s->count] = cover[c];
        s->sum[s->count] = slots[0];
        s->count++;
    }
}

static void shipment_free(struct shipment *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        free((void *)(uintptr_t)s->sum[i]);
    }
    s->count = 0;
}

/* Arrival in any order: a random transposition of each place. */
static void shuffle(struct shipment *s)
{
    for (uint32_t i = s->count; i > 1; i--) {
        uint32_t j = random_u32() % i;
        struct kn_subtree t = s->subtree[i - 1];
        const float *p = s->sum[i - 1];
        s->subtree[i - 1] = s->subtree[j];
        s->sum[i - 1] = s->sum[j];
        s->subtree[j] = t;
        s->sum[j] = p;
    }
}

static const uint32_t every_ranks[] = {1, 2, 4, 8, 16};

/* A split into contiguous agents is a set of cuts between ranks: 2^(V - 1) of them. Sums of ranges
 * are computed once per range; each split then takes its own shipments to the root. */
TEST_ROWS(every_contiguous_split_gives_the_bits_of_the_definition, every_ranks)
{
    enum { V = 16 };
    uint32_t ranks = every_ranks[tst_row];
    static struct shipment range[V + 1][V + 1];
    static float expected[SIZE];
    static float root[SIZE];
    fill_vectors();
    root_by_definition(ranks, expected);
    for (uint32_t lo = 0; lo < ranks; lo++) {
        for (uint32_t hi = lo + 1; hi <= ranks; hi++) {
            ship(&range[lo][hi], lo, hi);
        }
    }
    uint32_t splits = 0;
    for (uint32_t cuts = 0; cuts < (1U << (ranks - 1)); cuts++) {
        static struct shipment all;
        all.count = 0;
        uint32_t lo = 0;
        for (uint32_t hi = 1; hi <= ranks; hi++) {
            if (hi == ranks || ((cuts >> (hi - 1)) & 1) != 0) {
                const struct shipment *s = &range[lo][hi];
                memcpy(&all.subtree[all.count], s->subtree, s->count * sizeof s->subtree[0]);
                memcpy(&all.sum[all.count], s->sum, s->count * sizeof s->sum[0]);
                all.count += s->count;
                lo = hi;
            }
        }
        shuffle(&all);
        memset(root, 0xff, sizeof root);
        EXPECT(kn_tree_root(all.subtree, all.sum, all.count, ranks, SIZE, root));
        EXPECT_MEM(root, expected, sizeof root);
        splits++;
    }
    EXPECT_EQ(splits, 1U << (ranks - 1));
    for (uint32_t lo = 0; lo < ranks; lo++) {
        for (uint32_t hi = lo + 1; hi <= ranks; hi++) {
            shipment_free(&range[lo][hi]);
        }
    }
}

static const uint32_t large_ranks[] = {32, 64, 256};

TEST_ROWS(random_splits_of_many_ranks_give_the_bits_of_the_definition, large_ranks)
{
    uint32_t ranks = large_ranks[tst_row];
    static float expected[SIZE];
    static float root[SIZE];
    fill_vectors();
    root_by_definition(ranks, expected);
    for (uint32_t round = 0; round < 20; round++) {
        static struct shipment all;
        all.count = 0;
        uint32_t lo = 0;
        while (lo < ranks) {
            uint32_t hi = lo + 1 + random_u32() % (ranks / 3);
            hi = hi < ranks ? hi : ranks;
            ship(&all, lo, hi);
            lo = hi;
        }
        shuffle(&all);
        EXPECT(kn_tree_root(all.subtree, all.sum, all.count, ranks, SIZE, root));
        EXPECT_MEM(root, expected, sizeof root);
        shipment_free(&all);
    }
}

TEST(a_slice_of_the_root_has_the_bits_of_the_whole)
{
    static float expected[SIZE];
    static float root[SIZE];
    fill_vectors();
    root_by_definition(16, expected);
    static struct shipment all;
    ship(&all, 0, 3);
    ship(&all, 3, 11);
    ship(&all, 11, 16);
    for (uint32_t a = 0; a < SIZE; a += 97) {
        uint32_t b = a + 97 < SIZE ? a + 97 : SIZE;
        const float *slice[KN_TREE_RANKS_MAX];
        for (uint32_t i = 0; i < all.count; i++) {
            slice[i] = all.sum[i] + a;
        }
        EXPECT(kn_tree_root(all.subtree, slice, all.count, 16, b - a, root + a));
    }
    EXPECT_MEM(root, expected, sizeof root);
    shipment_free(&all);
}

TEST(the_root_may_be_written_over_one_of_the_sums)
{
    static float expected[SIZE];
    fill_vectors();
    root_by_definition(8, expected);
    static struct shipment all;
    ship(&all, 0, 5);
    ship(&all, 5, 8);
    float *out = (float *)(uintptr_t)all.sum[1];
    EXPECT(kn_tree_root(all.subtree, all.sum, all.count, 8, SIZE, out));
    EXPECT_MEM(out, expected, sizeof expected);
    shipment_free(&all);
}

TEST(another_order_of_additions_gives_other_bits)
{
    static float expected[SIZE];
    static float sequential[SIZE];
    fill_vectors();
    root_by_definition(16, expected);
    memcpy(sequential, vectors[0], sizeof sequential);
    for (uint32_t r = 1; r < 16; r++) {
        kn_tree_add(sequential, vectors[r], SIZE);
    }
    EXPECT(memcmp(sequential, expected, sizeof expected) != 0);
}

TEST(a_range_is_covered_by_maximal_subtrees)
{
    for (uint32_t lo = 0; lo < 64; lo++) {
        for (uint32_t hi = lo + 1; hi <= 64; hi++) {
            struct kn_subtree t[KN_TREE_COVER_MAX];
            uint32_t count = kn_tree_cover(lo, hi, t);
            uint32_t at = lo;
            for (uint32_t i = 0; i < count; i++) {
                uint32_t size = 1U << t[i].level;
                EXPECT_EQ(t[i].lo, at);
                EXPECT_EQ(at % size, 0);
                uint32_t parent = at - at % (2 * size);
                EXPECT(parent < lo || parent + 2 * size > hi);
                at += size;
            }
            EXPECT_EQ(at, hi);
        }
    }
}

TEST(the_longest_cover_fits_its_bound)
{
    uint32_t longest = 0;
    for (uint32_t lo = 0; lo < KN_TREE_RANKS_MAX; lo++) {
        for (uint32_t hi = lo + 1; hi <= KN_TREE_RANKS_MAX; hi++) {
            struct kn_subtree t[KN_TREE_COVER_MAX];
            uint32_t count = kn_tree_cover(lo, hi, t);
            longest = count > longest ? count : longest;
        }
    }
    EXPECT_EQ(longest, KN_TREE_COVER_MAX);
}

TEST(ranks_are_a_power_of_two_up_to_the_limit)
{
    uint32_t valid = 0;
    for (uint32_t v = 0; v <= 2 * KN_TREE_RANKS_MAX; v++) {
        valid += kn_tree_ranks_valid(v) ? 1 : 0;
    }
    EXPECT_EQ(valid, KN_TREE_DEPTH_MAX);
    EXPECT(kn_tree_ranks_valid(1));
    EXPECT(kn_tree_ranks_valid(KN_TREE_RANKS_MAX));
}

static const struct {
    uint32_t ranks;
    uint32_t count;
    struct kn_subtree subtree[3];
} refused[] = {
    {4, 0, {{0, 0}}},                  /* nothing */
    {4, 1, {{0, 1}}},                  /* half missing */
    {4, 2, {{0, 1}, {0, 1}}},          /* one twice */
    {4, 3, {{0, 2}, {0, 1}, {2, 1}}},  /* a subtree and its children */
    {4, 2, {{0, 2}, {2, 1}}},          /* overlap */
    {4, 2, {{0, 0}, {1, 1}}},          /* not aligned */
    {4, 1, {{0, 3}}},                  /* larger than the tree */
    {4, 2, {{0, 1}, {2, 40}}},         /* a level that does not exist */
    {4, 2, {{0, 1}, {UINT32_MAX, 0}}}, /* a rank that does not exist */
    {3, 2, {{0, 1}, {2, 0}}},          /* not a power of two */
    {512, 2, {{0, 8}, {256, 8}}},      /* too many ranks */
};

TEST_ROWS(sums_that_do_not_tile_the_ranks_are_refused, refused)
{
    static const float zero[4];
    static const float *const sums[3] = {zero, zero, zero};
    float out[4] = {7, 7, 7, 7};
    EXPECT(
        !kn_tree_covers(refused[tst_row].subtree, refused[tst_row].count, refused[tst_row].ranks));
    EXPECT(!kn_tree_root(refused[tst_row].subtree, sums, refused[tst_row].count,
                         refused[tst_row].ranks, 4, out));
    EXPECT_NEAR((double)out[0], 7.0, 0.0);
}
