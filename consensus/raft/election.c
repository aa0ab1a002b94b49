/* SPDX-License-Identifier: Apache-2.0
 *
 * Roles and how they change: time-outs, votes, pre-votes (dissertation 9.6), check-quorum with
 * leases on votes (6.2), leadership transfer (3.10), and the disconnect hint. */
#include "raft/core.h"

enum {                /* after a hint, in staggers: */
       HINT_TURN = 3, /* whoever got a pre-vote has so long to become leader before others run */
       HINT_VOTE =
           12, /* a vote has so long before its candidate runs again; two disks write in it */
};

void raft_draw_timeout(struct raft *r)
{
    uint64_t e = r->config.election;
    r->election_timeout = sh_rng_between(&r->rng, e, 2 * e - 1);
}

static void clear_ballots(struct raft *r)
{
    for (uint32_t i = 0; i < r->peers.count; i++) {
        r->peers.list[i].ballot = -1;
    }
}

/* What every change of role or term forgets. */
static void reset(struct raft *r, uint64_t term)
{
    SH_CHECK_CMP(term, >=, r->term);
    if (term != r->term) {
        r->term = term;
        r->vote = 0;
    }
    r->leader = 0;
    r->election_start = r->now;
    r->heartbeat_start = r->now;
    r->news_due = 0;
    r->eager_index = 0;
    r->hint_deadline = 0;
    raft_draw_timeout(r);
    r->pace.beat_at = 0;
    r->transferee = 0;
    r->pending_conf = 0;
    r->uncommitted = 0;
    raft_read_reset(r);
    for (uint32_t i = 0; i < r->peers.count; i++) {
        struct raft_peer *p = &r->peers.list[i];
        bool self = p->id == r->config.id;
        raft_peer_reset(p, self ? r->log.durable : 0, r->log.last + 1);
    }
}

void raft_become_follower(struct raft *r, uint64_t term, uint64_t leader)
{
    reset(r, term);
    r->role = RAFT_FOLLOWER;
    r->leader = leader;
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_FOLLOWER});
}

static void become_pre_candidate(struct raft *r)
{
    SH_CHECK(r->role != RAFT_LEADER);
    /* Neither term nor vote change: a pre-vote promises nothing. */
    clear_ballots(r);
    r->leader = 0;
    r->role = RAFT_PRE_CANDIDATE;
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_PRE_CANDIDATE});
}

static void become_candidate(struct raft *r)
{
    SH_CHECK(r->role != RAFT_LEADER);
    reset(r, r->term + 1);
    r->vote = r->config.id;
    r->role = RAFT_CANDIDATE;
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_CANDIDATE});
}

void raft_become_leader(struct raft *r)
{
    SH_CHECK(r->role == RAFT_CANDIDATE);
    SH_CHECK_CMP(r->vote, ==, r->config.id);
    reset(r, r->term);
    r->leader = r->config.id;
    r->role = RAFT_LEADER;
    struct raft_peer *self = raft_peer_of(&r->peers, r->config.id);
    SH_CHECK(self != NULL);
    raft_peer_replicate(self);
    self->active = true;
    /* There may be an unapplied change anywhere in the log: nothing new before all of it is
     * applied. */
    r->pending_conf = r->log.last;
    for (uint64_t i = r->commit + 1; i <= r->log.last; i++) {
        r->uncommitted += raft_log_size_at(r, i);
    }
    struct raft_entry empty = {.type = RAFT_ENTRY_NORMAL};
    bool appended = raft_append_own(r, &empty, 1, true);
    SH_CHECK(appended); /* the reserve of the tail and raft_log_takes_term saw to it */
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_LEADER});
}

bool raft_promotable(const struct raft *r)
{
    const struct raft_peer *self = raft_peer_at(&r->peers, r->config.id);
    return self != NULL && !self->learner && r->install_token == 0;
}

bool raft_leased(const struct raft *r, uint64_t *left)
{
    uint64_t elapsed = r->now - r->election_start;
    uint64_t lease = raft_pace_lease(r);
    if (!r->config.check_quorum || r->leader == 0 || elapsed >= lease) {
        return false;
    }
    *left = lease - elapsed;
    return true;
}

static int ballot_of(void *ctx, uint64_t id)
{
    const struct raft_peer *peer = raft_peer_at(ctx, id);
    return peer == NULL ? -1 : peer->ballot;
}

