/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "scene.h"
#include "tst.h"

static struct scene s;

static const struct place_decision *only_decision(void)
{
    EXPECT_EQ(s.out.decision_count, 1);
    return &s.decisions[0];
}

TEST(a_waiting_unit_gets_every_node_that_fits)
{
    scene_init(&s, 3);
    (void)scene_unit(&s, 7);
    scene_plan(&s);
    const struct place_decision *d = only_decision();
    EXPECT_EQ(d->action, PLACE_ACTION_PLACE);
    EXPECT_EQ(d->unit.job, 7);
    EXPECT_EQ(d->cause, WIRE_CAUSE_PLACED);
    EXPECT(wire_fence_none(d->previous));
    EXPECT_STR(scene_members(d), "1:0-4 2:4-10 3:10-16");
    EXPECT_EQ(s.verdicts[0].reason, WIRE_REASON_NONE);
    EXPECT_EQ(s.out.refusal_count, 0);
}

TEST(ranks_follow_the_measured_speed)
{
    scene_init(&s, 3);
    scene_node(&s, 2)->speed = 2000; /* the others count as 1000 */
    (void)scene_unit(&s, 7);
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "1:0-4 2:4-12 3:12-16");
}

TEST(a_gang_is_placed_whole_or_not_at_all)
{
    scene_init(&s, 3);
    scene_node(&s, 3)->liveness = PLACE_DEAD;
    scene_unit(&s, 7)->need.agents_min = 3;
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 0);
    EXPECT_EQ(s.verdicts[0].reason, WIRE_REASON_MIN_AGENTS);
    EXPECT_EQ(s.verdicts[0].need, 3);
    EXPECT_EQ(s.verdicts[0].have, 2);
    EXPECT_EQ(scene_refusal(&s, 7, 1).reason, WIRE_REASON_NONE);
    EXPECT_EQ(scene_refusal(&s, 7, 3).reason, WIRE_REASON_NOT_ALIVE);
}

struct obstacle {
    enum wire_reason reason;
    uint64_t need;
    uint64_t have;
};

static void hinder(enum wire_reason reason, struct place_node *node, struct place_unit *unit)
{
    struct place_unit *other = NULL;
    node->liveness = reason == WIRE_REASON_NOT_ALIVE ? PLACE_SUSPECT : node->liveness;
    node->liveness = reason == WIRE_REASON_LEFT ? PLACE_LEFT : node->liveness;
    node->draining = reason == WIRE_REASON_DRAINING;
    if (reason == WIRE_REASON_VERSION_DIFFERS) {
        node->version[0] = '9';
    } else if (reason == WIRE_REASON_CLASS_DIFFERS) {
        node->class[0] ^= 1;
    } else if (reason == WIRE_REASON_NO_DATASET) {
        unit->dataset = 5;
        s.nodes[0].datasets = UINT64_C(1) << 5;
    } else if (reason == WIRE_REASON_TOO_FEW_CPUS) {
        unit->need.cpus = 4;
        node->cpus = 3;
    } else if (reason == WIRE_REASON_TOO_LITTLE_RAM) {
        unit->need.ram_bytes = 1000;
        node->ram_bytes = 999;
    } else if (reason == WIRE_REASON_NO_SLOT) {
        other = scene_gang(&s, 3, 2, 1);
        other->need.agents_max = 1;
    } else if (reason == WIRE_REASON_MAX_AGENTS) {
        unit->need.agents_max = 1;
    }
}

static const struct obstacle obstacles[] = {
    {WIRE_REASON_NOT_ALIVE, PLACE_ALIVE, PLACE_SUSPECT},
    {WIRE_REASON_LEFT, 0, 0},
    {WIRE_REASON_DRAINING, 0, 0},
    {WIRE_REASON_VERSION_DIFFERS, 0, 0},
    {WIRE_REASON_CLASS_DIFFERS, 0, 0},
    {WIRE_REASON_NO_DATASET, 0, 0},
    {WIRE_REASON_TOO_FEW_CPUS, 4, 3},
    {WIRE_REASON_TOO_LITTLE_RAM, 1000, 999},
    {WIRE_REASON_NO_SLOT, 1, 0},
    {WIRE_REASON_MAX_AGENTS, 1, 1},
};

