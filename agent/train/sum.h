/* SPDX-License-Identifier: Apache-2.0
 *
 * The sums over one agent's own ranks in one round: every rank's vector goes in as it is computed,
 * by whichever thread; out come the sums of the maximal complete subtrees of its range, each added
 * up in the order of the tree (kernels/agg/tree.h). Two siblings are added by the thread that
 * completes the second one, so the work spreads over the threads and the bits do not depend on
 * them. The vectors lie in memory of the caller, who may let others read it (train/shelf.h). */
#ifndef TRAIN_SUM_H
#define TRAIN_SUM_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct train_sum;

/* For ranges of [0, ranks), vectors of at most size elements, and as many threads; it has no memory
 * for them yet. NO_MEMORY. */
SH_MUST_USE enum sh_err train_sum_open(struct train_sum **out, uint32_t ranks, size_t size,
                                       uint32_t threads);
void train_sum_close(struct train_sum *sum);

/* Bytes for the vectors of rounds over the ranks [low, high). */
size_t train_sum_bytes(const struct train_sum *sum, uint32_t low, uint32_t high);
/* Where the vectors of the following rounds lie: train_sum_bytes, borrowed, aligned as KN_ALIGN.
 * Nothing of earlier rounds is touched any more. No thread may be inside another call. */
void train_sum_use(struct train_sum *sum, float *memory);

/* A new round over the ranks [low, high), no more than the memory is for, with vectors of size
 * elements; forgets the last one. No thread may be inside another call. Returns how many subtrees
 * there are. */
uint32_t train_sum_begin(struct train_sum *sum, uint32_t low, uint32_t high, size_t size);
/* Where a rank's vector is to be written; ranks are taken in ascending order. Any thread. */
float *train_sum_take(struct train_sum *sum);
/* The vector of rank is complete. The number of the subtree that this completes, or UINT32_MAX. */
uint32_t train_sum_add(struct train_sum *sum, uint32_t rank, float *vector);
/* The sum of a complete subtree, in rank order; the caller's until the next begin. */
float *train_sum_of(struct train_sum *sum, uint32_t subtree);

#endif
