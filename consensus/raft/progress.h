/* SPDX-License-Identifier: Apache-2.0
 *
 * What a member knows of every member: replication progress with its flow control (probe,
 * replicate, snapshot), and ballots. Inside of the raft module; see core.h. */
#ifndef RAFT_PROGRESS_H
#define RAFT_PROGRESS_H

#include "base/ring.h"
#include "raft/raft.h"

struct raft_inflight {
    uint64_t index; /* last entry of the message */
    uint64_t bytes;
};

struct raft_peer {
    uint64_t id;
    uint8_t slot; /* its rows of the in-flight array */
    enum raft_progress_state state;
    bool flow_paused; /* wait for an answer before the next message */
    bool active;      /* heard from since the last quorum check */
    bool learner;
    int ballot; /* 1 granted, 0 refused, -1 none */
    uint64_t match;
    uint64_t next;
    uint64_t pending_snapshot;
    uint64_t sent_commit;
    uint64_t read_round;   /* newest read round answered */
    uint64_t read_request; /* log read under way for it; 0: none */
    uint64_t inflight_bytes;
    uint64_t beat_at; /* its newest answer to a heartbeat; 0: none yet */
    struct sh_ring inflight;
};

struct raft_peers {
    uint32_t count;
    uint32_t inflight_msgs;                /* limit per peer */
    uint64_t inflight_bytes;               /* limit per peer, 0: none */
    uint64_t slots;                        /* bit s: slot s is taken */
    struct raft_peer list[RAFT_PEERS_MAX]; /* ascending by id */
};

void raft_peers_init(struct raft_peers *peers, const struct raft_limits *limits);
/* Members that stay keep their progress; new ones start probing at last (at least 1). */
void raft_peers_follow(struct raft_peers *peers, const struct raft_conf *conf, uint64_t last);
struct raft_peer *raft_peer_of(struct raft_peers *peers, uint64_t id); /* NULL: no member */
const struct raft_peer *raft_peer_at(const struct raft_peers *peers, uint64_t id);

/* Moves between the three states; the in-flight window empties. */
void raft_peer_probe(struct raft_peer *peer);
void raft_peer_replicate(struct raft_peer *peer);
void raft_peer_snapshot(struct raft_peer *peer, uint64_t index);
void raft_peer_reset(struct raft_peer *peer, uint64_t match, uint64_t next);

bool raft_peer_paused(const struct raft_peer *peer);
bool raft_peer_full(const struct raft_peers *peers, const struct raft_peer *peer);
/* rows: the in-flight array, inflight_msgs per slot. A message with count entries left. */
void raft_peer_sent(const struct raft_peers *peers, struct raft_peer *peer,
                    struct raft_inflight *rows, uint32_t count, uint64_t bytes);
/* Everything up to match is acknowledged. */
void raft_peer_free(const struct raft_peers *peers, struct raft_peer *peer,
                    const struct raft_inflight *rows, uint64_t match);
/* False: nothing new. */
bool raft_peer_matched(struct raft_peer *peer, uint64_t index);
/* index was refused and the logs may agree at hint. False: an old answer. */
bool raft_peer_refused(struct raft_peer *peer, uint64_t index, uint64_t hint);
/* Telling this commit index may move the member's own on. */
bool raft_peer_wants_commit(const struct raft_peer *peer, uint64_t commit);
struct raft_peer_status raft_peer_status(const struct raft_peers *peers,
                                         const struct raft_peer *peer);
void raft_peers_check(const struct raft_peers *peers);

#endif