static void tell_tally(const struct raft *r, enum raft_msg_type type)
{
    uint64_t granted = 0;
    uint64_t refused = 0;
    for (uint32_t i = 0; i < r->peers.count; i++) {
        granted += r->peers.list[i].ballot == 1;
        refused += r->peers.list[i].ballot == 0;
    }
    raft_tell(
        r, (struct raft_trace){
               .type = RAFT_TRACE_TALLY, .message_type = type, .index = granted, .count = refused});
}

static void note_ballot(struct raft *r, uint64_t from, enum raft_msg_type type, bool granted)
{
    raft_tell(
        r, (struct raft_trace){
               .type = RAFT_TRACE_BALLOT, .message_type = type, .peer = from, .reject = !granted});
    struct raft_peer *peer = raft_peer_of(&r->peers, from);
    if (peer != NULL && peer->ballot < 0) {
        peer->ballot = granted;
    }
    tell_tally(r, type);
}

/* Votes carry the sender's commit index and the term there. What is committed is so for ever, so
 * whoever holds the same entry may commit it too. Without this a group can stand still for good
 * after a membership change: those that know the change is committed may not lead any more, and
 * those that shall lead do not know it and are refused, because the others' logs are longer. */
static void put_commit(const struct raft *r, struct raft_msg *m)
{
    m->commit = r->commit;
    bool known = raft_log_term(r, r->commit, &m->ctx);
    SH_CHECK(known);
}

static void learn_commit(struct raft *r, const struct raft_msg *m)
{
    if (m->commit <= r->commit || !raft_log_matches(r, m->commit, m->ctx)) {
        return;
    }
    raft_commit_to(r, m->commit);
    bool runs = r->role == RAFT_CANDIDATE || r->role == RAFT_PRE_CANDIDATE;
    if (runs && raft_log_conf_within(r, r->applied, r->commit)) {
        raft_become_follower(r, r->term, 0); /* nobody runs before such a change is applied */
    }
}

/* Asks the voters that have not answered. */
static void ask_votes(struct raft *r, enum raft_msg_type type, uint64_t term, bool transfer)
{
    /* Only what is on disk may be claimed: after a crash a late vote for more than that could elect
     * this member in the same term with a log that lacks committed entries. */
    uint64_t log_term = 0;
    bool known = raft_log_term(r, r->log.durable, &log_term);
    SH_CHECK(known);
    for (uint32_t i = 0; i < r->peers.count; i++) {
        uint64_t id = r->peers.list[i].id;
        if (id == r->config.id || !raft_conf_voter(&r->conf, id) || r->peers.list[i].ballot >= 0) {
            continue;
        }
        struct raft_msg *m = raft_out(r, type, id);
        m->term = term;
        m->index = r->log.durable;
        m->log_term = log_term;
        m->force = transfer;
        put_commit(r, m);
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_VOTE_ASKED,
                                         .message = m,
                                         .peer = id,
                                         .index = m->index,
                                         .log_term = log_term});
    }
}

/* Position of this member among those that may follow the lost leader. */
static uint64_t rank_of(const struct raft *r, uint64_t lost)
{
    uint64_t rank = 0;
    for (uint32_t i = 0; i < r->peers.count; i++) {
        const struct raft_peer *p = &r->peers.list[i];
        rank += p->id < r->config.id && p->id != lost && !p->learner;
    }
    return rank;
}

/* After a hint: at now + wait, unless somebody leads by then. */
static void arm_hint(struct raft *r, uint64_t wait)
{
    r->hint_deadline = r->now + wait;
    r->hint_deadline += r->hint_deadline == 0; /* 0 means none */
}

/* The leader is gone as far as this member knows: until somebody leads it does not wait for a
 * timeout where asking again may help. Without pre-vote that could depose a leader that a majority
 * still hears; without a stagger it is switched off. */
static bool expect_election(struct raft *r)
{
    bool swift = r->config.pre_vote && r->config.stagger > 0;
    r->hint_until = swift ? r->now + r->config.election : 0;
    return swift;
}

static bool is_hinted(const struct raft *r)
{
    return r->now < r->hint_until;
}

/* The candidate's own ballot waits for its disk: raft_self_vote. */
static void start_vote(struct raft *r, bool transfer)
{
    become_candidate(r);
    ask_votes(r, RAFT_MSG_VOTE, r->term, transfer);
}

