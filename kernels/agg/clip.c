/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/agg/clip.h"

#include <math.h>

__extension__ typedef unsigned __int128 kn_u128;

/* Writes x * factor on the grid, towards zero, and gives the sum of squares. */
static kn_u128 write_out(const float *x, size_t count, double factor, int64_t *out)
{
    kn_u128 squares = 0;
    for (size_t i = 0; i < count; i++) {
        out[i] = (int64_t)((double)x[i] * factor); /* conversion truncates */
        const uint64_t size = out[i] < 0 ? (uint64_t)-out[i] : (uint64_t)out[i];
        squares += (kn_u128)size * size;
    }
    return squares;
}

enum kn_err kn_clip(const float *x, size_t count, double bound, uint32_t bits, int64_t *out,
                    double *norm, struct kn_diag *diag)
{
    const double grid = ldexp(1.0, (int)(bits <= KN_CLIP_BITS_MAX ? bits : 0));
    const double limit = floor(bound * grid);
    double squares = 0;
    if (bits > KN_CLIP_BITS_MAX || !(limit >= 1.0 && limit <= 0x1p61)) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "clip %g with %u bits after the point: from 2^-%u to 2^%u with that many",
                       bound, bits, bits, 61 - (bits < 61 ? bits : 61));
    }
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(x[i])) {
            return kn_fail(diag, KN_ERR_NOT_FINITE, "value %zu is not finite", i);
        }
        squares += (double)x[i] * (double)x[i];
    }
    const double length = sqrt(squares);
    double factor = length > bound ? grid * (bound / length) : grid;
    const kn_u128 most = (kn_u128)(uint64_t)limit * (uint64_t)limit;
    /* The length is known to some 2^-23; a step or two shorter it holds. */
    for (int tries = 0; write_out(x, count, factor, out) > most; tries++) {
        KN_CHECK(tries < 16);
        factor *= 1.0 - 0x1p-20;
    }
    if (norm != NULL) {
        *norm = length;
    }
    return KN_OK;
}
