/* SPDX-License-Identifier: Apache-2.0
 *
 * Failures as they stand in the tables: where a unit failed, when it is tried again, and what that
 * says about agents. */
#include "tst.h"
#include "world.h"

static struct world w;

static void open_world(void)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    world_init(&w);
    w.now_us = UINT64_C(1000000000000);
    for (unsigned i = 0; i < SH_COUNT(names); i++) {
        EXPECT_EQ(world_admit(&w, i + 1, names[i]), SH_OK);
    }
}

static struct wire_unit submit(uint8_t retries)
{
    struct jobs_submit *c = world_submit(&w, "job");
    c->retries = retries;
    EXPECT_EQ(world_apply(&w), SH_OK);
    return w.result.unit;
}

/* The unit runs on one agent and fails there. */
static void fail_on(struct wire_unit unit, unsigned node)
{
    w.now_us += 1000000;
    EXPECT_EQ(world_place(&w, unit, node, 1), SH_OK);
    EXPECT_EQ(world_fail(&w, unit, world_fence(&w, unit), false), SH_OK);
    jobs_check(w.core, w.t);
}

static void commit_on(struct wire_unit unit, unsigned node)
{
    w.now_us += 1000000;
    EXPECT_EQ(world_place(&w, unit, node, 1), SH_OK);
    EXPECT_EQ(world_commit(&w, unit, world_fence(&w, unit), 1, false), SH_OK);
    jobs_check(w.core, w.t);
}

static struct jobs_health health_of(unsigned node)
{
    uint8_t id[SH_NODE_ID_BYTES];
    struct jobs_health h = {0};
    world_node(id, node);
    enum sh_err err = jobs_health_get(w.t, id, &h);
    EXPECT(err == SH_OK || err == SH_ERR_NOT_FOUND);
    return h;
}

TEST(a_unit_that_failed_waits_and_its_rows_say_where_it_failed)
{
    struct jobs_trouble t;
    uint8_t id[SH_NODE_ID_BYTES];
    open_world();
    struct wire_unit unit = submit(5);
    EXPECT_EQ(jobs_trouble_get(w.t, unit, &t), SH_ERR_NOT_FOUND);
    fail_on(unit, 2);
    EXPECT_EQ(jobs_trouble_get(w.t, unit, &t), SH_OK);
    EXPECT_EQ(t.count, 1);
    world_node(id, 2);
    EXPECT_MEM(t.failures[0].node, id, sizeof id);
    EXPECT_EQ(t.not_before_us, w.now_us + jobs_backoff_us(unit, 1));
    commit_on(unit, 1);
    EXPECT_EQ(jobs_trouble_get(w.t, unit, &t), SH_ERR_NOT_FOUND); /* nothing is left of it */
    world_free(&w);
}

TEST(the_same_failure_on_three_agents_ends_the_unit_and_blames_none)
{
    open_world();
    struct wire_unit unit = submit(100);
    fail_on(unit, 1);
    fail_on(unit, 1);
    fail_on(unit, 2);
    EXPECT_EQ(world_unit_state(&w, unit), JOBS_WAITING);
    fail_on(unit, 3);
    EXPECT_EQ(world_unit_state(&w, unit), JOBS_FAILED);
    for (unsigned node = 1; node <= 3; node++) {
        EXPECT_EQ(health_of(node).score_milli, 0);
    }
    world_free(&w);
}

TEST(a_failure_counts_once_the_unit_is_committed_elsewhere)
{
    open_world();
    struct wire_unit unit = submit(5);
    fail_on(unit, 1);
    EXPECT_EQ(health_of(1).score_milli, 0);
    commit_on(unit, 2);
    EXPECT_EQ(health_of(1).score_milli, JOBS_BLAME_MILLI);
    EXPECT_EQ(health_of(2).score_milli, 0);
    struct wire_unit second = submit(5); /* what it failed and completed itself says nothing */
    fail_on(second, 3);
    commit_on(second, 3);
    EXPECT_EQ(health_of(3).score_milli, 0);
    world_free(&w);
}

TEST(an_agent_where_several_jobs_fail_goes_into_quarantine_and_is_tried_again)
{
    open_world();
    for (uint32_t i = 0; i < 4; i++) {
        fail_on(submit(5), 1);
    }
    struct jobs_health h = health_of(1);
    EXPECT(jobs_health_quarantined(&h, w.now_us));
    EXPECT_EQ(h.until_us, w.now_us + JOBS_QUARANTINE_US);
    EXPECT_EQ(world_mark(&w, 1, JOBS_MARK_FIT), SH_ERR_CONFLICT); /* not yet */
    w.now_us = h.until_us - 1;
    EXPECT_EQ(world_mark(&w, 1, JOBS_MARK_PAROLE), SH_OK);
    EXPECT_EQ(world_mark(&w, 1, JOBS_MARK_FIT), SH_OK);
    EXPECT_EQ(world_mark(&w, 2, JOBS_MARK_PAROLE), SH_ERR_CONFLICT);
    EXPECT_EQ(w.result.code, JOBS_CODE_NOT_QUARANTINED);
    commit_on(submit(5), 1);
    h = health_of(1);
    EXPECT(jobs_health_on_trial(&h, w.now_us));
    commit_on(submit(5), 1);
    EXPECT_EQ(health_of(1).trial, 0);
    world_free(&w);
}

TEST(of_a_gang_the_member_that_failed_is_to_blame)
{
    struct jobs_trouble t;
    uint8_t id[SH_NODE_ID_BYTES];
    open_world();
    for (uint32_t i = 0; i < 4; i++) {
        struct wire_unit unit = submit(5);
        EXPECT_EQ(world_place(&w, unit, 1, 3), SH_OK);
        EXPECT_EQ(world_fail_at(&w, unit, world_fence(&w, unit), 2), SH_OK);
        EXPECT_EQ(jobs_trouble_get(w.t, unit, &t), SH_OK);
        EXPECT_EQ(t.count, 1);
        world_node(id, 2);
        EXPECT_MEM(t.failures[0].node, id, sizeof id);
    }
    struct jobs_health h = health_of(2);
    EXPECT(jobs_health_quarantined(&h, w.now_us));
    EXPECT_EQ(health_of(1).score_milli, 0);
    EXPECT_EQ(health_of(3).score_milli, 0);
    struct wire_unit unit = submit(5); /* one that is no member is nobody */
    EXPECT_EQ(world_place(&w, unit, 1, 3), SH_OK);
    EXPECT_EQ(world_fail_at(&w, unit, world_fence(&w, unit), 5), SH_OK);
    EXPECT_EQ(jobs_trouble_get(w.t, unit, &t), SH_OK);
    EXPECT_EQ(t.count, 0);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(of_a_gang_that_failed_nobody_is_to_blame_and_it_waits_all_the_same)
{
    struct jobs_trouble t;
    open_world();
    struct wire_unit unit = submit(5);
    EXPECT_EQ(world_place(&w, unit, 1, 3), SH_OK);
    EXPECT_EQ(world_fail(&w, unit, world_fence(&w, unit), false), SH_OK);
    EXPECT_EQ(jobs_trouble_get(w.t, unit, &t), SH_OK);
    EXPECT_EQ(t.count, 0);
    EXPECT(t.not_before_us > w.now_us);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(with_an_agent_its_health_goes)
{
    open_world();
    fail_on(submit(5), 4);
    EXPECT(health_of(4).suspect_job != 0);
    EXPECT_EQ(world_remove(&w, 4), SH_OK);
    EXPECT_EQ(health_of(4).suspect_job, 0);
    jobs_check(w.core, w.t);
    world_free(&w);
}
