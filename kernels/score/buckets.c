/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows into buckets, buckets into metrics, metrics into means. */
#include "kernels/score/results.h"

#include <math.h>
#include <stdlib.h>

enum { HALF = 5, NOWHERE = -1 };

static const char *const names[KN_METRICS][2] = {
    [KN_METRIC_MCC] = {"mcc", "MCC"},
    [KN_METRIC_ACCURACY] = {"accuracy", "Accuracy"},
    [KN_METRIC_PRECISION] = {"precision", "Precision"},
    [KN_METRIC_RECALL] = {"recall", "Recall"},
    [KN_METRIC_F] = {"f", "FMetric"},
    [KN_METRIC_SPECIFICITY] = {"specificity", "Speceficity"},
    [KN_METRIC_NPV] = {"npv", "Negative Predictions"},
    [KN_METRIC_FPR] = {"fpr", "False Positive Rate"},
    [KN_METRIC_MAE] = {"mae", "MAE"},
    [KN_METRIC_MSE] = {"mse", "MSE"},
    [KN_METRIC_RMSE] = {"rmse", "RMSE"},
    [KN_METRIC_RAE] = {"rae", "RAE"},
    [KN_METRIC_RSE] = {"rse", "RSE"},
    [KN_METRIC_RRSE] = {"rrse", "RRSE"},
};

const char *kn_metric_name(enum kn_metric metric)
{
    KN_CHECK((uint32_t)metric < KN_METRICS);
    return names[metric][0];
}

const char *kn_metric_conductor_name(enum kn_metric metric)
{
    KN_CHECK((uint32_t)metric < KN_METRICS);
    return names[metric][1];
}

/* The bucket whose bounds, the doubles nearest to tenths, enclose the completion; or, as Conductor
 * computed them, multiples of the double nearest to a tenth. */
static int32_t bucket_generic(double completion, enum kn_compat compat)
{
    for (int32_t i = 0; i < KN_BUCKETS; i++) {
        const double low = compat == KN_COMPAT_FIXED ? i / 10.0 : i * 0.1;
        const double high = compat == KN_COMPAT_FIXED ? (i + 1) / 10.0 : (i + 1) * 0.1;
        if (completion >= low && completion < high) {
            return i;
        }
    }
    return NOWHERE;
}

/* In whole numbers: floor(10 completion) is floor(5 prefix / m) below the middle. */
static int32_t bucket_cargo(const struct kn_results_row *row)
{
    const int64_t past = (int64_t)row->prefix - row->half;
    const int64_t rest = (int64_t)row->length - row->half;
    if (past == 0) {
        return HALF;
    }
    if (past < 0) {
        return (int32_t)(5 * (int64_t)row->prefix / row->half);
    }
    if (past > rest) {
        return NOWHERE;
    }
    const int32_t bucket = HALF + (int32_t)(5 * past / rest);
    return bucket == HALF ? HALF + 1 : bucket;
}

struct sort {
    double *truth; /* rows by bucket, each bucket's in the order of the file */
    double *prediction;
    size_t begin[KN_BUCKETS + 1];
};

static enum kn_err place(const struct kn_results *r, enum kn_bucketing bucketing,
                         enum kn_compat compat, int8_t *where, struct kn_bucketed *out,
                         struct kn_diag *diag)
{
    const bool cargo = bucketing == KN_BUCKETING_CARGO2000;
    for (size_t i = 0; i < r->count; i++) {
        const struct kn_results_row *row = &r->row[i];
        int32_t bucket;
        if (cargo && compat == KN_COMPAT_FIXED) {
            if (row->half < 0) {
                return kn_fail(diag, KN_ERR_INVALID,
                               "line %u: no activity \"13\", which marks half of a Cargo2000 "
                               "sequence",
                               row->line);
            }
            bucket = bucket_cargo(row);
        } else {
            bucket = bucket_generic(row->completion, compat);
        }
        where[i] = (int8_t)bucket;
        if (bucket == NOWHERE) {
            out->unplaced++;
            continue;
        }
        struct kn_bucket *b = &out->bucket[bucket];
        const bool is = cargo != (row->truth > row->planned);
        const bool said = cargo != (row->prediction > row->planned);
        b->rows++;
        b->count.tp += is && said ? 1 : 0;
        b->count.fp += !is && said ? 1 : 0;
        b->count.tn += !is && !said ? 1 : 0;
        b->count.fn += is && !said ? 1 : 0;
    }
    return KN_OK;
}

static void gather(const struct kn_results *r, const int8_t *where, const struct kn_bucketed *out,
                   struct sort *s)
{
    size_t next[KN_BUCKETS];
    s->begin[0] = 0;
    for (uint32_t b = 0; b < KN_BUCKETS; b++) {
        next[b] = s->begin[b];
        s->begin[b + 1] = s->begin[b] + out->bucket[b].rows;
    }
    for (size_t i = 0; i < r->count; i++) {
        if (where[i] == NOWHERE) {
            continue;
        }
        size_t *at = &next[where[i]];
        s->truth[*at] = r->row[i].truth;
        s->prediction[*at] = r->row[i].prediction;
        (*at)++;
    }
}

