/* SPDX-License-Identifier: Apache-2.0
 *
 * The bulk plane of an agent, as far as frames of training need it, on loopback and without the
 * short way between agents of one machine. */
#ifndef ALL_REDUCE_NET_H
#define ALL_REDUCE_NET_H

#include "base/bytes.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct net;

/* On the bulk thread: a training frame of member `from`; must not block. */
typedef void (*net_frame_fn)(void *ctx, uint32_t from, struct sh_span bytes);

/* Opens the plane of member `me`; port is where it listens. NULL: it cannot be opened. */
struct net *net_open(uint32_t me, uint32_t members, uint16_t *port, net_frame_fn frame, void *ctx);
/* All members listen on these ports. */
void net_start(struct net *net, const uint16_t *ports);
/* Waits for room; false: none for 10 s. */
bool net_send(struct net *net, uint32_t to, struct sh_span head, struct sh_span body);
/* Nothing is heard from then on; before anybody closes. */
void net_stop(struct net *net);
void net_close(struct net *net);

#endif