TEST_ROWS(a_node_that_does_not_fit_is_left_out_and_the_reason_given, obstacles)
{
    const struct obstacle *o = &obstacles[tst_row];
    scene_init(&s, 2);
    struct place_unit *unit = scene_unit(&s, 7);
    unit->pinned = true;
    memset(unit->class, 0xc1, sizeof unit->class);
    hinder(o->reason, scene_node(&s, 2), unit);
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "1:0-16");
    struct place_refusal refusal = scene_refusal(&s, 7, 2);
    EXPECT_STR(place_reason_name(refusal.reason), place_reason_name(o->reason));
    EXPECT_EQ(refusal.need, o->need);
    EXPECT_EQ(refusal.have, o->have);
    EXPECT_EQ(refusal.holder, o->reason == WIRE_REASON_NO_SLOT ? 3 : 0);
    EXPECT_EQ(scene_refusal(&s, 7, 1).reason, WIRE_REASON_NONE);
}

TEST(every_reason_has_a_name_and_a_sentence)
{
    for (uint32_t i = 0; i < WIRE_REASON_COUNT; i++) {
        EXPECT(strlen(place_reason_name(i)) > 0 && strlen(place_reason_text(i)) > 0);
    }
    EXPECT_STR(place_reason_name(WIRE_REASON_COUNT), "UNKNOWN");
    EXPECT_STR(place_reason_text(WIRE_REASON_COUNT), "?");
}

TEST(an_unpinned_job_takes_the_class_that_most_nodes_share)
{
    scene_init(&s, 5);
    for (uint32_t i = 3; i <= 5; i++) {
        memset(scene_node(&s, i)->class, 0xee, WIRE_CLASS_BYTES);
    }
    (void)scene_unit(&s, 7);
    scene_plan(&s);
    const struct place_decision *d = only_decision();
    EXPECT_STR(scene_members(d), "3:0-4 4:4-10 5:10-16");
    EXPECT_EQ(d->placement.class[0], 0xee);
    EXPECT(!d->placement.mixed);
    EXPECT_EQ(scene_refusal(&s, 7, 1).reason, WIRE_REASON_CLASS_DIFFERS);
}

TEST(a_job_of_any_arithmetic_mixes_classes_and_says_so)
{
    scene_init(&s, 2);
    scene_node(&s, 2)->class[0] = 0xee;
    scene_unit(&s, 7)->need.arithmetic = WIRE_ARITHMETIC_ANY;
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "1:0-8 2:8-16");
    EXPECT(s.decisions[0].placement.mixed);
}

TEST(jobs_come_by_priority_then_by_id)
{
    scene_init(&s, 1);
    (void)scene_unit(&s, 9);
    (void)scene_unit(&s, 8);
    scene_unit(&s, 12)->priority = 1;
    scene_plan(&s);
    EXPECT_EQ(only_decision()->unit.job, 12);
    EXPECT_EQ(s.verdicts[0].reason, WIRE_REASON_MIN_AGENTS);
    EXPECT_EQ(scene_refusal(&s, 8, 1).holder, 12);
    s.units[2].priority = 0;
    scene_plan(&s);
    EXPECT_EQ(only_decision()->unit.job, 8);
}

TEST(slots_cores_and_memory_are_never_given_twice)
{
    scene_init(&s, 1);
    s.nodes[0].slots = 3;
    for (uint64_t job = 1; job <= 4; job++) {
        struct place_unit *unit = scene_unit(&s, job);
        unit->need.cpus = 2;
    }
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 2); /* four cores */
    struct place_refusal refusal = scene_refusal(&s, 3, 1);
    EXPECT_EQ(refusal.reason, WIRE_REASON_TOO_FEW_CPUS);
    EXPECT_EQ(refusal.have, 0);
    for (uint32_t i = 0; i < 4; i++) {
        s.units[i].need.cpus = 1;
        s.units[i].need.ram_bytes = UINT64_C(3) << 30;
    }
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 2);
    EXPECT_EQ(scene_refusal(&s, 3, 1).reason, WIRE_REASON_TOO_LITTLE_RAM);
    EXPECT_EQ(scene_refusal(&s, 3, 1).have, UINT64_C(2) << 30);
    for (uint32_t i = 0; i < 4; i++) {
        s.units[i].need.ram_bytes = 0;
    }
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 3);
    EXPECT_EQ(scene_refusal(&s, 4, 1).reason, WIRE_REASON_NO_SLOT);
}

