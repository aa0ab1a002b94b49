/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums that keep what rounding drops (Neumaier, "Rundungsfehleranalyse einiger Verfahren zur
 * Summation endlicher Summen", 1974): internal to score/. */
#ifndef KN_SCORE_SUM_H
#define KN_SCORE_SUM_H

#include <math.h>

struct kn_sum {
    double total;
    double lost;
};

/* x and every partial sum must be finite; KN_SCORE_VALUE_MAX sees to that. */
static inline void kn_sum_add(struct kn_sum *s, double x)
{
    const double next = s->total + x;
    s->lost += fabs(s->total) >= fabs(x) ? (s->total - next) + x : (x - next) + s->total;
    s->total = next;
}

static inline double kn_sum_value(const struct kn_sum *s)
{
    return s->total + s->lost;
}

#endif
