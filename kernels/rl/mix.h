/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash of 64 bits over a sequence of words, the finisher of splitmix64 (Steele, Lea, Flood: "Fast
 * splittable pseudorandom number generators", 2014): internal to rl/. It tells runs apart that went
 * differently; it does not stop who wants two to look alike. */
#ifndef KN_RL_MIX_H
#define KN_RL_MIX_H

#include <stdint.h>

static inline uint64_t kn_mix64(uint64_t hash, uint64_t word)
{
    uint64_t x = (hash ^ word) + UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

#endif
