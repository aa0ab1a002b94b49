/* SPDX-License-Identifier: Apache-2.0 */
#include "round/round.h"
#include "round/state.h"

static const char *const VERDICT_NAMES[] = {"none", "taken", "duplicate",
                                            "old",  "early", "invalid"};

size_t round_bytes(const struct round_config *config)
{
    uint32_t chunks =
        round_plan_chunks_max(config->elements_max, ROUND_MEMBERS_MAX, config->chunk_elements);
    return sizeof(struct round) + 2 * (size_t)chunks * sizeof(struct round_chunk) + 3 * 64;
}

struct round *round_init(const struct round_config *config, struct sh_arena *arena)
{
    SH_CHECK(config->elements_max > 0);
    SH_CHECK_CMP(config->chunk_elements, >=, ROUND_ALIGN_ELEMENTS);
    SH_CHECK_CMP(config->chunk_elements % ROUND_ALIGN_ELEMENTS, ==, 0);
    SH_CHECK_CMP(config->chunk_elements, <=, SH_BULK_CHUNK_BYTES / ROUND_ELEMENT_BYTES);
    SH_CHECK(config->window >= 1 && config->window <= 4096);
    SH_CHECK(config->retry_us > 0 && config->stall_us > 0);
    struct round *r = SH_ARENA_TAKE(arena, struct round, 1);
    r->config = *config;
    r->chunks_max =
        round_plan_chunks_max(config->elements_max, ROUND_MEMBERS_MAX, config->chunk_elements);
    for (uint32_t i = 0; i < 2; i++) {
        r->slot[i].chunk = SH_ARENA_TAKE(arena, struct round_chunk, r->chunks_max);
    }
    return r;
}

struct round_action *round_act(const struct round *r, struct round_update *update,
                               enum round_action_kind kind, const struct round_slot *slot)
{
    SH_CHECK(!round_update_full(update));
    struct round_action *action = &update->actions[update->count++];
    *action = (struct round_action){.kind = kind};
    action->header.generation = r->generation;
    action->header.sequence = slot->sequence;
    action->header.from = (uint16_t)r->me;
    return action;
}

void round_name_chunk(const struct round_slot *slot, uint32_t chunk, struct round_frame *header)
{
    struct round_slice slice = round_plan_chunk(&slot->plan, chunk);
    header->segment = (uint16_t)round_plan_owner(&slot->plan, chunk);
    header->chunk = chunk;
    header->offset = slice.offset;
    header->count = slice.count;
    header->elements = slot->plan.elements;
}

void round_slot_reset(struct round *r, struct round_slot *slot, uint64_t sequence,
                      uint64_t elements)
{
    SH_CHECK_CMP(slot->parts_out, ==, 0);
    r->old_out += slot->results_out;
    struct round_chunk *chunk = slot->chunk;
    *slot = (struct round_slot){.used = true, .sequence = sequence, .chunk = chunk};
    round_plan_init(&slot->plan, elements, r->members, r->config.chunk_elements);
    SH_CHECK_CMP(slot->plan.chunks, <=, r->chunks_max);
    memset(chunk, 0, slot->plan.chunks * sizeof *chunk);
    if (r->me < slot->plan.owners) {
        slot->own = slot->plan.first[r->me];
        slot->own_end = slot->plan.first[r->me + 1];
    }
    for (uint32_t i = 0; i < slot->plan.owners; i++) {
        uint32_t length = slot->plan.first[i + 1] - slot->plan.first[i];
        slot->longest = length > slot->longest ? length : slot->longest;
    }
}

void round_note_progress(struct round *r)
{
    r->sweeps = 0;
    r->asking = false;
    r->retry_at_us = r->now_us + r->config.retry_us;
    r->stall_at_us = r->now_us + r->config.stall_us;
}

static void forget(struct round *r)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct round_chunk *chunk = r->slot[i].chunk;
        r->slot[i] = (struct round_slot){.chunk = chunk};
    }
    r->active = false;
    r->running = false;
    r->next = 0;
    r->old_out = 0;
    r->asks_out = 0;
    r->asking = false;
    r->backlog = false;
}

