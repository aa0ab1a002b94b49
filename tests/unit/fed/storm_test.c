/* SPDX-License-Identifier: Apache-2.0
 *
 * Members that accept, decline, answer, answer twice, late or never, fail, vanish and come back, by
 * chance. Whatever they do, every round ends within 2.25 times the hard deadline of its OPEN. */
#include "base/rng.h"
#include "fed/fed.h"
#include "tst.h"

#include <stdlib.h>
#include <string.h>

#define HARD_US  UINT64_C(1000000)
#define BOUND_US (2 * HARD_US + HARD_US / 4)

struct pending { /* what a member is going to say */
    uint64_t at_us;
    uint32_t member;
    uint64_t round;
    enum fed_event_kind kind;
    bool accepted;
};

struct storm {
    struct sh_rng rng;
    struct fed *fed;
    void *memory;
    uint32_t members;
    struct pending *queue; /* a heap by at_us */
    uint32_t count;
    uint32_t room;
    bool *present;
    uint64_t now_us;
    uint64_t updates;
    uint64_t committed_at; /* 0: nothing is being committed */
    uint64_t rounds;
    uint64_t longest_us;
    uint64_t by_outcome[5];
    uint64_t by_verdict[FED_VERDICT_COUNT];
    uint32_t bad; /* of 100 members, that behave badly in this sequence */
    bool ended;
};

static void push(struct storm *s, struct pending p)
{
    if (s->count == s->room) {
        return; /* lost on the way, as anything may be */
    }
    uint32_t at = s->count++;
    for (; at > 0 && s->queue[(at - 1) / 2].at_us > p.at_us; at = (at - 1) / 2) {
        s->queue[at] = s->queue[(at - 1) / 2];
    }
    s->queue[at] = p;
}

static struct pending pop(struct storm *s)
{
    struct pending top = s->queue[0];
    struct pending last = s->queue[--s->count];
    uint32_t at = 0;
    for (uint32_t child = 1; child < s->count; child = 2 * at + 1) {
        child += child + 1 < s->count && s->queue[child + 1].at_us < s->queue[child].at_us;
        if (s->queue[child].at_us >= last.at_us) {
            break;
        }
        s->queue[at] = s->queue[child];
        at = child;
    }
    s->queue[at] = last;
    return top;
}

static uint64_t later(struct storm *s, uint64_t most_us)
{
    return s->now_us + sh_rng_between(&s->rng, 1, most_us);
}

/* What a member does that is asked: most answer in time. */
static void invite(struct storm *s, const struct fed_action *a)
{
    bool bad = sh_rng_below(&s->rng, 100) < s->bad;
    struct pending p = {.member = a->member, .round = a->round, .kind = FED_EV_REPLY};
    p.accepted = !bad || sh_rng_chance(&s->rng, 2, 3);
    p.at_us = later(s, 2000);
    push(s, p);
    if (!p.accepted || (bad && sh_rng_chance(&s->rng, 1, 3))) {
        return; /* declined, or accepted and never answers */
    }
    p.kind = bad && sh_rng_chance(&s->rng, 1, 3) ? FED_EV_FAILED : FED_EV_UPDATE;
    p.at_us = later(s, bad ? 5 * HARD_US : HARD_US / 10) + 2000;
    push(s, p);
    if (bad && sh_rng_chance(&s->rng, 1, 2)) {
        p.at_us = later(s, HARD_US) + 2000;
        push(s, p); /* and again */
    }
    if (bad && sh_rng_chance(&s->rng, 1, 4)) {
        p.kind = FED_EV_GONE;
        p.at_us = later(s, HARD_US);
        push(s, p);
        p.kind = FED_EV_JOIN;
        p.at_us += sh_rng_between(&s->rng, 1, 3 * HARD_US);
        push(s, p);
    }
}

static void carry_out(struct storm *s, const struct fed_action *a)
{
    switch (a->kind) {
    case FED_DO_OPEN:
    case FED_DO_DROP:
        break;
    case FED_DO_INVITE:
        EXPECT(s->present[a->member]);
        invite(s, a);
        break;
    case FED_DO_CLOSE: {
        uint64_t took = s->now_us - fed_opened_us(s->fed);
        s->longest_us = took > s->longest_us ? took : s->longest_us;
        EXPECT(took <= BOUND_US);
        s->rounds += a->evaluates ? 0 : 1;
        s->by_outcome[a->outcome]++;
        s->committed_at = later(s, 5000);
        break;
    }
    case FED_DO_END:
        s->ended = true;
        break;
    }
}

static void step(struct storm *s, struct fed_event *e)
{
    struct fed_update u;
    e->now_us = s->now_us;
    fed_step(s->fed, e, &u);
    s->by_verdict[u.verdict]++;
    for (uint32_t i = 0; i < u.count; i++) {
        carry_out(s, &u.actions[i]);
    }
}

static void deliver(struct storm *s)
{
    struct pending p = pop(s);
    struct fed_event e = {.kind = p.kind, .member = p.member, .round = p.round};
    s->now_us = p.at_us > s->now_us ? p.at_us : s->now_us;
    if (p.kind == FED_EV_REPLY) {
        e.accepted = p.accepted;
    } else if (p.kind == FED_EV_UPDATE) {
        e.update = s->updates++;
    } else if (p.kind == FED_EV_JOIN) {
        e.key = p.member;
        s->present[p.member] = true;
    } else if (p.kind == FED_EV_GONE) {
        s->present[p.member] = false;
    }
    bool heard = p.kind == FED_EV_JOIN || p.kind == FED_EV_GONE || s->present[p.member];
    if (heard) {
        step(s, &e);
    }
}

