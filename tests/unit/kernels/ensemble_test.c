/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/score/ensemble.h"
#include "kernels/score/prediction.h"

#include "tst.h"

#include <math.h>
#include <string.h>

enum { MEMBERS = 7 };

static double combined(enum kn_ensemble_kind kind, const double *values, uint32_t count,
                       struct kn_ensemble *tally)
{
    struct kn_member members[MEMBERS];
    double out[MEMBERS] = {0};
    for (uint32_t i = 0; i < count; i++) {
        members[i] = (struct kn_member){.number = i, .values = &values[i], .weight = 1.0};
    }
    EXPECT(kn_ensemble_combine(kind, members, count, 1, out, NULL, tally, NULL) == KN_OK);
    return out[0];
}

TEST(mean_and_median_of_1_2_3_4_are_2_and_a_half)
{
    const double values[] = {3, 1, 4, 2};
    struct kn_ensemble tally;
    EXPECT_NEAR(combined(KN_ENSEMBLE_MEAN, values, 4, &tally), 2.5, 0);
    EXPECT_NEAR(combined(KN_ENSEMBLE_MEDIAN, values, 4, &tally), 2.5, 0);
    EXPECT_EQ(tally.answered, 4);
    EXPECT_EQ(tally.failed, 0);
}

struct median {
    double values[4];
    uint32_t count;
    double want;
};

static const struct median medians[] = {
    {{7}, 1, 7}, {{2, 1}, 2, 1.5}, {{9, 1, 2}, 3, 2}, {{-4, -1, -3, -2}, 4, -2.5}};

TEST_ROWS(the_median_of_an_even_number_is_between_the_two_in_the_middle, medians)
{
    const struct median *m = &medians[tst_row];
    struct kn_ensemble tally;
    EXPECT_NEAR(combined(KN_ENSEMBLE_MEDIAN, m->values, m->count, &tally), m->want, 0);
}

TEST(a_corrupt_member_is_left_out_and_counted)
{
    const double values[] = {1, 2, (double)NAN, 3, 4};
    struct kn_ensemble tally;
    EXPECT_NEAR(combined(KN_ENSEMBLE_MEAN, values, 5, &tally), 2.5, 0);
    EXPECT_EQ(tally.answered, 4);
    EXPECT_EQ(tally.failed, 1);
}

TEST(a_member_fails_with_all_its_numbers)
{
    const double a[] = {1, 2};
    const double b[] = {3, (double)INFINITY};
    const struct kn_member members[] = {
        {.number = 0, .values = a}, {.number = 1, .values = b}, {.number = 2, .values = NULL}};
    double out[2];
    struct kn_ensemble tally;
    EXPECT(kn_ensemble_combine(KN_ENSEMBLE_MEAN, members, 3, 2, out, NULL, &tally, NULL) == KN_OK);
    EXPECT_NEAR(out[0], 1, 0);
    EXPECT_NEAR(out[1], 2, 0);
    EXPECT_EQ(tally.failed, 2);
}

TEST(where_nobody_answered_there_is_no_result_and_all_are_counted)
{
    const struct kn_member members[] = {{.number = 0}, {.number = 1}};
    double out = 7;
    struct kn_ensemble tally;
    struct kn_diag diag;
    EXPECT(kn_ensemble_combine(KN_ENSEMBLE_MEDIAN, members, 2, 1, &out, NULL, &tally, &diag) ==
           KN_ERR_NOT_FOUND);
    EXPECT_EQ(tally.answered, 0);
    EXPECT_EQ(tally.failed, 2);
    EXPECT_NEAR(out, 7, 0);
    EXPECT(kn_ensemble_combine(KN_ENSEMBLE_MEAN, NULL, 0, 1, &out, NULL, &tally, NULL) ==
           KN_ERR_NOT_FOUND);
}

struct vote {
    double values[6];
    uint32_t count;
    double want;
};

