/* SPDX-License-Identifier: Apache-2.0 */
#include "rl/unit.h"

#include "journal.h"
#include "metrics.h"
#include "rl/curve.h"

#include "base/host/host.h"
#include "jobs/view.h"
#include "kernels/rl/trainer.h"
#include "spec/json.h"
#include "spec/rl.h"
#include "spec/sweep.h"
#include "train/clerk.h"
#include "train/clock.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct rl_unit {
    struct service *s;
    struct train_part_config config;
    char *spec;
    struct spec_job *job;
    char node[SH_NAME_MAX + 1];
    pthread_t thread;

    /* Of the unit's thread. */
    struct train_scribe *scribe;
    struct train_clerk *clerk;
    struct train_assignment at; /* in force */
    struct kn_rl *trainer;      /* NULL: not begun here */
    struct rl_curve *curve;
    uint64_t write_at_us; /* what waits is written then */
    uint32_t line_count;
    struct service_log_line lines[RL_LINES];
    uint32_t measure_count;
    struct service_measure measures[RL_MEASURES];

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct train_assignment next; /* the newest */
    bool leaving;
    bool failed;
    bool ended;
};

static void lock(struct rl_unit *x)
{
    SH_CHECK(pthread_mutex_lock(&x->lock) == 0);
}

static void unlock(struct rl_unit *x)
{
    SH_CHECK(pthread_mutex_unlock(&x->lock) == 0);
}

/* With the lock. */
static bool has_news(const struct rl_unit *x)
{
    return x->leaving || x->next.stopping != x->at.stopping || x->next.yielding != x->at.yielding ||
           !wire_fence_equal(x->next.placement.fence, x->at.placement.fence);
}

static bool is_interrupted(struct rl_unit *x)
{
    lock(x);
    bool interrupted = has_news(x);
    unlock(x);
    return interrupted;
}

static void fail(struct rl_unit *x, enum sh_err reason, bool final, const char *text)
{
    struct train_result result = {
        .fence = x->at.placement.fence, .failed = true, .reason = reason, .final = final};
    (void)snprintf(result.text, sizeof result.text, "%s", text);
    journal_warn("job %llu: %s", (unsigned long long)x->config.unit.job, text);
    train_clerk_result(x->clerk, &result);
}

/* ---- what is told ---- */

static void write_waiting(struct rl_unit *x)
{
    if (x->line_count > 0) {
        service_log_append(x->s, x->config.unit.job, x->lines, x->line_count);
    }
    if (x->measure_count > 0) {
        service_series_append(x->s, x->config.unit.job, x->measures, x->measure_count);
    }
    x->line_count = 0;
    x->measure_count = 0;
    x->write_at_us = sh_now_us() + RL_WRITE_US;
}

static void add_measure(struct rl_unit *x, const char *name, uint64_t step, double value)
{
    if (x->measure_count == RL_MEASURES) {
        write_waiting(x);
    }
    x->measures[x->measure_count++] = (struct service_measure){
        .name = name, .point = {.step = step, .wall_us = sh_wall_us(), .value = value}};
}

static void tell_point(struct rl_unit *x, const struct rl_point *p)
{
    add_measure(x, METRIC_REWARD, p->iteration, p->mean);
    add_measure(x, METRIC_REWARD_STD, p->iteration, p->deviation);
    add_measure(x, METRIC_ENV_STEPS, p->iteration, (double)p->steps);
}

static struct sh_writer line_begin(struct rl_unit *x)
{
    if (x->line_count == RL_LINES) {
        write_waiting(x);
    }
    struct service_log_line *line = &x->lines[x->line_count];
    *line = (struct service_log_line){.generation = x->at.placement.fence.index,
                                      .unit = x->config.unit.unit};
    return sh_writer_over(line->text, sizeof line->text - 1);
}

static void line_end(struct rl_unit *x, const struct sh_writer *w)
{
    SH_CHECK(!w->full);
    x->lines[x->line_count].text[w->used] = '\0';
    x->line_count++;
}

static const char *end_name(enum kn_hallway_end end)
{
    switch (end) {
    case KN_HALLWAY_GOES_ON:
        return "goes on";
    case KN_HALLWAY_RIGHT:
        return "right";
    case KN_HALLWAY_WRONG:
        return "wrong";
    case KN_HALLWAY_LATE:
        return "late";
    }
    SH_UNREACHABLE();
}

