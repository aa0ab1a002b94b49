/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "base/check.h"

#include <string.h>

uint64_t sh_mix64(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Up to eight bytes as a number, the first one lowest. */
static uint64_t word_of(const uint8_t *at, uint64_t size)
{
    uint64_t word = 0;
    for (uint64_t i = 0; i < size; i++) {
        word |= (uint64_t)at[i] << 8 * i;
    }
    return word;
}

/* Each step is a bijection of the hash, and of the word: one changed word always shows. */
static uint64_t take_word(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
    return hash ^ hash >> 32;
}

uint64_t sh_hash64(uint64_t seed, const void *bytes, uint64_t size)
{
    const uint8_t *at = bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ sh_mix64(seed);
    uint64_t left = size;
    for (; left >= 8; left -= 8, at += 8) {
        hash = take_word(hash, word_of(at, 8)); /* one load where the machine can */
    }
    if (left > 0) {
        hash = take_word(hash, word_of(at, left));
    }
    return sh_mix64(hash ^ size);
}

static uint64_t word_at(const uint8_t *at, uint64_t size)
{
    uint8_t bytes[8] = {0};
    uint64_t word = 0;
    memcpy(bytes, at, size);
    for (uint32_t i = 0; i < 8; i++) {
        word |= (uint64_t)bytes[i] << (8 * i);
    }
    return word;
}

uint64_t sh_words64(uint64_t seed, const void *bytes, uint64_t size)
{
    const uint8_t *at = bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ sh_mix64(seed);
    uint64_t left = size;
    for (; left >= 8; left -= 8, at += 8) {
        hash = (hash ^ word_at(at, 8)) * UINT64_C(0x9fb21c651e98df25);
        hash ^= hash >> 32;
    }
    if (left > 0) {
        hash = (hash ^ word_at(at, left)) * UINT64_C(0x9fb21c651e98df25);
    }
    return sh_mix64(hash ^ size);
}

void sh_rng_init(struct sh_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        rng->s[i] = sh_mix64(seed);
        seed += UINT64_C(0x9e3779b97f4a7c15);
    }
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t sh_rng_u64(struct sh_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotl(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t sh_rng_below(struct sh_rng *rng, uint64_t bound)
{
    SH_CHECK(bound > 0);
    uint64_t threshold = (0 - bound) % bound; /* 2^64 mod bound: values below it would be biased */
    uint64_t x = sh_rng_u64(rng);
    while (x < threshold) {
        x = sh_rng_u64(rng);
    }
    return x % bound;
}

uint64_t sh_rng_between(struct sh_rng *rng, uint64_t low, uint64_t high)
{
    SH_CHECK_CMP(low, <=, high);
    uint64_t span = high - low;
    return span == UINT64_MAX ? sh_rng_u64(rng) : low + sh_rng_below(rng, span + 1);
}

bool sh_rng_chance(struct sh_rng *rng, uint64_t numerator, uint64_t denominator)
{
    return sh_rng_below(rng, denominator) < numerator;
}