static const struct vote votes[] = {{{2, 1, 2}, 3, 2},
                                    {{3, 1, 2}, 3, 1},
                                    {{5, 1, 5, 1}, 4, 1},
                                    {{0.0, 4, -0.0}, 3, 0},
                                    {{9, 9, 1, 1, 4, 9}, 6, 9}};

TEST_ROWS(a_vote_takes_what_most_gave_and_the_smallest_of_equally_many, votes)
{
    const struct vote *v = &votes[tst_row];
    struct kn_ensemble tally;
    EXPECT_NEAR(combined(KN_ENSEMBLE_VOTE, v->values, v->count, &tally), v->want, 0);
}

TEST(weights_count_only_of_those_who_answered)
{
    const double a = 10;
    const double b = 20;
    struct kn_member members[] = {{.number = 0, .values = &a, .weight = 1},
                                  {.number = 1, .values = &b, .weight = 3},
                                  {.number = 2, .values = NULL, .weight = (double)NAN}};
    double out = 0;
    struct kn_ensemble tally;
    struct kn_diag diag;
    EXPECT(kn_ensemble_combine(KN_ENSEMBLE_WEIGHTED, members, 3, 1, &out, NULL, &tally, NULL) ==
           KN_OK);
    EXPECT_NEAR(out, 17.5, 0);
    members[1].weight = -1;
    EXPECT(kn_ensemble_combine(KN_ENSEMBLE_WEIGHTED, members, 3, 1, &out, NULL, &tally, &diag) ==
           KN_ERR_INVALID);
    EXPECT(strstr(diag.text, "member 1") != NULL);
    members[0].weight = 0;
    members[1].weight = 0;
    EXPECT(kn_ensemble_combine(KN_ENSEMBLE_WEIGHTED, members, 3, 1, &out, NULL, &tally, &diag) ==
           KN_ERR_INVALID);
}

TEST(each_lists_who_answered_by_number_whatever_the_order_of_arrival)
{
    const double a[] = {1, 10};
    const double c[] = {3, 30};
    const struct kn_member members[] = {
        {.number = 9, .values = c}, {.number = 4, .values = NULL}, {.number = 2, .values = a}};
    double out[6];
    uint64_t order[3];
    struct kn_ensemble tally;
    EXPECT(kn_ensemble_combine(KN_ENSEMBLE_EACH, members, 3, 2, out, order, &tally, NULL) == KN_OK);
    EXPECT_EQ(tally.answered, 2);
    EXPECT_EQ(order[0], 2);
    EXPECT_EQ(order[1], 9);
    EXPECT_NEAR(out[1], 10, 0);
    EXPECT_NEAR(out[2], 3, 0);
}

TEST(what_an_ensemble_refuses)
{
    const double a = 1;
    const struct kn_member twins[] = {{.number = 3, .values = &a}, {.number = 3, .values = &a}};
    static const struct kn_member many[KN_ENSEMBLE_MEMBERS_MAX + 1];
    double out = 0;
    struct kn_ensemble tally;
    EXPECT(kn_ensemble_combine(KN_ENSEMBLE_MEAN, twins, 2, 1, &out, NULL, &tally, NULL) ==
           KN_ERR_INVALID);
    EXPECT(kn_ensemble_combine(KN_ENSEMBLE_MEAN, twins, 1, 0, &out, NULL, &tally, NULL) ==
           KN_ERR_INVALID);
    EXPECT(kn_ensemble_combine(KN_ENSEMBLE_MEAN, many, KN_COUNT(many), 1, &out, NULL, &tally,
                               NULL) == KN_ERR_LIMIT);
}

