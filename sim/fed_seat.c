/* SPDX-License-Identifier: Apache-2.0
 *
 * An agent that can lead the rounds: hosts mesh/fed as agent/rounds does. It asks members, keeps
 * the numbers of their updates, and commits what a round closes with. What the core answers is
 * judged by books of its own. */
#include "sim/fed.h"

#include "base/check.h"

#include <stdlib.h>

enum { ASKS_MAX = 5, LOOKS_WELL = 4 };

#define MS        UINT64_C(1000)
#define AGAIN_US  (300 * MS)  /* a member that has not answered is asked again */
#define COMMIT_US (10 * MS)   /* mean time of a commit, and of trying again */
#define LOOK_US   (1000 * MS) /* between two looks at who is there */

static uint64_t bit(uint64_t round)
{
    SH_CHECK_CMP(round, <, 64);
    return UINT64_C(1) << round;
}

uint64_t sim_fed_bound_us(const struct sim_fed *w)
{
    return 2 * w->config.hard_us + w->config.hard_us / 4;
}

bool sim_fed_majority(struct sim_fed *w, uint32_t seat)
{
    uint32_t reached = 0;
    for (uint32_t i = 0; i < w->seat_count; i++) {
        reached += sim_ether_reach(&w->net, seat, i);
    }
    return sim_ether_runs(&w->net, seat) && reached > w->seat_count / 2;
}

static void say(struct sim_fed *w, uint32_t seat, uint32_t member, struct sim_fed_word word)
{
    word.fence = w->seats[seat].fence;
    /* Refused or lost: it is said again. */
    (void)sim_ether_send(&w->net, seat, w->seat_count + member, &word, sizeof word);
}

static void invite(struct sim_fed *w, uint32_t seat, uint32_t member, uint64_t round)
{
    struct sim_fed_seat *s = &w->seats[seat];
    say(w, seat, member, (struct sim_fed_word){.kind = SIM_FED_INVITE, .round = round});
    sim_ether_after(&w->net, seat, AGAIN_US, SIM_FED_ARG(SIM_FED_ASK_AGAIN, s->fence), member);
}

/* ---- closing ---- */

/* The updates that count, those of liars first. */
static uint32_t list_entries(struct sim_fed *w, struct sim_fed_seat *s, struct sim_fed_update *out,
                             uint32_t *liars)
{
    uint32_t count = 0;
    for (uint32_t turn = 0; turn < 2; turn++) {
        for (uint32_t i = 0; i < w->member_count; i++) {
            struct fed_entry entry;
            if (w->members[i].liar != (turn == 0) || !fed_entry(s->core, i, &entry)) {
                continue;
            }
            if (entry.update >= s->update_count || s->updates[entry.update].member != i ||
                s->updates[entry.update].base != entry.base) {
                sim_ether_break(&w->net, "the entry of member %u is not what it sent", i);
                return 0;
            }
            out[count++] = s->updates[entry.update];
        }
        *liars = turn == 0 ? count : *liars;
    }
    return count;
}

static void count_entries(struct sim_fed *w, const struct sim_fed_update *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct sim_fed_member *m = &w->members[list[i].member];
        if ((m->counted & bit(list[i].base)) != 0) {
            sim_ether_break(&w->net, "the update of member %u for round %llu counts twice",
                            list[i].member, (unsigned long long)list[i].base);
        }
        m->counted |= bit(list[i].base);
    }
}

/* The record is in the log. */
static void commit(struct sim_fed *w, uint32_t seat)
{
    struct sim_fed_seat *s = &w->seats[seat];
    uint64_t round = fed_round(s->core);
    struct sim_fed_update *list = calloc(w->member_count, sizeof *list);
    uint32_t liars = 0;
    SH_CHECK(list != NULL);
    uint32_t count = s->outcome == FED_COMMIT ? list_entries(w, s, list, &liars) : 0;
    if (round != w->ledger.round) {
        sim_ether_break(&w->net, "round %llu is committed where %llu is due",
                        (unsigned long long)round, (unsigned long long)w->ledger.round);
    } else if (s->outcome == FED_COMMIT && count < w->config.least) {
        sim_ether_break(&w->net, "round %llu makes a model of %u updates, %u are the least",
                        (unsigned long long)round, count, w->config.least);
    }
    count_entries(w, list, count);
    if (!fed_is_evaluating(s->core) && !w->net.broken) {
        sim_fed_model_commit(w, round, list, count, liars);
        w->counts.rounds++;
    }
    w->ledger = fed_resume(s->core, false, 0);
    sim_ether_mix(&w->net, round << 32 ^ (uint64_t)s->outcome << 16 ^ count);
    free(list);
}