static void on_episode(void *context, const struct kn_rl_episode *e)
{
    struct rl_unit *x = context;
    char hash[20];
    char policy[20];
    uint32_t every = x->job->rl.episode_events;
    if (every == 0 || e->result.number % every != 0) {
        return;
    }
    (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)e->result.hash);
    (void)snprintf(policy, sizeof policy, "%016llx", (unsigned long long)e->policy_hash);
    struct sh_writer w = line_begin(x);
    spec_json_open(&w, NULL);
    spec_json_open(&w, "episode");
    spec_json_put_int(&w, "area", e->area);
    spec_json_put_str(&w, "end", end_name(e->result.end));
    spec_json_put_str(&w, "hash", hash);
    spec_json_put_int(&w, "iteration", (int64_t)e->iteration);
    spec_json_put_int(&w, "length", e->result.length);
    spec_json_put_int(&w, "number", (int64_t)e->result.number);
    spec_json_put_str(&w, "policy", policy);
    spec_json_put_int(&w, "return_micro", e->result.return_micro);
    spec_json_close(&w);
    spec_json_close(&w);
    line_end(x, &w);
}

static void on_state(void *context, const struct kn_hallway *h, enum kn_hallway_action action,
                     int32_t reward_micro)
{
    static const char *const ACTIONS[] = {"north", "east", "south", "west", ""};
    struct rl_unit *x = context;
    uint32_t every = x->job->rl.state_events;
    if (every == 0 || h->episode % every != 0) {
        return;
    }
    struct sh_writer w = line_begin(x);
    spec_json_open(&w, NULL);
    spec_json_open(&w, "state");
    spec_json_put_str(&w, "action", ACTIONS[action]);
    spec_json_put_int(&w, "episode", (int64_t)h->episode);
    spec_json_put_str(&w, "goal_x", h->x_east ? "east" : "west");
    spec_json_put_int(&w, "reward_micro", reward_micro);
    spec_json_put_int(&w, "step", h->step);
    spec_json_put_str(&w, "symbol", h->symbol_x ? "X" : "O");
    spec_json_put_int(&w, "x", h->x);
    spec_json_put_int(&w, "y", h->y);
    spec_json_close(&w);
    spec_json_close(&w);
    line_end(x, &w);
}

/* ---- checkpoints ---- */

/* The trainer and the curve as bytes; given (free), NULL with a line said. */
static uint8_t *encode(struct rl_unit *x, size_t *size)
{
    *size = rl_curve_size(x->curve) + kn_rl_state_size(x->trainer);
    uint8_t *bytes = malloc(*size);
    if (bytes == NULL) {
        train_scribe_line(x->scribe, "no memory for the checkpoint after iteration %llu",
                          (unsigned long long)kn_rl_iterations(x->trainer));
        return NULL;
    }
    struct sh_writer w = sh_writer_over(bytes, *size);
    rl_curve_put(&w, x->curve);
    SH_CHECK(!w.full);
    kn_rl_encode(x->trainer, bytes + w.used);
    return bytes;
}

static void keep_checkpoint(struct rl_unit *x)
{
    size_t size = 0;
    uint8_t *bytes = encode(x, &size);
    if (bytes != NULL && !train_clerk_checkpoint(x->clerk, x->at.placement.fence,
                                                 kn_rl_iterations(x->trainer), bytes, size)) {
        free(bytes); /* iterations are short: the one before is still on its way */
    }
}

/* The unit was asked to leave a checkpoint and to wait again. */
static void give_way(struct rl_unit *x)
{
    struct train_last last = {
        .fence = x->at.placement.fence, .step = kn_rl_iterations(x->trainer), .yields = true};
    write_waiting(x);
    last.bytes = encode(x, &last.size);
    train_clerk_last(x->clerk, &last);
}

/* The blob in memory; given (free). */
static enum sh_err read_blob(struct rl_unit *x, const uint8_t *digest, uint8_t **bytes,
                             size_t *size)
{
    uint64_t total = 0;
    size_t done = 0;
    enum sh_err err = service_blob_fetch(x->s, digest, &total, RL_LOAD_US);
    *bytes = err == SH_OK ? malloc(total + 1) : NULL;
    err = err == SH_OK && *bytes == NULL ? SH_ERR_NO_MEMORY : err;
    while (err == SH_OK && done < total) {
        size_t got = 0;
        err = service_blob_read(x->s, digest, done, *bytes + done, total - done, &got);
        err = err == SH_OK && got == 0 ? SH_ERR_CORRUPT : err;
        done += got;
    }
    *size = done;
    return err;
}

static enum sh_err load_checkpoint(struct rl_unit *x, const struct jobs_checkpoint *c)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct kn_diag diag = {.text = ""};
    enum sh_err err = read_blob(x, c->manifest, &bytes, &size);
    if (err == SH_OK) {
        struct sh_reader r = sh_reader_over(bytes, size);
        rl_curve_get(&r, x->curve);
        bool good =
            !r.bad && kn_rl_decode(&x->trainer, bytes + r.used, size - r.used, &diag) == KN_OK;
        err = good ? SH_OK : SH_ERR_CORRUPT;
    }
    free(bytes);
    return err;
}

