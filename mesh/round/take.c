/* SPDX-License-Identifier: Apache-2.0 */
#include "round/state.h"

static bool names_slice(const struct round_slot *slot, const struct round_frame *h)
{
    if (h->chunk >= slot->plan.chunks || h->elements != slot->plan.elements) {
        return false;
    }
    struct round_slice slice = round_plan_chunk(&slot->plan, h->chunk);
    return h->segment == round_plan_owner(&slot->plan, h->chunk) && h->offset == slice.offset &&
           h->count == slice.count;
}

static bool names_range(const struct round_slot *slot, const struct round_frame *h)
{
    return h->elements == slot->plan.elements && h->count > 0 && h->chunk < slot->plan.chunks &&
           h->count <= slot->plan.chunks - h->chunk;
}

static void keep(const struct round *r, struct round_update *update, enum round_action_kind kind,
                 const struct round_slot *slot, const struct round_frame *h)
{
    struct round_action *action = round_act(r, update, kind, slot);
    action->header = *h;
    if (kind == ROUND_KEEP_PART) {
        action->part_offset = h->offset - slot->plan.offset[r->me];
    }
}

static enum round_verdict take_part(struct round *r, struct round_slot *slot,
                                    const struct round_frame *h, struct round_update *update)
{
    if (h->subtree >= r->subtrees || r->subtree[h->subtree].member != h->from) {
        return ROUND_INVALID;
    }
    if (!names_slice(slot, h) || h->segment != r->me) {
        return ROUND_INVALID;
    }
    struct round_chunk *chunk = &slot->chunk[h->chunk];
    uint64_t bit = UINT64_C(1) << (h->subtree % 64);
    if ((chunk->arrived[h->subtree / 64] & bit) != 0) {
        return ROUND_DUPLICATE;
    }
    SH_CHECK_CMP(chunk->stage, ==, ROUND_WAITING);
    chunk->arrived[h->subtree / 64] |= bit;
    keep(r, update, ROUND_KEEP_PART, slot, h);
    return ROUND_TAKEN;
}

static enum round_verdict take_result(struct round *r, struct round_slot *slot,
                                      const struct round_frame *h, struct round_update *update)
{
    if (!names_slice(slot, h) || h->segment == r->me) {
        return ROUND_INVALID;
    }
    if (r->local_ready != round_local_all(r)) {
        return ROUND_INVALID; /* a sum of all ranks, made without mine */
    }
    struct round_chunk *chunk = &slot->chunk[h->chunk];
    if (chunk->stage == ROUND_HAVE) {
        return ROUND_DUPLICATE;
    }
    chunk->stage = ROUND_HAVE;
    slot->have++;
    keep(r, update, ROUND_KEEP_RESULT, slot, h);
    return ROUND_TAKEN;
}

static enum round_verdict take_ask_part(struct round *r, struct round_slot *slot,
                                        const struct round_frame *h)
{
    if (h->subtree < r->own_first || h->subtree - r->own_first >= r->own_count ||
        !names_range(slot, h)) {
        return ROUND_INVALID;
    }
    if (round_plan_owner(&slot->plan, h->chunk) != h->from ||
        round_plan_owner(&slot->plan, h->chunk + h->count - 1) != h->from) {
        return ROUND_INVALID;
    }
    uint32_t bit = UINT32_C(1) << (h->subtree - r->own_first);
    if (!r->running || (r->local_ready & bit) == 0) {
        return ROUND_EARLY; /* it is sent unasked as soon as it is there */
    }
    for (uint32_t i = h->chunk; i < h->chunk + h->count; i++) {
        struct round_chunk *chunk = &slot->chunk[i];
        if (chunk->stage != ROUND_HAVE && (chunk->part_todo & bit) == 0) {
            chunk->part_todo |= bit;
            slot->parts_todo++;
            slot->part_at = 0;
            r->counters.asks_answered++;
        }
    }
    return ROUND_TAKEN;
}

static enum round_verdict take_ask_result(struct round *r, struct round_slot *slot,
                                          const struct round_frame *h)
{
    if (!names_range(slot, h)) {
        return ROUND_INVALID;
    }
    uint64_t bit = UINT64_C(1) << h->from;
    for (uint32_t i = h->chunk; i < h->chunk + h->count; i++) {
        struct round_chunk *chunk = &slot->chunk[i];
        if (chunk->stage == ROUND_HAVE && (chunk->result_to & bit) == 0) {
            chunk->result_to |= bit;
            slot->results_todo++;
            slot->result_at = i < slot->result_at ? i : slot->result_at;
            r->counters.asks_answered++;
        }
    }
    return ROUND_TAKEN;
}

/* The slot for parts of the round after the running one. NULL: they cannot be kept. */
static struct round_slot *slot_ahead(struct round *r, const struct round_frame *h)
{
    struct round_slot *slot = &r->slot[r->next & 1];
    if (slot->used && slot->sequence == r->next) {
        return slot;
    }
    if (r->next > 0) {
        const struct round_slot *current = round_current(r);
        if (current->reduced != current->own_end - current->own) {
            return NULL; /* the part buffers still hold this round */
        }
    }
    round_slot_reset(r, slot, r->next, h->elements);
    return slot;
}

static enum round_verdict take_ahead(struct round *r, const struct round_frame *h,
                                     struct round_update *update)
{
    if (h->kind != ROUND_FRAME_PART) {
        return ROUND_EARLY;
    }
    struct round_slot *slot = slot_ahead(r, h);
    return slot == NULL ? ROUND_EARLY : take_part(r, slot, h, update);
}

static enum round_verdict take_current(struct round *r, const struct round_frame *h,
                                       struct round_update *update)
{
    struct round_slot *slot = round_current(r);
    enum round_verdict verdict = ROUND_INVALID;
    switch (h->kind) {
    case ROUND_FRAME_PART:
        verdict = take_part(r, slot, h, update);
        if (verdict == ROUND_TAKEN && h->chunk < r->reduce_at) {
            r->reduce_at = h->chunk;
        }
        break;
    case ROUND_FRAME_RESULT:
        verdict = take_result(r, slot, h, update);
        break;
    case ROUND_FRAME_ASK_PART:
        return take_ask_part(r, slot, h);
    case ROUND_FRAME_ASK_RESULT:
        return take_ask_result(r, slot, h);
    }
    if (verdict == ROUND_TAKEN && r->running) {
        round_note_progress(r);
    }
    return verdict;
}

enum round_verdict round_take(struct round *r, uint16_t from, const struct round_frame *h,
                              struct round_update *update)
{
    if (!r->active || h->generation != r->generation) {
        return h->generation > r->generation ? ROUND_EARLY : ROUND_OLD;
    }
    if (h->from != from || from >= r->members || from == r->me) {
        return ROUND_INVALID;
    }
    if (h->elements == 0 || h->elements > r->config.elements_max) {
        return ROUND_INVALID;
    }
    if (h->sequence > r->next) {
        return ROUND_EARLY;
    }
    if (h->sequence == r->next) {
        return take_ahead(r, h, update);
    }
    if (h->sequence + 1 == r->next) {
        return take_current(r, h, update);
    }
    struct round_slot *before = &r->slot[r->next & 1];
    if (h->kind == ROUND_FRAME_ASK_RESULT && before->used && before->sequence == h->sequence) {
        return take_ask_result(r, before, h);
    }
    return ROUND_OLD;
}
