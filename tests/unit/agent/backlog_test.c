/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog.h"

#include "tst.h"
#include "../jobs/world.h"

#include <stdio.h>

static struct world w;
static struct backlog *b;

static void open_all(void)
{
    world_init(&w);
    EXPECT_EQ(world_admit(&w, 1, "first"), SH_OK);
    b = backlog_open();
    EXPECT(b != NULL);
}

static void close_all(void)
{
    backlog_close(b);
    world_free(&w);
}

static uint64_t submit(uint32_t units)
{
    EXPECT_EQ(world_noop(&w, "job", units), SH_OK);
    return w.result.unit.job;
}

TEST(gangs_come_before_what_waits)
{
    open_all();
    uint64_t old = submit(1);
    uint64_t new = submit(1);
    EXPECT_EQ(world_place(&w, (struct wire_unit){.job = new}, 1, 1), SH_OK);
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), 2);
    EXPECT_EQ(backlog_units(b)[0].unit.job, new);
    EXPECT(backlog_units(b)[0].running);
    EXPECT_EQ(backlog_units(b)[1].unit.job, old);
    EXPECT(!backlog_units(b)[1].running);
    close_all();
}

TEST(a_job_with_many_units_does_not_hide_later_jobs)
{
    open_all();
    submit(BACKLOG_JOB_UNITS_MAX + 100);
    uint64_t later = submit(1);
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), BACKLOG_JOB_UNITS_MAX + 1);
    EXPECT_EQ(backlog_units(b)[BACKLOG_JOB_UNITS_MAX].unit.job, later);
    close_all();
}

TEST(a_queue_longer_than_a_pass_is_looked_at_part_by_part_and_gangs_every_time)
{
    open_all();
    uint64_t running = submit(1);
    EXPECT_EQ(world_place(&w, (struct wire_unit){.job = running}, 1, 1), SH_OK);
    uint64_t first = submit(1);
    for (uint32_t i = 1; i < BACKLOG_UNITS_MAX; i++) {
        submit(1);
    }
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), BACKLOG_UNITS_MAX);
    EXPECT_EQ(backlog_units(b)[1].unit.job, first);
    uint64_t last = backlog_units(b)[BACKLOG_UNITS_MAX - 1].unit.job;
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), 2);
    EXPECT_EQ(backlog_units(b)[0].unit.job, running);
    EXPECT(backlog_units(b)[1].unit.job > last);
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), BACKLOG_UNITS_MAX);
    EXPECT_EQ(backlog_units(b)[1].unit.job, first);
    backlog_again(b); /* some were taken: the oldest again */
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), BACKLOG_UNITS_MAX);
    EXPECT_EQ(backlog_units(b)[1].unit.job, first);
    close_all();
}

TEST(a_unit_that_lost_its_gang_is_found_again_behind_jobs_that_ended)
{
    open_all();
    struct wire_unit early = {.job = submit(1)};
    struct wire_unit late = {.job = submit(1)};
    EXPECT_EQ(world_place(&w, early, 1, 1), SH_OK);
    EXPECT_EQ(world_place(&w, late, 1, 1), SH_OK);
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), 2);
    EXPECT_EQ(world_commit(&w, late, world_fence(&w, late), 0, false), SH_OK);
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), 1);
    EXPECT_EQ(world_expire(&w, early, world_fence(&w, early)), SH_OK);
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), 1);
    EXPECT_EQ(backlog_units(b)[0].unit.job, early.job);
    EXPECT(!backlog_units(b)[0].running);
    close_all();
}

TEST(units_of_more_data_sets_than_a_pass_tells_apart_wait)
{
    open_all();
    for (uint32_t i = 0; i < PLACE_DATASETS_MAX + 2; i++) {
        struct jobs_submit *s = world_submit(&w, "job");
        (void)snprintf(s->need.dataset, sizeof s->need.dataset, "set-%u", i);
        EXPECT_EQ(world_apply(&w), SH_OK);
    }
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), PLACE_DATASETS_MAX);
    EXPECT_EQ(backlog_datasets(b)->count, PLACE_DATASETS_MAX);
    EXPECT_STR(backlog_datasets(b)->at[PLACE_DATASETS_MAX - 1], "set-63");
    close_all();
}

