/* SPDX-License-Identifier: Apache-2.0
 *
 * What trains for federated rounds (rounds/trainer.h) by the commands of a job of kind exec. They
 * run once a round, in a new working folder with the package: SHOAL_MODEL_IN is the round's model,
 * a safetensors file, SHOAL_DATASET what this agent holds of the data set. They leave the changed
 * model at SHOAL_MODEL_OUT and tell how many samples they saw: SHOAL {"samples": 120, "loss": 0.4}.
 * With SHOAL_ROUND 0 and no SHOAL_MODEL_IN they make the model that all begin with, on one agent.
 *
 * The folder is WORK/JOB-UNIT-rounds and goes after each round. */
#ifndef SCRIPT_CLIENT_H
#define SCRIPT_CLIENT_H

#include "rounds/trainer.h"
#include "script/unit.h"
#include "train/worker.h"

/* ctx is the struct scripts; w, which outlives the trainer, is read with its lock only. NO_MEMORY.
 */
SH_MUST_USE enum sh_err script_client_open(void *ctx, struct rounds_trainer *out,
                                           struct train_worker *w);

#endif
