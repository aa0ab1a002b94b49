/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange.h"
#include "tst.h"

#include <stdlib.h>

enum { PENDING_MAX = 65536 };

enum pending_kind { PENDING_FRAME, PENDING_SENT, PENDING_REDUCED, PENDING_LOCAL };

struct pending {
    uint64_t at_us;
    uint64_t order; /* of insertion: ties are first in, first out */
    enum pending_kind kind;
    uint32_t member;
    uint32_t local;
    struct round_action action;
    uint64_t life;  /* START count when it was made */
    uint8_t *bytes; /* FRAME: owned */
    size_t size;
};

struct member {
    void *memory;
    struct round *round;
    uint32_t *local[ROUND_MINE_MAX];
    uint32_t *part[EXCHANGE_RANKS_MAX];
    uint32_t *result[2];
    uint64_t sequence;
    bool done;
    bool muted;
    uint64_t waiting_parts;
    uint64_t waiting_results;
};

struct exchange {
    struct exchange_config config;
    struct sh_rng rng;
    uint64_t now_us;
    uint64_t order;
    uint64_t life;
    uint64_t generation;
    uint64_t digest;
    uint32_t members;
    struct round_member range[EXCHANGE_MEMBERS_MAX];
    struct member member[EXCHANGE_MEMBERS_MAX];
    struct pending *heap;
    uint32_t pending;
};

static uint32_t combine(uint32_t left, uint32_t right)
{
    return left * 31u + right * 17u + 7u;
}

static uint32_t leaf(const struct exchange *x, uint64_t sequence, uint32_t rank, uint64_t element)
{
    return (uint32_t)sh_mix64(x->generation * 1000003 + sequence * 10007 + rank * 101 + element);
}

/* Value of a complete subtree, siblings combined as soon as both are there. */
struct stack {
    uint32_t value[ROUND_MINE_MAX];
    uint32_t low[ROUND_MINE_MAX];
    uint32_t size[ROUND_MINE_MAX];
    uint32_t count;
};

static void stack_add(struct stack *s, uint32_t low, uint32_t size, uint32_t value)
{
    while (s->count > 0 && s->size[s->count - 1] == size && low % (2 * size) == size) {
        s->count--;
        value = combine(s->value[s->count], value);
        low = s->low[s->count];
        size *= 2;
    }
    s->value[s->count] = value;
    s->low[s->count] = low;
    s->size[s->count++] = size;
}

static uint32_t subtree_value(const struct exchange *x, uint64_t sequence, uint32_t low,
                              uint32_t high, uint64_t element)
{
    struct stack s = {0};
    for (uint32_t rank = low; rank < high; rank++) {
        stack_add(&s, rank, 1, leaf(x, sequence, rank, element));
    }
    EXPECT_EQ(s.count, 1);
    return s.value[0];
}

