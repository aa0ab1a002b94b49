/* SPDX-License-Identifier: Apache-2.0
 *
 * A simulated day of a fleet of which a fifth breaks what it is given.
 *
 *   flaky_fleet SEED HOURS LOAD [off]
 *
 * 60 nodes, 12 of them flaky: of four units that begin there three fail, somewhere on their way,
 * and a gang fails with any of its members. Units come at random, LOAD per cent of what the 48
 * others could do; half of them are gangs of two to six nodes, one in a hundred fails wherever it
 * runs, and priorities differ by up to 20 points. The scheduler (consensus/place) plans every 5 s;
 * what failures mean is for consensus/jobs/health; with "off" nobody goes into quarantine.
 *
 * Prints "<goodput> <units done> <longest wait s> <left waiting> <attempts wasted> <poison found>
 * <lost as poison> <sound nodes in quarantine>": goodput is the share of the fleet's time that went
 * into attempts that were completed, the last one a share of the sound nodes' time, units left
 * waiting are those that came more than 3 h before the end and never ran. */
#include "base/host/host.h"
#include "base/rng.h"
#include "jobs/health.h"
#include "place/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND  UINT64_C(1000000)
#define TICK_US (5 * SECOND)
#define START   (UINT64_C(1000000) * SECOND)

enum { NODES = 60, FLAKY = 12, UNITS_MAX = 4096, RUN_S = 600, GRACE_H = 3, POISON_IN = 100 };

struct work { /* of a unit, beside what the scheduler sees */
    bool poison;
    uint64_t came_us;
    uint64_t length_us;
    uint64_t ends_us; /* of the attempt under way */
    uint32_t breaks;  /* node where it fails then, or NODES */
    bool ran;
    uint32_t failures;
    struct jobs_trouble trouble;
    uint8_t failed[JOBS_TROUBLE_MAX][SH_NODE_ID_BYTES];
};

struct fleet {
    struct sh_rng rng;
    bool quarantine;
    uint64_t now_us;
    uint64_t next_us; /* of the next unit that comes */
    uint64_t gap_us;  /* mean */
    uint64_t end_us;
    uint64_t jobs;
    uint64_t index;
    struct place_node nodes[NODES];
    struct jobs_health health[NODES];
    struct place_unit units[UNITS_MAX];
    struct work work[UNITS_MAX];
    uint32_t count;
    struct place *place;
    struct place_decision decisions[UNITS_MAX];
    struct place_verdict verdicts[UNITS_MAX];
    /* Results. */
    uint64_t useful_us;
    uint64_t done;
    uint64_t longest_us;
    uint64_t wasted;
    uint64_t poison_found;
    uint64_t lost;
    uint64_t sound_us; /* that sound nodes spent in quarantine */
};

static uint32_t number_of(const uint8_t *id)
{
    return id[SH_NODE_ID_BYTES - 1];
}

static void init(struct fleet *f, uint64_t seed, uint64_t hours, uint64_t load)
{
    const struct place_capacity capacity = {.nodes = NODES, .units = UNITS_MAX, .signatures = 32};
    size_t bytes = (place_bytes(&capacity) + 63) / 64 * 64;
    struct sh_arena arena;
    void *memory = aligned_alloc(64, bytes);
    SH_CHECK(memory != NULL);
    sh_arena_init(&arena, memory, bytes);
    f->place = place_init(&arena, &capacity);
    sh_rng_init(&f->rng, seed);
    f->now_us = START;
    f->next_us = START;
    f->end_us = START + hours * 3600 * SECOND;
    /* Half of the units take one node, half of them four on average. */
    f->gap_us = RUN_S * SECOND * 5 / 2 * 100 / load / (NODES - FLAKY);
    for (uint32_t i = 0; i < NODES; i++) {
        f->nodes[i] = (struct place_node){.cpus = 4, .ram_bytes = UINT64_C(1) << 33, .slots = 1};
        f->nodes[i].id[SH_NODE_ID_BYTES - 1] = (uint8_t)i;
    }
}

static bool is_flaky(uint32_t node)
{
    return node % (NODES / FLAKY) == 0;
}

