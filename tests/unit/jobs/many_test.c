/* SPDX-License-Identifier: Apache-2.0 */
#include "expect.h"

static struct world w;

TEST(many_units_are_placed_and_committed_in_one_entry_each)
{
    struct jobs_unit unit;
    struct jobs_event events[8];
    uint32_t count = 0;
    world_cluster(&w, 2);
    EXPECT_DONE(world_noop(&w, "many", 40));
    uint64_t job = w.index;
    EXPECT_DONE(world_place_many(&w, job, 5, 35, 2));
    struct wire_fence fence = w.result.fence;
    EXPECT_EQ(fence.index, w.index);
    for (uint32_t i = 0; i < 40; i++) {
        EXPECT_EQ(jobs_unit_get(w.t, (struct wire_unit){job, i}, &unit), SH_OK);
        bool in = i >= 5 && i < 35;
        EXPECT_EQ(unit.state, in ? JOBS_RUNNING : JOBS_WAITING);
        EXPECT_EQ(wire_fence_equal(unit.placement.fence, fence), in);
        if (in) {
            EXPECT_EQ(unit.placement.members[0].node[SH_NODE_ID_BYTES - 1], 1 + (i - 5) % 2);
            EXPECT_EQ(unit.placement.members[0].rank_hi, 1);
        }
    }
    jobs_check(w.core, w.t);
    EXPECT_DONE(world_commit_many(&w, job, 5, 35, fence));
    EXPECT_EQ(jobs_unit_get(w.t, (struct wire_unit){job, 20}, &unit), SH_OK);
    EXPECT(unit.state == JOBS_COMPLETED && unit.committed && unit.model_version == 0);
    EXPECT_EQ(jobs_history_list(w.t, job, 0, events, 8, &count), SH_OK);
    EXPECT_EQ(count, 3);
    EXPECT_EQ(events[1].cause, WIRE_CAUSE_PLACED);
    EXPECT_EQ(events[2].cause, WIRE_CAUSE_COMMITTED);
    for (uint32_t i = 1; i < 3; i++) {
        EXPECT_EQ(events[i].unit, 34);
        EXPECT_EQ(events[i].more, 29);
        EXPECT_EQ(events[i].node_count, 2);
    }
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(of_many_units_all_are_placed_or_committed_or_none)
{
    world_cluster(&w, 1);
    EXPECT_DONE(world_noop(&w, "many", 8));
    uint64_t job = w.index;
    EXPECT_DONE(world_pause(&w, job, 0));
    EXPECT_EQ(world_place_many(&w, job, 2, 6, 1), SH_ERR_CONFLICT); /* is paused */
    EXPECT_DONE(world_resume(&w, job));
    EXPECT_DONE(world_place_many(&w, job, 2, 6, 1));
    struct wire_fence fence = w.result.fence;
    EXPECT_EQ(world_place_many(&w, job, 0, 3, 1), SH_ERR_STALE); /* 2 has a gang */
    EXPECT_EQ(world_place_many(&w, job, 6, 9, 1), SH_ERR_NOT_FOUND);
    EXPECT_EQ(world_place_many(&w, job + 1, 0, 1, 1), SH_ERR_NOT_FOUND);
    EXPECT_EQ(world_place_many(&w, job, 0, 2, 2), SH_ERR_NOT_FOUND);  /* no such agent */
    EXPECT_EQ(world_commit_many(&w, job, 1, 4, fence), SH_ERR_STALE); /* 1 waits */
    EXPECT_EQ(world_commit_many(&w, job + 1, 1, 4, fence), SH_ERR_NOT_FOUND);
    fence.index++;
    EXPECT_EQ(world_commit_many(&w, job, 2, 4, fence), SH_ERR_STALE);
    fence.index--;
    EXPECT_DONE(world_commit_many(&w, job, 2, 4, fence));
    EXPECT_EQ(world_commit_many(&w, job, 3, 6, fence), SH_ERR_CONFLICT); /* 3 has ended */
    EXPECT_DONE(world_stop(&w, job));
    EXPECT_EQ(world_commit_many(&w, job, 4, 6, fence), SH_ERR_CONFLICT); /* are stopping */
    EXPECT_EQ(world_place_many(&w, job, 0, 2, 1), SH_ERR_CONFLICT);
    EXPECT_DONE(world_train(&w, "gang"));
    EXPECT_DONE(world_place_many(&w, w.index, 0, 1, 1));
    uint64_t gang = w.result.unit.job;
    EXPECT_EQ(world_commit_many(&w, gang, 0, 1, w.result.fence), SH_ERR_INVALID); /* has a result */
    struct jobs_submit *two = world_submit(&w, "two");
    two->need.agents_min = 2;
    EXPECT_DONE(world_apply(&w));
    EXPECT_EQ(world_place_many(&w, w.index, 0, 1, 1), SH_ERR_INVALID);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(placements_go_together_that_are_alike_and_in_order)
{
    static struct jobs_place_many many;
    struct jobs_place place = {.unit = {.job = 9, .unit = 4}, .cause = WIRE_CAUSE_PLACED};
    place.member_count = 1;
    many = (struct jobs_place_many){0};
    for (uint32_t i = 0; i < 7; i++) {
        struct jobs_place other = place;
        other.unit.unit = i == 0 ? 4 : 5;
        other.unit.job += i == 1;
        other.previous.index = i == 2;
        other.mixed = i == 3;
        other.member_count += i == 4;
        other.class[0] = i == 5;
        other.cause = i == 6 ? WIRE_CAUSE_GROWN : WIRE_CAUSE_PLACED;
        EXPECT_EQ(jobs_many_add(&many, &other), i == 0);
    }
    EXPECT(!jobs_many_add(&many, &place)); /* is in */
    for (uint32_t i = 1; i < WIRE_MEMBERS_MAX; i++) {
        place.unit.unit = 4 + i;
        place.members[0].node[0] = (uint8_t)i;
        EXPECT(jobs_many_add(&many, &place));
    }
    EXPECT_EQ(many.node_count, WIRE_MEMBERS_MAX);
    place.unit.unit = 100;
    place.members[0].node[0] = WIRE_MEMBERS_MAX;
    EXPECT(!jobs_many_add(&many, &place));
    place.members[0].node[0] = 3;
    for (; many.count < JOBS_MANY_MAX; place.unit.unit++) {
        EXPECT(jobs_many_add(&many, &place));
        EXPECT_EQ(many.at[many.count - 1], 3);
    }
    EXPECT(!jobs_many_add(&many, &place));
    EXPECT_EQ(many.node_count, WIRE_MEMBERS_MAX);
}
