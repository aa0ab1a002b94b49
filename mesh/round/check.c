/* SPDX-License-Identifier: Apache-2.0 */
#include "round/state.h"

static uint32_t bits_in(uint64_t bits)
{
    uint32_t count = 0;
    for (; bits != 0; bits &= bits - 1) {
        count++;
    }
    return count;
}

static void check_chunk(const struct round *r, const struct round_slot *slot, uint32_t at)
{
    const struct round_chunk *chunk = &slot->chunk[at];
    bool own = at >= slot->own && at < slot->own_end;
    bool complete = true;
    for (uint32_t i = 0; i < ROUND_PART_WORDS; i++) {
        SH_CHECK_CMP(chunk->arrived[i] & ~r->needed[i], ==, 0);
        SH_CHECK(own || chunk->arrived[i] == 0);
        complete = complete && chunk->arrived[i] == r->needed[i];
    }
    SH_CHECK_CMP(round_plan_owner(&slot->plan, at) == r->me, ==, own);
    SH_CHECK(SH_IMPLIES(own && chunk->stage != ROUND_WAITING, complete));
    SH_CHECK(SH_IMPLIES(chunk->stage == ROUND_REDUCING, own));
    SH_CHECK(SH_IMPLIES(chunk->result_to != 0, chunk->stage == ROUND_HAVE));
    SH_CHECK(SH_IMPLIES(chunk->part_todo != 0, !own));
    SH_CHECK_CMP(chunk->part_todo & ~round_local_all(r), ==, 0);
    SH_CHECK_CMP(chunk->result_to >> r->me & 1, ==, 0);
    SH_CHECK_CMP(r->members == 64 ? 0 : chunk->result_to >> r->members, ==, 0);
}

static void check_slot(const struct round *r, const struct round_slot *slot)
{
    uint32_t have = 0;
    uint32_t reduced = 0;
    uint64_t results = 0;
    uint64_t parts = 0;
    for (uint32_t i = 0; i < slot->plan.chunks; i++) {
        const struct round_chunk *chunk = &slot->chunk[i];
        check_chunk(r, slot, i);
        have += chunk->stage == ROUND_HAVE ? 1 : 0;
        reduced += chunk->stage == ROUND_HAVE && i >= slot->own && i < slot->own_end ? 1 : 0;
        results += bits_in(chunk->result_to);
        parts += bits_in(chunk->part_todo);
    }
    SH_CHECK_CMP(slot->have, ==, have);
    SH_CHECK_CMP(slot->reduced, ==, reduced);
    SH_CHECK_CMP(slot->results_todo, ==, results);
    SH_CHECK_CMP(slot->parts_todo, ==, parts);
    SH_CHECK_CMP(slot->plan.chunks, <=, r->chunks_max);
    SH_CHECK_CMP(slot->sequence, <=, r->next);
    SH_CHECK_CMP(slot->sequence + 2, >=, r->next);
    SH_CHECK(SH_IMPLIES(slot->sequence == r->next, have == 0 && parts == 0));
    SH_CHECK(SH_IMPLIES(slot->sequence + 2 == r->next, have == slot->plan.chunks));
}

void round_check(const struct round *r)
{
    SH_CHECK(r->active || !r->running);
    SH_CHECK(SH_IMPLIES(r->running, r->next > 0));
    SH_CHECK(SH_IMPLIES(r->asking, r->running));
    SH_CHECK(SH_IMPLIES(r->now_us > 0 && !r->backlog, round_deadline_us(r) > r->now_us));
    uint32_t out = r->old_out + r->asks_out;
    for (uint32_t i = 0; i < 2; i++) {
        const struct round_slot *slot = &r->slot[i];
        out += slot->results_out + slot->parts_out;
        SH_CHECK(slot->used || slot->plan.chunks == 0);
        if (slot->used) {
            SH_CHECK_CMP(slot->sequence & 1, ==, i);
            check_slot(r, slot);
        }
    }
    SH_CHECK_CMP(out, <=, r->config.window);
    uint32_t needed = 0;
    for (uint32_t i = 0; i < ROUND_PART_WORDS; i++) {
        needed += bits_in(r->needed[i]);
    }
    SH_CHECK(SH_IMPLIES(r->active, needed + r->own_count == r->subtrees));
    if (r->active && r->next > 0 && !r->running) {
        const struct round_slot *last = &r->slot[(r->next - 1) & 1];
        SH_CHECK_CMP(last->have, ==, last->plan.chunks);
    }
}
