/* SPDX-License-Identifier: Apache-2.0
 *
 * The record of one round: who took part, who did not and why, weights and measures, as one line of
 * JSON that stays with the job (rounds/state.h) and that `shoal rounds` shows. */
#ifndef ROUNDS_RECORD_H
#define ROUNDS_RECORD_H

#include "fed/fed.h"
#include "rounds/message.h"

struct rounds_row { /* one member in the record of a round */
    const char *name;
    enum fed_part part;
    const char *why;                      /* "": nothing is to be said */
    bool counts;                          /* its update was added: */
    uint32_t weight;                      /* in units of kernels/agg/client.h */
    uint64_t stale;                       /* rounds that its model was behind */
    const struct rounds_figures *figures; /* NULL: it told none */
};

struct rounds_record {
    uint64_t round; /* from 0 */
    enum fed_outcome outcome;
    uint32_t cohort;
    uint64_t took_us;
    uint8_t model[SH_DIGEST_BYTES]; /* that it came to */
    double epsilon;                 /* spent so far; NaN: not counted */
};

/* What all members measured together. */
struct rounds_measures {
    uint64_t samples;
    uint64_t trained;  /* samples of those that trained */
    double train_loss; /* mean over them; NaN: none */
    double val_loss;   /* of the model that the round began with; NaN */
    uint64_t val_correct;
    uint64_t val_total;
    double test_loss;
    uint64_t test_correct;
    uint64_t test_total;
};

void rounds_measures_begin(struct rounds_measures *m);
void rounds_measures_add(struct rounds_measures *m, const struct rounds_figures *f);
/* Sums become means. */
void rounds_measures_end(struct rounds_measures *m);

/* A line with its end; given (free), NULL: no memory. */
char *rounds_record_line(const struct rounds_record *record, const struct rounds_measures *measures,
                         const struct rounds_row *rows, uint32_t count);

#endif
