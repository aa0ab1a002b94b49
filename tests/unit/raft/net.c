/* SPDX-License-Identifier: Apache-2.0 */
#include "net.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MATCHING_SLOTS (1u << 17)

static void *zeroed(size_t count, size_t size)
{
    void *out = calloc(count, size);
    EXPECT(out != NULL);
    return out;
}

static uint64_t chain_of(uint64_t before, const struct net_entry *e)
{
    return sh_hash64(before ^ sh_mix64(e->term) ^ (uint64_t)e->type, e->data, e->size);
}

struct raft_config net_config(uint64_t id)
{
    return (struct raft_config){
        .id = id,
        .seed = id,
        .election = 100,
        .heartbeat = 10,
        .stagger = 5,
        .pre_vote = true,
        .check_quorum = true,
        .step_down_on_removal = true,
        .limits = {.tail_entries = 64,
                   .tail_bytes = 8192,
                   .batch_entries = 16,
                   .batch_bytes = 1024,
                   .inflight_msgs = 8,
                   .inflight_bytes = 4096,
                   .uncommitted_bytes = 4096,
                   .reads = 16,
                   .term_runs = 64},
    };
}

static void log_init(struct net_log *log)
{
    log->first = 1;
    log->last = 0;
    log->entries = zeroed(NET_LOG, sizeof *log->entries);
}

struct net *net_new(uint32_t count, uint32_t voters, uint32_t learners, uint64_t seed,
                    const struct raft_config *config)
{
    static struct net *newest; /* what is in use until the end is no leak */
    struct net *net = zeroed(1, sizeof *net);
    net->older = newest;
    newest = net;
    net->matching = zeroed(MATCHING_SLOTS, sizeof *net->matching);
    net->count = count;
    net->now = 1000;
    sh_rng_init(&net->rng, seed);
    for (uint32_t id = 1; id <= NET_NODES; id++) {
        struct raft_conf *conf = &net->conf_at[0];
        if ((voters >> id & 1) != 0) {
            conf->voters[conf->voter_count] = id;
            conf->voter_count++;
        }
        if ((learners >> id & 1) != 0) {
            conf->learners[conf->learner_count] = id;
            conf->learner_count++;
        }
    }
    net->conf_known[0] = true;
    for (uint32_t id = 1; id <= count; id++) {
        struct net_node *n = &net->nodes[id];
        n->config = *config;
        n->config.id = id;
        n->config.seed = sh_mix64(seed * 64 + id);
        n->memory = aligned_alloc(64, raft_bytes(&n->config.limits));
        log_init(&n->disk);
        log_init(&n->live);
        net_start(net, id);
    }
    return net;
}

static void check_status(struct net *net, uint64_t id);

void net_start(struct net *net, uint64_t id)
{
    struct net_node *n = &net->nodes[id];
    EXPECT(!n->up);
    /* Not all of it: most of a log is never touched, and touching it is what a test would cost. */
    memcpy(n->live.entries + n->disk.first - 1, n->disk.entries + n->disk.first - 1,
           (n->disk.last - n->disk.first + 2) * sizeof *n->disk.entries);
    n->live.first = n->disk.first;
    n->live.last = n->disk.last;
    n->applied = n->applied_durable;
    n->apply_to = n->applied;
    n->installing = 0;
    struct raft_run runs[NET_LOG];
    uint32_t run_count = 0;
    for (uint64_t i = n->disk.first - 1; i <= n->disk.last; i++) {
        uint64_t term = n->disk.entries[i].term;
        if (run_count == 0 || runs[run_count - 1].term != term) {
            runs[run_count] = (struct raft_run){.first = i, .term = term};
            run_count++;
        }
    }
    uint64_t at = n->applied;
    while (!net->conf_known[at]) {
        at--;
    }
    struct raft_boot boot = {
        .hard = n->hard,
        .conf = net->conf_at[at],
        .applied = n->applied,
        .first_index = n->disk.first,
        .last_index = n->disk.last,
        .last_conf_index = n->disk.last,
        .runs = runs,
        .run_count = run_count,
    };
    if (boot.hard.commit > boot.last_index) {
        boot.hard.commit = boot.last_index;
    }
    struct sh_arena arena;
    sh_arena_init(&arena, n->memory, raft_bytes(&n->config.limits));
    n->core = raft_init(&arena, &n->config, &boot, net->now + n->clock);
    n->told = (struct raft_update){.term = n->hard.term, .commit = boot.hard.commit};
    n->up = true;
}

