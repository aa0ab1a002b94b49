/* SPDX-License-Identifier: Apache-2.0
 *
 * How long one pass of the scheduler takes.
 *
 *   place_rate NODES UNITS SIGNATURES PASSES [SEED]
 *
 * A fleet of unequal nodes, half of it in use by running gangs, and so many waiting units of so
 * many distinct needs: cores, memory, GPUs, labels, gangs of one to four, some owners with quotas,
 * some that failed somewhere. Every decision of the last pass is counted against what the nodes
 * have. Prints "<median ms> <worst ms> <decisions> <signatures>". */
#include "base/host/host.h"
#include "base/rng.h"
#include "place/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LABELS = 4, CONDITIONS = 3, OWNERS = 40, PASSES_MAX = 1000, FAILED = 2 };

struct fleet {
    struct sh_rng rng;
    struct place_node *nodes;
    struct place_label (*labels)[LABELS];
    struct place_unit *units;
    struct place_condition (*conditions)[CONDITIONS];
    uint8_t (*failed)[FAILED][SH_NODE_ID_BYTES];
    struct place_owner owners[OWNERS];
    struct place_input in;
    struct place_output out;
    struct place *place;
    uint32_t waiting;
    uint32_t signatures;
};

static void *zeroed(size_t count, size_t size)
{
    void *at = calloc(count, size);
    SH_CHECK(at != NULL);
    return at;
}

static void label(struct place_label *out, const char *text)
{
    SH_CHECK(place_label_parse(text, out) == SH_OK);
}

static void make_node(struct fleet *f, uint32_t at)
{
    static const uint16_t CPUS[] = {4, 8, 16, 32, 64};
    struct place_node *n = &f->nodes[at];
    char text[64];
    *n = (struct place_node){.cpus = CPUS[sh_rng_below(&f->rng, SH_COUNT(CPUS))],
                             .slots = 4,
                             .speed = (uint16_t)sh_rng_between(&f->rng, 500, 2000),
                             .disk_bytes = UINT64_C(1) << 38,
                             .commands = sh_rng_chance(&f->rng, 3, 4),
                             .sandbox = (uint8_t)sh_rng_below(&f->rng, 3),
                             .labels = f->labels[at],
                             .label_count = LABELS};
    uint64_t id[2] = {sh_rng_u64(&f->rng), sh_rng_u64(&f->rng)};
    memcpy(n->id, id, sizeof n->id);
    memset(n->class, (int)sh_rng_below(&f->rng, 4), sizeof n->class);
    memcpy(n->version, "0.1.0", 6);
    n->ram_bytes = (uint64_t)n->cpus << 32;
    n->gpus = sh_rng_chance(&f->rng, 1, 5) ? 4 : 0;
    n->gpu_bytes = n->gpus > 0 ? UINT64_C(80) << 30 : 0;
    (void)snprintf(text, sizeof text, "zone=z%u", (unsigned)sh_rng_below(&f->rng, 8));
    label(&f->labels[at][0], text);
    (void)snprintf(text, sizeof text, "disk=%s", sh_rng_chance(&f->rng, 1, 2) ? "nvme" : "hdd");
    label(&f->labels[at][1], text);
    (void)snprintf(text, sizeof text, "rack=%u", (unsigned)sh_rng_below(&f->rng, 100));
    label(&f->labels[at][2], text);
    label(&f->labels[at][3], "arch=x86_64");
}

static void condition(struct place_unit *u, struct place_condition *out, const char *text)
{
    SH_CHECK(place_condition_parse(text, &out[u->wants.condition_count++]) == SH_OK);
}

/* The needs of a kind of unit: kinds differ by the cores and memory at least. */
static void make_needs(struct place_unit *u, struct place_condition *conditions, uint32_t kind)
{
    char text[64];
    uint16_t gang = (uint16_t)(1 + kind % 7 % 4);
    u->need = (struct wire_need){.ranks = 16,
                                 .agents_min = gang,
                                 .agents_max = (uint16_t)(gang + kind % 2),
                                 .cpus = (uint16_t)(1 + kind % 16),
                                 .ram_bytes = ((uint64_t)kind + 1) << 22,
                                 .arithmetic =
                                     kind % 3 == 0 ? WIRE_ARITHMETIC_ANY : WIRE_ARITHMETIC_SAME};
    u->wants = (struct place_wants){.gpus = kind % 11 == 0 ? 1 : 0,
                                    .commands = kind % 4 == 0,
                                    .sandbox = (uint8_t)(kind % 5 == 0),
                                    .conditions = conditions};
    u->dataset = PLACE_NO_DATASET;
    if (kind % 3 == 1) {
        (void)snprintf(text, sizeof text, "zone=z%u", (unsigned)(kind % 8));
        condition(u, conditions, text);
    }
    if (kind % 5 == 2) {
        condition(u, conditions, "disk!=hdd");
    }
    if (kind % 7 == 3) {
        condition(u, conditions, "rack<=50");
    }
}

