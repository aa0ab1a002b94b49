/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/permutation.h"

/* Halves of fewer than three bits mix badly; a tiny set is walked through 64 positions instead. */
enum { DOMAIN_BITS_MIN = 6 };

/* splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). */
static uint64_t mix64(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint32_t round_function(uint32_t half, uint32_t key)
{
    uint64_t x = ((uint64_t)key << 32 | half) * UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(x >> 32);
}

void kn_permutation_init(struct kn_permutation *p, uint32_t count, uint64_t seed,
                         enum kn_permutation_use use, uint64_t number)
{
    uint32_t bits = DOMAIN_BITS_MIN;
    while (bits < 32 && (UINT64_C(1) << bits) < count) {
        bits++;
    }
    p->count = count;
    p->low_bits = bits / 2;
    p->high_bits = bits - p->low_bits;
    uint64_t state = mix64(mix64(mix64(seed) ^ (uint64_t)use) ^ number);
    for (uint32_t i = 0; i < KN_PERMUTATION_ROUNDS; i++) {
        state = mix64(state);
        p->key[i] = (uint32_t)(state >> 32);
    }
}

uint32_t kn_permutation_at(const struct kn_permutation *p, uint32_t i)
{
    uint32_t low_mask = (UINT32_C(1) << p->low_bits) - 1;
    uint32_t high_mask = (UINT32_C(1) << p->high_bits) - 1;
    uint32_t x = i;
    do {
        uint32_t low = x & low_mask;
        uint32_t high = x >> p->low_bits;
        for (uint32_t r = 0; r < KN_PERMUTATION_ROUNDS; r += 2) {
            low ^= round_function(high, p->key[r]) & low_mask;
            high ^= round_function(low, p->key[r + 1]) & high_mask;
        }
        x = high << p->low_bits | low;
    } while (x >= p->count);
    return x;
}

void kn_split_init(struct kn_split *s, uint32_t count, uint32_t per_million, uint64_t seed)
{
    uint32_t share = per_million < 1000000 ? per_million : 1000000;
    kn_permutation_init(&s->order, count, seed, KN_PERMUTATION_SPLIT, 0);
    s->validation = (uint32_t)((uint64_t)count * share / 1000000);
    s->training = count - s->validation;
}

uint32_t kn_split_training(const struct kn_split *s, uint32_t i)
{
    return kn_permutation_at(&s->order, s->validation + i);
}

uint32_t kn_split_validation(const struct kn_split *s, uint32_t i)
{
    return kn_permutation_at(&s->order, i);
}
