/* SPDX-License-Identifier: Apache-2.0 */
#include "answer/unit.h"

#include "answer/figures.h"
#include "answer/input.h"
#include "answer/table.h"
#include "journal.h"

#include "base/host/host.h"
#include "spec/fileset.h"
#include "spec/models.h"
#include "train/blob.h"
#include "train/clerk.h"
#include "train/clock.h"

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
    struct service *s;
    struct train_part_config config;
    char *spec;
    pthread_t thread;

    /* Of the unit's thread. */
    struct spec_job *job;
    struct train_scribe *scribe;
    struct train_clerk *clerk;
    struct train_assignment at; /* in force */
    char why[TRAIN_WHY_BYTES];  /* it failed */
    bool final;                 /* on every agent it would */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct train_assignment next; /* the newest */
    bool leaving;
    bool failed;
    bool ended;
};

static void lock(struct answer_unit *x)
{
    SH_CHECK(pthread_mutex_lock(&x->lock) == 0);
}

static void unlock(struct answer_unit *x)
{
    SH_CHECK(pthread_mutex_unlock(&x->lock) == 0);
}

/* With the lock. */
static bool interrupted(const struct answer_unit *x)
{
    return x->leaving || !wire_fence_equal(x->next.placement.fence, x->at.placement.fence) ||
           x->next.stopping != x->at.stopping;
}

static bool is_wanted(struct answer_unit *x)
{
    lock(x);
    bool wanted = !interrupted(x);
    unlock(x);
    return wanted;
}

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
    bool member = x->job->kind == SPEC_ENSEMBLE;
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
        err = is_wanted(x) ? infer_answer(infer, set, at, n, y, &diag) : SH_ERR_CANCELLED;
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
    bool member = x->job->kind == SPEC_ENSEMBLE;
    enum sh_err err = answer_input_open(source, x->job, infer, &set, x->why);
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
        err = is_wanted(x)
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
    answer_figures_tell(x->scribe, &f->figures);
    return keep(x, classes ? files : files + 1, classes ? 2 : 1, result);
}

static enum sh_err evaluate(struct answer_unit *x, const struct infer *infer,
                            const struct train_material_source *source, struct train_result *result)
{
    struct kn_dataset set;
    struct answer_figures figures;
    struct kn_diag diag = {.text = ""};
    enum sh_err err = answer_test_open(source, x->job, infer, &set, x->why);
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
    struct train_material_source source = {
        .s = x->s, .spec = x->config.spec, .cache = x->config.cache, .wait_us = ANSWER_FETCH_US};
    return x->job->kind == SPEC_EVALUATE ? evaluate(x, infer, &source, result)
                                         : predict(x, infer, &source, result);
}

