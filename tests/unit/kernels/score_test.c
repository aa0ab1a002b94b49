/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/score/score.h"

#include "tst.h"

#include <math.h>
#include <string.h>

#define NONE   ((double)NAN)
#define CLOSE  1e-12
#define BETA_1 1.0

/* |a - b| small, or neither has a value. */
static void expect_value(double a, double b)
{
    if (isnan(b) != 0) {
        EXPECT(isnan(a) != 0);
    } else {
        EXPECT_NEAR(a, b, CLOSE);
    }
}

struct by_hand {
    struct kn_binary count;
    double beta;
    struct kn_class_scores want;
};

/* Worked out by hand as fractions. */
static const struct by_hand tables[] = {
    {{6, 2, 9, 3},
     1,
     {15.0 / 20, 6.0 / 8, 6.0 / 9, 12.0 / 17, 9.0 / 11, 9.0 / 12, 2.0 / 11,
      48.0 / 89.4427190999916}}, /* sqrt(8 * 9 * 11 * 12) is not round */
    {{6, 2, 9, 3},
     2,
     {15.0 / 20, 6.0 / 8, 6.0 / 9, 30.0 / 44, 9.0 / 11, 9.0 / 12, 2.0 / 11,
      48.0 / 89.4427190999916}},
    {{5, 0, 5, 0}, 1, {1, 1, 1, 1, 1, 1, 0, 1}},
    {{0, 5, 0, 5}, 1, {0, 0, 0, 0, 0, 0, 1, -1}},
    /* Nothing was called positive: precision and MCC have no value, F is 0. */
    {{0, 0, 7, 3}, 1, {0.7, NONE, 0, 0, 1, 0.7, 0, NONE}},
    /* Nothing is positive, nor was anything called so. */
    {{0, 0, 4, 0}, 1, {1, NONE, NONE, NONE, 1, 1, 0, NONE}},
    /* Everything is positive. */
    {{3, 0, 0, 1}, 1, {0.75, 1, 0.75, 6.0 / 7, NONE, 0, NONE, NONE}},
    {{0, 0, 0, 0}, 1, {NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE}},
};

TEST_ROWS(the_figures_of_two_classes_are_those_worked_out_by_hand, tables)
{
    const struct by_hand *t = &tables[tst_row];
    struct kn_class_scores s;
    double mcc = t->want.mcc;
    if (tst_row < 2) {
        mcc = (6.0 * 9 - 2 * 3) / sqrt(8.0 * 9 * 11 * 12);
    }
    EXPECT(kn_binary_scores(&t->count, t->beta, &s, NULL) == KN_OK);
    expect_value(s.accuracy, t->want.accuracy);
    expect_value(s.precision, t->want.precision);
    expect_value(s.recall, t->want.recall);
    expect_value(s.f, t->want.f);
    expect_value(s.specificity, t->want.specificity);
    expect_value(s.npv, t->want.npv);
    expect_value(s.fpr, t->want.fpr);
    expect_value(s.mcc, mcc);
}

TEST(the_negative_predictive_value_is_of_what_was_called_negative)
{
    const struct kn_binary c = {.tp = 90, .fp = 0, .tn = 8, .fn = 2};
    struct kn_class_scores s;
    EXPECT(kn_binary_scores(&c, BETA_1, &s, NULL) == KN_OK);
    EXPECT_NEAR(s.npv, 0.8, CLOSE); /* TN / (TN + TP) would be 8 / 98 */
}

TEST(counts_near_the_end_of_their_range_give_figures)
{
    const struct kn_binary c = {.tp = UINT64_C(1) << 62, .tn = UINT64_C(1) << 62};
    struct kn_class_scores s;
    EXPECT(kn_binary_scores(&c, BETA_1, &s, NULL) == KN_OK);
    EXPECT_NEAR(s.mcc, 1.0, CLOSE);
}

