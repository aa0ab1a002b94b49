/* SPDX-License-Identifier: Apache-2.0
 *
 * One answer from several models. Members answer in any order, or fail; the result has the same
 * bits whatever the order, because every element's values are sorted before they are summed.
 *
 * A member's answer is `width` numbers: one for a regression, the class for a vote, one probability
 * a class for a classifier. Each element is combined alone. A member that failed, or one of whose
 * numbers is not finite or above KN_SCORE_VALUE_MAX in magnitude, is left out with all its numbers
 * and counted in `failed`; it never makes the ensemble fail, unless nobody else answered. */
#ifndef KN_SCORE_ENSEMBLE_H
#define KN_SCORE_ENSEMBLE_H

#include "kernels/score/score.h"

#define KN_ENSEMBLE_MEMBERS_MAX 4096u
#define KN_ENSEMBLE_WEIGHT_MAX  1e12

enum kn_ensemble_kind {
    KN_ENSEMBLE_EACH = 0,     /* all answers, by ascending number of the member */
    KN_ENSEMBLE_MEAN = 1,     /* [1 2 3 4]: 2.5 */
    KN_ENSEMBLE_MEDIAN = 2,   /* [1 2 3 4]: 2.5, the mean of the two in the middle */
    KN_ENSEMBLE_VOTE = 3,     /* the value that most gave; the smallest of equally many */
    KN_ENSEMBLE_WEIGHTED = 4, /* sum of weight * value / sum of weights */
    KN_ENSEMBLE_KINDS = 5
};

/* "each", "mean", "median", "vote", "weighted"; static. */
const char *kn_ensemble_name(enum kn_ensemble_kind kind);

struct kn_member {
    uint64_t number;      /* unlike any other member's; says its place among EACH */
    const double *values; /* borrowed, `width`; NULL: it failed */
    double weight;        /* WEIGHTED: [0, KN_ENSEMBLE_WEIGHT_MAX]; otherwise ignored */
};

struct kn_ensemble {
    uint32_t answered; /* members whose answer counts */
    uint32_t failed;   /* the others */
};

/* out: width numbers, count * width for EACH, of which the first answered * width are written; in
 * EACH `order` (count numbers, or NULL) gets the members' numbers beside them. *tally is written in
 * every case but LIMIT and MEMORY. Errors, which leave out and order untouched:
 *   NOT_FOUND  no member answered
 *   INVALID    width 0; two members of one number; a weight out of range of a member that answered,
 * or weights that sum to 0 LIMIT      more than KN_ENSEMBLE_MEMBERS_MAX members MEMORY O(width *
 * count log count). */
KN_MUST_USE enum kn_err kn_ensemble_combine(enum kn_ensemble_kind kind,
                                            const struct kn_member *members, uint32_t count,
                                            uint32_t width, double *out, uint64_t *order,
                                            struct kn_ensemble *tally, struct kn_diag *diag);

/* The class that `width` probabilities name: the largest, the first of equals. Not-a-number is
 * never the largest. width > 0, CHECKed. What VOTE takes from classifiers. */
uint32_t kn_ensemble_class(const double *values, uint32_t width);

#endif
