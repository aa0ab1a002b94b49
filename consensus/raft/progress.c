/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/progress.h"

#include <string.h>

void raft_peers_init(struct raft_peers *peers, const struct raft_limits *limits)
{
    SH_CHECK_CMP(limits->inflight_msgs, >, 0);
    *peers = (struct raft_peers){.inflight_msgs = limits->inflight_msgs,
                                 .inflight_bytes = limits->inflight_bytes};
}

static uint8_t take_slot(struct raft_peers *peers)
{
    for (uint8_t s = 0; s < RAFT_PEERS_MAX; s++) {
        if ((peers->slots >> s & 1) == 0) {
            peers->slots |= UINT64_C(1) << s;
            return s;
        }
    }
    SH_UNREACHABLE();
}

static struct raft_peer new_peer(struct raft_peers *peers, uint64_t id, uint64_t last)
{
    struct raft_peer peer = {
        .id = id,
        .slot = take_slot(peers),
        .state = RAFT_PROBE,
        .active = true, /* a newcomer is given the chance to answer before it counts as silent */
        .ballot = -1,
        .next = last > 0 ? last : 1,
        .inflight = sh_ring_of(peers->inflight_msgs),
    };
    return peer;
}

void raft_peers_follow(struct raft_peers *peers, const struct raft_conf *conf, uint64_t last)
{
    uint64_t members[RAFT_PEERS_MAX] = {0};
    uint32_t count = raft_conf_members(conf, members);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < peers->count; i++) {
        uint64_t id = peers->list[i].id;
        if (raft_conf_voter(conf, id) || raft_conf_learner(conf, id)) {
            peers->list[kept] = peers->list[i];
            kept++;
        } else {
            peers->slots &= ~(UINT64_C(1) << peers->list[i].slot);
        }
    }
    peers->count = kept;
    for (uint32_t i = 0; i < count; i++) {
        SH_CHECK_CMP(i, <=, peers->count);
        if (i == peers->count || peers->list[i].id != members[i]) {
            memmove(peers->list + i + 1, peers->list + i,
                    (peers->count - i) * sizeof peers->list[0]);
            peers->list[i] = new_peer(peers, members[i], last);
            peers->count++;
        }
        peers->list[i].learner = raft_conf_learner(conf, members[i]);
    }
    SH_CHECK_CMP(peers->count, ==, count);
    memset(peers->list + count, 0, (RAFT_PEERS_MAX - count) * sizeof peers->list[0]);
}

const struct raft_peer *raft_peer_at(const struct raft_peers *peers, uint64_t id)
{
    for (uint32_t i = 0; i < peers->count; i++) {
        if (peers->list[i].id == id) {
            return &peers->list[i];
        }
    }
    return NULL;
}

struct raft_peer *raft_peer_of(struct raft_peers *peers, uint64_t id)
{
    for (uint32_t i = 0; i < peers->count; i++) {
        if (peers->list[i].id == id) {
            return &peers->list[i];
        }
    }
    return NULL;
}

static void enter(struct raft_peer *peer, enum raft_progress_state state)
{
    peer->state = state;
    peer->flow_paused = false;
    peer->pending_snapshot = 0;
    peer->read_request = 0;
    peer->inflight_bytes = 0;
    peer->inflight = sh_ring_of(peer->inflight.capacity);
}

static void set_next(struct raft_peer *peer, uint64_t next)
{
    peer->next = next;
    if (peer->sent_commit >= next) {
        peer->sent_commit = next - 1; /* what may be lost is told again */
    }
}

void raft_peer_probe(struct raft_peer *peer)
{
    uint64_t from = peer->match + 1;
    if (peer->state == RAFT_SNAPSHOT && peer->pending_snapshot + 1 > from) {
        from = peer->pending_snapshot + 1; /* the snapshot may have arrived: try behind it first */
    }
    enter(peer, RAFT_PROBE);
    set_next(peer, from);
}

void raft_peer_replicate(struct raft_peer *peer)
{
    enter(peer, RAFT_REPLICATE);
    peer->next = peer->match + 1;
}

void raft_peer_snapshot(struct raft_peer *peer, uint64_t index)
{
    enter(peer, RAFT_SNAPSHOT);
    peer->pending_snapshot = index;
    peer->next = (index > peer->match ? index : peer->match) + 1;
    peer->sent_commit = index;
}

void raft_peer_reset(struct raft_peer *peer, uint64_t match, uint64_t next)
{
    SH_CHECK_CMP(match, <, next);
    enter(peer, RAFT_PROBE);
    peer->active = false;
    peer->ballot = -1;
    peer->match = match;
    peer->next = next;
    peer->sent_commit = 0;
    peer->read_round = 0;
    peer->beat_at = 0;
}

