/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/permutation.h"

#include "tst.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t counts[] = {1, 2, 3, 10, 63, 64, 65, 1000, 4096, 12288, 60000, 65537};

TEST_ROWS(every_sample_comes_exactly_once, counts)
{
    uint32_t count = counts[tst_row];
    uint8_t *seen = calloc(count, 1);
    EXPECT(seen != NULL);
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
        struct kn_permutation p;
        kn_permutation_init(&p, count, tst_seed(), KN_PERMUTATION_EPOCH, epoch);
        memset(seen, 0, count);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t at = kn_permutation_at(&p, i);
            EXPECT(at < count);
            EXPECT(seen[at] == 0);
            seen[at] = 1;
        }
    }
    free(seen);
}

TEST(the_largest_count_stays_in_range)
{
    struct kn_permutation p;
    kn_permutation_init(&p, UINT32_MAX, 1, KN_PERMUTATION_EPOCH, 0);
    for (uint32_t i = 0; i < 1000; i++) {
        EXPECT(kn_permutation_at(&p, UINT32_MAX - 1 - i) < UINT32_MAX);
    }
}

/* Positions whose element is the same in two permutations: 1 on average for unrelated ones. */
static uint32_t agreements(const struct kn_permutation *a, const struct kn_permutation *b)
{
    uint32_t same = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        same += kn_permutation_at(a, i) == kn_permutation_at(b, i) ? 1 : 0;
    }
    return same;
}

TEST(seed_epoch_and_use_each_select_another_order)
{
    struct kn_permutation p[4];
    kn_permutation_init(&p[0], 10000, 1, KN_PERMUTATION_EPOCH, 0);
    kn_permutation_init(&p[1], 10000, 1, KN_PERMUTATION_EPOCH, 1);
    kn_permutation_init(&p[2], 10000, 2, KN_PERMUTATION_EPOCH, 0);
    kn_permutation_init(&p[3], 10000, 1, KN_PERMUTATION_SPLIT, 0);
    for (uint32_t a = 0; a < 4; a++) {
        EXPECT_EQ(agreements(&p[a], &p[a]), 10000);
        for (uint32_t b = 0; b < a; b++) {
            EXPECT(agreements(&p[a], &p[b]) < 12);
        }
    }
}

/* Chi-square of (position decile, element decile) over many epochs: 81 degrees of freedom, so its
 * mean is 81 and 140 is beyond the 99.99th percentile. */
TEST(elements_spread_evenly_over_positions)
{
    enum { COUNT = 1000, EPOCHS = 200, TENTHS = 10 };
    static uint32_t cell[TENTHS][TENTHS];
    uint32_t fixed_first[COUNT] = {0};
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        struct kn_permutation p;
        kn_permutation_init(&p, COUNT, 7, KN_PERMUTATION_EPOCH, epoch);
        fixed_first[kn_permutation_at(&p, 0)]++;
        for (uint32_t i = 0; i < COUNT; i++) {
            cell[i * TENTHS / COUNT][kn_permutation_at(&p, i) * TENTHS / COUNT]++;
        }
    }
    double expected = (double)COUNT * EPOCHS / (TENTHS * TENTHS);
    double chi = 0;
    for (uint32_t a = 0; a < TENTHS; a++) {
        for (uint32_t b = 0; b < TENTHS; b++) {
            double d = (double)cell[a][b] - expected;
            chi += d * d / expected;
        }
    }
    EXPECT(chi < 140.0);
    for (uint32_t i = 0; i < COUNT; i++) {
        EXPECT(fixed_first[i] < 6);
    }
}

TEST(neighbours_do_not_stay_neighbours)
{
    struct kn_permutation p;
    kn_permutation_init(&p, 60000, 3, KN_PERMUTATION_EPOCH, 5);
    uint32_t near = 0;
    for (uint32_t i = 1; i < 60000; i++) {
        int64_t d = (int64_t)kn_permutation_at(&p, i) - (int64_t)kn_permutation_at(&p, i - 1);
        near += d >= -30 && d <= 30 ? 1 : 0;
    }
    EXPECT(near < 120); /* 60 expected */
}

TEST(a_split_holds_out_its_share_and_loses_no_sample)
{
    struct kn_split s;
    kn_split_init(&s, 12345, 100000, 9);
    EXPECT_EQ(s.validation, 1234);
    EXPECT_EQ(s.training, 12345 - 1234);
    static uint8_t seen[12345];
    for (uint32_t i = 0; i < s.validation; i++) {
        seen[kn_split_validation(&s, i)]++;
    }
    for (uint32_t i = 0; i < s.training; i++) {
        seen[kn_split_training(&s, i)]++;
    }
    for (uint32_t i = 0; i < 12345; i++) {
        EXPECT_EQ(seen[i], 1);
    }
}

TEST(a_split_of_everything_or_nothing_is_valid)
{
    struct kn_split s;
    kn_split_init(&s, 10, 0, 1);
    EXPECT_EQ(s.validation, 0);
    kn_split_init(&s, 10, 2000000, 1);
    EXPECT_EQ(s.validation, 10);
    EXPECT_EQ(s.training, 0);
}
