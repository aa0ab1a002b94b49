/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/local.h"

#include "rounds/update.h"

#include "base/host/host.h"
#include "base/rng.h"
#include "kernels/agg/client.h"
#include "kernels/kn.h"
#include "train/clock.h"
#include "train/crew.h"
#include "train/state.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA_US        UINT64_C(30000000) /* for files that the job uploaded to come */
#define CONTROL_MAX    (UINT64_C(8) << 30)
#define CONTROL_SUFFIX "-control"

struct local {
    struct rounds_local_config config;
    char name[SH_NAME_MAX + 1];
    uint64_t seed;            /* of the job */
    struct train_material *m; /* NULL: not ready */
    struct train_state state; /* parameters at work */
    struct train_sum *sum;
    float *memory; /* of the sum */
    struct train_crew *crew;
    float *anchor;   /* parameters that the round began with */
    float *gradient; /* the vector of a step, corrected */
    float *flat;     /* in the order of the file */
    float *all;      /* SCAFFOLD, in the order of the parameters */
    float *own;
    float *before;        /* own, before the round that it was last changed in */
    float *change;        /* what own changed by */
    uint64_t own_round;   /* UINT64_MAX: never changed */
    pthread_mutex_t lock; /* what the crew tells */
    pthread_cond_t changed;
    bool complete;
    bool failed;
    struct kn_diag diag;
};

/* ---- the crew ---- */

static void on_ready(void *ctx, uint32_t subtree)
{
    struct local *l = ctx;
    SH_CHECK_CMP(subtree, ==, 0); /* all ranks are here: the whole tree */
    SH_CHECK(pthread_mutex_lock(&l->lock) == 0);
    l->complete = true;
    SH_CHECK(pthread_cond_signal(&l->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&l->lock) == 0);
}

static void on_failed(void *ctx, uint32_t rank, const struct kn_diag *diag)
{
    struct local *l = ctx;
    (void)rank;
    SH_CHECK(pthread_mutex_lock(&l->lock) == 0);
    l->diag = *diag;
    l->failed = true;
    SH_CHECK(pthread_cond_signal(&l->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&l->lock) == 0);
}

/* The sum over all ranks of one step or evaluation, intact until the next. */
static enum sh_err compute(struct local *l, const struct train_round *round,
                           const struct rounds_task *task, const float **sum, char *why)
{
    struct train_work work = {.round = *round,
                              .params = l->state.params,
                              .buffers = l->state.buffers,
                              .low = 0,
                              .high = l->m->ranks};
    size_t size = round->kind == TRAIN_STEP ? l->m->vector : TRAIN_EVAL_SHARES;
    if (!task->wanted(task->ctx)) {
        return SH_ERR_CANCELLED;
    }
    (void)train_sum_begin(l->sum, 0, l->m->ranks, size);
    l->complete = false;
    l->failed = false;
    train_crew_begin(l->crew, &work);
    SH_CHECK(pthread_mutex_lock(&l->lock) == 0);
    bool wanted = true;
    while (wanted && !l->complete && !l->failed) {
        train_clock_wait(&l->changed, &l->lock, UINT64_MAX);
        wanted = l->complete || task->wanted(task->ctx);
    }
    bool failed = l->failed;
    SH_CHECK(pthread_mutex_unlock(&l->lock) == 0);
    train_crew_cancel(l->crew);
    if (failed) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "%.200s", l->diag.text);
        return SH_ERR_DIVERGED;
    }
    *sum = train_sum_of(l->sum, 0);
    return wanted ? SH_OK : SH_ERR_CANCELLED;
}

/* ---- between the file's order and that of the parameters ---- */

enum direction { FROM_FILE, TO_FILE };

static void move(float *values, size_t offset, float *flat, size_t count, enum direction way)
{
    if (way == FROM_FILE) {
        memcpy(values + offset, flat, count * sizeof *flat);
    } else {
        memcpy(flat, values + offset, count * sizeof *flat);
    }
}

