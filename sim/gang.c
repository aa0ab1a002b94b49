/* SPDX-License-Identifier: Apache-2.0
 *
 * Time and faults of synchronous training: a storm, then all is healed and every member must be in
 * one generation and go on from the newest state within a bound. */
#include "sim/gang.h"

#include "sim/scenario.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define MS     UINT64_C(1000)
#define SECOND (1000 * MS)

_Static_assert(SIM_GANG_MEMBERS_MAX == WIRE_MEMBERS_MAX, "a run has as many members as a gang may");

enum { CALM_STEPS = 12, SLOW_MAX = 10, COMPUTES = 4, REPEATED = 8 };

/* After healing: everyone is found and meets, */
#define MEET_US (10 * SECOND)
/* and a step takes at most this, and the slowest member COMPUTES times the mean of a sum. */
#define STEP_US (100 * MS)

static uint64_t between(struct sim_gang *w, uint64_t low, uint64_t high)
{
    return sh_rng_between(&w->net.rng, low, high);
}

static bool one_in(struct sim_gang *w, uint64_t many)
{
    return sh_rng_chance(&w->net.rng, 1, many);
}

static uint32_t any(struct sim_gang *w)
{
    return (uint32_t)sh_rng_below(&w->net.rng, w->count);
}

const char *sim_blow_name(enum sim_blow blow)
{
    static const char *const NAMES[] = {"kill", "freeze", "cut"};
    SH_CHECK_CMP(blow, <, SH_COUNT(NAMES));
    return NAMES[blow];
}

/* ---- faults ---- */

static void start(struct sim_gang *w, uint32_t member)
{
    if (!w->net.nodes[member].up) {
        sim_ether_start(&w->net, member);
        sim_gang_member_begin(w, member);
    }
    sim_ether_thaw(&w->net, member);
}

static void isolate(struct sim_gang *w, uint32_t member)
{
    bool side[SIM_GANG_MEMBERS_MAX] = {false};
    side[member] = true;
    sim_ether_split(&w->net, side, false);
}

static void strike(struct sim_gang *w, uint32_t member, enum sim_blow blow)
{
    struct sim_gang_member *m = &w->members[member];
    if (!sim_ether_runs(&w->net, member)) {
        return;
    }
    m->armed = false;
    w->counts.blows[blow][sim_gang_phase(m)]++;
    switch (blow) {
    case SIM_BLOW_KILL:
        sim_ether_kill(&w->net, member);
        sim_gang_member_end(w, member);
        break;
    case SIM_BLOW_FREEZE:
        sim_ether_freeze(&w->net, member);
        break;
    case SIM_BLOW_CUT:
        isolate(w, member);
        break;
    case SIM_BLOW_COUNT:
        SH_UNREACHABLE();
    }
}

static void split(struct sim_gang *w)
{
    bool side[SIM_GANG_MEMBERS_MAX];
    for (uint32_t i = 0; i < w->count; i++) {
        side[i] = one_in(w, 2);
    }
    sim_ether_split(&w->net, side, one_in(w, 3));
}

/* What one member says to another, or to all, arrives much later. */
static void hold_up(struct sim_gang *w)
{
    uint32_t from = any(w);
    uint32_t to = any(w);
    bool all = one_in(w, 2);
    for (uint32_t i = 0; i < w->count; i++) {
        if (i != from && (all || i == to)) {
            sim_ether_link(&w->net, from, i)->clogged_us =
                w->net.now_us + between(w, 1 * MS, 5 * SECOND);
        }
    }
}

/* Its process ends and begins at once: the same members meet again. */
static void renew(struct sim_gang *w, uint32_t member)
{
    if (sim_ether_runs(&w->net, member)) {
        strike(w, member, SIM_BLOW_KILL);
        start(w, member);
    }
}

static enum sim_blow any_blow(struct sim_gang *w)
{
    return (enum sim_blow)sh_rng_below(&w->net.rng, SIM_BLOW_COUNT);
}

