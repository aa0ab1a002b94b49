/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread that owns the bulk plane: blob pieces (agent/calls) and the tensors of training. */
#ifndef AGENT_BULK_H
#define AGENT_BULK_H

#include "service.h"

#define BULK_OUTBOX_BYTES_MAX (64u << 20)

struct bulk;

/* On the bulk thread, or on that of agent/nearby.h: a TRAIN_* frame of a peer; payload and fd, -1
 * where no descriptor came with it, are borrowed for the call, which must not block. */
typedef void (*bulk_frame_fn)(void *ctx, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                              struct sh_span payload, int fd);
/* On the same threads: the last connection to a peer is gone (a hint). */
typedef void (*bulk_down_fn)(void *ctx, const uint8_t node[SH_NODE_ID_BYTES]);

SH_MUST_USE enum sh_err bulk_open(struct bulk **out, struct service *s);
/* Who gets training frames; before bulk_start. */
void bulk_on_train(struct bulk *bulk, bulk_frame_fn frame, bulk_down_fn down, void *ctx);
SH_MUST_USE enum sh_err bulk_start(struct bulk *bulk);
void bulk_stop(struct bulk *bulk);
void bulk_close(struct bulk *bulk);

/* Any thread; copies. FULL: wait for room. Delivery is not promised. */
SH_MUST_USE enum sh_err bulk_send(struct bulk *bulk, const uint8_t node[SH_NODE_ID_BYTES],
                                  uint16_t type, struct sh_span head, struct sh_span body);
/* Any thread, never blocks: a training frame and a duplicate of fd to an agent on this machine.
 * False: that agent is elsewhere, or cannot be reached now. */
bool bulk_hand(struct bulk *bulk, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
               struct sh_span head, int fd);
bool bulk_wait_room(struct bulk *bulk, const uint8_t node[SH_NODE_ID_BYTES], size_t size,
                    uint64_t timeout_us);
/* Where a node's bulk port is. Any thread. */
void bulk_set_addr(struct bulk *bulk, const uint8_t node[SH_NODE_ID_BYTES], const char *host_port);

#endif