/* False: the file has no such tensor in that shape. Buffers may be NULL: they are zero. */
static bool map_tensor(struct local *l, const struct kn_tensor *t, float *params, float *buffers,
                       float *flat, enum direction way)
{
    const struct kn_model *model = l->m->model;
    size_t count = (size_t)(kn_tensor_size(t) / sizeof(float));
    for (uint32_t i = 0; i < kn_model_param_tensors(model); i++) {
        const struct kn_tensor_info *info = kn_model_param(model, i);
        if (strcmp(info->name, t->name) == 0 && info->count == count) {
            move(params, info->offset, flat, count, way);
            return true;
        }
    }
    for (uint32_t i = 0; i < kn_model_buffer_tensors(model); i++) {
        const struct kn_tensor_info *info = kn_model_buffer(model, i);
        if (strcmp(info->name, t->name) == 0 && info->count == count) {
            if (buffers != NULL) {
                move(buffers, info->offset, flat, count, way);
            } else if (way == TO_FILE) {
                memset(flat, 0, count * sizeof *flat);
            }
            return true;
        }
    }
    return false;
}

static enum sh_err map_all(struct local *l, const struct rounds_model *model, float *params,
                           float *buffers, float *flat, enum direction way, char *why)
{
    uint32_t tensors = kn_model_param_tensors(l->m->model) + kn_model_buffer_tensors(l->m->model);
    bool good = model->file.count == tensors;
    size_t from = 0;
    for (uint32_t i = 0; good && i < model->file.count; i++) {
        const struct kn_tensor *t = &model->file.tensor[i];
        good = t->dtype == KN_DTYPE_F32 && map_tensor(l, t, params, buffers, flat + from, way);
        from += good ? (size_t)(kn_tensor_size(t) / sizeof(float)) : 0;
    }
    if (!good) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "the round's model is not that of the job file");
        return SH_ERR_CONFLICT;
    }
    return SH_OK;
}

/* ---- making ready ---- */

static uint64_t round_seed(const struct local *l)
{
    return sh_hash64(l->seed, l->name, strlen(l->name)) >> 11; /* as large as a job's may be */
}

static float *take_floats(size_t count)
{
    return calloc(count > 0 ? count : 1, sizeof(float));
}

