/* SPDX-License-Identifier: Apache-2.0
 *
 * Placement at its edges: the last slot, the last byte, the last member, the one that is missing.
 */
#include "scene.h"
#include "tst.h"

static struct scene s;

static const struct place_decision *only_decision(void)
{
    EXPECT_EQ(s.out.decision_count, 1);
    return &s.decisions[0];
}

TEST(a_node_without_slots_names_nobody_who_has_them)
{
    scene_init(&s, 2);
    s.nodes[1].slots = 0;
    (void)scene_unit(&s, 7);
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "1:0-16");
    struct place_refusal refusal = scene_refusal(&s, 7, 2);
    EXPECT(refusal.reason == WIRE_REASON_NO_SLOT && refusal.need == 1 && refusal.have == 0);
    EXPECT_EQ(refusal.holder, 0);
}

TEST(a_loss_takes_in_who_is_not_ready_only_where_too_few_are)
{
    scene_init(&s, 5);
    struct place_unit *unit = scene_gang(&s, 7, 1, 2);
    uint8_t ready[1][SH_NODE_ID_BYTES];
    scene_id(ready[0], 5);
    unit->ready = (const uint8_t(*)[SH_NODE_ID_BYTES])ready;
    unit->ready_count = 1;
    unit->need.agents_min = 2;
    s.limits.grow_ready_only = true;
    scene_node(&s, 1)->liveness = PLACE_DEAD;
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "2:0-8 5:8-16"); /* as many as it needs */
    unit->need.agents_min = 3;
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "2:0-4 3:4-8 4:8-12 5:12-16");
    s.limits.grow_ready_only = false;
    unit->need.agents_min = 1;
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "2:0-4 3:4-8 4:8-12 5:12-16");
}

TEST(of_classes_that_as_many_nodes_share_the_lowest_is_taken)
{
    scene_init(&s, 4);
    for (uint32_t i = 1; i <= 4; i++) {
        memset(scene_node(&s, i)->class, i <= 2 ? 0xee : 0xaa, WIRE_CLASS_BYTES);
    }
    (void)scene_unit(&s, 7);
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "3:0-8 4:8-16");
    memset(scene_node(&s, 3)->class, 0xbb, WIRE_CLASS_BYTES);
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "1:0-8 2:8-16"); /* two are more than one */
}

TEST(a_gang_has_no_more_members_than_ranks_and_than_a_gang_may_have)
{
    scene_init(&s, SCENE_NODES);
    struct place_unit *unit = scene_unit(&s, 7);
    unit->need.agents_max = 100;
    scene_plan(&s);
    EXPECT_EQ(only_decision()->placement.member_count, 16);
    struct place_refusal refusal = scene_refusal(&s, 7, 17);
    EXPECT_EQ(refusal.reason, WIRE_REASON_MAX_AGENTS);
    EXPECT(refusal.need == 16 && refusal.have == 16);
    unit->need.ranks = 256;
    scene_plan(&s);
    EXPECT_EQ(only_decision()->placement.member_count, WIRE_MEMBERS_MAX);
}

TEST(a_node_takes_units_until_nothing_it_has_is_left)
{
    scene_init(&s, 1);
    s.nodes[0].slots = 2;
    for (uint64_t job = 7; job <= 8; job++) {
        struct place_unit *unit = scene_unit(&s, job);
        unit->need.cpus = 2;
        unit->need.ram_bytes = UINT64_C(4) << 30; /* half of all there is, each */
    }
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 2);
    s.units[1].need.ram_bytes++;
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 1);
    struct place_refusal refusal = scene_refusal(&s, 8, 1);
    EXPECT_EQ(refusal.reason, WIRE_REASON_TOO_LITTLE_RAM);
    EXPECT_EQ(refusal.need, (UINT64_C(4) << 30) + 1);
    EXPECT_EQ(refusal.have, UINT64_C(4) << 30);
    s.units[1].need.ram_bytes = 0;
    s.units[1].need.cpus = 3;
    scene_plan(&s);
    refusal = scene_refusal(&s, 8, 1);
    EXPECT_EQ(refusal.reason, WIRE_REASON_TOO_FEW_CPUS);
    EXPECT(refusal.need == 3 && refusal.have == 2);
}

TEST(a_machine_that_gives_less_than_its_own_minimum_says_so)
{
    scene_init(&s, 2);
    scene_unit(&s, 7)->wants.commands = true;
    scene_node(&s, 1)->too_weak = true;
    scene_plan(&s);
    EXPECT_EQ(scene_refusal(&s, 7, 1).reason, WIRE_REASON_SANDBOX_MIN);
    EXPECT_EQ(scene_refusal(&s, 7, 2).reason, WIRE_REASON_NO_COMMANDS);
}

TEST(a_draining_member_stays_while_its_gang_would_be_too_small)
{
    scene_init(&s, 3);
    struct place_unit *unit = scene_gang(&s, 7, 1, 3);
    unit->need.agents_min = 2;
    scene_node(&s, 1)->draining = true;
    scene_plan(&s);
    EXPECT_EQ(only_decision()->cause, WIRE_CAUSE_MEMBER_DRAINED);
    EXPECT_STR(scene_members(only_decision()), "2:0-8 3:8-16");
    unit->need.agents_min = 3;
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 0);
}

TEST(members_that_restarted_and_died_at_once_are_a_death)
{
    scene_init(&s, 3);
    struct place_unit *unit = scene_gang(&s, 7, 1, 3);
    scene_report(&s, unit, 1, 1);
    scene_node(&s, 2)->liveness = PLACE_DEAD;
    unit->placed_us = s.in.now_us; /* which waits for nothing */
    scene_plan(&s);
    EXPECT_EQ(only_decision()->cause, WIRE_CAUSE_MEMBER_DEAD);
    EXPECT_STR(scene_members(only_decision()), "1:0-8 3:8-16");
    EXPECT_EQ(scene_refusal(&s, 7, 2).reason, WIRE_REASON_NOT_ALIVE);
    EXPECT_EQ(scene_refusal(&s, 7, 1).reason, WIRE_REASON_NONE);
}

TEST(a_unit_that_waits_for_others_of_its_job_is_not_placed_and_says_for_how_many)
{
    scene_init(&s, 2);
    struct place_unit *u = scene_unit(&s, 1);
    u->awaited = 9;
    u->awaited_open = 2;
    scene_unit(&s, 2);
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 1);
    EXPECT_EQ(s.out.decisions[0].unit.job, 2);
    EXPECT_EQ(s.verdicts[0].reason, WIRE_REASON_NOT_READY);
    EXPECT_EQ(s.verdicts[0].need, 9);
    EXPECT_EQ(s.verdicts[0].have, 7);
    u->awaited_open = 0;
    scene_plan(&s);
    EXPECT_EQ(s.out.decisions[0].unit.job, 1);
}
