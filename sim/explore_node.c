/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/explore_node.h"

#include "base/check.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOW = 1 }; /* always */

static void *take(size_t count, size_t size)
{
    void *at = calloc(count, size);
    SH_CHECK(at != NULL);
    return at;
}

/* Room for one more element. */
static void *grown(void *at, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity) {
        return at;
    }
    *capacity *= 2;
    at = realloc(at, (size_t)*capacity * size);
    SH_CHECK(at != NULL);
    return at;
}

void sim_explore_open(struct explore_space *s, const struct sim_explore_bounds *bounds,
                      char *failure)
{
    *s = (struct explore_space){
        .bounds = *bounds,
        .failure = failure,
        .limits = {.tail_entries = 16,
                   .tail_bytes = 4u * RAFT_CHANGE_BYTES_MAX,
                   .batch_entries = EXPLORE_ENTRIES_MAX,
                   .batch_bytes = 64,
                   .inflight_msgs = 4,
                   .reads = 1,
                   .term_runs = 16},
        .node_count = 1, /* 0 is no state */
        .node_capacity = 256,
        .log_count = 1, /* 0 is the empty log */
        .log_capacity = 64,
        .change_count = 1,
        .change_capacity = 1024,
        .sent_capacity = 1024,
    };
    s->value_bytes = raft_value_bytes(&s->limits);
    s->nodes = take(s->node_capacity, sizeof *s->nodes);
    s->logs = take(s->log_capacity, sizeof *s->logs);
    s->msgs = take(SIM_EXPLORE_MESSAGES_MAX, sizeof *s->msgs);
    s->changes = take(s->change_capacity, sizeof *s->changes);
    s->sent = take(s->sent_capacity, sizeof *s->sent);
    s->update = take(1, sizeof *s->update);
    s->block = aligned_alloc(64, (raft_bytes(&s->limits) + 63) & ~(size_t)63);
    SH_CHECK(s->block != NULL);
    sim_ledger_init(&s->node_numbers);
    sim_ledger_init(&s->msg_numbers);
    sim_ledger_init(&s->log_numbers);
    sim_ledger_init(&s->change_numbers);
}

void sim_explore_close(struct explore_space *s)
{
    for (uint32_t i = 1; i < s->node_count; i++) {
        free(s->nodes[i].core);
    }
    free(s->nodes);
    free(s->logs);
    free(s->msgs);
    free(s->changes);
    free(s->sent);
    free(s->update);
    free(s->block);
    sim_ledger_fini(&s->node_numbers);
    sim_ledger_fini(&s->msg_numbers);
    sim_ledger_fini(&s->log_numbers);
    sim_ledger_fini(&s->change_numbers);
}

/* ---- logs and messages as numbers ---- */

uint32_t sim_explore_append(struct explore_space *s, uint32_t log, uint32_t term, uint32_t payload)
{
    uint64_t key = ((uint64_t)log << 16 | (uint64_t)term << 8 | payload) + 1;
    uint64_t *number = sim_ledger_at(&s->log_numbers, key);
    if (*number == 0) {
        s->logs = grown(s->logs, s->log_count, &s->log_capacity, sizeof *s->logs);
        s->logs[s->log_count] = (struct explore_log){
            .before = log, .index = s->logs[log].index + 1, .term = term, .payload = payload};
        *number = s->log_count++;
    }
    return (uint32_t)*number;
}

uint32_t sim_explore_upto(const struct explore_space *s, uint32_t log, uint32_t index)
{
    while (s->logs[log].index > index) {
        log = s->logs[log].before;
    }
    return log;
}

static uint32_t msg_number(struct explore_space *s, const struct explore_msg *msg)
{
    uint64_t *number = sim_ledger_at(&s->msg_numbers, sh_hash64(1, msg, sizeof *msg) | 1);
    if (*number == 0) {
        SH_CHECK_CMP(s->msg_count, <, SIM_EXPLORE_MESSAGES_MAX);
        s->msgs[s->msg_count] = *msg;
        *number = ++s->msg_count;
    }
    SH_CHECK(memcmp(&s->msgs[*number - 1], msg, sizeof *msg) == 0);
    return (uint32_t)*number - 1;
}