static void conclude(struct raft *r)
{
    switch (raft_quorum_vote(&r->conf, ballot_of, &r->peers)) {
    case RAFT_VOTE_WON:
        if (r->role == RAFT_PRE_CANDIDATE) {
            start_vote(r, false);
        } else if (r->term_token <= r->log.token_durable) {
            raft_become_leader(r);
            raft_broadcast_append(r);
        }
        /* Else the others elected it before its own term is on disk. Were it to lead now, then
         * crash and forget, they would elect it again in the same term, and two entries could bear
         * one index and term. raft_self_vote comes here again. */
        break;
    case RAFT_VOTE_LOST:
        raft_become_follower(r, r->term, 0);
        if (is_hinted(r)) {
            arm_hint(r, (1 + rank_of(r, 0)) * r->config.stagger);
        }
        break;
    case RAFT_VOTE_PENDING:
        break;
    }
}

void raft_self_vote(struct raft *r)
{
    const struct raft_peer *self = raft_peer_at(&r->peers, r->config.id);
    if (self != NULL && self->ballot < 0) {
        note_ballot(r, r->config.id, RAFT_MSG_VOTE_RESP, true);
        conclude(r);
    }
    /* A split vote shall not cost an election timeout; a slow disk must not make it look split, so
     * the time runs from when our own vote is written. */
    if (r->role == RAFT_CANDIDATE && r->hint_deadline == 0 && is_hinted(r)) {
        arm_hint(r, (HINT_VOTE + rank_of(r, 0)) * r->config.stagger);
    }
}

void raft_hup(struct raft *r, bool transfer)
{
    if (r->role == RAFT_LEADER) {
        return;
    }
    if (!raft_promotable(r) || !raft_log_takes_term(r) || r->term >= RAFT_NUMBER_MAX) {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_UNPROMOTABLE});
        return;
    }
    if (raft_log_conf_within(r, r->applied, r->commit)) {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_CONF_PENDING});
        return;
    }
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_ELECTION});
    if (!r->config.pre_vote || transfer) { /* a leader that hands over is known to agree */
        start_vote(r, transfer);
        return;
    }
    become_pre_candidate(r);
    ask_votes(r, RAFT_MSG_PREVOTE, r->term + 1, false);
    note_ballot(r, r->config.id, RAFT_MSG_PREVOTE_RESP, true);
    conclude(r);
}

/* Of two that lost a leader and run at the same time with equal logs only one gets the other's
 * pre-vote: both would split the vote. */
static bool runs_before(const struct raft *r, const struct raft_msg *m)
{
    if (r->term == 0) {
        return false; /* a refusal has no term to bear */
    }
    return m->type == RAFT_MSG_PREVOTE && r->role == RAFT_PRE_CANDIDATE && is_hinted(r) &&
           r->config.id < m->from && m->index == r->log.last &&
           m->log_term == raft_log_last_term(r) && r->log.durable == r->log.last;
}

/* Somebody runs who cannot win, for its log is the shorter one: where this member has not heard of
 * a leader for long either, it runs now. */
static void run_instead(struct raft *r)
{
    bool silence = r->leader == 0 || r->now - r->election_start >= r->config.election;
    if (r->role == RAFT_FOLLOWER && silence && r->hint_deadline == 0 && expect_election(r)) {
        arm_hint(r, rank_of(r, 0) * r->config.stagger);
    }
}

void raft_on_vote(struct raft *r, const struct raft_msg *m)
{
    learn_commit(r, m);
    bool pre = m->type == RAFT_MSG_PREVOTE;
    bool free =
        r->vote == m->from || (r->vote == 0 && r->leader == 0) || (pre && m->term > r->term);
    /* Compared with the log in memory: what is still on its way to the disk counts against others.
     */
    uint64_t last_term = raft_log_last_term(r);
    bool current = m->log_term > last_term || (m->log_term == last_term && m->index >= r->log.last);
    bool granted = free && current && !runs_before(r, m);
    raft_tell(r,
              (struct raft_trace){.type = granted ? RAFT_TRACE_VOTE_CAST : RAFT_TRACE_VOTE_REFUSED,
                                  .message = m,
                                  .index = r->log.last,
                                  .log_term = last_term});
    enum raft_msg_type answer = pre ? RAFT_MSG_PREVOTE_RESP : RAFT_MSG_VOTE_RESP;
    struct raft_msg *out = raft_out(r, answer, m->from);
    out->reject = !granted;
    put_commit(r, out);
    if (!granted) {
        if (pre && !current) {
            run_instead(r);
        }
        return;
    }
    out->term = m->term; /* of a pre-vote: the term that would be, else the asker ignored it */
    if (!pre) {
        r->election_start = r->now;
        r->hint_deadline = 0;
        r->vote = m->from;
    } else if (r->hint_deadline != 0) { /* the asker goes first */
        arm_hint(r, HINT_TURN * r->config.stagger);
    }
}

