/* SPDX-License-Identifier: Apache-2.0
 *
 * One agent's part in a unit that asks a model which shoal trained: it measures the model (kind
 * evaluate), or predicts (predict, and each member of an ensemble). The model's file and the data
 * are fetched, the answer is committed as outputs. Models of scripts answer in script/unit.h. */
#ifndef ANSWER_UNIT_H
#define ANSWER_UNIT_H

#include "train/runner.h"

#define ANSWER_FETCH_US UINT64_C(60000000) /* for a model or data to come */

struct answer; /* what the units of one agent share */

SH_MUST_USE enum sh_err answer_open(struct answer **out, struct service *s);
void answer_close(struct answer *answer); /* after the last part was closed */
/* Runs units; borrowed from answer. */
const struct train_runner *answer_runner(const struct answer *answer);

#endif
