/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/optim/optim.h"

#include "kernels/math.h"

#include <math.h>

struct kn_optim kn_optim_default(enum kn_optim_kind kind)
{
    KN_CHECK(kind == KN_OPTIM_SGD || kind == KN_OPTIM_ADAMW);
    struct kn_optim o = {.kind = kind, .lr = 0.01f};
    if (kind == KN_OPTIM_ADAMW) {
        o.lr = 0.001f;
        o.weight_decay = 0.01f;
        o.beta1 = 0.9f;
        o.beta2 = 0.999f;
        o.eps = 1e-8f;
    }
    return o;
}

static bool below_one(float value)
{
    return value >= 0.0f && value < 1.0f;
}

enum kn_err kn_optim_verify(const struct kn_optim *o, struct kn_diag *diag)
{
    if (!(o->lr > 0.0f) || !isfinite(o->lr)) {
        return kn_fail(diag, KN_ERR_INVALID, "lr: %g, expected above 0", (double)o->lr);
    }
    if (!(o->weight_decay >= 0.0f) || !isfinite(o->weight_decay)) {
        return kn_fail(diag, KN_ERR_INVALID, "weight_decay: %g, expected at least 0",
                       (double)o->weight_decay);
    }
    if (o->kind == KN_OPTIM_SGD) {
        if (!below_one(o->momentum)) {
            return kn_fail(diag, KN_ERR_INVALID, "momentum: %g, expected at least 0 and below 1",
                           (double)o->momentum);
        }
        if (o->nesterov && !(o->momentum > 0.0f)) {
            return kn_fail(diag, KN_ERR_INVALID, "nesterov needs a momentum above 0");
        }
        return KN_OK;
    }
    if (o->kind != KN_OPTIM_ADAMW) {
        return kn_fail(diag, KN_ERR_INVALID, "unknown optimiser %d", (int)o->kind);
    }
    if (!below_one(o->beta1) || !below_one(o->beta2)) {
        return kn_fail(diag, KN_ERR_INVALID, "betas: %g, %g, expected at least 0 and below 1",
                       (double)o->beta1, (double)o->beta2);
    }
    if (!(o->eps > 0.0f) || !isfinite(o->eps)) {
        return kn_fail(diag, KN_ERR_INVALID, "eps: %g, expected above 0", (double)o->eps);
    }
    return KN_OK;
}

size_t kn_optim_state_count(const struct kn_optim *o, size_t count)
{
    if (o->kind == KN_OPTIM_ADAMW) {
        return 2 * count;
    }
    return o->momentum > 0.0f ? count : 0;
}

static void sgd_plain(const struct kn_optim *o, float lr, float *restrict params,
                      const float *restrict sum, float scale, size_t count)
{
    const float decay = o->weight_decay;
    for (size_t i = 0; i < count; i++) {
        const float g = sum[i] * scale + decay * params[i];
        params[i] -= lr * g;
    }
}

/* torch: the first step sets the velocity to the gradient; from zero that is the same sum. */
static void sgd_momentum(const struct kn_optim *o, float lr, float *restrict params,
                         const float *restrict sum, float scale, float *restrict velocity,
                         size_t count)
{
    const float decay = o->weight_decay;
    const float momentum = o->momentum;
    const float ahead = o->nesterov ? momentum : 0.0f;
    if (o->nesterov) {
        for (size_t i = 0; i < count; i++) {
            const float g = sum[i] * scale + decay * params[i];
            velocity[i] = momentum * velocity[i] + g;
            params[i] -= lr * (g + ahead * velocity[i]);
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const float g = sum[i] * scale + decay * params[i];
        velocity[i] = momentum * velocity[i] + g;
        params[i] -= lr * velocity[i];
    }
}

static void adamw(const struct kn_optim *o, float lr, uint64_t step, float *restrict params,
                  const float *restrict sum, float scale, float *restrict first,
                  float *restrict second, size_t count)
{
    const double correction1 = 1.0 - kn_power64((double)o->beta1, step + 1);
    const double correction2 = 1.0 - kn_power64((double)o->beta2, step + 1);
    const float keep = (float)(1.0 - (double)lr * (double)o->weight_decay);
    const float rate = (float)((double)lr / correction1);
    const float root = (float)sqrt(correction2);
    const float beta1 = o->beta1;
    const float beta2 = o->beta2;
    const float rest1 = (float)(1.0 - (double)o->beta1);
    const float rest2 = (float)(1.0 - (double)o->beta2);
    const float eps = o->eps;
    for (size_t i = 0; i < count; i++) {
        const float g = sum[i] * scale;
        first[i] = beta1 * first[i] + rest1 * g;
        second[i] = beta2 * second[i] + rest2 * g * g;
        const float denominator = sqrtf(second[i]) / root + eps;
        params[i] = params[i] * keep - rate * (first[i] / denominator);
    }
}

void kn_optim_update(const struct kn_optim *o, float lr, uint64_t step, float *params,
                     const float *sum, float scale, float *state, size_t count)
{
    KN_CHECK(kn_optim_verify(o, NULL) == KN_OK);
    KN_CHECK(step < UINT64_MAX);
    if (o->kind == KN_OPTIM_ADAMW) {
        adamw(o, lr, step, params, sum, scale, state, state + count, count);
    } else if (o->momentum > 0.0f) {
        sgd_momentum(o, lr, params, sum, scale, state, count);
    } else {
        sgd_plain(o, lr, params, sum, scale, count);
    }
}
