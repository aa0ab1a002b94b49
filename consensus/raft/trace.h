/* SPDX-License-Identifier: Apache-2.0
 *
 * What a core has just decided, for logs, time lines and tests. Delivered synchronously from inside
 * raft_step; the receiver must not call back into the core. */
#ifndef RAFT_TRACE_H
#define RAFT_TRACE_H

#include "raft/raft.h"

enum raft_trace_type {
    RAFT_TRACE_INIT, /* index: applied */
    RAFT_TRACE_FOLLOWER,
    RAFT_TRACE_PRE_CANDIDATE,
    RAFT_TRACE_CANDIDATE,
    RAFT_TRACE_LEADER,
    RAFT_TRACE_ELECTION,     /* starts a new election */
    RAFT_TRACE_UNPROMOTABLE, /* cannot campaign: no voter, or state is being installed */
    RAFT_TRACE_CONF_PENDING, /* does not campaign: a committed change waits to be applied */
    RAFT_TRACE_VOTE_ASKED,   /* message, peer: to; index, log_term: of the last entry */
    RAFT_TRACE_VOTE_CAST,    /* message; index, log_term: own last entry */
    RAFT_TRACE_VOTE_REFUSED,
    RAFT_TRACE_VOTE_IGNORED,   /* the leader's lease lasts count more time units */
    RAFT_TRACE_BALLOT,         /* peer; type; reject */
    RAFT_TRACE_TALLY,          /* index: granted; count: refused; type */
    RAFT_TRACE_HIGHER_TERM,    /* message */
    RAFT_TRACE_LOWER_TERM,     /* message ignored */
    RAFT_TRACE_CONFLICT,       /* index; term: existing; log_term: conflicting */
    RAFT_TRACE_REPLACE,        /* index: entries from here on are replaced */
    RAFT_TRACE_APP_REFUSED,    /* message; log_term: own term at message->index, 0: none */
    RAFT_TRACE_APP_REJECTED,   /* leader: message is the refusal */
    RAFT_TRACE_PROBE_BACK,     /* leader: peer, decreased to next */
    RAFT_TRACE_SNAPSHOT_SENT,  /* peer; index; log_term */
    RAFT_TRACE_SNAPSHOT_PAUSE, /* peer */
    RAFT_TRACE_SNAPSHOT_DONE,  /* peer recovered */
    RAFT_TRACE_RESTORE,        /* index, log_term: starts to restore */
    RAFT_TRACE_RESTORED,
    RAFT_TRACE_CONF,         /* conf took effect */
    RAFT_TRACE_CONF_REFUSED, /* change; reason; index != 0: pending index */
    RAFT_TRACE_AUTO_LEAVE,
    RAFT_TRACE_QUORUM_LOST,
    RAFT_TRACE_FORGET_LEADER, /* peer */
    RAFT_TRACE_NO_LEADER,     /* proposal dropped */
    RAFT_TRACE_TRANSFER,      /* peer */
    RAFT_TRACE_TIMEOUT_SENT,  /* peer */
    RAFT_TRACE_TIMEOUT_NOW,   /* message */
    RAFT_TRACE_UNREACHABLE,   /* peer */
    RAFT_TRACE_DROPPED,       /* message contradicts what is committed, or makes no sense */
};

struct raft_trace {
    enum raft_trace_type type;
    enum raft_msg_type message_type;
    uint64_t id;
    uint64_t term; /* the core's, unless said otherwise */
    uint64_t peer;
    uint64_t index;
    uint64_t log_term;
    uint64_t count;
    bool reject;
    const char *reason;
    const struct raft_msg *message;
    const struct raft_conf *conf;
    const struct raft_conf_change *change;
    const struct raft_peer_status *progress;
};

#endif
