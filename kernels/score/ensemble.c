/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/score/ensemble.h"

#include "kernels/score/sum.h"

#include <stdlib.h>
#include <string.h>

struct vote {
    double value;
    double weight;
};

const char *kn_ensemble_name(enum kn_ensemble_kind kind)
{
    static const char *const names[KN_ENSEMBLE_KINDS] = {"each", "mean", "median", "vote",
                                                         "weighted"};
    KN_CHECK((uint32_t)kind < KN_ENSEMBLE_KINDS);
    return names[kind];
}

uint32_t kn_ensemble_class(const double *values, uint32_t width)
{
    uint32_t best = 0;
    KN_CHECK(width > 0);
    for (uint32_t i = 1; i < width; i++) {
        best = values[i] > values[best] || isnan(values[best]) != 0 ? i : best;
    }
    return best;
}

static int compare(double a, double b)
{
    return (a > b) - (a < b);
}

/* By value, then by weight: votes that compare equal are interchangeable. */
static int vote_compare(const void *left, const void *right)
{
    const struct vote *a = left;
    const struct vote *b = right;
    const int by_value = compare(a->value, b->value);
    return by_value != 0 ? by_value : compare(a->weight, b->weight);
}

static int number_compare(const void *left, const void *right)
{
    const struct kn_member *a = *(const struct kn_member *const *)left;
    const struct kn_member *b = *(const struct kn_member *const *)right;
    return (a->number > b->number) - (a->number < b->number);
}

static bool answered(const struct kn_member *m, uint32_t width)
{
    for (uint32_t i = 0; m->values != NULL && i < width; i++) {
        if (!(fabs(m->values[i]) <= KN_SCORE_VALUE_MAX)) {
            return false;
        }
    }
    return m->values != NULL;
}

static double mean_of(const struct vote *votes, uint32_t count)
{
    struct kn_sum sum = {0};
    for (uint32_t i = 0; i < count; i++) {
        kn_sum_add(&sum, votes[i].value);
    }
    return kn_sum_value(&sum) / count;
}

static double weighted_of(const struct vote *votes, uint32_t count)
{
    struct kn_sum sum = {0};
    struct kn_sum weights = {0};
    for (uint32_t i = 0; i < count; i++) {
        kn_sum_add(&sum, votes[i].weight * votes[i].value);
        kn_sum_add(&weights, votes[i].weight);
    }
    return kn_sum_value(&sum) / kn_sum_value(&weights);
}

/* The longest run of equal values among sorted ones; the first, so the smallest, of equally long.
 */
static double most_of(const struct vote *votes, uint32_t count)
{
    uint32_t best = 0;
    uint32_t longest = 0;
    uint32_t begin = 0;
    for (uint32_t i = 0; i < count; i++) {
        begin = votes[i].value > votes[begin].value ? i : begin;
        if (i - begin + 1 > longest) {
            longest = i - begin + 1;
            best = begin;
        }
    }
    return votes[best].value;
}

static double combine(enum kn_ensemble_kind kind, struct vote *votes, uint32_t count)
{
    qsort(votes, count, sizeof *votes, vote_compare);
    switch (kind) {
    case KN_ENSEMBLE_MEAN:
        return mean_of(votes, count);
    case KN_ENSEMBLE_MEDIAN:
        return mean_of(votes + (count - 1) / 2, count % 2 == 0 ? 2 : 1);
    case KN_ENSEMBLE_VOTE:
        return most_of(votes, count);
    case KN_ENSEMBLE_WEIGHTED:
        return weighted_of(votes, count);
    case KN_ENSEMBLE_EACH:
    case KN_ENSEMBLE_KINDS:
        break;
    }
    kn_panic(__FILE__, __LINE__, "a kind that combines");
}