static enum sh_err equip(struct local *l)
{
    const struct train_material *m = l->m;
    bool controls = m->job->federated.algorithm == SPEC_SCAFFOLD;
    uint32_t threads = l->config.threads < m->ranks ? l->config.threads : m->ranks;
    size_t longest = m->vector > TRAIN_EVAL_SHARES ? m->vector : TRAIN_EVAL_SHARES;
    enum sh_err err = train_state_open(&l->state, m);
    err = err != SH_OK ? err : train_sum_open(&l->sum, m->ranks, longest, threads);
    if (err != SH_OK) {
        return err;
    }
    size_t bytes = train_sum_bytes(l->sum, 0, m->ranks);
    l->memory = aligned_alloc(KN_ALIGN, (bytes + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN);
    l->anchor = take_floats(m->params);
    l->gradient = take_floats(m->vector);
    l->flat = take_floats(m->params + m->buffers);
    l->all = take_floats(controls ? m->params : 0);
    l->own = take_floats(controls ? m->params : 0);
    l->before = take_floats(controls ? m->params : 0);
    l->change = take_floats(controls ? m->params : 0);
    if (l->memory == NULL || l->anchor == NULL || l->gradient == NULL || l->flat == NULL ||
        l->all == NULL || l->own == NULL || l->before == NULL || l->change == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    train_sum_use(l->sum, l->memory);
    struct train_crew_config crew = {.m = m,
                                     .sum = l->sum,
                                     .threads = threads,
                                     .ready = on_ready,
                                     .failed = on_failed,
                                     .ctx = l};
    return train_crew_open(&l->crew, &crew);
}

static void release(struct local *l)
{
    train_crew_close(l->crew);
    train_sum_close(l->sum);
    if (l->state.m != NULL) {
        train_state_close(&l->state);
    }
    train_material_close(l->m);
    free(l->memory);
    free(l->anchor);
    free(l->gradient);
    free(l->flat);
    free(l->all);
    free(l->own);
    free(l->before);
    free(l->change);
    l->crew = NULL;
    l->sum = NULL;
    l->m = NULL;
    l->memory = l->anchor = l->gradient = l->flat = NULL;
    l->all = l->own = l->before = l->change = NULL;
}

/* ---- SCAFFOLD: the own control variate, which outlives this agent's life ---- */

static bool control_path(const struct local *l, char path[static TRAIN_PATH_MAX])
{
    const struct wire_unit *unit = &l->config.part->unit;
    int n = snprintf(path, TRAIN_PATH_MAX, "%s/%llu-%u" CONTROL_SUFFIX, l->config.folder,
                     (unsigned long long)unit->job, unit->unit);
    return n > 0 && n < (int)TRAIN_PATH_MAX;
}

/* Without the file, or where it does not fit, it is zero, as before the first round. */
static void load_control(struct local *l)
{
    char path[TRAIN_PATH_MAX];
    size_t size = rounds_update_size(l->m->params, true);
    uint8_t *bytes = malloc(size + 1);
    FILE *file = control_path(l, path) ? fopen(path, "rbe") : NULL;
    l->own_round = UINT64_MAX;
    if (file != NULL && bytes != NULL && size < CONTROL_MAX &&
        fread(bytes, 1, size + 1, file) == size) {
        struct sh_reader r = sh_reader_over(bytes + 8, 8);
        uint64_t round = sh_get_u64(&r);
        struct sh_span span = {.at = bytes, .size = size};
        bool good = rounds_update_decode(span, round, l->before, l->own, l->m->params) == SH_OK;
        l->own_round = good ? round : UINT64_MAX;
    }
    if (l->own_round == UINT64_MAX) {
        memset(l->own, 0, l->m->params * sizeof *l->own);
        memset(l->before, 0, l->m->params * sizeof *l->before);
    }
    if (file != NULL) {
        (void)fclose(file); /* was read only */
    }
    free(bytes);
}

static enum sh_err keep_control(struct local *l, char *why)
{
    char path[TRAIN_PATH_MAX];
    char next[TRAIN_PATH_MAX + 4];
    size_t size = rounds_update_size(l->m->params, true);
    uint8_t *bytes = malloc(size);
    bool good = bytes != NULL && control_path(l, path);
    if (good) {
        rounds_update_encode(l->own_round, l->before, l->own, l->m->params, bytes);
        (void)snprintf(next, sizeof next, "%s.new", path);
        FILE *file = fopen(next, "wbe");
        good = file != NULL && fwrite(bytes, 1, size, file) == size;
        good = file != NULL && fclose(file) == 0 && good;
        good = good && rename(next, path) == 0;
    }
    free(bytes);
    if (!good) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "the control variate cannot be kept on this disk");
    }
    return good ? SH_OK : SH_ERR_IO;
}

static void forget(void *ctx)
{
    struct local *l = ctx;
    char path[TRAIN_PATH_MAX];
    if (control_path(l, path)) {
        SH_MAY_FAIL(remove(path) == 0); /* most algorithms keep none */
    }
}

static enum sh_err prepare(void *ctx, char *why)
{
    struct local *l = ctx;
    bool final = false;
    struct train_material_source source = {.s = l->config.s,
                                           .spec = l->config.part->spec,
                                           .cache = l->config.part->cache,
                                           .wait_us = DATA_US};
    memcpy(source.spec_digest, l->config.part->spec_digest, sizeof source.spec_digest);
    enum sh_err err = train_material_open(&l->m, &source, why, &final);
    if (err != SH_OK) {
        return err;
    }
    /* Evaluations are rounds of their own here. */
    l->m->course.validates = false;
    l->m->course.tests = false;
    l->seed = l->m->job->train.seed;
    err = equip(l);
    if (err != SH_OK) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "no memory for this model");
        release(l);
        return err;
    }
    if (l->m->job->federated.algorithm == SPEC_SCAFFOLD) {
        load_control(l);
    }
    return SH_OK;
}

