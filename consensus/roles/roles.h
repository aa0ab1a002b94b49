/* SPDX-License-Identifier: Apache-2.0
 *
 * Which agents vote. A pure function from the agents and the present Raft configuration to the next
 * single change, or none. The leader calls it about every second and proposes what it says; at most
 * one change is in flight. Voters: 1 below 3 agents, 3 below 7, 5 from 7 on, 7 from 9 on where the
 * limits allow it. The group holds up to ROLES_MEMBERS_MAX agents, however many there are; members
 * that do not vote are learners, and the best two of them stand by: they vote next.
 *
 * A new agent enters as a learner and votes only once it has caught up. A voter that is dead for
 * dead_us, is leaving or has left is replaced by a learner in one joint change. The dead count as
 * agents: a failure never shrinks the electorate. A change is proposed only when a majority of the
 * present and of the next voters is alive and in sync, and never to an even number of voters.
 *
 * Better is, in this order: a failure domain that holds fewer voters; a faster disk; a nearer
 * agent; one that is up for longer; one admitted earlier. Latencies are compared by powers of two
 * from 1 ms on, so that noise decides nothing. What nobody is forced to do, fewer voters than there
 * are well ones or a better voter in the place of a well one, is a voluntary move: wished for
 * without a break for wish_us, one in move_us, and for latency's sake only over two such powers.
 * (Rules after raft-autopilot's promoter and dqlite's roles; what differs is joint replacement and
 * that a wish must last.) */
#ifndef SH_ROLES_H
#define SH_ROLES_H

#include "base/err.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define ROLES_MEMBERS_MAX  32u /* voters and learners of one Raft group */
#define ROLES_OPS_MAX      16u /* all voters replaced at once */
#define ROLES_STANDBYS_MAX 2u

enum roles_presence { ROLES_ALIVE = 0, ROLES_DEAD = 1, ROLES_LEAVING = 2, ROLES_LEFT = 3 };

struct roles_node {
    uint64_t handle; /* raft id, not 0, distinct */
    enum roles_presence presence;
    uint64_t since_us;     /* of the present presence */
    uint64_t match;        /* newest log index known to be durable there; 0: unknown */
    uint64_t domain;       /* agents that fail together have one number; 0: fails alone */
    uint32_t fsync_p99_us; /* of its disk; 0: unknown, which comes after every figure */
    uint32_t rtt_p99_us;   /* from the leader to it; 0: unknown, likewise */
};

struct roles_input {
    uint64_t now_us;
    uint64_t leader;     /* own handle */
    uint64_t last_index; /* of the leader's log */
    bool in_flight;      /* a change is proposed and not committed, or the configuration is joint */
    const struct roles_node
        *nodes; /* admitted agents; a member that is not among them counts as LEFT */
    uint32_t node_count;
    uint64_t voters[SH_VOTERS_MAX];
    uint32_t voter_count;
    uint64_t learners[ROLES_MEMBERS_MAX];
    uint32_t learner_count;
};

struct roles_limits {
    uint64_t dead_us;    /* a dead voter is replaced after this */
    uint64_t stable_us;  /* a learner must be alive this long to be promoted */
    uint64_t wish_us;    /* a voluntary move must be wished for this long */
    uint64_t move_us;    /* between two of them */
    uint64_t lag_max;    /* entries it may be behind to count as caught up */
    uint32_t voters_max; /* odd, 1 to SH_VOTERS_MAX */
};

struct roles_limits roles_limits_default(void); /* 10 s, 1 s, 30 s, 60 s, 64 entries, 5 */

enum roles_op_type {
    ROLES_ADD_VOTER = 0,   /* also promotes a learner */
    ROLES_ADD_LEARNER = 1, /* also demotes a voter */
    ROLES_REMOVE = 2
};

struct roles_op {
    enum roles_op_type type;
    uint64_t handle;
};

#define ROLES_CAUSE_MAP(X)                                                                         \
    X(0, NONE, "nothing to change")                                                                \
    X(1, IN_FLIGHT, "a change is in flight")                                                       \
    X(2, NO_MAJORITY, "too few voters are alive and in sync to change anything safely")            \
    X(3, JOIN, "a new agent follows the log")                                                      \
    X(4, PROMOTE, "more agents vote")                                                              \
    X(5, REPLACE, "a voter is replaced")                                                           \
    X(6, SHRINK, "fewer agents vote")                                                              \
    X(7, LEAVE, "an agent that left is taken out")                                                 \
    X(8, HAND_OVER, "another agent votes so that the leader can leave")                            \
    X(9, TRANSFER, "leadership moves so that the leader can leave")                                \
    X(10, MEMBERS_FULL, "the group has as many members as it may")                                 \
    X(11, WISH, "another electorate would be better, if that lasts")                               \
    X(12, IMPROVE, "a better voter takes the place of another")

enum roles_cause {
#define X(number, name, text) ROLES_CAUSE_##name = number,
    ROLES_CAUSE_MAP(X)
#undef X
        ROLES_CAUSE_COUNT = 13
};

/* One op: a simple change; several: one joint change. TRANSFER has no op and names transfer_to. */
struct roles_change {
    enum roles_cause cause;
    uint32_t op_count;
    struct roles_op ops[ROLES_OPS_MAX];
    uint64_t transfer_to;
    uint32_t standby_count; /* who would vote next, the best first; not told while in flight */
    uint64_t standbys[ROLES_STANDBYS_MAX];
};

/* What one leader remembers from call to call; all else is in the input. */
struct roles_memory {
    uint64_t moved_us;  /* the newest voluntary move; when it took office: another may have moved */
    uint64_t wished_us; /* since when the same move is wished for */
    uint64_t wish_in;
    uint64_t wish_out; /* 0: no wish */
};

struct roles_memory roles_memory_new(uint64_t now_us); /* of a new leader */

/* O(nodes x members). Panics when counts break the limits or the leader is not among the nodes. A
 * voluntary move counts as made once it is answered here. */
void roles_plan(const struct roles_input *input, const struct roles_limits *limits,
                struct roles_memory *memory, struct roles_change *change);

/* 1, 3, 5 or 7 (at most voters_max). */
uint32_t roles_voters_target(uint32_t agents, uint32_t voters_max);
const char *roles_cause_text(uint32_t cause);

#endif