static void act(struct sim_gang *w)
{
    uint32_t member = any(w);
    switch (sh_rng_below(&w->net.rng, 11)) {
    case 0:
        split(w);
        break;
    case 1:
    case 2:
        sim_ether_mend(&w->net);
        break;
    case 3:
        hold_up(w);
        break;
    case 8:
        renew(w, member);
        break;
    case 4: /* whoever coordinates */
        if (w->council.leader != SIM_NOBODY) {
            strike(w, w->council.leader, any_blow(w));
        }
        break;
    case 5:
    case 6:
    case 7: /* as soon as it comes to that phase */
        w->members[member].armed = true;
        w->members[member].blow = any_blow(w);
        w->members[member].phase = (enum sim_phase)sh_rng_below(&w->net.rng, SIM_PHASE_COUNT);
        break;
    default:
        start(w, member);
        start(w, any(w));
        break;
    }
}

/* From the last checkpoint but one at the latest everyone goes on, as sim_gang_line_stand demands
 * of every generation, and beyond where anybody ever was. */
static uint64_t bound_us(const struct sim_gang *w)
{
    uint64_t step_us = STEP_US + COMPUTES * SLOW_MAX * w->compute_us;
    return MEET_US + (w->goal - w->line.saved_before) * step_us;
}

static void heal(struct sim_gang *w)
{
    w->healed = true;
    w->healed_us = w->net.now_us;
    sim_ether_mend(&w->net);
    w->net.net = (struct sim_net_options){.latency_us = 300, .jitter_us = 200, .capacity = 1000};
    for (uint32_t i = 0; i < w->count; i++) {
        w->members[i].armed = false;
        start(w, i);
    }
    w->goal = w->line.count + CALM_STEPS;
    w->due_us = w->net.now_us + bound_us(w);
}

static void storm(struct sim_gang *w)
{
    if (w->net.now_us >= w->storm_us) {
        heal(w);
        return;
    }
    act(w);
    sim_ether_after(&w->net, SIM_NOBODY, 1 + sim_about(&w->net.rng, w->act_us),
                    SIM_GANG_ARG(SIM_GANG_STORM, 0), 0);
}

/* ---- the run ---- */

static void draw(struct sim_gang *w, uint32_t members)
{
    w->count = members;
    while (w->ranks < w->count || w->ranks < 2) {
        w->ranks = 1u << between(w, 1, one_in(w, 8) ? 8 : 6);
    }
    w->elements = (uint32_t)between(w, 1, one_in(w, 4) ? 40000 : 9000);
    w->chunk = 1024u << between(w, 0, 2);
    w->window = (uint32_t)between(w, 1, 64);
    w->compute_us = between(w, 1 * MS, 30 * MS);
    w->save_every = between(w, 2, 20);
    w->keeps = one_in(w, 2);
    w->even = one_in(w, 2);
    w->repeats = one_in(w, 2);
    w->pace_us = between(w, 10 * MS, 300 * MS);
    w->act_us = between(w, 50 * MS, 800 * MS);
    w->storm_us = between(w, 20, 60) * SECOND;
    uint32_t voters = 1 + 2 * (uint32_t)sh_rng_below(&w->net.rng, 3);
    w->council.voters = voters < w->count ? voters : w->count;
    w->council.leader = SIM_NOBODY;
}

static void begin(struct sim_gang *w, uint64_t seed, uint32_t members)
{
    struct sh_rng rng;
    sh_rng_init(&rng, sh_mix64(seed) ^ UINT64_C(0x67616e67));
    bool many = sh_rng_chance(&rng, 1, 8);
    uint32_t drawn = (uint32_t)sh_rng_between(&rng, 1, many ? SIM_GANG_MEMBERS_MAX : 8);
    members = members > 0 ? members : drawn;
    sim_ether_init(&w->net, seed, members, members);
    w->seed = seed;
    sim_net_draw(&w->net.rng, &w->net.net);
    draw(w, members);
    w->members = calloc(members, sizeof *w->members);
    w->log = calloc(SIM_GANG_ENTRIES_MAX, sizeof *w->log);
    SH_CHECK(w->members != NULL && w->log != NULL);
    sim_gang_line_init(w);
    for (uint32_t i = 0; i < members; i++) {
        w->members[i].slow = one_in(w, 8) ? (uint32_t)between(w, 2, SLOW_MAX) : 1;
        if (i < w->council.voters || !one_in(w, 4)) { /* the others join later */
            start(w, i);
        }
    }
    sim_ether_after(&w->net, SIM_NOBODY, 1, SIM_GANG_ARG(SIM_GANG_COUNCIL, 0), 0);
    sim_ether_after(&w->net, SIM_NOBODY, 2 * SECOND, SIM_GANG_ARG(SIM_GANG_STORM, 0), 0);
}

