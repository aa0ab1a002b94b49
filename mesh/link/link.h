/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes between agents, on three planes: control (tcp, messages up to SH_CONTROL_BYTES_MAX), bulk
 * (tcp on another port and I/O thread, messages up to LINK_BULK_BYTES_MAX) and gossip
 * (link/gossip.h, udp). A plane is one bound ROUTER and one ROUTER that only dials, whatever the
 * number of peers.
 *
 * Promises. A peer is named by its NodeID, which HELLO has bound to its CURVE key; nothing is
 * delivered before HELLO. Messages to one peer arrive in order while its connection lasts. Nothing
 * is reliable: OK from link_send means queued, and a connection that breaks loses what it held.
 * Every request needs a number, a deadline and a retry of its own. A slow or dead peer never delays
 * another one.
 *
 * Threads. Each plane belongs to the one thread that calls it; control and bulk may be two threads.
 * link_open and link_close run while nobody else uses the link.
 *
 * Loop. Put link_plane_fd into epoll (level-triggered, EPOLLIN). When it is readable, or when
 * link_deadline_us has passed: call link_next until it gives false. Before blocking ask
 * link_pending, for sending can swallow the wake-up of what arrived meanwhile. */
#ifndef LINK_LINK_H
#define LINK_LINK_H

#include "link/addr.h"
#include "trust/trust.h"
#include "wire/frame.h"

#define LINK_BULK_BYTES_MAX (SH_BULK_CHUNK_BYTES + 4096u) /* a chunk and its caller's header */
#define LINK_PEERS_MAX      1088u /* SH_NODES_MAX and addresses still being joined */
#define LINK_PENDING_MAX    32u   /* messages held for a peer while it is dialled */
#define LINK_VERSION_MAX    31u   /* characters of a program version */
#define LINK_TEXT_MAX       255u  /* characters of a diagnosis */

enum link_plane_id { LINK_CONTROL = 0, LINK_BULK = 1, LINK_PLANES = 2 };

struct link;
struct link_plane;

struct link_options {
    const struct trust *trust;   /* borrowed until link_close */
    const char *program_version; /* "0.1.0"; borrowed. NULL: this program's. Peers of another
                                  * MAJOR.MINOR are refused */
    struct link_addr listen[LINK_PLANES];    /* port 0: any free one (tests) */
    struct link_addr advertise[LINK_PLANES]; /* unspecified ip: the one used towards each peer;
                                              * port 0: the one listened on */
    struct link_addr gossip; /* what HELLO tells as the gossip address; port 0: none */
    uint64_t idle_close_us;  /* close dialled connections unused this long; 0: 60 s */
};

/* Binds both planes. IN_USE and others: why names the plane and the address. */
SH_MUST_USE enum sh_err link_open(const struct link_options *options, struct link **out,
                                  char why[static LINK_TEXT_MAX + 1]);
/* Says BYE to every peer, gives queued messages flush_ms (0: none) to leave, frees everything. */
void link_close(struct link *link, uint32_t flush_ms);
struct link_plane *link_plane_of(struct link *link, enum link_plane_id id);

int link_plane_fd(const struct link_plane *plane);
/* Address actually listened on. */
struct link_addr link_plane_addr(const struct link_plane *plane);
/* Largest payload of one message of this plane. */
uint32_t link_plane_bytes_max(const struct link_plane *plane);

enum link_event_kind {
    LINK_MESSAGE,      /* node, type, bytes */
    LINK_UP,           /* node, addr (where it is seen from), peer: the first connection is ready */
    LINK_DOWN,         /* node, graceful: the last connection is gone. A hint, not a verdict */
    LINK_UNREACHABLE,  /* addr, node if known, text: a dial failed; what was held for it is lost */
    LINK_WRONG_SECRET, /* addr if known, text: the two sides hold different cluster secrets */
    LINK_REFUSED,      /* addr, err, text: VERSION mixed program versions, CLUSTER, DENIED, STALE a
                        * second agent with one identity, CONFLICT this agent itself, LIMIT */
    LINK_WRITABLE      /* node: a send to it answered FULL before; try again */
};

