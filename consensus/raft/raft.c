/* SPDX-License-Identifier: Apache-2.0
 *
 * The core's shell: memory, the step that dispatches events and reports what came of them. */
#include "raft/core.h"

#include <string.h>

const struct raft_limits raft_limits_default = {
    .tail_entries = 4096,
    .tail_bytes = 4u << 20,
    .batch_entries = 256,
    .batch_bytes = 256u << 10,
    .inflight_msgs = 128,
    .inflight_bytes = 4u << 20,
    .uncommitted_bytes = 2u << 20,
    .reads = 1024,
    .term_runs = 1024,
};

static size_t place(size_t *total, size_t count, size_t size)
{
    size_t at = (*total + 63) & ~(size_t)63;
    *total = at + count * size;
    return at;
}

static struct raft_layout layout_of(const struct raft_limits *limits)
{
    SH_CHECK_CMP(limits->batch_entries, >=, 1);
    SH_CHECK_CMP(limits->batch_entries, <=, RAFT_MSG_ENTRIES_MAX);
    SH_CHECK_CMP(limits->tail_entries, >, limits->batch_entries + RAFT_RESERVED_SLOTS);
    SH_CHECK_CMP(limits->tail_bytes, >=, 4 * RAFT_CHANGE_BYTES_MAX);
    SH_CHECK_CMP(limits->tail_bytes, <=, 1u << 30);
    SH_CHECK_CMP(limits->inflight_msgs, >=, 1);
    SH_CHECK_CMP(limits->reads, >=, 1);
    SH_CHECK_CMP(limits->term_runs, >=, 8);
    struct raft_layout l = {0};
    l.outbox_count = RAFT_OUTBOX_SPARE + RAFT_PEERS_MAX + limits->inflight_msgs + 64;
    l.total = sizeof(struct raft);
    l.runs = place(&l.total, limits->term_runs, sizeof(struct raft_run));
    l.slots = place(&l.total, limits->tail_entries, sizeof(struct raft_slot));
    l.bytes = place(&l.total, limits->tail_bytes, 1);
    l.inflight = place(&l.total, (size_t)RAFT_PEERS_MAX * limits->inflight_msgs,
                       sizeof(struct raft_inflight));
    l.reads = place(&l.total, limits->reads, sizeof(struct raft_pending_read));
    l.views = place(&l.total, limits->tail_entries, sizeof(struct raft_entry));
    l.answers = place(&l.total, limits->reads + 1, sizeof(struct raft_read));
    l.log_reads = place(&l.total, RAFT_PEERS_MAX, sizeof(struct raft_log_read));
    l.outbox = place(&l.total, l.outbox_count, sizeof(struct raft_msg));
    l.total = (l.total + 63) & ~(size_t)63;
    return l;
}

size_t raft_bytes(const struct raft_limits *limits)
{
    return layout_of(limits).total;
}

size_t raft_value_bytes(const struct raft_limits *limits)
{
    return layout_of(limits).views;
}

static void check_config(const struct raft_config *config)
{
    SH_CHECK_CMP(config->id, >, 0);
    SH_CHECK_CMP(config->heartbeat, >, 0);
    SH_CHECK_CMP(config->election, >, config->heartbeat);
    SH_CHECK_CMP(config->election, <, RAFT_NUMBER_MAX);
    SH_CHECK_CMP(config->election_max, <, RAFT_NUMBER_MAX);
    SH_CHECK(SH_IMPLIES(config->election_max != 0, config->election_max >= config->election));
    SH_CHECK(SH_IMPLIES(config->election_max != 0, config->pre_vote));
}

