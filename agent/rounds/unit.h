/* SPDX-License-Identifier: Apache-2.0
 *
 * One agent's part in a job of federated rounds: it trains on what it holds (rounds/member.h) and,
 * as the first member of the gang, leads the rounds (rounds/lead.h). No code here, and no call that
 * it answers, gives a sample to another agent: what leaves is an update and what was measured. */
#ifndef ROUNDS_UNIT_H
#define ROUNDS_UNIT_H

#include "rounds/trainer.h"
#include "train/worker.h"
#include "trust/trust.h"

#define ROUNDS_UNITS_MAX 64u /* open at a time on one agent; more than the supervisor opens */

struct rounds; /* what the units of one agent share */

struct rounds_config {
    struct service *s;
    const struct trust *trust; /* of this agent, borrowed: secure sums are signed with it */
    uint32_t threads;
    const char *folder; /* made where it is absent: what has to outlive this agent's life; copied */
    /* Makes what trains for a job of kind exec; w outlives it. NO_MEMORY. */
    enum sh_err (*script)(void *ctx, struct rounds_trainer *out, struct train_worker *w);
    void *ctx;
};

SH_MUST_USE enum sh_err rounds_open(struct rounds **out,
                                    const struct rounds_config *config); /* NO_MEMORY, IO */
void rounds_close(struct rounds *rounds); /* after the last part was closed */
/* Runs units; borrowed from rounds. */
const struct train_runner *rounds_runner(const struct rounds *rounds);
/* Answers SERVICE_CALL_ROUNDS; ctx is the struct rounds. */
enum sh_err rounds_answer(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                          size_t *reply_size);

#endif