TEST(the_less_used_then_the_faster_nodes_are_taken)
{
    scene_init(&s, 4);
    for (uint32_t i = 0; i < 4; i++) {
        s.nodes[i].slots = 2;
    }
    struct place_unit *busy = scene_gang(&s, 1, 1, 1);
    busy->need.agents_max = 1;
    scene_node(&s, 4)->speed = 1500;
    scene_unit(&s, 7)->need.agents_max = 2;
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "2:0-6 4:6-16");
}

struct loss {
    const char *what;
    enum place_liveness liveness;
    bool reported;
    enum wire_cause cause; /* NONE: nothing happens */
};

static const struct loss losses[] = {
    {"dead", PLACE_DEAD, false, WIRE_CAUSE_MEMBER_DEAD},
    {"left", PLACE_LEFT, false, WIRE_CAUSE_MEMBER_LEFT},
    {"suspected", PLACE_SUSPECT, false, WIRE_CAUSE_NONE},
    {"suspected and reported", PLACE_SUSPECT, true, WIRE_CAUSE_MEMBER_LOST},
    {"reported only", PLACE_ALIVE, true, WIRE_CAUSE_NONE},
};

TEST_ROWS(a_gang_that_lost_a_member_is_placed_anew_in_its_order, losses)
{
    const struct loss *loss = &losses[tst_row];
    scene_init(&s, 4);
    struct place_unit *unit = scene_gang(&s, 7, 1, 3);
    unit->need.agents_max = 3;
    scene_node(&s, 1)->liveness = loss->liveness;
    if (loss->reported) {
        scene_report(&s, unit, 3, 1);
    }
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, loss->cause == WIRE_CAUSE_NONE ? 0 : 1);
    if (loss->cause != WIRE_CAUSE_NONE) {
        const struct place_decision *d = only_decision();
        EXPECT_EQ(d->cause, loss->cause);
        EXPECT(wire_fence_equal(d->previous, unit->fence));
        EXPECT_STR(scene_members(d), "2:0-4 3:4-10 4:10-16");
        EXPECT(scene_refusal(&s, 7, 1).reason != WIRE_REASON_NONE);
    }
    s.in.losses_from_us = s.in.now_us + 1;
    scene_plan(&s);
    bool at_once = loss->liveness == PLACE_LEFT || loss->cause == WIRE_CAUSE_MEMBER_LOST;
    EXPECT_EQ(s.out.decision_count, at_once ? 1 : 0);
}

TEST(reports_count_only_from_live_members_of_this_very_gang)
{
    scene_init(&s, 4);
    struct place_unit *unit = scene_gang(&s, 7, 1, 3);
    unit->need.agents_max = 3;
    scene_node(&s, 1)->liveness = PLACE_SUSPECT;
    scene_report(&s, unit, 4, 1); /* no member */
    scene_report(&s, unit, 2, 1);
    s.reports[1].fence.index--; /* an older gang */
    scene_report(&s, unit, 2, 1);
    s.reports[2].unit.unit = 1; /* another unit */
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 0);
    scene_report(&s, unit, 3, 1);
    scene_node(&s, 3)->liveness = PLACE_SUSPECT; /* silent itself */
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 0);
    scene_node(&s, 3)->liveness = PLACE_ALIVE;
    scene_plan(&s);
    EXPECT_EQ(only_decision()->cause, WIRE_CAUSE_MEMBER_LOST);
    EXPECT_EQ(scene_refusal(&s, 7, 1).reason, WIRE_REASON_LOST);
}

