/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/philox.h"

struct kn_stream kn_stream_make(uint64_t seed, uint64_t stream, uint32_t rank, uint32_t node)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)stream, (uint32_t)(stream >> 32), rank, node};
    uint32_t out[4];
    kn_philox4x32(out, counter, key);
    struct kn_stream s = {.key = {out[0], out[1]}};
    return s;
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
