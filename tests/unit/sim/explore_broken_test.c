/* SPDX-License-Identifier: Apache-2.0
 *
 * Linked with a core that has one defect: the exploration names the property that it breaks, and
 * the events that lead there. */
#include "tst.h"

#include "sim/explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TEST(the_defect_of_a_broken_core_is_found)
{
    struct sim_explore_bounds bounds = {.terms = 3,
                                        .proposals = 1,
                                        .crashes = 1,
                                        .writes = 2,
                                        .depth = 14,
                                        .states = 2000000,
                                        .led = true};
    struct sim_explore_report *r = calloc(1, sizeof *r);
    sim_explore(&bounds, r);
    (void)printf("%llu states, depth %u: %s", (unsigned long long)r->states, r->depth, r->failure);
    EXPECT(!r->held);
    EXPECT(strncmp(r->failure, BREAKS, strlen(BREAKS)) == 0);
    EXPECT(strstr(r->failure, "\nAPP 1 -> ") != NULL); /* and how it came to that */
    free(r);
}