static void come(struct fleet *f)
{
    while (f->next_us <= f->now_us) {
        f->next_us += sh_rng_below(&f->rng, 2 * f->gap_us) + 1;
        if (f->count == UNITS_MAX) {
            continue; /* as a full queue refuses it */
        }
        bool gang = sh_rng_chance(&f->rng, 1, 2);
        uint16_t agents = gang ? (uint16_t)sh_rng_between(&f->rng, 2, 6) : 1;
        struct place_unit *u = &f->units[f->count];
        struct work *w = &f->work[f->count++];
        *u = (struct place_unit){.unit = {.job = ++f->jobs},
                                 .priority = (uint8_t)(50 + 10 * sh_rng_below(&f->rng, 3)),
                                 .dataset = PLACE_NO_DATASET,
                                 .owner = 1,
                                 .since_us = f->now_us};
        u->need = (struct wire_need){.ranks = 16,
                                     .agents_min = agents,
                                     .agents_max = agents,
                                     .arithmetic = WIRE_ARITHMETIC_ANY};
        *w = (struct work){.poison = sh_rng_chance(&f->rng, 1, POISON_IN),
                           .came_us = f->now_us,
                           .length_us = sh_rng_between(&f->rng, RUN_S / 2, RUN_S * 3 / 2) * SECOND};
        u->run_us = 2 * RUN_S * SECOND;
    }
}

/* ---- attempts ---- */

static void begin(struct fleet *f, uint32_t at, const struct place_decision *d)
{
    struct place_unit *u = &f->units[at];
    struct work *w = &f->work[at];
    u->running = true;
    u->fence = (struct wire_fence){.term = 1, .index = ++f->index};
    u->placed_us = f->now_us;
    u->member_count = d->placement.member_count;
    memcpy(u->members, d->placement.members, sizeof u->members);
    uint64_t waited_us = f->now_us - w->came_us;
    f->longest_us = !w->ran && waited_us > f->longest_us ? waited_us : f->longest_us;
    w->ran = true;
    w->breaks = NODES;
    w->ends_us = f->now_us + w->length_us;
    for (uint32_t i = 0; i < u->member_count; i++) {
        uint32_t node = number_of(u->members[i].node);
        if (w->breaks == NODES && is_flaky(node) && sh_rng_chance(&f->rng, 3, 4)) {
            w->breaks = node;
            w->ends_us = f->now_us + sh_rng_between(&f->rng, 1, w->length_us / SECOND) * SECOND;
        }
    }
    if (w->poison) {
        w->breaks = number_of(u->members[0].node);
        w->ends_us = f->now_us + 20 * SECOND;
    }
}

static void waits_again(struct fleet *f, uint32_t at)
{
    struct place_unit *u = &f->units[at];
    struct work *w = &f->work[at];
    u->running = false;
    u->member_count = 0;
    u->since_us = f->now_us;
    u->not_before_us = f->now_us + jobs_backoff_us(u->unit, w->failures);
    u->failed_count = w->trouble.count;
    for (uint32_t i = 0; i < w->trouble.count; i++) {
        memcpy(w->failed[i], w->trouble.failures[i].node, SH_NODE_ID_BYTES);
    }
}

/* True: the unit has ended. */
static bool fail(struct fleet *f, uint32_t at)
{
    struct place_unit *u = &f->units[at];
    struct work *w = &f->work[at];
    const char *text = w->poison                      ? "the script has a bug"
                       : sh_rng_chance(&f->rng, 1, 2) ? "out of memory"
                                                      : "input/output error";
    uint64_t kind = jobs_failure_kind(SH_ERR_IO, text);
    f->wasted++;
    w->failures++;
    if (jobs_trouble_add(&w->trouble, f->nodes[w->breaks].id, kind, f->now_us)) {
        f->poison_found += w->poison;
        f->lost += !w->poison;
        return true;
    }
    struct jobs_health *health = &f->health[w->breaks];
    w->trouble.failures[0].blamed = jobs_health_failed(health, u->unit.job, f->now_us);
    waits_again(f, at);
    return false;
}