static uint32_t narrow(uint64_t value)
{
    SH_CHECK_CMP(value, <=, UINT32_MAX);
    return (uint32_t)value;
}

static uint32_t payload_of(const struct raft_entry *entry)
{
    SH_CHECK_CMP(entry->type, ==, RAFT_ENTRY_NORMAL);
    SH_CHECK_CMP(entry->size, <=, 1);
    return entry->size == 0 ? 0 : entry->data[0];
}

static uint32_t number_of(struct explore_space *s, const struct raft_msg *m)
{
    struct explore_msg msg = {.type = (uint32_t)m->type,
                              .from = narrow(m->from),
                              .to = narrow(m->to),
                              .term = narrow(m->term),
                              .log_term = narrow(m->log_term),
                              .index = narrow(m->index),
                              .commit = narrow(m->commit),
                              .hint = narrow(m->hint),
                              .ctx = narrow(m->ctx),
                              .reject = m->reject,
                              .force = m->force,
                              .entry_count = m->entry_count};
    SH_CHECK_CMP(m->entry_count, <=, EXPLORE_ENTRIES_MAX);
    for (uint32_t i = 0; i < m->entry_count; i++) {
        msg.entry_term[i] = narrow(m->entries[i].term);
        msg.entry_payload[i] = payload_of(&m->entries[i]);
    }
    return msg_number(s, &msg);
}

static const uint8_t PAYLOADS[SIM_EXPLORE_PROPOSALS_MAX + 1] = {0, 1, 2, 3, 4};

static struct raft_entry entry_of(uint32_t index, uint32_t term, uint32_t payload)
{
    return (struct raft_entry){.index = index,
                               .term = term,
                               .type = RAFT_ENTRY_NORMAL,
                               .size = payload != 0,
                               .data = &PAYLOADS[payload]};
}

/* ---- a step ---- */

struct step { /* one event at one node, while it is worked out */
    struct explore_space *s;
    struct explore_node node;
    struct raft *core;
    uint64_t applied;
    struct raft_entry entries[EXPLORE_ENTRIES_MAX]; /* messages may point into these */
    uint32_t sent_count;
    uint32_t sent[EXPLORE_SENT_MAX];
};

static void fail(struct step *t, const char *what)
{
    if (t->s->failure[0] == '\0') {
        (void)snprintf(t->s->failure, SIM_EXPLORE_TEXT, "%s", what);
    }
}

static void send(struct step *t, uint32_t msg)
{
    SH_CHECK_CMP(t->sent_count, <, EXPLORE_SENT_MAX);
    t->sent[t->sent_count++] = msg;
}

static void take_write(struct step *t)
{
    const struct raft_update *u = t->s->update;
    struct explore_node *n = &t->node;
    if (u->append_count > 0) {
        n->log = sim_explore_upto(t->s, n->log, narrow(u->append[0].index - 1));
    }
    for (uint32_t i = 0; i < u->append_count; i++) {
        SH_CHECK_CMP(u->append[i].index, ==, t->s->logs[n->log].index + 1);
        n->log =
            sim_explore_append(t->s, n->log, narrow(u->append[i].term), payload_of(&u->append[i]));
    }
    if (u->token == 0) {
        return; /* a commit index alone may be lost */
    }
    SH_CHECK(!u->install);
    SH_CHECK_CMP(n->write_count, <, SIM_EXPLORE_WRITES_MAX);
    n->writes[n->write_count++] = (struct explore_write){.token = u->token,
                                                         .hard = {.term = narrow(u->hard.term),
                                                                  .vote = narrow(u->hard.vote),
                                                                  .commit = narrow(u->hard.commit)},
                                                         .log = n->log};
}