void net_crash(struct net *net, uint64_t id)
{
    struct net_node *n = &net->nodes[id];
    EXPECT(n->up);
    n->up = false;
    while (n->writes != NULL) {
        struct net_write *w = n->writes;
        n->writes = w->next;
        free(w->append);
        free(w);
    }
    while (n->held != NULL) {
        struct net_msg *m = n->held;
        n->held = m->next;
        free(m->bytes);
        free(m);
    }
}

/* Log matching: an index and a term determine the entry and all before it. */
static void check_matching(struct net *net, uint64_t index, uint64_t term, uint64_t chain)
{
    uint64_t key = index * NET_TERMS + term + 1;
    uint64_t at = sh_mix64(key) % MATCHING_SLOTS;
    while (net->matching[at].key != 0 && net->matching[at].key != key) {
        at = (at + 1) % MATCHING_SLOTS;
    }
    if (net->matching[at].key == 0) {
        net->matching[at].key = key;
        net->matching[at].chain = chain;
    }
    EXPECT_EQ(net->matching[at].chain, chain);
}

static void append_live(struct net *net, struct net_node *n, const struct raft_update *u)
{
    bool leads = n->told.role == RAFT_LEADER && u->role == RAFT_LEADER && n->told.term == u->term;
    for (uint32_t i = 0; i < u->append_count; i++) {
        const struct raft_entry *e = &u->append[i];
        EXPECT(e->index < NET_LOG);
        EXPECT(e->index >= n->live.first && e->index <= n->live.last + 1);
        EXPECT(!leads || e->index == n->live.last + 1); /* leader append-only */
        struct net_entry *to = &n->live.entries[e->index];
        to->term = e->term;
        to->type = e->type;
        to->size = e->size;
        EXPECT(e->size <= sizeof to->data);
        if (e->size > 0) {
            memcpy(to->data, e->data, e->size);
        }
        to->chain = chain_of(n->live.entries[e->index - 1].chain, to);
        check_matching(net, e->index, e->term, to->chain);
        n->live.last = e->index;
    }
}

static void queue_write(struct net *net, struct net_node *n, const struct raft_update *u)
{
    if (!u->hard_changed && !u->must_sync) {
        return;
    }
    struct net_write *w = zeroed(1, sizeof *w);
    w->token = u->token;
    w->must_sync = u->must_sync;
    w->hard = u->hard;
    w->install = u->install;
    if (u->install) {
        w->snapshot = u->snapshot;
        w->snapshot_chain = net->chain_at[u->snapshot.index];
        EXPECT_EQ(net->term_at[u->snapshot.index], u->snapshot.term);
        n->live.first = u->snapshot.index + 1;
        n->live.last = u->snapshot.index;
        n->live.entries[u->snapshot.index] =
            (struct net_entry){.term = u->snapshot.term, .chain = w->snapshot_chain};
        n->installing++;
        net->installs++;
    }
    append_live(net, n, u);
    if (u->append_count > 0) {
        w->append_first = u->append[0].index;
        w->append_count = u->append_count;
        w->append = zeroed(u->append_count, sizeof *w->append);
        memcpy(w->append, n->live.entries + w->append_first, w->append_count * sizeof *w->append);
    }
    struct net_write **end = &n->writes;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = w;
}

static void put_pool(struct net *net, struct net_msg *m)
{
    m->after = 0;
    m->next = net->pool;
    net->pool = m;
    net->pool_count++;
}

static void note_vote(struct net *net, const struct raft_msg *m)
{
    if (m->type == RAFT_MSG_VOTE_RESP && !m->reject) {
        EXPECT(m->term < NET_TERMS);
        uint64_t *vote = &net->votes[m->from][m->term];
        EXPECT(*vote == 0 || *vote == m->to); /* one vote a term, whatever crashed between */
        *vote = m->to;
    }
}

