/* SPDX-License-Identifier: Apache-2.0
 *
 * What no pass may do, whatever the cluster looks like: the policies as they read, over random
 * clusters. Single situations are in tests/golden/place. */
#include "base/rng.h"
#include "scene.h"
#include "tst.h"

#define SECOND UINT64_C(1000000)
#define GIB    (UINT64_C(1) << 30)

enum { OWNERS = 3, CONDITIONS = 2, FAILED = 2, ROUNDS = 4000 };

static struct scene s;
static struct scene other;
static struct place_label labels[SCENE_NODES];
static struct place_condition conditions[CONDITIONS];
static struct place_owner owners[OWNERS];
static uint8_t failed[SCENE_UNITS][FAILED][SH_NODE_ID_BYTES];
static struct place_near near[SCENE_UNITS];

static void random_node(struct place_node *n, struct place_label *label, struct sh_rng *rng)
{
    n->slots = (uint16_t)sh_rng_between(rng, 1, 4);
    n->cpus = (uint16_t)sh_rng_between(rng, 1, 8);
    n->gpus = (uint16_t)sh_rng_below(rng, 3);
    n->gpu_bytes = sh_rng_below(rng, 3) * 16 * GIB;
    n->disk_bytes = sh_rng_below(rng, 4) * GIB;
    n->speed = (uint16_t)sh_rng_below(rng, 3000);
    n->class[0] = (uint8_t)sh_rng_below(rng, 2);
    n->commands = sh_rng_chance(rng, 2, 3);
    n->sandbox = (uint8_t)sh_rng_below(rng, 3);
    n->policy = sh_rng_chance(rng, 1, 8) ? WIRE_POLICY_HOURS : WIRE_POLICY_NONE;
    n->parole = sh_rng_chance(rng, 1, 8);
    n->failures_milli = (uint32_t)sh_rng_below(rng, 5000);
    n->quarantined_until_us = sh_rng_chance(rng, 1, 6) ? s.in.now_us + 1 : s.in.now_us;
    n->liveness = sh_rng_chance(rng, 1, 8) ? PLACE_DEAD : PLACE_ALIVE;
    EXPECT_EQ(place_label_parse(sh_rng_chance(rng, 1, 2) ? "disk=nvme" : "disk=hdd", label), SH_OK);
    n->labels = label;
    n->label_count = sh_rng_chance(rng, 3, 4) ? 1 : 0;
}

static void random_wants(struct place_unit *u, struct sh_rng *rng)
{
    u->need.agents_min = (uint16_t)sh_rng_between(rng, 1, 3);
    u->need.agents_max = (uint16_t)sh_rng_between(rng, u->need.agents_min, 4);
    u->need.cpus = (uint16_t)sh_rng_below(rng, 4);
    u->need.arithmetic = sh_rng_chance(rng, 1, 2) ? WIRE_ARITHMETIC_ANY : WIRE_ARITHMETIC_SAME;
    u->wants = (struct place_wants){.gpus = sh_rng_chance(rng, 1, 4) ? 1 : 0,
                                    .gpu_bytes = sh_rng_below(rng, 2) * 16 * GIB,
                                    .disk_bytes = sh_rng_below(rng, 2) * GIB,
                                    .commands = sh_rng_chance(rng, 1, 4),
                                    .predict = sh_rng_chance(rng, 1, 6),
                                    .sandbox = (uint8_t)sh_rng_below(rng, 2),
                                    .per_node_max = (uint16_t)sh_rng_below(rng, 3),
                                    .conditions = conditions,
                                    .condition_count = (uint32_t)sh_rng_below(rng, 2)};
}