static void take_messages(struct step *t)
{
    const struct raft_update *u = t->s->update;
    struct explore_node *n = &t->node;
    for (uint32_t i = 0; i < u->message_count; i++) {
        uint32_t msg = number_of(t->s, &u->messages[i]);
        if (u->messages[i].after == 0) {
            send(t, msg);
            continue;
        }
        SH_CHECK_CMP(n->held_count, <, EXPLORE_HELD_MAX);
        n->held[n->held_count++] = (struct explore_held){.after = u->messages[i].after, .msg = msg};
    }
}

/* The host's answer to a log read: what its log has there. */
static void answer_read(struct step *t, const struct raft_log_read *read)
{
    struct raft_entry *entries = t->entries;
    const struct explore_space *s = t->s;
    struct raft_event event = {.type = RAFT_LOG_READ, .now = NOW};
    uint32_t count = 0;
    while (count < read->max_count && count < EXPLORE_ENTRIES_MAX &&
           read->from + count <= s->logs[t->node.log].index) {
        const struct explore_log *at =
            &s->logs[sim_explore_upto(s, t->node.log, narrow(read->from + count))];
        entries[count++] = entry_of(at->index, at->term, at->payload);
    }
    event.read.request = read->request;
    event.read.entries = entries;
    event.read.count = count;
    raft_step(t->core, &event, s->update);
}

/* Carries out the update and all that follows from it at once. */
static void carry_out(struct step *t)
{
    struct explore_space *s = t->s;
    struct raft_log_read reads[RAFT_PEERS_MAX];
    uint32_t read_count = 0;
    for (;;) {
        const struct raft_update *u = s->update;
        s->steps++;
        take_write(t);
        take_messages(t);
        SH_CHECK_CMP(read_count + u->log_read_count, <=, RAFT_PEERS_MAX);
        if (u->log_read_count > 0) {
            memcpy(&reads[read_count], u->log_reads, u->log_read_count * sizeof *reads);
            read_count += u->log_read_count;
        }
        if (u->apply_to > t->applied) {
            struct raft_event event = {.type = RAFT_APPLIED, .now = NOW, .index = u->apply_to};
            t->applied = u->apply_to;
            raft_step(t->core, &event, s->update);
        } else if (read_count > 0) {
            answer_read(t, &reads[--read_count]);
        } else {
            return;
        }
    }
}

static void step(struct step *t, const struct raft_event *event)
{
    raft_step(t->core, event, t->s->update);
    carry_out(t);
}

/* A process starts from what its disk holds. */
static void start(struct step *t, uint32_t id)
{
    struct explore_space *s = t->s;
    struct explore_node *n = &t->node;
    struct raft_run runs[SIM_EXPLORE_TERMS_MAX + 2] = {{0}};
    uint32_t run_count = 1;
    for (uint32_t i = 1; i <= s->logs[n->disk].index; i++) {
        uint32_t term = s->logs[sim_explore_upto(s, n->disk, i)].term;
        if (term != runs[run_count - 1].term) {
            SH_CHECK_CMP(run_count, <, SH_COUNT(runs));
            runs[run_count++] = (struct raft_run){.first = i, .term = term};
        }
    }
    struct raft_config config = {.id = id,
                                 .seed = id,
                                 .election = 1000,
                                 .heartbeat = 100,
                                 .stagger = 10,
                                 .pre_vote = s->bounds.pre_vote,
                                 .check_quorum = true,
                                 .step_down_on_removal = true,
                                 .limits = s->limits};
    struct raft_boot boot = {
        .hard = {.term = n->hard.term, .vote = n->hard.vote, .commit = n->hard.commit},
        .first_index = 1,
        .last_index = s->logs[n->disk].index,
        .runs = runs,
        .run_count = run_count};
    for (uint32_t i = 0; i < SIM_EXPLORE_NODES; i++) {
        boot.conf.voters[boot.conf.voter_count++] = i + 1;
    }
    struct sh_arena arena;
    sh_arena_init(&arena, s->block, raft_bytes(&s->limits));
    t->core = raft_init(&arena, &config, &boot, NOW);
    n->log = n->disk;
    n->write_count = 0;
    n->held_count = 0;
    t->applied = 0;
    if (n->hard.commit > 0) {
        struct raft_event event = {.type = RAFT_APPLIED, .now = NOW, .index = n->hard.commit};
        t->applied = n->hard.commit;
        step(t, &event);
    }
}

