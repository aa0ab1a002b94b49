/* SPDX-License-Identifier: Apache-2.0
 *
 * Clipping of what one member sends: its whole vector, shortened to a bound on the length, on the
 * grid on which sums are taken. The bound holds for the integers that come out, exactly: values
 * round towards zero, and their squares are added as integers. A bound that holds but for rounding
 * is none to privacy. */
#ifndef KN_AGG_CLIP_H
#define KN_AGG_CLIP_H

#include "kernels/err.h"

#include <stddef.h>
#include <stdint.h>

#define KN_CLIP_BITS_MAX 40u

/* out[i] = x[i] 2^bits, times min(1, bound / length of x), so that sum of out[i]^2 <= (bound
 * 2^bits)^2. The length that x had goes to *norm (NULL: not wanted).
 * INVALID: bound 2^bits is not in [1, 2^61], or bits > KN_CLIP_BITS_MAX. NOT_FINITE: names the
 * first value that is no number. out is then undefined. O(count), no allocation. */
KN_MUST_USE enum kn_err kn_clip(const float *x, size_t count, double bound, uint32_t bits,
                                int64_t *out, double *norm, struct kn_diag *diag);

#endif