TEST(a_member_without_a_record_counts_as_dead_once_all_are_heard)
{
    scene_init(&s, 2);
    struct place_unit *unit = scene_gang(&s, 7, 2, 2); /* node 3 is unknown */
    unit->need.agents_max = 2;
    s.in.losses_from_us = s.in.now_us + 1;
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 0);
    s.in.losses_from_us = 0;
    scene_plan(&s);
    EXPECT_EQ(only_decision()->cause, WIRE_CAUSE_MEMBER_DEAD);
    EXPECT_STR(scene_members(only_decision()), "2:0-8 1:8-16");
}

TEST(a_gang_below_its_minimum_expires)
{
    scene_init(&s, 2);
    struct place_unit *unit = scene_gang(&s, 7, 1, 2);
    unit->need.agents_min = 2;
    scene_node(&s, 2)->liveness = PLACE_DEAD;
    scene_plan(&s);
    const struct place_decision *d = only_decision();
    EXPECT_EQ(d->action, PLACE_ACTION_EXPIRE);
    EXPECT_EQ(d->cause, WIRE_CAUSE_TOO_FEW_AGENTS);
    EXPECT(wire_fence_equal(d->previous, unit->fence));
    EXPECT_EQ(d->placement.member_count, 0);
    EXPECT_EQ(s.verdicts[0].reason, WIRE_REASON_MIN_AGENTS);
    EXPECT_EQ(s.verdicts[0].have, 1);
}

TEST(what_an_expired_gang_used_is_free_for_others_at_once)
{
    scene_init(&s, 2);
    struct place_unit *unit = scene_gang(&s, 7, 1, 2);
    unit->need.agents_min = 2;
    (void)scene_unit(&s, 8);
    scene_node(&s, 2)->liveness = PLACE_DEAD;
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 2);
    EXPECT_EQ(s.decisions[1].unit.job, 8);
    EXPECT_STR(scene_members(&s.decisions[1]), "1:0-16");
}

TEST(a_gang_grows_after_a_pause_and_new_members_come_behind)
{
    scene_init(&s, 4);
    struct place_unit *unit = scene_gang(&s, 7, 3, 1);
    unit->placed_us = s.in.now_us - 1999999;
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 0);
    struct place_refusal refusal = scene_refusal(&s, 7, 1);
    EXPECT_EQ(refusal.reason, WIRE_REASON_TOO_SOON);
    EXPECT_EQ(refusal.need, 2000000);
    EXPECT_EQ(refusal.have, 1999999);
    unit->placed_us--;
    scene_plan(&s);
    EXPECT_EQ(only_decision()->cause, WIRE_CAUSE_GROWN);
    EXPECT_STR(scene_members(only_decision()), "3:0-4 1:4-8 2:8-12 4:12-16");
}

TEST(a_loss_does_not_wait_for_the_pause)
{
    scene_init(&s, 3);
    struct place_unit *unit = scene_gang(&s, 7, 1, 2);
    unit->placed_us = s.in.now_us;
    scene_node(&s, 1)->liveness = PLACE_DEAD;
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "2:0-8 3:8-16");
}

TEST(a_gang_does_not_grow_while_a_member_is_suspected)
{
    scene_init(&s, 3);
    (void)scene_gang(&s, 7, 1, 2);
    scene_node(&s, 2)->liveness = PLACE_SUSPECT;
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 0);
    scene_node(&s, 2)->liveness = PLACE_ALIVE;
    scene_plan(&s);
    EXPECT_EQ(only_decision()->cause, WIRE_CAUSE_GROWN);
}

TEST(waiting_units_come_before_running_ones_grow)
{
    scene_init(&s, 3);
    (void)scene_gang(&s, 7, 1, 2);
    (void)scene_unit(&s, 8);
    scene_plan(&s);
    EXPECT_EQ(only_decision()->unit.job, 8);
    EXPECT_STR(scene_members(only_decision()), "3:0-16");
    EXPECT_EQ(scene_refusal(&s, 7, 3).reason, WIRE_REASON_NO_SLOT);
    EXPECT_EQ(scene_refusal(&s, 7, 3).holder, 8);
}

