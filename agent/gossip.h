/* SPDX-License-Identifier: Apache-2.0
 *
 * Hosts the membership core: its datagrams, its pings over the control plane, and what follows from
 * its verdicts (the shared table of members, where peers are dialled). Belongs to the loop. */
#ifndef AGENT_GOSSIP_H
#define AGENT_GOSSIP_H

#include "link/gossip.h"
#include "swim/swim.h"

struct gossip;
struct service;

struct gossip_options {
    struct link_addr listen; /* udp */
    struct link_addr self;   /* where others reach this agent */
};

/* IN_USE and others: why says it in one line (LINK_TEXT_MAX + 1 bytes). */
SH_MUST_USE enum sh_err gossip_open(struct gossip **out, struct service *s,
                                    const struct gossip_options *options, uint64_t now_us,
                                    char *why);
void gossip_close(struct gossip *g);
int gossip_fd(const struct gossip *g);

/* Drains the socket where it has input, then does what is due. */
void gossip_turn(struct gossip *g, uint64_t now_us, bool input);
uint64_t gossip_deadline_us(const struct gossip *g);

/* Addresses to find the cluster at, besides those given before; up to SWIM_SEEDS_MAX in all. */
void gossip_seed(struct gossip *g, uint64_t now_us, const struct link_addr *addr);
/* Tells this agent's own record (parts.h: self) to the others. */
void gossip_tell_self(struct gossip *g, uint64_t now_us);
/* Round trips as measured of late, into the table of members. O(members). */
void gossip_tell_rtt(struct gossip *g);
void gossip_hint(struct gossip *g, uint64_t now_us, const uint8_t node[SH_NODE_ID_BYTES],
                 enum swim_hint hint);
/* A FRAME_SWIM message of the control plane. */
void gossip_control(struct gossip *g, uint64_t now_us, const uint8_t node[SH_NODE_ID_BYTES],
                    struct sh_span bytes);
void gossip_leave(struct gossip *g, uint64_t now_us);
bool gossip_has_left(const struct gossip *g);

#endif