bool raft_peer_paused(const struct raft_peer *peer)
{
    return peer->state == RAFT_SNAPSHOT || peer->flow_paused || peer->read_request != 0;
}

bool raft_peer_full(const struct raft_peers *peers, const struct raft_peer *peer)
{
    return sh_ring_full(&peer->inflight) ||
           (peers->inflight_bytes > 0 && peer->inflight_bytes >= peers->inflight_bytes);
}

void raft_peer_sent(const struct raft_peers *peers, struct raft_peer *peer,
                    struct raft_inflight *rows, uint32_t count, uint64_t bytes)
{
    SH_CHECK(peer->state != RAFT_SNAPSHOT);
    if (peer->state == RAFT_PROBE) {
        peer->flow_paused |= count > 0; /* one message with entries is the probe */
        return;
    }
    if (count > 0) {
        SH_CHECK(!raft_peer_full(peers, peer));
        struct raft_inflight *mine = rows + (size_t)peer->slot * peers->inflight_msgs;
        peer->next += count;
        mine[sh_ring_push(&peer->inflight)] =
            (struct raft_inflight){.index = peer->next - 1, .bytes = bytes};
        peer->inflight_bytes += bytes;
    }
    /* With a full window this message is itself a probe: one, then wait for an answer. */
    peer->flow_paused = raft_peer_full(peers, peer);
}

void raft_peer_free(const struct raft_peers *peers, struct raft_peer *peer,
                    const struct raft_inflight *rows, uint64_t match)
{
    const struct raft_inflight *mine = rows + (size_t)peer->slot * peers->inflight_msgs;
    while (peer->inflight.count > 0 && mine[sh_ring_at(&peer->inflight, 0)].index <= match) {
        uint64_t bytes = mine[sh_ring_pop(&peer->inflight)].bytes;
        SH_CHECK_CMP(bytes, <=, peer->inflight_bytes);
        peer->inflight_bytes -= bytes;
    }
}

bool raft_peer_matched(struct raft_peer *peer, uint64_t index)
{
    if (index <= peer->match) {
        return false;
    }
    peer->match = index;
    if (peer->next <= index) {
        peer->next = index + 1;
    }
    peer->flow_paused = false;
    return true;
}

bool raft_peer_refused(struct raft_peer *peer, uint64_t index, uint64_t hint)
{
    if (peer->state == RAFT_REPLICATE) {
        if (index <= peer->match) {
            return false;
        }
        set_next(peer, peer->match + 1);
        return true;
    }
    if (peer->next - 1 != index) {
        return false;
    }
    uint64_t next = index < hint + 1 ? index : hint + 1;
    set_next(peer, next > peer->match ? next : peer->match + 1);
    peer->flow_paused = false;
    return true;
}

bool raft_peer_wants_commit(const struct raft_peer *peer, uint64_t commit)
{
    return commit > peer->sent_commit && peer->sent_commit < peer->next - 1;
}

struct raft_peer_status raft_peer_status(const struct raft_peers *peers,
                                         const struct raft_peer *peer)
{
    return (struct raft_peer_status){
        .id = peer->id,
        .state = peer->state,
        .match = peer->match,
        .next = peer->next,
        .pending_snapshot = peer->pending_snapshot,
        .inflight = peer->inflight.count,
        .inflight_full = raft_peer_full(peers, peer),
        .paused = raft_peer_paused(peer),
        .active = peer->active,
        .learner = peer->learner,
    };
}

void raft_peers_check(const struct raft_peers *peers)
{
    SH_CHECK_CMP(peers->count, <=, RAFT_PEERS_MAX);
    uint64_t slots = 0;
    for (uint32_t i = 0; i < peers->count; i++) {
        const struct raft_peer *p = &peers->list[i];
        SH_CHECK_CMP(p->id, >, i > 0 ? peers->list[i - 1].id : 0);
        SH_CHECK_CMP(p->match, <, p->next);
        SH_CHECK_CMP(p->slot, <, RAFT_PEERS_MAX);
        SH_CHECK((slots >> p->slot & 1) == 0);
        slots |= UINT64_C(1) << p->slot;
        SH_CHECK_CMP(p->inflight.count, <=, peers->inflight_msgs);
        SH_CHECK(SH_IMPLIES(p->state != RAFT_REPLICATE, p->inflight.count == 0));
        SH_CHECK(SH_IMPLIES(p->state != RAFT_SNAPSHOT, p->pending_snapshot == 0));
    }
    SH_CHECK_CMP(slots, ==, peers->slots);
}