struct link_peer { /* what HELLO said */
    uint64_t boot_epoch;
    char version[LINK_VERSION_MAX + 1];
    struct link_addr control; /* unspecified ips are replaced by the one it is seen from */
    struct link_addr bulk;
    struct link_addr gossip;
    struct link_addr local; /* ip of this machine towards the peer; port 0 */
};

struct link_event {
    enum link_event_kind kind;
    bool node_known;
    bool graceful;
    uint8_t node[SH_NODE_ID_BYTES];
    struct link_addr addr;
    uint16_t type;        /* enum frame_type */
    struct sh_span bytes; /* borrowed until the next call on this plane */
    struct link_peer peer;
    enum sh_err err;
    char text[LINK_TEXT_MAX + 1]; /* one line for the operator */
};

/* Next event, or false: nothing now. Only the fields named for its kind are set. Also does what is
 * due: redials, deadlines, idle closing. */
bool link_next(struct link_plane *plane, uint64_t now_us, struct link_event *out);
/* True when link_next has something now although the descriptor may not say so. */
bool link_pending(struct link_plane *plane);
/* When link_next must be called even if the descriptor stays silent; UINT64_MAX: never. */
uint64_t link_deadline_us(const struct link_plane *plane);

/* Dials an address whose agent is not known yet (joining) and again, backing off 0.1 to 5 s, until
 * it is up once or link_forget_addr. OK also when it is dialled already. FULL: table full. */
SH_MUST_USE enum sh_err link_connect(struct link_plane *plane, uint64_t now_us,
                                     const struct link_addr *addr);
void link_forget_addr(struct link_plane *plane, const struct link_addr *addr);
/* Where to dial a node when there is something to send to it. FULL: table full. */
SH_MUST_USE enum sh_err link_set_addr(struct link_plane *plane,
                                      const uint8_t node[static SH_NODE_ID_BYTES],
                                      const struct link_addr *addr);
/* Closes what is dialled to the node and forgets its address; an inbound connection stays usable.
 */
void link_forget(struct link_plane *plane, const uint8_t node[static SH_NODE_ID_BYTES]);
bool link_is_up(const struct link_plane *plane, const uint8_t node[static SH_NODE_ID_BYTES]);

/* Queues one message, head then body (either may be empty; both are copied). Dials when there is no
 * connection and holds up to LINK_PENDING_MAX messages meanwhile. FULL: not queued, LINK_WRITABLE
 * follows. UNREACHABLE: not queued: no address is known, or the last dial failed and the next is
 * not due. LIMIT: larger than the plane takes. INVALID: node is this agent. Never blocks. */
SH_MUST_USE enum sh_err link_send(struct link_plane *plane, uint64_t now_us,
                                  const uint8_t node[static SH_NODE_ID_BYTES], uint16_t type,
                                  struct sh_span head, struct sh_span body);

/* The same in two steps, so that another thread can make what the plane's thread sends, and what
 * was answered with FULL need not be copied again. */
struct link_message {
    uint64_t opaque[8];
};
/* Any thread. LIMIT, NO_MEMORY: there is no message. */
SH_MUST_USE enum sh_err link_message_make(struct link_message *out, const struct link_plane *plane,
                                          uint16_t type, struct sh_span head, struct sh_span body);
/* As link_send; after OK the message is empty. */
SH_MUST_USE enum sh_err link_pass(struct link_plane *plane, uint64_t now_us,
                                  const uint8_t node[static SH_NODE_ID_BYTES],
                                  struct link_message *message);
void link_message_drop(struct link_message *message); /* empty or not */

struct link_stats { /* counted since link_open */
    uint64_t sent;
    uint64_t sent_bytes;
    uint64_t received;
    uint64_t received_bytes;
    uint64_t full;        /* sends answered FULL */
    uint64_t unreachable; /* sends answered UNREACHABLE */
    uint64_t dials;
    uint64_t dials_failed;
    uint64_t before_hello; /* messages dropped: their sender had not said HELLO */
    uint64_t malformed;    /* messages dropped: not a frame, or not of this plane */
    uint64_t wrong_secret;
    uint64_t refused;
    uint64_t events_lost; /* diagnoses dropped because nobody fetched them */
};
struct link_stats link_plane_stats(const struct link_plane *plane);

#endif
