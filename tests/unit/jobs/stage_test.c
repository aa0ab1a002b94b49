/* SPDX-License-Identifier: Apache-2.0
 *
 * Sweeps: units in stages, of which one that fails stops no other. */
#include "tst.h"
#include "world.h"

static struct world w;
static uint64_t job;

/* Units 0 to 2, then 3 and 4, which wait for them; 5 on its own. */
static void submit_sweep(void)
{
    world_init(&w);
    for (unsigned n = 1; n <= 2; n++) {
        EXPECT_EQ(world_admit(&w, n, n == 1 ? "a" : "b"), SH_OK);
    }
    struct jobs_submit *c = world_submit(&w, "sweep");
    c->units = 6;
    c->retries = 0;
    c->stage_count = 3;
    c->stages[1] = (struct jobs_stage){.first = 3, .after = true};
    c->stages[2] = (struct jobs_stage){.first = 5};
    EXPECT_EQ(world_apply(&w), SH_OK);
    job = w.index;
}

static struct wire_unit unit(uint32_t number)
{
    return (struct wire_unit){.job = job, .unit = number};
}

static struct jobs_wait wait_of(uint32_t number)
{
    struct jobs_job row;
    EXPECT_EQ(jobs_job_get(w.t, job, &row), SH_OK);
    return jobs_stage_wait(w.t, &row, number);
}

static void commit(uint32_t number)
{
    EXPECT_EQ(world_place(&w, unit(number), 1, 1), SH_OK);
    EXPECT_EQ(world_commit(&w, unit(number), world_fence(&w, unit(number)), 7, false), SH_OK);
}

static void fail(uint32_t number)
{
    EXPECT_EQ(world_place(&w, unit(number), 1, 1), SH_OK);
    EXPECT_EQ(world_fail(&w, unit(number), world_fence(&w, unit(number)), true), SH_OK);
}

TEST(a_unit_is_not_placed_before_the_stage_before_it_has_ended)
{
    submit_sweep();
    EXPECT_EQ(wait_of(0).units, 0);
    EXPECT_EQ(wait_of(5).units, 0);
    EXPECT_EQ(wait_of(4).first, 0);
    EXPECT_EQ(wait_of(4).units, 3);
    EXPECT_EQ(wait_of(4).open, 3);
    commit(0);
    EXPECT_EQ(world_place(&w, unit(1), 1, 1), SH_OK); /* it runs: it has not ended */
    EXPECT_EQ(wait_of(3).open, 2);
    EXPECT_EQ(world_place(&w, unit(3), 2, 1), SH_ERR_CONFLICT);
    EXPECT_EQ(w.result.code, JOBS_CODE_UNIT_EARLY);
    EXPECT_EQ(world_unit_state(&w, unit(3)), JOBS_WAITING);
    EXPECT_EQ(world_commit(&w, unit(1), world_fence(&w, unit(1)), 7, false), SH_OK);
    commit(5);
    commit(2);
    EXPECT_EQ(wait_of(3).open, 0);
    commit(3);
    commit(4);
    EXPECT_EQ(world_job_state(&w, job), JOBS_COMPLETED);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(a_unit_that_fails_stops_no_other_and_lets_the_next_stage_begin)
{
    submit_sweep();
    fail(1);
    EXPECT_EQ(world_job_state(&w, job), JOBS_WAITING);
    commit(0);
    commit(2);
    commit(3);
    fail(4);
    commit(5);
    EXPECT_EQ(world_job_state(&w, job), JOBS_COMPLETED);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(a_sweep_of_which_every_unit_fails_has_failed_and_says_why)
{
    struct jobs_job row;
    submit_sweep();
    for (uint32_t u = 0; u < 6; u++) {
        EXPECT_EQ(jobs_job_get(w.t, job, &row), SH_OK);
        EXPECT_EQ(row.cause, WIRE_CAUSE_NONE);
        fail(u);
    }
    EXPECT_EQ(jobs_job_get(w.t, job, &row), SH_OK);
    EXPECT_EQ(row.state, JOBS_FAILED);
    EXPECT_EQ(row.cause, WIRE_CAUSE_FAILED);
    EXPECT_EQ(row.fail_unit, 0);
    EXPECT(row.fail_reason != SH_OK);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(every_unit_of_a_sweep_that_trains_makes_a_version_of_the_model)
{
    struct jobs_model model;
    submit_sweep();
    commit(0);
    commit(1);
    EXPECT_EQ(w.result.model_version, 2);
    EXPECT_EQ(jobs_model_get(w.t, "sweep", 2, &model), SH_OK);
    EXPECT_EQ(model.unit.unit, 1);
    world_free(&w);
}
