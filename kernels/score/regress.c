/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/score/score.h"

#include "kernels/score/sum.h"

#include <math.h>

static bool usable(double x)
{
    return fabs(x) <= KN_SCORE_VALUE_MAX; /* false for not-a-number too */
}

/* A spread so small that its square is 0, or the quotient out of range, is as good as none. */
static double relative(double error, double spread)
{
    const double quotient = spread > 0.0 ? error / spread : (double)NAN;
    return isfinite(quotient) != 0 ? quotient : (double)NAN;
}

enum kn_err kn_regression_scores(const double *truth, const double *predicted, size_t count,
                                 struct kn_regression *out, struct kn_diag *diag)
{
    struct kn_sum total = {0};
    struct kn_sum absolute = {0};
    struct kn_sum square = {0};
    bool constant = true;
    for (size_t i = 0; i < count; i++) {
        if (!usable(truth[i]) || !usable(predicted[i])) {
            return kn_fail(diag, KN_ERR_NOT_FINITE,
                           "sample %zu: truth or prediction is not finite or above %g", i,
                           KN_SCORE_VALUE_MAX);
        }
        const double error = predicted[i] - truth[i];
        kn_sum_add(&total, truth[i]);
        kn_sum_add(&absolute, fabs(error));
        kn_sum_add(&square, error * error);
        constant = constant && !(truth[i] < truth[0]) && !(truth[i] > truth[0]);
    }
    const double none = (double)NAN;
    *out = (struct kn_regression){none, none, none, none, none, none};
    if (count == 0) {
        return KN_OK;
    }
    const double n = (double)count;
    out->mae = kn_sum_value(&absolute) / n;
    out->mse = kn_sum_value(&square) / n;
    out->rmse = sqrt(out->mse);
    if (constant) { /* asked exactly: its mean may round, and the spread would be that rounding */
        return KN_OK;
    }
    const double mean = kn_sum_value(&total) / n;
    struct kn_sum spread = {0};
    struct kn_sum spread2 = {0};
    for (size_t i = 0; i < count; i++) {
        const double d = truth[i] - mean;
        kn_sum_add(&spread, fabs(d));
        kn_sum_add(&spread2, d * d);
    }
    out->rae = relative(kn_sum_value(&absolute), kn_sum_value(&spread));
    out->rse = relative(kn_sum_value(&square), kn_sum_value(&spread2));
    out->rrse = sqrt(out->rse);
    return KN_OK;
}