static void queue_messages(struct net *net, struct net_node *n, const struct raft_update *u)
{
    for (uint32_t i = 0; i < u->message_count; i++) {
        struct raft_msg out = u->messages[i];
        struct net_msg *m = zeroed(1, sizeof *m);
        if (out.type == RAFT_MSG_SNAP) {
            /* The host sends the state it has, not what the core guessed. */
            out.snapshot.index = n->applied;
            out.snapshot.term = net->term_at[n->applied];
            uint64_t at = n->applied;
            while (!net->conf_known[at]) {
                at--;
            }
            out.snapshot.conf = net->conf_at[at];
        }
        m->snapshot = out.type == RAFT_MSG_SNAP;
        m->from = out.from;
        m->to = out.to;
        m->after = out.after;
        m->bytes = zeroed(1, raft_msg_bound(&out));
        m->size = raft_msg_encode(&out, m->bytes, raft_msg_bound(&out));
        EXPECT(m->size > 0);
        if (m->after == 0) {
            note_vote(net, &out);
            put_pool(net, m);
        } else {
            m->next = n->held;
            n->held = m;
        }
    }
}

static void check_leader(struct net *net, uint64_t id, const struct raft_update *u)
{
    if (u->role != RAFT_LEADER) {
        return;
    }
    EXPECT(u->term < NET_TERMS);
    uint64_t *leader = &net->leaders[u->term];
    EXPECT(*leader == 0 || *leader == id); /* election safety */
    if (*leader == 0) {
        *leader = id;
        net->elections++;
        const struct net_node *n = &net->nodes[id];
        /* Leader completeness. */
        EXPECT(n->live.last >= net->committed);
        if (net->committed + 1 >= n->live.first) {
            EXPECT_EQ(n->live.entries[net->committed].chain, net->chain_at[net->committed]);
        }
    }
}

static void note_commit(struct net *net, uint64_t id, uint64_t commit)
{
    const struct net_node *n = &net->nodes[id];
    EXPECT(commit <= n->live.last);
    for (uint64_t i = n->told.commit + 1; i <= commit; i++) {
        if (i < n->live.first) {
            continue;
        }
        const struct net_entry *e = &n->live.entries[i];
        if (i <= net->committed) {
            EXPECT_EQ(net->chain_at[i], e->chain);
        } else {
            EXPECT_EQ(net->committed + 1, i);
            net->chain_at[i] = e->chain;
            net->term_at[i] = e->term;
            net->committed = i;
        }
    }
}

static void answer_reads(struct net *net, uint64_t id, const struct raft_update *u)
{
    for (uint32_t i = 0; i < u->log_read_count; i++) {
        const struct raft_log_read *ask = &u->log_reads[i];
        const struct net_node *n = &net->nodes[id];
        static struct raft_entry entries[NET_NODES][64];
        struct raft_entry *out = entries[i % NET_NODES];
        uint32_t count = 0;
        net->log_reads++;
        if (ask->from >= n->live.first) {
            while (count < ask->max_count && count < 64 && ask->from + count <= n->live.last) {
                const struct net_entry *e = &n->live.entries[ask->from + count];
                out[count] = (struct raft_entry){.term = e->term,
                                                 .index = ask->from + count,
                                                 .type = e->type,
                                                 .size = e->size,
                                                 .data = e->data};
                count++;
            }
        }
        struct raft_event event = {.type = RAFT_LOG_READ};
        event.read.request = ask->request;
        event.read.entries = out;
        event.read.count = count;
        net_step(net, id, event);
    }
}

static void note_reads(struct net *net, const struct raft_update *u)
{
    for (uint32_t i = 0; i < u->read_count; i++) {
        const struct raft_read *read = &u->reads[i];
        if (read->err == SH_OK && net->reads[read->ctx % NET_READS].ctx == read->ctx) {
            EXPECT(read->index >= net->reads[read->ctx % NET_READS].at_least);
            net->reads_served++;
        }
    }
}

