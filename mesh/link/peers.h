/* SPDX-License-Identifier: Apache-2.0
 *
 * Table of peers of one plane: who they are, how they are connected, what waits for them. Internal
 * to link; changes no socket. */
#ifndef LINK_PEERS_H
#define LINK_PEERS_H

#include "base/map.h"
#include "base/ring.h"
#include "link/socket.h"

enum link_dial { LINK_DIAL_NONE, LINK_DIAL_WAITING /* for HELLO */, LINK_DIAL_UP };

struct link_slot {
    bool used;
    bool known;   /* node is set; else an address that is being joined */
    bool wanted;  /* redial until it is up once (link_connect) */
    bool up;      /* LINK_UP was given, LINK_DOWN not yet */
    bool blocked; /* a send answered FULL */
    bool prefer_in;
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t boot_epoch;
    bool has_addr;
    struct link_addr addr; /* where to dial */

    enum link_dial dial;
    uint8_t out_rid[LINK_RID_MAX];
    uint8_t challenge[32];
    struct link_addr dialled;
    int out_fd;
    bool handshake_failed;  /* of the present dial */
    unsigned wrong_secrets; /* dials in a row that ended so */
    unsigned failures;      /* dials in a row that failed */
    uint64_t dial_deadline_us;
    uint64_t next_dial_us;
    uint64_t backoff_us;
    uint64_t out_used_us;

    bool in_up;
    uint8_t in_rid[LINK_RID_MAX];
    size_t in_rid_size;
    int in_fd;
    char in_user[LINK_USER_HEX + 1];

    struct sh_ring pending_ring;
    zmq_msg_t pending[LINK_PENDING_MAX];
};

struct link_peers {
    struct link_slot *slots; /* LINK_PEERS_MAX */
    uint32_t high;           /* slots beyond were never used */
    void *memory;            /* of the maps */
    struct sh_map by_node;
    struct sh_map by_rid; /* routing ids of both sides */
    uint64_t seed;        /* so that nobody can choose colliding ids */
};

SH_MUST_USE enum sh_err link_peers_init(struct link_peers *p);
/* Closes what is pending. */
void link_peers_free(struct link_peers *p);

struct link_slot *link_peers_by_node(const struct link_peers *p,
                                     const uint8_t node[static SH_NODE_ID_BYTES]);
struct link_slot *link_peers_by_rid(const struct link_peers *p, enum link_side side,
                                    const uint8_t *rid, size_t size);
/* The slot dialled at this address now, else NULL. O(slots). */
struct link_slot *link_peers_dialled(const struct link_peers *p, const struct link_addr *addr);
/* The slot whose inbound connection has this descriptor, else NULL. O(slots). */
struct link_slot *link_peers_by_fd(const struct link_peers *p, int fd);
/* A new slot without node; NULL when all are in use and none is idle (no connection, nothing
 * waiting), else an idle one of a known node is given up for it. */
struct link_slot *link_peers_add(struct link_peers *p);
/* FULL when the node cannot be entered. */
SH_MUST_USE enum sh_err link_peers_name(struct link_peers *p, struct link_slot *slot,
                                        const uint8_t node[static SH_NODE_ID_BYTES]);
void link_peers_remove(struct link_peers *p, struct link_slot *slot);

SH_MUST_USE enum sh_err link_peers_set_rid(struct link_peers *p, struct link_slot *slot,
                                           enum link_side side, const uint8_t *rid, size_t size);
void link_peers_clear_rid(struct link_peers *p, struct link_slot *slot, enum link_side side);
void link_slot_drop_pending(struct link_slot *slot);

#endif
