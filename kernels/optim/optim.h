/* SPDX-License-Identifier: Apache-2.0
 *
 * Optimisers and learning-rate schedules over one flat vector of floats.
 *
 * Element-wise and without reductions: equal inputs give equal bits on every thread count, and any
 * slice of the vector may be updated alone. Semantics are those of torch.optim.SGD and
 * torch.optim.AdamW (weight decay applies to every element; dampening 0). */
#ifndef KN_OPTIM_H
#define KN_OPTIM_H

#include "kernels/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kn_optim_kind { KN_OPTIM_SGD = 0, KN_OPTIM_ADAMW = 1 };

struct kn_optim {
    enum kn_optim_kind kind;
    float lr;           /* > 0, finite; the schedule multiplies it */
    float weight_decay; /* >= 0; SGD: added to the gradient, AdamW: decoupled */
    float momentum;     /* SGD only: [0, 1) */
    bool nesterov;      /* SGD only: needs momentum > 0 */
    float beta1;        /* AdamW only: [0, 1) */
    float beta2;        /* AdamW only: [0, 1) */
    float eps;          /* AdamW only: > 0 */
};

/* torch's defaults: SGD lr 0.01, nothing else; AdamW lr 0.001, betas 0.9 0.999, eps 1e-8, decay
 * 0.01. */
struct kn_optim kn_optim_default(enum kn_optim_kind kind);
/* INVALID with a text naming the field. */
KN_MUST_USE enum kn_err kn_optim_verify(const struct kn_optim *o, struct kn_diag *diag);

/* Floats of state for `count` parameters: SGD without momentum 0, with momentum count, AdamW
 * 2 * count (first moments, then second moments). Zero-filled before the first step. */
size_t kn_optim_state_count(const struct kn_optim *o, size_t count);

/* One update of params[0, count) from the mean over the batch, which is sum (borrowed) times scale.
 * `lr` is the rate of this step (kn_optim.lr times the schedule's factor); `step` counts completed
 * updates, 0 at the first. `state` has kn_optim_state_count floats for the same count. */
void kn_optim_update(const struct kn_optim *o, float lr, uint64_t step, float *params,
                     const float *sum, float scale, float *state, size_t count);

enum kn_schedule_kind {
    KN_SCHEDULE_CONSTANT = 0,
    KN_SCHEDULE_LINEAR = 1, /* from 1 down to `final` at the last step */
    KN_SCHEDULE_COSINE = 2, /* the same ends along half a cosine */
    KN_SCHEDULE_STEP = 3    /* times `gamma` after every `every` steps */
};

struct kn_schedule {
    enum kn_schedule_kind kind;
    uint64_t total_steps; /* > 0 for linear and cosine */
    uint64_t
        warmup_steps; /* the factor rises as (step + 1) / warmup_steps before the rest begins */
    float final;      /* linear, cosine: factor at the end, [0, 1] */
    uint64_t every;   /* step: > 0 */
    float gamma;      /* step: (0, 1] */
};

KN_MUST_USE enum kn_err kn_schedule_verify(const struct kn_schedule *s, struct kn_diag *diag);
/* Factor of the learning rate for update number `step` (0 is the first): in [0, 1]. Computed in
 * double without libm, so equal everywhere. Steps past total_steps keep `final`. */
float kn_schedule_factor(const struct kn_schedule *s, uint64_t step);

#endif