void net_step(struct net *net, uint64_t id, struct raft_event event)
{
    struct net_node *n = &net->nodes[id];
    EXPECT(n->up);
    event.now = net->now + n->clock;
    struct raft_update u;
    raft_step(n->core, &event, &u);
    raft_check(n->core);
    net->steps++;
    queue_write(net, n, &u);
    check_leader(net, id, &u);
    note_commit(net, id, u.commit);
    queue_messages(net, n, &u);
    note_reads(net, &u);
    n->apply_to = u.apply_to;
    n->told = u;
    check_status(net, id);
    /* Reads are answered at once, from a copy: a step invalidates the update. */
    struct raft_log_read asked[RAFT_PEERS_MAX];
    memcpy(asked, u.log_reads, u.log_read_count * sizeof asked[0]);
    u.log_reads = asked;
    answer_reads(net, id, &u);
}

static void check_status(struct net *net, uint64_t id)
{
    const struct net_node *n = &net->nodes[id];
    struct raft_status status;
    raft_status(n->core, &status);
    EXPECT_EQ(status.last_index, n->live.last);
    EXPECT_EQ(status.last_term, n->live.entries[n->live.last].term);
    EXPECT(status.durable_index <= status.last_index);
    EXPECT(raft_deadline(n->core) > 0);
}

void net_tick(struct net *net, uint64_t id)
{
    net_step(net, id, (struct raft_event){.type = RAFT_TICK});
}

static void release_held(struct net *net, struct net_node *n, uint64_t token)
{
    struct net_msg **at = &n->held;
    while (*at != NULL) {
        struct net_msg *m = *at;
        if (m->after <= token) {
            *at = m->next;
            struct raft_entry entries[64];
            struct raft_msg msg;
            EXPECT_EQ(raft_msg_decode(m->bytes, m->size, entries, 64, &msg), SH_OK);
            note_vote(net, &msg);
            put_pool(net, m);
        } else {
            at = &m->next;
        }
    }
}

void net_write_one(struct net *net, uint64_t id)
{
    struct net_node *n = &net->nodes[id];
    struct net_write *w = n->writes;
    if (w == NULL) {
        return;
    }
    n->writes = w->next;
    n->hard = w->hard;
    if (w->install) {
        n->disk.first = w->snapshot.index + 1;
        n->disk.last = w->snapshot.index;
        n->disk.entries[w->snapshot.index] =
            (struct net_entry){.term = w->snapshot.term, .chain = w->snapshot_chain};
        n->applied = w->snapshot.index;
        n->applied_durable = w->snapshot.index;
        n->installing--;
    }
    if (w->append_first != 0) {
        memcpy(n->disk.entries + w->append_first, w->append, w->append_count * sizeof *w->append);
        n->disk.last = w->append_first + w->append_count - 1;
    }
    uint64_t token = w->token;
    free(w->append);
    free(w);
    if (token != 0) {
        release_held(net, n, token);
        struct raft_event event = {.type = RAFT_PERSISTED};
        event.token = token;
        net_step(net, id, event);
    }
}

void net_apply(struct net *net, uint64_t id)
{
    struct net_node *n = &net->nodes[id];
    if (n->installing > 0 || n->applied >= n->apply_to) {
        return;
    }
    while (n->applied < n->apply_to) {
        uint64_t i = n->applied + 1;
        const struct net_entry *e = &n->live.entries[i];
        EXPECT(i >= n->live.first);
        EXPECT_EQ(e->chain, net->chain_at[i]); /* state machine safety */
        EXPECT(i <= n->disk.last);
        EXPECT_EQ(e->chain, n->disk.entries[i].chain); /* durable here before it is applied */
        n->applied = i;
        if (e->type == RAFT_ENTRY_CONF) {
            struct raft_event event = {.type = RAFT_CONF_APPLIED};
            event.conf.index = i;
            event.conf.data = e->data;
            event.conf.size = e->size;
            uint64_t applied = n->applied;
            net_step(net, id, event);
            EXPECT_EQ(n->applied, applied);
            EXPECT(!net->conf_known[i] || raft_conf_equal(&net->conf_at[i], &n->told.conf));
            net->conf_at[i] = n->told.conf;
            net->conf_known[i] = true;
        }
    }
    struct raft_event event = {.type = RAFT_APPLIED};
    event.index = n->applied;
    if (sh_rng_chance(&net->rng, 1, 2)) { /* else a restart applies some of it again */
        n->applied_durable = n->applied;
    }
    net_step(net, id, event);
}

