/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/view.h"

#include "tst.h"
#include "world.h"

static struct world w;
static uint64_t job;

static struct wire_unit unit(uint32_t number)
{
    return (struct wire_unit){.job = job, .unit = number};
}

static void begin(uint32_t units)
{
    world_init(&w);
    EXPECT_EQ(world_admit(&w, 1, "first"), SH_OK);
    EXPECT_EQ(world_admit(&w, 2, "second"), SH_OK);
    struct jobs_submit *c = world_submit(&w, "job");
    c->kind = WIRE_KIND_EXEC;
    c->units = units;
    c->retries = 5;
    c->need.agents_max = 1;
    EXPECT_EQ(world_apply(&w), SH_OK);
    job = w.result.unit.job;
    for (uint32_t i = 0; i < units; i++) {
        EXPECT_EQ(world_place(&w, unit(i), 1, 1), SH_OK);
    }
}

static enum sh_err say(uint32_t number, uint16_t permille)
{
    w.cmd = (struct jobs_cmd){.type = JOBS_PROGRESS};
    w.cmd.u.progress = (struct jobs_progress){
        .unit = unit(number), .fence = world_fence(&w, unit(number)), .permille = permille};
    return world_apply(&w);
}

static uint32_t progress(void)
{
    struct jobs_job row;
    jobs_check(w.core, w.t);
    EXPECT_EQ(jobs_job_get(w.t, job, &row), SH_OK);
    return row.progress;
}

static void commit(uint32_t number)
{
    EXPECT_EQ(world_commit(&w, unit(number), world_fence(&w, unit(number)), 1, false), SH_OK);
}

TEST(a_job_has_come_as_far_as_its_units_on_average_and_whole_when_it_is_completed)
{
    begin(2);
    EXPECT_EQ(progress(), 0);
    EXPECT_EQ(say(0, 500), SH_OK);
    EXPECT_EQ(progress(), 250);
    EXPECT_EQ(say(1, 999), SH_OK);
    EXPECT_EQ(progress(), 749);
    EXPECT_EQ(say(1, 400), SH_OK); /* what is less changes nothing */
    EXPECT(w.result.duplicate);
    EXPECT_EQ(progress(), 749);
    commit(0);
    EXPECT_EQ(say(1, 1000 - 1), SH_OK);
    EXPECT_EQ(progress(), 999);
    commit(1);
    EXPECT_EQ(progress(), JOBS_PROGRESS_WHOLE);
    world_free(&w);
}

TEST(a_unit_that_is_tried_again_keeps_its_mark)
{
    begin(1);
    EXPECT_EQ(say(0, 700), SH_OK);
    EXPECT_EQ(world_fail(&w, unit(0), world_fence(&w, unit(0)), false), SH_OK);
    EXPECT_EQ(progress(), 700);
    EXPECT_EQ(say(0, 800), SH_ERR_STALE); /* it has no gang */
    EXPECT_EQ(world_place(&w, unit(0), 2, 1), SH_OK);
    EXPECT_EQ(say(0, 100), SH_OK);
    EXPECT_EQ(progress(), 700);
    EXPECT_EQ(say(0, 710), SH_OK);
    EXPECT_EQ(progress(), 710);
    world_free(&w);
}

TEST(a_job_that_was_paused_goes_on_from_its_mark)
{
    begin(1);
    EXPECT_EQ(say(0, 300), SH_OK);
    EXPECT_EQ(world_pause(&w, job, 0), SH_OK);
    EXPECT_EQ(progress(), 300);
    EXPECT_EQ(world_resume(&w, job), SH_OK);
    EXPECT_EQ(world_place(&w, unit(0), 2, 1), SH_OK);
    EXPECT_EQ(say(0, 200), SH_OK);
    EXPECT_EQ(progress(), 300);
    world_free(&w);
}

TEST(more_units_hold_the_mark_and_fewer_raise_it)
{
    begin(4);
    commit(0);
    commit(1);
    EXPECT_EQ(progress(), 500);
    EXPECT_EQ(world_resize(&w, job, 8), SH_OK);
    EXPECT_EQ(progress(), 500); /* of 8 units 2: 250 */
    EXPECT_EQ(say(2, 999), SH_OK);
    EXPECT_EQ(progress(), 500);
    EXPECT_EQ(say(3, 600), SH_OK);
    EXPECT_EQ(world_resize(&w, job, 4), SH_OK);
    EXPECT_EQ(progress(), 899);
    world_free(&w);
}

TEST(the_mark_of_a_unit_that_is_stopped_does_not_count)
{
    begin(2);
    EXPECT_EQ(say(1, 900), SH_OK);
    EXPECT_EQ(progress(), 450);
    EXPECT_EQ(world_resize(&w, job, 1), SH_OK); /* unit 1 goes */
    EXPECT_EQ(world_expire(&w, unit(1), world_fence(&w, unit(1))), SH_OK);
    EXPECT_EQ(say(0, 400), SH_OK);
    EXPECT_EQ(progress(), 900); /* it was so for a moment; it does not go down */
    commit(0);
    EXPECT_EQ(progress(), JOBS_PROGRESS_WHOLE);
    world_free(&w);
}

TEST(a_completed_job_that_is_to_have_more_units_is_whole_again_only_with_them)
{
    begin(1);
    commit(0);
    EXPECT_EQ(progress(), JOBS_PROGRESS_WHOLE);
    EXPECT_EQ(world_resize(&w, job, 3), SH_OK);
    EXPECT_EQ(progress(), JOBS_PROGRESS_WHOLE - 1);
    EXPECT_EQ(world_place(&w, unit(1), 1, 1), SH_OK);
    EXPECT_EQ(world_place(&w, unit(2), 1, 1), SH_OK);
    commit(1);
    EXPECT_EQ(progress(), JOBS_PROGRESS_WHOLE - 1);
    commit(2);
    EXPECT_EQ(progress(), JOBS_PROGRESS_WHOLE);
    world_free(&w);
}

TEST(a_job_that_failed_is_never_whole)
{
    begin(1);
    EXPECT_EQ(say(0, 999), SH_OK);
    EXPECT_EQ(world_fail(&w, unit(0), world_fence(&w, unit(0)), true), SH_OK);
    EXPECT_EQ(progress(), 999);
    world_free(&w);
}