static enum sh_err answer(struct answer_unit *x, struct train_result *result)
{
    const struct spec_use *use = &x->job->use;
    SH_CHECK_CMP(x->config.unit.unit, <, use->count);
    const struct spec_model_ref *ref = &use->models[x->config.unit.unit];
    char name[SPEC_MODEL_REF_BYTES];
    struct kn_diag diag = {.text = ""};
    struct infer *infer = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0;
    spec_model_ref_write(ref, name);
    train_scribe_line(x->scribe, "unit %u asks %s on %s", x->config.unit.unit, name,
                      x->at.names[0]);
    enum sh_err err =
        train_blob_read(x->s, ref->file, MODEL_BYTES_MAX, ANSWER_FETCH_US, &bytes, &size);
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

static void fail(struct answer_unit *x, enum sh_err reason)
{
    struct train_result result = {
        .fence = x->at.placement.fence, .failed = true, .reason = reason, .final = x->final};
    (void)snprintf(result.text, sizeof result.text, "%.*s", (int)JOBS_TEXT_MAX,
                   x->why[0] != '\0' ? x->why : sh_err_text(reason));
    journal_warn("job %llu unit %u: %s", (unsigned long long)x->config.unit.job,
                 x->config.unit.unit, result.text);
    train_clerk_result(x->clerk, &result);
}

static void follow(struct answer_unit *x)
{
    struct train_result result = {.fence = x->at.placement.fence, .partial = x->at.stopping};
    x->why[0] = '\0';
    x->final = false;
    enum sh_err err = x->at.stopping ? SH_OK : answer(x, &result);
    if (err == SH_OK) {
        train_clerk_result(x->clerk, &result);
        return;
    }
    free(result.outputs);
    if (err != SH_ERR_CANCELLED) {
        fail(x, err);
    }
}

/* ---- the thread ---- */

/* Waits for a placement that is not in force; false: it is to leave. */
static bool take_assignment(struct answer_unit *x)
{
    lock(x);
    while (!x->leaving && !interrupted(x)) {
        train_clock_wait(&x->changed, &x->lock, UINT64_MAX);
    }
    bool anew = !wire_fence_equal(x->next.placement.fence, x->at.placement.fence);
    x->at = x->next;
    bool go_on = !x->leaving;
    unlock(x);
    if (anew) {
        train_clerk_drop(x->clerk);
    }
    return go_on;
}

static bool prepare(struct answer_unit *x)
{
    struct spec_errors *errors = calloc(1, sizeof *errors);
    enum sh_err err = errors == NULL ? SH_ERR_NO_MEMORY
                                     : spec_parse(x->spec, x->config.spec.size, x->job, errors);
    free(errors);
    if (err != SH_OK) {
        x->at = x->next;
        x->final = err != SH_ERR_NO_MEMORY;
        (void)snprintf(x->why, sizeof x->why, "the job cannot be read by this agent");
        fail(x, err);
    }
    return err == SH_OK;
}

static void *run(void *arg)
{
    struct answer_unit *x = arg;
    sh_thread_name("answer-%llu", (unsigned long long)x->config.unit.job);
    bool good = prepare(x);
    while (good && take_assignment(x)) {
        follow(x);
    }
    lock(x);
    x->failed = !good;
    while (!x->leaving) {
        train_clock_wait(&x->changed, &x->lock, UINT64_MAX);
    }
    x->ended = true;
    unlock(x);
    x->config.ended(x->config.ctx);
    return NULL;
}

/* ---- life ---- */

static void release(struct answer_unit *x)
{
    train_clerk_close(x->clerk);
    train_scribe_close(x->scribe);
    SH_CHECK(pthread_cond_destroy(&x->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&x->lock) == 0);
    free(x->job);
    free(x->spec);
    free(x);
}

static enum sh_err equip(struct answer_unit *x)
{
    x->job = calloc(1, sizeof *x->job);
    x->spec = malloc(x->config.spec.size + 1);
    if (x->job == NULL || x->spec == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    memcpy(x->spec, x->config.spec.at, x->config.spec.size);
    x->config.spec.at = (const uint8_t *)x->spec;
    enum sh_err err = train_scribe_open(&x->scribe, x->s, x->config.unit);
    if (err == SH_OK) {
        train_scribe_lead(x->scribe, true);
        err = train_clerk_open(&x->clerk, x->s, x->scribe, x->config.unit);
    }
    return err;
}

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
    x->s = all->s;
    x->config = *config;
    x->next = *first;
    SH_CHECK(pthread_mutex_init(&x->lock, NULL) == 0);
    train_clock_cond(&x->changed);
    enum sh_err err = equip(x);
    if (err == SH_OK) {
        err = pthread_create(&x->thread, NULL, run, x) == 0 ? SH_OK : SH_ERR_NO_MEMORY;
    }
    if (err != SH_OK) {
        release(x);
        return err;
    }
    *out = (struct train_part *)(void *)x;
    return SH_OK;
}

static struct answer_unit *unit_of(struct train_part *part)
{
    return (struct answer_unit *)(void *)part;
}

static void unit_assign(struct train_part *part, const struct train_assignment *assignment)
{
    struct answer_unit *x = unit_of(part);
    lock(x);
    if (wire_fence_cmp(assignment->placement.fence, x->next.placement.fence) >= 0) {
        x->next = *assignment;
        SH_CHECK(pthread_cond_signal(&x->changed) == 0);
    }
    unlock(x);
}

static void unit_leave(struct train_part *part)
{
    struct answer_unit *x = unit_of(part);
    lock(x);
    x->leaving = true;
    SH_CHECK(pthread_cond_signal(&x->changed) == 0);
    unlock(x);
}

static bool unit_has_ended(struct train_part *part)
{
    struct answer_unit *x = unit_of(part);
    lock(x);
    bool ended = x->ended;
    unlock(x);
    return ended;
}

static bool unit_has_failed(struct train_part *part)
{
    struct answer_unit *x = unit_of(part);
    lock(x);
    bool failed = x->failed;
    unlock(x);
    return failed;
}

static void unit_close(struct train_part *part)
{
    struct answer_unit *x = unit_of(part);
    unit_leave(part);
    SH_CHECK(pthread_join(x->thread, NULL) == 0);
    release(x);
}

enum sh_err answer_open(struct answer **out, struct service *s)
{
    struct answer *all = calloc(1, sizeof *all);
    *out = all;
    if (all == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    all->s = s;
    all->runner = (struct train_runner){.ctx = all,
                                        .open = unit_open,
                                        .assign = unit_assign,
                                        .leave = unit_leave,
                                        .has_ended = unit_has_ended,
                                        .has_failed = unit_has_failed,
                                        .close = unit_close};
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
