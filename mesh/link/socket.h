/* SPDX-License-Identifier: Apache-2.0
 *
 * libzmq sockets of one plane: options, sending, receiving, monitor events. Internal to link.
 *
 * What libzmq 4.3.4 needs of us. Options are set before bind and connect. Only a socket that never
 * binds dials, each time under a fresh random routing id: one that is in use aborts the process,
 * and inbound peers choose theirs. MANDATORY and DONTWAIT always: else messages vanish or sends
 * hang. Metadata is read from the payload part, for polling strips it from the routing id. No
 * socket without CURVE faces the network. ZAP_DOMAIN is set, so that without ZAP nobody gets in. */
#ifndef LINK_SOCKET_H
#define LINK_SOCKET_H

#include "link/link.h"

#include <zmq.h>

#define LINK_RID_MAX  16u                    /* routing id bytes we take from a peer */
#define LINK_USER_HEX (2u * TRUST_KEY_BYTES) /* CURVE key of a client, as ZAP gives it */
#define LINK_NO_FD    (-1)

enum link_side { LINK_IN = 0, LINK_OUT = 1, LINK_SIDES = 2 };

struct link_plane_spec {
    const char *name;
    uint32_t frame_plane; /* FRAME_CONTROL or FRAME_BULK */
    uint32_t bytes_max;   /* payload of one message */
    uint64_t io_thread;   /* affinity mask */
    int hwm;              /* messages queued each way, per connection */
    int heartbeat_ms;
    int heartbeat_timeout_ms;
    int tos;
};
extern const struct link_plane_spec link_plane_specs[LINK_PLANES];

/* Asking libzmq whether there is input costs three system calls, so what it said last is kept: a
 * quiet one has nothing to receive, and nothing was done to it since that could have swallowed the
 * signal of its descriptor. Who sees that readable sets it to false. */
struct link_socket {
    void *socket;
    void *monitor;
    bool quiet;
    bool monitor_quiet;
};

/* Opens the ROUTER of one side with all its options and its monitor; not bound yet. */
SH_MUST_USE enum sh_err link_socket_open(struct link_socket *s, void *context,
                                         const struct trust *trust, enum link_plane_id plane,
                                         enum link_side side);
void link_socket_close(struct link_socket *s, int linger_ms);
/* Listens; addr with port 0 becomes the one chosen. */
SH_MUST_USE enum sh_err link_socket_bind(struct link_socket *s, struct link_addr *addr);
/* Dials under a routing id that was never used before. */
SH_MUST_USE enum sh_err link_socket_dial(struct link_socket *s, const struct link_addr *addr,
                                         const uint8_t rid[static LINK_RID_MAX]);
void link_socket_undial(struct link_socket *s, const struct link_addr *addr);

/* A message of this plane, not sent yet; NO_MEMORY. */
SH_MUST_USE enum sh_err link_socket_message(zmq_msg_t *out, uint16_t type, struct sh_span head,
                                            struct sh_span body,
                                            const uint8_t cluster[static SH_CLUSTER_ID_BYTES]);
/* Takes the message when OK. FULL, or UNREACHABLE when the connection is gone. */
SH_MUST_USE enum sh_err link_socket_send(struct link_socket *s, const uint8_t *rid, size_t rid_size,
                                         zmq_msg_t *message);

struct link_arrival {
    uint8_t rid[LINK_RID_MAX];
    size_t rid_size;    /* 0: from a peer with a routing id we do not take; drop it */
    zmq_msg_t *message; /* the caller's, filled */
    bool whole;         /* exactly one part after the routing id */
};
/* One message without waiting; false: none. On true the caller closes message. */
bool link_socket_receive(struct link_socket *s, struct link_arrival *out, zmq_msg_t *message);
/* Whether there is a message or a monitor event, by asking. */
bool link_socket_pending(struct link_socket *s);
bool link_socket_quiet(const struct link_socket *s); /* both, by what is known */

enum link_wire_kind {
    LINK_WIRE_OTHER,
    LINK_WIRE_CONNECTED,    /* fd */
    LINK_WIRE_DISCONNECTED, /* fd */
    LINK_WIRE_NOT_CONNECTED,
    LINK_WIRE_HANDSHAKE_FAILED
};
struct link_wire {
    enum link_wire_kind kind;
    int fd;
    bool crypto;           /* HANDSHAKE_FAILED: the other side's first box did not open */
    struct link_addr addr; /* dialled address, or the one listened on */
};
/* One monitor event without waiting; false: none. */
bool link_socket_watch(struct link_socket *s, struct link_wire *out);

#endif