static void step(struct sim_fed *w, uint32_t seat, struct fed_event event);

static void try_commit(struct sim_fed *w, uint32_t seat)
{
    struct sim_fed_seat *s = &w->seats[seat];
    if (s->fence != w->fence) {
        sim_fed_resign(w, seat); /* somebody newer leads: the record is refused */
    } else if (!sim_fed_majority(w, seat)) {
        sim_ether_after(&w->net, seat, 1 + sim_about(&w->net.rng, 10 * COMMIT_US),
                        SIM_FED_ARG(SIM_FED_COMMIT, s->fence), 0);
    } else {
        commit(w, seat);
        s->closing = false;
        if (!w->net.broken) {
            step(w, seat, (struct fed_event){.kind = FED_EV_COMMITTED});
        }
    }
}

static void close_round(struct sim_fed *w, uint32_t seat, const struct fed_action *a)
{
    struct sim_fed_seat *s = &w->seats[seat];
    uint64_t took = w->net.now_us - fed_opened_us(s->core);
    uint64_t bound = sim_fed_bound_us(w);
    if (took > bound + s->lost_us) {
        sim_ether_break(&w->net, "round %llu closed after %llu us, the bound is %llu",
                        (unsigned long long)a->round, (unsigned long long)took,
                        (unsigned long long)bound);
    }
    uint64_t share = s->lost_us == 0 ? took * 1000 / bound : 0;
    w->counts.longest = share > w->counts.longest ? share : w->counts.longest;
    s->closing = true;
    s->outcome = a->outcome;
    sim_ether_after(&w->net, seat, 1 + sim_about(&w->net.rng, COMMIT_US),
                    SIM_FED_ARG(SIM_FED_COMMIT, s->fence), 0);
}

/* ---- the core ---- */

static void carry_out(struct sim_fed *w, uint32_t seat, const struct fed_action *a)
{
    struct sim_fed_seat *s = &w->seats[seat];
    switch (a->kind) {
    case FED_DO_OPEN:
        s->lost_us = 0;
        sim_ether_after(&w->net, SIM_NOBODY, sim_fed_bound_us(w) + MS,
                        SIM_FED_ARG(SIM_FED_WATCH, a->round << 32 | s->fence), seat);
        break;
    case FED_DO_INVITE: {
        struct sim_fed_asked *asked = &s->asked[a->member];
        asked->waiting = true;
        asked->tries = 0;
        asked->round = a->round;
        asked->rounds |= bit(a->round);
        invite(w, seat, a->member, a->round);
        break;
    }
    case FED_DO_DROP: {
        const struct sim_fed_update *u = &s->updates[a->update];
        s->asked[u->member].taken &= ~bit(u->base);
        break;
    }
    case FED_DO_CLOSE:
        close_round(w, seat, a);
        break;
    case FED_DO_END:
        w->ended = w->ended || s->fence == w->fence;
        break;
    }
}

static void arm(struct sim_fed *w, uint32_t seat)
{
    struct sim_fed_seat *s = &w->seats[seat];
    uint64_t due = fed_deadline_us(s->core);
    due = due < w->net.now_us ? w->net.now_us : due;
    if (due != UINT64_MAX && due != s->armed_us) {
        s->armed_us = due;
        sim_ether_after(&w->net, seat, due - w->net.now_us, SIM_FED_ARG(SIM_FED_TIMER, s->fence),
                        (uint32_t)++s->timer);
    }
}

static void run(struct sim_fed *w, uint32_t seat, struct fed_event event, struct fed_update *update)
{
    event.now_us = w->net.now_us;
    fed_step(w->seats[seat].core, &event, update);
}

static void follow(struct sim_fed *w, uint32_t seat, const struct fed_update *update)
{
    for (uint32_t i = 0; i < update->count && !w->net.broken; i++) {
        carry_out(w, seat, &update->actions[i]);
    }
    arm(w, seat);
}

static void step(struct sim_fed *w, uint32_t seat, struct fed_event event)
{
    struct fed_update update;
    run(w, seat, event, &update);
    follow(w, seat, &update);
}