static void commit(struct storm *s)
{
    struct fed_event e = {.kind = FED_EV_COMMITTED};
    s->now_us = s->committed_at;
    s->committed_at = 0;
    e.committed.scored = sh_rng_chance(&s->rng, 1, 2);
    e.committed.score = (double)sh_rng_below(&s->rng, 1000);
    step(s, &e);
}

/* Whatever comes first. */
static void turn(struct storm *s)
{
    uint64_t mail = s->count > 0 ? s->queue[0].at_us : UINT64_MAX;
    uint64_t timer = fed_deadline_us(s->fed);
    uint64_t done = s->committed_at != 0 ? s->committed_at : UINT64_MAX;
    EXPECT(mail != UINT64_MAX || timer != UINT64_MAX || done != UINT64_MAX);
    if (done <= timer && done <= mail) {
        commit(s);
    } else if (timer <= mail) {
        s->now_us = timer > s->now_us ? timer : s->now_us;
        step(s, &(struct fed_event){.kind = FED_EV_TIMER});
    } else {
        deliver(s);
    }
}

static struct fed_config draw(struct storm *s)
{
    struct sh_rng *r = &s->rng;
    struct fed_config c = {.members_max = s->members,
                           .seed = sh_rng_u64(r),
                           .rounds = sh_rng_between(r, 1, 60),
                           .evaluates = sh_rng_chance(r, 1, 2),
                           .select = (enum fed_select)sh_rng_between(r, FED_ALL, FED_COUNT),
                           .fraction_ppm = (uint32_t)sh_rng_between(r, 1, 1000000),
                           .count = (uint32_t)sh_rng_between(r, 1, s->members + 3),
                           .over_permille = (uint32_t)sh_rng_between(r, 1000, 2000),
                           .goal_ppm = (uint32_t)sh_rng_between(r, 1, 1000000),
                           .least = (uint32_t)sh_rng_between(r, 1, 1 + s->members / 2),
                           .hard_us = HARD_US,
                           .carry = sh_rng_chance(r, 1, 2),
                           .late_max = sh_rng_chance(r, 1, 2) ? 0 : 20,
                           .skips_max = 60,
                           .patience = sh_rng_chance(r, 1, 8) ? 9 : 0};
    c.goal_count = sh_rng_chance(r, 1, 3) ? (uint32_t)sh_rng_between(r, 1, s->members) : 0;
    return c;
}

/* One sequence from START to END. */
static void play(struct storm *s, bool check)
{
    struct fed_config config = draw(s);
    struct sh_arena arena;
    memset(s->memory, 0, fed_bytes(s->members));
    sh_arena_init(&arena, s->memory, fed_bytes(s->members));
    s->fed = fed_init(&config, &arena);
    s->bad = (uint32_t)sh_rng_below(&s->rng, 101);
    s->count = 0;
    s->committed_at = 0;
    s->now_us = 1;
    s->ended = false;
    uint64_t before = s->rounds;
    for (uint32_t i = 0; i < s->members; i++) {
        s->present[i] = i == 0 || !sh_rng_chance(&s->rng, 1, 8);
        if (s->present[i]) {
            step(s, &(struct fed_event){.kind = FED_EV_JOIN, .member = i, .key = i});
        } else {
            push(s, (struct pending){
                        .at_us = later(s, 9 * HARD_US), .member = i, .kind = FED_EV_JOIN});
        }
    }
    step(s, &(struct fed_event){.kind = FED_EV_START});
    while (!s->ended) {
        turn(s);
        if (check) {
            fed_check(s->fed);
        }
    }
    EXPECT(fed_has_ended(s->fed));
    EXPECT(s->rounds - before <= config.rounds);
}

static void storm(uint32_t members, uint64_t rounds, bool check)
{
    struct storm s = {.members = members, .room = 16 * members + 64};
    sh_rng_init(&s.rng, tst_seed() + members);
    s.queue = calloc(s.room, sizeof *s.queue);
    s.present = calloc(members, sizeof *s.present);
    s.memory = aligned_alloc(64, (fed_bytes(members) + 63) / 64 * 64);
    EXPECT(s.queue != NULL && s.present != NULL && s.memory != NULL);
    while (s.rounds < rounds) {
        play(&s, check);
    }
    EXPECT(s.by_outcome[FED_COMMIT] > 0 && s.by_outcome[FED_SKIP] > 0);
    EXPECT(s.by_outcome[FED_CARRY] > 0 && s.by_outcome[FED_EVALUATED] > 0);
    EXPECT(s.longest_us > BOUND_US - 1000);
    for (uint32_t i = 1; i < FED_VERDICT_COUNT; i++) {
        EXPECT(s.by_verdict[i] > 0);
    }
    free(s.queue);
    free(s.present);
    free(s.memory);
}

TEST(a_hundred_thousand_rounds_end_in_time_whatever_members_do)
{
    storm(6, 70000, true);
    storm(20, 30000, false);
}

TEST(rounds_of_a_thousand_members_end_in_time)
{
    storm(1000, 300, false);
}