struct raft *raft_init(struct sh_arena *arena, const struct raft_config *config,
                       const struct raft_boot *boot, uint64_t now)
{
    check_config(config);
    struct raft_layout layout = layout_of(&config->limits);
    struct raft *r = sh_arena_take(arena, 1, layout.total, 64);
    r->config = *config;
    r->layout = layout;
    r->now = now;
    r->pace.least = config->election;
    sh_rng_init(&r->rng, config->seed);
    SH_CHECK_CMP(boot->applied, <=, boot->last_index);
    SH_CHECK_CMP(boot->hard.commit, <=, boot->last_index);
    r->term = boot->hard.term;
    r->vote = boot->hard.vote;
    /* The commit index on disk may be late, but nothing is applied that was not committed. */
    r->commit = boot->hard.commit > boot->applied ? boot->hard.commit : boot->applied;
    r->applied = boot->applied;
    raft_log_init(r, boot);
    r->read_ring = sh_ring_of(config->limits.reads);
    raft_peers_init(&r->peers, &config->limits);
    raft_conf_check(&boot->conf);
    raft_switch_conf(r, &boot->conf, boot->applied);
    r->conf_changed = false;
    raft_become_follower(r, r->term, 0);
    r->told_hard = (struct raft_hard){.term = r->term, .vote = r->vote, .commit = r->commit};
    r->told_role = r->role;
    r->told_term = r->term;
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_INIT, .index = r->applied});
    raft_check(r);
    return r;
}

struct raft *raft_clone(void *dst, const struct raft *src)
{
    SH_CHECK((uintptr_t)dst % 64 == 0);
    memcpy(dst, src, src->layout.total);
    return dst;
}

void raft_tell(const struct raft *r, struct raft_trace trace)
{
    if (r->config.trace != NULL) {
        trace.id = r->config.id;
        if (trace.term == 0) {
            trace.term = r->term;
        }
        r->config.trace(r->config.trace_ctx, &trace);
    }
}

struct raft_msg *raft_out(struct raft *r, enum raft_msg_type type, uint64_t to)
{
    struct raft_msg *outbox = raft_part(r, r->layout.outbox);
    SH_CHECK_CMP(r->out_count, <, r->layout.outbox_count);
    SH_CHECK_CMP(to, !=, r->config.id);
    struct raft_msg *m = &outbox[r->out_count];
    r->out_count++;
    memset(m, 0, sizeof *m);
    m->type = type;
    m->from = r->config.id;
    m->to = to;
    m->term = r->term;
    /* Marks what promises durability; finish() turns it into a token. */
    m->after = type == RAFT_MSG_APP_RESP || type == RAFT_MSG_VOTE_RESP;
    return m;
}

uint32_t raft_out_room(const struct raft *r)
{
    uint32_t kept = r->out_count + RAFT_OUTBOX_SPARE;
    return kept >= r->layout.outbox_count ? 0 : r->layout.outbox_count - kept;
}

void raft_answer_read(struct raft *r, uint64_t ctx, uint64_t index, enum sh_err err)
{
    struct raft_read *answers = raft_part(r, r->layout.answers);
    SH_CHECK_CMP(r->answer_count, <=, r->config.limits.reads);
    answers[r->answer_count] = (struct raft_read){.ctx = ctx, .index = index, .err = err};
    r->answer_count++;
}

/* A message that can be judged at all; the rest is dropped. */
static bool sensible(const struct raft *r, const struct raft_msg *m)
{
    if (m->from == r->config.id || m->from == 0 || m->term > RAFT_NUMBER_MAX ||
        m->index > RAFT_NUMBER_MAX || m->hint > RAFT_NUMBER_MAX ||
        m->snapshot.index > RAFT_NUMBER_MAX) {
        return false;
    }
    return m->type == RAFT_MSG_APP || m->type == RAFT_MSG_PROP || m->entry_count == 0;
}

static void receive_as_leader(struct raft *r, const struct raft_msg *m)
{
    switch (m->type) {
    case RAFT_MSG_APP_RESP:
        raft_on_append_resp(r, m);
        break;
    case RAFT_MSG_HEARTBEAT_RESP:
        raft_on_heartbeat_resp(r, m);
        break;
    case RAFT_MSG_PROP:
        raft_on_proposal(r, m);
        break;
    case RAFT_MSG_READ_INDEX:
        raft_read_ask(r, m->ctx, m->from);
        break;
    case RAFT_MSG_TRANSFER:
        raft_transfer(r, m->ctx);
        break;
    case RAFT_MSG_APP:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_VOTE:
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_PREVOTE:
    case RAFT_MSG_PREVOTE_RESP:
    case RAFT_MSG_SNAP:
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_READ_INDEX_RESP:
        break; /* a leader has no use for it */
    }
}