TEST(a_restarted_member_gets_its_gang_anew_but_not_at_once)
{
    scene_init(&s, 2);
    struct place_unit *unit = scene_gang(&s, 7, 1, 2);
    scene_report(&s, unit, 2, 2);
    unit->placed_us = s.in.now_us - 999999;
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 0);
    unit->placed_us--;
    scene_plan(&s);
    EXPECT_EQ(only_decision()->cause, WIRE_CAUSE_RENEWED);
    EXPECT_STR(scene_members(only_decision()), "1:0-8 2:8-16");
}

TEST(a_member_that_came_back_with_another_class_is_left_out)
{
    scene_init(&s, 2);
    (void)scene_gang(&s, 7, 1, 2);
    scene_node(&s, 2)->class[0] ^= 1;
    scene_plan(&s);
    EXPECT_EQ(only_decision()->cause, WIRE_CAUSE_MEMBER_LOST);
    EXPECT_STR(scene_members(only_decision()), "1:0-16");
    EXPECT_EQ(scene_refusal(&s, 7, 2).reason, WIRE_REASON_CLASS_DIFFERS);
}

TEST(a_draining_member_goes_when_enough_others_are_there)
{
    scene_init(&s, 3);
    struct place_unit *unit = scene_gang(&s, 7, 1, 2);
    unit->need.agents_min = 2;
    unit->need.agents_max = 2;
    scene_node(&s, 1)->draining = true;
    scene_plan(&s);
    EXPECT_EQ(only_decision()->cause, WIRE_CAUSE_MEMBER_DRAINED);
    EXPECT_STR(scene_members(only_decision()), "2:0-8 3:8-16");
    scene_node(&s, 3)->liveness = PLACE_DEAD;
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 0);
}

TEST(a_draining_member_still_helps_out_when_another_dies)
{
    scene_init(&s, 3);
    struct place_unit *unit = scene_gang(&s, 7, 1, 3);
    unit->need.agents_min = 2;
    scene_node(&s, 1)->draining = true;
    scene_node(&s, 2)->liveness = PLACE_DEAD;
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "1:0-8 3:8-16");
}

TEST(a_stopping_gang_expires_when_its_first_member_is_gone)
{
    scene_init(&s, 3);
    struct place_unit *unit = scene_gang(&s, 7, 1, 2);
    unit->running = false;
    unit->stopping = true;
    scene_node(&s, 2)->liveness = PLACE_DEAD;
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 0);
    EXPECT_EQ(s.verdicts[0].reason, WIRE_REASON_STOPPING);
    scene_node(&s, 1)->liveness = PLACE_DEAD;
    scene_plan(&s);
    EXPECT_EQ(only_decision()->action, PLACE_ACTION_EXPIRE);
    scene_node(&s, 1)->liveness = PLACE_ALIVE;
    scene_report(&s, unit, 1, 1);
    scene_plan(&s);
    EXPECT_EQ(only_decision()->action, PLACE_ACTION_EXPIRE);
}

TEST(with_readiness_asked_for_a_gang_takes_in_only_ready_nodes)
{
    scene_init(&s, 4);
    s.limits.grow_ready_only = true;
    struct place_unit *unit = scene_gang(&s, 7, 1, 2);
    uint8_t ready[1][SH_NODE_ID_BYTES];
    scene_id(ready[0], 4);
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 0);
    EXPECT_EQ(scene_refusal(&s, 7, 3).reason, WIRE_REASON_NOT_READY);
    unit->ready = (const uint8_t(*)[SH_NODE_ID_BYTES])ready;
    unit->ready_count = 1;
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "1:0-4 2:4-10 4:10-16");
    unit->need.agents_min = 2; /* with nobody ready to spare, one that is not is better than none */
    scene_node(&s, 1)->liveness = PLACE_DEAD;
    scene_node(&s, 4)->liveness = PLACE_DEAD;
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "2:0-8 3:8-16");
}

