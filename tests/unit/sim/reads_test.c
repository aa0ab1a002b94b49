/* SPDX-License-Identifier: Apache-2.0
 *
 * What simulated clients saw: judged as it is, and with an answer changed. */
#include "tst.h"

#include "sim/parts.h"

#include <string.h>

#define SECOND UINT64_C(1000000)

/* Three agents, ten jobs by clients, all answered. */
static struct sim *served(void)
{
    static const struct sim_job job = {.units = 3, .agents_min = 1, .agents_max = 1};
    struct sim_options options = sim_options_default();
    options.agents = 3;
    options.seed = tst_seed();
    struct sim *sim = sim_new(&options);
    sim_run_until(sim, 10 * SECOND);
    for (uint32_t i = 0; i < 10; i++) {
        (void)sim_submit(sim, &job, i % 3, true);
        sim_run_until(sim, sim_now_us(sim) + SECOND / 4);
    }
    sim_run_until(sim, sim_now_us(sim) + 20 * SECOND);
    EXPECT(sim_failure(sim) == NULL);
    EXPECT_EQ(sim_counts(sim).acknowledged, 10);
    EXPECT_EQ(sim_counts(sim).reads, 30); /* through every agent, leader or not */
    return sim;
}

static bool names_linearizability(struct sim *sim)
{
    sim_reads_judge(sim);
    const char *failure = sim_failure(sim);
    return failure != NULL && strncmp(failure, "linearizability: ILLEGAL", 24) == 0;
}

TEST(reads_through_every_agent_are_answered_and_linearizable)
{
    struct sim *sim = served();
    sim_reads_judge(sim);
    EXPECT(sim_failure(sim) == NULL);
    sim_free(sim);
}

TEST(a_read_that_lacks_an_acknowledged_job_is_found)
{
    struct sim *sim = served();
    sim->reads[17].progress = 0;
    EXPECT(names_linearizability(sim));
    sim_free(sim);
}

TEST(a_read_that_goes_back_behind_another_is_found)
{
    struct sim *sim = served();
    struct sim_read *first = &sim->reads[3];
    struct sim_read *second = &sim->reads[4];
    EXPECT_EQ(first->request, second->request);
    *first = (struct sim_read){.request = first->request,
                               .job = first->job,
                               .begun_us = SECOND * 100,
                               .done_us = SECOND * 101,
                               .progress = 3};
    *second = *first;
    second->begun_us += 2 * SECOND;
    second->done_us += 2 * SECOND;
    second->progress = 2;
    EXPECT(names_linearizability(sim));
    sim_free(sim);
}

TEST(a_read_without_an_answer_says_nothing)
{
    struct sim *sim = served();
    sim->reads[17].progress = 0;
    sim->reads[17].done_us = 0;
    sim_reads_judge(sim);
    EXPECT(sim_failure(sim) == NULL);
    sim_free(sim);
}