static enum sh_err begin(void *ctx, uint8_t **bytes, size_t *size, char *why)
{
    struct local *l = ctx;
    l->m->job->train.seed = l->seed; /* the same model whoever begins */
    train_state_begin(&l->state);
    return train_state_file(&l->state, bytes, size, why);
}

/* ---- measuring ---- */

/* The loss is a sum over labels, as many as *total: of a text one for each place. */
static enum sh_err measure(struct local *l, const struct rounds_task *task,
                           enum train_round_kind kind, double *loss, uint64_t *correct,
                           uint64_t *total, char *why)
{
    struct train_round round = {.kind = kind};
    const float *sum = NULL;
    uint64_t count = kind == TRAIN_TEST ? l->m->tests : l->m->validations;
    if (count == 0) {
        return SH_OK;
    }
    enum sh_err err = compute(l, &round, task, &sum, why);
    if (err == SH_OK && isfinite(sum[0]) == 0) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "the loss of the round's model is not finite");
        err = SH_ERR_DIVERGED;
    }
    if (err == SH_OK) {
        *loss = (double)sum[0] * l->m->places;
        *correct = (uint64_t)sum[1] + (uint64_t)(sum[2] * (float)TRAIN_CREW_CORRECT_BASE);
        *total = count * l->m->places;
    }
    return err;
}

/* ---- training ---- */

static void correct(struct local *l, const float *sum)
{
    const struct train_material *m = l->m;
    const struct spec_federated *fed = &m->job->federated;
    memcpy(l->gradient, sum, m->vector * sizeof *sum);
    if (fed->algorithm == SPEC_FEDPROX) {
        kn_client_prox(l->gradient, l->state.params, l->anchor, (float)fed->mu, m->batch,
                       m->params);
    } else if (fed->algorithm == SPEC_SCAFFOLD) {
        kn_client_correct(l->gradient, l->all, l->own, m->batch, m->params);
    }
}

/* One step; its loss is added to *loss. step counts within the round, global over all rounds. */
static enum sh_err take_step(struct local *l, const struct rounds_task *task,
                             const struct train_round *round, uint64_t step, double *loss,
                             char *why)
{
    const struct train_material *m = l->m;
    const float *sum = NULL;
    struct kn_diag diag = {.text = ""};
    enum sh_err err = compute(l, round, task, &sum, why);
    if (err != SH_OK) {
        return err;
    }
    correct(l, sum);
    *loss += (double)sum[m->vector - 2];
    struct kn_update update = {.optim = &m->optim,
                               .lr = train_material_rate(m, round->step),
                               .step = step,
                               .batch = m->batch,
                               .ranks = m->ranks};
    kn_fp_enter();
    if (kn_model_apply(m->model, &update, l->gradient, l->state.params, l->state.buffers,
                       l->state.optim, &diag) != KN_OK) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "step %llu of the round: %.200s",
                       (unsigned long long)step + 1, diag.text);
        return SH_ERR_DIVERGED;
    }
    return SH_OK;
}

static enum sh_err train(struct local *l, struct rounds_task *task, float *rates, char *why)
{
    const struct train_material *m = l->m;
    uint32_t epochs = m->job->federated.local_epochs;
    uint64_t steps = m->course.steps_an_epoch;
    uint64_t first = task->round * epochs;
    uint64_t done = 0;
    double loss = 0;
    enum sh_err err = SH_OK;
    memset(l->state.optim, 0, m->optim_state * sizeof *l->state.optim);
    *rates = 0;
    for (uint64_t epoch = first; err == SH_OK && epoch < first + epochs; epoch++) {
        loss = 0;
        for (uint64_t i = 0; err == SH_OK && i < steps; i++) {
            struct train_round round = {.kind = TRAIN_STEP,
                                        .step = epoch * steps + i,
                                        .epoch = epoch,
                                        .in_epoch = i,
                                        .steps = 1};
            err = take_step(l, task, &round, done, &loss, why);
            *rates += train_material_rate(m, round.step);
            done++;
        }
    }
    task->figures.steps = done;
    task->figures.train_loss = loss / (double)(steps * m->batch);
    return err;
}

/* The own variate as it was before this round, whether the round is trained a first or another
 * time. */
