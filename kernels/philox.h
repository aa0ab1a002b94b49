/* SPDX-License-Identifier: Apache-2.0
 *
 * Philox4x32-10: random numbers that are a pure function of where they are used.
 *
 * Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A draw
 * depends only on (seed, stream, rank, node, sample, element), so any machine, thread or order
 * gives the same bits. All functions are pure and O(1). */
#ifndef KN_PHILOX_H
#define KN_PHILOX_H

#include "kernels/inline.h"

#include <stdint.h>

#define KN_PHILOX_M0     0xD2511F53u
#define KN_PHILOX_M1     0xCD9E8D57u
#define KN_PHILOX_W0     0x9E3779B9u /* Weyl sequence of the key: golden ratio */
#define KN_PHILOX_W1     0xBB67AE85u /* and sqrt(3) - 1 */
#define KN_PHILOX_ROUNDS 10

/* The bijection of the paper: ten rounds over counter with key. */
static KN_BOTH inline void kn_philox4x32(uint32_t out[4], const uint32_t counter[4],
                                         const uint32_t key[2])
{
    uint32_t c0 = counter[0];
    uint32_t c1 = counter[1];
    uint32_t c2 = counter[2];
    uint32_t c3 = counter[3];
    uint32_t k0 = key[0];
    uint32_t k1 = key[1];
    for (int round = 0; round < KN_PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)KN_PHILOX_M0 * c0;
        uint64_t p1 = (uint64_t)KN_PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += KN_PHILOX_W0;
        k1 += KN_PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Numbers of one purpose: key derived from seed, stream, rank and node by one Philox call. `stream`
 * is the training step, the epoch, or any constant that separates purposes; `node` is the layer. */
struct kn_stream {
    uint32_t key[2];
};
struct kn_stream kn_stream_make(uint64_t seed, uint64_t stream, uint32_t rank, uint32_t node);

/* Words 4 * block .. 4 * block + 3 of the sequence that belongs to `sample`. */
static KN_BOTH inline void kn_stream_block(uint32_t out[4], struct kn_stream s, uint64_t sample,
                                           uint32_t block)
{
    const uint32_t counter[4] = {block, (uint32_t)sample, (uint32_t)(sample >> 32), 0};
    kn_philox4x32(out, counter, s.key);
}

/* Word number `element` of that sequence. */
static KN_BOTH inline uint32_t kn_stream_u32(struct kn_stream s, uint64_t sample, uint32_t element)
{
    uint32_t out[4];
    kn_stream_block(out, s, sample, element / 4);
    return out[element % 4];
}

/* The top 24 bits of the word as a float in [0, 1): exact, the same everywhere. */
static KN_BOTH inline float kn_unit_float(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

/* Sixteen samples at once: word w of the block of sample `sample0 + l` goes to out[w][l]. The
 * same numbers as kn_stream_block. */
#define KN_PHILOX_LANES 16
void kn_stream_lanes(uint32_t out[4][KN_PHILOX_LANES], struct kn_stream s, uint64_t sample0,
                     uint32_t block);

#endif
