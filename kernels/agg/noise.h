/* SPDX-License-Identifier: Apache-2.0
 *
 * Gaussian noise on integers: the discrete Gaussian, drawn exactly. Canonne, Kamath, Steinke, "The
 * discrete Gaussian for differential privacy", 2020, algorithms 1 to 3.
 *
 * Noise drawn as a floating-point number and added to one leaves its values where the true sum's
 * low bits show (Mironov, "On significance of the least significant bits for differential privacy",
 * 2012). Here sums are integers on a grid, noise is an integer, and no floating-point number takes
 * part in drawing it: every step compares uniform integers with integers.
 *
 * The bytes come from the caller and must be those of a cryptographic generator wherever privacy
 * hangs on them. Drawing takes as long as its outcome makes it: not for where an onlooker can time
 * single draws. */
#ifndef KN_AGG_NOISE_H
#define KN_AGG_NOISE_H

#include "kernels/err.h"

#include <stddef.h>
#include <stdint.h>

#define KN_NOISE_DEVIATION_MAX 0x1p40

struct kn_entropy {
    void (*fill)(void *context, uint8_t *bytes, size_t size);
    void *context;
};

/* Owned by one thread; fields are noise.c's. */
struct kn_noise {
    struct kn_entropy entropy;
    uint64_t variance[2]; /* low, high word */
    uint64_t scale;       /* of the Laplace numbers that are thinned out */
    size_t left;          /* bytes of the buffer not used yet */
    uint8_t buffer[1024];
};

/* The variance is deviation^2 rounded up to an integer, so never less noise than asked for.
 * INVALID unless 0 < deviation <= KN_NOISE_DEVIATION_MAX. */
KN_MUST_USE enum kn_err kn_noise_open(struct kn_noise *noise, struct kn_entropy entropy,
                                      double deviation, struct kn_diag *diag);
/* The variance in use. */
double kn_noise_variance(const struct kn_noise *noise);
/* `count` independent numbers, some 90 bytes of entropy each. INVALID: the bytes are not random (a
 * step failed that fails once in 2^100 times); out is then not to be used. */
KN_MUST_USE enum kn_err kn_noise_draw(struct kn_noise *noise, int64_t *out, size_t count,
                                      struct kn_diag *diag);
/* Wipes what is left of the bytes. */
void kn_noise_close(struct kn_noise *noise);

#endif
