/* SPDX-License-Identifier: Apache-2.0 */
#include "tst.h"

#include "sim/sim.h"

static const struct sim_job NOOP = {.units = 3, .agents_min = 1, .agents_max = 1};

TEST(five_agents_grow_from_one_founder_and_complete_a_job)
{
    struct sim_options options = sim_options_default();
    struct sim *sim = sim_new(&options);
    sim_run_until(sim, 10000000);
    uint32_t request = sim_submit(sim, &NOOP, 4, true);
    sim_run_until(sim, 20000000);
    EXPECT(sim_failure(sim) == NULL);
    EXPECT(sim_request(sim, request).job != 0);
    EXPECT_EQ(sim_look(sim, 4).voters, 3);
    EXPECT_EQ(sim_look(sim, 4).members, 5);
    EXPECT_EQ(sim_counts(sim).units, 3);
    EXPECT_STR(sim_unconverged(sim), "");
    EXPECT(sim_converged(sim));
    sim_free(sim);
}
