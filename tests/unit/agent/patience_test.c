/* SPDX-License-Identifier: Apache-2.0 */
#include "patience.h"

#include "../jobs/world.h"
#include "backlog.h"
#include "tst.h"

#include <string.h>

#define SECOND UINT64_C(1000000)

static struct world w;
static struct wire_unit unit;

static void begin(enum wire_kind kind, const char *spec)
{
    world_init(&w);
    EXPECT_EQ(world_admit(&w, 1, "first"), SH_OK);
    struct jobs_submit *c = world_submit(&w, "job");
    c->kind = kind;
    c->spec = (struct sh_span){.at = (const uint8_t *)spec, .size = strlen(spec)};
    EXPECT_EQ(world_apply(&w), SH_OK);
    unit = (struct wire_unit){.job = w.result.unit.job};
    EXPECT_EQ(world_place(&w, unit, 1, 1), SH_OK);
}

static void checkpoint(uint64_t step, uint64_t cost_us)
{
    EXPECT_EQ(world_checkpoint(&w, unit, world_fence(&w, unit), step, (uint8_t)step), SH_OK);
    /* The same again, with what it cost. */
    w.cmd.u.checkpoint.step = step + 1;
    w.cmd.u.checkpoint.cost_us = cost_us;
    EXPECT_EQ(world_apply(&w), SH_OK);
}

static uint64_t patience(void)
{
    uint64_t us = patience_of_unit(w.t, unit, w.now_us);
    EXPECT_EQ(patience_of_job(w.t, unit.job, w.now_us), us);
    return us;
}

TEST(a_unit_has_several_times_what_its_last_checkpoint_took_within_bounds)
{
    begin(WIRE_KIND_TRAIN, "{}");
    checkpoint(1, 30 * SECOND);
    EXPECT_EQ(patience(), PATIENCE_TIMES * 30 * SECOND);
    checkpoint(3, 5000);
    EXPECT_EQ(patience(), PATIENCE_LEAST_US);
    checkpoint(5, 3600 * SECOND);
    EXPECT_EQ(patience(), PATIENCE_MOST_US);
    checkpoint(7, UINT64_MAX);
    EXPECT_EQ(patience(), PATIENCE_MOST_US);
    checkpoint(9, 0); /* not measured */
    EXPECT_EQ(patience(), PATIENCE_USUAL_US);
    world_free(&w);
}

TEST(a_unit_without_a_checkpoint_has_as_long_as_it_has_worked_within_bounds)
{
    begin(WIRE_KIND_TRAIN, "{}");
    EXPECT_EQ(patience(), PATIENCE_USUAL_US);
    w.now_us += 200 * SECOND;
    EXPECT(patience() >= 200 * SECOND && patience() <= 201 * SECOND);
    w.now_us += 3600 * SECOND;
    EXPECT_EQ(patience(), PATIENCE_MOST_US);
    world_free(&w);
}

TEST(commands_have_their_grace_on_top)
{
    begin(WIRE_KIND_EXEC, "{\"grace\":45}");
    checkpoint(1, SECOND);
    EXPECT_EQ(patience(), PATIENCE_LEAST_US + 45 * SECOND);
    world_free(&w);
}

static bool may_give_way(enum wire_kind kind)
{
    struct backlog *b = backlog_open();
    EXPECT(b != NULL);
    begin(kind, "{}");
    EXPECT_EQ(backlog_collect(b, w.t, w.now_us), 1);
    bool preemptible = backlog_units(b)[0].preemptible;
    backlog_close(b);
    world_free(&w);
    return preemptible;
}

TEST(training_gives_way_before_its_first_checkpoint_and_a_script_does_not)
{
    EXPECT(may_give_way(WIRE_KIND_TRAIN));
    EXPECT(may_give_way(WIRE_KIND_RL));
    EXPECT(!may_give_way(WIRE_KIND_EXEC));
}

TEST(a_unit_that_is_not_there_has_the_usual_time)
{
    begin(WIRE_KIND_TRAIN, "{}");
    struct wire_unit other = {.job = unit.job + 1000};
    EXPECT_EQ(patience_of_unit(w.t, other, w.now_us), PATIENCE_USUAL_US);
    world_free(&w);
}
