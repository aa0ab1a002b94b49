/* SPDX-License-Identifier: Apache-2.0
 *
 * A member's rounds: hosts mesh/round with real buffers and the sums of kernels/agg. What the
 * transport sends it reads only when it is over with it, and sums are taken some time after they
 * were asked for: a buffer that is written too early shows in the result. */
#include "sim/gang.h"

#include "base/check.h"
#include "kernels/agg/tree.h"

#include <stdlib.h>
#include <string.h>

#define MS        UINT64_C(1000)
#define RETRY_US  (250 * MS) /* as train/exchange.h */
#define STALL_US  (2000 * MS)
#define SEND_US   MS /* mean time in the transport */
#define REDUCE_US (2 * MS)
#define NEXT_US   (2 * MS) /* between two rounds */

static float *floats(size_t count)
{
    float *out = calloc(count, sizeof *out);
    SH_CHECK(out != NULL);
    return out;
}

void sim_gang_round_open(struct sim_gang *w, struct sim_gang_member *m)
{
    struct round_config config = {.elements_max = w->elements,
                                  .chunk_elements = w->chunk,
                                  .window = w->window,
                                  .retry_us = RETRY_US,
                                  .stall_us = STALL_US};
    size_t size = (round_bytes(&config) + 63) / 64 * 64;
    struct sh_arena arena;
    m->memory = aligned_alloc(64, size);
    SH_CHECK(m->memory != NULL);
    sh_arena_init(&arena, m->memory, size);
    m->round = round_init(&config, &arena);
    m->params = floats(w->elements);
    m->result[0] = floats(w->elements);
    m->result[1] = floats(w->elements);
}

static void drop_sums(struct sim_gang_member *m)
{
    for (uint32_t i = 0; i < ROUND_MINE_MAX; i++) {
        free(m->local[i]);
        m->local[i] = NULL;
    }
    for (uint32_t i = 0; i < ROUND_RANKS_MAX; i++) {
        free(m->part[i]);
        m->part[i] = NULL;
    }
}

void sim_gang_round_close(struct sim_gang_member *m)
{
    drop_sums(m);
    free(m->memory);
    free(m->params);
    free(m->result[0]);
    free(m->result[1]);
    m->memory = NULL;
    m->round = NULL;
}

/* ---- what is under way ---- */

static void begin_op(struct sim_gang *w, uint32_t member, struct sim_gang_op op, uint64_t mean_us)
{
    struct sim_gang_member *m = &w->members[member];
    uint32_t at = 0;
    while (at < SIM_GANG_OPS_MAX && m->ops[at].kind != SIM_OP_FREE) {
        at++;
    }
    SH_CHECK_CMP(at, <, SIM_GANG_OPS_MAX);
    m->ops[at] = op;
    m->reducing += op.kind == SIM_OP_REDUCE;
    sim_ether_after(&w->net, member, 1 + sim_about(&w->net.rng, mean_us) * m->slow,
                    SIM_GANG_ARG(SIM_GANG_OP, m->turn), at);
}

static void drop_ops(struct sim_gang_member *m)
{
    m->turn++;
    m->reducing = 0;
    memset(m->ops, 0, sizeof m->ops);
}

/* ---- the core ---- */

static const float *payload_of(const struct sim_gang_member *m, const struct round_action *a)
{
    const struct round_frame *h = &a->header;
    if (h->kind == ROUND_FRAME_PART) {
        return m->local[a->own] + h->offset;
    }
    return h->kind == ROUND_FRAME_RESULT ? m->result[h->sequence & 1] + h->offset : NULL;
}

static void report_stall(struct sim_gang *w, uint32_t member, const struct round_action *a)
{
    const struct sim_gang_entry *entry = sim_gang_entry_of(w, &w->members[member]);
    for (uint32_t i = 0; i < entry->count; i++) {
        if (((a->waiting_parts | a->waiting_results) >> i & 1) != 0) {
            sim_gang_report(w, member, entry->agent[i]);
        }
    }
}

