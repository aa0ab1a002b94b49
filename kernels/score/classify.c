/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/score/score.h"

#include <math.h>

#define BETA_MAX 1e6

static double ratio(double part, double whole)
{
    return whole > 0.0 ? part / whole : (double)NAN;
}

void kn_binary_count(struct kn_binary *c, const uint32_t *truth, const uint32_t *predicted,
                     size_t count, uint32_t positive)
{
    for (size_t i = 0; i < count; i++) {
        const bool is = truth[i] == positive;
        const bool said = predicted[i] == positive;
        c->tp += is && said ? 1 : 0;
        c->fp += !is && said ? 1 : 0;
        c->tn += !is && !said ? 1 : 0;
        c->fn += is && !said ? 1 : 0;
    }
}

enum kn_err kn_binary_count_scores(struct kn_binary *c, const uint32_t *truth,
                                   const double *probability, size_t count, uint32_t positive,
                                   double threshold, struct kn_diag *diag)
{
    struct kn_binary sum = *c;
    if (isfinite(threshold) == 0) {
        return kn_fail(diag, KN_ERR_INVALID, "threshold: expected a finite number");
    }
    for (size_t i = 0; i < count; i++) {
        if (isfinite(probability[i]) == 0) {
            return kn_fail(diag, KN_ERR_NOT_FINITE, "sample %zu: the prediction is not finite", i);
        }
        const uint32_t is = truth[i] == positive ? 1 : 0;
        const uint32_t said = probability[i] >= threshold ? 1 : 0;
        kn_binary_count(&sum, &is, &said, 1, 1);
    }
    *c = sum;
    return KN_OK;
}

static enum kn_err beta_verify(double beta, struct kn_diag *diag)
{
    if (!(beta > 0.0) || !(beta <= BETA_MAX)) {
        return kn_fail(diag, KN_ERR_INVALID, "beta: %g, expected above 0 and at most %g", beta,
                       BETA_MAX);
    }
    return KN_OK;
}

static struct kn_class_scores scores_of(const struct kn_binary *c, double beta)
{
    const double tp = (double)c->tp;
    const double fp = (double)c->fp;
    const double tn = (double)c->tn;
    const double fn = (double)c->fn;
    const double b2 = beta * beta;
    /* TP TN and FP FN are each at most the denominator, so their rounding stays below 1e-15. */
    const double spread = sqrt((tp + fp) * (tp + fn)) * sqrt((tn + fp) * (tn + fn));
    return (struct kn_class_scores){
        .accuracy = ratio(tp + tn, tp + fp + tn + fn),
        .precision = ratio(tp, tp + fp),
        .recall = ratio(tp, tp + fn),
        .f = ratio((1.0 + b2) * tp, (1.0 + b2) * tp + b2 * fn + fp),
        .specificity = ratio(tn, tn + fp),
        .npv = ratio(tn, tn + fn),
        .fpr = ratio(fp, fp + tn),
        .mcc = ratio(tp * tn - fp * fn, spread),
    };
}

enum kn_err kn_binary_scores(const struct kn_binary *c, double beta, struct kn_class_scores *out,
                             struct kn_diag *diag)
{
    enum kn_err err = beta_verify(beta, diag);
    if (err == KN_OK) {
        *out = scores_of(c, beta);
    }
    return err;
}

static void confusion_check(const struct kn_confusion *c)
{
    KN_CHECK(c->cell != NULL);
    KN_CHECK(c->classes >= 2);
    KN_CHECK(c->classes <= KN_SCORE_CLASSES_MAX);
}

enum kn_err kn_confusion_add(const struct kn_confusion *c, const uint32_t *truth,
                             const uint32_t *predicted, size_t count, struct kn_diag *diag)
{
    confusion_check(c);
    for (size_t i = 0; i < count; i++) {
        const uint32_t worst = truth[i] > predicted[i] ? truth[i] : predicted[i];
        if (worst >= c->classes) {
            return kn_fail(diag, KN_ERR_INVALID, "sample %zu: class %u of %u", i, worst,
                           c->classes);
        }
    }
    for (size_t i = 0; i < count; i++) {
        c->cell[(size_t)truth[i] * c->classes + predicted[i]]++;
    }
    return KN_OK;
}

static uint32_t largest(const float *row, uint32_t count)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++) {
        best = row[i] > row[best] ? i : best;
    }
    return best;
}

