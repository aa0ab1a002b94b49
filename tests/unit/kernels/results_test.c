/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/score/results.h"

#include "tst.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define HEAD  "sequenceid,sequencelength,prefix,completion,prediction,truth,planned,id,p,s\n"
#define CLOSE 1e-12

static struct kn_results decoded(const char *text)
{
    struct kn_results r;
    struct kn_diag diag = {{0}};
    if (kn_results_decode(&r, (const uint8_t *)text, strlen(text), "t.csv", &diag) != KN_OK) {
        tst_fail(__FILE__, __LINE__, "%s", diag.text);
    }
    return r;
}

static struct kn_bucketed scored(const char *text, enum kn_bucketing how, enum kn_compat compat)
{
    struct kn_results r = decoded(text);
    struct kn_bucketed b;
    EXPECT(kn_results_score(&r, how, compat, 1.0, &b, NULL) == KN_OK);
    kn_results_close(&r);
    return b;
}

static double metric(const struct kn_bucketed *b, int bucket, enum kn_metric m)
{
    return b->bucket[bucket].metric[m];
}

/* Two buckets by hand. Bucket 2: TP (12 over 10, said 11), FN (12, said 9), TN (8, said 7), FP (8,
 * said 12). Bucket 5: TP (20, said 22), TN (4, said 4), TN (6, said 8). One row is in no bucket. */
static const char two_buckets[] = HEAD "1,9,2,0.22,11,12,10,a,1 2,3\n"
                                       "1,9,2,0.25,9,12,10,a,1 2,3\n"
                                       "2,9,2,0.21,7,8,10,a,1 2,3\n"
                                       "2,9,2,0.2,12,8,10,a,1 2,3\n"
                                       "3,9,5,0.5,22,20,10,a,1 2,3\n"
                                       "3,9,5,0.55,4,4,10,a,1 2,3\n"
                                       "3,9,5,0.59,8,6,10,a,1 2,3\n"
                                       "4,9,5,1.5,8,6,10,a,1 2,3\n";

TEST(each_metric_is_the_mean_over_the_buckets_that_have_a_value)
{
    const struct kn_bucketed b = scored(two_buckets, KN_BUCKETING_GENERIC, KN_COMPAT_FIXED);
    EXPECT_EQ(b.unplaced, 1);
    EXPECT_EQ(b.bucket[2].rows, 4);
    EXPECT_EQ(b.bucket[5].rows, 3);
    EXPECT_EQ(b.bucket[2].count.tp, 1);
    EXPECT_EQ(b.bucket[2].count.fp, 1);
    EXPECT_EQ(b.bucket[2].count.tn, 1);
    EXPECT_EQ(b.bucket[2].count.fn, 1);
    EXPECT_EQ(b.bucket[5].count.tn, 2);
    EXPECT_EQ(b.valued[KN_METRIC_ACCURACY], 2);
    EXPECT_NEAR(b.mean[KN_METRIC_MCC], (0.0 + 1.0) / 2, CLOSE);
    EXPECT_NEAR(b.mean[KN_METRIC_ACCURACY], (0.5 + 1.0) / 2, CLOSE);
    EXPECT_NEAR(b.mean[KN_METRIC_PRECISION], (0.5 + 1.0) / 2, CLOSE);
    EXPECT_NEAR(b.mean[KN_METRIC_F], (0.5 + 1.0) / 2, CLOSE);
    EXPECT_NEAR(b.mean[KN_METRIC_NPV], (0.5 + 1.0) / 2, CLOSE);
    EXPECT_NEAR(b.mean[KN_METRIC_FPR], (0.5 + 0.0) / 2, CLOSE);
    /* Bucket 2: errors 1 3 1 4, truth 12 12 8 8; bucket 5: errors 2 0 2, truth 20 4 6, mean 10. */
    EXPECT_NEAR(b.mean[KN_METRIC_MAE], (9.0 / 4 + 4.0 / 3) / 2, CLOSE);
    EXPECT_NEAR(b.mean[KN_METRIC_MSE], (27.0 / 4 + 8.0 / 3) / 2, CLOSE);
    EXPECT_NEAR(b.mean[KN_METRIC_RMSE], (sqrt(27.0 / 4) + sqrt(8.0 / 3)) / 2, CLOSE);
    EXPECT_NEAR(b.mean[KN_METRIC_RAE], (9.0 / 8 + 4.0 / 20) / 2, CLOSE);
    EXPECT_NEAR(b.mean[KN_METRIC_RSE], (27.0 / 16 + 8.0 / 152) / 2, CLOSE);
    EXPECT_NEAR(b.mean[KN_METRIC_RRSE], (sqrt(27.0 / 16) + sqrt(8.0 / 152)) / 2, CLOSE);
}