static void done(struct sim_gang *w, uint32_t member, uint64_t sequence)
{
    struct sim_gang_member *m = &w->members[member];
    const float *sum = m->result[sequence & 1];
    if (m->base + sequence != m->position) {
        sim_ether_break(&w->net, "member %u finished step %llu where it stood at %llu", member,
                        (unsigned long long)(m->base + sequence), (unsigned long long)m->position);
        return;
    }
    sim_gang_apply(w, m->position, sum, m->params);
    sim_gang_line_finish(w, member, m->position, sum, m->params);
    m->position++;
    if (m->me == 0 && m->position % w->save_every == 0) {
        sim_gang_say(w, member, m->coordinator,
                     (struct sim_gang_word){.kind = SIM_GANG_SAVED,
                                            .generation = m->gang.about.generation,
                                            .position = m->position},
                     NULL, 0);
    }
    sim_ether_after(&w->net, member, 1 + sim_about(&w->net.rng, NEXT_US),
                    SIM_GANG_ARG(SIM_GANG_NEXT, m->turn), 0);
}

static void carry_out(struct sim_gang *w, uint32_t member, const struct round_action *a,
                      const uint8_t *payload)
{
    struct sim_gang_member *m = &w->members[member];
    const struct round_frame *h = &a->header;
    switch (a->kind) {
    case ROUND_KEEP_PART:
        memcpy(m->part[h->subtree] + a->part_offset, payload, h->count * sizeof(float));
        break;
    case ROUND_KEEP_RESULT:
        memcpy(m->result[h->sequence & 1] + h->offset, payload, h->count * sizeof(float));
        break;
    case ROUND_REDUCE:
        begin_op(w, member, (struct sim_gang_op){.kind = SIM_OP_REDUCE, .action = *a}, REDUCE_US);
        break;
    case ROUND_SEND:
        begin_op(w, member, (struct sim_gang_op){.kind = SIM_OP_SEND, .action = *a}, SEND_US);
        break;
    case ROUND_DONE:
        done(w, member, h->sequence);
        break;
    case ROUND_STALLED:
        report_stall(w, member, a);
        break;
    }
}

static void step(struct sim_gang *w, uint32_t member, struct round_event event,
                 const uint8_t *payload)
{
    struct sim_gang_member *m = &w->members[member];
    struct round_update update;
    event.now_us = w->net.now_us;
    round_step(m->round, &event, &update);
    for (uint32_t i = 0; i < update.count && !w->net.broken; i++) {
        carry_out(w, member, &update.actions[i], payload);
    }
    uint64_t due = round_deadline_us(m->round);
    due = due < w->net.now_us ? w->net.now_us : due;
    if (due != UINT64_MAX && due != m->armed_us) {
        m->armed_us = due;
        sim_ether_after(&w->net, member, due - w->net.now_us, SIM_GANG_ARG(SIM_GANG_TIMER, m->turn),
                        (uint32_t)++m->timer);
    }
}

void sim_gang_round_timer(struct sim_gang *w, uint32_t member)
{
    w->members[member].armed_us = UINT64_MAX;
    step(w, member, (struct round_event){.kind = ROUND_EV_TIMER}, NULL);
    if (!w->net.broken) {
        round_check(w->members[member].round);
    }
}

/* ---- rounds ---- */

static void begin(struct sim_gang *w, uint32_t member, uint64_t sequence)
{
    struct sim_gang_member *m = &w->members[member];
    struct round_event event = {.kind = ROUND_EV_BEGIN};
    uint32_t first = 0;
    uint32_t own = 0;
    m->sequence = sequence;
    m->reduced = 0;
    m->locals = 0;
    event.begin.sequence = sequence;
    event.begin.elements = sim_gang_length(w, m->base + sequence);
    step(w, member, event, NULL);
    const struct round_plan *plan = round_plan(m->round);
    m->own_chunks = m->me < plan->owners ? plan->first[m->me + 1] - plan->first[m->me] : 0;
    round_own_subtrees(m->round, &first, &own);
    for (uint32_t i = 0; i < own; i++) {
        begin_op(w, member, (struct sim_gang_op){.kind = SIM_OP_LOCAL, .local = i}, w->compute_us);
    }
}

