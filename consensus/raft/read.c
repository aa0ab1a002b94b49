/* SPDX-License-Identifier: Apache-2.0
 *
 * Linearizable reads without log writes (dissertation 6.4). Acknowledgements are positions: every
 * heartbeat round has a number that only rises, a member's answer acknowledges all rounds up to
 * its own, and a read waits for the first round begun after it arrived. So a retry or a late
 * answer can never count for a read that is younger than the round it answers. One round is under
 * way at a time; reads that come meanwhile share the next. */
#include "raft/core.h"

static struct raft_pending_read *reads_of(const struct raft *r)
{
    return raft_part(r, r->layout.reads);
}

static struct raft_pending_read *oldest_of(const struct raft *r)
{
    return &reads_of(r)[sh_ring_at(&r->read_ring, 0)];
}

void raft_read_reset(struct raft *r)
{
    while (r->read_ring.count > 0) {
        struct raft_pending_read read = *oldest_of(r);
        (void)sh_ring_pop(&r->read_ring);
        if (read.from == r->config.id) {
            raft_answer_read(r, read.ctx, 0, SH_ERR_NOT_LEADER);
        }
    }
    r->read_sent = 0;
    r->read_acked = 0;
}

static void answer(struct raft *r, const struct raft_pending_read *read)
{
    if (read->from == r->config.id) {
        raft_answer_read(r, read->ctx, read->index, SH_OK);
        return;
    }
    struct raft_msg *m = raft_out(r, RAFT_MSG_READ_INDEX_RESP, read->from);
    m->ctx = read->ctx;
    m->index = read->index;
}

static bool term_committed(const struct raft *r)
{
    return raft_log_matches(r, r->commit, r->term);
}

/* Acknowledged by this member alone. */
static bool alone(const struct raft *r)
{
    return r->conf.voter_count == 1 && !raft_conf_joint(&r->conf) &&
           r->conf.voters[0] == r->config.id;
}

static void start_round(struct raft *r)
{
    if (r->read_ring.count > 0 && r->read_sent == r->read_acked) {
        const struct raft_pending_read *newest =
            &reads_of(r)[sh_ring_at(&r->read_ring, r->read_ring.count - 1)];
        if (newest->round > r->read_sent) {
            raft_broadcast_heartbeat(r);
        }
    }
}

void raft_read_ask(struct raft *r, uint64_t ctx, uint64_t from)
{
    SH_CHECK(r->role == RAFT_LEADER);
    struct raft_pending_read read = {.ctx = ctx, .from = from, .index = r->commit};
    if (term_committed(r)) {
        if (alone(r)) {
            answer(r, &read);
            return;
        }
        read.round = r->read_sent + 1;
    }
    if (sh_ring_full(&r->read_ring)) {
        if (from == r->config.id) {
            raft_answer_read(r, ctx, 0, SH_ERR_FULL);
        }
        return;
    }
    reads_of(r)[sh_ring_push(&r->read_ring)] = read;
    start_round(r);
}

void raft_read_term_committed(struct raft *r)
{
    /* All that waited for this term's first commit count from here on. */
    for (uint32_t i = 0; i < r->read_ring.count; i++) {
        struct raft_pending_read *read = &reads_of(r)[sh_ring_at(&r->read_ring, i)];
        if (read->round == 0) {
            read->round = r->read_sent + 1;
            read->index = r->commit;
        }
    }
}

static bool round_of(void *ctx, uint64_t id, uint64_t *round)
{
    const struct raft *r = ctx;
    const struct raft_peer *peer = raft_peer_at(&r->peers, id);
    if (peer == NULL) {
        return false;
    }
    *round = id == r->config.id ? r->read_sent : peer->read_round;
    return true;
}

void raft_read_ack(struct raft *r, struct raft_peer *peer, uint64_t round)
{
    if (round > peer->read_round && round <= r->read_sent) {
        peer->read_round = round;
    }
}

static void release_acked(struct raft *r)
{
    uint64_t acked = raft_quorum_index(&r->conf, round_of, r);
    if (acked > r->read_acked && acked <= r->read_sent) {
        r->read_acked = acked;
    }
    while (r->read_ring.count > 0 && raft_out_room(r) > 0) {
        struct raft_pending_read read = *oldest_of(r);
        if (read.round == 0 || read.round > r->read_acked) {
            break;
        }
        (void)sh_ring_pop(&r->read_ring);
        answer(r, &read);
    }
}

void raft_read_release(struct raft *r)
{
    if (r->role != RAFT_LEADER || r->read_ring.count == 0) {
        return;
    }
    release_acked(r);
    start_round(r);
    if (alone(r)) {
        release_acked(r); /* its own word is the quorum */
    }
}
