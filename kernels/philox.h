/* SPDX-License-Identifier: Apache-2.0
 *
 * Philox4x32-10: random numbers that are a pure function of where they are used.
 *
 * Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A draw
 * depends only on (seed, stream, rank, node, sample, element), so any machine, thread or order
 * gives the same bits. All functions are pure and O(1). */
#ifndef KN_PHILOX_H
#define KN_PHILOX_H

#include <stdint.h>

/* The bijection of the paper: ten rounds over counter with key. */
void kn_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

/* Numbers of one purpose: key derived from seed, stream, rank and node by one Philox call. `stream`
 * is the training step, the epoch, or any constant that separates purposes; `node` is the layer. */
struct kn_stream {
    uint32_t key[2];
};
struct kn_stream kn_stream_make(uint64_t seed, uint64_t stream, uint32_t rank, uint32_t node);

/* Words 4 * block .. 4 * block + 3 of the sequence that belongs to `sample`. */
void kn_stream_block(uint32_t out[4], struct kn_stream s, uint64_t sample, uint32_t block);
/* Word number `element` of that sequence. */
uint32_t kn_stream_u32(struct kn_stream s, uint64_t sample, uint32_t element);
/* The top 24 bits of the word as a float in [0, 1): exact, the same everywhere. */
float kn_unit_float(uint32_t word);

/* Sixteen samples at once: word w of the block of sample `sample0 + l` goes to out[w][l]. The
 * same numbers as kn_stream_block. */
#define KN_PHILOX_LANES 16
void kn_stream_lanes(uint32_t out[4][KN_PHILOX_LANES], struct kn_stream s, uint64_t sample0,
                     uint32_t block);

#endif
