/* SPDX-License-Identifier: Apache-2.0
 *
 * Training of one client by shoal's own kernels, on what this agent holds of the data set. What
 * comes out is a function of job, round, model, data and the agent's name: the order of the samples
 * and every random number are drawn from seed, round and name, so whoever has to train again gives
 * the same bytes.
 *
 * The optimiser begins anew in every round; the learning rate follows the schedule over all of
 * them. Samples that are held out for validation are the same ones in all rounds. */
#ifndef ROUNDS_LOCAL_H
#define ROUNDS_LOCAL_H

#include "rounds/trainer.h"
#include "train/runner.h"

struct rounds_local_config {
    struct service *s;
    const struct train_part_config *part; /* borrowed, with its spec */
    const char *name;                     /* of this agent; copied */
    uint32_t threads;
    const char *folder; /* for what has to outlive this agent's life; borrowed */
};

/* NO_MEMORY. */
SH_MUST_USE enum sh_err rounds_local_open(struct rounds_trainer *out,
                                          const struct rounds_local_config *config);

#endif