static uint32_t list_checkpoints(struct rl_unit *x, struct jobs_checkpoint *list)
{
    struct service_view *view;
    uint32_t count = 0;
    if (service_view_open(x->s, &view) != SH_OK) {
        return 0;
    }
    enum sh_err err =
        jobs_checkpoint_list(service_view_table(view), x->config.unit, list, JOBS_KEEP_MAX, &count);
    service_view_close(view);
    return err == SH_OK ? count : 0;
}

/* The newest checkpoint that can be had, else the beginning. */
static enum sh_err load(struct rl_unit *x)
{
    struct jobs_checkpoint *list = calloc(JOBS_KEEP_MAX, sizeof *list);
    uint32_t count = list != NULL ? list_checkpoints(x, list) : 0;
    for (uint32_t i = 0; i < count && x->trainer == NULL; i++) {
        unsigned long long step = list[i].step;
        enum sh_err err = load_checkpoint(x, &list[i]);
        if (err == SH_OK) {
            train_scribe_line(x->scribe, "%s goes on from the checkpoint after iteration %llu",
                              x->node, step);
        } else {
            train_scribe_line(x->scribe, "%s cannot use the checkpoint after iteration %llu: %s",
                              x->node, step, sh_err_text(err));
        }
    }
    free(list);
    if (x->trainer == NULL) {
        const struct kn_rl_config config = spec_rl_config(&x->job->rl);
        struct kn_diag diag = {.text = ""};
        x->curve->count = 0;
        if (kn_rl_open(&x->trainer, &config, &diag) != KN_OK) {
            return SH_ERR_NO_MEMORY; /* the schema has checked the rest */
        }
        train_scribe_line(x->scribe, "%s begins", x->node);
    }
    for (uint32_t i = 0; i < x->curve->count; i++) {
        tell_point(x, &x->curve->at[i]);
    }
    return SH_OK;
}

/* ---- training ---- */

static void take_point(struct rl_unit *x)
{
    struct kn_rl_summary summary;
    kn_rl_summary_take(x->trainer, &summary);
    SH_CHECK_CMP(x->curve->count, <, SH_COUNT(x->curve->at));
    struct rl_point *p = &x->curve->at[x->curve->count++];
    *p = (struct rl_point){.iteration = kn_rl_iterations(x->trainer),
                           .steps = summary.steps,
                           .episodes = summary.episodes,
                           .mean = summary.mean_reward,
                           .deviation = summary.std_reward};
    tell_point(x, p);
}

/* False: it failed, or is interrupted. */
static bool play(struct rl_unit *x)
{
    const struct spec_rl *rl = &x->job->rl;
    const struct kn_rl_events events = {.context = x, .episode = on_episode, .state = on_state};
    struct kn_diag diag = {.text = ""};
    bool go_on = true;
    while (go_on && kn_rl_iterations(x->trainer) < rl->iterations) {
        if (kn_rl_iterate(x->trainer, &events, &diag) != KN_OK) {
            fail(x, SH_ERR_DIVERGED, true, diag.text);
            return false;
        }
        uint64_t done = kn_rl_iterations(x->trainer);
        if (done % rl->summary == 0 || done == rl->iterations) {
            take_point(x);
        }
        if (done % rl->checkpoint_every == 0 && done < rl->iterations) {
            keep_checkpoint(x);
        }
        if (sh_now_us() >= x->write_at_us) {
            write_waiting(x);
        }
        go_on = !is_interrupted(x);
    }
    write_waiting(x);
    return go_on;
}

