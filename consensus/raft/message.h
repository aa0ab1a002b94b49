/* SPDX-License-Identifier: Apache-2.0
 *
 * Log entries and the messages between members, with their wire form. */
#ifndef RAFT_MESSAGE_H
#define RAFT_MESSAGE_H

#include "raft/conf.h"

#define RAFT_ENTRY_BYTES_MAX  524288u /* payload of one entry */
#define RAFT_MSG_ENTRIES_MAX  1024u   /* entries in one message */
#define RAFT_MSG_OVERHEAD_MAX 1024u   /* bytes of an encoded message beside its entries */
#define RAFT_ENTRY_OVERHEAD   24u     /* bytes of an encoded entry beside its payload, at most */

enum raft_entry_type {
    RAFT_ENTRY_NORMAL = 0, /* opaque to raft; empty at the start of each term */
    RAFT_ENTRY_CONF = 1,   /* payload: raft_conf_change */
};

struct raft_entry {
    uint64_t term;
    uint64_t index;
    enum raft_entry_type type;
    uint32_t size;
    const uint8_t *data; /* borrowed; owner and lifetime as said where the entry stands */
};

/* A state machine at an index: everything up to it is contained. */
struct raft_snapshot {
    uint64_t index;
    uint64_t term;
    struct raft_conf conf; /* as of index */
};

enum raft_msg_type {
    RAFT_MSG_APP = 1,
    RAFT_MSG_APP_RESP = 2,
    RAFT_MSG_HEARTBEAT = 3,
    RAFT_MSG_HEARTBEAT_RESP = 4,
    RAFT_MSG_VOTE = 5,
    RAFT_MSG_VOTE_RESP = 6,
    RAFT_MSG_PREVOTE = 7,
    RAFT_MSG_PREVOTE_RESP = 8,
    RAFT_MSG_SNAP = 9,
    RAFT_MSG_TIMEOUT_NOW = 10,
    RAFT_MSG_READ_INDEX = 11,
    RAFT_MSG_READ_INDEX_RESP = 12,
    RAFT_MSG_PROP = 13,
    RAFT_MSG_TRANSFER = 14,
};

struct raft_msg {
    enum raft_msg_type type;
    uint64_t from;
    uint64_t to;
    uint64_t term;     /* 0 only in PROP, READ_INDEX and TRANSFER */
    uint64_t log_term; /* APP: term at index; votes: of the last entry; APP_RESP refused: hint's */
    uint64_t index;    /* APP: entry before entries[0]; APP_RESP: last matching, or refused, index;
                          votes: last entry; READ_INDEX_RESP: the read position */
    uint64_t commit;   /* of the sender; HEARTBEAT: no more than the receiver holds */
    uint64_t hint;     /* APP_RESP refused: where the logs may agree */
    uint64_t ctx;      /* HEARTBEAT(_RESP): read round; READ_INDEX(_RESP): caller's number;
                          TRANSFER: the member to lead */
    bool reject;
    bool force; /* votes: sent on the leader's request, so leases do not count */
    uint32_t entry_count;
    const struct raft_entry *entries;
    struct raft_snapshot snapshot; /* SNAP only */

    /* Not on the wire. May leave once everything up to this token is durable; 0: at once. */
    uint64_t after;
};

/* Upper bound of the encoded size of msg. */
size_t raft_msg_bound(const struct raft_msg *msg);
/* Bytes written, 0 when size is too small. Versioned, little-endian. */
size_t raft_msg_encode(const struct raft_msg *msg, void *buffer, size_t size);
/* Never panics, whatever the bytes. CORRUPT: damaged; VERSION: from a later program; LIMIT: more
 * than entry_max entries or a payload above RAFT_ENTRY_BYTES_MAX. On OK msg->entries is the
 * caller's array, whose payloads borrow the buffer; CONF payloads decode; indexes are consecutive
 * from msg->index + 1 and terms do not fall (APP). O(size). */
SH_MUST_USE enum sh_err raft_msg_decode(const void *bytes, size_t size, struct raft_entry *entries,
                                        uint32_t entry_max, struct raft_msg *msg);

#endif
