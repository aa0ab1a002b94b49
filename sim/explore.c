/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/explore_node.h"

#include "base/check.h"
#include "base/rng.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = SIM_EXPLORE_NODES, SENT_MAX = 4096, PATH_MAX_SHOWN = 256 };

/* A global state. On file: the head's words, then the numbers of all messages sent, ascending. */
struct state {
    uint32_t nodes[NODES];
    uint32_t proposals;
    uint32_t crashes;
    uint32_t committed; /* the log of all that was ever committed */
    uint32_t in_terms;  /* a log as long, whose terms are those in which that was committed first */
    uint32_t sent_count;
    uint32_t sent[SENT_MAX];
};
enum { HEAD_WORDS = NODES + 5 };

struct origin { /* how a state was first reached */
    uint32_t from;
    uint32_t id;
    uint32_t event;
};

struct explorer {
    struct sim_explore_report *report;
    struct explore_space space;
    struct sim_ledger seen; /* hash -> 1 */
    uint32_t *words;        /* states that were found, one behind the other */
    uint64_t used;
    uint64_t capacity;
    uint64_t *places; /* of each state in words */
    struct origin *origins;
    uint32_t count;
    uint32_t count_capacity;
    struct state now; /* being expanded */
    struct state next;
    uint32_t id; /* what leads from now to next */
    uint32_t event;
    bool full;
};

/* ---- states ---- */

static void put_state(struct explorer *x, const struct state *s)
{
    uint64_t size = HEAD_WORDS + s->sent_count;
    while (x->capacity - x->used < size) {
        x->capacity *= 2;
        x->words = realloc(x->words, x->capacity * sizeof *x->words);
        SH_CHECK(x->words != NULL);
    }
    if (x->count == x->count_capacity) {
        x->count_capacity *= 2;
        x->places = realloc(x->places, x->count_capacity * sizeof *x->places);
        x->origins = realloc(x->origins, x->count_capacity * sizeof *x->origins);
        SH_CHECK(x->places != NULL && x->origins != NULL);
    }
    memcpy(&x->words[x->used], s, size * sizeof *x->words);
    x->places[x->count++] = x->used;
    x->used += size;
}

static void get_state(const struct explorer *x, uint32_t number, struct state *s)
{
    const uint32_t *at = &x->words[x->places[number]];
    memcpy(s, at, HEAD_WORDS * sizeof *at);
    memcpy(s->sent, at + HEAD_WORDS, s->sent_count * sizeof *at);
}

static uint64_t hash_of(const struct state *s)
{
    const uint32_t *words = s->nodes;
    uint64_t hash = s->sent_count;
    for (uint32_t i = 0; i < HEAD_WORDS; i++) {
        hash = sh_mix64(hash ^ words[i]);
    }
    for (uint32_t i = 0; i < s->sent_count; i++) {
        hash = sh_mix64(hash ^ s->sent[i]);
    }
    return hash | 1;
}

/* Adds a message to those sent, in its place. */
static void add_sent(struct state *s, uint32_t msg)
{
    uint32_t at = s->sent_count;
    while (at > 0 && s->sent[at - 1] >= msg) {
        at--;
    }
    if (at < s->sent_count && s->sent[at] == msg) {
        return;
    }
    SH_CHECK_CMP(s->sent_count, <, SENT_MAX);
    memmove(&s->sent[at + 1], &s->sent[at], (s->sent_count - at) * sizeof s->sent[0]);
    s->sent[at] = msg;
    s->sent_count++;
}

/* ---- telling what went wrong ---- */

static const char *const NAMES[] = {
    [RAFT_MSG_APP] = "APP",
    [RAFT_MSG_APP_RESP] = "APP_RESP",
    [RAFT_MSG_HEARTBEAT] = "HEARTBEAT",
    [RAFT_MSG_HEARTBEAT_RESP] = "HEARTBEAT_RESP",
    [RAFT_MSG_VOTE] = "VOTE",
    [RAFT_MSG_VOTE_RESP] = "VOTE_RESP",
    [RAFT_MSG_PREVOTE] = "PREVOTE",
    [RAFT_MSG_PREVOTE_RESP] = "PREVOTE_RESP",
    [RAFT_MSG_SNAP] = "SNAP",
    [RAFT_MSG_TIMEOUT_NOW] = "TIMEOUT_NOW",
    [RAFT_MSG_READ_INDEX] = "READ_INDEX",
    [RAFT_MSG_READ_INDEX_RESP] = "READ_INDEX_RESP",
    [RAFT_MSG_PROP] = "PROP",
    [RAFT_MSG_TRANSFER] = "TRANSFER",
};