static void start(struct round *r, const struct round_generation *g)
{
    SH_CHECK_CMP(g->generation, >, r->generation);
    SH_CHECK(g->members > 0 && g->members <= ROUND_MEMBERS_MAX);
    SH_CHECK_CMP(g->me, <, g->members);
    SH_CHECK_CMP(g->ranks, <=, ROUND_RANKS_MAX);
    forget(r);
    r->active = true;
    r->generation = g->generation;
    r->ranks = g->ranks;
    r->members = g->members;
    r->me = g->me;
    r->subtrees = 0;
    memset(r->needed, 0, sizeof r->needed);
    uint32_t rank = 0;
    for (uint32_t m = 0; m < g->members; m++) {
        struct round_subtree list[ROUND_MINE_MAX];
        SH_CHECK_CMP(g->range[m].low, ==, rank);
        rank = g->range[m].high;
        uint32_t count =
            round_subtrees_of(g->range[m].low, g->range[m].high, g->ranks, (uint16_t)m, list);
        if (m == g->me) {
            r->own_first = r->subtrees;
            r->own_count = count;
        }
        for (uint32_t i = 0; i < count; i++) {
            uint32_t t = r->subtrees++;
            r->subtree[t] = list[i];
            r->needed[t / 64] |= m == g->me ? 0 : UINT64_C(1) << (t % 64);
        }
    }
    SH_CHECK_CMP(rank, ==, g->ranks);
}

static void begin(struct round *r, uint64_t sequence, uint64_t elements)
{
    SH_CHECK(r->active);
    SH_CHECK(!r->running);
    SH_CHECK_CMP(sequence, ==, r->next);
    SH_CHECK(elements > 0 && elements <= r->config.elements_max);
    struct round_slot *slot = &r->slot[sequence & 1];
    bool prepared = slot->used && slot->sequence == sequence && slot->plan.elements == elements;
    if (!prepared) {
        round_slot_reset(r, slot, sequence, elements);
    }
    r->next = sequence + 1;
    r->running = true;
    r->local_ready = 0;
    r->reduce_at = 0;
    round_note_progress(r);
}

static void local_ready(struct round *r, uint32_t own)
{
    SH_CHECK(r->running);
    SH_CHECK_CMP(own, <, r->own_count);
    uint32_t bit = UINT32_C(1) << own;
    SH_CHECK_CMP(r->local_ready & bit, ==, 0);
    struct round_slot *slot = round_current(r);
    r->local_ready |= bit;
    for (uint32_t i = 0; i < slot->plan.chunks; i++) {
        if (i < slot->own || i >= slot->own_end) {
            slot->chunk[i].part_todo |= bit;
            slot->parts_todo++;
        }
    }
    slot->part_at = 0;
    r->reduce_at = 0;
    round_note_progress(r);
}

static void reduced(struct round *r, uint64_t sequence, uint32_t at)
{
    SH_CHECK(r->running);
    SH_CHECK_CMP(sequence + 1, ==, r->next);
    struct round_slot *slot = round_current(r);
    SH_CHECK_CMP(at, <, slot->plan.chunks);
    struct round_chunk *chunk = &slot->chunk[at];
    SH_CHECK_CMP(chunk->stage, ==, ROUND_REDUCING);
    chunk->stage = ROUND_HAVE;
    slot->have++;
    slot->reduced++;
    uint64_t all = r->members == 64 ? UINT64_MAX : (UINT64_C(1) << r->members) - 1;
    chunk->result_to = all & ~(UINT64_C(1) << r->me);
    slot->results_todo += r->members - 1;
    slot->result_at = at < slot->result_at ? at : slot->result_at;
    round_note_progress(r);
}

static void sent(struct round *r, uint64_t sequence, enum round_frame_kind kind)
{
    struct round_slot *slot = &r->slot[sequence & 1];
    bool known = slot->used && slot->sequence == sequence;
    uint32_t *out = &r->old_out;
    if (kind == ROUND_FRAME_ASK_PART || kind == ROUND_FRAME_ASK_RESULT) {
        out = &r->asks_out;
    } else if (kind == ROUND_FRAME_PART) {
        SH_CHECK(known);
        out = &slot->parts_out;
    } else if (known) {
        out = &slot->results_out;
    }
    SH_CHECK_CMP(*out, >, 0);
    (*out)--;
}

/* What is still to be sent of a round that everyone has contributed to or finished is moot. */
static void drop_todo(struct round_slot *slot, bool results)
{
    for (uint32_t i = 0; i < slot->plan.chunks; i++) {
        slot->chunk[i].part_todo = 0;
        if (results) {
            slot->chunk[i].result_to = 0;
        }
    }
    slot->parts_todo = 0;
    slot->results_todo = results ? 0 : slot->results_todo;
}

static void finish(struct round *r, struct round_update *update)
{
    if (!r->running || round_update_full(update)) {
        return;
    }
    struct round_slot *slot = round_current(r);
    struct round_slot *before = &r->slot[r->next & 1];
    if (slot->have < slot->plan.chunks) {
        return;
    }
    drop_todo(slot, false);
    r->asking = false;
    bool retained = before->used && before->sequence + 2 == r->next;
    if (retained) {
        drop_todo(before, true);
    }
    if (slot->parts_out > 0 || r->old_out > 0 || (retained && before->results_out > 0)) {
        return; /* the transport still reads buffers that the next round writes */
    }
    r->running = false;
    (void)round_act(r, update, ROUND_DONE, slot);
}

