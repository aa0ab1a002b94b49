/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/quorum.h"

uint64_t raft_majority_index(const uint64_t *ids, uint32_t count, raft_acked_fn *acked, void *ctx)
{
    SH_CHECK_CMP(count, <=, RAFT_VOTERS_MAX);
    SH_CHECK(acked != NULL);
    if (count == 0) {
        return UINT64_MAX;
    }
    uint64_t sorted[RAFT_VOTERS_MAX]; /* ascending; a member of which nothing is known holds 0 */
    for (uint32_t i = 0; i < count; i++) {
        uint64_t index = 0;
        if (!acked(ctx, ids[i], &index)) {
            index = 0;
        }
        uint32_t at = i;
        while (at > 0 && sorted[at - 1] > index) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = index;
    }
    return sorted[count - (count / 2 + 1)];
}

enum raft_vote raft_majority_vote(const uint64_t *ids, uint32_t count, raft_ballot_fn *ballot,
                                  void *ctx)
{
    SH_CHECK_CMP(count, <=, RAFT_VOTERS_MAX);
    SH_CHECK(ballot != NULL);
    uint32_t granted = 0;
    uint32_t missing = 0;
    for (uint32_t i = 0; i < count; i++) {
        int answer = ballot(ctx, ids[i]);
        granted += answer > 0;
        missing += answer < 0;
    }
    uint32_t quorum = count == 0 ? 0 : count / 2 + 1;
    if (granted >= quorum) {
        return RAFT_VOTE_WON;
    }
    return granted + missing >= quorum ? RAFT_VOTE_PENDING : RAFT_VOTE_LOST;
}

uint64_t raft_quorum_index(const struct raft_conf *conf, raft_acked_fn *acked, void *ctx)
{
    uint64_t in = raft_majority_index(conf->voters, conf->voter_count, acked, ctx);
    uint64_t out = raft_majority_index(conf->outgoing, conf->outgoing_count, acked, ctx);
    return in < out ? in : out;
}

enum raft_vote raft_quorum_vote(const struct raft_conf *conf, raft_ballot_fn *ballot, void *ctx)
{
    enum raft_vote in = raft_majority_vote(conf->voters, conf->voter_count, ballot, ctx);
    enum raft_vote out = raft_majority_vote(conf->outgoing, conf->outgoing_count, ballot, ctx);
    if (in == out) {
        return in;
    }
    /* One side lost: the joint decision is lost, whatever the other says. Else one is open. */
    return in == RAFT_VOTE_LOST || out == RAFT_VOTE_LOST ? RAFT_VOTE_LOST : RAFT_VOTE_PENDING;
}