static void end(struct sim_gang *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->net.nodes[i].up) {
            sim_gang_member_end(w, i);
        }
    }
    sim_gang_line_fini(w);
    sim_ether_fini(&w->net);
    free(w->members);
    free(w->log);
}

static void work(struct sim_gang *w, const struct sim_event *event)
{
    uint64_t id = event->arg >> 8;
    uint32_t who = event->who;
    const struct sim_gang_member *m = who == SIM_NOBODY ? NULL : &w->members[who];
    switch ((enum sim_gang_work)(event->arg & UINT8_MAX)) {
    case SIM_GANG_TIMER:
        if (id == m->turn && event->attempt == (uint32_t)m->timer) {
            sim_gang_round_timer(w, who);
        }
        break;
    case SIM_GANG_GREET:
        if (id == m->place) {
            sim_gang_member_greet(w, who);
        }
        break;
    case SIM_GANG_OP:
        if (id == m->turn) {
            sim_gang_round_op(w, who, event->attempt);
        }
        break;
    case SIM_GANG_NEXT:
        if (id == m->turn) {
            sim_gang_round_next(w, who);
        }
        break;
    case SIM_GANG_STORM:
        storm(w);
        break;
    case SIM_GANG_COUNCIL:
        sim_gang_council_turn(w);
        break;
    case SIM_GANG_DECIDE:
        sim_gang_council_decide(w, id);
        break;
    }
}

/* All of them stand at the goal or beyond, in the newest generation. */
static bool is_over(const struct sim_gang *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        const struct sim_gang_member *m = &w->members[i];
        if (!m->playing || m->place != w->log_count || m->position < w->goal) {
            return false;
        }
    }
    return true;
}

static void play(struct sim_gang *w)
{
    struct sim_event event;
    while (sim_ether_next(&w->net, &event)) {
        if (event.kind == SIM_EV_MESSAGE) {
            if (w->repeats && !w->healed && one_in(w, REPEATED)) {
                sim_ether_repeat(&w->net, &event, between(w, 1 * MS, 3 * SECOND));
            }
            sim_gang_member_hear(w, event.who, event.body);
        } else {
            work(w, &event);
        }
        free(event.body);
        if (event.who != SIM_NOBODY && !w->net.broken) {
            struct sim_gang_member *m = &w->members[event.who];
            if (m->armed && sim_gang_phase(m) == m->phase) {
                strike(w, event.who, m->blow);
            }
        }
        if (w->healed && is_over(w)) {
            break;
        }
        if (w->healed && w->net.now_us > w->due_us) {
            sim_ether_break(&w->net, "step %llu is not reached within the bound after healing",
                            (unsigned long long)w->goal);
        }
    }
    if (!w->net.broken) {
        w->counts.slowest = (w->net.now_us - w->healed_us) * 1000 / (w->due_us - w->healed_us);
    }
}

void sim_gang_run(uint64_t seed, uint32_t members, struct sim_verdict *v)
{
    struct sim_gang *w = calloc(1, sizeof *w);
    SH_CHECK(w != NULL);
    SH_CHECK_CMP(members, <=, SIM_GANG_MEMBERS_MAX);
    begin(w, seed, members);
    play(w);
    sim_ether_tell(&w->net, v);
    v->train.gang = w->counts;
    end(w);
    free(w);
}
