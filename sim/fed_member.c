/* SPDX-License-Identifier: Apache-2.0
 *
 * A member: trains when it is asked, sends what came of it until somebody answers, and now and then
 * does anything else. Liars are quick, never fail, and send what nobody asked for. */
#include "sim/fed.h"

#include "base/check.h"

enum { TRIES_MAX = 12 };

#define MS        UINT64_C(1000)
#define RESEND_US (250 * MS) /* doubled up to eight times */

static void say(struct sim_fed *w, uint32_t member, struct sim_fed_word word)
{
    const struct sim_fed_member *m = &w->members[member];
    word.fence = m->fence;
    /* Refused or lost: it is said again. */
    (void)sim_ether_send(&w->net, w->seat_count + member, m->seat, &word, sizeof word);
}

static bool chance(struct sim_fed *w, uint32_t permille)
{
    return sh_rng_chance(&w->net.rng, permille, 1000);
}

void sim_fed_member_begin(struct sim_fed *w, uint32_t member)
{
    struct sim_fed_member *m = &w->members[member];
    m->work = FED_NONE;
    m->owes = FED_NONE;
}

static void reply(struct sim_fed *w, uint32_t member, uint64_t round, bool accepted)
{
    say(w, member,
        (struct sim_fed_word){.kind = SIM_FED_REPLY, .round = round, .accepted = accepted});
}

static void send_owed(struct sim_fed *w, uint32_t member)
{
    struct sim_fed_member *m = &w->members[member];
    uint32_t doublings = m->tries < 3 ? m->tries : 3;
    say(w, member,
        (struct sim_fed_word){.kind = m->failed ? SIM_FED_FAILED : SIM_FED_UPDATE,
                              .round = m->owes});
    sim_ether_after(&w->net, w->seat_count + member, RESEND_US << doublings,
                    SIM_FED_ARG(SIM_FED_RESEND, m->owes), 0);
}

static void invited(struct sim_fed *w, uint32_t member, uint64_t round)
{
    struct sim_fed_member *m = &w->members[member];
    if (m->owes == round) {
        m->tries = 0;
        send_owed(w, member);
        return;
    }
    bool busy = m->work != FED_NONE && m->work != round && w->config.late_max > 0;
    if (busy || (m->work != round && !m->liar && chance(w, w->bad))) {
        reply(w, member, round, false);
        return;
    }
    if (m->work != round) {
        m->work = round;
        m->work_id++;
        uint64_t took = sim_about(&w->net.rng, m->liar ? w->train_us / 8 : w->train_us);
        sim_ether_after(&w->net, w->seat_count + member, 1 + took * m->slow,
                        SIM_FED_ARG(SIM_FED_DONE, m->work_id), 0);
    }
    reply(w, member, round, true);
}

void sim_fed_member_hear(struct sim_fed *w, uint32_t member, uint32_t seat,
                         const struct sim_fed_word *word)
{
    struct sim_fed_member *m = &w->members[member];
    if (word->fence < m->fence) {
        return; /* of a leader that is none any more */
    }
    m->fence = word->fence;
    m->seat = seat;
    if (word->kind == SIM_FED_INVITE) {
        invited(w, member, word->round);
    } else if (m->owes == word->round) {
        m->owes = FED_NONE;
    }
}

static void finish(struct sim_fed *w, uint32_t member)
{
    struct sim_fed_member *m = &w->members[member];
    m->owes = m->work;
    m->work = FED_NONE;
    m->tries = 0;
    m->failed = !m->liar && chance(w, w->bad / 4);
    if (!m->liar && chance(w, w->bad / 4)) {
        m->owes = FED_NONE; /* it accepted, and is never heard of again */
        return;
    }
    send_owed(w, member);
    if (m->liar && chance(w, 100)) {
        uint64_t any = sh_rng_below(&w->net.rng, w->config.rounds);
        say(w, member, (struct sim_fed_word){.kind = SIM_FED_UPDATE, .round = any});
    }
    if (m->liar && chance(w, 100)) {
        say(w, member, (struct sim_fed_word){.kind = SIM_FED_UPDATE, .round = m->owes});
    }
}

void sim_fed_member_work(struct sim_fed *w, uint32_t member, const struct sim_event *event)
{
    struct sim_fed_member *m = &w->members[member];
    uint64_t id = event->arg >> 8;
    if ((event->arg & UINT8_MAX) == SIM_FED_DONE) {
        if (m->work != FED_NONE && id == m->work_id) {
            finish(w, member);
        }
        return;
    }
    SH_CHECK_CMP(event->arg & UINT8_MAX, ==, SIM_FED_RESEND);
    if (m->owes == id) {
        if (++m->tries == TRIES_MAX) {
            m->owes = FED_NONE; /* nobody wants it */
        } else {
            send_owed(w, member);
        }
    }
}
