/* SPDX-License-Identifier: Apache-2.0
 *
 * Time and faults of federated rounds: a storm for some rounds, then all is healed and the rest
 * must end within the closed bound of a round, each. */
#include "sim/fed.h"

#include "sim/scenario.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define MS     UINT64_C(1000)
#define SECOND (1000 * MS)

enum {
    CALM_ROUNDS = 16, /* after the storm: the model is to come near the truth */
    LIARS_PERCENT = 20,
    SEATS_LEAST = 3
};

#define ELECT_US  (100 * MS)   /* between two looks at whether somebody leads */
#define TERM_US   (300 * MS)   /* without a leader that reaches a majority, before the next one */
#define COMMIT_US (1 * SECOND) /* what a commit takes at most where nothing is broken */

static uint64_t between(struct sim_fed *w, uint64_t low, uint64_t high)
{
    return sh_rng_between(&w->net.rng, low, high);
}

static bool one_in(struct sim_fed *w, uint64_t many)
{
    return sh_rng_chance(&w->net.rng, 1, many);
}

/* ---- faults ---- */

/* The leaders' processes and members' ones begin alike. */
static void start(struct sim_fed *w, uint32_t node)
{
    if (!w->net.nodes[node].up) {
        sim_ether_start(&w->net, node);
        if (node >= w->seat_count) {
            sim_fed_member_begin(w, node - w->seat_count);
        }
    }
}

static void kill_node(struct sim_fed *w, uint32_t node)
{
    sim_ether_kill(&w->net, node);
    if (node < w->seat_count) {
        sim_fed_resign(w, node);
    }
}

static void freeze(struct sim_fed *w, uint32_t node)
{
    if (sim_ether_runs(&w->net, node)) {
        sim_ether_freeze(&w->net, node);
        if (node < w->seat_count) {
            w->seats[node].frozen_us = w->net.now_us;
        }
    }
}

static void thaw(struct sim_fed *w, uint32_t node)
{
    if (w->net.nodes[node].frozen) {
        sim_ether_thaw(&w->net, node);
        if (node < w->seat_count) {
            w->seats[node].lost_us += w->net.now_us - w->seats[node].frozen_us;
        }
    }
}

/* Which nodes are on one side: a part of the members, and sometimes leaders with them. */
static void split(struct sim_fed *w)
{
    bool side[SIM_FED_MEMBERS_MAX + SIM_FED_SEATS_MAX];
    uint64_t percent = between(w, 5, 95);
    for (uint32_t i = 0; i < w->net.count; i++) {
        bool seat = i < w->seat_count;
        side[i] = seat ? one_in(w, 3) : sh_rng_chance(&w->net.rng, percent, 100);
    }
    sim_ether_split(&w->net, side, one_in(w, 2));
}

static void strike(struct sim_fed *w, uint32_t node)
{
    switch (sh_rng_below(&w->net.rng, 4)) {
    case 0:
        kill_node(w, node);
        break;
    case 1:
        freeze(w, node);
        break;
    default:
        thaw(w, node);
        start(w, node);
        break;
    }
}

static void hold_up(struct sim_fed *w, uint32_t member)
{
    uint32_t seat = w->leader == SIM_NOBODY ? 0 : w->leader;
    struct sim_link *link = one_in(w, 2) ? sim_ether_link(&w->net, seat, w->seat_count + member)
                                         : sim_ether_link(&w->net, w->seat_count + member, seat);
    link->clogged_us = w->net.now_us + between(w, 1 * MS, 5 * SECOND);
}

static void act(struct sim_fed *w)
{
    uint64_t some = between(w, 1, w->member_count / 10);
    switch (sh_rng_below(&w->net.rng, 8)) {
    case 0:
        split(w);
        break;
    case 1:
        sim_ether_mend(&w->net);
        break;
    case 2: /* leaders */
        strike(w, (uint32_t)sh_rng_below(&w->net.rng, w->seat_count));
        break;
    case 3: /* the leader of the moment */
        if (w->leader != SIM_NOBODY) {
            strike(w, w->leader);
        }
        break;
    case 4:
        for (uint64_t i = 0; i < some; i++) {
            hold_up(w, (uint32_t)sh_rng_below(&w->net.rng, w->member_count));
        }
        break;
    case 5:
        if (w->leader != SIM_NOBODY && sim_ether_runs(&w->net, w->leader)) {
            sim_fed_seat_look(w, w->leader, true); /* it is told wrongly who is there */
        }
        break;
    default:
        for (uint64_t i = 0; i < some; i++) {
            strike(w, w->seat_count + (uint32_t)sh_rng_below(&w->net.rng, w->member_count));
        }
        break;
    }
}

