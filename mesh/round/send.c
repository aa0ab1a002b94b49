/* SPDX-License-Identifier: Apache-2.0
 *
 * What goes out, in the order that keeps the others busy: results before parts (they end a chunk
 * for everyone), parts one chunk per owner in turn and starting behind this member (so that not all
 * members send to the same owner first), questions last. */
#include "round/state.h"

static bool is_complete(const struct round *r, const struct round_chunk *chunk)
{
    for (uint32_t i = 0; i < ROUND_PART_WORDS; i++) {
        if (chunk->arrived[i] != r->needed[i]) {
            return false;
        }
    }
    return true;
}

static void pump_reduce(struct round *r, struct round_update *update)
{
    struct round_slot *slot = round_current(r);
    if (r->local_ready != round_local_all(r)) {
        return;
    }
    r->reduce_at = r->reduce_at < slot->own ? slot->own : r->reduce_at;
    while (r->reduce_at < slot->own_end && !round_update_full(update)) {
        struct round_chunk *chunk = &slot->chunk[r->reduce_at];
        if (chunk->stage == ROUND_WAITING && is_complete(r, chunk)) {
            chunk->stage = ROUND_REDUCING;
            struct round_action *action = round_act(r, update, ROUND_REDUCE, slot);
            round_name_chunk(slot, r->reduce_at, &action->header);
            action->part_offset = action->header.offset - slot->plan.offset[r->me];
        }
        r->reduce_at++;
    }
}

static bool may_send(const struct round *r, const struct round_update *update)
{
    uint32_t out = r->old_out + r->asks_out;
    for (uint32_t i = 0; i < 2; i++) {
        out += r->slot[i].results_out + r->slot[i].parts_out;
    }
    return out < r->config.window && !round_update_full(update);
}

static struct round_action *add_send(struct round *r, struct round_update *update,
                                     const struct round_slot *slot, enum round_frame_kind kind,
                                     uint32_t to)
{
    SH_CHECK_CMP(to, <, r->members);
    SH_CHECK_CMP(to, !=, r->me);
    struct round_action *action = round_act(r, update, ROUND_SEND, slot);
    action->to = (uint16_t)to;
    action->header.kind = kind;
    action->header.elements = slot->plan.elements;
    r->counters.sends++;
    return action;
}

/* The first set bit at or after start, cyclically; bits != 0. */
static uint32_t bit_from(uint64_t bits, uint32_t start)
{
    uint32_t at = start % 64;
    while ((bits >> at & 1) == 0) {
        at = (at + 1) % 64;
    }
    return at;
}

static void pump_results(struct round *r, struct round_slot *slot, struct round_update *update)
{
    while (slot->results_todo > 0 && may_send(r, update)) {
        SH_CHECK_CMP(slot->result_at, <, slot->plan.chunks);
        struct round_chunk *chunk = &slot->chunk[slot->result_at];
        if (chunk->result_to == 0) {
            slot->result_at++;
            continue;
        }
        uint32_t to = bit_from(chunk->result_to, r->me + 1);
        chunk->result_to &= ~(UINT64_C(1) << to);
        slot->results_todo--;
        slot->results_out++;
        struct round_action *action = add_send(r, update, slot, ROUND_FRAME_RESULT, to);
        round_name_chunk(slot, slot->result_at, &action->header);
    }
}

/* Place `at` of the sending order: chunk at / (P - 1) of the segment of member me + 1 + at % (P -
 * 1). False where that segment has no such chunk. */
static bool chunk_at(const struct round *r, const struct round_slot *slot, uint64_t at,
                     uint32_t *chunk, uint32_t *owner)
{
    uint32_t others = r->members - 1;
    *owner = (uint32_t)((r->me + 1 + at % others) % r->members);
    if (*owner >= slot->plan.owners) {
        return false;
    }
    uint64_t want = slot->plan.first[*owner] + at / others;
    *chunk = (uint32_t)want;
    return want < slot->plan.first[*owner + 1];
}

static void pump_parts(struct round *r, struct round_slot *slot, struct round_update *update)
{
    while (slot->parts_todo > 0 && may_send(r, update)) {
        SH_CHECK_CMP(slot->part_at, <, (uint64_t)slot->longest * (r->members - 1));
        uint32_t at = 0;
        uint32_t owner = 0;
        if (!chunk_at(r, slot, slot->part_at, &at, &owner) || slot->chunk[at].part_todo == 0) {
            slot->part_at++;
            continue;
        }
        uint32_t own = bit_from(slot->chunk[at].part_todo, 0);
        slot->chunk[at].part_todo &= ~(UINT32_C(1) << own);
        slot->parts_todo--;
        slot->parts_out++;
        struct round_action *action = add_send(r, update, slot, ROUND_FRAME_PART, owner);
        round_name_chunk(slot, at, &action->header);
        action->own = (uint16_t)own;
        action->header.subtree = (uint16_t)(r->own_first + own);
    }
}

