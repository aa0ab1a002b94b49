/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking at a core from outside: status, invariants, digest, next deadline. */
#include "raft/core.h"

static uint64_t later(uint64_t start, uint64_t span)
{
    return start > RAFT_TIME_NEVER - span ? RAFT_TIME_NEVER : start + span;
}

uint64_t raft_deadline(const struct raft *r)
{
    if (r->role == RAFT_LEADER) {
        uint64_t beat = later(r->heartbeat_start, r->config.heartbeat);
        uint64_t quorum = later(r->election_start, r->config.election);
        uint64_t least = beat < quorum ? beat : quorum;
        return r->news_due != 0 && r->news_due < least ? r->news_due : least;
    }
    if (!raft_promotable(r)) {
        return RAFT_TIME_NEVER;
    }
    uint64_t election = later(r->election_start, r->election_timeout);
    return r->hint_deadline != 0 && r->hint_deadline < election ? r->hint_deadline : election;
}

void raft_status(const struct raft *r, struct raft_status *status)
{
    *status = (struct raft_status){
        .id = r->config.id,
        .term = r->term,
        .vote = r->vote,
        .leader = r->leader,
        .role = r->role,
        .promotable = raft_promotable(r),
        .first_index = r->log.first,
        .last_index = r->log.last,
        .last_term = raft_log_last_term(r),
        .durable_index = r->log.durable,
        .commit = r->commit,
        .applied = r->applied,
        .transferee = r->transferee,
        .election = r->config.election,
        .election_timeout = r->election_timeout,
        .conf = r->conf,
    };
    if (r->role == RAFT_LEADER) {
        status->peer_count = r->peers.count;
        for (uint32_t i = 0; i < r->peers.count; i++) {
            status->peers[i] = raft_peer_status(&r->peers, &r->peers.list[i]);
        }
    }
}

static void check_leader(const struct raft *r)
{
    SH_CHECK_CMP(r->leader, ==, r->config.id);
    SH_CHECK_CMP(r->log.token_durable, >=, r->term_token);
    SH_CHECK_CMP(raft_log_last_term(r), ==, r->term);
    for (uint32_t i = 0; i < r->peers.count; i++) {
        const struct raft_peer *p = &r->peers.list[i];
        SH_CHECK_CMP(p->match, <=, r->log.last);
        SH_CHECK_CMP(p->next, <=, r->log.last + 1);
        SH_CHECK(SH_IMPLIES(p->id == r->config.id, p->match <= r->log.durable));
        SH_CHECK_CMP(p->read_round, <=, r->read_sent);
    }
    SH_CHECK_CMP(r->read_acked, <=, r->read_sent);
    SH_CHECK(SH_IMPLIES(r->transferee != 0, raft_peer_at(&r->peers, r->transferee) != NULL));
}

void raft_check(const struct raft *r)
{
    raft_conf_check(&r->conf);
    raft_peers_check(&r->peers);
    raft_log_check(r);
    /* A member that begins with somebody's snapshot may not have met that term yet. */
    SH_CHECK(SH_IMPLIES(r->log.last >= r->log.first, raft_log_last_term(r) <= r->term));
    SH_CHECK_CMP(r->commit, <=, r->log.last);
    SH_CHECK_CMP(r->applied, <=, r->commit);
    SH_CHECK(SH_IMPLIES(r->install_token == 0, r->applied + 1 >= r->log.first));
    SH_CHECK_CMP(r->log.first, <=, r->commit + 1);
    uint64_t members[RAFT_PEERS_MAX] = {0};
    SH_CHECK_CMP(raft_conf_members(&r->conf, members), ==, r->peers.count);
    for (uint32_t i = 0; i < r->peers.count; i++) {
        SH_CHECK_CMP(r->peers.list[i].id, ==, members[i]);
    }
    SH_CHECK_CMP(r->election_timeout, >=, 1);
    switch (r->role) {
    case RAFT_LEADER:
        check_leader(r);
        break;
    case RAFT_CANDIDATE:
        SH_CHECK_CMP(r->vote, ==, r->config.id);
        SH_CHECK_CMP(r->leader, ==, 0);
        break;
    case RAFT_PRE_CANDIDATE:
        SH_CHECK_CMP(r->leader, ==, 0);
        break;
    case RAFT_FOLLOWER:
        SH_CHECK_CMP(r->leader, !=, r->config.id);
        break;
    }
    SH_CHECK(SH_IMPLIES(r->role != RAFT_LEADER, r->read_ring.count == 0));
}