static void receive_from_leader(struct raft *r, const struct raft_msg *m)
{
    if (r->role != RAFT_FOLLOWER) {
        raft_become_follower(r, m->term, m->from);
    }
    r->election_start = r->now;
    r->hint_deadline = 0;
    r->hint_until = 0;
    r->leader = m->from;
    if (m->type == RAFT_MSG_APP) {
        raft_on_append(r, m);
    } else if (m->type == RAFT_MSG_HEARTBEAT) {
        raft_on_heartbeat(r, m);
    } else {
        raft_on_snapshot(r, m);
    }
}

static void receive_as_other(struct raft *r, const struct raft_msg *m)
{
    switch (m->type) {
    case RAFT_MSG_APP:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_SNAP:
        receive_from_leader(r, m);
        break;
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_PREVOTE_RESP:
        raft_on_vote_resp(r, m);
        break;
    case RAFT_MSG_PROP:
        raft_on_proposal(r, m);
        break;
    case RAFT_MSG_TIMEOUT_NOW:
        if (r->role == RAFT_FOLLOWER) {
            raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_TIMEOUT_NOW, .message = m});
            raft_hup(r, true);
        }
        break;
    case RAFT_MSG_READ_INDEX_RESP:
        if (m->from == r->leader) {
            raft_answer_read(r, m->ctx, m->index, SH_OK);
        }
        break;
    case RAFT_MSG_READ_INDEX:
    case RAFT_MSG_TRANSFER:
    case RAFT_MSG_APP_RESP:
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_VOTE:
    case RAFT_MSG_PREVOTE:
        break; /* for a leader only; votes were judged before */
    }
}

/* False: the message is not to be looked at further. */
static bool meet_higher_term(struct raft *r, const struct raft_msg *m)
{
    bool vote = m->type == RAFT_MSG_VOTE || m->type == RAFT_MSG_PREVOTE;
    uint64_t left = 0;
    if (vote && !m->force && raft_leased(r, &left)) {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_VOTE_IGNORED,
                                         .message = m,
                                         .index = r->log.last,
                                         .log_term = raft_log_last_term(r),
                                         .count = left});
        return false;
    }
    /* A pre-vote never changes the term; a granted one carries the term asked for, not a real one.
     */
    if (m->type == RAFT_MSG_PREVOTE || (m->type == RAFT_MSG_PREVOTE_RESP && !m->reject)) {
        return true;
    }
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_HIGHER_TERM, .message = m});
    bool leads =
        m->type == RAFT_MSG_APP || m->type == RAFT_MSG_HEARTBEAT || m->type == RAFT_MSG_SNAP;
    raft_become_follower(r, m->term, leads ? m->from : 0);
    return true;
}

static void meet_lower_term(struct raft *r, const struct raft_msg *m)
{
    bool leads = m->type == RAFT_MSG_APP || m->type == RAFT_MSG_HEARTBEAT;
    if (leads && (r->config.check_quorum || r->config.pre_vote)) {
        /* With leases or pre-vote our vote requests may not reach that leader's ear: this answer
         * tells it of our term, else the two would ignore each other for ever. */
        (void)raft_out(r, RAFT_MSG_APP_RESP, m->from);
    } else if (m->type == RAFT_MSG_PREVOTE) {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_VOTE_REFUSED,
                                         .message = m,
                                         .index = r->log.last,
                                         .log_term = raft_log_last_term(r)});
        raft_out(r, RAFT_MSG_PREVOTE_RESP, m->from)->reject = true;
    } else {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_LOWER_TERM, .message = m});
    }
}

