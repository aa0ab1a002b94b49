/* SPDX-License-Identifier: Apache-2.0
 *
 * agent/bulk.h over queues in one process: every agent has a thread that hands it its frames, late,
 * out of order, or not at all, as a seeded generator decides. The second implementation of the part
 * of that interface that training uses. */
#ifndef MEMORY_BULK_H
#define MEMORY_BULK_H

#include "bulk.h"

#define MEMORY_BULK_AGENTS_MAX 16u

struct memory_net;

struct memory_net_config {
    uint64_t seed;
    uint32_t loss_percent;
    uint64_t delay_us;   /* longest trip */
    size_t outbox_bytes; /* of one agent: FULL beyond; 0: 1 MiB */
    bool one_machine;    /* descriptors can be handed over */
};

struct memory_net *memory_net_open(const struct memory_net_config *config);
void memory_net_close(struct memory_net *net); /* every bulk has been closed */

/* This agent's end, closed with memory_bulk_close. Frames flow once memory_bulk_start was called.
 */
struct bulk *memory_bulk_open(struct memory_net *net, struct service *s);
void memory_bulk_start(struct bulk *bulk);
void memory_bulk_close(struct bulk *bulk);

/* The agent is dead to all others, and they are told so; again with on = false it is back. */
void memory_bulk_cut(struct bulk *bulk, bool on);
/* Cuts it as soon as it has sent so many more frames of this type. */
void memory_bulk_cut_after(struct bulk *bulk, uint16_t type, uint32_t frames);
bool memory_bulk_is_cut(struct bulk *bulk);
/* Waits until the net has delivered so many more frames of a type, at most timeout_us. */
bool memory_net_wait(struct memory_net *net, uint16_t type, uint32_t frames, uint64_t timeout_us);
/* Payload bytes of the frames of a type delivered so far. */
uint64_t memory_net_bytes(struct memory_net *net, uint16_t type);
/* Waits until this end is cut, at most timeout_us. */
bool memory_bulk_wait_cut(struct bulk *bulk, uint64_t timeout_us);
/* Changes one bit of one payload byte of the next frame of this type. */
void memory_net_damage(struct memory_net *net, uint16_t type, size_t offset);

#endif