/* Every order of MEMBERS members, by Heap's method without recursion. */
TEST(the_bits_do_not_depend_on_the_order_of_arrival)
{
    const double values[MEMBERS] = {1e16, 1.0, -1e16, 0.1, 3e-7, 0.1, -0.0};
    struct kn_member members[MEMBERS];
    double first[KN_ENSEMBLE_KINDS] = {0};
    uint32_t turns[MEMBERS] = {0};
    struct kn_ensemble tally;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        members[i] = (struct kn_member){i, &values[i], 0.1 * (double)(i + 1)};
    }
    for (int k = KN_ENSEMBLE_MEAN; k < KN_ENSEMBLE_KINDS; k++) {
        EXPECT(kn_ensemble_combine((enum kn_ensemble_kind)k, members, MEMBERS, 1, &first[k], NULL,
                                   &tally, NULL) == KN_OK);
    }
    uint32_t orders = 1;
    for (uint32_t i = 1; i < MEMBERS;) {
        if (turns[i] == i) {
            turns[i] = 0;
            i++;
            continue;
        }
        const uint32_t j = i % 2 == 0 ? 0 : turns[i];
        const struct kn_member swap = members[j];
        members[j] = members[i];
        members[i] = swap;
        turns[i]++;
        i = 1;
        orders++;
        for (int k = KN_ENSEMBLE_MEAN; k < KN_ENSEMBLE_KINDS; k++) {
            double out = 0;
            EXPECT(kn_ensemble_combine((enum kn_ensemble_kind)k, members, MEMBERS, 1, &out, NULL,
                                       &tally, NULL) == KN_OK);
            EXPECT_MEM(&out, &first[k], sizeof out);
        }
    }
    EXPECT_EQ(orders, 5040);
    EXPECT_NEAR(first[KN_ENSEMBLE_MEAN], (1.0 + 0.1 + 0.1 + 3e-7) / 7, 1e-15);
}

TEST(the_class_of_probabilities_is_the_first_of_the_largest)
{
    const double p[] = {0.1, 0.4, 0.4, 0.1};
    const double broken[] = {(double)NAN, 0.2, 0.8};
    EXPECT_EQ(kn_ensemble_class(p, 4), 1);
    EXPECT_EQ(kn_ensemble_class(broken, 3), 2);
}

struct number {
    const char *text;
    bool good;
    double value;
};

static const struct number numbers[] = {
    {"7", true, 7},
    {"-3", true, -3},
    {"+4", true, 4},
    {"0.5", true, 0.5},
    {".5", true, 0.5},
    {"2.", true, 2},
    {"1e-3", true, 1e-3},
    {"-4.25E+10", true, -4.25e10},
    {"1e308", true, 1e308},
    {"00012", true, 12},
    {"1e-400", true, 0},
    {"", false, 0},
    {"-", false, 0},
    {".", false, 0},
    {"1e", false, 0},
    {"1e+", false, 0},
    {"e5", false, 0},
    {"nan", false, 0},
    {"inf", false, 0},
    {"0x10", false, 0},
    {"1e999", false, 0},
    {"1,5", false, 0},
    {"1 ", false, 0},
    {" 1", false, 0},
    {"--1", false, 0},
    {"1.2.3", false, 0},
    {"11111111111111111111111111111111111111111111111111111111111111111", false, 0},
};

TEST_ROWS(a_number_is_read_whole_or_not_at_all, numbers)
{
    const struct number *n = &numbers[tst_row];
    double value = -77;
    EXPECT(kn_number_parse(n->text, strlen(n->text), &value) == n->good);
    EXPECT_NEAR(value, n->good ? n->value : -77, 0);
}

struct printed {
    const char *text;
    enum kn_err err;
    double value;
};