static void receive(struct raft *r, const struct raft_msg *m)
{
    SH_CHECK_CMP(m->to, ==, r->config.id);
    if (!sensible(r, m)) {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_DROPPED, .message = m});
        return;
    }
    bool termless =
        m->type == RAFT_MSG_PROP || m->type == RAFT_MSG_READ_INDEX || m->type == RAFT_MSG_TRANSFER;
    if (!termless) {
        if (m->term < r->term) {
            meet_lower_term(r, m);
            return;
        }
        if (m->term > r->term && !meet_higher_term(r, m)) {
            return;
        }
    }
    if (m->type == RAFT_MSG_VOTE || m->type == RAFT_MSG_PREVOTE) {
        raft_on_vote(r, m);
    } else if (r->role == RAFT_LEADER) {
        receive_as_leader(r, m);
    } else {
        receive_as_other(r, m);
    }
}

static void persisted(struct raft *r, uint64_t token)
{
    uint64_t before = r->log.token_durable;
    raft_log_persisted(r, token);
    if (r->log.token_durable > before) {
        raft_pace_written(r);
    }
    if (r->install_token != 0 && r->install_token <= r->log.token_durable) {
        r->install_token = 0;
        if (r->applied < r->install_index) {
            r->applied = r->install_index;
        }
    }
    if (r->role == RAFT_CANDIDATE && r->term_token <= r->log.token_durable) {
        raft_self_vote(r);
    }
    if (r->role == RAFT_LEADER) {
        raft_on_durable(r);
    }
}

static void read_index(struct raft *r, uint64_t ctx)
{
    if (r->role == RAFT_LEADER) {
        raft_read_ask(r, ctx, r->config.id);
    } else if (r->leader == 0) {
        r->refused = SH_ERR_NOT_LEADER;
    } else {
        struct raft_msg *m = raft_out(r, RAFT_MSG_READ_INDEX, r->leader);
        m->term = 0;
        m->ctx = ctx;
    }
}

static void transfer(struct raft *r, uint64_t to)
{
    if (r->role == RAFT_LEADER && to == 0) {
        raft_pace_resign(r);
    } else if (r->role == RAFT_LEADER) {
        raft_transfer(r, to);
    } else if (r->leader == 0 || to == 0) {
        r->refused = SH_ERR_NOT_LEADER;
    } else {
        struct raft_msg *m = raft_out(r, RAFT_MSG_TRANSFER, r->leader);
        m->term = 0;
        m->ctx = to;
    }
}

static void dispatch(struct raft *r, const struct raft_event *e)
{
    switch (e->type) {
    case RAFT_TICK:
        raft_tick(r);
        break;
    case RAFT_RECEIVE:
        receive(r, e->message);
        break;
    case RAFT_PERSISTED:
        persisted(r, e->token);
        break;
    case RAFT_PROPOSE:
        raft_propose(r, e->propose.entries, e->propose.count);
        if (e->propose.eager && r->role == RAFT_LEADER && r->refused == SH_OK) {
            r->eager_index = r->log.last;
        }
        break;
    case RAFT_PROPOSE_CONF:
        raft_propose_conf(r, e->change);
        break;
    case RAFT_APPLIED:
        raft_applied_to(r, e->index);
        break;
    case RAFT_CONF_APPLIED:
        raft_conf_applied(r, e->conf.index, e->conf.data, e->conf.size);
        break;
    case RAFT_LOG_READ:
        raft_on_log_read(r, e);
        break;
    case RAFT_COMPACTED:
        raft_log_compact(r, e->index);
        break;
    case RAFT_SNAPSHOT_STATUS:
        raft_on_snapshot_status(r, e->snapshot.peer, e->snapshot.ok);
        break;
    case RAFT_UNREACHABLE:
        raft_on_unreachable(r, e->peer);
        break;
    case RAFT_READ_INDEX:
        read_index(r, e->ctx);
        break;
    case RAFT_TRANSFER:
        transfer(r, e->peer);
        break;
    case RAFT_CAMPAIGN:
        raft_hup(r, false);
        break;
    case RAFT_FORGET_LEADER:
        raft_forget_leader(r, e->hint);
        break;
    case RAFT_ROUND_TRIP:
        raft_pace_round_trip(r, e->round_trip);
        break;
    }
}

