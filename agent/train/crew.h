/* SPDX-License-Identifier: Apache-2.0
 *
 * The threads of a session that compute. They take this agent's ranks of a round one after the
 * other and compute each exactly as if it were alone; what comes out does not depend on how many
 * threads there are. They run at a lower priority (TRAIN_CREW_NICE): training takes what others
 * leave.
 *
 * The vector of one rank: in a STEP what kn_model_step gives. In a LOCAL round a rank trains a copy
 * of the model for the steps of the round, on the samples that are its own in those steps, and
 * gives how far each parameter went (before - after), the buffers and, unless it begins anew each
 * time, the optimiser's state as they are then, and loss sum and correct ones over all steps: a
 * function of the state before the round, so that whoever computes it again gets the same bits. The
 * parameters move by the outer optimiser along the mean of the differences (DiLoCo, Douillard et
 * al. 2023, algorithm 1; state of inner optimisers averaged instead of kept, so that none is lost
 * with an agent). In a VALIDATION or TEST round three floats over the rank's contiguous share of
 * the samples: the loss sum, and the number of correct ones as count % 4096 and count / 4096, so
 * that sums over 256 ranks stay exact integers. */
#ifndef TRAIN_CREW_H
#define TRAIN_CREW_H

#include "train/material.h"
#include "train/sum.h"

#define TRAIN_CREW_NICE         10
#define TRAIN_CREW_THREADS_MAX  256u
#define TRAIN_CREW_CORRECT_BASE 4096u

struct train_crew;

struct train_crew_config {
    const struct train_material *m; /* borrowed */
    struct train_sum *sum;          /* borrowed */
    uint32_t threads;               /* 1..TRAIN_CREW_THREADS_MAX */
    /* On a crew thread: the sum of this own subtree is complete. */
    void (*ready)(void *ctx, uint32_t subtree);
    /* On a crew thread: a rank gave no result, the round will not complete. */
    void (*failed)(void *ctx, uint32_t rank, const struct kn_diag *diag);
    void *ctx;
};

struct train_work {
    struct train_round round; /* not the END */
    const float *params;      /* borrowed until the work is over or cancelled */
    const float *buffers;
    const float *optim;
    uint32_t low; /* own ranks [low, high) */
    uint32_t high;
};

/* Takes all memory that computing needs. NO_MEMORY. */
SH_MUST_USE enum sh_err train_crew_open(struct train_crew **out,
                                        const struct train_crew_config *config);
void train_crew_close(struct train_crew *crew); /* cancels, waits */

/* Hands out the work; no other may be running. train_sum_begin has been called for it. */
void train_crew_begin(struct train_crew *crew, const struct train_work *work);
/* Takes back what no thread has begun and waits for what has been begun: at most one rank's time.
 * (of a LOCAL round one step's). Afterwards no callback comes and nothing of the work is read any
 * more. */
void train_crew_cancel(struct train_crew *crew);

#endif