void sim_gang_round_go(struct sim_gang *w, uint32_t member)
{
    struct sim_gang_member *m = &w->members[member];
    const struct sim_gang_entry *entry = sim_gang_entry_of(w, m);
    struct round_member range[WIRE_MEMBERS_MAX];
    if (entry->generation <= m->played) {
        sim_ether_break(&w->net, "member %u begins generation %llu after %llu", member,
                        (unsigned long long)entry->generation, (unsigned long long)m->played);
        return;
    }
    for (uint32_t i = 0; i < entry->count; i++) {
        range[i] = (struct round_member){.low = entry->members[i].rank_lo,
                                         .high = entry->members[i].rank_hi};
    }
    struct round_event event = {.kind = ROUND_EV_START};
    event.start = (struct round_generation){.generation = entry->generation,
                                            .ranks = w->ranks,
                                            .members = entry->count,
                                            .me = m->me,
                                            .range = range};
    drop_ops(m);
    drop_sums(m);
    m->armed_us = UINT64_MAX;
    m->playing = true;
    m->played = entry->generation;
    m->base = m->position;
    sim_gang_line_stand(w, member);
    step(w, member, event, NULL);
    uint32_t first = 0;
    uint32_t own = 0;
    uint32_t count = 0;
    round_own_subtrees(m->round, &first, &own);
    (void)round_subtrees(m->round, &count);
    uint64_t most = round_plan_segment_max(w->elements, entry->count);
    for (uint32_t i = 0; i < own; i++) {
        m->local[i] = floats(w->elements);
    }
    for (uint32_t i = 0; i < count; i++) {
        m->part[i] = i < first || i >= first + own ? floats(most) : NULL;
    }
    begin(w, member, 0);
}

void sim_gang_round_next(struct sim_gang *w, uint32_t member)
{
    begin(w, member, w->members[member].sequence + 1);
}

void sim_gang_round_stop(struct sim_gang *w, uint32_t member)
{
    struct sim_gang_member *m = &w->members[member];
    if (m->playing) {
        drop_ops(m);
        m->playing = false;
        step(w, member, (struct round_event){.kind = ROUND_EV_ABORT}, NULL);
    }
}

/* ---- what is over ---- */

static uint32_t level_of(const struct round_subtree *tree)
{
    uint32_t level = 0;
    while (1u << level < (uint32_t)(tree->high - tree->low)) {
        level++;
    }
    return level;
}

static void take_local(struct sim_gang *w, uint32_t member, uint32_t local)
{
    struct sim_gang_member *m = &w->members[member];
    uint32_t first = 0;
    uint32_t count = 0;
    round_own_subtrees(m->round, &first, &count);
    const struct round_subtree *tree = round_subtrees(m->round, &count) + first + local;
    uint64_t position = m->base + m->sequence;
    uint32_t length = sim_gang_length(w, position);
    float *slots[KN_TREE_DEPTH_MAX] = {m->local[local]};
    struct kn_tree_sum sum;
    uint32_t level = level_of(tree);
    for (uint32_t i = 1; i <= level; i++) {
        slots[i] = floats(length);
    }
    kn_tree_begin(&sum, level, length, slots);
    for (uint32_t r = tree->low; r < tree->high; r++) {
        sim_gang_gradient(w, position, r, kn_tree_next(&sum));
        kn_tree_push(&sum);
    }
    SH_CHECK(kn_tree_done(&sum) == m->local[local]);
    for (uint32_t i = 1; i <= level; i++) {
        free(slots[i]);
    }
    m->locals++;
    step(w, member, (struct round_event){.kind = ROUND_EV_LOCAL_READY, .local = local}, NULL);
}

