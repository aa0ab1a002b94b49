/* SPDX-License-Identifier: Apache-2.0
 *
 * Questions of a secure sum, SERVICE_CALL_ROUNDS like the other messages of federated rounds
 * (rounds/message.h), asked by whoever leads of a member whose update is ready. Pure.
 *
 *   question  head of a message, u64 federated round, u8 step, the secure round
 *             (secagg_put_round), then KEYS: f64 scale; SHARES: roster; MASKED: delivery; CONSENT:
 *             set; REVEAL: consents
 *   answer    u8 status, then DONE: KEYS: keys; SHARES: shares; MASKED: digest of the blob of its
 *             masked words; CONSENT: consent; REVEAL: reveal. REFUSES: text */
#ifndef ROUNDS_SUM_MESSAGE_H
#define ROUNDS_SUM_MESSAGE_H

#include "rounds/message.h"
#include "secagg/message.h"
#include "spec/spec.h"

/* A list of the keys of all agents that a job can have is the largest. */
#define ROUNDS_SUM_BYTES (256u + 4u + SPEC_AGENTS_MAX * SECAGG_KEYS_BYTES)

enum rounds_sum_step {
    ROUNDS_SUM_KEYS = 1,
    ROUNDS_SUM_SHARES = 2,
    ROUNDS_SUM_MASKED = 3,
    ROUNDS_SUM_CONSENT = 4,
    ROUNDS_SUM_REVEAL = 5
};

enum rounds_sum_status {
    ROUNDS_SUM_DONE = 1,
    ROUNDS_SUM_WORKS = 2, /* ask again */
    ROUNDS_SUM_REFUSES = 3
};

struct rounds_sum_question {
    struct wire_unit unit;
    uint64_t round; /* of the federation */
    enum rounds_sum_step step;
    struct secagg_round sum;
    double scale; /* KEYS: what the update is multiplied by, (0, 1] */
};

/* The fixed part; the writer stands behind it then, where the step's message goes. */
void rounds_sum_question_put(const struct rounds_sum_question *q, struct sh_writer *w);
/* CORRUPT, VERSION; the reader stands behind the fixed part. */
SH_MUST_USE enum sh_err rounds_sum_question_get(struct sh_reader *r, struct rounds_sum_question *q);
void rounds_sum_refuse(struct sh_writer *w, const char *text);
/* The status; of REFUSES why (ROUNDS_TEXT_MAX + 1 bytes) has the text. */
SH_MUST_USE enum sh_err rounds_sum_status_get(struct sh_reader *r, enum rounds_sum_status *status,
                                              char *why);

#endif
