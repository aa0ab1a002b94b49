/* SPDX-License-Identifier: Apache-2.0
 *
 * What the member that leads federated rounds and the other members say to each other, as questions
 * of SERVICE_CALL_ROUNDS. Little-endian, fields append-only, excess bytes ignored. Pure.
 *
 *   INVITE  to a member: train from this state, or measure it. It answers with a REPORT at once:
 *           what it makes of it, or what it has made already.
 *   REPORT  to the member that leads: what has come of it. It answers with one byte, enum
 *           rounds_heard.
 *
 * The tensors of an update are a blob (rounds/update.h) that stays with the member until the round
 * is committed; a report names it. */
#ifndef ROUNDS_MESSAGE_H
#define ROUNDS_MESSAGE_H

#include "base/bytes.h"
#include "wire/job.h"

#include <stdbool.h>

#define ROUNDS_TEXT_MAX      200u
#define ROUNDS_MESSAGE_BYTES 640u /* of any message at most */

enum rounds_message {
    ROUNDS_INVITE = 1,
    ROUNDS_REPORT = 2,
    ROUNDS_SUM = 3 /* rounds/sum_message.h */
};

struct rounds_invite {
    struct wire_unit unit;
    uint64_t generation; /* of the gang that the sender leads */
    uint64_t round;
    bool evaluates;                 /* measure the state on what was not trained on, and no more */
    uint8_t state[SH_DIGEST_BYTES]; /* blob of rounds/state.h */
    uint8_t leader[SH_NODE_ID_BYTES]; /* who is to have the report */
};

enum rounds_answer {
    ROUNDS_WORKS = 1, /* on it */
    ROUNDS_DECLINES,  /* not now; text says why */
    ROUNDS_DELIVERS,  /* update and figures are there */
    ROUNDS_NO_DATA,   /* it has no usable data; text */
    ROUNDS_FAILS      /* training, or measuring, went wrong; text */
};

/* What a member measured. Losses are sums over samples. */
struct rounds_figures {
    uint64_t samples; /* that it trains on */
    uint64_t steps;
    uint64_t took_us;
    double train_loss; /* mean over its last epoch; NaN: none */
    double val_loss;   /* of the state that it began with, on what it holds out */
    uint64_t val_correct;
    uint64_t val_total;
    double test_loss; /* EVALUATES only */
    uint64_t test_correct;
    uint64_t test_total;
};

struct rounds_report {
    struct wire_unit unit;
    uint64_t generation; /* of the invitation that it answers */
    uint64_t round;
    uint8_t node[SH_NODE_ID_BYTES]; /* whose it is */
    enum rounds_answer answer;
    bool evaluated;
    struct rounds_figures figures;
    uint8_t update[SH_DIGEST_BYTES]; /* DELIVERS, unless it evaluated */
    char text[ROUNDS_TEXT_MAX + 1];
};

/* What the leader makes of a report at once. */
enum rounds_heard {
    ROUNDS_HEARD = 1,   /* it is looked at */
    ROUNDS_STALE = 2,   /* its round is over */
    ROUNDS_NOT_HERE = 3 /* this agent does not lead the rounds, or not yet: ask again */
};

/* The kind of message, and the unit that it concerns. CORRUPT. */
SH_MUST_USE enum sh_err rounds_message_peek(struct sh_span bytes, enum rounds_message *kind,
                                            struct wire_unit *unit);
/* What every message begins with. CORRUPT: of another kind; VERSION. */
void rounds_message_head_put(struct sh_writer *w, enum rounds_message kind, struct wire_unit unit);
SH_MUST_USE enum sh_err rounds_message_head_get(struct sh_reader *r, enum rounds_message kind,
                                                struct wire_unit *unit);
/* Appends; the writer has ROUNDS_MESSAGE_BYTES. */
void rounds_invite_encode(const struct rounds_invite *invite, struct sh_writer *w);
void rounds_report_encode(const struct rounds_report *report, struct sh_writer *w);
/* CORRUPT, VERSION. */
SH_MUST_USE enum sh_err rounds_invite_decode(struct sh_span bytes, struct rounds_invite *invite);
SH_MUST_USE enum sh_err rounds_report_decode(struct sh_span bytes, struct rounds_report *report);

#endif
