/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is in the generation: what Raft, jobs and place decide in an agent, played by one log. A
 * voter leads that reaches a majority of the voters; it asks everyone again and again, and where
 * who is there is no longer who is in the generation it proposes another one, which is committed
 * if it still leads, still reaches a majority and nothing else was committed meanwhile. A leader
 * on the other side of a partition asks on, and commits nothing. */
#include "sim/gang.h"

#include "base/check.h"

#include <string.h>

#define MS         UINT64_C(1000)
#define TERM_US    (300 * MS) /* without a leader that reaches a majority, before the next one */
#define TURN_US    (100 * MS)
#define LOST_US    (1500 * MS) /* without an answer */
#define ACCUSED_US (1000 * MS) /* by others, again and again */
#define PAUSE_US   (3000 * MS) /* between two accusations that are not one */
#define OUT_US     (2000 * MS) /* who was left out for that stays out so long */
#define COMMIT_US  (5 * MS)

static bool leads(struct sim_gang *w, uint32_t voter)
{
    uint32_t reached = 0;
    for (uint32_t i = 0; i < w->council.voters; i++) {
        reached += sim_ether_reach(&w->net, voter, i);
    }
    return sim_ether_runs(&w->net, voter) && reached > w->council.voters / 2;
}

static void elect(struct sim_gang *w)
{
    struct sim_gang_council *c = &w->council;
    bool led = c->leader != SIM_NOBODY && leads(w, c->leader);
    c->leaderless_us = led ? 0 : c->leaderless_us + TURN_US;
    uint32_t first = (uint32_t)sh_rng_below(&w->net.rng, c->voters);
    for (uint32_t i = 0; i < c->voters && c->leaderless_us >= TERM_US; i++) {
        uint32_t voter = (first + i) % c->voters;
        if (leads(w, voter)) {
            c->leader = voter;
            c->term++;
            c->leaderless_us = 0;
            c->deciding = false;
            memset(c->heard_us, 0, sizeof c->heard_us);
            memset(c->accused_us, 0, sizeof c->accused_us);
            memset(c->out_us, 0, sizeof c->out_us);
            c->decided_us = w->net.now_us + LOST_US; /* until everyone can have answered */
        }
    }
}

static bool is_there(const struct sim_gang *w, uint32_t agent)
{
    const struct sim_gang_council *c = &w->council;
    return c->heard_us[agent] != 0 && w->net.now_us - c->heard_us[agent] < LOST_US &&
           w->net.now_us >= c->out_us[agent];
}

/* Is who is there who is in the newest generation? */
static bool fits(const struct sim_gang *w)
{
    const struct sim_gang_council *c = &w->council;
    uint32_t there = 0;
    if (w->log_count == 0 || c->anew) {
        return false;
    }
    const struct sim_gang_entry *entry = &w->log[w->log_count - 1];
    for (uint32_t i = 0; i < w->count; i++) {
        there += is_there(w, i);
    }
    bool same = there == entry->count;
    for (uint32_t i = 0; i < entry->count; i++) {
        same = same && is_there(w, entry->agent[i]) &&
               c->session[entry->agent[i]] == entry->session[i];
    }
    return same;
}

static void leave_out_accused(struct sim_gang *w)
{
    struct sim_gang_council *c = &w->council;
    for (uint32_t i = 0; i < w->count; i++) {
        if (c->accused_us[i] != 0 && w->net.now_us - c->accused_last_us[i] > PAUSE_US) {
            c->accused_us[i] = 0;
        }
        if (c->accused_us[i] != 0 && w->net.now_us - c->accused_us[i] >= ACCUSED_US) {
            c->accused_us[i] = 0;
            c->out_us[i] = w->net.now_us + OUT_US;
            return; /* one at a time: its accuser may be the one that is cut off */
        }
    }
}

