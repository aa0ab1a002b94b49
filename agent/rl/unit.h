/* SPDX-License-Identifier: Apache-2.0
 *
 * Units of kind rl: the built-in trainer (kernels/rl) on one agent, from placement to placement. It
 * tells points of the curve and, as lines of the job's log, episodes and states of its environment;
 * leaves checkpoints; and commits the policy as a model. Wherever it goes on from a checkpoint, the
 * curve, the policy and every episode are those of a run that was never interrupted. */
#ifndef RL_UNIT_H
#define RL_UNIT_H

#include "train/runner.h"

#define RL_STATE_BYTES_MAX (UINT64_C(1) << 30) /* of a checkpoint */
#define RL_NICE            10                  /* training gives way to everything else */
#define RL_LINES           64u                 /* of the log in one write */
#define RL_MEASURES        192u                /* points of series in one write */
#define RL_WRITE_US        UINT64_C(250000) /* lines and points wait for others at most so long */

/* Runs units; s is borrowed for as long as any of them. */
struct train_runner rl_runner(struct service *s);

#endif
