/* SPDX-License-Identifier: Apache-2.0
 *
 * What a majority, or both majorities of a joint configuration, agree on. Pure functions; etcd's
 * published quorum scripts are the examiner. */
#ifndef RAFT_QUORUM_H
#define RAFT_QUORUM_H

#include "raft/conf.h"

enum raft_vote { RAFT_VOTE_PENDING, RAFT_VOTE_LOST, RAFT_VOTE_WON };

/* The index that member id is known to hold; false: nothing known of it. */
typedef bool raft_acked_fn(void *ctx, uint64_t id, uint64_t *index);
/* 1 granted, 0 refused, -1 not answered. */
typedef int raft_ballot_fn(void *ctx, uint64_t id);

/* Highest index held by a majority of ids[0..count), which has at most RAFT_VOTERS_MAX members.
 * UINT64_MAX when count is 0, so that an empty side never limits a joint decision. */
uint64_t raft_majority_index(const uint64_t *ids, uint32_t count, raft_acked_fn *acked, void *ctx);
/* WON when count is 0. */
enum raft_vote raft_majority_vote(const uint64_t *ids, uint32_t count, raft_ballot_fn *ballot,
                                  void *ctx);

/* Both sides of the configuration. */
uint64_t raft_quorum_index(const struct raft_conf *conf, raft_acked_fn *acked, void *ctx);
enum raft_vote raft_quorum_vote(const struct raft_conf *conf, raft_ballot_fn *ballot, void *ctx);

#endif