static bool lacks_part(const struct round *r, const struct round_slot *slot, uint32_t chunk)
{
    return slot->chunk[chunk].stage == ROUND_WAITING &&
           (slot->chunk[chunk].arrived[r->ask_subtree / 64] >> (r->ask_subtree % 64) & 1) == 0;
}

static void add_ask(struct round *r, const struct round_slot *slot, struct round_update *update,
                    enum round_frame_kind kind, uint32_t to, uint32_t count)
{
    struct round_action *action = add_send(r, update, slot, kind, to);
    action->header.segment = (uint16_t)round_plan_owner(&slot->plan, r->ask_chunk);
    action->header.chunk = r->ask_chunk;
    action->header.count = count;
    r->asks_out++;
    r->counters.asks_sent++;
}

static void pump_ask_parts(struct round *r, const struct round_slot *slot,
                           struct round_update *update)
{
    while (r->ask_subtree < r->subtrees && may_send(r, update)) {
        bool foreign = r->subtree[r->ask_subtree].member != r->me;
        r->ask_chunk = r->ask_chunk < slot->own ? slot->own : r->ask_chunk;
        while (foreign && r->ask_chunk < slot->own_end && !lacks_part(r, slot, r->ask_chunk)) {
            r->ask_chunk++;
        }
        if (!foreign || r->ask_chunk == slot->own_end) {
            r->ask_subtree++;
            r->ask_chunk = 0;
            continue;
        }
        uint32_t count = 1;
        while (r->ask_chunk + count < slot->own_end && lacks_part(r, slot, r->ask_chunk + count)) {
            count++;
        }
        add_ask(r, slot, update, ROUND_FRAME_ASK_PART, r->subtree[r->ask_subtree].member, count);
        update->actions[update->count - 1].header.subtree = (uint16_t)r->ask_subtree;
        r->ask_chunk += count;
    }
}

/* Every other sweep asks another member than the owner: whoever has the result may give it. */
static uint32_t whom_to_ask(const struct round *r, uint32_t owner)
{
    if (r->sweeps % 2 == 0 || r->members == 2) {
        return owner;
    }
    uint32_t to = (owner + 1 + r->sweeps / 2) % r->members;
    return to == r->me ? (to + 1) % r->members : to;
}

static void pump_ask_results(struct round *r, const struct round_slot *slot,
                             struct round_update *update)
{
    while (r->ask_chunk < slot->plan.chunks && may_send(r, update)) {
        uint32_t owner = round_plan_owner(&slot->plan, r->ask_chunk);
        uint32_t end = slot->plan.first[owner + 1];
        if (owner == r->me) {
            r->ask_chunk = end;
            continue;
        }
        if (slot->chunk[r->ask_chunk].stage == ROUND_HAVE) {
            r->ask_chunk++;
            continue;
        }
        uint32_t count = 1;
        while (r->ask_chunk + count < end &&
               slot->chunk[r->ask_chunk + count].stage != ROUND_HAVE) {
            count++;
        }
        add_ask(r, slot, update, ROUND_FRAME_ASK_RESULT, whom_to_ask(r, owner), count);
        r->ask_chunk += count;
    }
}

static void pump_asks(struct round *r, const struct round_slot *slot, struct round_update *update)
{
    if (!r->asking_results) {
        pump_ask_parts(r, slot, update);
        if (r->ask_subtree < r->subtrees) {
            return;
        }
        r->asking_results = true;
        r->ask_chunk = 0;
    }
    pump_ask_results(r, slot, update);
    if (r->ask_chunk == slot->plan.chunks) {
        r->asking = false;
        r->sweeps++;
        uint32_t doublings = r->sweeps < 3 ? r->sweeps : 3;
        r->retry_at_us = r->now_us + (r->config.retry_us << doublings);
    }
}

void round_pump(struct round *r, struct round_update *update)
{
    if (!r->active || r->next == 0) {
        return;
    }
    struct round_slot *slot = round_current(r);
    struct round_slot *before = &r->slot[r->next & 1];
    if (r->running) {
        pump_reduce(r, update);
    }
    if (before->used && before->sequence + 2 == r->next) {
        pump_results(r, before, update);
    }
    pump_results(r, slot, update);
    pump_parts(r, slot, update);
    if (r->running && r->asking) {
        pump_asks(r, slot, update);
    }
    r->backlog = round_update_full(update);
}
