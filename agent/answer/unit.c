/* SPDX-License-Identifier: Apache-2.0 */
#include "answer/unit.h"

#include "answer/figures.h"
#include "answer/input.h"
#include "answer/table.h"

#include "base/host/host.h"
#include "spec/fileset.h"
#include "spec/models.h"
#include "train/blob.h"
#include "train/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_BYTES_MAX (UINT64_C(4) << 30)
#define TURN_SAMPLES    1024u /* between two looks at whether the answer is still wanted */

struct answer {
    struct service *s;
    struct train_runner runner;
};

struct answer_unit {
    struct train_worker w;
    char why[TRAIN_WHY_BYTES]; /* it failed */
    bool final;                /* on every agent it would */
};

static void say(struct answer_unit *x, const char *what, const char *why)
{
    (void)snprintf(x->why, sizeof x->why, "%s: %.200s", what, why);
}

/* ---- the answer as files ---- */

struct page { /* text that grows */
    FILE *out;
    char *text;
    size_t size;
};

static bool page_open(struct page *p)
{
    *p = (struct page){.out = NULL};
    p->out = open_memstream(&p->text, &p->size);
    return p->out != NULL;
}

/* False when there was no memory for all of it. The text stays until it is freed. */
static bool page_end(struct page *p)
{
    bool whole = ferror(p->out) == 0;
    return fclose(p->out) == 0 && whole;
}

static enum sh_err keep(struct answer_unit *x, const struct spec_fileset_member *members,
                        size_t count, struct train_result *result)
{
    char why[TRAIN_WHY_BYTES] = "";
    enum sh_err err = spec_fileset_make(members, count, "", &result->outputs, &result->outputs_size,
                                        why, sizeof why);
    if (err != SH_OK) {
        say(x, "the answer cannot be kept", why);
    }
    return err;
}

static struct sh_span span_of(const char *text, size_t size)
{
    return (struct sh_span){.at = (const uint8_t *)text, .size = size};
}

/* ---- predicting ---- */

/* Sample for sample in the order of the input, as predictions.csv or as values. */
static enum sh_err predict_all(struct answer_unit *x, const struct infer *infer,
                               const struct kn_dataset *set, FILE *out)
{
    uint32_t width = infer_outputs(infer);
    bool member = x->w.job->kind == SPEC_ENSEMBLE;
    struct kn_diag diag = {.text = ""};
    float *y = calloc((size_t)TURN_SAMPLES * width, sizeof *y);
    uint32_t *order = calloc(width, sizeof *order);
    enum sh_err err = y != NULL && order != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    if (member) {
        answer_values_begin(out, infer);
    } else {
        answer_table_begin(out, infer);
    }
    for (uint32_t at = 0; err == SH_OK && at < set->count; at += TURN_SAMPLES) {
        uint32_t n = set->count - at < TURN_SAMPLES ? set->count - at : TURN_SAMPLES;
        train_clerk_progress(x->w.clerk, x->w.at.placement.fence,
                             (uint32_t)((uint64_t)at * 1000 / set->count));
        err = !train_worker_is_interrupted(&x->w) ? infer_answer(infer, set, at, n, y, &diag)
                                                  : SH_ERR_CANCELLED;
        if (err == SH_OK && member) {
            answer_values_rows(out, infer, y, n);
        } else if (err == SH_OK) {
            answer_table_rows(out, infer, y, at, n, order);
        }
    }
    if (err != SH_OK) {
        say(x, "the model", diag.text[0] != '\0' ? diag.text : sh_err_text(err));
    }
    free(y);
    free(order);
    return err;
}