static struct net_msg **pool_at(struct net *net, uint32_t at)
{
    EXPECT(at < net->pool_count);
    struct net_msg **p = &net->pool;
    for (uint32_t i = 0; i < at; i++) {
        p = &(*p)->next;
    }
    return p;
}

static void tell_transfer(struct net *net, uint64_t from, uint64_t to, bool ok)
{
    if (net->nodes[from].up) {
        struct raft_event event = {.type = RAFT_SNAPSHOT_STATUS};
        event.snapshot.peer = to;
        event.snapshot.ok = ok;
        net_step(net, from, event);
    }
}

static void drop(struct net *net, struct net_msg **p)
{
    struct net_msg m = **p;
    free(*p);
    *p = m.next;
    net->pool_count--;
    free(m.bytes);
    if (m.snapshot) {
        tell_transfer(net, m.from, m.to, false);
    }
}

void net_drop_at(struct net *net, uint32_t at)
{
    drop(net, pool_at(net, at));
}

bool net_deliver_at(struct net *net, uint32_t at, bool keep)
{
    struct net_msg **p = pool_at(net, at);
    struct net_msg *m = *p;
    struct net_node *to = &net->nodes[m->to];
    if (m->to > net->count || !to->up || net->cut[m->from][m->to]) {
        drop(net, p);
        return false;
    }
    struct raft_entry entries[64];
    struct raft_msg msg;
    EXPECT_EQ(raft_msg_decode(m->bytes, m->size, entries, 64, &msg), SH_OK);
    uint8_t *bytes = zeroed(1, m->size);
    memcpy(bytes, m->bytes, m->size);
    EXPECT_EQ(raft_msg_decode(bytes, m->size, entries, 64, &msg), SH_OK);
    bool arrived = m->snapshot && !keep;
    if (!keep) {
        m->snapshot = false;
        drop(net, p);
    }
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.message = &msg;
    net_step(net, msg.to, event);
    free(bytes);
    if (arrived) {
        tell_transfer(net, msg.from, msg.to, true);
    }
    return true;
}

static bool work_left(const struct net *net)
{
    bool left = net->pool_count > 0;
    for (uint32_t id = 1; id <= net->count; id++) {
        const struct net_node *n = &net->nodes[id];
        bool writes = n->writes != NULL && !n->stalled;
        left |= n->up && (writes || (n->installing == 0 && n->applied < n->apply_to));
    }
    return left;
}

void net_settle(struct net *net)
{
    for (uint32_t round = 0; work_left(net); round++) {
        EXPECT(round < 100000);
        for (uint32_t id = 1; id <= net->count; id++) {
            while (net->nodes[id].up && !net->nodes[id].stalled && net->nodes[id].writes != NULL) {
                net_write_one(net, id);
            }
            if (net->nodes[id].up) {
                net_apply(net, id);
            }
        }
        if (net->pool_count > 0) { /* the oldest first */
            (void)net_deliver_at(net, net->pool_count - 1, false);
        }
    }
}

void net_drop_to(struct net *net, uint64_t id)
{
    uint32_t at = 0;
    while (at < net->pool_count) { /* a drop may put a message in front: begin again */
        if (id == 0 || (*pool_at(net, at))->to == id) {
            net_drop_at(net, at);
            at = 0;
        } else {
            at++;
        }
    }
}

void net_cut(struct net *net, uint64_t a, uint64_t b, bool cut)
{
    net->cut[a][b] = cut;
    net->cut[b][a] = cut;
}

void net_isolate(struct net *net, uint64_t id, bool cut)
{
    for (uint64_t other = 1; other <= net->count; other++) {
        if (other != id) {
            net_cut(net, id, other, cut);
        }
    }
}

void net_advance(struct net *net, uint64_t by)
{
    for (uint64_t i = 0; i < by; i++) {
        net->now++;
        for (uint32_t id = 1; id <= net->count; id++) {
            const struct net_node *n = &net->nodes[id];
            if (n->up && raft_deadline(n->core) <= net->now + n->clock) {
                net_tick(net, id);
            }
        }
        net_settle(net);
    }
}

void net_campaign(struct net *net, uint64_t id)
{
    net_step(net, id, (struct raft_event){.type = RAFT_CAMPAIGN});
}