static void classes_score(struct kn_bucket *b, enum kn_compat compat,
                          const struct kn_class_scores *s, double beta)
{
    const double b2 = beta * beta;
    const double below = b2 * s->precision + s->recall;
    b->metric[KN_METRIC_MCC] = s->mcc;
    b->metric[KN_METRIC_ACCURACY] = s->accuracy;
    b->metric[KN_METRIC_PRECISION] = s->precision;
    b->metric[KN_METRIC_RECALL] = s->recall;
    b->metric[KN_METRIC_F] =
        below > 0.0 ? (1.0 + b2) * s->precision * s->recall / below : (double)NAN;
    b->metric[KN_METRIC_SPECIFICITY] = s->specificity;
    b->metric[KN_METRIC_NPV] = s->npv;
    b->metric[KN_METRIC_FPR] = s->fpr;
    if (compat == KN_COMPAT_CONDUCTOR) {
        /* 0 / 0 is not-a-number there as here. */
        b->metric[KN_METRIC_NPV] = (double)b->count.tn / (double)(b->count.tn + b->count.tp);
    }
}

/* Conductor's denominators, with its plain sums, since a spread that is only rounding decides
 * whether the figure is infinite. */
static void relative_to_predictions(struct kn_regression *s, const double *truth,
                                    const double *prediction, size_t count)
{
    double absolute = 0.0;
    double square = 0.0;
    double total = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double error = prediction[i] - truth[i];
        absolute += fabs(error);
        square += error * error;
        total += prediction[i];
    }
    const double mean = total / (double)count;
    double spread = 0.0;
    double spread2 = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double d = prediction[i] - mean;
        spread += fabs(d);
        spread2 += d * d;
    }
    s->rae = absolute / spread;
    s->rse = square / spread2;
    s->rrse = sqrt(s->rse);
}

static enum kn_err bucket_score(struct kn_bucket *b, enum kn_compat compat, double beta,
                                const double *truth, const double *prediction, struct kn_diag *diag)
{
    struct kn_class_scores classes;
    struct kn_regression numbers;
    enum kn_err err = kn_binary_scores(&b->count, beta, &classes, diag);
    if (err == KN_OK) {
        err = kn_regression_scores(truth, prediction, b->rows, &numbers, diag);
    }
    if (err != KN_OK) {
        return err;
    }
    if (compat == KN_COMPAT_CONDUCTOR) {
        relative_to_predictions(&numbers, truth, prediction, b->rows);
    }
    classes_score(b, compat, &classes, beta);
    b->metric[KN_METRIC_MAE] = numbers.mae;
    b->metric[KN_METRIC_MSE] = numbers.mse;
    b->metric[KN_METRIC_RMSE] = numbers.rmse;
    b->metric[KN_METRIC_RAE] = numbers.rae;
    b->metric[KN_METRIC_RSE] = numbers.rse;
    b->metric[KN_METRIC_RRSE] = numbers.rrse;
    return KN_OK;
}

static void means_take(struct kn_bucketed *out)
{
    for (uint32_t m = 0; m < KN_METRICS; m++) {
        double sum = 0.0;
        for (uint32_t b = 0; b < KN_BUCKETS; b++) {
            const double value = out->bucket[b].metric[m];
            if (isnan(value) == 0) {
                sum += value;
                out->valued[m]++;
            }
        }
        out->mean[m] = out->valued[m] > 0 ? sum / out->valued[m] : (double)NAN;
    }
}

enum kn_err kn_results_score(const struct kn_results *r, enum kn_bucketing bucketing,
                             enum kn_compat compat, double beta, struct kn_bucketed *out,
                             struct kn_diag *diag)
{
    KN_CHECK(bucketing == KN_BUCKETING_GENERIC || bucketing == KN_BUCKETING_CARGO2000);
    KN_CHECK(compat == KN_COMPAT_FIXED || compat == KN_COMPAT_CONDUCTOR);
    struct kn_bucketed scores = {0};
    struct sort s = {0};
    int8_t *where = calloc(r->count + 1, sizeof *where);
    s.truth = calloc(r->count + 1, sizeof *s.truth);
    s.prediction = calloc(r->count + 1, sizeof *s.prediction);
    enum kn_err err = KN_OK;
    if (where == NULL || s.truth == NULL || s.prediction == NULL) {
        err = kn_fail(diag, KN_ERR_MEMORY, "no memory for %zu rows of results", r->count);
    }
    if (err == KN_OK) {
        err = place(r, bucketing, compat, where, &scores, diag);
    }
    if (err == KN_OK) {
        gather(r, where, &scores, &s);
    }
    for (uint32_t b = 0; b < KN_BUCKETS && err == KN_OK; b++) {
        err = bucket_score(&scores.bucket[b], compat, beta, s.truth + s.begin[b],
                           s.prediction + s.begin[b], diag);
    }
    if (err == KN_OK) {
        means_take(&scores);
        *out = scores;
    }
    free(where);
    free(s.truth);
    free(s.prediction);
    return err;
}
