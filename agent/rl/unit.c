/* SPDX-License-Identifier: Apache-2.0 */
#include "rl/unit.h"

#include "metrics.h"
#include "rl/curve.h"

#include "base/host/host.h"
#include "kernels/rl/trainer.h"
#include "spec/json.h"
#include "spec/rl.h"
#include "spec/sweep.h"
#include "train/worker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct rl_unit {
    struct train_worker w;
    struct kn_rl *trainer; /* NULL: not begun here */
    struct rl_curve *curve;
    uint64_t write_at_us; /* what waits is written then */
    uint32_t line_count;
    struct service_log_line lines[RL_LINES];
    uint32_t measure_count;
    struct service_measure measures[RL_MEASURES];
};

static void fail(struct rl_unit *x, enum sh_err reason, bool final, const char *text)
{
    train_worker_fail(&x->w, reason, final, false, text);
}

/* ---- what is told ---- */

static void write_waiting(struct rl_unit *x)
{
    if (x->line_count > 0) {
        service_log_append(x->w.s, x->w.config.unit.job, x->lines, x->line_count);
    }
    if (x->measure_count > 0) {
        service_series_append(x->w.s, x->w.config.unit.job, x->measures, x->measure_count);
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
    *line = (struct service_log_line){.generation = x->w.at.placement.fence.index,
                                      .unit = x->w.config.unit.unit};
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
    uint32_t every = x->w.job->rl.episode_events;
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
    uint32_t every = x->w.job->rl.state_events;
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
        train_scribe_line(x->w.scribe, "no memory for the checkpoint after iteration %llu",
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
    uint64_t start = sh_now_us(); /* an iteration takes no time worth the name */
    uint8_t *bytes = encode(x, &size);
    if (bytes != NULL &&
        !train_clerk_checkpoint(x->w.clerk, x->w.at.placement.fence, kn_rl_iterations(x->trainer),
                                sh_now_us() - start, bytes, size)) {
        free(bytes); /* iterations are short: the one before is still on its way */
    }
}

/* The unit was asked to leave a checkpoint and to wait again. */
static void give_way(struct rl_unit *x)
{
    struct train_last last = {.fence = x->w.at.placement.fence, .yields = true};
    write_waiting(x);
    if (x->trainer != NULL) { /* else what is kept is as good */
        last.step = kn_rl_iterations(x->trainer);
        last.bytes = encode(x, &last.size);
    }
    train_clerk_last(x->w.clerk, &last);
}

static enum sh_err take_checkpoint(void *ctx, const struct jobs_checkpoint *c, struct sh_span bytes,
                                   char *why, size_t size)
{
    struct rl_unit *x = ctx;
    struct kn_diag diag = {.text = ""};
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    (void)c;
    rl_curve_get(&r, x->curve);
    enum kn_err err =
        r.bad ? KN_ERR_CORRUPT
              : kn_rl_decode(&x->trainer, bytes.at + r.used, bytes.size - r.used, &diag);
    (void)snprintf(why, size, "%s", diag.text);
    if (err == KN_ERR_MEMORY) {
        return SH_ERR_NO_MEMORY;
    }
    if (err == KN_ERR_UNSUPPORTED) {
        return SH_ERR_VERSION; /* another agent may be able to read it */
    }
    return err == KN_OK ? SH_OK : SH_ERR_CORRUPT;
}

/* The newest checkpoint, else the beginning. */
static enum sh_err load(struct rl_unit *x)
{
    struct train_resume r = {.name = "checkpoint after iteration",
                             .bytes_max = RL_STATE_BYTES_MAX,
                             .take = take_checkpoint,
                             .ctx = x};
    enum sh_err err = train_worker_resume(&x->w, &r);
    if (err == SH_OK) {
        train_scribe_line(x->w.scribe, "%s goes on from the checkpoint after iteration %llu",
                          x->w.node, (unsigned long long)kn_rl_iterations(x->trainer));
    } else if (err == SH_ERR_NOT_FOUND) {
        const struct kn_rl_config config = spec_rl_config(&x->w.job->rl);
        struct kn_diag diag = {.text = ""};
        x->curve->count = 0;
        if (kn_rl_open(&x->trainer, &config, &diag) != KN_OK) {
            return SH_ERR_NO_MEMORY; /* the schema has checked the rest */
        }
        train_scribe_line(x->w.scribe, "%s begins", x->w.node);
    } else {
        return err;
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
    const struct spec_rl *rl = &x->w.job->rl;
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
            uint64_t part = done < rl->iterations ? done * 1000 / rl->iterations : 999;
            train_clerk_progress(x->w.clerk, x->w.at.placement.fence, (uint32_t)part);
        }
        go_on = !train_worker_is_interrupted(&x->w);
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
    return spec_policy_write(&x->w.job->rl, kn_rl_policy(x->trainer), x->w.config.spec_digest,
                             &result->file, &result->file_size, o->model);
}

static void commit(struct rl_unit *x, bool partial)
{
    struct train_result result = {.fence = x->w.at.placement.fence, .partial = partial};
    enum sh_err err = fill_result(x, &result);
    if (err != SH_OK) {
        fail(x, err, false, sh_err_text(err));
        return;
    }
    train_worker_finish(&x->w, &result);
}

static struct rl_unit *unit_of(struct train_worker *w)
{
    return (struct rl_unit *)(void *)w;
}

static void follow(struct train_worker *w, bool anew)
{
    struct rl_unit *x = unit_of(w);
    bool loads = x->trainer == NULL && (w->at.stopping || !w->at.yielding);
    enum sh_err err = loads ? load(x) : SH_OK;
    (void)anew; /* the trainer goes on where it stands, whatever the generation */
    if (err == SH_ERR_CANCELLED) {
        return;
    }
    if (err != SH_OK) {
        fail(x, err, false, sh_err_text(err));
        return;
    }
    if (w->at.stopping) {
        write_waiting(x);
        commit(x, kn_rl_iterations(x->trainer) < w->job->rl.iterations);
    } else if (w->at.yielding) {
        give_way(x);
    } else if (play(x)) {
        commit(x, false);
    }
}

static enum sh_err prepare(struct train_worker *w, char *why, size_t size)
{
    (void)w;
    (void)why;
    (void)size;
    /* Without the right to change it training runs at the usual priority. */
    SH_MAY_FAIL(setpriority(PRIO_PROCESS, (id_t)gettid(), RL_NICE) == 0);
    return SH_OK;
}

/* ---- the runner ---- */

static void unit_release(struct train_worker *w)
{
    struct rl_unit *x = unit_of(w);
    train_worker_fini(w);
    kn_rl_close(x->trainer);
    free(x->curve);
    free(x);
}

static const struct train_duty DUTY = {
    .name = "rl", .prepare = prepare, .follow = follow, .release = unit_release};

static enum sh_err unit_open(void *ctx, struct train_part **out,
                             const struct train_part_config *config,
                             const struct train_assignment *first)
{
    struct rl_unit *x = calloc(1, sizeof *x);
    *out = NULL;
    if (x == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = train_worker_init(&x->w, ctx, &DUTY, config, first);
    x->curve = calloc(1, sizeof *x->curve);
    return train_worker_start(&x->w, x->curve != NULL ? err : SH_ERR_NO_MEMORY, out);
}

struct train_runner rl_runner(struct service *s)
{
    return train_worker_runner(s, unit_open);
}