TEST(as_conductor_the_negative_predictive_value_and_the_spread_are_its_own)
{
    const struct kn_bucketed b = scored(two_buckets, KN_BUCKETING_GENERIC, KN_COMPAT_CONDUCTOR);
    EXPECT_NEAR(metric(&b, 2, KN_METRIC_NPV), 1.0 / 2, CLOSE);
    EXPECT_NEAR(metric(&b, 5, KN_METRIC_NPV), 2.0 / 3, CLOSE);
    /* Predictions of bucket 2: 11 9 7 12, mean 9.75, spreads 1.25 .75 2.75 2.25. */
    EXPECT_NEAR(metric(&b, 2, KN_METRIC_RAE), 9.0 / 7, CLOSE);
    EXPECT_NEAR(metric(&b, 2, KN_METRIC_RSE), 27.0 / 14.75, CLOSE);
    EXPECT_NEAR(metric(&b, 2, KN_METRIC_MAE), 9.0 / 4, CLOSE);
}

struct bound {
    const char *completion;
    int fixed;
    int conductor;
};

static const struct bound bounds[] = {
    {"0", 0, 0},        {"0.0999999", 0, 0}, {"0.1", 1, 1},   {"0.2", 2, 2},    {"0.3", 3, 2},
    {"0.4", 4, 4},      {"0.5", 5, 5},       {"0.6", 6, 5},   {"0.7", 7, 6},    {"0.8", 8, 8},
    {"0.9", 9, 9},      {"1", 10, 10},       {"1.0", 10, 10}, {"1.05", 10, 10}, {"1e-1", 1, 1},
    {"-0.001", -1, -1}, {"1.2", -1, -1},
};

TEST_ROWS(completion_chooses_the_bucket_by_its_decimal_digits, bounds)
{
    const struct bound *at = &bounds[tst_row];
    char text[200];
    (void)snprintf(text, sizeof text, HEAD "1,9,2,%s,1,1,1,a,1,2\n", at->completion);
    const struct kn_bucketed fixed = scored(text, KN_BUCKETING_GENERIC, KN_COMPAT_FIXED);
    const struct kn_bucketed as = scored(text, KN_BUCKETING_GENERIC, KN_COMPAT_CONDUCTOR);
    for (int i = 0; i < KN_BUCKETS; i++) {
        EXPECT_EQ(fixed.bucket[i].rows, i == at->fixed ? 1 : 0);
        EXPECT_EQ(as.bucket[i].rows, i == at->conductor ? 1 : 0);
    }
    EXPECT_EQ(fixed.unplaced, at->fixed < 0 ? 1 : 0);
    EXPECT_EQ(fixed.valued[KN_METRIC_ACCURACY], at->fixed < 0 ? 0 : 1);
}

struct cargo {
    int length;
    int prefix;
    const char *words; /* prefix cell, comma, suffix cell */
    int bucket;
};

static const struct cargo cargos[] = {
    {10, 4, "1 2 3 4,13 6 7 8 9 5", 5}, /* the marker is next: the middle */
    {10, 1, "1,2 3 4 13 6 7 8 9 5", 1}, /* 1/4/2 = 0.125 */
    {10, 3, "1 2 3,4 5 13 7 8 9 5", 3}, /* 3/5/2 = 0.3 */
    {10, 0, ",1 13 2", 0},              /* 0 */
    {10, 5, "1 2 3 4 13,6 7 8 9 5", 6}, /* 1/6/2 + 0.5 = 0.583, and 5 is the marker's own */
    {10, 7, "1 2 13 4 5 6 7,8 9 5", 8}, /* 5/8/2 + 0.5 = 0.8125 */
    {10, 10, "1 2 13 4 5 6 7 8 9 5,", 10},
    {10, 11, "1 2 13 4 5 6 7 8 9 5,", -1}, /* longer than the sequence */
    {2, 5, "1 2 3 13 5,", -1},             /* the marker lies behind the length */
    {10, 3, "113 13 2 3,4", 6},            /* 113 is another activity; 2/9/2 + .5 = 0.61 */
    {10, 1, " 13  2 ,4", 6},               /* blanks are no activities; 1/10/2 + .5 = 0.55 */
};

TEST_ROWS(activity_13_is_half_of_a_cargo2000_sequence, cargos)
{
    const struct cargo *c = &cargos[tst_row];
    char text[200];
    (void)snprintf(text, sizeof text, HEAD "1,%d,%d,0.95,1,1,1,a,%s\n", c->length, c->prefix,
                   c->words);
    const struct kn_bucketed b = scored(text, KN_BUCKETING_CARGO2000, KN_COMPAT_FIXED);
    for (int i = 0; i < KN_BUCKETS; i++) {
        EXPECT_EQ(b.bucket[i].rows, i == c->bucket ? 1 : 0);
    }
    EXPECT_EQ(b.unplaced, c->bucket < 0 ? 1 : 0);
    /* Conductor chose the strategy and then did not use it. */
    const struct kn_bucketed as = scored(text, KN_BUCKETING_CARGO2000, KN_COMPAT_CONDUCTOR);
    EXPECT_EQ(as.bucket[9].rows, 1);
}

TEST(a_cargo2000_violation_is_what_does_not_exceed_the_plan)
{
    const char *text = HEAD "1,9,1,0.1,8,8,10,a,13,2\n";
    const struct kn_bucketed cargo = scored(text, KN_BUCKETING_CARGO2000, KN_COMPAT_FIXED);
    const struct kn_bucketed generic = scored(text, KN_BUCKETING_GENERIC, KN_COMPAT_FIXED);
    EXPECT_EQ(cargo.bucket[6].count.tp, 1);
    EXPECT_EQ(generic.bucket[1].count.tn, 1);
}