TEST(a_beta_that_is_no_weight_is_refused)
{
    const struct kn_binary c = {1, 1, 1, 1};
    const double bad[] = {0.0, -1.0, NONE, (double)INFINITY, 1e7};
    struct kn_class_scores s = {.f = 7.0};
    struct kn_diag diag;
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        EXPECT(kn_binary_scores(&c, bad[i], &s, &diag) == KN_ERR_INVALID);
        EXPECT(strstr(diag.text, "beta") != NULL);
    }
    EXPECT_NEAR(s.f, 7.0, 0);
}

TEST(a_probability_at_the_threshold_is_called_positive)
{
    const uint32_t truth[] = {4, 4, 9, 9};
    const double p[] = {0.5, 0.49, 0.5, 0.1};
    struct kn_binary c = {0};
    EXPECT(kn_binary_count_scores(&c, truth, p, 4, 4, 0.5, NULL) == KN_OK);
    EXPECT_EQ(c.tp, 1);
    EXPECT_EQ(c.fn, 1);
    EXPECT_EQ(c.fp, 1);
    EXPECT_EQ(c.tn, 1);
}

TEST(a_prediction_that_is_not_finite_is_named_and_nothing_is_counted)
{
    const uint32_t truth[] = {1, 0, 1};
    const double p[] = {0.9, 0.2, NONE};
    const float rows[] = {0.1f, 0.9f, 0.8f, 0.2f, 0.3f, INFINITY};
    uint64_t cell[4] = {0};
    const struct kn_confusion k = {.cell = cell, .classes = 2};
    struct kn_binary c = {.tp = 1};
    struct kn_diag diag;
    EXPECT(kn_binary_count_scores(&c, truth, p, 3, 1, 0.5, &diag) == KN_ERR_NOT_FINITE);
    EXPECT(strstr(diag.text, "sample 2") != NULL);
    EXPECT_EQ(c.tp + c.fp + c.tn + c.fn, 1);
    EXPECT(kn_confusion_add_rows(&k, truth, rows, 3, &diag) == KN_ERR_NOT_FINITE);
    EXPECT(strstr(diag.text, "sample 2: the prediction for class 1") != NULL);
    EXPECT_EQ(cell[0] + cell[1] + cell[2] + cell[3], 0);
}

TEST(a_class_that_is_not_there_is_named_and_nothing_is_counted)
{
    const uint32_t truth[] = {0, 1, 2};
    const uint32_t said[] = {0, 3, 2};
    uint64_t cell[9] = {0};
    const struct kn_confusion k = {.cell = cell, .classes = 3};
    struct kn_diag diag;
    EXPECT(kn_confusion_add(&k, truth, said, 3, &diag) == KN_ERR_INVALID);
    EXPECT_STR(diag.text, "sample 1: class 3 of 3");
    EXPECT_EQ(cell[0], 0);
}

/*            said 0  1  2
 *   truth 0       5  1  0
 *         1       2  3  1
 *         2       0  2  6      20 samples */
static const uint64_t three[9] = {5, 1, 0, 2, 3, 1, 0, 2, 6};