enum kn_err kn_confusion_add_rows(const struct kn_confusion *c, const uint32_t *truth,
                                  const float *rows, size_t count, struct kn_diag *diag)
{
    confusion_check(c);
    for (size_t i = 0; i < count; i++) {
        if (truth[i] >= c->classes) {
            return kn_fail(diag, KN_ERR_INVALID, "sample %zu: class %u of %u", i, truth[i],
                           c->classes);
        }
        for (uint32_t k = 0; k < c->classes; k++) {
            if (isfinite(rows[i * c->classes + k]) == 0) {
                return kn_fail(diag, KN_ERR_NOT_FINITE,
                               "sample %zu: the prediction for class %u is not finite", i, k);
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        const uint32_t said = largest(rows + i * c->classes, c->classes);
        c->cell[(size_t)truth[i] * c->classes + said]++;
    }
    return KN_OK;
}

/* Sums of one class's row and column and its own cell: what all its figures follow from, without
 * reading the whole table once for every class. */
static struct kn_binary class_counts(const struct kn_confusion *c, uint32_t k, uint64_t all)
{
    uint64_t is = 0;
    uint64_t said = 0;
    for (uint32_t i = 0; i < c->classes; i++) {
        is += c->cell[(size_t)k * c->classes + i];
        said += c->cell[(size_t)i * c->classes + k];
    }
    const uint64_t tp = c->cell[(size_t)k * c->classes + k];
    return (struct kn_binary){.tp = tp, .fp = said - tp, .fn = is - tp, .tn = all - is - said + tp};
}

static uint64_t samples(const struct kn_confusion *c)
{
    const size_t cells = (size_t)c->classes * c->classes;
    uint64_t all = 0;
    for (size_t i = 0; i < cells; i++) {
        all += c->cell[i];
    }
    return all;
}

struct kn_binary kn_confusion_binary(const struct kn_confusion *c, uint32_t class_number)
{
    confusion_check(c);
    KN_CHECK(class_number < c->classes);
    return class_counts(c, class_number, samples(c));
}

struct mean {
    double sum;
    uint32_t count;
};

static void mean_add(struct mean *m, double value)
{
    if (isnan(value) == 0) {
        m->sum += value;
        m->count++;
    }
}

static double mean_value(const struct mean *m)
{
    return ratio(m->sum, (double)m->count);
}

struct macro {
    struct mean accuracy, precision, recall, f, specificity, npv, fpr, mcc;
};

static void macro_add(struct macro *m, const struct kn_class_scores *s)
{
    mean_add(&m->accuracy, s->accuracy);
    mean_add(&m->precision, s->precision);
    mean_add(&m->recall, s->recall);
    mean_add(&m->f, s->f);
    mean_add(&m->specificity, s->specificity);
    mean_add(&m->npv, s->npv);
    mean_add(&m->fpr, s->fpr);
    mean_add(&m->mcc, s->mcc);
}

static struct kn_class_scores macro_value(const struct macro *m)
{
    return (struct kn_class_scores){
        .accuracy = mean_value(&m->accuracy),
        .precision = mean_value(&m->precision),
        .recall = mean_value(&m->recall),
        .f = mean_value(&m->f),
        .specificity = mean_value(&m->specificity),
        .npv = mean_value(&m->npv),
        .fpr = mean_value(&m->fpr),
        .mcc = mean_value(&m->mcc),
    };
}

enum kn_err kn_confusion_scores(const struct kn_confusion *c, double beta,
                                struct kn_multi_scores *out, struct kn_diag *diag)
{
    confusion_check(c);
    enum kn_err err = beta_verify(beta, diag);
    if (err != KN_OK) {
        return err;
    }
    const uint64_t all = samples(c);
    struct macro macro = {0};
    struct kn_binary micro = {0};
    const double total = (double)all;
    double chance = 0.0; /* sums over the classes of (share is)(share said), (is)^2, (said)^2 */
    double is2 = 0.0;
    double said2 = 0.0;
    for (uint32_t k = 0; k < c->classes; k++) {
        const struct kn_binary b = class_counts(c, k, all);
        const struct kn_class_scores s = scores_of(&b, beta);
        macro_add(&macro, &s);
        micro.tp += b.tp;
        micro.fp += b.fp;
        micro.tn += b.tn;
        micro.fn += b.fn;
        const double is = (double)(b.tp + b.fn);
        const double said = (double)(b.tp + b.fp);
        chance += is * said;
        is2 += is * is;
        said2 += said * said;
    }
    out->accuracy = ratio((double)micro.tp, total);
    out->mcc = ratio((double)micro.tp * total - chance,
                     sqrt(total * total - said2) * sqrt(total * total - is2));
    out->macro = macro_value(&macro);
    out->micro = scores_of(&micro, beta);
    return KN_OK;
}
