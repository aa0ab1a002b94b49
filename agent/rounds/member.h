/* SPDX-License-Identifier: Apache-2.0
 *
 * One agent's part in federated rounds besides leading them: it takes invitations, trains on what
 * it holds, keeps the update as a blob of its own store and tells whoever leads. What it has made
 * for the newest round it tells again whenever it is asked, also by another leader, and makes it
 * once. Its thread is its own. */
#ifndef ROUNDS_MEMBER_H
#define ROUNDS_MEMBER_H

#include "rounds/masking.h"
#include "rounds/trainer.h"
#include "train/scribe.h"

#define ROUNDS_STATE_US UINT64_C(30000000) /* for the state of a round to come */
#define ROUNDS_TELL_US  UINT64_C(2000000)  /* for one try to tell the leader */
#define ROUNDS_RETRY_US UINT64_C(500000)   /* between two of them */
#define ROUNDS_BLOB_US  UINT64_C(20000000) /* for an update to be on this disk */

struct rounds_member;

struct rounds_member_config {
    struct service *s;
    struct wire_unit unit;
    struct train_scribe *scribe;          /* borrowed */
    struct rounds_trainer trainer;        /* given: closed with the member */
    struct rounds_masking_config masking; /* its ctx is that below */
    /* On its thread: it cannot reach the agent that leads the gang of that generation. */
    void (*lost)(void *ctx, uint64_t generation, const uint8_t leader[static SH_NODE_ID_BYTES]);
    void *ctx;
};

/* Starts its thread. NO_MEMORY: the trainer is not closed. */
SH_MUST_USE enum sh_err rounds_member_open(struct rounds_member **out,
                                           const struct rounds_member_config *config);
/* Gives up what it is at; waits for its thread. ended: the unit has, nothing is kept. */
void rounds_member_close(struct rounds_member *m, bool ended);

/* An invitation; the answer is what it makes of it now. Any thread, never blocks. */
void rounds_member_invite(struct rounds_member *m, const struct rounds_invite *invite,
                          struct rounds_report *answer);
/* A question of a secure sum (rounds/sum_message.h) and its answer. Any thread, some milliseconds.
 * CORRUPT, VERSION. */
SH_MUST_USE enum sh_err rounds_member_sum(struct rounds_member *m, struct sh_span question,
                                          struct sh_writer *answer);
/* The cluster that its identity belongs to; SH_CLUSTER_ID_BYTES, borrowed. */
const uint8_t *rounds_member_cluster(const struct rounds_member *m);
/* The model before the first round, for whoever leads; waits while the member is at work. *bytes is
 * given (free); why has ROUNDS_WHY_BYTES. */
SH_MUST_USE enum sh_err rounds_member_begin(struct rounds_member *m, uint8_t **bytes, size_t *size,
                                            char *why);

#endif