TEST(macro_figures_are_means_over_classes_and_micro_ones_of_the_summed_counts)
{
    uint64_t cell[9];
    const struct kn_confusion k = {.cell = cell, .classes = 3};
    struct kn_multi_scores s;
    memcpy(cell, three, sizeof cell);
    EXPECT(kn_confusion_scores(&k, BETA_1, &s, NULL) == KN_OK);
    EXPECT_NEAR(s.accuracy, 14.0 / 20, CLOSE);
    EXPECT_NEAR(s.macro.precision, (5.0 / 7 + 3.0 / 6 + 6.0 / 7) / 3, CLOSE);
    EXPECT_NEAR(s.macro.recall, (5.0 / 6 + 3.0 / 6 + 6.0 / 8) / 3, CLOSE);
    EXPECT_NEAR(s.macro.f, (10.0 / 13 + 6.0 / 12 + 12.0 / 15) / 3, CLOSE);
    EXPECT_NEAR(s.macro.specificity, (12.0 / 14 + 11.0 / 14 + 11.0 / 12) / 3, CLOSE);
    EXPECT_NEAR(s.macro.npv, (12.0 / 13 + 11.0 / 14 + 11.0 / 13) / 3, CLOSE);
    /* In micro figures of one label a sample, precision, recall and F are the accuracy. */
    EXPECT_NEAR(s.micro.precision, 14.0 / 20, CLOSE);
    EXPECT_NEAR(s.micro.recall, 14.0 / 20, CLOSE);
    EXPECT_NEAR(s.micro.f, 14.0 / 20, CLOSE);
    EXPECT_NEAR(s.micro.npv, 34.0 / 40, CLOSE);
    /* R_k: (c s - sum p t) / sqrt((s^2 - sum p^2)(s^2 - sum t^2)), p = 7 6 7, t = 6 6 8. */
    EXPECT_NEAR(s.mcc, (14.0 * 20 - (42 + 36 + 56)) / sqrt((400.0 - 134) * (400.0 - 136)), CLOSE);
}

TEST(a_class_without_a_value_is_left_out_of_the_mean)
{
    uint64_t cell[9] = {4, 0, 0, 2, 0, 0, 0, 0, 0}; /* class 1 is never said, class 2 is nowhere */
    const struct kn_confusion k = {.cell = cell, .classes = 3};
    struct kn_multi_scores s;
    EXPECT(kn_confusion_scores(&k, BETA_1, &s, NULL) == KN_OK);
    EXPECT_NEAR(s.macro.precision, 4.0 / 6, CLOSE);
    EXPECT_NEAR(s.macro.recall, 0.5, CLOSE);
    EXPECT_NEAR(s.macro.f, (8.0 / 10 + 0) / 2, CLOSE);
    EXPECT(isnan(s.mcc) != 0);
}

TEST(two_classes_by_the_table_are_two_classes_by_their_counts)
{
    uint64_t cell[4] = {9, 2, 3, 6};
    const struct kn_confusion k = {.cell = cell, .classes = 2};
    const struct kn_binary one = kn_confusion_binary(&k, 1);
    struct kn_multi_scores multi;
    struct kn_class_scores s;
    EXPECT_EQ(one.tp, 6);
    EXPECT_EQ(one.fp, 2);
    EXPECT_EQ(one.tn, 9);
    EXPECT_EQ(one.fn, 3);
    EXPECT(kn_confusion_scores(&k, BETA_1, &multi, NULL) == KN_OK);
    EXPECT(kn_binary_scores(&one, BETA_1, &s, NULL) == KN_OK);
    EXPECT_NEAR(multi.mcc, s.mcc, CLOSE);
}

TEST(the_first_of_equal_probabilities_is_what_is_said)
{
    const uint32_t truth[] = {1, 2};
    const float rows[] = {0.1f, 0.45f, 0.45f, 0.5f, 0.5f, 0.5f};
    uint64_t cell[9] = {0};
    const struct kn_confusion k = {.cell = cell, .classes = 3};
    EXPECT(kn_confusion_add_rows(&k, truth, rows, 2, NULL) == KN_OK);
    EXPECT_EQ(cell[1 * 3 + 1], 1);
    EXPECT_EQ(cell[2 * 3 + 0], 1);
}

TEST(figures_of_no_samples_have_no_value)
{
    struct kn_regression r;
    uint64_t cell[4] = {0};
    const struct kn_confusion k = {.cell = cell, .classes = 2};
    struct kn_multi_scores s;
    EXPECT(kn_regression_scores(NULL, NULL, 0, &r, NULL) == KN_OK);
    expect_value(r.mae, NONE);
    expect_value(r.rmse, NONE);
    expect_value(r.rrse, NONE);
    EXPECT(kn_confusion_scores(&k, BETA_1, &s, NULL) == KN_OK);
    expect_value(s.accuracy, NONE);
    expect_value(s.macro.recall, NONE);
    expect_value(s.micro.recall, NONE);
}

