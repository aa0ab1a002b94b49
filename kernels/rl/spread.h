/* SPDX-License-Identifier: Apache-2.0
 *
 * Mean and spread of returns: internal to rl/. Sums are in whole millionths, exact up to 2^53 of
 * them, and rounded alike everywhere beyond; the square root is IEEE's. */
#ifndef KN_RL_SPREAD_H
#define KN_RL_SPREAD_H

#include <math.h>
#include <stdint.h>

#define KN_MICRO 1e-6

struct kn_spread {
    uint64_t count;
    double sum;    /* of returns, in millionths */
    double square; /* of their squares */
};

static inline void kn_spread_add(struct kn_spread *s, int64_t return_micro)
{
    const double x = (double)return_micro;
    s->count++;
    s->sum += x;
    s->square += x * x;
}

static inline double kn_spread_mean(const struct kn_spread *s)
{
    return s->count > 0 ? s->sum / (double)s->count * KN_MICRO : 0.0;
}

static inline double kn_spread_std(const struct kn_spread *s)
{
    if (s->count == 0) {
        return 0.0;
    }
    const double n = (double)s->count;
    const double mean = s->sum / n;
    const double variance = s->square / n - mean * mean;
    return variance > 0.0 ? sqrt(variance) * KN_MICRO : 0.0;
}

#endif
