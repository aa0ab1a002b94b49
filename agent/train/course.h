/* SPDX-License-Identifier: Apache-2.0
 *
 * The course of a training: which rounds it consists of and in which order. Every epoch is its
 * steps and then, where there is validation data, one round of validation; after the last epoch
 * comes one round on the test data, where there is some. A position counts rounds completed since
 * the start, so that one number says where a member stands.
 *
 * A step is a round of its own, or, after the first epochs, several steps in a row are one: every
 * rank takes them alone, and then all ranks average (local SGD). Pure. */
#ifndef TRAIN_COURSE_H
#define TRAIN_COURSE_H

#include <stdbool.h>
#include <stdint.h>

struct train_course {
    uint64_t steps_an_epoch; /* > 0 */
    uint64_t epochs;         /* > 0 */
    uint64_t stretch;        /* steps of a LOCAL round, but for the last of an epoch; 0: no LOCAL */
    uint64_t together;       /* first epochs without LOCAL rounds */
    bool validates;
    bool tests;
};

enum train_round_kind { TRAIN_STEP, TRAIN_LOCAL, TRAIN_VALIDATION, TRAIN_TEST, TRAIN_END };

/* The round that comes at a position. */
struct train_round {
    enum train_round_kind kind;
    uint64_t step;     /* completed steps before it */
    uint64_t epoch;    /* from 0; of a TEST and the END: the number of epochs */
    uint64_t in_epoch; /* STEP, LOCAL: place of its first step in the epoch, from 0 */
    uint64_t earlier;  /* LOCAL: rounds of this kind before it */
    uint64_t steps;    /* that it makes: STEP 1, LOCAL up to stretch, others 0 */
};

/* Rounds in all: the position of the END. */
uint64_t train_course_length(const struct train_course *course);
/* position <= length. O(1). */
struct train_round train_course_at(const struct train_course *course, uint64_t position);

#endif
