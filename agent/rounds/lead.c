/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/lead.h"

#include "rounds/inside.h"

#include "base/host/host.h"
#include "train/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PPM 1000000.0

/* ---- the core ---- */

static bool measures(const struct spec_job *job)
{
    return job->data.validation.kind != SPEC_SOURCE_NONE || job->data.validation_fraction > 0 ||
           job->data.test.kind != SPEC_SOURCE_NONE;
}

static uint32_t ppm(double part)
{
    double millionths = part * PPM + 0.5;
    return millionths < 1 ? 1 : (uint32_t)millionths;
}

static struct fed_config config_of(const struct spec_job *job)
{
    const struct spec_federated *f = &job->federated;
    return (struct fed_config){.members_max = ROUNDS_SLOTS_MAX,
                               .seed = job->train.seed,
                               .rounds = f->rounds,
                               .evaluates = measures(job),
                               .select = (enum fed_select)f->select,
                               .fraction_ppm = ppm(f->fraction),
                               .count = f->count,
                               .over_permille = (uint32_t)(f->over * FED_PERMILLE + 0.5),
                               .goal_ppm = ppm(f->goal),
                               .goal_count = f->goal_counts ? f->goal_count : 0,
                               .least = f->least,
                               .hard_us = (uint64_t)f->deadline_s * 1000000,
                               .carry = f->carry,
                               .late_max = f->late_max,
                               .skips_max = f->skips,
                               .patience = f->patience,
                               .has_target = f->has_target,
                               .target = f->target_loss ? -f->target : f->target};
}

_Static_assert((int)SPEC_SELECT_ALL == (int)FED_ALL && (int)SPEC_SELECT_COUNT == (int)FED_COUNT,
               "a job file's words are the core's");

static void carry_out(struct rounds_lead *x, const struct fed_action *a)
{
    switch (a->kind) {
    case FED_DO_OPEN:
        for (uint32_t i = 0; i < ROUNDS_SLOTS_MAX; i++) {
            x->slots[i].has_figures = false;
            x->slots[i].why[0] = '\0';
        }
        train_worker_lock(x->w);
        x->round = a->round;
        train_worker_unlock(x->w);
        break;
    case FED_DO_INVITE:
        rounds_invited(x, a->member);
        break;
    case FED_DO_DROP:
        x->taken[a->update].used = false;
        break;
    case FED_DO_CLOSE:
        x->closing = true;
        x->close = *a;
        break;
    case FED_DO_END:
        x->ended = true;
        x->end = a->end;
        break;
    }
}

enum fed_verdict rounds_step(struct rounds_lead *x, const struct fed_event *event)
{
    struct fed_update update;
    struct fed_event e = *event;
    e.now_us = sh_now_us();
    fed_step(x->fed, &e, &update);
    for (uint32_t i = 0; i < update.count; i++) {
        carry_out(x, &update.actions[i]);
    }
    return update.verdict;
}

/* ---- the loop ---- */

static bool take_mail(struct rounds_lead *x)
{
    struct rounds_report report;
    train_worker_lock(x->w);
    bool some = x->mail_count > 0;
    if (some) {
        report = x->mail[0];
        x->mail_count--;
        memmove(&x->mail[0], &x->mail[1], x->mail_count * sizeof x->mail[0]);
    }
    train_worker_unlock(x->w);
    if (some) {
        rounds_take_report(x, &report);
    }
    return some;
}

static void rest(struct rounds_lead *x, uint64_t until_us)
{
    train_worker_lock(x->w);
    if (x->mail_count == 0 && !train_worker_has_news(x->w)) {
        train_clock_wait(&x->w->changed, &x->w->lock, until_us);
    }
    train_worker_unlock(x->w);
}

/* Everything but closing a round: asks, hears, keeps the time. */
static void turn(struct rounds_lead *x)
{
    uint64_t next = rounds_ask_due(x);
    while (!x->closing && take_mail(x)) {
    }
    uint64_t deadline = fed_deadline_us(x->fed);
    if (!x->closing && deadline <= sh_now_us()) {
        struct fed_event e = {.kind = FED_EV_TIMER};
        (void)rounds_step(x, &e);
    } else if (!x->closing && !x->ended) {
        next = next < deadline ? next : deadline;
        rest(x, next);
    }
}

static bool start(struct rounds_lead *x)
{
    struct sh_arena arena;
    struct fed_config config = config_of(x->w->job);
    if (!x->loaded && !rounds_load(x)) {
        return false;
    }
    if (!x->started) {
        memset(x->memory, 0, fed_bytes(ROUNDS_SLOTS_MAX));
        sh_arena_init(&arena, x->memory, fed_bytes(ROUNDS_SLOTS_MAX));
        x->fed = fed_init(&config, &arena);
        memset(x->slots, 0, sizeof x->slots);
        memset(x->taken, 0, sizeof x->taken);
        x->closing = false;
        x->ended = false;
    }
    rounds_follow_members(x);
    if (!x->started) {
        struct fed_event e = {.kind = FED_EV_START, .start = x->resume};
        x->started = true;
        (void)rounds_step(x, &e);
    }
    return true;
}

