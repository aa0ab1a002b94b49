/* SPDX-License-Identifier: Apache-2.0
 *
 * The exploration of the real core. The counts are what it finds: another number means that the
 * core behaves otherwise, or that behaviours are no longer tried. */
#include "tst.h"

#include "sim/explore.h"

#include <stdlib.h>

struct row {
    struct sim_explore_bounds bounds;
    uint64_t states;
};

static const struct row rows[] = {
    /* from the start, with pre-votes */
    {{.terms = 2, .proposals = 1, .crashes = 1, .writes = 1, .depth = 10, .pre_vote = true}, 60437},
    /* a leader is lost, with crashes in the gaps between writing and sending */
    {{.terms = 3,
      .proposals = 2,
      .crashes = 1,
      .writes = 2,
      .depth = 10,
      .pre_vote = true,
      .led = true},
     136286},
    {{.terms = 3, .proposals = 2, .crashes = 2, .writes = 1, .depth = 10, .led = true}, 61252},
};

static struct sim_explore_report *explore(const struct sim_explore_bounds *bounds)
{
    struct sim_explore_report *r = calloc(1, sizeof *r);
    struct sim_explore_bounds b = *bounds;
    EXPECT(r != NULL);
    b.states = 1000000;
    sim_explore(&b, r);
    return r;
}

TEST_ROWS(every_behaviour_within_the_bounds_is_safe, rows)
{
    struct sim_explore_report *r = explore(&rows[tst_row].bounds);
    EXPECT_STR(r->failure, "");
    EXPECT(r->held);
    EXPECT_EQ(r->depth, rows[tst_row].bounds.depth);
    EXPECT_EQ(r->states, rows[tst_row].states);
    free(r);
}

TEST(small_bounds_are_explored_to_their_end)
{
    struct sim_explore_bounds b = {.terms = 1, .writes = 1, .depth = 1000};
    struct sim_explore_report *r = explore(&b);
    EXPECT_STR(r->failure, "");
    EXPECT(r->complete);
    EXPECT(r->depth < 1000);
    free(r);
}

TEST(the_limit_of_states_is_kept_and_told)
{
    struct sim_explore_bounds b = {.terms = 1, .writes = 1, .depth = 1000, .states = 100};
    struct sim_explore_report *r = calloc(1, sizeof *r);
    sim_explore(&b, r);
    EXPECT_EQ(r->states, 100);
    EXPECT(r->held && !r->complete);
    free(r);
}
