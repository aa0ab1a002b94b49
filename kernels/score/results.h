/* SPDX-License-Identifier: Apache-2.0
 *
 * Conductor's evaluation: a results.csv that a package's scripts wrote, its rows put into 11
 * buckets by how far the sequence had come, and 14 metrics, each the mean over the buckets.
 *
 * The file: a first line that is skipped, then one row a prediction of at least ten cells:
 *
 *     0 sequence id    whole number         5 ground truth    number
 *     1 its length     whole number >= 0    6 planned         number, the threshold of a violation
 *     2 prefix         whole number >= 0    7 instance id     text
 *     3 completion     number               8 prefix          activities, blanks between
 *     4 prediction     number               9 suffix          activities, blanks between
 *
 * Cells as in other tables (quotes; comma, semicolon or tab). A row that does not read so is an
 * error that names its line. Numbers are finite and at most KN_SCORE_VALUE_MAX in magnitude.
 *
 * Positive is a violation: truth > planned for generic packages, truth <= planned for Cargo2000;
 * likewise what is said, from the prediction. */
#ifndef KN_SCORE_RESULTS_H
#define KN_SCORE_RESULTS_H

#include "kernels/score/score.h"

#define KN_RESULTS_ROWS_MAX 4194304u

enum { KN_BUCKETS = 11 };

/* Where the rows go. */
enum kn_bucketing {
    /* Bucket i holds completion in [i/10, (i+1)/10): 10 what is complete. A completion below 0 or
     * from 1.1 up is in no bucket. */
    KN_BUCKETING_GENERIC = 0,
    /* Activity "13" is half of the way, wherever it stands in the sequence (prefix, then suffix;
     * its first position, counted from 0, is m). Prefix = m: bucket 5. Prefix below m: completion
     * is prefix / m / 2. Above: 1/2 + (prefix - m) / (length - m) / 2, and what falls into bucket 5
     * goes to 6; a prefix longer than the length is in no bucket. The column of completion is
     * not used. A row without a "13" is an error. */
    KN_BUCKETING_CARGO2000 = 1
};

enum kn_compat {
    /* As described here. */
    KN_COMPAT_FIXED = 0,
    /* The figures that a Conductor server showed:
     * - negative predictive value is TN / (TN + TP);
     * - Cargo2000 packages are bucketed as generic ones (their violations are their own);
     * - RAE, RSE and RRSE are relative to the spread of the *predictions* about their mean, and
     *   x / 0 is infinite and counts as a value;
     * - bounds of buckets are i * 0.1 in binary, so that completions 0.3, 0.6 and 0.7 fall one
     * lower. Not imitated: MCC of more than 46,340 rows in a bucket, which overflowed there. */
    KN_COMPAT_CONDUCTOR = 1
};

enum kn_metric {
    KN_METRIC_MCC = 0,
    KN_METRIC_ACCURACY,
    KN_METRIC_PRECISION,
    KN_METRIC_RECALL,
    /* Of precision and recall, as Conductor has it: (1+b^2) P R / (b^2 P + R). No value where one
     * of them has none or both are 0; kn_class_scores.f has one there. */
    KN_METRIC_F,
    KN_METRIC_SPECIFICITY,
    KN_METRIC_NPV,
    KN_METRIC_FPR,
    KN_METRIC_MAE,
    KN_METRIC_MSE,
    KN_METRIC_RMSE,
    KN_METRIC_RAE,
    KN_METRIC_RSE,
    KN_METRIC_RRSE,
    KN_METRICS = 14
};

/* A short name ("npv"), and the one that Conductor's meta.xml has ("Negative Predictions", with its
 * spelling). Static. */
const char *kn_metric_name(enum kn_metric metric);
const char *kn_metric_conductor_name(enum kn_metric metric);

struct kn_results_row {
    double completion;
    double prediction;
    double truth;
    double planned;
    int32_t length;
    int32_t prefix;
    int32_t half; /* position of activity "13", -1: nowhere */
    uint32_t line;
};

struct kn_results {
    struct kn_results_row *row; /* owned; NULL after close */
    size_t count;
};

/* Reads text (borrowed). `name` is for messages. CORRUPT names line and column, also where there is
 * no row; LIMIT above KN_RESULTS_ROWS_MAX rows; MEMORY. On an error nothing is to be closed. */
KN_MUST_USE enum kn_err kn_results_decode(struct kn_results *r, const uint8_t *text, size_t size,
                                          const char *name, struct kn_diag *diag);
void kn_results_close(struct kn_results *r);

struct kn_bucket {
    struct kn_binary count;
    uint64_t rows;
    double metric[KN_METRICS]; /* not-a-number: no value */
};

struct kn_bucketed {
    struct kn_bucket bucket[KN_BUCKETS];
    double mean[KN_METRICS];     /* over the buckets that have a value; not-a-number: none has */
    uint32_t valued[KN_METRICS]; /* how many have */
    uint64_t unplaced;           /* rows in no bucket */
};

/* beta as of kn_binary_scores (Conductor: 1). INVALID: beta, or a row without a "13" where
 * Cargo2000 needs one, named by its line; MEMORY. O(rows). */
KN_MUST_USE enum kn_err kn_results_score(const struct kn_results *r, enum kn_bucketing bucketing,
                                         enum kn_compat compat, double beta,
                                         struct kn_bucketed *out, struct kn_diag *diag);

#endif
