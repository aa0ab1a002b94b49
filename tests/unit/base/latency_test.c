/* SPDX-License-Identifier: Apache-2.0 */
#include "base/latency.h"
#include "tst.h"

TEST(nothing_measured_has_no_percentile)
{
    struct sh_latency l = {0};
    EXPECT_EQ(sh_latency_p99(&l), 0);
    sh_latency_add(&l, 0);
    EXPECT_EQ(sh_latency_p99(&l), 0);
}

TEST(one_in_a_hundred_may_be_longer_and_the_answer_is_at_most_a_quarter_too_high)
{
    for (uint64_t us = 1; us < (UINT64_C(1) << 27); us = us * 3 / 2 + 1) {
        struct sh_latency l = {0};
        for (uint32_t i = 0; i < 299; i++) {
            sh_latency_add(&l, us);
        }
        sh_latency_add(&l, UINT64_MAX);
        EXPECT(sh_latency_p99(&l) >= us);
        EXPECT(sh_latency_p99(&l) <= us + us / 4);
        for (uint32_t i = 0; i < 3; i++) {
            sh_latency_add(&l, UINT64_MAX);
        }
        EXPECT(sh_latency_p99(&l) > us + us / 4);
    }
}

TEST(the_longest_of_a_few_counts)
{
    struct sh_latency l = {0};
    sh_latency_add(&l, 100);
    sh_latency_add(&l, 40000);
    EXPECT(sh_latency_p99(&l) >= 40000);
}

TEST(what_was_long_ago_is_forgotten)
{
    struct sh_latency l = {0};
    for (uint32_t i = 0; i < 100; i++) {
        sh_latency_add(&l, 300000);
    }
    uint32_t needed = 0;
    while (sh_latency_p99(&l) >= 300000) {
        sh_latency_add(&l, 1000);
        needed++;
        EXPECT(l.held <= SH_LATENCY_HELD_MAX);
    }
    EXPECT(needed < 4 * SH_LATENCY_HELD_MAX);
    EXPECT(sh_latency_p99(&l) <= 1250);
}

TEST(one_long_one_alone_is_not_usual_but_two_of_less_than_two_hundred_are)
{
    struct sh_latency l = {0};
    EXPECT_EQ(sh_latency_usual_p99(&l), 0);
    sh_latency_add(&l, 40000);
    EXPECT_EQ(sh_latency_usual_p99(&l), 0);
    for (uint32_t i = 0; i < 197; i++) {
        sh_latency_add(&l, 100);
        EXPECT(sh_latency_usual_p99(&l) >= 100 && sh_latency_usual_p99(&l) <= 125);
    }
    sh_latency_add(&l, 40000);
    EXPECT(sh_latency_usual_p99(&l) >= 40000);
    sh_latency_add(&l, 100); /* two hundred: one in a hundred may be longer */
    EXPECT(sh_latency_usual_p99(&l) <= 125);
    EXPECT_EQ(sh_latency_usual_p99(&l), sh_latency_p99(&l));
}