static void heal(struct sim_fed *w)
{
    w->healed = true;
    sim_ether_mend(&w->net);
    w->net.net = (struct sim_net_options){.latency_us = 300, .jitter_us = 200, .capacity = 1000};
    w->bad = 0;
    for (uint32_t i = 0; i < w->net.count; i++) {
        thaw(w, i);
        start(w, i);
    }
}

static void storm(struct sim_fed *w)
{
    if (w->healed) {
        return;
    }
    act(w);
    sim_ether_after(&w->net, SIM_NOBODY, 1 + sim_about(&w->net.rng, w->act_us), SIM_FED_STORM, 0);
}

/* ---- who leads ---- */

static void elect(struct sim_fed *w)
{
    bool led = w->leader != SIM_NOBODY && w->seats[w->leader].core != NULL &&
               w->seats[w->leader].fence == w->fence && sim_fed_majority(w, w->leader);
    w->leaderless_us = led ? 0 : w->leaderless_us + ELECT_US;
    uint32_t first = (uint32_t)sh_rng_below(&w->net.rng, w->seat_count);
    for (uint32_t i = 0; i < w->seat_count && w->leaderless_us >= TERM_US; i++) {
        uint32_t seat = (first + i) % w->seat_count;
        if (sim_fed_majority(w, seat)) {
            sim_fed_reign(w, seat);
            w->leaderless_us = 0;
        }
    }
    for (uint32_t i = 0; i < w->seat_count; i++) {
        bool old = w->seats[i].core != NULL && w->seats[i].fence < w->fence;
        if (old && sim_ether_reach(&w->net, i, w->leader)) {
            sim_fed_resign(w, i); /* it hears of the newer one */
        }
    }
    sim_ether_after(&w->net, SIM_NOBODY, ELECT_US, SIM_FED_ELECT, 0);
}

/* ---- the run ---- */

/* Whom a round asks, and how many liars it bears: never fewer than there are, though all honest
 * members that it asked first are gone and liars come in their place. */
static void draw_rounds(struct sim_fed *w)
{
    struct fed_config *c = &w->config;
    bool all = one_in(w, 2);
    uint32_t asked = all ? w->member_count
                         : (uint32_t)between(w, w->member_count * UINT64_C(68) / 100,
                                             w->member_count * UINT64_C(90) / 100);
    uint32_t liars = asked * (all ? 25u : 30u) / 100;
    w->storm_rounds = between(w, 6, 20);
    *c = (struct fed_config){.members_max = w->member_count,
                             .seed = sh_rng_u64(&w->net.rng),
                             .rounds = w->storm_rounds + CALM_ROUNDS,
                             .evaluates = one_in(w, 2),
                             .select = all ? FED_ALL : FED_COUNT,
                             .count = asked,
                             .over_permille = FED_PERMILLE + (uint32_t)between(w, 0, 100),
                             .goal_ppm = (uint32_t)between(w, 800000, 1000000),
                             .least = asked * 3 / 4 > 2 * liars + 3 ? asked * 3 / 4 : 2 * liars + 3,
                             .hard_us = between(w, 2, 20) * SECOND,
                             .carry = one_in(w, 2),
                             .late_max = one_in(w, 2) ? (uint32_t)between(w, 1, 4) : 0,
                             .skips_max = SIM_FED_ROUNDS_MAX};
    w->model.vote.byzantine = liars;
    w->train_us = between(w, c->hard_us / 100, c->hard_us / 8);
    w->act_us = between(w, c->hard_us / 20, c->hard_us);
    w->bad = one_in(w, 2) ? 0 : (uint32_t)between(w, 1, 250);
}

static void draw_members(struct sim_fed *w)
{
    uint64_t slow = one_in(w, 2) ? 0 : between(w, 10, 200); /* of 1000 members */
    uint32_t liars = w->member_count * LIARS_PERCENT / 100;
    for (uint32_t i = 0; i < w->member_count; i++) {
        bool straggler = sh_rng_chance(&w->net.rng, slow, 1000);
        w->members[i] = (struct sim_fed_member){.slow = straggler ? (uint32_t)between(w, 5, 50) : 1,
                                                .work = FED_NONE};
        w->members[i].owes = FED_NONE;
    }
    while (liars > 0) {
        struct sim_fed_member *m = &w->members[sh_rng_below(&w->net.rng, w->member_count)];
        liars -= !m->liar;
        m->liar = true;
    }
}

