/* SPDX-License-Identifier: Apache-2.0 */
#include "push/state.h"

#include <string.h>

static bool has(const struct push_in *in, uint32_t chunk)
{
    return (in->have[chunk / 64] >> (chunk % 64) & 1) != 0;
}

static bool is_open(const struct push_in *in)
{
    return in->stage == PUSH_IN_FILLING || in->stage == PUSH_IN_WHOLE;
}

/* The buffer of this transfer; in_max: there is none. */
static uint32_t find(const struct push *p, uint16_t from, uint64_t transfer)
{
    uint32_t buffer = 0;
    while (buffer < p->config.in_max &&
           (p->in[buffer].stage == PUSH_IN_FREE || p->in[buffer].from != from ||
            p->in[buffer].transfer != transfer)) {
        buffer++;
    }
    return buffer;
}

/* The transfer of that member that is under way; 0: none. */
static uint64_t newest(const struct push *p, uint16_t from)
{
    uint64_t transfer = 0;
    for (uint32_t i = 0; i < p->config.in_max; i++) {
        const struct push_in *in = &p->in[i];
        transfer = is_open(in) && in->from == from ? in->transfer : transfer;
    }
    return transfer;
}

/* The transfer, and every earlier one of that member, is over here. */
static void settle(struct push *p, uint16_t from, uint64_t transfer, bool taken)
{
    struct push_peer *peer = &p->peers[from];
    SH_CHECK_CMP(transfer, >, peer->last);
    peer->last = transfer;
    peer->last_taken = taken;
}

static void drop(struct push *p, uint32_t buffer)
{
    struct push_in *in = &p->in[buffer];
    SH_CHECK(is_open(in));
    settle(p, in->from, in->transfer, false);
    in->stage = PUSH_IN_FREE;
}

static void give_back(struct push *p, uint16_t from, uint64_t transfer, struct push_update *u)
{
    bool for_good = p->closed && p->heir != p->me;
    push_say(p, u, PUSH_FRAME_RETURN, from, transfer)->count = for_good ? 1 : 0;
}

void push_drop(struct push *p, uint32_t from)
{
    for (uint32_t i = 0; i < p->config.in_max; i++) {
        if (is_open(&p->in[i]) && p->in[i].from == from) {
            drop(p, i);
        }
    }
}

void push_refuse(struct push *p, struct push_update *u)
{
    for (uint32_t i = 0; i < p->config.in_max; i++) {
        struct push_in *in = &p->in[i];
        if (is_open(in)) {
            drop(p, i);
            give_back(p, in->from, in->transfer, u);
        }
    }
}

static void hope(struct push *p, struct push_in *in)
{
    in->pause_us = p->config.retry_us;
    in->retry_us = p->now_us + in->pause_us;
    in->until_us = p->now_us + p->config.patience_us;
}

/* The next chunks in a row that are missing, as far as the window allows. */
static void ask(struct push *p, struct push_in *in, struct push_update *u)
{
    uint32_t room = p->config.window - in->under_way;
    while (in->next < p->chunks && has(in, in->next)) {
        in->next++;
    }
    uint32_t end = in->next;
    while (end < p->chunks && end - in->next < room && !has(in, end)) {
        end++;
    }
    if (end == in->next) {
        return;
    }
    struct push_frame *f = push_say(p, u, PUSH_FRAME_ASK, in->from, in->transfer);
    f->chunk = in->next;
    f->count = end - in->next;
    in->under_way += f->count;
    in->next = end;
}

/* ---- frames ---- */

/* An answer to what is said about a transfer that is over here. */
static enum push_verdict repeat(struct push *p, uint16_t from, const struct push_frame *f,
                                struct push_update *u)
{
    const struct push_peer *peer = &p->peers[from];
    if (f->transfer == peer->last && peer->last_taken) {
        (void)push_say(p, u, PUSH_FRAME_TAKEN, from, f->transfer);
    } else if (f->transfer == peer->last) {
        give_back(p, from, f->transfer, u);
    }
    return PUSH_DUPLICATE;
}

static enum push_verdict hear_offer(struct push *p, uint16_t from, const struct push_frame *f,
                                    struct push_update *u)
{
    struct push_peer *peer = &p->peers[from];
    if (f->elements != p->elements || f->weight > 2 * p->total) {
        return PUSH_INVALID;
    }
    if (f->transfer <= peer->last) {
        return repeat(p, from, f, u);
    }
    if (newest(p, from) >= f->transfer) {
        return PUSH_DUPLICATE;
    }
    /* One at a time: what that member offered before, it has taken back. */
    push_drop(p, from);
    peer->told = f->weight;
    peer->has_told = true;
    uint32_t buffer = 0;
    while (buffer < p->config.in_max && p->in[buffer].stage != PUSH_IN_FREE) {
        buffer++;
    }
    if (buffer == p->config.in_max || (p->closed && p->heir != p->me)) {
        settle(p, from, f->transfer, false);
        give_back(p, from, f->transfer, u);
        return PUSH_USED;
    }
    struct push_in *in = &p->in[buffer];
    uint64_t *have = in->have;
    memset(have, 0, ((p->chunks - 1) / 64 + 1) * sizeof *have);
    *in = (struct push_in){
        .stage = PUSH_IN_FILLING, .from = from, .transfer = f->transfer, .have = have};
    hope(p, in);
    ask(p, in, u);
    return PUSH_USED;
}