static enum sh_err predict(struct answer_unit *x, const struct infer *infer,
                           const struct train_material_source *source, struct train_result *result)
{
    struct kn_dataset set;
    struct page page;
    bool member = x->w.job->kind == SPEC_ENSEMBLE;
    enum sh_err err = answer_input_open(source, x->w.job, infer, &set, x->why);
    if (err != SH_OK) {
        return err;
    }
    uint64_t numbers = (uint64_t)set.count * infer_outputs(infer);
    if (member && numbers > SPEC_ENSEMBLE_NUMBERS_MAX) {
        (void)snprintf(x->why, sizeof x->why,
                       "input: %u samples with %u numbers each are more than the %u numbers that "
                       "members of an ensemble answer with",
                       set.count, infer_outputs(infer), SPEC_ENSEMBLE_NUMBERS_MAX);
        err = SH_ERR_LIMIT;
    }
    if (err == SH_OK && !page_open(&page)) {
        err = SH_ERR_NO_MEMORY;
    } else if (err == SH_OK) {
        err = predict_all(x, infer, &set, page.out);
        err = page_end(&page) ? err : SH_ERR_NO_MEMORY;
        struct spec_fileset_member file = {.path = member ? ANSWER_VALUES : ANSWER_PREDICTIONS,
                                           .bytes = span_of(page.text, page.size)};
        err = err == SH_OK ? keep(x, &file, 1, result) : err;
        free(page.text);
    }
    result->outcome.steps = set.count;
    kn_dataset_close(&set);
    return err;
}

/* ---- measuring ---- */

static enum sh_err answer_all(struct answer_unit *x, const struct infer *infer,
                              const struct kn_dataset *set, float *y)
{
    struct kn_diag diag = {.text = ""};
    enum sh_err err = SH_OK;
    for (uint32_t at = 0; err == SH_OK && at < set->count; at += TURN_SAMPLES) {
        uint32_t n = set->count - at < TURN_SAMPLES ? set->count - at : TURN_SAMPLES;
        train_clerk_progress(x->w.clerk, x->w.at.placement.fence,
                             (uint32_t)((uint64_t)at * 1000 / set->count));
        err = !train_worker_is_interrupted(&x->w)
                  ? infer_answer(infer, set, at, n, y + (size_t)at * infer_outputs(infer), &diag)
                  : SH_ERR_CANCELLED;
    }
    if (err != SH_OK) {
        say(x, "the model", diag.text[0] != '\0' ? diag.text : sh_err_text(err));
    }
    return err;
}

static enum sh_err keep_figures(struct answer_unit *x, const struct infer *infer,
                                const struct answer_figures *f, struct train_result *result)
{
    const struct spec_fileset_member files[] = {
        {.path = ANSWER_CONFUSION, .bytes = span_of(f->confusion, f->confusion_size)},
        {.path = ANSWER_EVALUATION, .bytes = span_of(f->evaluation, f->evaluation_size)}};
    bool classes = f->confusion != NULL;
    result->outcome.figures = f->figures;
    result->outcome.steps = f->figures.samples;
    if (infer_classifies(infer)) {
        result->outcome.metrics.test_correct = f->correct;
        result->outcome.metrics.test_total = f->figures.samples;
    }
    answer_figures_tell(x->w.scribe, &f->figures);
    return keep(x, classes ? files : files + 1, classes ? 2 : 1, result);
}

static enum sh_err evaluate(struct answer_unit *x, const struct infer *infer,
                            const struct train_material_source *source, struct train_result *result)
{
    struct kn_dataset set;
    struct answer_figures figures;
    struct kn_diag diag = {.text = ""};
    enum sh_err err = answer_test_open(source, x->w.job, infer, &set, x->why);
    if (err != SH_OK) {
        return err;
    }
    float *y = calloc((size_t)set.count * infer_outputs(infer) + 1, sizeof *y);
    err = y != NULL ? answer_all(x, infer, &set, y) : SH_ERR_NO_MEMORY;
    if (err == SH_OK) {
        err = answer_figures_make(infer, &set, y, &figures, &diag);
        if (err != SH_OK) {
            say(x, "data.test", diag.text[0] != '\0' ? diag.text : sh_err_text(err));
        } else {
            err = keep_figures(x, infer, &figures, result);
            answer_figures_close(&figures);
        }
    }
    free(y);
    kn_dataset_close(&set);
    return err;
}

/* ---- one answer ---- */

