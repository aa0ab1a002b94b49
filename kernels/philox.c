/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/philox.h"

#define PHILOX_M0     0xD2511F53u
#define PHILOX_M1     0xCD9E8D57u
#define PHILOX_W0     0x9E3779B9u /* Weyl sequence of the key: golden ratio */
#define PHILOX_W1     0xBB67AE85u /* and sqrt(3) - 1 */
#define PHILOX_ROUNDS 10

void kn_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c0 = counter[0];
    uint32_t c1 = counter[1];
    uint32_t c2 = counter[2];
    uint32_t c3 = counter[3];
    uint32_t k0 = key[0];
    uint32_t k1 = key[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)PHILOX_M0 * c0;
        uint64_t p1 = (uint64_t)PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

struct kn_stream kn_stream_make(uint64_t seed, uint64_t stream, uint32_t rank, uint32_t node)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)stream, (uint32_t)(stream >> 32), rank, node};
    uint32_t out[4];
    kn_philox4x32(out, counter, key);
    struct kn_stream s = {.key = {out[0], out[1]}};
    return s;
}

void kn_stream_block(uint32_t out[4], struct kn_stream s, uint64_t sample, uint32_t block)
{
    const uint32_t counter[4] = {block, (uint32_t)sample, (uint32_t)(sample >> 32), 0};
    kn_philox4x32(out, counter, s.key);
}

uint32_t kn_stream_u32(struct kn_stream s, uint64_t sample, uint32_t element)
{
    uint32_t out[4];
    kn_stream_block(out, s, sample, element / 4);
    return out[element % 4];
}

float kn_unit_float(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

void kn_stream_lanes(uint32_t out[4][KN_PHILOX_LANES], struct kn_stream s, uint64_t sample0,
                     uint32_t block)
{
    for (uint32_t l = 0; l < KN_PHILOX_LANES; l++) {
        const uint64_t sample = sample0 + l;
        const uint32_t counter[4] = {block, (uint32_t)sample, (uint32_t)(sample >> 32), 0};
        uint32_t words[4];
        kn_philox4x32(words, counter, s.key);
        for (uint32_t w = 0; w < 4; w++) {
            out[w][l] = words[w];
        }
    }
}
