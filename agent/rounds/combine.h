/* SPDX-License-Identifier: Apache-2.0
 *
 * From the updates of one round to the next model: the rule that makes one change of many, then the
 * optimiser that applies it. The same updates give the same bytes in whatever order they are
 * listed. */
#ifndef ROUNDS_COMBINE_H
#define ROUNDS_COMBINE_H

#include "base/err.h"
#include "kernels/agg/vote.h"
#include "rounds/model.h"
#include "spec/federated.h"

struct rounds_updates {
    uint32_t count;
    const uint32_t *weights;  /* kernels/agg/client.h; not all 0; rules but the mean need none */
    const uint64_t *ids;      /* of whose they are, distinct: equal cases are decided by them */
    enum kn_vote_fate *fates; /* what the rule made of each; the mean keeps all */
    /* Reads update i; each has floats elements, variates only where the algorithm has them, else
     * NULL. May be called more than once for an update. */
    enum sh_err (*load)(void *ctx, uint32_t i, float *change, float *variates);
    void *ctx;
};

/* The rule: out (floats elements) becomes the change that the updates come to; with privacy their
 * clipped mean with noise, drawn anew in every call. variates, not NULL for SCAFFOLD only, becomes
 * the sum of what the clients' variates changed by, over members (how many there are in all).
 * NO_MEMORY (a rule against liars holds all updates at once), what load answers; INVALID: too few
 * updates for the rule. */
SH_MUST_USE enum sh_err rounds_combine(const struct spec_federated *fed,
                                       const struct rounds_updates *updates, size_t floats,
                                       uint32_t members, float *out, float *variates);

/* Bits after the point of updates under privacy: the bound on their length has 30 bits. */
uint32_t rounds_privacy_bits(const struct spec_privacy *privacy);

/* Floats of state that the server's optimiser keeps for such a model. */
size_t rounds_server_count(const struct spec_federated *fed, const struct rounds_model *model);
void rounds_server_begin(const struct spec_federated *fed, float *state, size_t floats);
/* Applies a change: params (floats elements) in the order of the model's file. */
void rounds_server_apply(const struct spec_federated *fed, const struct rounds_model *model,
                         float *params, const float *change, float *state);

#endif