static void reduce(struct sim_gang *w, uint32_t member, const struct round_action *a)
{
    struct sim_gang_member *m = &w->members[member];
    const struct round_frame *h = &a->header;
    struct kn_subtree subtrees[ROUND_RANKS_MAX];
    const float *sums[ROUND_RANKS_MAX];
    uint32_t first = 0;
    uint32_t own = 0;
    uint32_t count = 0;
    round_own_subtrees(m->round, &first, &own);
    const struct round_subtree *tree = round_subtrees(m->round, &count);
    for (uint32_t i = 0; i < count; i++) {
        bool mine = i >= first && i < first + own;
        subtrees[i] = (struct kn_subtree){.lo = tree[i].low, .level = level_of(&tree[i])};
        sums[i] = mine ? m->local[i - first] + h->offset : m->part[i] + a->part_offset;
    }
    SH_CHECK(kn_tree_root(subtrees, sums, count, w->ranks, h->count,
                          m->result[h->sequence & 1] + h->offset));
    m->reduced++;
    struct round_event event = {.kind = ROUND_EV_REDUCED};
    event.reduced.generation = h->generation;
    event.reduced.sequence = h->sequence;
    event.reduced.chunk = h->chunk;
    step(w, member, event, NULL);
}

static void leave(struct sim_gang *w, uint32_t member, const struct round_action *a)
{
    struct sim_gang_member *m = &w->members[member];
    struct round_frame head = a->header;
    const float *payload = payload_of(m, a);
    size_t size = payload != NULL ? head.count * sizeof(float) : 0;
    uint8_t *bytes = malloc(ROUND_FRAME_BYTES + size);
    SH_CHECK(bytes != NULL);
    head.sum = payload != NULL ? round_frame_sum(payload, size) : 0;
    round_frame_encode(&head, bytes);
    if (payload != NULL) {
        memcpy(bytes + ROUND_FRAME_BYTES, payload, size);
    }
    sim_gang_say(w, member, sim_gang_entry_of(w, m)->agent[a->to],
                 (struct sim_gang_word){.kind = SIM_GANG_FRAME}, bytes, ROUND_FRAME_BYTES + size);
    free(bytes);
    struct round_event event = {.kind = ROUND_EV_SEND_DONE};
    event.sent.generation = head.generation;
    event.sent.sequence = head.sequence;
    event.sent.kind = head.kind;
    step(w, member, event, NULL);
}

void sim_gang_round_op(struct sim_gang *w, uint32_t member, uint32_t number)
{
    struct sim_gang_member *m = &w->members[member];
    struct sim_gang_op op = m->ops[number];
    m->ops[number].kind = SIM_OP_FREE;
    switch (op.kind) {
    case SIM_OP_FREE:
        SH_UNREACHABLE();
    case SIM_OP_LOCAL:
        take_local(w, member, op.local);
        break;
    case SIM_OP_SEND:
        leave(w, member, &op.action);
        break;
    case SIM_OP_REDUCE:
        m->reducing--;
        reduce(w, member, &op.action);
        break;
    }
}

void sim_gang_round_frame(struct sim_gang *w, uint32_t member, uint32_t from, const uint8_t *bytes,
                          size_t size)
{
    struct sim_gang_member *m = &w->members[member];
    struct round_event event = {.kind = ROUND_EV_FRAME};
    struct sh_span payload;
    enum sh_err err = round_frame_decode((struct sh_span){.at = bytes, .size = size},
                                         &event.frame.header, &payload);
    SH_CHECK(err == SH_OK);
    const struct sim_gang_entry *entry = sim_gang_entry_of(w, m);
    uint32_t index = 0;
    while (index < entry->count && entry->agent[index] != from) {
        index++;
    }
    bool whole =
        payload.size == 0 || round_frame_sum(payload.at, payload.size) == event.frame.header.sum;
    if (index < entry->count && whole) {
        event.frame.from = (uint16_t)index;
        step(w, member, event, payload.at);
    }
}