static enum sh_err ask(struct answer_unit *x, const struct infer *infer,
                       struct train_result *result)
{
    struct train_material_source source = {.s = x->w.s,
                                           .spec = x->w.config.spec,
                                           .cache = x->w.config.cache,
                                           .wait_us = ANSWER_FETCH_US};
    return x->w.job->kind == SPEC_EVALUATE ? evaluate(x, infer, &source, result)
                                           : predict(x, infer, &source, result);
}

static enum sh_err answer(struct answer_unit *x, struct train_result *result)
{
    const struct spec_use *use = &x->w.job->use;
    SH_CHECK_CMP(x->w.config.unit.unit, <, use->count);
    const struct spec_model_ref *ref = &use->models[x->w.config.unit.unit];
    char name[SPEC_MODEL_REF_BYTES];
    struct kn_diag diag = {.text = ""};
    struct infer *infer = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0;
    spec_model_ref_write(ref, name);
    train_scribe_line(x->w.scribe, "unit %u asks %s on %s", x->w.config.unit.unit, name,
                      x->w.at.names[0]);
    enum sh_err err = train_worker_blob(&x->w, name, ref->file, MODEL_BYTES_MAX, &bytes, &size);
    if (err != SH_OK) {
        say(x, name,
            err == SH_ERR_NOT_FOUND ? "no agent that is alive holds its file" : sh_err_text(err));
        return err;
    }
    err = infer_open(bytes, size, &infer, &diag);
    if (err != SH_OK) {
        x->final = err == SH_ERR_CORRUPT;
        say(x, name, diag.text);
    } else {
        err = ask(x, infer, result);
        x->final = err == SH_ERR_INVALID || err == SH_ERR_LIMIT || err == SH_ERR_DIVERGED;
        infer_close(infer);
    }
    free(bytes);
    return err;
}

static struct answer_unit *unit_of(struct train_worker *w)
{
    return (struct answer_unit *)(void *)w;
}

/* An answer is made in one go: a unit that is to give way leaves nothing, and is asked anew. */
static void follow(struct train_worker *w, bool anew)
{
    struct answer_unit *x = unit_of(w);
    struct train_result result = {.fence = w->at.placement.fence, .partial = w->at.stopping};
    (void)anew;
    if (w->at.yielding && !w->at.stopping) {
        const struct train_last last = {.fence = w->at.placement.fence, .yields = true};
        train_scribe_line(w->scribe, "unit %u gives way, and asks anew later", w->config.unit.unit);
        train_clerk_last(w->clerk, &last);
        return;
    }
    x->why[0] = '\0';
    x->final = false;
    enum sh_err err = w->at.stopping ? SH_OK : answer(x, &result);
    if (err == SH_OK) {
        train_worker_finish(w, &result);
        return;
    }
    free(result.outputs);
    if (err != SH_ERR_CANCELLED) {
        train_worker_fail(w, err, x->final, false, x->why[0] != '\0' ? x->why : sh_err_text(err));
    }
}

/* ---- life ---- */

static void unit_release(struct train_worker *w)
{
    train_worker_fini(w);
    free(unit_of(w));
}

static const struct train_duty DUTY = {.name = "answer", .follow = follow, .release = unit_release};

static enum sh_err unit_open(void *ctx, struct train_part **out,
                             const struct train_part_config *config,
                             const struct train_assignment *first)
{
    const struct answer *all = ctx;
    struct answer_unit *x = calloc(1, sizeof *x);
    *out = NULL;
    if (x == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = train_worker_init(&x->w, all->s, &DUTY, config, first);
    if (err == SH_OK) {
        train_scribe_lead(x->w.scribe, true);
    }
    return train_worker_start(&x->w, err, out);
}

enum sh_err answer_open(struct answer **out, struct service *s)
{
    struct answer *all = calloc(1, sizeof *all);
    *out = all;
    if (all == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    all->s = s;
    all->runner = train_worker_runner(all, unit_open);
    return SH_OK;
}

void answer_close(struct answer *answer)
{
    free(answer);
}

const struct train_runner *answer_runner(const struct answer *answer)
{
    return &answer->runner;
}
