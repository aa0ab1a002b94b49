/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/optim/optim.h"

#include "kernels/math.h"

#define PI 0x1.921fb54442d18p1

enum kn_err kn_schedule_verify(const struct kn_schedule *s, struct kn_diag *diag)
{
    switch (s->kind) {
    case KN_SCHEDULE_CONSTANT:
        return KN_OK;
    case KN_SCHEDULE_LINEAR:
    case KN_SCHEDULE_COSINE:
        if (s->total_steps <= s->warmup_steps) {
            return kn_fail(diag, KN_ERR_INVALID,
                           "warmup: %llu steps, expected below the total %llu",
                           (unsigned long long)s->warmup_steps, (unsigned long long)s->total_steps);
        }
        if (!(s->final >= 0.0f) || !(s->final <= 1.0f)) {
            return kn_fail(diag, KN_ERR_INVALID, "final: %g, expected 0 to 1", (double)s->final);
        }
        return KN_OK;
    case KN_SCHEDULE_STEP:
        if (s->every == 0) {
            return kn_fail(diag, KN_ERR_INVALID, "every: 0, expected at least 1 step");
        }
        if (!(s->gamma > 0.0f) || !(s->gamma <= 1.0f)) {
            return kn_fail(diag, KN_ERR_INVALID, "gamma: %g, expected above 0 and at most 1",
                           (double)s->gamma);
        }
        return KN_OK;
    }
    return kn_fail(diag, KN_ERR_INVALID, "unknown schedule %d", (int)s->kind);
}

float kn_schedule_factor(const struct kn_schedule *s, uint64_t step)
{
    KN_CHECK(kn_schedule_verify(s, NULL) == KN_OK);
    if (step < s->warmup_steps) {
        return (float)(((double)step + 1.0) / (double)s->warmup_steps);
    }
    const uint64_t done = step - s->warmup_steps;
    if (s->kind == KN_SCHEDULE_CONSTANT) {
        return 1.0f;
    }
    if (s->kind == KN_SCHEDULE_STEP) {
        return (float)kn_power64((double)s->gamma, done / s->every);
    }
    /* 0 at the first step after the warm-up, 1 at the last step and beyond. */
    const uint64_t last = s->total_steps - s->warmup_steps - 1;
    const double part = done >= last ? 1.0 : (double)done / (double)last;
    const double final = (double)s->final;
    if (s->kind == KN_SCHEDULE_LINEAR) {
        return (float)(1.0 - (1.0 - final) * part);
    }
    return (float)(final + (1.0 - final) * 0.5 * (1.0 + kn_cos64(PI * part)));
}