static void make_waiting(struct fleet *f, uint32_t at, uint32_t number)
{
    struct place_unit *u = &f->units[at];
    u->unit = (struct wire_unit){.job = 1000000 + number / 8, .unit = number % 8};
    make_needs(u, f->conditions[at], (uint32_t)sh_rng_below(&f->rng, f->signatures));
    u->priority = (uint8_t)sh_rng_below(&f->rng, 101);
    u->owner = (uint32_t)sh_rng_below(&f->rng, OWNERS);
    u->since_us = f->in.now_us - sh_rng_below(&f->rng, UINT64_C(20000000000));
    u->run_us = sh_rng_chance(&f->rng, 1, 2) ? sh_rng_between(&f->rng, 1, 9) * 600000000 : 0;
    if (sh_rng_chance(&f->rng, 1, 10)) {
        for (uint32_t i = 0; i < FAILED; i++) {
            memcpy(f->failed[at][i], f->nodes[sh_rng_below(&f->rng, f->in.node_count)].id,
                   SH_NODE_ID_BYTES);
        }
        u->failed = (const uint8_t(*)[SH_NODE_ID_BYTES])f->failed[at];
        u->failed_count = FAILED;
    }
}

/* A gang on two nodes that stand side by side in the input. */
static void make_running(struct fleet *f, uint32_t at, uint32_t node)
{
    struct place_unit *u = &f->units[at];
    u->unit = (struct wire_unit){.job = 1 + at};
    u->running = true;
    u->dataset = PLACE_NO_DATASET;
    u->need = (struct wire_need){.ranks = 16,
                                 .agents_min = 1,
                                 .agents_max = 2,
                                 .cpus = 2,
                                 .arithmetic = WIRE_ARITHMETIC_ANY};
    u->fence = (struct wire_fence){.term = 2, .index = 1 + at};
    u->placed_us = f->in.now_us - sh_rng_below(&f->rng, UINT64_C(7200000000));
    u->priority = (uint8_t)sh_rng_below(&f->rng, 101);
    u->owner = (uint32_t)sh_rng_below(&f->rng, OWNERS);
    u->preemptible = sh_rng_chance(&f->rng, 1, 2);
    u->checkpoint_us = u->placed_us + 1;
    u->member_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        memcpy(u->members[i].node, f->nodes[node + i].id, SH_NODE_ID_BYTES);
        u->members[i].rank_lo = (uint16_t)(8 * i);
        u->members[i].rank_hi = (uint16_t)(8 * i + 8);
    }
}

static void build(struct fleet *f, uint32_t nodes)
{
    uint32_t running = nodes / 2;
    uint32_t units = f->waiting + running;
    struct place_capacity capacity = {.nodes = nodes, .units = units, .signatures = 1024};
    size_t bytes = (place_bytes(&capacity) + 63) / 64 * 64;
    struct sh_arena arena;
    f->nodes = zeroed(nodes, sizeof *f->nodes);
    f->labels = zeroed(nodes, sizeof *f->labels);
    f->units = zeroed(units, sizeof *f->units);
    f->conditions = zeroed(units, sizeof *f->conditions);
    f->failed = zeroed(units, sizeof *f->failed);
    void *memory = aligned_alloc(64, bytes);
    SH_CHECK(memory != NULL);
    sh_arena_init(&arena, memory, bytes);
    f->place = place_init(&arena, &capacity);
    f->in = (struct place_input){.now_us = UINT64_C(100000000000),
                                 .version = "0.1.0",
                                 .nodes = f->nodes,
                                 .node_count = nodes,
                                 .units = f->units,
                                 .unit_count = units,
                                 .owners = f->owners,
                                 .owner_count = OWNERS};
    for (uint32_t i = 0; i < nodes; i++) {
        make_node(f, i);
    }
    for (uint32_t i = 0; i < OWNERS; i++) {
        f->owners[i] = (struct place_owner){.usage = sh_rng_below(&f->rng, UINT64_C(1) << 40),
                                            .quota = i % 4 == 0 ? 200 : 0};
    }
    for (uint32_t i = 0; i < running; i++) {
        make_running(f, i, i % (nodes - 1));
    }
    for (uint32_t i = 0; i < f->waiting; i++) {
        make_waiting(f, running + i, i);
    }
    f->out = (struct place_output){.decisions = zeroed(units, sizeof *f->out.decisions),
                                   .decision_capacity = units,
                                   .refusals = zeroed(nodes, sizeof *f->out.refusals),
                                   .refusal_capacity = nodes,
                                   .verdicts = zeroed(units, sizeof *f->out.verdicts)};
    f->in.asked = &f->units[units - 1].unit;
    f->in.asked_count = 1;
}