static enum sh_err load_controls(struct local *l, const struct rounds_task *task, char *why)
{
    float *own = l->own_round == task->round ? l->before : l->own;
    if (own == l->before) {
        memcpy(l->own, l->before, l->m->params * sizeof *l->own);
    } else {
        memcpy(l->before, l->own, l->m->params * sizeof *l->before);
    }
    memcpy(l->flat, task->controls, task->model->floats * sizeof *l->flat);
    return map_all(l, task->model, l->all, NULL, l->flat, FROM_FILE, why);
}

static enum sh_err save_controls(struct local *l, const struct rounds_task *task, float rates,
                                 char *why)
{
    const struct train_material *m = l->m;
    kn_client_control(l->own, l->change, l->all, l->anchor, l->state.params, rates, m->params);
    l->own_round = task->round;
    enum sh_err err = map_all(l, task->model, l->change, NULL, task->variates, TO_FILE, why);
    return err != SH_OK ? err : keep_control(l, why);
}

static enum sh_err train_round(struct local *l, struct rounds_task *task, char *why)
{
    const struct train_material *m = l->m;
    bool controls = m->job->federated.algorithm == SPEC_SCAFFOLD;
    float rates = 0;
    size_t floats = task->model->floats;
    memcpy(l->anchor, l->state.params, m->params * sizeof *l->anchor);
    if (controls && task->controls == NULL) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "the round's state has no control variate");
        return SH_ERR_CONFLICT;
    }
    enum sh_err err = controls ? load_controls(l, task, why) : SH_OK;
    err = err != SH_OK ? err : train(l, task, &rates, why);
    err = err != SH_OK || !controls ? err : save_controls(l, task, rates, why);
    if (err != SH_OK) {
        return err;
    }
    rounds_model_get(task->model, l->flat);
    err = map_all(l, task->model, l->state.params, l->state.buffers, task->change, TO_FILE, why);
    if (err == SH_OK) {
        rounds_model_to_moments(task->model, l->flat);
        rounds_model_to_moments(task->model, task->change);
    }
    for (size_t i = 0; err == SH_OK && i < floats; i++) {
        task->change[i] -= l->flat[i];
    }
    return err;
}

static enum sh_err work(void *ctx, struct rounds_task *task, char *why)
{
    struct local *l = ctx;
    struct rounds_figures *f = &task->figures;
    uint64_t from = sh_now_us();
    *f = (struct rounds_figures){.samples = l->m->split.training, .train_loss = (double)NAN};
    if (task->model->floats != l->m->params + l->m->buffers) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "the round's model is not that of the job file");
        return SH_ERR_CONFLICT;
    }
    l->m->job->train.seed = round_seed(l);
    rounds_model_get(task->model, l->flat);
    enum sh_err err =
        map_all(l, task->model, l->state.params, l->state.buffers, l->flat, FROM_FILE, why);
    err = err != SH_OK ? err
                       : measure(l, task, TRAIN_VALIDATION, &f->val_loss, &f->val_correct,
                                 &f->val_total, why);
    if (task->evaluates) {
        err = err != SH_OK ? err
                           : measure(l, task, TRAIN_TEST, &f->test_loss, &f->test_correct,
                                     &f->test_total, why);
    } else {
        err = err != SH_OK ? err : train_round(l, task, why);
    }
    f->took_us = sh_now_us() - from;
    return err;
}

/* ---- life ---- */

static void close_local(void *ctx)
{
    struct local *l = ctx;
    release(l);
    SH_CHECK(pthread_cond_destroy(&l->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&l->lock) == 0);
    free(l);
}

enum sh_err rounds_local_open(struct rounds_trainer *out, const struct rounds_local_config *config)
{
    struct local *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    l->config = *config;
    (void)snprintf(l->name, sizeof l->name, "%s", config->name);
    SH_CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    train_clock_cond(&l->changed);
    *out = (struct rounds_trainer){.ctx = l,
                                   .prepare = prepare,
                                   .begin = begin,
                                   .work = work,
                                   .forget = forget,
                                   .close = close_local};
    return SH_OK;
}
