/* SPDX-License-Identifier: Apache-2.0
 *
 * What rounds with Gaussian noise have cost in privacy: Renyi differential privacy of the sampled
 * Gaussian mechanism, added over rounds and converted to (epsilon, delta).
 *
 *     R(a) = 1 / (a - 1) log sum_k C(a, k) (1 - q)^(a - k) q^k exp(k (k - 1) / (2 z^2))
 *     epsilon = min over a of  sum of R(a) + log(1 - 1/a) - (log delta + log a) / (a - 1)
 *
 * for integer orders a. Mironov, Talwar, Zhang, "Renyi differential privacy of the sampled Gaussian
 * mechanism", 2019, section 3.3; the conversion is that of Canonne, Kamath, Steinke, "The discrete
 * Gaussian for differential privacy", 2020, proposition 12. The unit protected is what one member
 * sends in one round, added or left out; z is the deviation of the noise over the bound on its
 * length (kernels/agg/clip.h).
 *
 * With q < 1 this holds where every member takes part by a coin of its own with probability q. Of
 * discrete noise (kernels/agg/noise.h) the bound with q = 1 is the same as of continuous noise (the
 * paper's theorem 4); with q < 1 it is taken over from it, which is exact in the limit of a fine
 * grid. */
#ifndef KN_AGG_ACCOUNTANT_H
#define KN_AGG_ACCOUNTANT_H

#include "kernels/err.h"

#include <stdint.h>

#define KN_PRIVACY_ORDER_MIN  2u
#define KN_PRIVACY_ORDER_MAX  256u
#define KN_PRIVACY_ROUNDS_MAX 1000000000u /* of one ledger, for kn_ledger_rounds */

/* All zero: nothing spent. Rounds add up in the order of spending. */
struct kn_ledger {
    double spent[KN_PRIVACY_ORDER_MAX + 1]; /* by order; the first two stay 0 */
};

/* INVALID, with field and value, unless 0 < q <= 1 and noise is a number >= 0.01. */
KN_MUST_USE enum kn_err kn_privacy_verify(double q, double noise, struct kn_diag *diag);
/* R(order) of one round. Both arguments as verified. O(order). */
double kn_privacy_rdp(double q, double noise, uint32_t order);
/* Adds `rounds` rounds. O(orders^2). */
void kn_ledger_spend(struct kn_ledger *ledger, double q, double noise, uint64_t rounds);
/* 0 < delta < 1. The order that gives the least goes to *order (NULL: not wanted). */
double kn_ledger_epsilon(const struct kn_ledger *ledger, double delta, uint32_t *order);
/* The most rounds, KN_PRIVACY_ROUNDS_MAX at most, that end with epsilon <= epsilon_max. */
uint64_t kn_ledger_rounds(double q, double noise, double delta, double epsilon_max);

#endif
