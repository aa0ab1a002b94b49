/* SPDX-License-Identifier: Apache-2.0
 *
 * A member's part in secure sums (mesh/trust/secagg): it answers the questions of whoever leads
 * about one update, which it keeps in memory and gives to nobody. Not thread-safe; its owner
 * (rounds/member.c) lets one thread in at a time.
 *
 * One update goes into one sum: from the consent on it takes part in no other, or two sums of
 * almost the same members would tell what they differ in. A sum of fewer than federated.min is
 * refused.
 *
 * The words of a sum: without privacy the update times its scale, to the nearest 2^-KN_FIXED_BITS;
 * with privacy the clipped update with this member's part of the noise, whatever the scale. Both
 * sums stay below 2^62 with as many members as a job can have. */
#ifndef ROUNDS_MASKING_H
#define ROUNDS_MASKING_H

#include "rounds/sum_message.h"
#include "secagg/client.h"

struct rounds_masking_config {
    const struct trust *trust;        /* borrowed */
    const struct spec_federated *fed; /* borrowed */
    secagg_known_fn known;            /* is it a member of the gang, as this agent knows it? */
    void *ctx;
};

enum rounds_masking_state {
    ROUNDS_MASKING_IDLE,   /* no update, or nothing to do */
    ROUNDS_MASKING_WANTED, /* rounds_masking_work is to be called */
    ROUNDS_MASKING_MADE
};

struct rounds_masking {
    struct rounds_masking_config config;
    uint64_t round; /* of the federation that the update is of */
    float *change;  /* given; NULL: none */
    size_t floats;
    bool spent; /* it has consented to a sum */
    enum rounds_masking_state state;
    struct secagg_client client;
    uint64_t generation; /* of the sum that client is in */
    double scale;
    uint8_t masked[SH_DIGEST_BYTES]; /* MADE: blob */
    enum rounds_sum_step answered;   /* the last step; its answer may be asked for again: */
    uint8_t answer[ROUNDS_SUM_BYTES];
    size_t answer_size;
};

void rounds_masking_init(struct rounds_masking *m, const struct rounds_masking_config *config);
/* An update for this round; change is given (free), and takes the place of an earlier one. */
void rounds_masking_take(struct rounds_masking *m, uint64_t round, float *change, size_t floats);
/* Wipes and frees. */
void rounds_masking_drop(struct rounds_masking *m);

/* Answers a question, some milliseconds at most: what takes long makes it WANTED. */
void rounds_masking_answer(struct rounds_masking *m, const struct rounds_sum_question *question,
                           struct sh_reader *body, struct sh_writer *answer);
/* The masked words, little-endian, given (free). It reads change, client and scale only, so that
 * the owner may answer WORKS meanwhile without calling anything here. NO_MEMORY; DIVERGED: why is a
 * line. */
SH_MUST_USE enum sh_err rounds_masking_work(struct rounds_masking *m, uint64_t **words, char *why);
/* What came of it: digest of the blob that has the words, or the reason why there is none. */
void rounds_masking_made(struct rounds_masking *m, const uint8_t digest[static SH_DIGEST_BYTES],
                         enum sh_err err);

#endif
