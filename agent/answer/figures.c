/* SPDX-License-Identifier: Apache-2.0 */
#include "answer/figures.h"

#include "answer/table.h"
#include "kernels/score/results.h"
#include "spec/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)KN_METRICS == (int)JOBS_FIGURES_MAX, "figures are numbered as metrics are");

#define BETA 1.0

static void put_class(json_t *out, const struct kn_class_scores *s)
{
    const struct {
        const char *name;
        double value;
    } parts[] = {{"accuracy", s->accuracy},
                 {"precision", s->precision},
                 {"recall", s->recall},
                 {"f", s->f},
                 {"specificity", s->specificity},
                 {"npv", s->npv},
                 {"fpr", s->fpr},
                 {"mcc", s->mcc}};
    for (size_t i = 0; i < SH_COUNT(parts); i++) {
        (void)json_object_set_new(out, parts[i].name, spec_json_number(parts[i].value));
    }
}

static json_t *class_json(const struct infer *infer, const struct kn_confusion *c, uint32_t number)
{
    struct kn_binary binary = kn_confusion_binary(c, number);
    struct kn_class_scores scores;
    json_t *out = json_pack("{s:s, s:I, s:I, s:I, s:I}", "class", infer_class(infer, number), "tp",
                            (json_int_t)binary.tp, "fp", (json_int_t)binary.fp, "tn",
                            (json_int_t)binary.tn, "fn", (json_int_t)binary.fn);
    if (out != NULL && kn_binary_scores(&binary, BETA, &scores, NULL) == KN_OK) {
        put_class(out, &scores);
    }
    return out;
}

/* Takes value; false when there is no memory for its text. */
static bool print(json_t *value, struct answer_figures *out)
{
    out->evaluation = value != NULL ? json_dumps(value, SPEC_JSON_PRINT) : NULL;
    out->evaluation_size = out->evaluation != NULL ? strlen(out->evaluation) : 0;
    json_decref(value);
    return out->evaluation != NULL;
}

static bool print_confusion(const struct infer *infer, const struct kn_confusion *c,
                            struct answer_figures *out)
{
    FILE *file = open_memstream(&out->confusion, &out->confusion_size);
    if (file == NULL) {
        return false;
    }
    (void)fputs("truth", file);
    for (uint32_t i = 0; i < c->classes; i++) {
        (void)fputc(',', file);
        answer_put_cell(file, infer_class(infer, i));
    }
    for (uint32_t i = 0; i < c->classes; i++) {
        (void)fputc('\n', file);
        answer_put_cell(file, infer_class(infer, i));
        for (uint32_t k = 0; k < c->classes; k++) {
            (void)fprintf(file, ",%llu", (unsigned long long)c->cell[(size_t)i * c->classes + k]);
        }
    }
    (void)fputc('\n', file);
    bool whole = ferror(file) == 0;
    return fclose(file) == 0 && whole;
}

static void take_classes(const struct kn_multi_scores *s, struct jobs_figures *f)
{
    const struct kn_class_scores *macro = &s->macro;
    f->at[KN_METRIC_MCC] = s->mcc;
    f->at[KN_METRIC_ACCURACY] = s->accuracy;
    f->at[KN_METRIC_PRECISION] = macro->precision;
    f->at[KN_METRIC_RECALL] = macro->recall;
    f->at[KN_METRIC_F] = macro->f;
    f->at[KN_METRIC_SPECIFICITY] = macro->specificity;
    f->at[KN_METRIC_NPV] = macro->npv;
    f->at[KN_METRIC_FPR] = macro->fpr;
}

static enum sh_err tell_classes(const struct infer *infer, const struct kn_confusion *c,
                                struct answer_figures *out, struct kn_diag *why)
{
    struct kn_multi_scores scores;
    if (kn_confusion_scores(c, BETA, &scores, why) != KN_OK) {
        return SH_ERR_NO_MEMORY;
    }
    take_classes(&scores, &out->figures);
    json_t *classes = json_array();
    json_t *macro = json_object();
    json_t *micro = json_object();
    put_class(macro, &scores.macro);
    put_class(micro, &scores.micro);
    for (uint32_t i = 0; i < c->classes; i++) {
        out->correct += c->cell[(size_t)i * c->classes + i];
        (void)json_array_append_new(classes, class_json(infer, c, i));
    }
    json_t *all = json_pack(
        "{s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "samples", (json_int_t)out->figures.samples,
        "correct", (json_int_t)out->correct, "accuracy", spec_json_number(scores.accuracy), "mcc",
        spec_json_number(scores.mcc), "macro", macro, "micro", micro, "classes", classes);
    bool good = print(all, out) && print_confusion(infer, c, out);
    return good ? SH_OK : SH_ERR_NO_MEMORY;
}

