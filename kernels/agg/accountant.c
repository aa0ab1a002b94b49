/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/agg/accountant.h"

#include "kernels/math.h"

#include <math.h>

#define NOISE_MIN 0.01 /* below, orders of any use cost more than a double tells */

enum kn_err kn_privacy_verify(double q, double noise, struct kn_diag *diag)
{
    if (!(q > 0.0 && q <= 1.0)) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "%g is the chance to take part in a round: more than 0, at most 1", q);
    }
    if (!(noise >= NOISE_MIN && isfinite(noise))) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "noise %g: its deviation over the clipping bound, at least %g", noise,
                       NOISE_MIN);
    }
    return KN_OK;
}

/* log of the sum of exponentials, the greatest taken out. */
static double log_sum(const double *term, uint32_t count)
{
    double greatest = term[0];
    double sum = 0;
    for (uint32_t i = 1; i < count; i++) {
        greatest = term[i] > greatest ? term[i] : greatest;
    }
    for (uint32_t i = 0; i < count; i++) {
        sum += kn_exp64(term[i] - greatest);
    }
    return greatest + kn_log64(sum);
}

double kn_privacy_rdp(double q, double noise, uint32_t order)
{
    KN_CHECK(order >= KN_PRIVACY_ORDER_MIN && order <= KN_PRIVACY_ORDER_MAX);
    KN_CHECK(q > 0.0 && q <= 1.0 && noise >= NOISE_MIN);
    const double a = (double)order;
    const double twice = 2.0 * noise * noise;
    if (q >= 1.0) {
        return a / twice;
    }
    double term[KN_PRIVACY_ORDER_MAX + 1];
    double choose = 0; /* log C(a, k) */
    for (uint32_t i = 0; i <= order; i++) {
        const double k = (double)i;
        term[i] = choose + (a - k) * kn_log64(1.0 - q) + k * kn_log64(q) + k * (k - 1.0) / twice;
        choose += kn_log64((a - k) / (k + 1.0));
        if (i + 1 == order) {
            choose = 0; /* C(a, a), without what the logarithms have lost */
        }
    }
    double rdp = log_sum(term, order + 1) / (a - 1.0);
    return rdp > 0 ? rdp : 0;
}

void kn_ledger_spend(struct kn_ledger *ledger, double q, double noise, uint64_t rounds)
{
    for (uint32_t a = KN_PRIVACY_ORDER_MIN; a <= KN_PRIVACY_ORDER_MAX; a++) {
        ledger->spent[a] += (double)rounds * kn_privacy_rdp(q, noise, a);
    }
}

double kn_ledger_epsilon(const struct kn_ledger *ledger, double delta, uint32_t *order)
{
    KN_CHECK(delta > 0.0 && delta < 1.0);
    double least = (double)INFINITY;
    uint32_t best = KN_PRIVACY_ORDER_MIN;
    for (uint32_t i = KN_PRIVACY_ORDER_MIN; i <= KN_PRIVACY_ORDER_MAX; i++) {
        const double a = (double)i;
        double epsilon = ledger->spent[i] + kn_log64(1.0 - 1.0 / a) -
                         (kn_log64(delta) + kn_log64(a)) / (a - 1.0);
        if (epsilon < least) {
            least = epsilon;
            best = i;
        }
    }
    if (order != NULL) {
        *order = best;
    }
    return least > 0 ? least : 0;
}

uint64_t kn_ledger_rounds(double q, double noise, double delta, double epsilon_max)
{
    struct kn_ledger one = {{0}};
    uint64_t within = 0;
    uint64_t beyond = (uint64_t)KN_PRIVACY_ROUNDS_MAX + 1;
    kn_ledger_spend(&one, q, noise, 1);
    while (within + 1 < beyond) {
        struct kn_ledger many = one;
        const uint64_t rounds = within + (beyond - within) / 2;
        for (uint32_t a = KN_PRIVACY_ORDER_MIN; a <= KN_PRIVACY_ORDER_MAX; a++) {
            many.spent[a] *= (double)rounds;
        }
        if (kn_ledger_epsilon(&many, delta, NULL) <= epsilon_max) {
            within = rounds;
        } else {
            beyond = rounds;
        }
    }
    return within;
}
