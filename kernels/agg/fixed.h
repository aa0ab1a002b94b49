/* SPDX-License-Identifier: Apache-2.0
 *
 * Weighted sums that do not depend on the order in which their terms arrive. Floats are taken as
 * integers in units of 2^-KN_FIXED_BITS, and integers add up to the same bits in every order.
 *
 * Range. A term is at most KN_FIXED_LIMIT in size (kn_fixed_verify refuses others), so its integer
 * has at most 62 bits; a weight has at most 32. A sum of KN_FIXED_TERMS_MAX such products is below
 * 2^(62 + 32 + 16) and lies in a 128-bit integer with 17 bits to spare: nothing wraps, whatever
 * comes. Precision: a term is rounded once, to 2^-41 at most; the mean once more to a double and
 * once to a float. No allocation. */
#ifndef KN_AGG_FIXED_H
#define KN_AGG_FIXED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KN_FIXED_BITS       40
#define KN_FIXED_LIMIT      4194304 /* 2^22 */
#define KN_FIXED_WEIGHT_MAX UINT32_MAX
#define KN_FIXED_TERMS_MAX  65536u

__extension__ typedef __int128 kn_fixed;

struct kn_fixed_sum {
    kn_fixed *at; /* [size], the caller's */
    size_t size;
    uint64_t weight; /* of all terms */
    uint32_t terms;
};

/* An empty sum of vectors of size floats over memory of the caller. */
void kn_fixed_begin(struct kn_fixed_sum *sum, kn_fixed *memory, size_t size);
/* True when every float is finite and within KN_FIXED_LIMIT; else *bad is the first that is not. */
bool kn_fixed_verify(const float *x, size_t size, size_t *bad);
/* Adds weight times x, which was verified. The weight may be 0: then nothing changes but the number
 * of terms. */
void kn_fixed_add(struct kn_fixed_sum *sum, const float *x, uint32_t weight);
/* out[i] is the sum divided by divisor, which is at least 1: the weight for a mean. */
void kn_fixed_divide(const struct kn_fixed_sum *sum, uint64_t divisor, float *out);

#endif
