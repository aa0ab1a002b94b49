/* SPDX-License-Identifier: Apache-2.0
 *
 * The two worlds of training in virtual time: what holds in a storm, what heals, and that a seed is
 * a run. */
#include "tst.h"

#include "sim/scenario.h"
#include "sim/train.h"

#include <stdio.h>

static struct sim_verdict federated(uint64_t seed, uint32_t members)
{
    struct sim_verdict v;
    sim_fed_run(seed, members, &v);
    (void)printf("seed %llu: %s\n", (unsigned long long)seed, v.held ? "held" : v.why);
    EXPECT(v.held);
    return v;
}

static struct sim_verdict together(uint64_t seed, uint32_t members)
{
    struct sim_verdict v;
    sim_gang_run(seed, members, &v);
    (void)printf("seed %llu: %s\n", (unsigned long long)seed, v.held ? "held" : v.why);
    EXPECT(v.held);
    return v;
}

TEST(rounds_of_a_thousand_members_hold_in_storms_and_their_model_comes_near_the_truth)
{
    uint64_t longest = 0;
    uint64_t leaders = 0;
    uint64_t without = 0;
    for (uint64_t i = 0; i < 6; i++) {
        struct sim_fed_counts c = federated(tst_seed() + i, SIM_FED_MEMBERS_MAX).train.fed;
        longest = c.longest > longest ? c.longest : longest;
        leaders += c.leaders;
        without += c.rounds - c.models;
    }
    EXPECT(longest > 500); /* of 1000: the storm reaches for the bound */
    EXPECT(leaders > 6);
    EXPECT(without > 0);
}

TEST(all_members_have_the_one_line_of_states_in_storms_and_go_on_after_healing)
{
    struct sim_gang_counts sum = {0};
    for (uint64_t i = 0; i < 20; i++) {
        struct sim_gang_counts c = together(tst_seed() + i, 0).train.gang;
        EXPECT(c.steps > 0);
        EXPECT(c.finished >= c.steps);
        sum.fetched += c.fetched;
        sum.generations += c.generations;
        for (uint32_t p = 0; p < SIM_PHASE_COUNT; p++) {
            sum.blows[SIM_BLOW_KILL][p] += c.blows[SIM_BLOW_KILL][p];
        }
    }
    EXPECT(sum.fetched > 0);
    EXPECT(sum.generations > 40);
    for (uint32_t p = 0; p < SIM_PHASE_COUNT; p++) {
        EXPECT(sum.blows[SIM_BLOW_KILL][p] > 0);
    }
}

TEST(a_gang_of_as_many_members_as_there_may_be_holds)
{
    EXPECT(together(tst_seed(), SIM_GANG_MEMBERS_MAX).train.gang.generations > 1);
}

TEST(equal_seeds_are_equal_runs_and_others_are_not)
{
    uint64_t trace = federated(7, SIM_FED_MEMBERS_MIN).counts.trace;
    EXPECT_EQ(federated(7, SIM_FED_MEMBERS_MIN).counts.trace, trace);
    EXPECT(federated(8, SIM_FED_MEMBERS_MIN).counts.trace != trace);
    trace = together(7, 0).counts.trace;
    EXPECT_EQ(together(7, 0).counts.trace, trace);
    EXPECT(together(8, 0).counts.trace != trace);
}