static int event_text(const struct explorer *x, uint32_t id, uint32_t event, char *text,
                      size_t size)
{
    if (event == EXPLORE_PATIENCE) {
        return snprintf(text, size, "node %u loses patience\n", id);
    }
    if (event == EXPLORE_PERSIST) {
        return snprintf(text, size, "node %u: its oldest write is durable\n", id);
    }
    if (event == EXPLORE_CRASH) {
        return snprintf(text, size, "node %u crashes and starts\n", id);
    }
    if (event < EXPLORE_MESSAGE) {
        return snprintf(text, size, "node %u: proposal %u\n", id, event - EXPLORE_PROPOSE);
    }
    const struct explore_msg *m = &x->space.msgs[event - EXPLORE_MESSAGE];
    return snprintf(text, size, "%s %u -> %u term %u index %u/%u entries %u commit %u%s\n",
                    NAMES[m->type], m->from, m->to, m->term, m->index, m->log_term, m->entry_count,
                    m->commit, m->reject != 0 ? " refused" : "");
}

/* The events from the start to the state being expanded, and the one that broke something. */
static void tell_path(struct explorer *x, uint32_t number)
{
    struct origin path[PATH_MAX_SHOWN];
    uint32_t length = 0;
    char *text = x->report->failure;
    size_t used = strlen(text);
    path[length++] = (struct origin){.id = x->id, .event = x->event};
    while (number != 0 && length < PATH_MAX_SHOWN) {
        path[length++] = x->origins[number];
        number = x->origins[number].from;
    }
    used += (size_t)snprintf(text + used, SIM_EXPLORE_TEXT - used, "\n");
    while (length > 0 && used + 128 < SIM_EXPLORE_TEXT) {
        length--;
        int n = event_text(x, path[length].id, path[length].event, text + used,
                           SIM_EXPLORE_TEXT - used);
        SH_CHECK(n > 0);
        used += (size_t)n;
    }
}

