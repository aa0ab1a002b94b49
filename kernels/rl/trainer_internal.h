/* SPDX-License-Identifier: Apache-2.0
 *
 * What a trainer is made of: internal to rl/. */
#ifndef KN_RL_TRAINER_INTERNAL_H
#define KN_RL_TRAINER_INTERNAL_H

#include "kernels/rl/spread.h"
#include "kernels/rl/trainer.h"

/* One step of the episode that is being learnt from. */
struct kn_rl_step {
    uint32_t view; /* before it */
    float reward;
};

struct kn_rl {
    struct kn_rl_config config;
    uint64_t iteration; /* finished */
    uint64_t steps;
    struct kn_spread spread; /* since the last summary */
    uint32_t views;
    float *policy;     /* views * actions; these five are one allocation, owned */
    float *value;      /* views: mean gain from there, the baseline; right behind the policy */
    float *policy_sum; /* of the gradient, in this iteration */
    float *value_sum;  /* of the distance from the baseline */
    float *seen;       /* views: how often in this iteration */
    struct kn_rl_step *step; /* env.steps_max, owned */
    uint8_t *action;         /* env.steps_max, owned */
};

#endif