enum sh_err net_propose(struct net *net, uint64_t id, const char *text)
{
    struct raft_entry entry = {
        .type = RAFT_ENTRY_NORMAL, .size = (uint32_t)strlen(text), .data = (const uint8_t *)text};
    struct raft_event event = {.type = RAFT_PROPOSE};
    event.propose.entries = &entry;
    event.propose.count = 1;
    net_step(net, id, event);
    return net->nodes[id].told.refused;
}

enum sh_err net_change(struct net *net, uint64_t id, enum raft_transition transition,
                       enum raft_change_type type, uint64_t member)
{
    struct raft_conf_change change = {.transition = transition};
    if (member != 0) {
        change.count = 1;
        change.changes[0] = (struct raft_change){.type = type, .id = member};
    }
    struct raft_event event = {.type = RAFT_PROPOSE_CONF};
    event.change = &change;
    net_step(net, id, event);
    return net->nodes[id].told.refused;
}

void net_compact(struct net *net, uint64_t id, uint64_t index)
{
    struct net_node *n = &net->nodes[id];
    EXPECT(index <= n->applied_durable);
    if (index < n->disk.first || index < n->live.first) {
        return;
    }
    n->live.first = index + 1;
    n->disk.first = index + 1;
    struct raft_event event = {.type = RAFT_COMPACTED};
    event.index = index;
    net_step(net, id, event);
}

void net_read(struct net *net, uint64_t id)
{
    net->read_serial++;
    uint64_t ctx = net->read_serial;
    net->reads[ctx % NET_READS].ctx = ctx;
    net->reads[ctx % NET_READS].at_least = net->committed;
    struct raft_event event = {.type = RAFT_READ_INDEX};
    event.ctx = ctx;
    net_step(net, id, event);
}

uint64_t net_leader(const struct net *net)
{
    uint64_t leader = 0;
    uint64_t term = 0;
    for (uint32_t id = 1; id <= net->count; id++) {
        const struct net_node *n = &net->nodes[id];
        if (n->up && n->told.role == RAFT_LEADER && n->told.term > term) {
            leader = id;
            term = n->told.term;
        }
    }
    return leader;
}

struct raft_status net_status(const struct net *net, uint64_t id)
{
    struct raft_status status;
    raft_status(net->nodes[id].core, &status);
    return status;
}

uint64_t net_commit(const struct net *net, uint64_t id)
{
    return net_status(net, id).commit;
}

const char *net_terms(const struct net *net, uint64_t id)
{
    static char text[4][2048];
    static unsigned turn;
    char *out = text[turn++ % 4];
    size_t used = 0;
    out[0] = 0;
    const struct net_log *log = &net->nodes[id].live;
    for (uint64_t i = log->first; i <= log->last; i++) {
        int n = snprintf(out + used, 2048 - used, "%s%llu", i > log->first ? " " : "",
                         (unsigned long long)log->entries[i].term);
        used += (size_t)n;
        EXPECT(used < 2048);
    }
    return out;
}

void net_set_log(struct net *net, uint64_t id, const uint64_t *terms, uint32_t count,
                 uint64_t hard_term)
{
    struct net_node *n = &net->nodes[id];
    EXPECT(!n->up);
    n->disk.last = count;
    for (uint32_t i = 1; i <= count; i++) {
        struct net_entry *e = &n->disk.entries[i];
        *e = (struct net_entry){.term = terms[i - 1], .size = 0};
        e->chain = chain_of(n->disk.entries[i - 1].chain, e);
        check_matching(net, i, e->term, e->chain);
    }
    n->hard = (struct raft_hard){.term = hard_term};
}

struct net *net_group(uint32_t count, uint32_t voters, uint32_t learners)
{
    struct raft_config config = net_config(1);
    return net_new(count, voters, learners, tst_seed(), &config);
}

struct net *net_three(void)
{
    struct net *net = net_group(3, 0x0e, 0);
    net_campaign(net, 1);
    net_settle(net);
    EXPECT_EQ(net_leader(net), 1);
    return net;
}

void net_propose_some(struct net *net, uint64_t id, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "entry %u", i);
        EXPECT_EQ(net_propose(net, id, text), SH_OK);
        net_settle(net);
    }
}