static void fail(struct explorer *x, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fail(struct explorer *x, const char *format, ...)
{
    va_list args;
    if (x->report->failure[0] == '\0') {
        va_start(args, format);
        (void)vsnprintf(x->report->failure, SIM_EXPLORE_TEXT, format, args);
        va_end(args);
    }
}

/* ---- what must hold ---- */

static const struct explore_node *node_at(const struct explorer *x, const struct state *s,
                                          uint32_t id)
{
    return &x->space.nodes[s->nodes[id - 1]];
}

static void check_leader(struct explorer *x)
{
    const struct explore_node *n = node_at(x, &x->next, x->id);
    if (n->role != RAFT_LEADER) {
        return;
    }
    for (uint32_t i = 0; i < x->next.sent_count; i++) {
        const struct explore_msg *m = &x->space.msgs[x->next.sent[i]];
        bool leads = m->type == RAFT_MSG_APP || m->type == RAFT_MSG_HEARTBEAT;
        if (leads && m->term == n->term && m->from != x->id) {
            fail(x, "election safety: %u and %u lead in term %u", m->from, x->id, n->term);
        }
    }
    for (uint32_t id = 1; id <= NODES; id++) {
        const struct explore_node *other = node_at(x, &x->next, id);
        if (id != x->id && other->role == RAFT_LEADER && other->term == n->term) {
            fail(x, "election safety: %u and %u lead in term %u", id, x->id, n->term);
        }
    }
    if (node_at(x, &x->now, x->id)->role == RAFT_LEADER) {
        return;
    }
    const struct explore_log *logs = x->space.logs;
    uint32_t in = x->now.in_terms;
    for (uint32_t log = x->now.committed; log != 0; log = logs[log].before, in = logs[in].before) {
        const struct explore_log *at = &logs[log];
        if (logs[in].term < n->term && sim_explore_upto(&x->space, n->log, at->index) != log) {
            fail(x, "leader completeness: %u leads in term %u without entry %u of term %u", x->id,
                 n->term, at->index, at->term);
        }
    }
}

static void check_vote(struct explorer *x, const struct explore_msg *m)
{
    if (m->type != RAFT_MSG_VOTE_RESP || m->reject != 0) {
        return;
    }
    for (uint32_t i = 0; i < x->next.sent_count; i++) {
        const struct explore_msg *o = &x->space.msgs[x->next.sent[i]];
        if (o->type == RAFT_MSG_VOTE_RESP && o->reject == 0 && o->from == m->from &&
            o->term == m->term && o->to != m->to) {
            fail(x, "one vote: %u votes for %u and %u in term %u", m->from, o->to, m->to, m->term);
        }
    }
}

static void check_matching(struct explorer *x, uint32_t a, uint32_t b)
{
    const struct explore_log *logs = x->space.logs;
    uint32_t shorter = logs[a].index < logs[b].index ? logs[a].index : logs[b].index;
    a = sim_explore_upto(&x->space, a, shorter);
    b = sim_explore_upto(&x->space, b, shorter);
    while (a != b) {
        if (logs[a].term == logs[b].term) {
            fail(x, "log matching: two logs differ at or below entry %u of term %u", logs[a].index,
                 logs[a].term);
            return;
        }
        a = logs[a].before;
        b = logs[b].before;
    }
}

/* What the node takes for committed is, or goes on, what ever was. */
static void check_commit(struct explorer *x)
{
    struct explore_space *s = &x->space;
    const struct explore_node *n = node_at(x, &x->next, x->id);
    uint32_t mine = sim_explore_upto(s, n->log, n->commit);
    uint32_t have = s->logs[x->next.committed].index;
    uint32_t shorter = n->commit < have ? n->commit : have;
    if (sim_explore_upto(s, mine, shorter) != sim_explore_upto(s, x->next.committed, shorter)) {
        fail(x, "state machine safety: %u commits another entry at or below %u", x->id, shorter);
        return;
    }
    while (s->logs[x->next.in_terms].index < n->commit) {
        x->next.in_terms = sim_explore_append(s, x->next.in_terms, n->term, 0);
        x->next.committed = mine;
    }
    uint32_t disks = 0;
    have = s->logs[x->next.committed].index;
    for (uint32_t id = 1; id <= NODES; id++) {
        uint32_t disk = node_at(x, &x->next, id)->disk;
        disks += sim_explore_upto(s, disk, have) == x->next.committed;
    }
    if (disks < NODES / 2 + 1) {
        fail(x, "durability: entry %u is committed and on %u disks", have, disks);
    }
}

static void check_all(struct explorer *x)
{
    check_leader(x);
    for (uint32_t id = 1; id <= NODES; id++) {
        check_matching(x, node_at(x, &x->next, x->id)->log, node_at(x, &x->next, id)->log);
    }
    check_commit(x);
}

/* ---- the search ---- */

static void try_event(struct explorer *x, uint32_t number, uint32_t id, uint32_t event)
{
    const struct explore_change *change =
        sim_explore_event(&x->space, id, x->now.nodes[id - 1], event);
    if (change->node == 0 || (change->node == x->now.nodes[id - 1] && change->sent_count == 0 &&
                              event >= EXPLORE_MESSAGE)) {
        return;
    }
    x->id = id;
    x->event = event;
    memcpy(&x->next, &x->now,
           offsetof(struct state, sent) + x->now.sent_count * sizeof x->now.sent[0]);
    x->next.nodes[id - 1] = change->node;
    x->next.crashes += event == EXPLORE_CRASH;
    x->next.proposals += event >= EXPLORE_PROPOSE && event < EXPLORE_MESSAGE;
    for (uint32_t i = 0; i < change->sent_count; i++) {
        uint32_t msg = x->space.sent[change->sent_first + i];
        check_vote(x, &x->space.msgs[msg]);
        add_sent(&x->next, msg);
    }
    check_all(x);
    x->report->transitions++;
    uint64_t *seen = sim_ledger_at(&x->seen, hash_of(&x->next));
    if (x->report->failure[0] != '\0') {
        tell_path(x, number);
    } else if (*seen == 0 && x->count == x->space.bounds.states) {
        x->full = true;
    } else if (*seen == 0) {
        *seen = 1;
        put_state(x, &x->next);
        x->origins[x->count - 1] = (struct origin){.from = number, .id = id, .event = event};
    }
}

static void expand(struct explorer *x, uint32_t number)
{
    const struct sim_explore_bounds *b = &x->space.bounds;
    get_state(x, number, &x->now);
    for (uint32_t id = 1; id <= NODES && x->report->failure[0] == '\0'; id++) {
        try_event(x, number, id, EXPLORE_PATIENCE);
        try_event(x, number, id, EXPLORE_PERSIST);
        if (x->now.crashes < b->crashes) {
            try_event(x, number, id, EXPLORE_CRASH);
        }
        if (x->now.proposals < b->proposals) {
            try_event(x, number, id, EXPLORE_PROPOSE + x->now.proposals);
        }
    }
    for (uint32_t i = 0; i < x->now.sent_count && x->report->failure[0] == '\0'; i++) {
        uint32_t msg = x->now.sent[i];
        try_event(x, number, x->space.msgs[msg].to, EXPLORE_MESSAGE + msg);
    }
}

static bool change_first(struct explorer *x, uint32_t id, uint32_t event)
{
    const struct explore_change *change =
        sim_explore_event(&x->space, id, x->now.nodes[id - 1], event);
    if (change->node == 0) {
        return false;
    }
    x->now.nodes[id - 1] = change->node;
    for (uint32_t i = 0; i < change->sent_count; i++) {
        add_sent(&x->now, x->space.sent[change->sent_first + i]);
    }
    return true;
}

/* Node 1 is elected and everybody hears of it. */
static void elect_first(struct explorer *x)
{
    bool elected = change_first(x, 1, EXPLORE_PATIENCE);
    SH_CHECK(elected);
    for (uint32_t rest = 1; rest > 0;) {
        while (x->now.sent_count > 0) {
            uint32_t msg = x->now.sent[0];
            x->now.sent_count--;
            memmove(&x->now.sent[0], &x->now.sent[1], x->now.sent_count * sizeof x->now.sent[0]);
            (void)change_first(x, x->space.msgs[msg].to, EXPLORE_MESSAGE + msg);
        }
        rest = 0;
        for (uint32_t id = 1; id <= NODES; id++) {
            rest += change_first(x, id, EXPLORE_PERSIST);
        }
    }
    x->next = x->now;
    for (x->id = 1; x->id <= NODES; x->id++) {
        SH_CHECK(node_at(x, &x->now, x->id)->commit == 1);
        check_commit(x);
    }
    SH_CHECK(node_at(x, &x->now, 1)->role == RAFT_LEADER);
    x->now = x->next;
}

static void search(struct explorer *x)
{
    struct sim_explore_report *r = x->report;
    uint32_t first = 0;
    for (uint32_t depth = 0; depth < x->space.bounds.depth && r->failure[0] == '\0'; depth++) {
        uint32_t end = x->count;
        while (first < end && r->failure[0] == '\0') {
            expand(x, first++);
        }
        if (x->count == end) {
            break;
        }
        r->depth = depth + 1;
    }
    r->complete = first == x->count && !x->full && r->failure[0] == '\0';
}

void sim_explore(const struct sim_explore_bounds *bounds, struct sim_explore_report *report)
{
    SH_CHECK_CMP(bounds->terms, <=, SIM_EXPLORE_TERMS_MAX);
    SH_CHECK_CMP(bounds->proposals, <=, SIM_EXPLORE_PROPOSALS_MAX);
    SH_CHECK_CMP(bounds->writes, >=, 1);
    SH_CHECK_CMP(bounds->writes, <, SIM_EXPLORE_WRITES_MAX);
    SH_CHECK_CMP(bounds->states, <, UINT32_MAX);
    struct explorer *x = calloc(1, sizeof *x);
    SH_CHECK(x != NULL);
    *report = (struct sim_explore_report){0};
    x->report = report;
    x->capacity = 1u << 16;
    x->count_capacity = 1u << 12;
    x->words = malloc(x->capacity * sizeof *x->words);
    x->places = malloc(x->count_capacity * sizeof *x->places);
    x->origins = calloc(x->count_capacity, sizeof *x->origins);
    SH_CHECK(x->words != NULL && x->places != NULL && x->origins != NULL);
    sim_ledger_init(&x->seen);
    sim_explore_open(&x->space, bounds, report->failure);
    for (uint32_t id = 1; id <= NODES; id++) {
        x->now.nodes[id - 1] = sim_explore_first(&x->space, id);
    }
    if (bounds->led) {
        elect_first(x);
    }
    *sim_ledger_at(&x->seen, hash_of(&x->now)) = 1;
    put_state(x, &x->now);
    search(x);
    report->states = x->count;
    report->steps = x->space.steps;
    report->node_states = x->space.node_count - 1;
    report->messages = x->space.msg_count;
    report->held = report->failure[0] == '\0';
    sim_explore_close(&x->space);
    sim_ledger_fini(&x->seen);
    free(x->words);
    free(x->places);
    free(x->origins);
    free(x);
}