TEST(ready_nodes_are_preferred)
{
    scene_init(&s, 3);
    uint8_t ready[1][SH_NODE_ID_BYTES];
    scene_id(ready[0], 3);
    struct place_unit *unit = scene_unit(&s, 7);
    unit->need.agents_max = 1;
    unit->ready = (const uint8_t(*)[SH_NODE_ID_BYTES])ready;
    unit->ready_count = 1;
    scene_plan(&s);
    EXPECT_STR(scene_members(only_decision()), "3:0-16");
}

TEST(decisions_beyond_the_capacity_are_left_for_the_next_pass)
{
    scene_init(&s, 4);
    for (uint64_t job = 1; job <= 3; job++) {
        scene_unit(&s, job)->need.agents_max = 1;
    }
    s.out.decision_capacity = 2;
    s.out.refusal_capacity = 1;
    scene_plan(&s);
    EXPECT_EQ(s.out.decision_count, 2);
    EXPECT_EQ(s.verdicts[2].reason, WIRE_REASON_NOT_EVALUATED);
    EXPECT_EQ(s.out.refusal_count, 1);
    EXPECT(s.out.refusals_left_off > 0);
}

/* The longest step, in ranks, is that of an even split; nobody is left two below it. */
TEST(every_split_covers_the_ranks_and_makes_no_step_longer)
{
    for (uint32_t ranks = 1; ranks <= SH_RANKS_MAX; ranks++) {
        uint32_t most = ranks < WIRE_MEMBERS_MAX ? ranks : WIRE_MEMBERS_MAX;
        for (uint32_t count = 1; count <= most; count++) {
            struct wire_member members[WIRE_MEMBERS_MAX];
            uint16_t speeds[WIRE_MEMBERS_MAX] = {0};
            place_split(members, speeds, count, ranks);
            EXPECT(wire_members_cover(members, count, ranks));
            for (uint32_t i = 0; i < count; i++) {
                uint32_t size = (uint32_t)(members[i].rank_hi - members[i].rank_lo);
                EXPECT(size <= (ranks + count - 1) / count);
                EXPECT(size + 1 >= ranks / count);
            }
        }
    }
}

static uint32_t subtrees_of(const struct wire_member *member)
{
    uint32_t count = 0;
    for (uint32_t size = 1; size <= SH_RANKS_MAX; size *= 2) {
        for (uint32_t low = 0; low + size <= SH_RANKS_MAX; low += size) {
            uint32_t up = low / (2 * size) * 2 * size;
            bool inside = low >= member->rank_lo && low + size <= member->rank_hi;
            bool larger = up >= member->rank_lo && up + 2 * size <= member->rank_hi;
            count += inside && !larger;
        }
    }
    return count;
}

static const struct few {
    uint32_t count;
    uint32_t ranks;
    uint32_t subtrees;
} few[] = {{1, 16, 1}, {2, 16, 2}, {3, 16, 5}, {4, 16, 4}, {5, 16, 5}, {16, 16, 16}, {3, 64, 9}};

TEST_ROWS(a_split_leaves_few_subtrees_to_send, few)
{
    struct wire_member members[WIRE_MEMBERS_MAX];
    uint16_t speeds[WIRE_MEMBERS_MAX] = {0};
    uint32_t subtrees = 0;
    place_split(members, speeds, few[tst_row].count, few[tst_row].ranks);
    for (uint32_t i = 0; i < few[tst_row].count; i++) {
        subtrees += subtrees_of(&members[i]);
    }
    EXPECT_EQ(subtrees, few[tst_row].subtrees);
}

TEST(every_split_by_speed_covers_the_ranks_and_spares_nobody)
{
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    for (uint32_t round = 0; round < 20000; round++) {
        struct wire_member members[WIRE_MEMBERS_MAX];
        uint16_t speeds[WIRE_MEMBERS_MAX];
        uint32_t ranks = (uint32_t)sh_rng_between(&rng, 1, SH_RANKS_MAX);
        uint32_t most = ranks < WIRE_MEMBERS_MAX ? ranks : WIRE_MEMBERS_MAX;
        uint32_t count = (uint32_t)sh_rng_between(&rng, 1, most);
        for (uint32_t i = 0; i < count; i++) {
            speeds[i] = (uint16_t)sh_rng_below(&rng, sh_rng_chance(&rng, 1, 9) ? 65536 : 3000);
        }
        place_split(members, speeds, count, ranks);
        EXPECT(wire_members_cover(members, count, ranks));
    }
}