static enum sh_err classify(const struct infer *infer, const struct kn_dataset *set, const float *y,
                            struct answer_figures *out, struct kn_diag *why)
{
    uint32_t classes = infer_outputs(infer);
    struct kn_confusion c = {.classes = classes};
    uint32_t *truth = calloc(set->count, sizeof *truth);
    c.cell = calloc((size_t)classes * classes, sizeof *c.cell);
    enum sh_err err = truth != NULL && c.cell != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    for (uint32_t i = 0; err == SH_OK && i < set->count; i++) {
        truth[i] = (uint32_t)kn_dataset_truth(set, i);
    }
    if (err == SH_OK && classes < 2) {
        (void)kn_fail(why, KN_ERR_INVALID, "the model knows one class only");
        err = SH_ERR_INVALID;
    }
    if (err == SH_OK && kn_confusion_add_rows(&c, truth, y, set->count, why) != KN_OK) {
        err = SH_ERR_INVALID;
    }
    err = err == SH_OK ? tell_classes(infer, &c, out, why) : err;
    free(truth);
    free(c.cell);
    return err;
}

static enum sh_err regress(const struct kn_dataset *set, const float *y, struct answer_figures *out,
                           struct kn_diag *why)
{
    double *numbers = calloc(2 * (size_t)set->count, sizeof *numbers);
    struct kn_regression r;
    if (numbers == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        numbers[i] = (double)set->target[i];
        numbers[set->count + i] = (double)y[i];
    }
    enum kn_err scored = kn_regression_scores(numbers, numbers + set->count, set->count, &r, why);
    free(numbers);
    if (scored != KN_OK) {
        return SH_ERR_INVALID;
    }
    double *at = out->figures.at;
    const double values[] = {r.mae, r.mse, r.rmse, r.rae, r.rse, r.rrse};
    json_t *all = json_pack("{s:I}", "samples", (json_int_t)set->count);
    for (uint32_t i = 0; i < SH_COUNT(values); i++) {
        at[KN_METRIC_MAE + i] = values[i];
        (void)json_object_set_new(all, kn_metric_name((enum kn_metric)(KN_METRIC_MAE + i)),
                                  spec_json_number(values[i]));
    }
    return print(all, out) ? SH_OK : SH_ERR_NO_MEMORY;
}

static void clear(struct jobs_figures *figures, uint64_t samples)
{
    figures->samples = samples;
    for (uint32_t i = 0; i < JOBS_FIGURES_MAX; i++) {
        figures->at[i] = (double)NAN;
    }
}

enum sh_err answer_figures_make(const struct infer *infer, const struct kn_dataset *set,
                                const float *y, struct answer_figures *out, struct kn_diag *why)
{
    *out = (struct answer_figures){.correct = 0};
    clear(&out->figures, set->count);
    enum sh_err err =
        infer_classifies(infer) ? classify(infer, set, y, out, why) : regress(set, y, out, why);
    if (err != SH_OK) {
        answer_figures_close(out);
    }
    return err;
}

void answer_figures_close(struct answer_figures *figures)
{
    free(figures->evaluation);
    free(figures->confusion);
    *figures = (struct answer_figures){.correct = 0};
}

enum sh_err answer_figures_score(const struct spec_exec *exec, const uint8_t *text, size_t size,
                                 const char *name, struct jobs_figures *out, struct kn_diag *why)
{
    struct kn_results rows;
    struct kn_bucketed *b = malloc(sizeof *b);
    bool cargo = exec->bucketing == SPEC_BUCKETING_CARGO2000;
    bool conductor = exec->compat == SPEC_COMPAT_CONDUCTOR;
    enum kn_err err = b != NULL ? kn_results_decode(&rows, text, size, name, why) : KN_ERR_MEMORY;
    if (err == KN_OK) {
        err =
            kn_results_score(&rows, cargo ? KN_BUCKETING_CARGO2000 : KN_BUCKETING_GENERIC,
                             conductor ? KN_COMPAT_CONDUCTOR : KN_COMPAT_FIXED, exec->beta, b, why);
        clear(out, rows.count);
        kn_results_close(&rows);
    }
    if (err == KN_OK) {
        memcpy(out->at, b->mean, sizeof out->at);
    }
    free(b);
    return err == KN_OK ? SH_OK : err == KN_ERR_MEMORY ? SH_ERR_NO_MEMORY : SH_ERR_INVALID;
}

void answer_figures_tell(struct train_scribe *scribe, const struct jobs_figures *figures)
{
    for (uint32_t i = 0; i < JOBS_FIGURES_MAX; i++) {
        if (isfinite(figures->at[i]) != 0) {
            train_scribe_point(scribe, kn_metric_name((enum kn_metric)i), 0, figures->at[i]);
        }
    }
}