static enum push_verdict hear_data(struct push *p, uint32_t buffer, const struct push_frame *f,
                                   struct push_update *u)
{
    if (f->chunk >= p->chunks || f->count != push_chunk_count(p, f->chunk)) {
        return PUSH_INVALID;
    }
    struct push_in *in = &p->in[buffer];
    if (buffer == p->config.in_max || in->stage != PUSH_IN_FILLING || has(in, f->chunk)) {
        return PUSH_DUPLICATE;
    }
    push_act(p, u, PUSH_KEEP, buffer)->offset = (uint64_t)f->chunk * p->config.chunk_elements;
    in->have[f->chunk / 64] |= UINT64_C(1) << (f->chunk % 64);
    in->got++;
    in->under_way -= in->under_way > 0 ? 1 : 0;
    hope(p, in);
    if (in->got == p->chunks) {
        in->stage = PUSH_IN_WHOLE;
        (void)push_say(p, u, PUSH_FRAME_TAKE, in->from, in->transfer);
    } else if (in->under_way <= p->config.window / 2) {
        ask(p, in, u);
    }
    return PUSH_USED;
}

/* Everything that this member has, or is about to have. */
static uint64_t all_weight(const struct push *p)
{
    uint64_t sum = p->weight;
    for (uint32_t i = 0; i < PUSH_BUFFERS_MAX; i++) {
        sum += p->out[i].stage != PUSH_OUT_FREE ? p->out[i].weight : 0;
        sum += p->in[i].stage == PUSH_IN_HELD ? p->in[i].weight : 0;
    }
    return sum;
}

static enum push_verdict hear_gift(struct push *p, uint32_t buffer, uint16_t from,
                                   const struct push_frame *f, struct push_update *u)
{
    struct push_in *in = &p->in[buffer];
    bool waits = buffer < p->config.in_max && in->stage == PUSH_IN_WHOLE;
    if (!waits && f->transfer <= p->peers[from].last) {
        return repeat(p, from, f, u);
    }
    if (!waits) { /* dropped, or never offered */
        push_drop(p, from);
        if (f->transfer > p->peers[from].last) {
            settle(p, from, f->transfer, false);
        }
        give_back(p, from, f->transfer, u);
        return PUSH_USED;
    }
    if (f->weight > p->total || all_weight(p) + f->weight > 2 * p->total) {
        return PUSH_INVALID;
    }
    in->stage = PUSH_IN_HELD;
    in->weight = f->weight;
    settle(p, from, f->transfer, true);
    (void)push_say(p, u, PUSH_FRAME_TAKEN, from, f->transfer);
    struct push_action *a = push_act(p, u, PUSH_ABSORB, buffer);
    a->from = from;
    a->weight = f->weight;
    a->mark = f->mark;
    return PUSH_USED;
}

enum push_verdict push_hear_giver(struct push *p, uint16_t from, const struct push_frame *f,
                                  struct push_update *u)
{
    if (f->kind == PUSH_FRAME_OFFER) {
        return hear_offer(p, from, f, u);
    }
    uint32_t buffer = find(p, from, f->transfer);
    if (f->kind == PUSH_FRAME_DATA) {
        return hear_data(p, buffer, f, u);
    }
    if (f->kind == PUSH_FRAME_GIVE) {
        return hear_gift(p, buffer, from, f, u);
    }
    if (buffer == p->config.in_max || p->in[buffer].stage == PUSH_IN_HELD) {
        return PUSH_DUPLICATE;
    }
    drop(p, buffer);
    return PUSH_USED;
}

void push_in_timer(struct push *p, uint32_t buffer, struct push_update *u)
{
    struct push_in *in = &p->in[buffer];
    if (!is_open(in)) {
        return;
    }
    if (p->now_us >= in->until_us) {
        drop(p, buffer);
        return;
    }
    if (p->now_us < in->retry_us) {
        return;
    }
    if (in->stage == PUSH_IN_WHOLE) {
        (void)push_say(p, u, PUSH_FRAME_TAKE, in->from, in->transfer);
    } else {
        in->next = 0;
        in->under_way = 0;
        ask(p, in, u);
    }
    in->pause_us = 2 * in->pause_us < PUSH_PAUSE_MAX * p->config.retry_us
                       ? 2 * in->pause_us
                       : PUSH_PAUSE_MAX * p->config.retry_us;
    in->retry_us = p->now_us + in->pause_us;
}