/* A round that is still open after its bound was never looked at again. */
void sim_fed_watch(struct sim_fed *w, const struct sim_event *event)
{
    const struct sim_fed_seat *s = &w->seats[event->attempt];
    uint64_t id = event->arg >> 8;
    bool same = s->core != NULL && s->fence == (id & UINT32_MAX) && fed_is_open(s->core) &&
                fed_round(s->core) == id >> 32;
    bool frozen = !sim_ether_runs(&w->net, event->attempt) || s->lost_us > 0;
    if (same && !frozen) {
        sim_ether_break(&w->net, "round %llu is open beyond its bound",
                        (unsigned long long)(id >> 32));
    }
}

/* ---- who leads ---- */

void sim_fed_resign(struct sim_fed *w, uint32_t seat)
{
    struct sim_fed_seat *s = &w->seats[seat];
    free(s->memory);
    s->memory = NULL;
    s->core = NULL;
    s->closing = false;
}

static void see(struct sim_fed *w, uint32_t seat, uint32_t member, bool there)
{
    struct sim_fed_seat *s = &w->seats[seat];
    if (s->asked[member].present != there) {
        s->asked[member].present = there;
        step(w, seat,
             (struct fed_event){.kind = there ? FED_EV_JOIN : FED_EV_GONE,
                                .member = member,
                                .key = sh_mix64(w->config.seed + member)});
    }
}

void sim_fed_seat_look(struct sim_fed *w, uint32_t seat, bool wrongly)
{
    struct sim_fed_seat *s = &w->seats[seat];
    for (uint32_t i = 0; i < w->member_count && s->core != NULL && !w->net.broken; i++) {
        if (wrongly && sh_rng_chance(&w->net.rng, 1, 16)) {
            see(w, seat, i, !s->asked[i].present);
        } else if (!wrongly && sh_rng_chance(&w->net.rng, LOOKS_WELL - 1, LOOKS_WELL)) {
            see(w, seat, i, sim_ether_reach(&w->net, seat, w->seat_count + i));
        }
    }
}

void sim_fed_reign(struct sim_fed *w, uint32_t seat)
{
    struct sim_fed_seat *s = &w->seats[seat];
    size_t size = (fed_bytes(w->member_count) + 63) / 64 * 64;
    struct sh_arena arena;
    sim_fed_resign(w, seat);
    s->memory = aligned_alloc(64, size);
    SH_CHECK(s->memory != NULL);
    sh_arena_init(&arena, s->memory, size);
    s->core = fed_init(&w->config, &arena);
    s->fence = ++w->fence;
    s->armed_us = UINT64_MAX;
    s->update_count = 0;
    w->leader = seat;
    w->counts.leaders++;
    for (uint32_t i = 0; i < w->member_count; i++) {
        s->asked[i] = (struct sim_fed_asked){.round = FED_NONE};
        see(w, seat, i, sim_ether_reach(&w->net, seat, w->seat_count + i));
    }
    step(w, seat, (struct fed_event){.kind = FED_EV_START, .start = w->ledger});
    sim_ether_after(&w->net, seat, LOOK_US, SIM_FED_ARG(SIM_FED_LOOK, s->fence), 0);
}

/* ---- what members say ---- */

static uint64_t keep(struct sim_fed_seat *s, uint32_t member, uint64_t base)
{
    if (s->update_count == s->update_room) {
        s->update_room = s->update_room == 0 ? 1024 : 2 * s->update_room;
        s->updates = realloc(s->updates, s->update_room * sizeof *s->updates);
        SH_CHECK(s->updates != NULL);
    }
    s->updates[s->update_count] = (struct sim_fed_update){.member = member, .base = base};
    return s->update_count++;
}

/* Is this what may be said of that update? open: its round is; due: and it is waited for. */
static void judge(struct sim_fed *w, uint32_t seat, uint32_t member, uint64_t round, bool open,
                  bool due, enum fed_verdict verdict)
{
    struct sim_fed_asked *asked = &w->seats[seat].asked[member];
    bool was_asked = round < 64 && (asked->rounds & bit(round)) != 0;
    bool before = round < 64 && (asked->taken & bit(round)) != 0;
    bool good = verdict != FED_VERDICT_NONE && due == (due && verdict == FED_VERDICT_TAKEN);
    if (verdict == FED_VERDICT_TAKEN) {
        good = good && was_asked && !before && open;
    } else if (verdict == FED_VERDICT_KEPT) {
        good = good && was_asked && !before && !open && w->config.late_max > 0;
    } else if (verdict == FED_VERDICT_DUPLICATE) {
        good = good && before;
    }
    if (!good) {
        sim_ether_break(&w->net, "an update of member %u for round %llu is answered '%s'", member,
                        (unsigned long long)round, fed_verdict_text(verdict));
    }
    bool counts = verdict == FED_VERDICT_TAKEN || verdict == FED_VERDICT_KEPT;
    asked->taken |= counts ? bit(round) : 0;
    w->counts.late += verdict != FED_VERDICT_TAKEN && verdict != FED_VERDICT_DUPLICATE;
}

