/* SPDX-License-Identifier: Apache-2.0 */
#include "script/client.h"

#include "exec/capture.h"
#include "script/files.h"
#include "script/inside.h"

#include "base/host/host.h"
#include "base/text.h"
#include "spec/package.h"
#include "train/blob.h"
#include "train/clock.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_IN    ".shoal/model-in.safetensors"
#define MODEL_OUT   ".shoal/model-out.safetensors"
#define LOOK_US     UINT64_C(200000) /* between two questions whether it is wanted */
#define SAMPLES_MAX 9007199254740992.0

struct client {
    struct scripts *all;
    struct train_worker *w;
    const struct spec_job *job;
    uint32_t seat;
    uint32_t user;
    char dir[TRAIN_PATH_MAX];
    char dataset[TRAIN_PATH_MAX]; /* what this agent holds */
    struct script_console *console;
    struct script_plan *plan;
    struct exec_capture *capture; /* NULL: not ready */
    struct exec_facts facts;      /* of the reader's thread */
    pthread_mutex_t lock;         /* what follows */
    pthread_cond_t changed;
    bool written; /* the console has something */
    bool over;    /* result is set */
    struct exec_result result;
    double samples; /* told; 0: not told */
    double loss;    /* likewise; NaN */
    char last[SCRIPT_LAST_BYTES];
};

/* ---- what the commands say; on the reader's thread ---- */

