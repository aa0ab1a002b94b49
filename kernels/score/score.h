/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model is worth: figures of classification and of regression, from the truth and what the
 * model said.
 *
 * **No value.** A figure whose denominator is 0 has no value, which is not-a-number here and is for
 * the caller to show as absent: never 0, never 1, never infinity. So precision has none where
 * nothing was predicted positive, and nothing has one over no samples. A mean of figures is taken
 * over those that have a value, and has none where none has.
 *
 * **Not finite.** A prediction (in regression also a truth) that is not finite, or in regression
 * larger in magnitude than KN_SCORE_VALUE_MAX, is an error that names the sample; a model that says
 * not-a-number is broken, and leaving such samples out would flatter it.
 *
 * Sums are compensated, so figures are good to about 1e-15 whatever the number and order of
 * samples. Functions keep nothing, use no heap, and are O(samples) (O(classes^2) for the figures of
 * k classes); on an error the outputs are untouched. Usable from any thread. */
#ifndef KN_SCORE_H
#define KN_SCORE_H

#include "kernels/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KN_SCORE_VALUE_MAX   1e100 /* so that no sum of squares leaves the range of double */
#define KN_SCORE_CLASSES_MAX 4096u

/* Two classes: how often what is true was said. */
struct kn_binary {
    uint64_t tp; /* positive, said positive */
    uint64_t fp; /* negative, said positive */
    uint64_t tn; /* negative, said negative */
    uint64_t fn; /* positive, said negative */
};

/* Figures of one class against the rest; each has no value where its denominator is 0. */
struct kn_class_scores {
    double accuracy;    /* (TP + TN) / all */
    double precision;   /* TP / (TP + FP) */
    double recall;      /* TP / (TP + FN) */
    double f;           /* (1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP) */
    double specificity; /* TN / (TN + FP) */
    double npv;         /* negative predictive value, TN / (TN + FN) */
    double fpr;         /* false-positive rate, FP / (FP + TN) */
    double mcc;         /* Matthews: (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)) */
};

/* Adds count samples to *c: labels are class numbers, `positive` is the one that counts as
 * positive. *c begins as {0}. */
void kn_binary_count(struct kn_binary *c, const uint32_t *truth, const uint32_t *predicted,
                     size_t count, uint32_t positive);
/* The same from the probability of the positive class (or any score): positive is said where it is
 * >= threshold. NOT_FINITE names the first probability that is not finite; *c is untouched then. */
KN_MUST_USE enum kn_err kn_binary_count_scores(struct kn_binary *c, const uint32_t *truth,
                                               const double *probability, size_t count,
                                               uint32_t positive, double threshold,
                                               struct kn_diag *diag);
/* beta > 0, finite, at most 1e6: weight of recall against precision; INVALID otherwise. */
KN_MUST_USE enum kn_err kn_binary_scores(const struct kn_binary *c, double beta,
                                         struct kn_class_scores *out, struct kn_diag *diag);

/* k classes: cell[truth * classes + said], the caller's memory, zero before the first sample. */
struct kn_confusion {
    uint64_t *cell;   /* borrowed, classes * classes */
    uint32_t classes; /* 2 .. KN_SCORE_CLASSES_MAX, CHECKed */
};

/* INVALID names the first sample with a class that is not below `classes`; nothing is counted then.
 */
KN_MUST_USE enum kn_err kn_confusion_add(const struct kn_confusion *c, const uint32_t *truth,
                                         const uint32_t *predicted, size_t count,
                                         struct kn_diag *diag);
/* From rows of `classes` probabilities or logits: the largest is what is said, the first of equals.
 * Also NOT_FINITE, naming sample and class. */
KN_MUST_USE enum kn_err kn_confusion_add_rows(const struct kn_confusion *c, const uint32_t *truth,
                                              const float *rows, size_t count,
                                              struct kn_diag *diag);
/* One class against the rest. */
struct kn_binary kn_confusion_binary(const struct kn_confusion *c, uint32_t class_number);

struct kn_multi_scores {
    double accuracy; /* the share of samples that are right */
    double mcc;      /* Gorodkin's R_k; of two classes it is Matthews' */
    /* Means over the classes whose figure has a value. Its accuracy and mcc are those of one class
     * against the rest. */
    struct kn_class_scores macro;
    /* The figures of TP, FP, TN, FN summed over the classes. */
    struct kn_class_scores micro;
};

KN_MUST_USE enum kn_err kn_confusion_scores(const struct kn_confusion *c, double beta,
                                            struct kn_multi_scores *out, struct kn_diag *diag);

/* Regression. The relative figures compare with always saying the mean of the *truth*; they have no
 * value where the truth is constant. */
struct kn_regression {
    double mae;  /* mean |said - truth| */
    double mse;  /* mean (said - truth)^2 */
    double rmse; /* sqrt(mse) */
    double rae;  /* sum |said - truth| / sum |truth - mean(truth)| */
    double rse;  /* sum (said - truth)^2 / sum (truth - mean(truth))^2 */
    double rrse; /* sqrt(rse) */
};

/* NOT_FINITE names the first sample. No value in any field for count = 0. */
KN_MUST_USE enum kn_err kn_regression_scores(const double *truth, const double *predicted,
                                             size_t count, struct kn_regression *out,
                                             struct kn_diag *diag);

#endif