static enum sh_err fill_result(struct rl_unit *x, struct train_result *result)
{
    struct jobs_outcome *o = &result->outcome;
    size_t size = kn_rl_state_size(x->trainer);
    uint8_t *state = malloc(size);
    if (state == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    kn_rl_encode(x->trainer, state);
    sh_blake2b(o->state, sizeof o->state, state, size);
    free(state);
    o->steps = kn_rl_iterations(x->trainer);
    o->metrics.train_loss = (double)NAN;
    if (x->curve->count > 0) {
        o->scored = true;
        o->score = x->curve->at[x->curve->count - 1].mean;
    }
    return spec_policy_write(&x->job->rl, kn_rl_policy(x->trainer), x->config.spec_digest,
                             &result->file, &result->file_size, o->model);
}

static void commit(struct rl_unit *x, bool partial)
{
    struct train_result result = {.fence = x->at.placement.fence, .partial = partial};
    enum sh_err err = fill_result(x, &result);
    if (err != SH_OK) {
        fail(x, err, false, sh_err_text(err));
        return;
    }
    train_clerk_result(x->clerk, &result);
}

static void follow(struct rl_unit *x)
{
    enum sh_err err = x->trainer == NULL ? load(x) : SH_OK;
    if (err != SH_OK) {
        fail(x, err, false, sh_err_text(err));
        return;
    }
    if (x->at.stopping) {
        write_waiting(x);
        commit(x, kn_rl_iterations(x->trainer) < x->job->rl.iterations);
    } else if (x->at.yielding) {
        give_way(x);
    } else if (play(x)) {
        commit(x, false);
    }
}

/* ---- the thread ---- */

/* Waits for a placement that is not in force; false: it is to leave. */
static bool take_assignment(struct rl_unit *x)
{
    lock(x);
    while (!has_news(x)) {
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

static bool prepare(struct rl_unit *x)
{
    struct spec_errors *errors = calloc(1, sizeof *errors);
    enum sh_err err = errors == NULL
                          ? SH_ERR_NO_MEMORY
                          : spec_parse_again(x->spec, x->config.spec.size, x->job, errors);
    free(errors);
    if (err != SH_OK) {
        x->at = x->next;
        fail(x, err, err != SH_ERR_NO_MEMORY, "the job cannot be read by this agent");
    }
    return err == SH_OK;
}

static void *run(void *arg)
{
    struct rl_unit *x = arg;
    sh_thread_name("rl-%llu", (unsigned long long)x->config.unit.job);
    /* Without the right to change it training runs at the usual priority. */
    SH_MAY_FAIL(setpriority(PRIO_PROCESS, (id_t)gettid(), RL_NICE) == 0);
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

/* ---- the runner ---- */

static void release(struct rl_unit *x)
{
    train_clerk_close(x->clerk);
    train_scribe_close(x->scribe);
    SH_CHECK(pthread_cond_destroy(&x->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&x->lock) == 0);
    kn_rl_close(x->trainer);
    free(x->curve);
    free(x->job);
    free(x->spec);
    free(x);
}

static enum sh_err equip(struct rl_unit *x)
{
    x->job = calloc(1, sizeof *x->job);
    x->curve = calloc(1, sizeof *x->curve);
    x->spec = malloc(x->config.spec.size + 1);
    if (x->job == NULL || x->curve == NULL || x->spec == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    memcpy(x->spec, x->config.spec.at, x->config.spec.size);
    enum sh_err err = train_scribe_open(&x->scribe, x->s, x->config.unit);
    return err != SH_OK ? err : train_clerk_open(&x->clerk, x->s, x->scribe, x->config.unit);
}

static enum sh_err unit_open(void *ctx, struct train_part **out,
                             const struct train_part_config *config,
                             const struct train_assignment *first)
{
    struct rl_unit *x = calloc(1, sizeof *x);
    struct service_status status;
    *out = NULL;
    if (x == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    x->s = ctx;
    x->config = *config;
    x->next = *first;
    service_status(x->s, &status);
    (void)snprintf(x->node, sizeof x->node, "%s", status.name);
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

static struct rl_unit *unit_of(struct train_part *part)
{
    return (struct rl_unit *)(void *)part;
}

static void unit_assign(struct train_part *part, const struct train_assignment *assignment)
{
    struct rl_unit *x = unit_of(part);
    lock(x);
    if (wire_fence_cmp(assignment->placement.fence, x->next.placement.fence) >= 0) {
        x->next = *assignment;
        SH_CHECK(pthread_cond_signal(&x->changed) == 0);
    }
    unlock(x);
}

static void unit_leave(struct train_part *part)
{
    struct rl_unit *x = unit_of(part);
    lock(x);
    x->leaving = true;
    SH_CHECK(pthread_cond_signal(&x->changed) == 0);
    unlock(x);
}

static bool unit_has_ended(struct train_part *part)
{
    struct rl_unit *x = unit_of(part);
    lock(x);
    bool ended = x->ended;
    unlock(x);
    return ended;
}

static bool unit_has_failed(struct train_part *part)
{
    struct rl_unit *x = unit_of(part);
    lock(x);
    bool failed = x->failed;
    unlock(x);
    return failed;
}

static void unit_close(struct train_part *part)
{
    struct rl_unit *x = unit_of(part);
    unit_leave(part);
    SH_CHECK(pthread_join(x->thread, NULL) == 0);
    release(x);
}

struct train_runner rl_runner(struct service *s)
{
    return (struct train_runner){.ctx = s,
                                 .open = unit_open,
                                 .assign = unit_assign,
                                 .leave = unit_leave,
                                 .has_ended = unit_has_ended,
                                 .has_failed = unit_has_failed,
                                 .close = unit_close};
}
