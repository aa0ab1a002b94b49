/* SPDX-License-Identifier: Apache-2.0
 *
 * Bounded queue between threads: fixed-size items copied in and out, ownership of what they point
 * to moves with them. Any number of producers and consumers; the lock covers a memcpy, never I/O. A
 * consumer that sleeps in epoll watches queue_fd; one that sleeps here uses queue_wait. */
#ifndef AGENT_QUEUE_H
#define AGENT_QUEUE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue;

/* capacity >= 1 items of item_size bytes. NO_MEMORY or IO. */
SH_MUST_USE enum sh_err queue_open(struct queue **out, uint32_t capacity, size_t item_size);
void queue_close(struct queue *q); /* what is left inside is the caller's loss: drain first */
/* FULL when capacity items wait. Never blocks. */
SH_MUST_USE enum sh_err queue_push(struct queue *q, const void *item);
/* Waits for room; CANCELLED after queue_stop, also while waiting. Only where somebody pops. */
SH_MUST_USE enum sh_err queue_push_wait(struct queue *q, const void *item);
bool queue_pop(struct queue *q, void *item);
/* Pops, waiting up to timeout_us for an item; false on timeout or after queue_stop. */
bool queue_wait(struct queue *q, void *item, uint64_t timeout_us);
/* Wakes every waiter for good; pushes are refused with CANCELLED from then on. */
void queue_stop(struct queue *q);
/* Readable while items wait: an eventfd, cleared by the pop that empties the queue or finds it
 * empty. A push makes it readable when its item is in already, so it may wake once for an item that
 * was popped meanwhile. Whoever waits by its edge has to pop until there is nothing. */
int queue_fd(struct queue *q);
uint32_t queue_count(struct queue *q);

#endif