static bool is_before(const struct pending *a, const struct pending *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void push(struct exchange *x, struct pending p, uint64_t after_us)
{
    EXPECT(x->pending < PENDING_MAX);
    p.at_us = x->now_us + after_us;
    p.order = x->order++;
    p.life = x->life;
    uint32_t at = x->pending++;
    while (at > 0 && is_before(&p, &x->heap[(at - 1) / 2])) {
        x->heap[at] = x->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    x->heap[at] = p;
}

static struct pending pop(struct exchange *x)
{
    struct pending top = x->heap[0];
    struct pending last = x->heap[--x->pending];
    uint32_t at = 0;
    for (uint32_t child = 1; child < x->pending; child = 2 * at + 1) {
        if (child + 1 < x->pending && is_before(&x->heap[child + 1], &x->heap[child])) {
            child++;
        }
        if (!is_before(&x->heap[child], &last)) {
            break;
        }
        x->heap[at] = x->heap[child];
        at = child;
    }
    x->heap[at] = last;
    return top;
}

struct exchange *exchange_new(const struct exchange_config *config)
{
    struct exchange *x = calloc(1, sizeof *x);
    EXPECT(x != NULL);
    x->config = *config;
    sh_rng_init(&x->rng, config->seed);
    x->heap = calloc(PENDING_MAX, sizeof *x->heap);
    struct round_config rc = {.elements_max = EXCHANGE_ELEMENTS_MAX,
                              .chunk_elements = config->chunk_elements,
                              .window = config->window,
                              .retry_us = 20000,
                              .stall_us = 1000000};
    size_t bytes = round_bytes(&rc);
    for (uint32_t m = 0; m < EXCHANGE_MEMBERS_MAX; m++) {
        struct sh_arena arena;
        struct member *member = &x->member[m];
        member->memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
        EXPECT(member->memory != NULL);
        sh_arena_init(&arena, member->memory, bytes);
        member->round = round_init(&rc, &arena);
        for (uint32_t i = 0; i < ROUND_MINE_MAX; i++) {
            member->local[i] = calloc(EXCHANGE_ELEMENTS_MAX, sizeof(uint32_t));
        }
        for (uint32_t i = 0; i < EXCHANGE_RANKS_MAX; i++) {
            member->part[i] = calloc(EXCHANGE_ELEMENTS_MAX, sizeof(uint32_t));
        }
        for (uint32_t i = 0; i < 2; i++) {
            member->result[i] = calloc(EXCHANGE_ELEMENTS_MAX, sizeof(uint32_t));
        }
    }
    return x;
}

void exchange_free(struct exchange *x)
{
    while (x->pending > 0) {
        struct pending p = pop(x);
        free(p.bytes);
    }
    for (uint32_t m = 0; m < EXCHANGE_MEMBERS_MAX; m++) {
        struct member *member = &x->member[m];
        for (uint32_t i = 0; i < ROUND_MINE_MAX; i++) {
            free(member->local[i]);
        }
        for (uint32_t i = 0; i < EXCHANGE_RANKS_MAX; i++) {
            free(member->part[i]);
        }
        free(member->result[0]);
        free(member->result[1]);
        free(member->memory);
    }
    free(x->heap);
    free(x);
}

static uint64_t delay(struct exchange *x)
{
    return sh_rng_between(&x->rng, 1, x->config.delay_us);
}

static const uint32_t *payload_of(const struct member *m, const struct round_action *a)
{
    const struct round_frame *h = &a->header;
    if (h->kind == ROUND_FRAME_PART) {
        uint32_t first = 0;
        uint32_t count = 0;
        round_own_subtrees(m->round, &first, &count);
        EXPECT(a->own < count);
        EXPECT_EQ(h->subtree, first + a->own);
        return m->local[a->own] + h->offset;
    }
    return h->kind == ROUND_FRAME_RESULT ? m->result[h->sequence & 1] + h->offset : NULL;
}

static void begin_round(struct exchange *x, uint32_t at, uint64_t sequence);

/* A member that finished its last round stays, so that the others can ask it. */
static void on_done(struct exchange *x, uint32_t at, uint64_t sequence)
{
    struct member *m = &x->member[at];
    EXPECT_EQ(sequence, m->sequence);
    EXPECT(!m->done);
    EXPECT(!round_is_running(m->round));
    for (uint64_t e = 0; e < x->config.elements[sequence]; e++) {
        EXPECT_EQ(m->result[sequence & 1][e], subtree_value(x, sequence, 0, x->config.ranks, e));
    }
    if (sequence + 1 == x->config.rounds) {
        m->done = true;
    } else {
        begin_round(x, at, sequence + 1);
    }
}

static void perform(struct exchange *x, uint32_t at, const struct round_update *update,
                    const uint8_t *payload)
{
    struct member *m = &x->member[at];
    for (uint32_t i = 0; i < update->count; i++) {
        const struct round_action *a = &update->actions[i];
        const struct round_frame *h = &a->header;
        x->digest = sh_mix64(x->digest ^ (uint64_t)a->kind << 56 ^ h->chunk ^ x->now_us << 8 ^ at);
        struct pending p = {.member = at, .action = *a};
        switch (a->kind) {
        case ROUND_KEEP_PART:
            memcpy(m->part[h->subtree] + a->part_offset, payload, h->count * 4ul);
            break;
        case ROUND_KEEP_RESULT:
            memcpy(m->result[h->sequence & 1] + h->offset, payload, h->count * 4ul);
            break;
        case ROUND_REDUCE:
            p.kind = PENDING_REDUCED;
            push(x, p, delay(x));
            break;
        case ROUND_SEND:
            p.kind = PENDING_SENT;
            if (payload_of(m, a) != NULL) {
                p.action.header.sum = round_frame_sum(payload_of(m, a), h->count * 4ul);
            }
            push(x, p, delay(x));
            break;
        case ROUND_DONE:
            on_done(x, at, h->sequence);
            break;
        case ROUND_STALLED:
            m->waiting_parts = a->waiting_parts;
            m->waiting_results = a->waiting_results;
            break;
        }
    }
}

static void step(struct exchange *x, uint32_t at, struct round_event event, const uint8_t *payload)
{
    struct round_update update;
    event.now_us = x->now_us;
    round_step(x->member[at].round, &event, &update);
    round_check(x->member[at].round);
    perform(x, at, &update, payload);
}

static void begin_round(struct exchange *x, uint32_t at, uint64_t sequence)
{
    struct member *m = &x->member[at];
    m->sequence = sequence;
    struct round_event begin = {.kind = ROUND_EV_BEGIN};
    begin.begin.sequence = sequence;
    begin.begin.elements = x->config.elements[sequence];
    step(x, at, begin, NULL);
    uint32_t first = 0;
    uint32_t count = 0;
    round_own_subtrees(m->round, &first, &count);
    for (uint32_t i = 0; i < count && !m->muted; i++) {
        push(x, (struct pending){.kind = PENDING_LOCAL, .member = at, .local = i}, delay(x));
    }
}

static void on_local(struct exchange *x, const struct pending *p)
{
    struct member *m = &x->member[p->member];
    uint32_t first = 0;
    uint32_t count = 0;
    round_own_subtrees(m->round, &first, &count);
    const struct round_subtree *tree = round_subtrees(m->round, &count) + first + p->local;
    for (uint64_t e = 0; e < x->config.elements[m->sequence]; e++) {
        m->local[p->local][e] = subtree_value(x, m->sequence, tree->low, tree->high, e);
    }
    struct round_event event = {.kind = ROUND_EV_LOCAL_READY, .local = p->local};
    step(x, p->member, event, NULL);
}

static void on_reduced(struct exchange *x, const struct pending *p)
{
    struct member *m = &x->member[p->member];
    const struct round_frame *h = &p->action.header;
    uint32_t first = 0;
    uint32_t own = 0;
    uint32_t count = 0;
    round_own_subtrees(m->round, &first, &own);
    const struct round_subtree *tree = round_subtrees(m->round, &count);
    uint64_t base = h->offset - p->action.part_offset;
    for (uint64_t e = h->offset; e < h->offset + h->count; e++) {
        struct stack s = {0};
        for (uint32_t t = 0; t < count; t++) {
            bool mine = t >= first && t < first + own;
            uint32_t value = mine ? m->local[t - first][e] : m->part[t][e - base];
            stack_add(&s, tree[t].low, (uint32_t)tree[t].high - tree[t].low, value);
        }
        EXPECT_EQ(s.count, 1);
        m->result[h->sequence & 1][e] = s.value[0];
    }
    struct round_event event = {.kind = ROUND_EV_REDUCED};
    event.reduced.generation = h->generation;
    event.reduced.sequence = h->sequence;
    event.reduced.chunk = h->chunk;
    step(x, p->member, event, NULL);
}

/* The frame leaves now: its buffer must still hold what it held when it was queued. */
static void on_sent(struct exchange *x, const struct pending *p)
{
    struct member *m = &x->member[p->member];
    const struct round_frame *h = &p->action.header;
    bool tensor = h->kind == ROUND_FRAME_PART || h->kind == ROUND_FRAME_RESULT;
    size_t size = ROUND_FRAME_BYTES + (tensor ? h->count * 4ul : 0);
    uint32_t copies = sh_rng_chance(&x->rng, x->config.repeat_percent, 100) ? 2 : 1;
    copies = sh_rng_chance(&x->rng, x->config.loss_percent, 100) ? 0 : copies;
    for (uint32_t i = 0; i < copies; i++) {
        uint8_t *bytes = malloc(size);
        EXPECT(bytes != NULL);
        round_frame_encode(h, bytes);
        if (tensor) {
            memcpy(bytes + ROUND_FRAME_BYTES, payload_of(m, &p->action), h->count * 4ul);
        }
        push(x,
             (struct pending){
                 .kind = PENDING_FRAME, .member = p->action.to, .bytes = bytes, .size = size},
             delay(x));
    }
    struct round_event event = {.kind = ROUND_EV_SEND_DONE};
    event.sent.generation = h->generation;
    event.sent.sequence = h->sequence;
    event.sent.kind = h->kind;
    step(x, p->member, event, NULL);
}

static void on_frame(struct exchange *x, const struct pending *p)
{
    struct round_event event = {.kind = ROUND_EV_FRAME};
    struct sh_span payload;
    struct sh_span bytes = {.at = p->bytes, .size = p->size};
    EXPECT_EQ(round_frame_decode(bytes, &event.frame.header, &payload), SH_OK);
    if (payload.size > 0) {
        EXPECT_EQ(round_frame_sum(payload.at, payload.size), event.frame.header.sum);
    }
    event.frame.from = event.frame.header.from;
    step(x, p->member, event, payload.at);
}

static uint64_t next_deadline(const struct exchange *x, uint32_t *member)
{
    uint64_t best = UINT64_MAX;
    for (uint32_t m = 0; m < x->members; m++) {
        uint64_t at = round_deadline_us(x->member[m].round);
        if (at < best) {
            best = at;
            *member = m;
        }
    }
    return best;
}

bool exchange_turn(struct exchange *x)
{
    uint32_t member = 0;
    uint64_t timer = next_deadline(x, &member);
    if (x->pending == 0 && timer == UINT64_MAX) {
        return false;
    }
    if (x->pending == 0 || timer < x->heap[0].at_us) {
        x->now_us = timer > x->now_us ? timer : x->now_us;
        step(x, member, (struct round_event){.kind = ROUND_EV_TIMER}, NULL);
        return true;
    }
    struct pending p = pop(x);
    x->now_us = p.at_us > x->now_us ? p.at_us : x->now_us;
    bool stale = p.life != x->life;
    switch (p.kind) {
    case PENDING_FRAME:
        if (p.member < x->members) {
            on_frame(x, &p); /* frames of earlier generations arrive too */
        }
        break;
    case PENDING_SENT:
        if (!stale) {
            on_sent(x, &p);
        }
        break;
    case PENDING_REDUCED:
        if (!stale) {
            on_reduced(x, &p);
        }
        break;
    case PENDING_LOCAL:
        if (!stale) {
            on_local(x, &p);
        }
        break;
    }
    free(p.bytes);
    return true;
}

static void choose_ranges(struct exchange *x)
{
    uint32_t left = x->config.ranks;
    uint32_t low = 0;
    for (uint32_t m = 0; m < x->members; m++) {
        uint32_t others = x->members - m - 1;
        uint32_t most = left - others;
        uint32_t size = others == 0 ? left : (uint32_t)sh_rng_between(&x->rng, 1, most);
        x->range[m] = (struct round_member){.low = (uint16_t)low, .high = (uint16_t)(low + size)};
        low += size;
        left -= size;
    }
}

void exchange_start(struct exchange *x, uint64_t generation, uint32_t members)
{
    EXPECT(members <= x->config.ranks);
    x->generation = generation;
    x->members = members;
    x->life++;
    choose_ranges(x);
    for (uint32_t m = 0; m < members; m++) {
        struct round_event start = {.kind = ROUND_EV_START};
        start.start = (struct round_generation){.generation = generation,
                                                .ranks = x->config.ranks,
                                                .members = members,
                                                .me = m,
                                                .range = x->range};
        x->member[m].done = false;
        step(x, m, start, NULL);
    }
    for (uint32_t m = 0; m < members; m++) {
        begin_round(x, m, 0);
    }
}

void exchange_mute(struct exchange *x, uint32_t member)
{
    x->member[member].muted = true;
}

void exchange_abort(struct exchange *x)
{
    for (uint32_t m = 0; m < x->members; m++) {
        step(x, m, (struct round_event){.kind = ROUND_EV_ABORT}, NULL);
        EXPECT_EQ(round_deadline_us(x->member[m].round), UINT64_MAX);
    }
}

bool exchange_is_done(const struct exchange *x)
{
    for (uint32_t m = 0; m < x->members; m++) {
        if (!x->member[m].done) {
            return false;
        }
    }
    return true;
}

void exchange_run(struct exchange *x, uint64_t limit_us)
{
    while (!exchange_is_done(x)) {
        EXPECT(exchange_turn(x));
        EXPECT(x->now_us < limit_us);
    }
}

uint64_t exchange_now_us(const struct exchange *x)
{
    return x->now_us;
}

const struct round *exchange_round(const struct exchange *x, uint32_t member)
{
    return x->member[member].round;
}

uint64_t exchange_waiting_parts(const struct exchange *x, uint32_t member)
{
    return x->member[member].waiting_parts;
}

uint64_t exchange_waiting_results(const struct exchange *x, uint32_t member)
{
    return x->member[member].waiting_results;
}

uint64_t exchange_digest(const struct exchange *x)
{
    return x->digest;
}
