/* SPDX-License-Identifier: Apache-2.0
 *
 * What a run measured so far. It rides in the checkpoints: who goes on from one tells all of it
 * again, so that no point is lost with the agent that had told it last. */
#ifndef RL_CURVE_H
#define RL_CURVE_H

#include "base/bytes.h"
#include "spec/spec.h"

struct rl_point {
    uint64_t iteration; /* after it */
    uint64_t steps;     /* of the environment, so far */
    uint64_t episodes;  /* that it is the mean of */
    double mean;        /* of their returns */
    double deviation;
};

struct rl_curve {
    uint32_t count;
    struct rl_point at[SPEC_RL_POINTS_MAX + 1]; /* and one for what is left at the end */
};

size_t rl_curve_size(const struct rl_curve *curve); /* encoded */
void rl_curve_put(struct sh_writer *w, const struct rl_curve *curve);
/* Any bytes: too many points, and points that do not ascend, turn the reader bad. */
void rl_curve_get(struct sh_reader *r, struct rl_curve *curve);

#endif