static void report_stall(struct round *r, struct round_update *update)
{
    const struct round_slot *slot = round_current(r);
    uint64_t parts = 0;
    uint64_t results = 0;
    for (uint32_t i = 0; i < slot->plan.chunks; i++) {
        const struct round_chunk *chunk = &slot->chunk[i];
        bool own = i >= slot->own && i < slot->own_end;
        if (!own && chunk->stage != ROUND_HAVE) {
            results |= UINT64_C(1) << round_plan_owner(&slot->plan, i);
        }
        for (uint32_t t = 0; own && t < r->subtrees; t++) {
            uint64_t missing = r->needed[t / 64] & ~chunk->arrived[t / 64];
            parts |= (missing >> (t % 64) & 1) << r->subtree[t].member;
        }
    }
    r->stall_at_us = r->now_us + r->config.stall_us;
    if ((parts | results) != 0) {
        struct round_action *action = round_act(r, update, ROUND_STALLED, slot);
        action->waiting_parts = parts;
        action->waiting_results = results;
        r->counters.stalls++;
    }
}

/* Nobody is late before this member has done its own part, or once every result is there and only
 * this member's transport is waited for. */
static bool is_waiting(const struct round *r)
{
    const struct round_slot *slot = &r->slot[(r->next - 1) & 1];
    return r->running && r->local_ready == round_local_all(r) && slot->have < slot->plan.chunks;
}

static void watch_time(struct round *r, struct round_update *update)
{
    if (!is_waiting(r)) {
        return;
    }
    if (!r->asking && r->now_us >= r->retry_at_us) {
        r->asking = true;
        r->asking_results = false;
        r->ask_subtree = 0;
        r->ask_chunk = 0;
    }
    if (r->now_us >= r->stall_at_us && !round_update_full(update)) {
        report_stall(r, update);
    }
}

static void apply_event(struct round *r, const struct round_event *event,
                        struct round_update *update)
{
    switch (event->kind) {
    case ROUND_EV_START:
        start(r, &event->start);
        break;
    case ROUND_EV_BEGIN:
        begin(r, event->begin.sequence, event->begin.elements);
        break;
    case ROUND_EV_LOCAL_READY:
        local_ready(r, event->local);
        break;
    case ROUND_EV_FRAME:
        update->verdict = round_take(r, event->frame.from, &event->frame.header, update);
        r->counters.frames[update->verdict]++;
        break;
    case ROUND_EV_REDUCED:
        if (r->active && event->reduced.generation == r->generation) {
            reduced(r, event->reduced.sequence, event->reduced.chunk);
        }
        break;
    case ROUND_EV_SEND_DONE:
        if (r->active && event->sent.generation == r->generation) {
            sent(r, event->sent.sequence, event->sent.kind);
        }
        break;
    case ROUND_EV_ABORT:
        forget(r);
        break;
    case ROUND_EV_TIMER:
        break;
    }
}

void round_step(struct round *r, const struct round_event *event, struct round_update *update)
{
    SH_CHECK_CMP(event->now_us, >=, r->now_us);
    r->now_us = event->now_us;
    update->verdict = ROUND_NONE;
    update->count = 0;
    apply_event(r, event, update);
    watch_time(r, update);
    round_pump(r, update);
    finish(r, update);
}

uint64_t round_deadline_us(const struct round *r)
{
    if (r->backlog) {
        return 0;
    }
    if (!is_waiting(r)) {
        return UINT64_MAX;
    }
    if (r->asking || r->stall_at_us < r->retry_at_us) {
        return r->stall_at_us;
    }
    return r->retry_at_us;
}

const struct round_subtree *round_subtrees(const struct round *r, uint32_t *count)
{
    *count = r->subtrees;
    return r->subtree;
}

void round_own_subtrees(const struct round *r, uint32_t *own_first, uint32_t *own_count)
{
    *own_first = r->own_first;
    *own_count = r->own_count;
}

const struct round_plan *round_plan(const struct round *r)
{
    return r->next == 0 ? NULL : &r->slot[(r->next - 1) & 1].plan;
}

bool round_is_running(const struct round *r)
{
    return r->running;
}

struct round_counters round_counters(const struct round *r)
{
    return r->counters;
}

const char *round_verdict_name(enum round_verdict verdict)
{
    SH_CHECK_CMP(verdict, <, SH_COUNT(VERDICT_NAMES));
    return VERDICT_NAMES[verdict];
}
