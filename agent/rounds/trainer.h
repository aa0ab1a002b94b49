/* SPDX-License-Identifier: Apache-2.0
 *
 * What trains on an agent for a member of federated rounds: shoal's own kernels (rounds/local.h),
 * or the commands of a script. Called by one thread at a time. */
#ifndef ROUNDS_TRAINER_H
#define ROUNDS_TRAINER_H

#include "rounds/message.h"
#include "rounds/model.h"

#define ROUNDS_WHY_BYTES 320u

struct rounds_task {
    uint64_t round;
    bool evaluates;
    const struct rounds_model *model; /* borrowed */
    const float *controls;            /* SCAFFOLD: of all clients; else NULL */
    /* False: nobody waits for it any more; asked between steps. */
    bool (*wanted)(void *ctx);
    void *ctx;
    /* What comes out, model->floats of each: */
    float *change;   /* by how much training changed the model */
    float *variates; /* SCAFFOLD: what the own control variate changed by; else NULL */
    struct rounds_figures figures;
};

struct rounds_trainer {
    void *ctx;
    /* Makes it ready: reads its data. Called before anything else, again after an error. why
     * (ROUNDS_WHY_BYTES) is a line. */
    enum sh_err (*prepare)(void *ctx, char *why);
    /* The model before the first round; given (free). */
    enum sh_err (*begin)(void *ctx, uint8_t **bytes, size_t *size, char *why);
    /* CANCELLED: it is not wanted any more. */
    enum sh_err (*work)(void *ctx, struct rounds_task *task, char *why);
    /* The unit has ended: nothing is to be kept for a later life of this agent. */
    void (*forget)(void *ctx);
    void (*close)(void *ctx);
};

#endif
