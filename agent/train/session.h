/* SPDX-License-Identifier: Apache-2.0
 *
 * A training session: one agent's part in one unit, from placement to placement until the unit
 * ends. Its thread prepares (job, model, data), meets the other members of each generation, runs
 * the rounds with them, and, as the first member, leaves metrics, checkpoints and the result. All
 * members hold the same state, so each of them can go on alone. */
#ifndef TRAIN_SESSION_H
#define TRAIN_SESSION_H

#include "train/runner.h"

#define TRAIN_HELLO_US    UINT64_C(200000)   /* between two HELLOs to a member that is behind */
#define TRAIN_BEAT_US     UINT64_C(500000)   /* between two HELLOs of members that mix models */
#define TRAIN_LAG_US      UINT64_C(2000000)  /* of own work that a member may be behind others */
#define TRAIN_LAG_MIN     4u                 /* rounds; behind by no more it never skips any */
#define TRAIN_SILENCE_US  UINT64_C(2000000)  /* of a member before it is reported as lost */
#define TRAIN_PIECES_MAX  8u                 /* FETCHes under way */
#define TRAIN_PIECE_US    UINT64_C(500000)   /* without a piece before asking again */
#define TRAIN_FETCHES_MAX 64u                /* of others, waiting to be served */
#define TRAIN_LOAD_US     UINT64_C(5000000)  /* for one checkpoint to come */
#define TRAIN_DATA_US     UINT64_C(30000000) /* for the data of a job to come */
#define TRAIN_SEND_US     UINT64_C(2000000)  /* for room to send one chunk; then it is dropped */
#define TRAIN_STOP_US     UINT64_C(5000000)  /* for a state to turn up that a stop can keep */

struct bulk;
struct train_session;

struct train_session_config {
    struct service *s;
    struct bulk *bulk;
    uint32_t threads;
    struct train_part_config part;
};

/* Starts its thread. NO_MEMORY. */
SH_MUST_USE enum sh_err train_session_open(struct train_session **out,
                                           const struct train_session_config *config,
                                           const struct train_assignment *first);
/* The newest placement, or that the unit is stopping or yielding; nothing happens when it is the
 * one in force. Any thread, never blocks. */
void train_session_assign(struct train_session *x, const struct train_assignment *assignment);
/* This agent is no member of its unit now. True: it has a model that nobody else may have, trains
 * no more, and keeps it until a later assignment or the end of its unit. False: it is to leave.
 * Never blocks. */
bool train_session_park(struct train_session *x);
/* Asks it to end; does not wait. */
void train_session_leave(struct train_session *x);
bool train_session_has_ended(struct train_session *x);
/* It could not prepare for its unit, and has said so: a later placement needs a new session. */
bool train_session_has_failed(struct train_session *x);
void train_session_close(struct train_session *x); /* waits for its thread */

/* A training frame of another agent for this unit. payload and fd, -1: none, are borrowed. Never
 * blocks. */
void train_session_frame(struct train_session *x, const uint8_t node[static SH_NODE_ID_BYTES],
                         uint16_t type, struct sh_span payload, int fd);
/* The last connection to that agent is gone (a hint). Never blocks. */
void train_session_down(struct train_session *x, const uint8_t node[static SH_NODE_ID_BYTES]);

#endif
