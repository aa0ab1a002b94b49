/* SPDX-License-Identifier: Apache-2.0
 *
 * Many membership cores on a virtual network: latency, loss, repetition, reordering, crashes,
 * pauses, partitions, one-way links. Virtual time; one seed gives one history. */
#ifndef SWIM_NET_H
#define SWIM_NET_H

#include "swim/swim.h"

#define NET_NODES_MAX 256u

struct net_config {
    uint64_t seed;
    struct swim_config swim;
    uint32_t nodes;
    uint32_t loss_permille;
    uint32_t repeat_permille;
    uint64_t jitter_us; /* latency is 250 us and up to this */
    bool control;       /* the control plane reaches whoever is up and on this side */
};

struct net;

struct net *net_new(const struct net_config *config);
void net_free(struct net *net);
/* Starts a node with the next epoch; it knows one seed (none: UINT32_MAX). */
void net_start(struct net *net, uint32_t node, uint32_t seed);
void net_crash(struct net *net, uint32_t node);
void net_pause(struct net *net, uint32_t node, uint64_t for_us);
void net_leave(struct net *net, uint32_t node);
void net_hint(struct net *net, uint32_t at, uint32_t about, enum swim_hint hint);
void net_set_meta(struct net *net, uint32_t node, const char *text);
void net_set_side(struct net *net, uint32_t node, uint32_t side); /* sides do not hear each other */
void net_set_deaf(struct net *net, uint32_t node, bool deaf);     /* sends, but hears nothing */
void net_run(struct net *net, uint64_t for_us);
/* Until want holds; false when limit_us passed first. */
bool net_run_until(struct net *net, bool (*want)(struct net *net), uint64_t limit_us);

uint64_t net_now_us(const struct net *net);
const struct swim *net_swim(const struct net *net, uint32_t node);
bool net_is_up(const struct net *net, uint32_t node);
uint32_t net_nodes(const struct net *net);
/* What at believes of about. */
enum swim_state net_view(const struct net *net, uint32_t at, uint32_t about);
/* All nodes that are up hold exactly each other ALIVE and have equal fingerprints. */
bool net_is_converged(struct net *net);
/* All that are up have equal fingerprints. */
bool net_is_equal(struct net *net);
/* DEAD reported about a node that was up, and not paused, since the last call. */
uint32_t net_false_deaths(struct net *net);
uint64_t net_first_us(const struct net *net, enum swim_state state, uint32_t about); /* 0: never */
uint64_t net_packets(const struct net *net);
uint64_t net_bytes(const struct net *net);
uint64_t net_digest(const struct net *net);

#endif