static void complete(struct fleet *f, uint32_t at)
{
    const struct place_unit *u = &f->units[at];
    struct work *w = &f->work[at];
    f->done++;
    f->useful_us += u->member_count * w->length_us;
    for (uint32_t i = 0; i < u->member_count; i++) {
        jobs_health_completed(&f->health[number_of(u->members[i].node)], f->now_us);
    }
    for (uint32_t i = 0; i < w->trouble.count; i++) {
        const struct jobs_failure *failure = &w->trouble.failures[i];
        if (!failure->blamed &&
            wire_member_find(u->members, u->member_count, failure->node) == u->member_count) {
            (void)jobs_health_blame(&f->health[number_of(failure->node)], f->now_us);
        }
    }
}

static void remove_unit(struct fleet *f, uint32_t at)
{
    f->count--;
    if (at < f->count) {
        f->units[at] = f->units[f->count];
        f->work[at] = f->work[f->count];
    }
}

static void end_attempts(struct fleet *f)
{
    for (uint32_t i = f->count; i > 0; i--) {
        struct work *w = &f->work[i - 1];
        if (!f->units[i - 1].running || w->ends_us > f->now_us) {
            continue;
        }
        if (w->breaks == NODES) {
            complete(f, i - 1);
            remove_unit(f, i - 1);
        } else if (fail(f, i - 1)) {
            remove_unit(f, i - 1);
        }
    }
}

/* ---- a pass ---- */

static void describe_nodes(struct fleet *f)
{
    for (uint32_t i = 0; i < NODES && f->quarantine; i++) {
        struct jobs_health *h = &f->health[i];
        (void)jobs_health_fit(h, true, f->now_us); /* what breaks some units passes a short test */
        f->nodes[i].quarantined_until_us = h->until_us;
        f->nodes[i].parole = jobs_health_on_trial(h, f->now_us);
        f->nodes[i].failures_milli = jobs_health_score(h, f->now_us);
        f->sound_us += !is_flaky(i) && jobs_health_quarantined(h, f->now_us) ? TICK_US : 0;
    }
}

static void plan(struct fleet *f)
{
    struct place_limits limits = place_limits_default();
    struct place_output out = {
        .decisions = f->decisions, .decision_capacity = UNITS_MAX, .verdicts = f->verdicts};
    const struct wire_unit nobody = {0};
    const struct place_input in = {.now_us = f->now_us,
                                   .nodes = f->nodes,
                                   .node_count = NODES,
                                   .units = f->units,
                                   .unit_count = f->count,
                                   .asked = &nobody,
                                   .asked_count = 1};
    describe_nodes(f);
    for (uint32_t i = 0; i < f->count; i++) {
        f->units[i].failed = (const uint8_t(*)[SH_NODE_ID_BYTES])f->work[i].failed;
    }
    place_plan(f->place, &in, &limits, &out);
    for (uint32_t i = 0; i < out.decision_count; i++) {
        for (uint32_t j = 0; j < f->count; j++) {
            if (f->units[j].unit.job == f->decisions[i].unit.job) {
                begin(f, j, &f->decisions[i]);
            }
        }
    }
}

int main(int argc, char **argv)
{
    static struct fleet fleet;
    unsigned long hours = argc > 3 ? strtoul(argv[2], NULL, 10) : 0;
    unsigned long load = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    if (hours < 1 || hours > 1000 || load < 1 || load > 1000) {
        (void)fprintf(stderr, "usage: flaky_fleet SEED HOURS LOAD [off]\n");
        return 2;
    }
    sh_host_init();
    init(&fleet, strtoul(argv[1], NULL, 10), hours, load);
    fleet.quarantine = argc == 4;
    while (fleet.now_us < fleet.end_us) {
        come(&fleet);
        end_attempts(&fleet);
        plan(&fleet);
        fleet.now_us += TICK_US;
    }
    uint32_t left = 0;
    for (uint32_t i = 0; i < fleet.count; i++) {
        uint64_t late_us = fleet.now_us - fleet.work[i].came_us;
        left += !fleet.work[i].ran && late_us > GRACE_H * 3600 * SECOND;
    }
    double all_us = (double)(fleet.end_us - START);
    printf("%.4f %llu %llu %u %llu %llu %llu %.4f\n", (double)fleet.useful_us / all_us / NODES,
           (unsigned long long)fleet.done, (unsigned long long)(fleet.longest_us / SECOND), left,
           (unsigned long long)fleet.wasted, (unsigned long long)fleet.poison_found,
           (unsigned long long)fleet.lost, (double)fleet.sound_us / all_us / (NODES - FLAKY));
    return 0;
}
