/* SPDX-License-Identifier: Apache-2.0
 *
 * The gossip plane: one UDP socket, every datagram sealed by trust. Lossy, unordered, never blocks.
 * Belongs to one thread. Put link_gossip_fd into epoll and call link_gossip_next until false. */
#ifndef LINK_GOSSIP_H
#define LINK_GOSSIP_H

#include "link/link.h"

#define LINK_GOSSIP_BYTES_MAX                                                                      \
    1400u /* payload; sealed it still fits an Ethernet frame over IPv4                             \
           */

struct link_gossip;

struct link_gossip_options {
    const struct trust *trust; /* borrowed until link_gossip_close */
    struct link_addr listen;   /* port 0: any free one */
};

/* IN_USE and others: why names the plane and the address. */
SH_MUST_USE enum sh_err link_gossip_open(const struct link_gossip_options *options,
                                         struct link_gossip **out,
                                         char why[static LINK_TEXT_MAX + 1]);
void link_gossip_close(struct link_gossip *gossip);
int link_gossip_fd(const struct link_gossip *gossip);
struct link_addr link_gossip_addr(const struct link_gossip *gossip);

/* FULL: the socket buffer is full, drop it or try later. UNREACHABLE: no route. LIMIT: too large.
 */
SH_MUST_USE enum sh_err link_gossip_send(struct link_gossip *gossip, const struct link_addr *to,
                                         struct sh_span payload);

enum link_gossip_kind {
    LINK_GOSSIP_DATA,   /* from, node, boot_epoch, bytes */
    LINK_GOSSIP_CLOSED, /* from: ICMP says that nobody listens there (a hint, can be forged) */
    LINK_GOSSIP_DENIED  /* from: a datagram under another secret, at most one event a second */
};

struct link_gossip_event {
    enum link_gossip_kind kind;
    struct link_addr from;
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t boot_epoch;
    struct sh_span bytes; /* borrowed until the next call */
};
bool link_gossip_next(struct link_gossip *gossip, uint64_t now_us, struct link_gossip_event *out);

struct link_gossip_stats {
    uint64_t sent;
    uint64_t sent_bytes; /* UDP payload, sealed */
    uint64_t received;
    uint64_t received_bytes;
    uint64_t full;
    uint64_t denied;    /* another secret or tampered with */
    uint64_t stale;     /* replayed or of an earlier life */
    uint64_t malformed; /* not a datagram of shoal, or of a later version */
};
struct link_gossip_stats link_gossip_counts(const struct link_gossip *gossip);

#endif
