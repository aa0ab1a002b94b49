/* SPDX-License-Identifier: Apache-2.0
 *
 * What commands of the jobs core bring and its rows keep as it is. */
#ifndef SH_JOBS_PART_H
#define SH_JOBS_PART_H

#include "wire/job.h"

#define JOBS_HOLDERS_MAX    8u    /* agents named as holders of one checkpoint or model */
#define JOBS_PROGRESS_WHOLE 1000u /* thousandths: all of it */
#define JOBS_TEXT_MAX       256u  /* bytes of a failure's text */
#define JOBS_PATH_MAX       511u  /* bytes of a data set's path */
#define JOBS_SUMMARY_MAX    1023u /* bytes of a data set's summary */
#define JOBS_KEEP_MAX       64u   /* checkpoints kept per unit */
#define JOBS_BLOBS_MAX      16u   /* blobs one job needs before it can start */
#define JOBS_STAGES_MAX     64u   /* of one sweep */
#define JOBS_FIGURES_MAX    14u   /* of one evaluation */

/* What a job is about besides itself. */
struct jobs_about {
    char model[SH_NAME_MAX + 1]; /* that it begins from, measures or asks; "": none, or many */
    uint32_t version;            /* of that model; 0: none */
    char data[SH_NAME_MAX + 1];  /* what it is measured on, for people; "": it measures nothing */
    uint8_t digest[SH_DIGEST_BYTES]; /* of that data */
};

/* Units first .. the one before the next stage's first. */
struct jobs_stage {
    uint32_t first;
    bool after; /* none of them is placed before all units of the stage before it have ended */
};

struct jobs_metrics {
    uint64_t test_correct;
    uint64_t test_total; /* 0: not measured, or nothing that is right or wrong */
    uint64_t val_correct;
    uint64_t val_total;
    double
        train_loss; /* mean over the last epoch; kept bit for bit, may be NaN when not measured */
    double val_loss;
};

/* What a model is worth, numbered as kernels/score/results.h has its metrics. */
struct jobs_figures {
    uint64_t samples;            /* 0: not measured */
    double at[JOBS_FIGURES_MAX]; /* not-a-number: no value */
};

/* What a unit leaves behind. All digests zero for a unit without output (noop). */
struct jobs_outcome {
    uint8_t file[SH_DIGEST_BYTES];  /* blob of the model's file; zero: it made no model */
    uint8_t model[SH_DIGEST_BYTES]; /* TRAIN: of parameters and buffers; EXEC: as file */
    uint8_t
        state[SH_DIGEST_BYTES]; /* TRAIN: with optimiser and cursor; others: blob of its outputs */
    struct jobs_metrics metrics;
    struct jobs_figures figures; /* of the model it made, or else of the one that it is about */
    uint64_t steps;
    bool scored;  /* what its sweep compares units by was measured */
    double score; /* then: that; finite */
};

enum jobs_mark {
    JOBS_MARK_DRAIN = 1, /* it finishes what it has and gets nothing new, until UNDRAIN */
    JOBS_MARK_UNDRAIN = 2,
    JOBS_MARK_PAROLE = 3, /* its quarantine ends now; its self-test comes before its trial */
    JOBS_MARK_FIT = 4,    /* it says: the self-test after its quarantine passed */
    JOBS_MARK_UNFIT = 5,  /* it did not: another, longer quarantine */
    JOBS_MARK_COUNT = 6
};

#endif
