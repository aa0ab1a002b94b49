/* SPDX-License-Identifier: Apache-2.0 */
#include "lin/lin.h"

#include "lin/seen.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
enum {
    HEAD = 0, /* the node before all others */
    TWINS_SEARCHED = 256,
};

struct node { /* the beginning or the end of a call, in the order of time */
    uint32_t prev;
    uint32_t next;
    uint32_t op;
    uint32_t pair; /* beginning: its end, NONE when open; end: its beginning */
    bool begins;
};

struct frame {
    uint32_t node;  /* the beginning of the call that was ordered */
    uint64_t state; /* before it */
};

struct bits { /* of calls ordered; words below low are full, from high on empty */
    uint64_t *words;
    uint32_t low;
    uint32_t high;
};

/* The search for one key. Arrays have room for the largest. */
struct search {
    const struct lin_op *ops; /* of this key, by call */
    uint32_t count;
    lin_step *step;
    void *ctx;
    struct node *nodes;
    uint32_t *number; /* of each op, among the answered or among the open ones */
    uint32_t *twin;   /* open ops: the one before that asks for the same; NONE */
    uint32_t *scratch;
    struct frame *stack;
    uint32_t depth;
    uint32_t deepest;
    uint32_t line; /* where it ended then */
    uint32_t left; /* answered calls that are not ordered yet */
    uint64_t state;
    struct bits closed;
    struct bits open;
    uint64_t *config; /* scratch */
    struct lin_seen seen;
};

static bool is_open(const struct lin_op *op)
{
    return op->done == LIN_NEVER;
}

/* ---- the list of what happened ---- */

struct moment {
    uint64_t at;
    uint32_t op;
    bool begins;
};

/* At one and the same time beginnings come first: those calls count as concurrent. */
static int by_time(const void *a, const void *b)
{
    const struct moment *x = a;
    const struct moment *y = b;
    if (x->at != y->at) {
        return x->at < y->at ? -1 : 1;
    }
    if (x->begins != y->begins) {
        return x->begins ? -1 : 1;
    }
    return x->op < y->op ? -1 : x->op > y->op;
}

static void link_nodes(struct search *s, const struct moment *moments, uint32_t count)
{
    uint32_t *begin = s->scratch;
    s->nodes[HEAD] = (struct node){.prev = HEAD, .next = count > 0 ? 1 : HEAD};
    for (uint32_t i = 0; i < count; i++) {
        const struct moment *m = &moments[i];
        struct node *n = &s->nodes[i + 1];
        *n = (struct node){.prev = i,
                           .next = i + 1 < count ? i + 2 : HEAD,
                           .op = m->op,
                           .pair = NONE,
                           .begins = m->begins};
        if (m->begins) {
            begin[m->op] = i + 1;
        } else {
            n->pair = begin[m->op];
            s->nodes[n->pair].pair = i + 1;
        }
    }
}

static bool same_wish(const struct lin_op *a, const struct lin_op *b)
{
    return a->verb == b->verb && memcmp(a->arg, b->arg, sizeof a->arg) == 0;
}

/* The newest of the last open calls that asks for what op asks for. */
static uint32_t twin_of(const struct search *s, const uint32_t *opens, uint32_t open, uint32_t op)
{
    for (uint32_t back = 1; back <= open && back <= TWINS_SEARCHED; back++) {
        if (same_wish(&s->ops[opens[open - back]], &s->ops[op])) {
            return opens[open - back];
        }
    }
    return NONE;
}

/* Numbers the calls; for each open one finds its elder twin. */
static void find_twins(struct search *s)
{
    uint32_t *opens = s->scratch;
    uint32_t closed = 0;
    uint32_t open = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        s->twin[i] = NONE;
        if (is_open(&s->ops[i])) {
            s->twin[i] = twin_of(s, opens, open, i);
            s->number[i] = open;
            opens[open++] = i;
        } else {
            s->number[i] = closed++;
        }
    }
    s->left = closed;
    s->closed.low = s->closed.high = 0;
    s->open.low = s->open.high = 0;
    memset(s->closed.words, 0, (closed / 64 + 1) * sizeof(uint64_t));
    memset(s->open.words, 0, (open / 64 + 1) * sizeof(uint64_t));
}

