/* SPDX-License-Identifier: Apache-2.0
 *
 * Seeded generator for cores and simulation: xoshiro256++ (Blackman and Vigna, "Scrambled linear
 * pseudorandom number generators", 2019), seeded through splitmix64. Not for secrets. */
#ifndef SH_BASE_RNG_H
#define SH_BASE_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct sh_rng {
    uint64_t s[4];
};

void sh_rng_init(struct sh_rng *rng, uint64_t seed);
uint64_t sh_rng_u64(struct sh_rng *rng);
/* Uniform in [0, bound) without bias; bound >= 1. */
uint64_t sh_rng_below(struct sh_rng *rng, uint64_t bound);
/* Uniform in [low, high], low <= high. */
uint64_t sh_rng_between(struct sh_rng *rng, uint64_t low, uint64_t high);
/* True with probability numerator / denominator. */
bool sh_rng_chance(struct sh_rng *rng, uint64_t numerator, uint64_t denominator);

/* One step of splitmix64 as a hash of a number. */
uint64_t sh_mix64(uint64_t x);
/* Order-dependent 64-bit digest of bytes for determinism tests and fingerprints (eight bytes a
 * step, after FNV-1a). The same on every machine. Not a cryptographic hash: contents are addressed
 * with sh_blake2b (base/host). */
uint64_t sh_hash64(uint64_t seed, const void *bytes, uint64_t size);
/* Another one, eight bytes a turn: for what is long, compared and never stored. The same on every
 * machine. */
uint64_t sh_words64(uint64_t seed, const void *bytes, uint64_t size);

#endif