static uint64_t submit_for(const char *owner, const char *conditions)
{
    struct jobs_submit *c = world_submit(&w, "job");
    (void)snprintf(c->owner, sizeof c->owner, "%s", owner);
    (void)snprintf(c->need.conditions, sizeof c->need.conditions, "%s", conditions);
    c->need.cpus = 2;
    c->need.gpus = 3;
    c->need.gpu_bytes = 4;
    c->need.disk_bytes = 5;
    c->need.per_node_max = 6;
    c->need.spread = WIRE_SPREAD_PACK;
    EXPECT_EQ(world_apply(&w), SH_OK);
    return w.result.unit.job;
}

TEST(what_a_unit_needs_of_agents_is_what_its_job_says)
{
    struct place_condition want;
    open_all();
    submit_for("", "zone!=attic;disk=nvme");
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), 1);
    const struct place_wants *wants = &backlog_units(b)[0].wants;
    EXPECT_EQ(wants->gpus, 3);
    EXPECT_EQ(wants->gpu_bytes, 4);
    EXPECT_EQ(wants->disk_bytes, 5);
    EXPECT_EQ(wants->per_node_max, 6);
    EXPECT_EQ(wants->spread, WIRE_SPREAD_PACK);
    EXPECT_EQ(wants->condition_count, 2);
    EXPECT_EQ(place_condition_parse("disk=nvme", &want), SH_OK);
    EXPECT(place_condition_equal(&wants->conditions[1], &want));
    EXPECT(!wants->predict);
    close_all();
}

TEST(a_condition_that_this_program_does_not_know_holds_nowhere)
{
    static const struct place_label any = {.key = 1};
    open_all();
    submit_for("", "zone ~ attic");
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), 1);
    const struct place_wants *wants = &backlog_units(b)[0].wants;
    EXPECT_EQ(wants->condition_count, 1);
    EXPECT(!place_condition_holds(&wants->conditions[0], &any, 1));
    close_all();
}

TEST(owners_are_told_apart_with_their_usage_and_quota)
{
    open_all();
    struct wire_unit unit = {.job = submit_for("ada", "")};
    EXPECT_EQ(world_place(&w, unit, 1, 1), SH_OK);
    w.now_us += 1000000;
    EXPECT_EQ(world_expire(&w, unit, world_fence(&w, unit)), SH_OK);
    submit_for("bob", "");
    submit_for("", "");
    submit_for("ada", "");
    EXPECT_EQ(world_set(&w, "quota.bob", false, 7), SH_OK);
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), 4);
    const struct place_unit *units = backlog_units(b);
    EXPECT_EQ(backlog_owner_count(b), 2);
    EXPECT_EQ(units[0].owner, units[3].owner);
    EXPECT(units[0].owner != units[1].owner);
    EXPECT_EQ(units[2].owner, UINT32_MAX);
    EXPECT_EQ(backlog_owners(b)[units[0].owner].usage, 1000 * (2 + 3 * 16));
    EXPECT_EQ(backlog_owners(b)[units[0].owner].quota, 0);
    EXPECT_EQ(backlog_owners(b)[units[1].owner].usage, 0);
    EXPECT_EQ(backlog_owners(b)[units[1].owner].quota, 7);
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), 4); /* each pass anew */
    EXPECT_EQ(backlog_owner_count(b), 2);
    close_all();
}

TEST(units_that_wait_for_others_of_their_sweep_say_so_and_take_no_room)
{
    open_all();
    struct jobs_submit *c = world_submit(&w, "sweep");
    c->units = BACKLOG_JOB_UNITS_MAX + 102;
    c->stage_count = 3;
    c->stages[1] = (struct jobs_stage){.first = 1, .after = true};
    c->stages[2] = (struct jobs_stage){.first = 101};
    EXPECT_EQ(world_apply(&w), SH_OK);
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), BACKLOG_JOB_UNITS_MAX + 100);
    const struct place_unit *units = backlog_units(b);
    EXPECT_EQ(units[0].awaited_open, 0);
    EXPECT_EQ(units[1].awaited, 1);
    EXPECT_EQ(units[1].awaited_open, 1);
    EXPECT_EQ(units[100].awaited_open, 1);
    EXPECT_EQ(units[101].awaited_open, 0);
    close_all();
}