TEST(relative_errors_compare_with_the_mean_of_the_truth)
{
    const double truth[] = {1, 2, 3, 6}; /* mean 3: spreads 2 1 0 3, squares 4 1 0 9 */
    const double said[] = {2, 2, 5, 3};  /* mean 3 too, but spreads 1 1 2 0 */
    struct kn_regression r;
    EXPECT(kn_regression_scores(truth, said, 4, &r, NULL) == KN_OK);
    EXPECT_NEAR(r.mae, 6.0 / 4, CLOSE);
    EXPECT_NEAR(r.mse, 14.0 / 4, CLOSE);
    EXPECT_NEAR(r.rmse, sqrt(3.5), CLOSE);
    EXPECT_NEAR(r.rae, 6.0 / 6, CLOSE);
    EXPECT_NEAR(r.rse, 14.0 / 14, CLOSE);
    EXPECT_NEAR(r.rrse, 1.0, CLOSE);
}

TEST(relative_errors_do_not_depend_on_the_scale)
{
    const double truth[] = {1e-9, 2e-9, 3e-9, 6e-9};
    const double said[] = {2e-9, 2e-9, 5e-9, 3e-9};
    struct kn_regression r;
    EXPECT(kn_regression_scores(truth, said, 4, &r, NULL) == KN_OK);
    EXPECT_NEAR(r.rae, 1.0, CLOSE);
    EXPECT_NEAR(r.rse, 1.0, CLOSE);
}

TEST(a_constant_truth_leaves_relative_errors_without_value)
{
    const double truth[] = {0.1, 0.1, 0.1}; /* whose sum over 3 is not 0.1 in binary */
    const double said[] = {0.1, 0.2, 0.4};
    struct kn_regression r;
    EXPECT(kn_regression_scores(truth, said, 3, &r, NULL) == KN_OK);
    EXPECT_NEAR(r.mae, 0.4 / 3, CLOSE);
    expect_value(r.rae, NONE);
    expect_value(r.rse, NONE);
    expect_value(r.rrse, NONE);
}

TEST(a_spread_too_small_to_divide_by_is_none)
{
    const double truth[] = {0.0, 1e-300};
    const double said[] = {1e100, 0.0};
    struct kn_regression r;
    EXPECT(kn_regression_scores(truth, said, 2, &r, NULL) == KN_OK);
    expect_value(r.rae, NONE); /* infinite otherwise */
    expect_value(r.rse, NONE);
}

TEST(small_errors_beside_large_ones_are_not_lost_to_rounding)
{
    static double truth[100001];
    static double said[100001];
    struct kn_regression r;
    said[0] = 1e16;
    for (size_t i = 1; i < KN_COUNT(said); i++) {
        said[i] = 1.0;
    }
    EXPECT(kn_regression_scores(truth, said, KN_COUNT(said), &r, NULL) == KN_OK);
    EXPECT_NEAR(r.mae * 100001 - 1e16, 100000.0, 4e-5); /* a plain sum stays at 1e16 */
}

TEST(a_truth_or_prediction_out_of_range_is_named)
{
    const double good[] = {1, 2};
    const double bad[][2] = {{1, NONE}, {1, -(double)INFINITY}, {1, 1e101}};
    struct kn_regression r;
    struct kn_diag diag;
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        EXPECT(kn_regression_scores(good, bad[i], 2, &r, &diag) == KN_ERR_NOT_FINITE);
        EXPECT(strstr(diag.text, "sample 1") != NULL);
        EXPECT(kn_regression_scores(bad[i], good, 2, &r, &diag) == KN_ERR_NOT_FINITE);
    }
}
