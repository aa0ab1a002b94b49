/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/agg/fixed.h"

#include "kernels/kn.h"

#include <string.h>

static const double SCALE = (double)(UINT64_C(1) << KN_FIXED_BITS);
static const float LIMIT = (float)KN_FIXED_LIMIT;

void kn_fixed_begin(struct kn_fixed_sum *sum, kn_fixed *memory, size_t size)
{
    *sum = (struct kn_fixed_sum){.at = memory, .size = size};
    memset(memory, 0, size * sizeof *memory);
}

bool kn_fixed_verify(const float *x, size_t size, size_t *bad)
{
    uint32_t outside = 0; /* no early exit: a loop of comparisons vectorises */
    for (size_t i = 0; i < size; i++) {
        outside |= x[i] >= -LIMIT && x[i] <= LIMIT ? 0u : 1u; /* a NaN is outside */
    }
    for (size_t i = 0; outside != 0 && i < size; i++) {
        if (!(x[i] >= -LIMIT && x[i] <= LIMIT)) {
            *bad = i;
            return false;
        }
    }
    return true;
}

/* To the nearest integer, halves away from zero: the product with a power of two is exact, and
 * adding a half is, too, as the sum has at most 63 bits of which a float fills 24. */
static inline int64_t fixed_of(float x)
{
    double scaled = (double)x * SCALE;
    return (int64_t)(scaled + __builtin_copysign(0.5, scaled)); /* without a branch */
}

void kn_fixed_add(struct kn_fixed_sum *sum, const float *x, uint32_t weight)
{
    KN_CHECK(sum->terms < KN_FIXED_TERMS_MAX);
    const int64_t factor = weight; /* signed, so that a product is one multiplication */
    kn_fixed *at = sum->at;
    const size_t size = sum->size;
    for (size_t i = 0; i < size; i++) {
        at[i] += (kn_fixed)fixed_of(x[i]) * factor;
    }
    sum->weight += weight;
    sum->terms++;
}

void kn_fixed_divide(const struct kn_fixed_sum *sum, uint64_t divisor, float *out)
{
    KN_CHECK(divisor >= 1);
    const double unit = (double)divisor * SCALE;
    for (size_t i = 0; i < sum->size; i++) {
        out[i] = (float)((double)sum->at[i] / unit);
    }
}