/* Anything that a cluster may look like, within reason. */
static void random_scene(struct scene *r, struct sh_rng *rng)
{
    scene_init(r, (uint32_t)sh_rng_between(rng, 1, 12));
    for (uint32_t i = 0; i < r->in.node_count; i++) {
        struct place_node *node = &r->nodes[i];
        node->liveness =
            sh_rng_chance(rng, 3, 4) ? PLACE_ALIVE : (enum place_liveness)sh_rng_below(rng, 4);
        node->draining = sh_rng_chance(rng, 1, 8);
        node->class[0] = (uint8_t)sh_rng_below(rng, 2);
        node->version[0] = sh_rng_chance(rng, 1, 10) ? '9' : '0';
        node->cpus = (uint16_t)sh_rng_between(rng, 1, 4);
        node->slots = (uint16_t)sh_rng_below(rng, 4);
        node->speed = (uint16_t)sh_rng_below(rng, 4000);
        node->datasets = sh_rng_below(rng, 4);
    }
    uint32_t units = (uint32_t)sh_rng_between(rng, 1, 10);
    for (uint64_t job = 1; job <= units; job++) {
        uint32_t first = (uint32_t)sh_rng_between(rng, 1, r->in.node_count);
        bool waits = sh_rng_chance(rng, 1, 2) || r->nodes[first - 1].slots == 0;
        struct place_unit *unit = waits ? scene_unit(r, job) : scene_gang(r, job, first, 1);
        unit->class[0] = (uint8_t)sh_rng_below(rng, 2);
        unit->need.arithmetic =
            sh_rng_chance(rng, 1, 4) ? WIRE_ARITHMETIC_ANY : WIRE_ARITHMETIC_SAME;
        unit->need.agents_min = (uint16_t)sh_rng_between(rng, 1, 3);
        unit->need.agents_max = (uint16_t)sh_rng_between(rng, unit->need.agents_min, 8);
        unit->need.cpus = (uint16_t)sh_rng_below(rng, 3);
        unit->priority = (uint8_t)sh_rng_below(rng, 3);
        unit->dataset = sh_rng_chance(rng, 1, 3) ? (uint8_t)sh_rng_below(rng, 2) : PLACE_NO_DATASET;
        unit->stopping = !waits && sh_rng_chance(rng, 1, 6);
        unit->running = !waits && !unit->stopping;
        if (!waits && sh_rng_chance(rng, 1, 3) && r->in.report_count < SCENE_REPORTS) {
            scene_report(r, unit, first, first);
        }
    }
}

static void shuffle(void *at, uint32_t count, size_t size, struct sh_rng *rng)
{
    uint8_t kept[sizeof(struct place_unit)];
    uint8_t *bytes = at;
    EXPECT(size <= sizeof kept);
    for (uint32_t i = count; i > 1; i--) {
        size_t j = sh_rng_below(rng, i);
        memcpy(kept, bytes + j * size, size);
        memcpy(bytes + j * size, bytes + (i - 1) * size, size);
        memcpy(bytes + (i - 1) * size, kept, size);
    }
}

TEST(the_order_of_the_input_changes_nothing)
{
    static struct scene other;
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    uint32_t decided = 0;
    for (uint32_t round = 0; round < 3000; round++) {
        random_scene(&s, &rng);
        scene_plan(&s);
        other = s;
        other.in.nodes = other.nodes;
        other.in.units = other.units;
        other.in.reports = other.reports;
        other.out.decisions = other.decisions;
        other.out.refusals = other.refusals;
        other.out.verdicts = NULL;
        memset(other.decisions, 0, sizeof other.decisions);
        shuffle(other.nodes, other.in.node_count, sizeof other.nodes[0], &rng);
        shuffle(other.units, other.in.unit_count, sizeof other.units[0], &rng);
        shuffle(other.reports, other.in.report_count, sizeof other.reports[0], &rng);
        scene_plan(&other);
        EXPECT_EQ(other.out.decision_count, s.out.decision_count);
        EXPECT_EQ(other.out.refusal_count, s.out.refusal_count);
        decided += s.out.decision_count;
        for (uint32_t i = 0; i < s.out.decision_count; i++) {
            EXPECT_MEM(&other.decisions[i], &s.decisions[i], sizeof s.decisions[i]);
        }
        for (uint32_t i = 0; i < s.out.refusal_count; i++) {
            EXPECT_MEM(&other.refusals[i], &s.refusals[i], sizeof s.refusals[i]);
        }
    }
    EXPECT(decided > 1000);
}