static void receive(struct step *t, const struct explore_msg *m)
{
    struct raft_entry entries[EXPLORE_ENTRIES_MAX];
    for (uint32_t i = 0; i < m->entry_count; i++) {
        entries[i] = entry_of(m->index + 1 + i, m->entry_term[i], m->entry_payload[i]);
    }
    struct raft_msg msg = {.type = (enum raft_msg_type)m->type,
                           .from = m->from,
                           .to = m->to,
                           .term = m->term,
                           .log_term = m->log_term,
                           .index = m->index,
                           .commit = m->commit,
                           .hint = m->hint,
                           .ctx = m->ctx,
                           .reject = m->reject != 0,
                           .force = m->force != 0,
                           .entry_count = m->entry_count,
                           .entries = entries};
    struct raft_event event = {.type = RAFT_RECEIVE, .now = NOW, .message = &msg};
    step(t, &event);
}

static void persist(struct step *t)
{
    struct explore_node *n = &t->node;
    struct explore_write done = n->writes[0];
    n->write_count--;
    memmove(&n->writes[0], &n->writes[1], n->write_count * sizeof n->writes[0]);
    n->hard = done.hard;
    n->disk = done.log;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n->held_count; i++) {
        if (n->held[i].after <= done.token) {
            send(t, n->held[i].msg);
        } else {
            n->held[kept++] = n->held[i];
        }
    }
    n->held_count = kept;
    struct raft_event event = {.type = RAFT_PERSISTED, .now = NOW, .token = done.token};
    step(t, &event);
}

/* False: the event is not possible in this state. */
static bool perform(struct step *t, uint32_t id, uint32_t event)
{
    struct explore_node *n = &t->node;
    const struct sim_explore_bounds *b = &t->s->bounds;
    bool full = n->write_count >= b->writes;
    struct raft_event e = {.now = NOW};
    if (event == EXPLORE_CRASH) {
        start(t, id);
    } else if (event == EXPLORE_PERSIST) {
        if (n->write_count == 0) {
            return false;
        }
        persist(t);
    } else if (full) {
        return false;
    } else if (event == EXPLORE_PATIENCE) {
        if (n->role == RAFT_LEADER || (!n->follows && n->term >= b->terms)) {
            return false;
        }
        e.type = n->follows ? RAFT_FORGET_LEADER : RAFT_CAMPAIGN;
        step(t, &e);
    } else if (event < EXPLORE_MESSAGE) {
        uint32_t payload = event - EXPLORE_PROPOSE + 1;
        struct raft_entry entry = entry_of(0, 0, payload);
        if (n->role != RAFT_LEADER) {
            return false;
        }
        e.type = RAFT_PROPOSE;
        e.propose.entries = &entry;
        e.propose.count = 1;
        step(t, &e);
    } else {
        receive(t, &t->s->msgs[event - EXPLORE_MESSAGE]);
    }
    return true;
}

/* ---- states as numbers ---- */

