/* SPDX-License-Identifier: Apache-2.0
 *
 * Nodes on the simulator's clock, queue and links, for simulations that host other cores than whole
 * agents do: who is up, what is sent, when it arrives, what is cut. Of many nodes only the first
 * few, the hubs, may have links to all; that keeps a thousand of them small.
 *
 * A node that is down loses what arrives and what it meant to do; one that is frozen (SIGSTOP) does
 * it later. Everything follows from one seed. */
#ifndef SIM_ETHER_H
#define SIM_ETHER_H

#include "sim/link.h"
#include "sim/queue.h"

#include <stddef.h>

#define SIM_NOBODY     UINT32_MAX /* who: of what is done to nodes from outside */
#define SIM_FROZEN_MAX 1024u /* things that a frozen node finds when it goes on; more are lost */
#define SIM_WHY_MAX    255u

struct sim_parcel {
    uint32_t from;
    uint32_t to;
    uint32_t size;
    uint8_t bytes[];
};

struct sim_ether_node {
    bool up;
    bool frozen;
    uint32_t life; /* raised by every start and end; what an earlier one meant to do is void */
    uint32_t held_count;
    uint32_t held_room;
    struct sim_event *held;
};

struct sim_ether {
    struct sim_net_options net;
    uint64_t now_us;
    struct sh_rng rng;
    struct sim_queue queue;
    uint32_t count;
    uint32_t hubs;
    struct sim_link *out; /* [hubs * count]: of hubs */
    struct sim_link *in;  /* to hubs, of those that are none */
    struct sim_ether_node *nodes;
    uint64_t events;
    uint64_t messages;
    uint64_t lost;
    uint64_t trace; /* digest of every event so far */
    bool broken;
    char why[SIM_WHY_MAX + 1];
};

/* All nodes are down, the network is quiet. Panics when memory runs out, as all calls below. */
void sim_ether_init(struct sim_ether *e, uint64_t seed, uint32_t nodes, uint32_t hubs);
void sim_ether_fini(struct sim_ether *e);

/* One of the two is a hub. False: the link is full; what else goes wrong is silent. */
bool sim_ether_send(struct sim_ether *e, uint32_t from, uint32_t to, const void *bytes,
                    size_t size);
/* who does something after so long, unless it is down by then: arg and number say what. */
void sim_ether_after(struct sim_ether *e, uint32_t who, uint64_t after_us, uint64_t arg,
                     uint32_t number);
/* The next event: MESSAGE (body: struct sim_parcel) or WORK, at a node that is up and not frozen,
 * or at SIM_NOBODY. The caller frees event->body. False: nothing is left, or something is broken.
 */
bool sim_ether_next(struct sim_ether *e, struct sim_event *event);

/* ---- faults ---- */
/* What has just arrived arrives again, much later than other copies do. */
void sim_ether_repeat(struct sim_ether *e, const struct sim_event *event, uint64_t after_us);
void sim_ether_start(struct sim_ether *e, uint32_t node);
void sim_ether_kill(struct sim_ether *e, uint32_t node);
void sim_ether_freeze(struct sim_ether *e, uint32_t node);
void sim_ether_thaw(struct sim_ether *e, uint32_t node);
struct sim_link *sim_ether_link(struct sim_ether *e, uint32_t from, uint32_t to);
/* Between the nodes of which side[node] is true and all others; one_way: only what these say. */
void sim_ether_split(struct sim_ether *e, const bool *side, bool one_way);
void sim_ether_mend(struct sim_ether *e); /* all links whole and free */
bool sim_ether_runs(const struct sim_ether *e, uint32_t node);
/* Both run and hear each other. */
bool sim_ether_reach(struct sim_ether *e, uint32_t a, uint32_t b);

/* ---- judgement ---- */
/* The first broken property stops everything. */
void sim_ether_break(struct sim_ether *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_ether_mix(struct sim_ether *e, uint64_t value);
struct sim_verdict; /* sim/scenario.h */
void sim_ether_tell(const struct sim_ether *e, struct sim_verdict *verdict);

#endif