static void random_unit(uint32_t at, struct sh_rng *rng)
{
    uint64_t job = 1 + at / 2;
    bool runs = sh_rng_chance(rng, 1, 3);
    uint32_t node = (uint32_t)sh_rng_between(rng, 1, s.in.node_count);
    struct place_unit *u = runs ? scene_gang(&s, job, node, 1) : scene_unit(&s, job);
    random_wants(u, rng);
    u->unit.unit = at % 2;
    u->priority = (uint8_t)(10 * sh_rng_below(rng, 5));
    u->owner = (uint32_t)sh_rng_below(rng, OWNERS + 1);
    u->since_us = s.in.now_us - sh_rng_below(rng, 100 * SECOND);
    u->not_before_us = sh_rng_chance(rng, 1, 6) ? s.in.now_us + 1 : 0;
    u->run_us = sh_rng_below(rng, 3) * 20 * SECOND;
    u->preemptible = sh_rng_chance(rng, 1, 2);
    u->checkpoint_us = sh_rng_chance(rng, 2, 3) ? s.in.now_us - SECOND : 0;
    u->preempted_us = sh_rng_chance(rng, 1, 6) ? s.in.now_us - SECOND : 0;
    u->placed_us = s.in.now_us - sh_rng_between(rng, 1, 90) * SECOND;
    u->failed_count = (uint32_t)sh_rng_below(rng, FAILED + 1);
    for (uint32_t i = 0; i < FAILED; i++) {
        scene_id(failed[at][i], (uint32_t)sh_rng_between(rng, 1, s.in.node_count));
    }
    u->failed = (const uint8_t(*)[SH_NODE_ID_BYTES])failed[at];
    scene_id(near[at].node, (uint32_t)sh_rng_between(rng, 1, s.in.node_count));
    near[at].gain = (uint16_t)sh_rng_below(rng, 1000);
    u->near = &near[at];
    u->near_count = (uint32_t)sh_rng_below(rng, 2);
}

static void random_cluster(struct sh_rng *rng)
{
    scene_init(&s, (uint32_t)sh_rng_between(rng, 1, 16));
    EXPECT_EQ(place_condition_parse("disk=nvme", &conditions[0]), SH_OK);
    for (uint32_t i = 0; i < s.in.node_count; i++) {
        random_node(&s.nodes[i], &labels[i], rng);
    }
    for (uint32_t i = 0; i < OWNERS; i++) {
        owners[i] = (struct place_owner){.usage = sh_rng_below(rng, 1000),
                                         .quota = (uint32_t)sh_rng_below(rng, 4)};
    }
    s.in.owners = owners;
    s.in.owner_count = OWNERS;
    s.limits.reserve_permille = sh_rng_chance(rng, 1, 3) ? 300 : 0;
    uint32_t units = (uint32_t)sh_rng_between(rng, 1, 20);
    for (uint32_t i = 0; i < units; i++) {
        random_unit(i, rng);
    }
}

static const struct place_unit *unit_of(struct wire_unit id)
{
    const struct place_unit *unit = NULL;
    for (uint32_t i = 0; i < s.in.unit_count; i++) {
        unit = wire_unit_equal(s.units[i].unit, id) ? &s.units[i] : unit;
    }
    EXPECT(unit != NULL);
    return unit;
}

/* Of a unit that waited: its node is one that may take it. */
static void check_node(const struct place_unit *u, const struct place_node *n)
{
    EXPECT(n->liveness == PLACE_ALIVE && n->policy == WIRE_POLICY_NONE);
    EXPECT(n->quarantined_until_us <= s.in.now_us);
    EXPECT(n->commands || !u->wants.commands);
    EXPECT(n->sandbox >= u->wants.sandbox);
    EXPECT(u->wants.gpus == 0 || n->gpu_bytes >= u->wants.gpu_bytes);
    for (uint32_t i = 0; i < u->wants.condition_count; i++) {
        EXPECT(place_condition_holds(&u->wants.conditions[i], n->labels, n->label_count));
    }
}

struct sums { /* of a node: what its units use after the pass, and before */
    uint32_t slots;
    uint32_t cpus;
    uint32_t gpus;
    uint64_t disk;
    /* Who has a unit keeps it, though it came back with less; these got more of it now. */
    bool more_slots;
    bool more_cpus;
    bool more_gpus;
    bool more_disk;
};