TEST(a_cargo2000_row_without_its_marker_is_named_unless_conductor_is_asked_for)
{
    struct kn_results r = decoded(HEAD "1,9,1,0.1,8,8,10,a,13,2\n1,9,1,0.1,8,8,10,a,12,2\n");
    struct kn_bucketed b;
    struct kn_diag diag;
    EXPECT(kn_results_score(&r, KN_BUCKETING_CARGO2000, KN_COMPAT_FIXED, 1.0, &b, &diag) ==
           KN_ERR_INVALID);
    EXPECT(strstr(diag.text, "line 3") != NULL);
    EXPECT(kn_results_score(&r, KN_BUCKETING_CARGO2000, KN_COMPAT_CONDUCTOR, 1.0, &b, NULL) ==
           KN_OK);
    kn_results_close(&r);
}

TEST(a_bucket_of_one_row_has_no_relative_error_but_is_infinite_as_conductor)
{
    const char *text = HEAD "1,9,1,0.1,9,8,10,a,13,2\n";
    const struct kn_bucketed fixed = scored(text, KN_BUCKETING_GENERIC, KN_COMPAT_FIXED);
    const struct kn_bucketed as = scored(text, KN_BUCKETING_GENERIC, KN_COMPAT_CONDUCTOR);
    EXPECT_EQ(fixed.valued[KN_METRIC_RAE], 0);
    EXPECT(isnan(fixed.mean[KN_METRIC_RAE]) != 0);
    EXPECT_NEAR(fixed.mean[KN_METRIC_MAE], 1.0, CLOSE);
    EXPECT(isinf(as.mean[KN_METRIC_RAE]) != 0);
}

struct broken {
    const char *text;
    const char *complaint;
};

static const struct broken broken_rows[] = {
    {"", "t.csv: no rows"},
    {HEAD, "t.csv: no rows"},
    {HEAD "1,9,2,0.2,1,1,1,a,1\n", "t.csv:2: 9 cells, expected 10"},
    {HEAD "x,9,2,0.2,1,1,1,a,1,2\n", "t.csv:2: column 1 (sequence id) is not a whole number"},
    {HEAD "1,9,-2,0.2,1,1,1,a,1,2\n", "t.csv:2: column 3 (prefix) is not a whole number from 0 up"},
    {HEAD "1,9,2.0,0.2,1,1,1,a,1,2\n",
     "t.csv:2: column 3 (prefix) is not a whole number from 0 up"},
    {HEAD "1,9,2,0.2,1,1,1,a,1,2\n\n1,9,2,0.2,nan,1,1,a,1,2\n",
     "t.csv:4: column 5 (prediction) is not a number"},
    {HEAD "1,9,2,0.2,1,1e999,1,a,1,2\n", "t.csv:2: column 6 (ground truth) is not a number"},
    {HEAD "1,9,2,0.2,1,1,1e101,a,1,2\n", "t.csv:2: column 7 (planned) is not a number"},
    {HEAD "1,9,2,0.2,1,1,1,\"a,1,2\n", "t.csv:2: a quote that is not closed"},
};

TEST_ROWS(a_row_that_does_not_read_is_named_with_its_column, broken_rows)
{
    const struct broken *b = &broken_rows[tst_row];
    struct kn_results r;
    struct kn_diag diag;
    EXPECT(kn_results_decode(&r, (const uint8_t *)b->text, strlen(b->text), "t.csv", &diag) ==
           KN_ERR_CORRUPT);
    EXPECT_STR(diag.text, b->complaint);
    EXPECT(r.row == NULL);
}

TEST(numbers_in_results_may_be_whole_negative_or_with_exponent)
{
    struct kn_results r = decoded(HEAD "-1,9,2,2e-1,-7,1.5E+2,.5,a,1,2,more,cells\r\n");
    EXPECT_EQ(r.count, 1);
    EXPECT_NEAR(r.row[0].completion, 0.2, 0);
    EXPECT_NEAR(r.row[0].prediction, -7, 0);
    EXPECT_NEAR(r.row[0].truth, 150, 0);
    EXPECT_NEAR(r.row[0].planned, 0.5, 0);
    kn_results_close(&r);
}

TEST(every_metric_has_a_name_and_the_one_of_conductor)
{
    for (int m = 0; m < KN_METRICS; m++) {
        for (int other = 0; other < m; other++) {
            EXPECT(strcmp(kn_metric_name((enum kn_metric)m),
                          kn_metric_name((enum kn_metric)other)) != 0);
        }
    }
    EXPECT_STR(kn_metric_name(KN_METRIC_NPV), "npv");
    EXPECT_STR(kn_metric_conductor_name(KN_METRIC_NPV), "Negative Predictions");
    EXPECT_STR(kn_metric_conductor_name(KN_METRIC_SPECIFICITY), "Speceficity");
}
