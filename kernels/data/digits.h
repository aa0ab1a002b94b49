/* SPDX-License-Identifier: Apache-2.0
 *
 * builtin:digits: handwritten-looking digits drawn by a program, so that a cluster has something
 * to learn without a download. 28 x 28 grey, ten classes, as many of each as divides evenly, in a
 * fixed shuffled order; training and test images come from disjoint streams of random numbers.
 * Integers and fixed tables only: the same bytes on every machine and compiler, which the digests
 * below state. */
#ifndef KN_DATA_DIGITS_H
#define KN_DATA_DIGITS_H

#include "kernels/data/data.h"

enum {
    KN_DIGITS_SIDE = 28,
    KN_DIGITS_CLASSES = 10,
    KN_DIGITS_TRAIN_COUNT = 12288,
    KN_DIGITS_TEST_COUNT = 2048
};

/* Draws image `i` of a part: its 28 * 28 bytes (0 ground, 255 ink) and its class. */
int32_t kn_digits_draw(enum kn_part part, uint32_t i,
                       uint8_t pixels[KN_DIGITS_SIDE * KN_DIGITS_SIDE]);
/* The whole part as a data set. MEMORY only. */
KN_MUST_USE enum kn_err kn_digits_open(struct kn_dataset *set, enum kn_part part);
/* 64-bit FNV-1a over every image followed by its label byte, in order. */
uint64_t kn_digits_digest(const struct kn_dataset *set);
/* What kn_digits_digest must be: part of the program, changed only with the generator. */
uint64_t kn_digits_digest_expected(enum kn_part part);

#endif
