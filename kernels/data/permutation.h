/* SPDX-License-Identifier: Apache-2.0
 *
 * A pseudo-random permutation of [0, count) in constant memory: a Feistel network over the next
 * power of two, walked until it lands inside (Black and Rogaway, "Ciphers with arbitrary finite
 * domains", 2002). Every agent computes any element alone, so a shuffle is never stored or sent. */
#ifndef KN_DATA_PERMUTATION_H
#define KN_DATA_PERMUTATION_H

#include <stdint.h>

enum { KN_PERMUTATION_ROUNDS = 8 };

/* What a permutation is for; with the seed and the number it selects one permutation. */
enum kn_permutation_use {
    KN_PERMUTATION_EPOCH = 1, /* number: the epoch; the order of samples in it */
    KN_PERMUTATION_SPLIT = 2, /* number: 0; which samples are held out for validation */
    KN_PERMUTATION_DIGITS = 3 /* number: the part; the classes of builtin:digits */
};

struct kn_permutation {
    uint32_t count;
    uint32_t low_bits;
    uint32_t high_bits;
    uint32_t key[KN_PERMUTATION_ROUNDS];
};

void kn_permutation_init(struct kn_permutation *p, uint32_t count, uint64_t seed,
                         enum kn_permutation_use use, uint64_t number);
/* The element at position i < count; each of [0, count) exactly once. At most 2 walks on average
 * (64 / count for sets below 32). */
uint32_t kn_permutation_at(const struct kn_permutation *p, uint32_t i);

/* A set of `count` samples cut in two: `validation` of them held out, the rest for training. The
 * cut depends on the seed alone, never on the epoch. */
struct kn_split {
    struct kn_permutation order;
    uint32_t validation; /* samples held out */
    uint32_t training;   /* the others */
};

/* Holds out floor(count * per_million / 1,000,000) samples. */
void kn_split_init(struct kn_split *s, uint32_t count, uint32_t per_million, uint64_t seed);
/* Index in the data set of training sample i < training, of validation sample i < validation. */
uint32_t kn_split_training(const struct kn_split *s, uint32_t i);
uint32_t kn_split_validation(const struct kn_split *s, uint32_t i);

#endif