static const struct place_unit *unit_of(const struct place_decision *d)
{
    const struct place_unit *unit = NULL;
    for (uint32_t i = 0; i < s.in.unit_count; i++) {
        unit = wire_unit_equal(s.units[i].unit, d->unit) ? &s.units[i] : unit;
    }
    EXPECT(unit != NULL);
    return unit;
}

/* Checks a decision against the policies as they read, not as they are coded. */
static void check_decision(const struct place_decision *d, uint32_t *slots)
{
    const struct place_unit *unit = unit_of(d);
    EXPECT(wire_fence_equal(d->previous, unit->fence));
    for (uint32_t i = 0; i < unit->member_count; i++) {
        slots[scene_number(unit->members[i].node)]--;
    }
    if (d->action == PLACE_ACTION_EXPIRE) {
        EXPECT(unit->member_count > 0);
        return;
    }
    const struct wire_placement *p = &d->placement;
    EXPECT(!unit->stopping);
    EXPECT(wire_members_cover(p->members, p->member_count, unit->need.ranks));
    EXPECT(p->member_count >= unit->need.agents_min && p->member_count <= unit->need.agents_max);
    for (uint32_t i = 0; i < p->member_count; i++) {
        const struct place_node *node = scene_node(&s, scene_number(p->members[i].node));
        bool was =
            wire_member_find(unit->members, unit->member_count, node->id) < unit->member_count;
        EXPECT(node->liveness == PLACE_ALIVE || (was && node->liveness == PLACE_SUSPECT));
        EXPECT(was || !node->draining);
        EXPECT(was || node->version[0] == '0');
        EXPECT(was || unit->dataset == PLACE_NO_DATASET ||
               (node->datasets >> unit->dataset & 1) == 1);
        bool same = memcmp(node->class, p->class, WIRE_CLASS_BYTES) == 0;
        EXPECT(same || (p->mixed && unit->need.arithmetic == WIRE_ARITHMETIC_ANY));
        EXPECT(wire_member_find(p->members, i, node->id) == i);
        slots[scene_number(node->id)]++;
    }
}

TEST(no_decision_ever_breaks_a_policy)
{
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed() + 1);
    for (uint32_t round = 0; round < 5000; round++) {
        uint32_t slots[SCENE_NODES + 1] = {0};
        uint32_t before[SCENE_NODES + 1];
        random_scene(&s, &rng);
        scene_plan(&s);
        for (uint32_t i = 0; i < s.in.unit_count; i++) {
            for (uint32_t j = 0; j < s.units[i].member_count; j++) {
                slots[scene_number(s.units[i].members[j].node)]++;
            }
        }
        memcpy(before, slots, sizeof before);
        for (uint32_t i = 0; i < s.out.decision_count; i++) {
            check_decision(&s.decisions[i], slots);
        }
        for (uint32_t i = 0; i < s.in.node_count; i++) {
            uint32_t number = scene_number(s.nodes[i].id);
            EXPECT(slots[number] <= s.nodes[i].slots || slots[number] <= before[number]);
        }
    }
}

TEST_DIES(two_nodes_of_one_id_panic, "node_before")
{
    scene_init(&s, 2);
    scene_id(s.nodes[1].id, 1);
    (void)scene_unit(&s, 7);
    scene_plan(&s);
}

TEST_DIES(a_running_unit_without_members_panics, "member_count > 0")
{
    scene_init(&s, 1);
    scene_unit(&s, 7)->running = true;
    scene_plan(&s);
}
