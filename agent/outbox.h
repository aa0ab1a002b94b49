/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages of other threads on their way to the thread that owns a plane. Bounded in number and
 * bytes, what is parked included; a single message may be larger than bytes_max. What a slow peer
 * cannot take yet is parked, in order, without delaying other peers: each may fill as much as it
 * leaves to others, one alone half of all. */
#ifndef AGENT_OUTBOX_H
#define AGENT_OUTBOX_H

#include "link/link.h"

#define OUTBOX_MESSAGES_MAX 4096u

struct outbox;

/* For one plane, borrowed. */
SH_MUST_USE enum sh_err outbox_open(struct outbox **out, struct link_plane *plane,
                                    size_t bytes_max);
void outbox_close(struct outbox *o);
/* Wakes who waits for room, for good; posts are refused with CANCELLED. */
void outbox_stop(struct outbox *o);

/* Any thread: copies head and body into one message. FULL: the limits are reached, or what this
 * peer may have of them; LIMIT: larger than the plane takes. */
SH_MUST_USE enum sh_err outbox_post(struct outbox *o, const uint8_t node[SH_NODE_ID_BYTES],
                                    uint16_t type, struct sh_span head, struct sh_span body);
/* Any thread: waits until a post of size bytes to node would be taken; false on timeout. */
bool outbox_wait_room(struct outbox *o, const uint8_t node[SH_NODE_ID_BYTES], size_t size,
                      uint64_t timeout_us);
int outbox_fd(const struct outbox *o); /* readable while posts wait */

/* The owner: hands on what was posted. lost is told of messages that cannot be delivered. */
typedef void (*outbox_lost_fn)(void *ctx, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type);
void outbox_drain(struct outbox *o, uint64_t now_us, outbox_lost_fn lost, void *ctx);
/* The owner, on LINK_WRITABLE. */
void outbox_writable(struct outbox *o, uint64_t now_us, const uint8_t node[SH_NODE_ID_BYTES],
                     outbox_lost_fn lost, void *ctx);
/* The owner, when a peer is gone: drops what is parked for it. */
void outbox_forget(struct outbox *o, const uint8_t node[SH_NODE_ID_BYTES]);

#endif