static enum kn_err weights_verify(const struct kn_member *const *who, uint32_t count,
                                  struct kn_diag *diag)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        const double weight = who[i]->weight;
        if (!(weight >= 0.0) || !(weight <= KN_ENSEMBLE_WEIGHT_MAX)) {
            return kn_fail(diag, KN_ERR_INVALID, "weight of member %llu: %g, expected 0 to %g",
                           (unsigned long long)who[i]->number, weight, KN_ENSEMBLE_WEIGHT_MAX);
        }
        any = any || weight > 0.0;
    }
    return any ? KN_OK
               : kn_fail(diag, KN_ERR_INVALID, "the weights of all members that answered are 0");
}

/* The members that answered, by number, are the first tally->answered of who. */
static enum kn_err sift(const struct kn_member *members, uint32_t count, uint32_t width,
                        const struct kn_member **who, struct kn_ensemble *tally,
                        struct kn_diag *diag)
{
    for (uint32_t i = 0; i < count; i++) {
        who[i] = &members[i];
    }
    qsort(who, count, sizeof *who, number_compare);
    for (uint32_t i = 1; i < count; i++) {
        if (who[i]->number == who[i - 1]->number) {
            return kn_fail(diag, KN_ERR_INVALID, "two members have the number %llu",
                           (unsigned long long)who[i]->number);
        }
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (answered(who[i], width)) {
            who[kept] = who[i];
            kept++;
        }
    }
    *tally = (struct kn_ensemble){.answered = kept, .failed = count - kept};
    return kept > 0 ? KN_OK : kn_fail(diag, KN_ERR_NOT_FOUND, "none of %u members answered", count);
}

static void write_out(enum kn_ensemble_kind kind, const struct kn_member *const *who,
                      uint32_t count, uint32_t width, struct vote *votes, double *out,
                      uint64_t *order)
{
    if (kind == KN_ENSEMBLE_EACH) {
        for (uint32_t m = 0; m < count; m++) {
            memcpy(out + (size_t)m * width, who[m]->values, width * sizeof *out);
            if (order != NULL) {
                order[m] = who[m]->number;
            }
        }
        return;
    }
    for (uint32_t i = 0; i < width; i++) {
        for (uint32_t m = 0; m < count; m++) {
            const double value = who[m]->values[i];
            /* x + 0 makes -0 into 0: they compare equal, and would be told apart by the order. */
            votes[m] = (struct vote){.value = value + 0.0, .weight = who[m]->weight + 0.0};
            if (kind != KN_ENSEMBLE_WEIGHTED) {
                votes[m].weight = 0.0; /* may be anything there, not-a-number too */
            }
        }
        out[i] = combine(kind, votes, count);
    }
}

enum kn_err kn_ensemble_combine(enum kn_ensemble_kind kind, const struct kn_member *members,
                                uint32_t count, uint32_t width, double *out, uint64_t *order,
                                struct kn_ensemble *tally, struct kn_diag *diag)
{
    KN_CHECK((uint32_t)kind < KN_ENSEMBLE_KINDS);
    if (count > KN_ENSEMBLE_MEMBERS_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT, "%u members, at most %u", count,
                       KN_ENSEMBLE_MEMBERS_MAX);
    }
    const struct kn_member **who =
        (const struct kn_member **)calloc((size_t)count + 1, sizeof *who);
    struct vote *votes = calloc((size_t)count + 1, sizeof *votes);
    enum kn_err err = KN_OK;
    if (who == NULL || votes == NULL) {
        err = kn_fail(diag, KN_ERR_MEMORY, "no memory for %u members", count);
    } else {
        *tally = (struct kn_ensemble){.failed = count};
        err = width > 0 ? sift(members, count, width, who, tally, diag)
                        : kn_fail(diag, KN_ERR_INVALID, "answers of width 0");
    }
    if (err == KN_OK && kind == KN_ENSEMBLE_WEIGHTED) {
        err = weights_verify(who, tally->answered, diag);
    }
    if (err == KN_OK) {
        write_out(kind, who, tally->answered, width, votes, out, order);
    }
    free((void *)who);
    free(votes);
    return err;
}