static void tell_persistence(struct raft *r, struct raft_update *u)
{
    struct raft_hard hard = {.term = r->term, .vote = r->vote, .commit = r->commit};
    bool term_changed = hard.term != r->told_hard.term || hard.vote != r->told_hard.vote;
    u->hard = hard;
    u->hard_changed = term_changed || hard.commit != r->told_hard.commit;
    r->told_hard = hard;
    if (r->install) {
        u->install = true;
        u->snapshot = r->snapshot;
    }
    if (r->append_first != 0) {
        SH_CHECK_CMP(r->append_first, <=, r->log.last);
        u->append = raft_log_view(r, r->append_first, r->log.last);
        u->append_count = (uint32_t)(r->log.last + 1 - r->append_first);
    }
    u->must_sync = term_changed || r->install || u->append_count > 0;
    u->hard_changed |= u->must_sync; /* entries never without the commit index they came with */
    if (u->must_sync) {
        raft_pace_writing(r);
        u->token = raft_log_token(r);
        r->term_token = term_changed ? u->token : r->term_token;
        r->install_token = r->install ? u->token : r->install_token;
    }
}

static void tell_messages(struct raft *r, struct raft_update *u)
{
    struct raft_msg *outbox = raft_part(r, r->layout.outbox);
    uint64_t token = r->log.token_issued > r->log.token_durable ? r->log.token_issued : 0;
    for (uint32_t i = 0; i < r->out_count; i++) {
        outbox[i].after = outbox[i].after != 0 ? token : 0;
    }
    u->messages = outbox;
    u->message_count = r->out_count;
}

static void finish(struct raft *r, struct raft_update *u)
{
    *u = (struct raft_update){.refused = r->refused, .reason = r->reason};
    tell_persistence(r, u);
    tell_messages(r, u);
    u->commit = r->commit;
    u->apply_to = r->commit < r->log.durable ? r->commit : r->log.durable;
    u->role = r->role;
    u->leader = r->leader;
    u->term = r->term;
    u->soft_changed =
        r->role != r->told_role || r->leader != r->told_leader || r->term != r->told_term;
    r->told_role = r->role;
    r->told_leader = r->leader;
    r->told_term = r->term;
    u->conf_changed = r->conf_changed;
    u->conf = r->conf;
    u->reads = raft_part(r, r->layout.answers);
    u->read_count = r->answer_count;
    u->log_reads = raft_part(r, r->layout.log_reads);
    u->log_read_count = r->log_read_count;
    if (r->proposed_index != 0) {
        u->proposed_index = r->proposed_index;
        u->proposed_term = r->term;
    }
}

void raft_step(struct raft *r, const struct raft_event *event, struct raft_update *update)
{
    uint64_t term = r->term;
    uint64_t vote = r->vote;
    uint64_t commit = r->commit;
    if (event->now > r->now) {
        raft_pace_wake(r, event->now);
        r->now = event->now;
    }
    r->append_first = 0;
    r->install = false;
    r->conf_changed = false;
    r->out_count = 0;
    r->answer_count = 0;
    r->log_read_count = 0;
    r->refused = SH_OK;
    r->reason = RAFT_CONF_OK;
    r->proposed_index = 0;
    dispatch(r, event);
    raft_read_release(r);
    SH_CHECK_CMP(r->term, >=, term);
    SH_CHECK_CMP(r->commit, >=, commit);
    SH_CHECK(SH_IMPLIES(r->term == term && vote != 0, r->vote == vote));
    finish(r, update);
}

bool raft_entry(const struct raft *r, uint64_t index, struct raft_entry *entry)
{
    if (index < r->log.tail_first || index > r->log.last) {
        return false;
    }
    *entry = *raft_log_view(r, index, index);
    return true;
}

bool raft_term_at(const struct raft *r, uint64_t index, uint64_t *term)
{
    return raft_log_term(r, index, term);
}