void sim_gang_council_turn(struct sim_gang *w)
{
    struct sim_gang_council *c = &w->council;
    elect(w);
    if (c->leader != SIM_NOBODY && sim_ether_runs(&w->net, c->leader)) {
        c->heard_us[c->leader] = w->net.now_us;
        c->session[c->leader] = w->members[c->leader].session;
        for (uint32_t i = 0; i < w->count; i++) {
            struct sim_gang_word word = {.kind = SIM_GANG_ENTRY, .place = w->log_count};
            if (i != c->leader) {
                sim_gang_say(w, c->leader, i, word, NULL, 0);
            }
        }
        leave_out_accused(w);
        if (!c->deciding && w->net.now_us >= c->decided_us + w->pace_us && !fits(w)) {
            c->deciding = true;
            sim_ether_after(&w->net, SIM_NOBODY, 1 + sim_about(&w->net.rng, COMMIT_US),
                            SIM_GANG_ARG(SIM_GANG_DECIDE, c->term), 0);
        }
    }
    sim_ether_after(&w->net, SIM_NOBODY, TURN_US, SIM_GANG_ARG(SIM_GANG_COUNCIL, 0), 0);
}

/* Ranks in turn to all of them, unequal shares, none empty. */
static void share_ranks(struct sim_gang *w, struct sim_gang_entry *entry)
{
    uint32_t low = 0;
    for (uint32_t i = 0; i < entry->count; i++) {
        uint32_t others = entry->count - i - 1;
        uint32_t even = (w->ranks - low) / (others + 1);
        uint32_t most = w->ranks - low - others;
        uint32_t size = w->even ? even : (uint32_t)sh_rng_between(&w->net.rng, 1, 2 * even);
        size = others == 0 || size > most ? most : size;
        struct wire_member *m = &entry->members[i];
        memset(m->node, 0, sizeof m->node);
        m->node[0] = (uint8_t)entry->agent[i];
        m->rank_lo = (uint16_t)low;
        m->rank_hi = (uint16_t)(low + size);
        low += size;
    }
    SH_CHECK_CMP(low, ==, w->ranks);
}

void sim_gang_council_decide(struct sim_gang *w, uint64_t term)
{
    struct sim_gang_council *c = &w->council;
    if (term != c->term || !c->deciding) {
        return;
    }
    c->deciding = false;
    if (!leads(w, c->leader) || w->log_count == SIM_GANG_ENTRIES_MAX) {
        return;
    }
    struct sim_gang_entry *entry = &w->log[w->log_count];
    *entry =
        (struct sim_gang_entry){.generation = w->log_count == 0 ? 1 : entry[-1].generation + 1};
    entry->generation += sh_rng_below(&w->net.rng, 3); /* indices of a log: other entries between */
    for (uint32_t i = 0; i < w->count; i++) {
        if (is_there(w, i) && entry->count < w->ranks) {
            entry->session[entry->count] = c->session[i];
            entry->agent[entry->count++] = i;
        }
    }
    if (entry->count == 0) {
        return;
    }
    share_ranks(w, entry);
    w->log_count++;
    w->counts.generations++;
    c->anew = false;
    c->decided_us = w->net.now_us;
    memset(c->accused_us, 0, sizeof c->accused_us);
    sim_ether_mix(&w->net, entry->generation << 8 ^ entry->count);
    /* The leader itself hears of it at once. */
    sim_gang_member_told(w, c->leader, c->leader, w->log_count);
}

void sim_gang_council_hear(struct sim_gang *w, uint32_t voter, uint32_t from,
                           const struct sim_gang_word *word)
{
    struct sim_gang_council *c = &w->council;
    if (voter != c->leader) {
        return; /* it does not lead any more, or never did */
    }
    const struct sim_gang_entry *entry = w->log_count > 0 ? &w->log[w->log_count - 1] : NULL;
    bool current = entry != NULL && word->generation == entry->generation;
    if (word->kind == SIM_GANG_ALIVE) {
        c->heard_us[from] = w->net.now_us;
        c->session[from] = word->session;
    } else if (word->kind == SIM_GANG_SAVED) {
        if (current && leads(w, voter)) {
            sim_gang_line_save(w, &w->members[from], word->position);
        }
    } else if (word->kind == SIM_GANG_LOST && current) {
        if (word->lost == from) {
            c->anew = true;
            return;
        }
        c->accused_us[word->lost] =
            c->accused_us[word->lost] == 0 ? w->net.now_us : c->accused_us[word->lost];
        c->accused_last_us[word->lost] = w->net.now_us;
    }
}