static const struct place_unit *unit_of(const struct fleet *f, struct wire_unit id)
{
    uint32_t running = f->in.unit_count - f->waiting;
    uint32_t at = id.job < 1000000 ? (uint32_t)(id.job - 1)
                                   : running + (uint32_t)(id.job - 1000000) * 8 + id.unit;
    SH_CHECK(wire_unit_equal(f->units[at].unit, id));
    return &f->units[at];
}

static void count_use(const struct fleet *f, const struct place_unit *u,
                      const struct wire_member *members, uint32_t count, int32_t by, int32_t *slots,
                      int32_t *cpus)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t node = 0; node < f->in.node_count; node++) {
            bool here = memcmp(f->nodes[node].id, members[i].node, SH_NODE_ID_BYTES) == 0;
            slots[node] += here ? by : 0;
            cpus[node] += here ? by * u->need.cpus : 0;
        }
    }
}

/* Nothing is given twice. */
static void judge(const struct fleet *f)
{
    int32_t *slots = zeroed(f->in.node_count, sizeof *slots);
    int32_t *cpus = zeroed(f->in.node_count, sizeof *cpus);
    for (uint32_t i = 0; i < f->in.unit_count; i++) {
        const struct place_unit *u = &f->units[i];
        count_use(f, u, u->members, u->member_count, 1, slots, cpus);
    }
    for (uint32_t i = 0; i < f->out.decision_count; i++) {
        const struct place_decision *d = &f->out.decisions[i];
        const struct place_unit *u = unit_of(f, d->unit);
        if (d->action == PLACE_ACTION_PLACE) {
            count_use(f, u, u->members, u->member_count, -1, slots, cpus);
            count_use(f, u, d->placement.members, d->placement.member_count, 1, slots, cpus);
        }
    }
    for (uint32_t i = 0; i < f->in.node_count; i++) {
        SH_CHECK(slots[i] <= f->nodes[i].slots);
        SH_CHECK(cpus[i] <= f->nodes[i].cpus);
    }
    free(slots);
    free(cpus);
}

static uint64_t used_us(void)
{
    struct timespec now;
    SH_CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int before(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    static struct fleet fleet;
    static uint64_t took[PASSES_MAX];
    static uint64_t wall[PASSES_MAX];
    unsigned long nodes = argc > 4 ? strtoul(argv[1], NULL, 10) : 0;
    unsigned long units = argc > 4 ? strtoul(argv[2], NULL, 10) : 0;
    unsigned long signatures = argc > 4 ? strtoul(argv[3], NULL, 10) : 0;
    unsigned long passes = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    if (nodes < 2 || nodes > PLACE_NODES_MAX || units < 1 || units + nodes > PLACE_UNITS_MAX ||
        signatures < 1 || signatures > units || passes < 1 || passes > PASSES_MAX) {
        (void)fprintf(stderr, "usage: place_rate NODES UNITS SIGNATURES PASSES [SEED]\n");
        return 2;
    }
    sh_host_init();
    sh_rng_init(&fleet.rng, argc > 5 ? strtoul(argv[5], NULL, 10) : 1);
    fleet.waiting = (uint32_t)units;
    fleet.signatures = (uint32_t)signatures;
    build(&fleet, (uint32_t)nodes);
    struct place_limits limits = place_limits_default();
    for (unsigned long i = 0; i < passes; i++) {
        uint64_t start = sh_now_us();
        uint64_t used = used_us();
        place_plan(fleet.place, &fleet.in, &limits, &fleet.out);
        took[i] = used_us() - used;
        wall[i] = sh_now_us() - start;
    }
    judge(&fleet);
    qsort(took, passes, sizeof took[0], before);
    qsort(wall, passes, sizeof wall[0], before);
    printf("%.2f %.2f %.2f %u %lu\n", (double)took[passes / 2] / 1000,
           (double)took[passes - 1] / 1000, (double)wall[passes / 2] / 1000,
           (unsigned)fleet.out.decision_count, signatures);
    return 0;
}