/* Tokens only matter in relation to each other. */
static uint64_t hash_of(const struct step *t)
{
    const struct explore_node *n = &t->node;
    uint64_t words[8 + 5 * SIM_EXPLORE_WRITES_MAX + 2 * EXPLORE_HELD_MAX];
    uint32_t used = 0;
    words[used++] = raft_digest_timeless(t->core);
    words[used++] = (uint64_t)n->hard.term << 32 | n->hard.vote;
    words[used++] = (uint64_t)n->hard.commit << 32 | n->disk;
    words[used++] = (uint64_t)n->log << 32 | n->write_count;
    uint64_t first = n->write_count > 0 ? n->writes[0].token : 0;
    for (uint32_t i = 0; i < n->write_count; i++) {
        const struct explore_write *w = &n->writes[i];
        words[used++] = w->token - first;
        words[used++] = (uint64_t)w->hard.term << 32 | w->hard.vote;
        words[used++] = (uint64_t)w->hard.commit << 32 | w->log;
    }
    for (uint32_t i = 0; i < n->held_count; i++) {
        words[used++] = (n->held[i].after - first) << 32 | n->held[i].msg;
    }
    return sh_hash64(1, words, used * sizeof *words) | 1;
}

static void check_local(struct step *t, const struct explore_node *before)
{
    const struct explore_space *s = t->s;
    const struct explore_node *n = &t->node;
    raft_check(t->core);
    struct raft_status status;
    raft_status(t->core, &status);
    if (status.last_index != s->logs[n->log].index) {
        fail(t, "a node's host and core disagree about the log");
    }
    bool leads_on = before != NULL && before->role == RAFT_LEADER && n->role == RAFT_LEADER &&
                    before->term == n->term;
    if (leads_on && sim_explore_upto(s, n->log, s->logs[before->log].index) != before->log) {
        fail(t, "leader append-only: a leader changed its own log");
    }
}

/* The number of the state that the step led to. */
static uint32_t settle(struct step *t, const struct explore_node *before)
{
    struct explore_space *s = t->s;
    struct raft_status status;
    raft_status(t->core, &status);
    t->node.role = status.role;
    t->node.term = narrow(status.term);
    t->node.commit = narrow(status.commit);
    t->node.follows = status.leader != 0;
    check_local(t, before);
    uint64_t *number = sim_ledger_at(&s->node_numbers, hash_of(t));
    if (*number == 0) {
        s->nodes = grown(s->nodes, s->node_count, &s->node_capacity, sizeof *s->nodes);
        t->node.core = malloc(s->value_bytes);
        SH_CHECK(t->node.core != NULL);
        memcpy(t->node.core, t->core, s->value_bytes);
        s->nodes[s->node_count] = t->node;
        *number = s->node_count++;
    }
    return (uint32_t)*number;
}

uint32_t sim_explore_first(struct explore_space *s, uint32_t id)
{
    struct step t = {.s = s};
    start(&t, id);
    return settle(&t, NULL);
}

static void keep_sent(struct explore_space *s, const struct step *t, struct explore_change *change)
{
    change->sent_first = s->sent_count;
    change->sent_count = t->sent_count;
    for (uint32_t i = 0; i < t->sent_count; i++) {
        s->sent = grown(s->sent, s->sent_count, &s->sent_capacity, sizeof *s->sent);
        s->sent[s->sent_count++] = t->sent[i];
    }
}

const struct explore_change *sim_explore_event(struct explore_space *s, uint32_t id, uint32_t node,
                                               uint32_t event)
{
    uint64_t *number = sim_ledger_at(&s->change_numbers, (uint64_t)node << 24 | event);
    if (*number != 0) {
        return &s->changes[*number];
    }
    struct explore_node before = s->nodes[node];
    struct explore_change change = {0};
    struct step t = {.s = s, .node = before, .core = s->block};
    struct raft_status status;
    memcpy(s->block, before.core, s->value_bytes);
    raft_status(t.core, &status);
    t.applied = status.applied;
    if (perform(&t, id, event)) {
        change.node = settle(&t, event == EXPLORE_CRASH ? NULL : &before);
        keep_sent(s, &t, &change);
    }
    s->changes = grown(s->changes, s->change_count, &s->change_capacity, sizeof *s->changes);
    s->changes[s->change_count] = change;
    *number = s->change_count++;
    return &s->changes[*number];
}