/* Reports are taken from now on, or not any more. */
static void set_leading(struct rounds_lead *x, bool leads)
{
    train_worker_lock(x->w);
    x->leads = leads;
    x->mail_count = leads ? x->mail_count : 0;
    train_worker_unlock(x->w);
}

static enum rounds_turn fail_starved(struct rounds_lead *x)
{
    char text[ROUNDS_WHY_BYTES];
    (void)snprintf(
        text, sizeof text,
        "%u rounds in a row had fewer than %u updates; shoal rounds says who was missing",
        x->w->job->federated.skips, x->w->job->federated.least);
    train_worker_fail(x->w, SH_ERR_TIMEOUT, true, false, text);
    return ROUNDS_FAILED;
}

enum rounds_turn rounds_lead_run(struct rounds_lead *x)
{
    if (!start(x)) {
        return train_worker_is_interrupted(x->w) ? ROUNDS_INTERRUPTED : ROUNDS_FAILED;
    }
    set_leading(x, true);
    bool good = true;
    while (good && !x->ended && !train_worker_is_interrupted(x->w)) {
        if (x->closing) {
            good = rounds_close_round(x);
        } else {
            turn(x);
        }
    }
    set_leading(x, false);
    if (!x->loaded) {
        x->started = false;
    }
    if (x->ended && x->end == FED_END_STARVED) {
        return fail_starved(x);
    }
    if (x->ended) {
        return ROUNDS_DONE;
    }
    /* Superseded, interrupted, or the clerk was told: an assignment comes, or the end. */
    return ROUNDS_INTERRUPTED;
}

/* ---- the result ---- */

static void fill_outcome(const struct rounds_lead *x, struct jobs_outcome *o)
{
    const struct rounds_measures *m = &x->measures;
    bool classes = x->w->job->train.loss == SPEC_CROSS_ENTROPY;
    o->steps = x->resume.round;
    o->metrics = (struct jobs_metrics){.train_loss = x->train_loss, .val_loss = m->val_loss};
    if (classes) {
        o->metrics.val_correct = m->val_correct;
        o->metrics.val_total = m->val_total;
        o->metrics.test_correct = m->test_correct;
        o->metrics.test_total = m->test_total;
    }
    memcpy(o->state, x->digest, sizeof o->state);
}

bool rounds_lead_result(struct rounds_lead *x, bool partial, struct train_result *result)
{
    *result = (struct train_result){.fence = x->w->at.placement.fence, .partial = partial};
    if (!x->loaded && !rounds_load(x)) {
        return false;
    }
    fill_outcome(x, &result->outcome);
    enum sh_err err = rounds_model_digest(&x->model, result->outcome.model);
    result->file = err == SH_OK ? malloc(x->model.size) : NULL;
    if (result->file == NULL) {
        train_worker_fail(x->w, SH_ERR_NO_MEMORY, false, true, "no memory for this model");
        return false;
    }
    memcpy(result->file, x->model.bytes, x->model.size);
    result->file_size = x->model.size;
    return true;
}

/* ---- calls ---- */

enum rounds_heard rounds_lead_hear(struct rounds_lead *x, const struct rounds_report *report)
{
    enum rounds_heard heard = ROUNDS_NOT_HERE;
    bool late_counts = x->w->job->federated.late_max > 0;
    train_worker_lock(x->w);
    if (x->leads && report->round < x->round && !late_counts) {
        heard = ROUNDS_STALE;
    } else if (x->leads && x->mail_count < ROUNDS_MAIL_MAX) {
        x->mail[x->mail_count++] = *report;
        heard = ROUNDS_HEARD;
        train_worker_signal(x->w);
    }
    train_worker_unlock(x->w);
    return heard;
}

void rounds_lead_leave(struct rounds_lead *x)
{
    rounds_unload(x);
    x->started = false;
    x->closing = false;
    x->ended = false;
}

enum sh_err rounds_lead_open(struct rounds_lead **out, struct train_worker *w,
                             struct rounds_member *member)
{
    struct rounds_lead *x = calloc(1, sizeof *x);
    *out = NULL;
    if (x == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    x->w = w;
    x->member = member;
    x->train_loss = (double)NAN;
    x->measures.val_loss = (double)NAN;
    x->memory = aligned_alloc(64, (fed_bytes(ROUNDS_SLOTS_MAX) + 63) / 64 * 64);
    if (x->memory == NULL) {
        free(x);
        return SH_ERR_NO_MEMORY;
    }
    *out = x;
    return SH_OK;
}

void rounds_lead_close(struct rounds_lead *x)
{
    if (x == NULL) {
        return;
    }
    rounds_unload(x);
    free(x->memory);
    free(x);
}