/* Field by field: structs have padding, and rings have stale corners. */
static uint64_t digest_peer(const struct raft *r, const struct raft_peer *p, uint64_t hash,
                            bool timeless)
{
    uint64_t numbers[] = {p->id,
                          (uint64_t)p->state,
                          p->flow_paused,
                          p->active,
                          p->learner,
                          (uint64_t)(p->ballot + 1),
                          p->match,
                          p->next,
                          p->pending_snapshot,
                          p->sent_commit,
                          p->read_round,
                          timeless && p->read_request != 0 ? r->request - p->read_request + 1
                                                           : p->read_request,
                          p->inflight_bytes,
                          !timeless && r->config.election_max != 0 ? p->beat_at : 0};
    hash = sh_hash64(hash, numbers, sizeof numbers);
    const struct raft_inflight *rows = raft_part(r, r->layout.inflight);
    rows += (size_t)p->slot * r->peers.inflight_msgs;
    for (uint32_t i = 0; i < p->inflight.count; i++) {
        hash = sh_hash64(hash, &rows[sh_ring_at(&p->inflight, i)], sizeof *rows);
    }
    return hash;
}

/* Everything but clocks, the generator, and numbers that only count. */
static uint64_t digest_rest(const struct raft *r, uint64_t hash, bool timeless)
{
    uint64_t base = timeless ? r->log.token_durable : 0;
    uint64_t numbers[] = {r->config.id,
                          r->term,
                          r->vote,
                          r->commit,
                          r->applied,
                          (uint64_t)r->role,
                          r->leader,
                          r->conf_index,
                          r->term_token > base ? r->term_token - base : 0,
                          r->install_token > base ? r->install_token - base : 0,
                          r->install_index,
                          r->transferee,
                          r->pending_conf,
                          r->uncommitted,
                          r->read_sent,
                          r->read_acked};
    hash = sh_hash64(hash, numbers, sizeof numbers);
    uint8_t conf[RAFT_CONF_BYTES_MAX];
    struct sh_writer w = sh_writer_over(conf, sizeof conf);
    raft_conf_encode(&r->conf, &w);
    hash = sh_hash64(hash, conf, w.used);
    hash = raft_log_digest(r, hash, base);
    for (uint32_t i = 0; i < r->peers.count; i++) {
        hash = digest_peer(r, &r->peers.list[i], hash, timeless);
    }
    const struct raft_pending_read *reads = raft_part(r, r->layout.reads);
    for (uint32_t i = 0; i < r->read_ring.count; i++) {
        hash = sh_hash64(hash, &reads[sh_ring_at(&r->read_ring, i)], sizeof *reads);
    }
    return hash;
}

uint64_t raft_digest(const struct raft *r)
{
    uint64_t numbers[] = {
        r->config.election, r->config.heartbeat, r->now,
        r->election_start,  r->election_timeout, r->heartbeat_start,
        r->news_due,        r->eager_index,      r->hint_deadline,
        r->hint_until,      r->request,          r->pace.least,
        r->pace.round_trip, r->pace.beat_at,     r->config.abdicate ? r->pace.write_since : 0};
    uint64_t hash = sh_hash64(1, numbers, sizeof numbers);
    hash = sh_hash64(hash, r->rng.s, sizeof r->rng.s);
    if (r->config.election_max != 0) {
        hash = sh_hash64(hash, r->pace.writes.count, sizeof r->pace.writes.count);
        hash = sh_hash64(hash, r->pace.gaps.count, sizeof r->pace.gaps.count);
    }
    return digest_rest(r, hash, false);
}

uint64_t raft_digest_timeless(const struct raft *r)
{
    bool clocks[] = {r->hint_deadline != 0, r->now < r->hint_until};
    return digest_rest(r, sh_hash64(2, clocks, sizeof clocks), true);
}