void raft_on_vote_resp(struct raft *r, const struct raft_msg *m)
{
    learn_commit(r, m);
    bool wanted = (r->role == RAFT_PRE_CANDIDATE && m->type == RAFT_MSG_PREVOTE_RESP) ||
                  (r->role == RAFT_CANDIDATE && m->type == RAFT_MSG_VOTE_RESP);
    if (wanted) {
        note_ballot(r, m->from, m->type, !m->reject);
        conclude(r);
    }
}

static int is_active(void *ctx, uint64_t id)
{
    const struct raft_peer *peer = raft_peer_at(ctx, id);
    return peer != NULL && peer->active;
}

static void check_quorum(struct raft *r)
{
    if (raft_quorum_vote(&r->conf, is_active, &r->peers) != RAFT_VOTE_WON) {
        raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_QUORUM_LOST});
        raft_become_follower(r, r->term, 0);
        return;
    }
    for (uint32_t i = 0; i < r->peers.count; i++) {
        r->peers.list[i].active = r->peers.list[i].id == r->config.id;
    }
}

static void tick_leader(struct raft *r)
{
    if (r->now - r->election_start >= r->config.election) {
        r->election_start = r->now;
        if (r->config.check_quorum) {
            check_quorum(r);
        }
        r->transferee = 0; /* it had its time */
    }
    if (r->role == RAFT_LEADER && r->news_due != 0 && r->news_due <= r->now) {
        raft_tell_news(r);
    }
    if (r->role == RAFT_LEADER && r->now - r->heartbeat_start >= r->config.heartbeat) {
        r->heartbeat_start = r->now;
        raft_auto_leave(r); /* again, where it did not fit before */
        raft_broadcast_heartbeat(r);
        raft_pace_abdicate(r);
    }
}

/* Who has not noticed yet that the leader is gone ignores a pre-vote; who refused it may have done
 * so because our log, or its own, was not durable yet. */
static void ask_again(struct raft *r)
{
    for (uint32_t i = 0; i < r->peers.count; i++) {
        struct raft_peer *p = &r->peers.list[i];
        p->ballot = p->ballot == 0 ? -1 : p->ballot;
    }
    ask_votes(r, RAFT_MSG_PREVOTE, r->term + 1, false);
}

void raft_tick(struct raft *r)
{
    if (r->role == RAFT_LEADER) {
        tick_leader(r);
        return;
    }
    bool hinted = r->hint_deadline != 0 && r->now >= r->hint_deadline;
    bool due = r->now - r->election_start >= r->election_timeout;
    if (!raft_promotable(r) || (!due && !hinted)) {
        return;
    }
    r->hint_deadline = 0;
    if (due) {
        expect_election(r);
    }
    if (!due && r->role == RAFT_PRE_CANDIDATE) {
        ask_again(r);
    } else {
        r->election_start = r->now;
        raft_hup(r, false);
    }
    if (is_hinted(r) && (r->role == RAFT_PRE_CANDIDATE || r->role == RAFT_FOLLOWER)) {
        uint64_t so_far = (r->now - r->election_start) / 2; /* asks less often as time goes by */
        arm_hint(r, so_far > r->config.stagger ? so_far : r->config.stagger);
    }
}

void raft_forget_leader(struct raft *r, bool hint)
{
    if (r->role != RAFT_FOLLOWER || r->leader == 0) {
        return;
    }
    uint64_t lost = r->leader;
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_FORGET_LEADER, .peer = lost});
    r->leader = 0;
    if (hint && expect_election(r)) {
        arm_hint(r, rank_of(r, lost) * r->config.stagger +
                        sh_rng_between(&r->rng, 0, r->config.stagger / 2));
    }
}

void raft_timeout_now(struct raft *r, uint64_t to)
{
    (void)raft_out(r, RAFT_MSG_TIMEOUT_NOW, to);
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_TIMEOUT_SENT, .peer = to});
}

void raft_transfer(struct raft *r, uint64_t to)
{
    SH_CHECK(r->role == RAFT_LEADER);
    struct raft_peer *peer = raft_peer_of(&r->peers, to);
    if (peer == NULL || peer->learner) {
        r->refused = SH_ERR_INVALID;
        return;
    }
    if (r->transferee == to) {
        return;
    }
    r->transferee = 0; /* a new wish replaces the old one */
    if (to == r->config.id) {
        return;
    }
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_TRANSFER, .peer = to});
    r->election_start = r->now; /* it has one election timeout to succeed */
    r->transferee = to;
    if (peer->match == r->log.last) {
        raft_timeout_now(r, to);
    } else {
        (void)raft_send_append(r, peer, true);
    }
}