static void begin_key(struct search *s, struct moment *moments)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct lin_op *op = &s->ops[i];
        SH_CHECK_CMP(op->done, >=, op->call);
        if (is_open(op) && op->reads) {
            continue; /* nobody can tell whether it happened */
        }
        moments[count++] = (struct moment){.at = op->call, .op = i, .begins = true};
        if (!is_open(op)) {
            moments[count++] = (struct moment){.at = op->done, .op = i};
        }
    }
    qsort(moments, count, sizeof *moments, by_time);
    link_nodes(s, moments, count);
    find_twins(s);
    lin_seen_clear(&s->seen);
    s->depth = 0;
    s->deepest = 0;
    s->line = 0;
}

/* ---- the set of calls ordered ---- */

static bool has_bit(const struct bits *b, uint32_t at)
{
    return (b->words[at / 64] >> (at % 64) & 1) != 0;
}

static void set_bit(struct bits *b, uint32_t at)
{
    b->words[at / 64] |= UINT64_C(1) << (at % 64);
    b->high = at / 64 + 1 > b->high ? at / 64 + 1 : b->high;
    while (b->low < b->high && b->words[b->low] == UINT64_MAX) {
        b->low++;
    }
}

static void clear_bit(struct bits *b, uint32_t at)
{
    b->words[at / 64] &= ~(UINT64_C(1) << (at % 64));
    b->low = at / 64 < b->low ? at / 64 : b->low;
    while (b->high > 0 && b->words[b->high - 1] == 0) {
        b->high--;
    }
    b->low = b->low < b->high ? b->low : b->high;
}

static struct bits *bits_of(struct search *s, uint32_t op)
{
    return is_open(&s->ops[op]) ? &s->open : &s->closed;
}

/* A configuration: the state, and the calls ordered, but for the words that are full. */
static bool remember(struct search *s, uint64_t state)
{
    uint64_t *c = s->config;
    uint64_t used = 0;
    c[used++] = state;
    c[used++] = (uint64_t)s->closed.low << 32 | s->open.low;
    c[used++] = s->closed.high;
    for (uint32_t i = s->closed.low; i < s->closed.high; i++) {
        c[used++] = s->closed.words[i];
    }
    for (uint32_t i = s->open.low; i < s->open.high; i++) {
        c[used++] = s->open.words[i];
    }
    return lin_seen_add(&s->seen, c, used);
}

/* ---- the search ---- */

static void unlink_node(struct search *s, uint32_t at)
{
    const struct node *n = &s->nodes[at];
    s->nodes[n->prev].next = n->next;
    s->nodes[n->next].prev = n->prev;
}

static void relink_node(struct search *s, uint32_t at)
{
    const struct node *n = &s->nodes[at];
    s->nodes[n->prev].next = at;
    s->nodes[n->next].prev = at;
}

static bool may_be_next(const struct search *s, uint32_t op, uint64_t *next)
{
    const struct lin_op *o = &s->ops[op];
    if (o->sets && s->depth > 0 && is_open(&s->ops[s->nodes[s->stack[s->depth - 1].node].op])) {
        return false; /* that one may as well not have happened */
    }
    if (!s->step(s->ctx, s->state, o, next)) {
        return false;
    }
    if (!is_open(o)) {
        return true;
    }
    return *next != s->state && (s->twin[op] == NONE || has_bit(&s->open, s->number[s->twin[op]]));
}

/* Orders the call that begins at this node; false: that configuration was visited before. */
static bool order(struct search *s, uint32_t at, uint64_t next)
{
    const struct node *n = &s->nodes[at];
    struct bits *bits = bits_of(s, n->op);
    set_bit(bits, s->number[n->op]);
    if (!remember(s, next)) {
        clear_bit(bits, s->number[n->op]);
        return false;
    }
    s->stack[s->depth++] = (struct frame){.node = at, .state = s->state};
    s->state = next;
    unlink_node(s, at);
    if (n->pair != NONE) {
        unlink_node(s, n->pair);
        s->left--;
    }
    return true;
}

/* Takes back the newest order that left a choice; the node to go on from, HEAD: there is none. */
static uint32_t take_back(struct search *s)
{
    while (s->depth > 0) {
        struct frame f = s->stack[--s->depth];
        const struct node *n = &s->nodes[f.node];
        if (n->pair != NONE) {
            relink_node(s, n->pair);
            s->left++;
        }
        relink_node(s, f.node);
        clear_bit(bits_of(s, n->op), s->number[n->op]);
        s->state = f.state;
        if (!s->ops[n->op].reads && n->next != HEAD) {
            return n->next;
        }
    }
    return HEAD;
}

