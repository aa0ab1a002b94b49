/* SPDX-License-Identifier: Apache-2.0
 *
 * Who belongs to the group, and the algebra of changing it: simple changes (at most one voter
 * differs) and joint consensus (Ongaro's dissertation, 4.3, with learners as in 4.2.1). Pure
 * functions over values; etcd's published confchange scripts are the examiner. */
#ifndef RAFT_CONF_H
#define RAFT_CONF_H

#include "base/bytes.h"
#include "base/limits.h"

#define RAFT_VOTERS_MAX       SH_VOTERS_MAX /* of one side; a joint configuration has two sides */
#define RAFT_LEARNERS_MAX     32u
#define RAFT_PEERS_MAX        (2u * RAFT_VOTERS_MAX + RAFT_LEARNERS_MAX)
#define RAFT_CHANGES_MAX      48u  /* single changes in one proposal */
#define RAFT_CONF_BYTES_MAX   512u /* an encoded raft_conf */
#define RAFT_CHANGE_BYTES_MAX 512u /* an encoded raft_conf_change */

/* Members in ascending order of id, no id twice, none 0. */
struct raft_conf {
    uint64_t voters[RAFT_VOTERS_MAX];   /* the incoming side */
    uint64_t outgoing[RAFT_VOTERS_MAX]; /* not empty only while joint */
    uint64_t learners[RAFT_LEARNERS_MAX];
    uint64_t learners_next[RAFT_VOTERS_MAX]; /* outgoing voters that become learners on leaving */
    uint8_t voter_count;
    uint8_t outgoing_count;
    uint8_t learner_count;
    uint8_t learner_next_count;
    bool auto_leave; /* the leader itself proposes to leave as soon as the joint state is applied */
};

enum raft_change_type {
    RAFT_ADD_VOTER = 1,
    RAFT_ADD_LEARNER = 2, /* a voter given here is demoted */
    RAFT_REMOVE = 3,
    RAFT_UPDATE = 4, /* changes nothing: orders a host's own facts with membership changes */
};

struct raft_change {
    enum raft_change_type type;
    uint64_t id; /* 0: the change is skipped */
};

enum raft_transition {
    RAFT_AUTO = 0,     /* simple if that is possible, else joint and left by the leader itself */
    RAFT_IMPLICIT = 1, /* joint, left by the leader itself */
    RAFT_EXPLICIT = 2, /* joint, left by a later proposal with no changes */
};

/* Payload of an entry of type CONF. AUTO with count 0 means: leave the joint configuration. */
struct raft_conf_change {
    enum raft_transition transition;
    uint32_t count;
    struct raft_change changes[RAFT_CHANGES_MAX];
};

/* Why a change was not possible; text for a person. */
enum raft_conf_err {
    RAFT_CONF_OK = 0,
    RAFT_CONF_ALREADY_JOINT,   /* "config is already joint" */
    RAFT_CONF_NOT_JOINT,       /* "can't leave a non-joint config" */
    RAFT_CONF_ZERO_JOINT,      /* "can't make a zero-voter config joint" */
    RAFT_CONF_JOINT_SIMPLE,    /* "can't apply simple config change in joint config" */
    RAFT_CONF_NO_VOTERS,       /* "removed all voters" */
    RAFT_CONF_MANY_CHANGED,    /* "more than one voter changed without entering joint config" */
    RAFT_CONF_TOO_MANY_VOTERS, /* above RAFT_VOTERS_MAX */
    RAFT_CONF_TOO_MANY_LEARNERS,
};
const char *raft_conf_err_text(enum raft_conf_err err);

/* Each writes *out only on OK; out may be in. O(members + changes). */
enum raft_conf_err raft_conf_simple(const struct raft_conf *in, const struct raft_change *changes,
                                    uint32_t count, struct raft_conf *out);
enum raft_conf_err raft_conf_enter_joint(const struct raft_conf *in, bool auto_leave,
                                         const struct raft_change *changes, uint32_t count,
                                         struct raft_conf *out);
enum raft_conf_err raft_conf_leave_joint(const struct raft_conf *in, struct raft_conf *out);
/* What applying a CONF entry does: leave, enter joint, or simple. */
enum raft_conf_err raft_conf_apply(const struct raft_conf *in,
                                   const struct raft_conf_change *change, struct raft_conf *out);

bool raft_conf_joint(const struct raft_conf *conf);
bool raft_conf_voter(const struct raft_conf *conf, uint64_t id); /* on either side */
bool raft_conf_learner(const struct raft_conf *conf, uint64_t id);
/* Every member once, ascending; out holds RAFT_PEERS_MAX. Returns how many. */
uint32_t raft_conf_members(const struct raft_conf *conf, uint64_t out[static RAFT_PEERS_MAX]);
bool raft_conf_equal(const struct raft_conf *a, const struct raft_conf *b);
/* Asserts the invariants above and: learners are not voters, learners_next is within outgoing. */
void raft_conf_check(const struct raft_conf *conf);

/* Versioned, little-endian. Encoding panics when the writer is full: give it *_BYTES_MAX.
 * Decoding answers CORRUPT or VERSION and leaves *out alone; what it accepts passes conf_check. */
void raft_conf_encode(const struct raft_conf *conf, struct sh_writer *w);
SH_MUST_USE enum sh_err raft_conf_decode(struct sh_reader *r, struct raft_conf *out);
void raft_conf_change_encode(const struct raft_conf_change *change, struct sh_writer *w);
SH_MUST_USE enum sh_err raft_conf_change_decode(struct sh_reader *r, struct raft_conf_change *out);

#endif
