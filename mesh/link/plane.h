/* SPDX-License-Identifier: Apache-2.0
 *
 * One plane from the inside. plane.c turns sockets into events and sends; dial.c decides when to
 * connect; session.c handles HELLO, REFUSE and BYE and says who is up. Internal to link. */
#ifndef LINK_PLANE_H
#define LINK_PLANE_H

#include "base/rng.h"
#include "link/hello.h"
#include "link/peers.h"

#define LINK_EVENTS_DIAGNOSES 256u /* diagnoses waiting; more are counted and dropped */
#define LINK_EVENTS_MAX       (2u * LINK_PEERS_MAX + LINK_EVENTS_DIAGNOSES)
#define LINK_ACCEPTS_MAX      32u
#define LINK_NAME_MAX         (SH_ADDR_MAX + 1u)

struct link_accept { /* who connected lately, for diagnoses only */
    int fd;
    struct link_addr addr;
};

struct link_plane {
    enum link_plane_id id;
    const struct link_plane_spec *spec;
    const struct trust *trust;
    const char *version;
    struct link_addr listen;
    struct link_addr advertise[LINK_PLANES];
    struct link_addr gossip;
    uint64_t idle_close_us;

    struct link_socket sides[LINK_SIDES];
    int epoll_fd;
    struct link_peers peers;
    struct sh_rng rng; /* jitter of redials */
    uint64_t deadline_us;
    uint32_t blocked; /* slots whose last send answered FULL */
    uint64_t retry_us;

    struct link_event *events; /* LINK_EVENTS_MAX */
    struct sh_ring event_ring;
    zmq_msg_t current; /* what the last LINK_MESSAGE borrowed from */
    bool has_current;
    unsigned turn;
    unsigned looks;

    struct link_wire deferred[LINK_SIDES]; /* read, to be applied after the messages before it */
    bool has_deferred[LINK_SIDES];
    bool handshake_failed; /* inbound: the next DISCONNECTED is of that connection */
    bool handshake_crypto;
    struct link_accept accepts[LINK_ACCEPTS_MAX];
    unsigned accepts_next;
    uint64_t wrong_secret_us; /* when the listener last told of one */
    struct link_stats stats;
};

/* --- plane.c -------------------------------------------------------------------------------- */
SH_MUST_USE enum sh_err link_plane_open(struct link_plane *plane, void *context);
/* BYE to everyone, then closes all. */
void link_plane_close(struct link_plane *plane, uint32_t flush_ms);
/* A new event to fill, or NULL (counted): only diagnoses can be lost. */
struct link_event *link_plane_emit(struct link_plane *plane, enum link_event_kind kind);
void link_plane_due(struct link_plane *plane, uint64_t at_us);
/* Applies every monitor event there is, so that what follows is newer than all of them. */
void link_plane_settle(struct link_plane *plane, uint64_t now_us);
/* Sends a message of link itself; best effort: the other side has deadlines. */
void link_plane_say(struct link_plane *plane, enum link_side side, const struct link_slot *slot,
                    uint16_t type, struct sh_span payload);
/* Sends what was held for the slot, as far as there is room. */
void link_plane_flush(struct link_plane *plane, struct link_slot *slot, uint64_t now_us);
void link_plane_unblock(struct link_plane *plane, struct link_slot *slot);
/* "10.0.0.7:7711", "10.0.0.7" without port, "an unknown address". */
void link_plane_name(const struct link_addr *addr, char out[static LINK_NAME_MAX]);

/* --- dial.c --------------------------------------------------------------------------------- */
enum link_dial_end { LINK_END_REFUSED, LINK_END_SILENT, LINK_END_HANDSHAKE, LINK_END_OTHER_NODE };
void link_dial_start(struct link_plane *plane, struct link_slot *slot, uint64_t now_us);
/* The dial failed before it was up. The slot may be gone afterwards. */
void link_dial_fail(struct link_plane *plane, struct link_slot *slot, uint64_t now_us,
                    enum link_dial_end end);
/* Closes the dialled connection, no event; the address may be dialled again soon. */
void link_dial_close(struct link_plane *plane, struct link_slot *slot, uint64_t now_us);
/* The next dial only after the longest back-off. */
void link_dial_rest(struct link_plane *plane, struct link_slot *slot, uint64_t now_us);
/* Redials, deadlines, idle closing; sets the next deadline. */
void link_dial_tick(struct link_plane *plane, uint64_t now_us);

/* --- session.c ------------------------------------------------------------------------------ */
/* What this agent says of itself to a peer at that address. */
void link_session_introduce(const struct link_plane *plane, const struct link_addr *peer,
                            struct link_hello *hello);
/* HELLO, REFUSE and BYE. slot: NULL on an inbound connection that said no HELLO yet. */
void link_session_take(struct link_plane *plane, enum link_side side, struct link_slot *slot,
                       const struct link_arrival *arrival, const struct frame_header *header,
                       struct sh_span payload, uint64_t now_us);
/* Gives LINK_DOWN when the slot's last connection is gone. */
void link_session_down(struct link_plane *plane, struct link_slot *slot, bool graceful);

#endif