static void on_console(void *ctx)
{
    struct client *c = ctx;
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    c->written = true;
    SH_CHECK(pthread_cond_signal(&c->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
}

static bool on_line(void *ctx, enum exec_channel channel, unsigned flags, const char *text,
                    size_t size)
{
    struct client *c = ctx;
    exec_capture_line(c->capture, channel, flags, text, size, &c->facts);
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    for (size_t i = 0; i < c->facts.count; i++) {
        const struct exec_fact *fact = &c->facts.at[i];
        bool metric = fact->kind == EXEC_FACT_METRIC;
        if (metric && strcmp(fact->name, "samples") == 0) {
            c->samples = fact->value;
        } else if (metric && strcmp(fact->name, "loss") == 0) {
            c->loss = fact->value;
        }
    }
    if (channel != EXEC_METRICS) {
        (void)sh_text_copy(c->last, sizeof c->last, text);
    }
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    if (channel != EXEC_METRICS) {
        script_console_line(c->console, text, size);
    }
    return true;
}

static void on_end(void *ctx, const struct exec_result *result)
{
    struct client *c = ctx;
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    c->result = *result;
    c->over = true;
    SH_CHECK(pthread_cond_signal(&c->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
}

/* ---- one run ---- */

struct run {
    uint64_t number;      /* of the round, from 1; 0: the first model */
    struct sh_span model; /* size 0: there is none yet */
    bool (*wanted)(void *ctx);
    void *ctx;
};

static void clear(struct client *c)
{
    script_files_clear(c->dir);
}

static enum sh_err make_folder(struct client *c, char why[static SCRIPT_WHY_BYTES])
{
    const struct spec_source *package = &c->job->exec.package;
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (package->kind == SPEC_SOURCE_NONE) {
        return script_files_folder(NULL, c->dir, why);
    }
    enum sh_err err = train_blob_read(c->all->config.s, package->digest, SPEC_FILESET_BYTES_MAX,
                                      SCRIPT_PACKAGE_US, &bytes, &size);
    if (err != SH_OK) {
        (void)snprintf(why, SCRIPT_WHY_BYTES, "the package cannot be had: %s", sh_err_text(err));
        return err;
    }
    const struct sh_span blob = {.at = bytes, .size = size};
    err = script_files_folder(&blob, c->dir, why);
    free(bytes);
    return err;
}

static enum sh_err lay_out(struct client *c, const struct run *run, char *why)
{
    char text[SCRIPT_WHY_BYTES] = "";
    char path[TRAIN_PATH_MAX + sizeof MODEL_IN];
    clear(c);
    enum sh_err err = make_folder(c, text);
    (void)snprintf(path, sizeof path, "%s/%s", c->dir, MODEL_IN);
    if (err == SH_OK && run->model.size > 0) {
        err = script_files_write(path, run->model.at, run->model.size);
    }
    if (err == SH_OK && c->user != 0) {
        err = script_files_own(c->dir, c->user, text);
    }
    if (err != SH_OK) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "its working folder: %.200s",
                       text[0] != '\0' ? text : sh_err_text(err));
    }
    return err;
}

/* Until the commands have ended; writes what they say, and ends them when nobody waits for them. */
static void attend(struct client *c, struct exec_process *process, const struct run *run)
{
    bool stopped = false;
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    while (!c->over) {
        if (!c->written) {
            train_clock_wait(&c->changed, &c->lock, sh_now_us() + LOOK_US);
        }
        c->written = false;
        SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
        script_console_write(c->console);
        if (!stopped && !run->wanted(run->ctx)) {
            stopped = true;
            script_console_let_go(c->console);
            exec_stop(process, "nobody waits for its update any more");
        }
        SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    script_console_let_go(c->console);
    script_console_write(c->console);
}

static enum sh_err plan(struct client *c, const struct run *run, const char *in, const char *out)
{
    struct script_round round = {.number = run->number,
                                 .rounds = c->job->federated.rounds,
                                 .dataset = c->dataset,
                                 .in = run->model.size > 0 ? in : NULL,
                                 .out = out};
    struct script_place place = {.unit = c->w->config.unit,
                                 .units = 1,
                                 .members = 1, /* each trains alone */
                                 .node = c->w->node,
                                 .dir = c->dir,
                                 .master_host = "127.0.0.1",
                                 .gpus = "",
                                 .visible = "",
                                 .round = &round};
    train_worker_lock(c->w);
    const struct wire_placement *placement = &c->w->next.placement;
    place.fence = placement->fence;
    uint32_t index = wire_member_find(placement->members, placement->member_count, c->w->me);
    train_worker_unlock(c->w);
    script_console_begin(c->console, place.fence.index, (uint16_t)index);
    return script_plan_make(c->plan, c->job, &place);
}

/* Runs the commands in the folder; c->result says what became of them. */
static enum sh_err execute(struct client *c, const struct run *run)
{
    char in[TRAIN_PATH_MAX + sizeof MODEL_IN];
    char out[TRAIN_PATH_MAX + sizeof MODEL_OUT];
    const char *reads[] = {c->dataset, NULL};
    struct exec_sandbox sandbox = {.level = script_level_of(c->all, c->job->exec.sandbox),
                                   .bwrap = c->all->config.bwrap,
                                   .network = c->job->exec.network,
                                   .read_only = reads};
    struct exec_spec spec = {.commands = c->plan->commands,
                             .env = c->plan->env,
                             .dir = c->dir,
                             .limits = script_limits_of(c->job),
                             .sandbox = &sandbox,
                             .cgroup = c->all->machine.has_cgroup ? &c->all->machine.cgroup : NULL,
                             .keeper = c->all->config.keeper,
                             .uid = c->user,
                             .gid = c->user,
                             .nice = SCRIPT_NICE};
    struct exec_hooks hooks = {.context = c, .line = on_line, .end = on_end};
    struct exec_process *process = NULL;
    (void)snprintf(in, sizeof in, "%s/%s", c->dir, MODEL_IN);
    (void)snprintf(out, sizeof out, "%s/%s", c->dir, MODEL_OUT);
    enum sh_err err = plan(c, run, in, out);
    spec.command_count = c->plan->command_count;
    c->written = false;
    c->over = false;
    c->samples = 0;
    c->loss = (double)NAN;
    c->last[0] = '\0';
    err = err != SH_OK ? err : exec_open(&process, &spec, &hooks);
    err = err != SH_OK ? err : exec_start(process);
    if (err == SH_OK) {
        attend(c, process, run);
    }
    exec_close(process);
    return err;
}

/* The model that the commands left; given (free). */
static enum sh_err take_model(struct client *c, uint8_t **bytes, size_t *size, char *why)
{
    char text[SCRIPT_WHY_BYTES] = "";
    const char *path = MODEL_OUT;
    struct spec_outputs outputs = {.dir = c->dir, .patterns = &path, .pattern_count = 1};
    struct sh_span found = {0};
    uint8_t *set = NULL;
    size_t set_size = 0;
    *bytes = NULL;
    enum sh_err err = spec_package_collect(&outputs, &set, &set_size, text, sizeof text);
    if (err == SH_OK) {
        struct sh_span blob = {.at = set, .size = set_size};
        err = spec_fileset_find(blob, path, &found);
        *bytes = err == SH_OK ? malloc(found.size + 1) : NULL;
    }
    if (*bytes != NULL) {
        memcpy(*bytes, found.at, found.size);
        *size = found.size;
    } else {
        err = err != SH_OK ? err : SH_ERR_NO_MEMORY;
        (void)snprintf(why, ROUNDS_WHY_BYTES, "the commands left no model at SHOAL_MODEL_OUT");
    }
    free(set);
    return err;
}

/* From the round's model to what the commands make of it; *bytes is given (free). */
static enum sh_err run_commands(struct client *c, const struct run *run, uint8_t **bytes,
                                size_t *size, char *why)
{
    enum sh_err err = lay_out(c, run, why);
    *bytes = NULL;
    if (err == SH_OK) {
        err = execute(c, run);
        if (err != SH_OK) {
            (void)snprintf(why, ROUNDS_WHY_BYTES, "the commands cannot be started: %s",
                           sh_err_text(err));
        } else if (c->result.cause == EXEC_STOPPED) {
            err = SH_ERR_CANCELLED;
        } else if (c->result.cause != EXEC_OK) {
            err = SH_ERR_CONFLICT;
            int what = (int)sh_text_fit(c->result.text, strnlen(c->result.text, 150));
            (void)snprintf(why, ROUNDS_WHY_BYTES, "%.*s%s%s", what, c->result.text,
                           c->last[0] != '\0' ? ": " : "", c->last);
        }
    }
    err = err != SH_OK ? err : take_model(c, bytes, size, why);
    clear(c);
    return err;
}

/* ---- the trainer ---- */

static enum sh_err prepare(void *ctx, char *why)
{
    struct client *c = ctx;
    struct service *s = c->all->config.s;
    if (!c->all->config.allowed) {
        (void)snprintf(why, ROUNDS_WHY_BYTES,
                       "this agent runs no commands (--allow-commands, --sandbox-min)");
        return SH_ERR_DENIED;
    }
    enum sh_err err =
        service_dataset_path(s, c->job->data.train.name, c->dataset, sizeof c->dataset);
    if (err != SH_OK) {
        (void)snprintf(why, ROUNDS_WHY_BYTES, "data set %s: %s", c->job->data.train.name,
                       sh_err_text(err));
        return err;
    }
    return exec_capture_open(&c->capture, NULL, 0, 0, why, ROUNDS_WHY_BYTES);
}

static bool still_here(void *ctx)
{
    return !train_worker_is_interrupted(ctx);
}

static enum sh_err begin(void *ctx, uint8_t **bytes, size_t *size, char *why)
{
    struct client *c = ctx;
    struct run run = {.wanted = still_here, .ctx = c->w};
    return run_commands(c, &run, bytes, size, why);
}

/* What training changed: the difference of both models. */
static enum sh_err compare(struct rounds_task *task, uint8_t *bytes, size_t size, char *why)
{
    struct rounds_model made;
    size_t floats = task->model->floats;
    float *before = malloc(floats * sizeof *before);
    enum sh_err err = rounds_model_open(&made, bytes, size, why, ROUNDS_WHY_BYTES);
    bool opened = err == SH_OK;
    if (opened && before == NULL) {
        err = SH_ERR_NO_MEMORY;
    } else if (opened && !rounds_model_alike(task->model, &made)) {
        err = SH_ERR_CONFLICT;
        (void)snprintf(
            why, ROUNDS_WHY_BYTES,
            "the model at SHOAL_MODEL_OUT has other tensors than that of SHOAL_MODEL_IN");
    }
    if (err == SH_OK) {
        rounds_model_get(task->model, before);
        rounds_model_get(&made, task->change);
        rounds_model_to_moments(task->model, before);
        rounds_model_to_moments(task->model, task->change);
        for (size_t i = 0; i < floats; i++) {
            task->change[i] -= before[i];
        }
    }
    if (opened) {
        rounds_model_close(&made);
    }
    free(before);
    return err;
}

static enum sh_err work(void *ctx, struct rounds_task *task, char *why)
{
    struct client *c = ctx;
    uint64_t from = sh_now_us();
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct run run = {.number = task->round + 1,
                      .model = {.at = task->model->bytes, .size = task->model->size},
                      .wanted = task->wanted,
                      .ctx = task->ctx};
    SH_CHECK(!task->evaluates && task->variates == NULL); /* the job file asks for neither */
    enum sh_err err = run_commands(c, &run, &bytes, &size, why);
    if (err == SH_OK && !(c->samples >= 1 && c->samples <= SAMPLES_MAX)) {
        free(bytes);
        (void)snprintf(
            why, ROUNDS_WHY_BYTES,
            "the commands must tell how many samples they saw: SHOAL {\"samples\": 120}");
        return SH_ERR_INVALID;
    }
    err = err != SH_OK ? err : compare(task, bytes, size, why);
    task->figures = (struct rounds_figures){.samples = err == SH_OK ? (uint64_t)c->samples : 0,
                                            .train_loss = c->loss,
                                            .took_us = sh_now_us() - from};
    return err;
}

static void forget(void *ctx)
{
    clear(ctx);
}

static void close_client(void *ctx)
{
    struct client *c = ctx;
    if (c->capture != NULL) {
        exec_capture_close(c->capture);
    }
    script_console_close(c->console);
    scripts_unseat(c->all, c->seat);
    SH_CHECK(pthread_cond_destroy(&c->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&c->lock) == 0);
    free(c->plan);
    free(c);
}

enum sh_err script_client_open(void *ctx, struct rounds_trainer *out, struct train_worker *w)
{
    struct client *c = calloc(1, sizeof *c);
    struct script_plan *plan_memory = calloc(1, sizeof *plan_memory);
    if (c == NULL || plan_memory == NULL) {
        free(c);
        free(plan_memory);
        return SH_ERR_NO_MEMORY;
    }
    *c = (struct client){.all = ctx, .w = w, .job = w->job, .plan = plan_memory};
    SH_CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
    train_clock_cond(&c->changed);
    c->seat = scripts_seat(c->all, NULL, &c->user);
    int n = snprintf(c->dir, sizeof c->dir, "%s/%llu-%u-rounds", c->all->work,
                     (unsigned long long)w->config.unit.job, w->config.unit.unit);
    enum sh_err err = n > 0 && n < (int)sizeof c->dir ? SH_OK : SH_ERR_LIMIT;
    err = err != SH_OK
              ? err
              : script_console_open(&c->console, c->all->config.s, w->config.unit, on_console, c);
    if (err != SH_OK) {
        close_client(c);
        return err;
    }
    *out = (struct rounds_trainer){.ctx = c,
                                   .prepare = prepare,
                                   .begin = begin,
                                   .work = work,
                                   .forget = forget,
                                   .close = close_client};
    return SH_OK;
}