static const struct printed printeds[] = {
    {"PredictedBuffer=3.25\n", KN_OK, 3.25},
    {"loading\nPredictedBuffer=7", KN_OK, 7}, /* Conductor's pattern wanted a point */
    {"PredictedBuffer=-12\r\nbye\n", KN_OK, -12},
    {"PredictedBuffer=1.5e-3\n", KN_OK, 1.5e-3}, /* of which it took 1.5 */
    {"PredictedValue=2.5\n", KN_OK, 2.5},
    {"PredictedBuffer=1\nPredictedValue=2\nPredictedBuffer= 3\n", KN_OK, 3}, /* the last counts */
    {"PredictedBuffer=1\nPredictedValue=2 s\n", KN_OK, 2},
    {"PredictedBuffer=1, done", KN_OK, 1},
    {"PredictedBuffer=nan\n", KN_ERR_CORRUPT, 0},
    {"PredictedBuffer=1\nPredictedBuffer=oops\n", KN_ERR_CORRUPT, 0},
    {"PredictedBuffer=1.2.3\n", KN_ERR_CORRUPT, 0},
    {"PredictedBuffer=0x10\n", KN_ERR_CORRUPT, 0},
    {"PredictedBuffer=1e\n", KN_ERR_CORRUPT, 0},
    {"PredictedBuffer=1e999\n", KN_ERR_CORRUPT, 0},
    {"PredictedBuffer=\n5\n", KN_ERR_CORRUPT, 0},
    {"PredictedBuffer=", KN_ERR_CORRUPT, 0},
    {"UnpredictedBuffer=1 notPredictedBuffer=2 PredictedBuffers=3", KN_ERR_NOT_FOUND, 0},
    {"", KN_ERR_NOT_FOUND, 0},
};

TEST_ROWS(what_a_script_printed_as_its_prediction_is_found, printeds)
{
    const struct printed *p = &printeds[tst_row];
    double value = 0;
    EXPECT(kn_prediction_conductor(p->text, strlen(p->text), &value, NULL) == p->err);
    EXPECT_NEAR(value, p->value, 0);
}

TEST(another_marker_may_be_named)
{
    const char *text = "y: 1\nforecast = 9\nforecast=8\n";
    double value = 0;
    struct kn_diag diag;
    EXPECT(kn_prediction_find(text, strlen(text), "forecast", &value, NULL) == KN_OK);
    EXPECT_NEAR(value, 8, 0);
    EXPECT(kn_prediction_find(text, strlen(text), "forecast=", &value, NULL) == KN_OK);
    EXPECT(kn_prediction_find(text, strlen(text), "y:=", &value, &diag) == KN_ERR_NOT_FOUND);
    EXPECT_STR(diag.text, "no \"y:=\" was printed");
}

struct list {
    const char *text;
    enum kn_err err;
    size_t count;
    double last;
};

static const struct list lists[] = {
    {"5", KN_OK, 1, 5},
    {"1 2\n3\n", KN_OK, 3, 3},
    {" [0.25, 0.5,\n 2.5e-1] \n", KN_OK, 3, 0.25},
    {"1;-2", KN_OK, 2, -2},
    {"1 , 2", KN_OK, 2, 2},
    {"", KN_ERR_CORRUPT, 0, 0},
    {"[]", KN_ERR_CORRUPT, 0, 0},
    {"[1", KN_ERR_CORRUPT, 0, 0},
    {"[", KN_ERR_CORRUPT, 0, 0},
    {"[[1]]", KN_ERR_CORRUPT, 0, 0},
    {"1,,2", KN_ERR_CORRUPT, 0, 0},
    {",1", KN_ERR_CORRUPT, 0, 0},
    {"1,", KN_ERR_CORRUPT, 0, 0},
    {"1 x", KN_ERR_CORRUPT, 0, 0},
    {"1 nan", KN_ERR_CORRUPT, 0, 0},
    {"1 2 3 4 5", KN_ERR_LIMIT, 0, 0},
};

TEST_ROWS(a_list_of_predictions_is_read_whole_or_refused, lists)
{
    const struct list *l = &lists[tst_row];
    double out[4] = {0};
    size_t count = 0;
    EXPECT(kn_prediction_list(l->text, strlen(l->text), out, 4, &count, NULL) == l->err);
    EXPECT_EQ(count, l->count);
    if (count > 0) {
        EXPECT_NEAR(out[count - 1], l->last, 0);
    }
}