static void begin(struct sim_fed *w, uint64_t seed, uint32_t members)
{
    w->member_count = members;
    struct sh_rng rng;
    sh_rng_init(&rng, sh_mix64(seed) ^ UINT64_C(0x666564));
    w->seat_count = SEATS_LEAST + 2 * (uint32_t)sh_rng_below(&rng, 2);
    sim_ether_init(&w->net, seed, w->seat_count + members, w->seat_count);
    w->leader = SIM_NOBODY;
    w->members = calloc(members, sizeof *w->members);
    SH_CHECK(w->members != NULL);
    sim_net_draw(&w->net.rng, &w->net.net);
    draw_members(w);
    draw_rounds(w);
    sim_fed_model_init(w, &rng);
    for (uint32_t i = 0; i < w->seat_count; i++) {
        w->seats[i].asked = calloc(members, sizeof *w->seats[i].asked);
        SH_CHECK(w->seats[i].asked != NULL);
    }
    for (uint32_t i = 0; i < w->net.count; i++) {
        start(w, i);
    }
    sim_ether_after(&w->net, SIM_NOBODY, ELECT_US, SIM_FED_ELECT, 0);
    sim_ether_after(&w->net, SIM_NOBODY, w->act_us, SIM_FED_STORM, 0);
}

static void end(struct sim_fed *w)
{
    for (uint32_t i = 0; i < w->seat_count; i++) {
        sim_fed_resign(w, i);
        free(w->seats[i].asked);
        free(w->seats[i].updates);
    }
    sim_fed_model_fini(w);
    sim_ether_fini(&w->net);
    free(w->members);
}

static void dispatch(struct sim_fed *w, const struct sim_event *event)
{
    uint32_t seats = w->seat_count;
    if (event->kind == SIM_EV_MESSAGE) {
        const struct sim_parcel *p = event->body;
        struct sim_fed_word word;
        SH_CHECK_CMP(p->size, ==, sizeof word);
        memcpy(&word, p->bytes, sizeof word);
        if (p->to < seats) {
            sim_fed_seat_hear(w, p->to, p->from - seats, &word);
        } else {
            sim_fed_member_hear(w, p->to - seats, p->from, &word);
        }
    } else if (event->who < seats) {
        sim_fed_seat_work(w, event->who, event);
    } else if (event->who != SIM_NOBODY) {
        sim_fed_member_work(w, event->who - seats, event);
    } else if ((event->arg & UINT8_MAX) == SIM_FED_STORM) {
        storm(w);
    } else if ((event->arg & UINT8_MAX) == SIM_FED_ELECT) {
        elect(w);
    } else {
        sim_fed_watch(w, event);
    }
}

/* After so long the rest of the rounds must be over, with nothing broken any more. */
static uint64_t rest_us(const struct sim_fed *w)
{
    uint64_t rounds = w->config.rounds - w->ledger.round + 2; /* that of measuring, the open one */
    return rounds * (sim_fed_bound_us(w) + COMMIT_US) + 5 * SECOND;
}

static void play(struct sim_fed *w)
{
    uint64_t storm_us = 3 * w->storm_rounds * sim_fed_bound_us(w);
    uint64_t due_us = UINT64_MAX;
    struct sim_event event;
    while (!w->ended && sim_ether_next(&w->net, &event)) {
        dispatch(w, &event);
        free(event.body);
        if (!w->healed && (w->ledger.round >= w->storm_rounds || w->net.now_us > storm_us)) {
            heal(w);
            due_us = w->net.now_us + rest_us(w);
        }
        if (w->net.now_us > due_us) {
            sim_ether_break(&w->net, "round %llu of %llu is not over within the bound",
                            (unsigned long long)w->ledger.round,
                            (unsigned long long)w->config.rounds);
        }
    }
    if (!w->net.broken) {
        sim_fed_model_judge(w);
    }
}

void sim_fed_run(uint64_t seed, uint32_t members, struct sim_verdict *v)
{
    struct sim_fed *w = calloc(1, sizeof *w);
    SH_CHECK(w != NULL);
    SH_CHECK(members >= SIM_FED_MEMBERS_MIN && members <= SIM_FED_MEMBERS_MAX);
    begin(w, seed, members);
    play(w);
    sim_ether_tell(&w->net, v);
    v->train.fed = w->counts;
    end(w);
    free(w);
}
