/* SPDX-License-Identifier: Apache-2.0
 *
 * One secure sum of the updates of a closed round, by whoever leads: asks the members step by step
 * (rounds/sum_message.h), adds up their masked words, and takes the masks off. It never has an
 * update. Members that do not answer are left out; a step that too few have taken begins the sum
 * again among those who still answer, with new keys, ROUNDS_SUM_TRIES times in all. */
#ifndef ROUNDS_SUM_LEAD_H
#define ROUNDS_SUM_LEAD_H

#include "rounds/sum_message.h"

#define ROUNDS_SUM_TRIES 3u

enum rounds_sum_part {
    ROUNDS_SUM_IN = 1, /* its words are in the sum */
    ROUNDS_SUM_SILENT, /* it did not answer in time, or not rightly */
    ROUNDS_SUM_REFUSED /* it said why */
};

struct rounds_sum_member {
    uint8_t node[SH_NODE_ID_BYTES];
    double scale; /* what it multiplies its update by */
    enum rounds_sum_part part;
    char why[ROUNDS_TEXT_MAX + 1]; /* but of IN: a line */
};

struct rounds_sum {
    struct wire_unit unit;
    uint64_t round; /* of the federation */
    uint8_t cluster[SH_CLUSTER_ID_BYTES];
    size_t floats;
    uint32_t count; /* members, at most SPEC_AGENTS_MAX */
    struct rounds_sum_member *members;
    uint64_t deadline_us; /* for the masked words of one try to be there */
    /* Asks member i; the reply has at most capacity bytes. */
    enum sh_err (*ask)(void *ctx, uint32_t i, struct sh_span question, uint8_t *reply,
                       size_t capacity, size_t *size);
    /* The blob of masked words that member i named: 8 * floats bytes, given (free). */
    enum sh_err (*fetch)(void *ctx, uint32_t i, const uint8_t digest[SH_DIGEST_BYTES],
                         uint8_t **bytes);
    /* Waits a moment; false: this is not to go on. */
    bool (*rest)(void *ctx);
    void *ctx;
};

/* words (floats elements) becomes the sum of those who are IN, modulo 2^64. NO_QUORUM: too few are
 * left; members say why. CANCELLED. NO_MEMORY. */
SH_MUST_USE enum sh_err rounds_sum_run(struct rounds_sum *sum, uint64_t *words);

#endif