static void take_update(struct sim_fed *w, uint32_t seat, uint32_t member, uint64_t round)
{
    struct sim_fed_seat *s = &w->seats[seat];
    struct fed_update update;
    bool open = fed_is_open(s->core) && fed_round(s->core) == round;
    enum fed_part part = fed_part(s->core, member);
    bool due = open && (part == FED_PART_ASKED || part == FED_PART_WORKS);
    struct fed_event event = {.kind = FED_EV_UPDATE, .member = member, .round = round};
    event.update = keep(s, member, round);
    w->counts.updates++;
    run(w, seat, event, &update);
    judge(w, seat, member, round, open, due, update.verdict);
    follow(w, seat, &update);
    say(w, seat, member,
        (struct sim_fed_word){.kind = SIM_FED_VERDICT, .round = round, .verdict = update.verdict});
}

void sim_fed_seat_hear(struct sim_fed *w, uint32_t seat, uint32_t member,
                       const struct sim_fed_word *word)
{
    struct sim_fed_seat *s = &w->seats[seat];
    struct fed_event event = {.member = member, .round = word->round};
    if (s->core == NULL) {
        return; /* the member keeps asking: whoever leads next will ask it */
    }
    if (s->asked[member].round == word->round) {
        s->asked[member].waiting = false;
    }
    switch (word->kind) {
    case SIM_FED_REPLY:
        event.kind = FED_EV_REPLY;
        event.accepted = word->accepted;
        step(w, seat, event);
        break;
    case SIM_FED_UPDATE:
        take_update(w, seat, member, word->round);
        break;
    case SIM_FED_FAILED:
        event.kind = FED_EV_FAILED;
        step(w, seat, event);
        say(w, seat, member, (struct sim_fed_word){.kind = SIM_FED_VERDICT, .round = word->round});
        break;
    case SIM_FED_INVITE:
    case SIM_FED_VERDICT:
        SH_UNREACHABLE();
    }
}

static void ask_again(struct sim_fed *w, uint32_t seat, uint32_t member)
{
    struct sim_fed_asked *asked = &w->seats[seat].asked[member];
    if (!asked->waiting) {
        return;
    }
    if (++asked->tries < ASKS_MAX) {
        invite(w, seat, member, asked->round);
        return;
    }
    asked->waiting = false; /* it cannot be reached: it declined */
    step(w, seat,
         (struct fed_event){.kind = FED_EV_REPLY, .member = member, .round = asked->round});
}

void sim_fed_seat_work(struct sim_fed *w, uint32_t seat, const struct sim_event *event)
{
    struct sim_fed_seat *s = &w->seats[seat];
    if (s->core == NULL || event->arg >> 8 != s->fence) {
        return; /* of an earlier reign */
    }
    switch (event->arg & UINT8_MAX) {
    case SIM_FED_TIMER:
        if (event->attempt == (uint32_t)s->timer) {
            s->armed_us = UINT64_MAX;
            step(w, seat, (struct fed_event){.kind = FED_EV_TIMER});
        }
        break;
    case SIM_FED_ASK_AGAIN:
        ask_again(w, seat, event->attempt);
        break;
    case SIM_FED_COMMIT:
        if (s->closing) {
            try_commit(w, seat);
        }
        break;
    case SIM_FED_LOOK:
        sim_fed_seat_look(w, seat, false);
        sim_ether_after(&w->net, seat, LOOK_US, SIM_FED_ARG(SIM_FED_LOOK, s->fence), 0);
        break;
    default:
        SH_UNREACHABLE();
    }
    if (s->core != NULL && (event->arg & UINT8_MAX) == SIM_FED_TIMER && !w->net.broken) {
        fed_check(s->core);
    }
}