static void count(struct sums *sums, const struct place_unit *u, const struct wire_member *members,
                  uint32_t member_count, uint32_t by)
{
    for (uint32_t i = 0; i < member_count; i++) {
        struct sums *x = &sums[scene_number(members[i].node)];
        x->slots += by;
        x->cpus += by * u->need.cpus;
        x->gpus += by * u->wants.gpus;
        x->disk += (uint64_t)(int64_t)(int32_t)by * u->wants.disk_bytes;
        bool came =
            wire_member_find(u->members, u->member_count, members[i].node) == u->member_count;
        x->more_slots = x->more_slots || came;
        x->more_cpus = x->more_cpus || (came && u->need.cpus > 0);
        x->more_gpus = x->more_gpus || (came && u->wants.gpus > 0);
        x->more_disk = x->more_disk || (came && u->wants.disk_bytes > 0);
    }
}

static void check_preempted(const struct place_decision *d)
{
    const struct place_unit *u = unit_of(d->unit);
    const struct place_unit *head = unit_of(s.out.head);
    EXPECT(u->preemptible);
    EXPECT(u->preempted_us == 0);
    EXPECT(head->priority >= u->priority + PLACE_PREEMPT_GAP);
}

static void check_sums(void)
{
    struct sums sums[SCENE_NODES + 1] = {{0}};
    uint32_t running[OWNERS + 1] = {0};
    uint32_t were[OWNERS + 1] = {0};
    for (uint32_t i = 0; i < s.in.unit_count; i++) {
        const struct place_unit *u = &s.units[i];
        count(sums, u, u->members, u->member_count, 1);
        running[u->owner] += u->running;
        were[u->owner] += u->running;
    }
    for (uint32_t i = 0; i < s.out.decision_count; i++) {
        const struct place_decision *d = &s.decisions[i];
        const struct place_unit *u = unit_of(d->unit);
        if (d->cause == WIRE_CAUSE_PREEMPTED) {
            check_preempted(d);
            continue; /* what it used is free in the next pass only */
        }
        count(sums, u, u->members, u->member_count, UINT32_MAX);
        count(sums, u, d->placement.members, d->placement.member_count, 1);
        running[u->owner] += d->action == PLACE_ACTION_PLACE && !u->running;
        for (uint32_t j = 0; j < d->placement.member_count && !u->running; j++) {
            check_node(u, scene_node(&s, scene_number(d->placement.members[j].node)));
        }
    }
    for (uint32_t i = 0; i < OWNERS; i++) {
        EXPECT(owners[i].quota == 0 || running[i] <= owners[i].quota || running[i] <= were[i]);
    }
    for (uint32_t i = 0; i < s.in.node_count; i++) {
        const struct place_node *n = &s.nodes[i];
        const struct sums *x = &sums[scene_number(n->id)];
        EXPECT(x->slots <= n->slots || !x->more_slots);
        EXPECT(x->cpus <= n->cpus || !x->more_cpus);
        EXPECT(x->gpus <= n->gpus || !x->more_gpus);
        EXPECT(x->disk <= n->disk_bytes || !x->more_disk);
    }
}

TEST(no_pass_gives_out_what_is_not_there_or_must_not_be_given)
{
    struct sh_rng rng;
    uint32_t preempted = 0;
    uint32_t placed = 0;
    uint32_t heads = 0;
    sh_rng_init(&rng, tst_seed());
    for (uint32_t round = 0; round < ROUNDS; round++) {
        random_cluster(&rng);
        scene_plan(&s);
        check_sums();
        heads += s.out.head.job != 0;
        for (uint32_t i = 0; i < s.out.decision_count; i++) {
            preempted += s.decisions[i].cause == WIRE_CAUSE_PREEMPTED;
            placed += s.decisions[i].cause == WIRE_CAUSE_PLACED;
        }
    }
    EXPECT(preempted > 100 && placed > 1000 && heads > 1000);
}