static enum lin_verdict search_key(struct search *s, uint64_t budget)
{
    uint32_t at = s->nodes[HEAD].next;
    while (s->left > 0) {
        const struct node *n = &s->nodes[at];
        uint64_t next = 0;
        if (!n->begins) { /* no order got to this call in time */
            if (s->depth >= s->deepest) {
                s->deepest = s->depth;
                s->line = s->ops[n->op].line;
            }
            at = take_back(s);
            if (at == HEAD) {
                return LIN_ILLEGAL;
            }
        } else if (may_be_next(s, n->op, &next) && order(s, at, next)) {
            at = s->nodes[HEAD].next;
        } else {
            at = n->next;
        }
        if (s->seen.count > budget || lin_seen_bytes(&s->seen) > LIN_SEEN_BYTES) {
            return LIN_UNKNOWN;
        }
    }
    return LIN_OK;
}

static int by_key(const void *a, const void *b)
{
    const struct lin_op *x = a;
    const struct lin_op *y = b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    if (x->call != y->call) {
        return x->call < y->call ? -1 : 1;
    }
    return x->line < y->line ? -1 : x->line > y->line;
}

static void *take(size_t count, size_t size)
{
    void *at = calloc(count + 1, size);
    SH_CHECK(at != NULL);
    return at;
}

/* Memory for a key with so many calls. */
static void open_search(struct search *s, uint32_t most)
{
    s->nodes = take(2 * (size_t)most + 1, sizeof *s->nodes);
    s->number = take(most, sizeof *s->number);
    s->twin = take(most, sizeof *s->twin);
    s->scratch = take(most, sizeof *s->scratch);
    s->stack = take(most, sizeof *s->stack);
    s->closed.words = take(most / 64 + 1, sizeof(uint64_t));
    s->open.words = take(most / 64 + 1, sizeof(uint64_t));
    s->config = take(2 * ((size_t)most / 64 + 1) + 3, sizeof(uint64_t));
    lin_seen_init(&s->seen);
}

static void close_search(struct search *s)
{
    free(s->nodes);
    free(s->number);
    free(s->twin);
    free(s->scratch);
    free(s->stack);
    free(s->closed.words);
    free(s->open.words);
    free(s->config);
    lin_seen_fini(&s->seen);
}

static uint32_t key_end(const struct lin_op *ops, uint32_t count, uint32_t first)
{
    uint32_t end = first;
    while (end < count && ops[end].key == ops[first].key) {
        end++;
    }
    return end;
}

void lin_check(struct lin_op *ops, uint32_t count, uint64_t init, lin_step *step, void *ctx,
               uint64_t budget, struct lin_report *report)
{
    SH_CHECK_CMP(count, <=, LIN_OPS_MAX);
    *report = (struct lin_report){.verdict = LIN_OK};
    if (count > 0) {
        qsort(ops, count, sizeof *ops, by_key);
    }
    uint32_t most = 0;
    for (uint32_t first = 0; first < count; first = key_end(ops, count, first)) {
        uint32_t size = key_end(ops, count, first) - first;
        most = size > most ? size : most;
    }
    struct search s = {.step = step, .ctx = ctx};
    open_search(&s, most);
    struct moment *moments = take(2 * (size_t)most, sizeof *moments);
    for (uint32_t first = 0; first < count && report->verdict == LIN_OK;
         first = key_end(ops, count, first)) {
        s.ops = ops + first;
        s.count = key_end(ops, count, first) - first;
        s.state = init;
        begin_key(&s, moments);
        report->verdict = search_key(&s, budget - report->states);
        report->states +=
            s.seen.count < budget - report->states ? s.seen.count : budget - report->states;
        report->keys++;
        report->key = ops[first].key;
        report->line = report->verdict == LIN_ILLEGAL ? s.line : 0;
    }
    free(moments);
    close_search(&s);
}

const char *lin_verdict_name(enum lin_verdict verdict)
{
    static const char *const names[] = {"OK", "ILLEGAL", "UNKNOWN"};
    return names[verdict];
}