static void expect_same(void)
{
    EXPECT_EQ(other.out.decision_count, s.out.decision_count);
    EXPECT_EQ(other.out.refusal_count, s.out.refusal_count);
    for (uint32_t i = 0; i < s.out.decision_count; i++) {
        EXPECT_MEM(&other.decisions[i], &s.decisions[i], sizeof s.decisions[i]);
    }
    for (uint32_t i = 0; i < s.out.refusal_count; i++) {
        EXPECT_MEM(&other.refusals[i], &s.refusals[i], sizeof s.refusals[i]);
    }
}

static void copy_scene(void)
{
    other = s;
    other.in.nodes = other.nodes;
    other.in.units = other.units;
    other.in.reports = other.reports;
    other.out.decisions = other.decisions;
    other.out.refusals = other.refusals;
    other.out.verdicts = other.verdicts;
    memset(other.decisions, 0, sizeof other.decisions);
}

TEST(how_many_signatures_are_remembered_changes_nothing)
{
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed() + 1);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        random_cluster(&rng);
        scene_plan(&s);
        copy_scene();
        other.signatures = 1 + round % 2;
        scene_plan(&other);
        expect_same();
    }
}

TEST(with_policies_too_the_order_of_the_input_changes_nothing)
{
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed() + 2);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        random_cluster(&rng);
        scene_plan(&s);
        copy_scene();
        for (uint32_t i = 0; i < s.in.node_count; i++) {
            other.nodes[i] = s.nodes[s.in.node_count - 1 - i];
        }
        for (uint32_t i = 0; i < s.in.unit_count; i++) {
            other.units[i] = s.units[s.in.unit_count - 1 - i];
        }
        scene_plan(&other);
        expect_same();
    }
}

TEST(every_verdict_has_its_place_and_the_parts_of_its_priority)
{
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed() + 3);
    for (uint32_t round = 0; round < ROUNDS / 4; round++) {
        bool seen[SCENE_UNITS + 1] = {false};
        uint32_t waiting = 0;
        random_cluster(&rng);
        scene_plan(&s);
        for (uint32_t i = 0; i < s.in.unit_count; i++) {
            const struct place_verdict *v = &s.verdicts[i];
            bool waits = !s.units[i].running;
            EXPECT_EQ(v->position > 0, waits);
            EXPECT(wire_unit_equal(v->unit, s.units[i].unit));
            EXPECT(v->priority == v->base + v->age + v->fair);
            EXPECT(v->fair <= 0 && v->fair >= -(int32_t)(PLACE_FAIR_MAX * PLACE_POINT));
            EXPECT(!waits || !seen[v->position]);
            seen[v->position] = waits;
            waiting += waits;
        }
        EXPECT(waiting == s.in.unit_count || !seen[waiting + 1]);
        EXPECT(waiting == 0 || seen[waiting]);
    }
}

TEST(points_for_waiting_come_every_ten_minutes_up_to_twenty)
{
    static const struct {
        uint64_t waited_us;
        int32_t age;
    } rows[] = {{0, 0},
                {PLACE_AGE_US, 1000},
                {PLACE_AGE_US / 2, 500},
                {19 * PLACE_AGE_US, 19000},
                {20 * PLACE_AGE_US, 20000},
                {400 * PLACE_AGE_US, 20000}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        scene_init(&s, 1);
        s.in.now_us = 1000 * PLACE_AGE_US;
        scene_unit(&s, 7)->since_us = s.in.now_us - rows[i].waited_us;
        scene_plan(&s);
        EXPECT_EQ((uint64_t)s.verdicts[0].age, (uint64_t)rows[i].age);
    }
}

TEST_DIES(more_nodes_than_there_is_room_for_panic, "node_count")
{
    scene_init(&s, 1);
    s.in.node_count = SCENE_NODES + 1;
    scene_plan(&s);
}
