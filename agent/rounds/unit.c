/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/unit.h"

#include "rounds/lead.h"
#include "rounds/local.h"

#include "base/host/host.h"
#include "jobs/view.h"
#include "spec/sweep.h"
#include "train/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rounds_unit {
    struct rounds *rounds;
    struct train_part_config config;
    char *spec;
    uint8_t me[SH_NODE_ID_BYTES];
    char name[SH_NAME_MAX + 1];
    pthread_t thread;

    /* Of the unit's thread, but that others call what is any thread's. */
    struct spec_job *job;
    struct train_scribe *scribe;
    struct train_clerk *clerk;
    struct rounds_member *member;
    struct rounds_lead *lead;
    struct train_assignment at; /* in force */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct train_assignment next; /* the newest */
    bool leaving;
    bool failed;
    bool ended;
};

struct rounds {
    struct service *s;
    uint32_t threads;
    struct train_runner runner;
    pthread_mutex_t lock; /* held while a unit answers: it is not closed meanwhile */
    struct rounds_unit *units[ROUNDS_UNITS_MAX];
};

static void lock(struct rounds_unit *x)
{
    SH_CHECK(pthread_mutex_lock(&x->lock) == 0);
}

static void unlock(struct rounds_unit *x)
{
    SH_CHECK(pthread_mutex_unlock(&x->lock) == 0);
}

/* With the lock. */
static bool has_news(const struct rounds_unit *x)
{
    return x->leaving || x->next.stopping != x->at.stopping || x->next.yielding != x->at.yielding ||
           !wire_fence_equal(x->next.placement.fence, x->at.placement.fence);
}

static bool is_interrupted(void *ctx)
{
    struct rounds_unit *x = ctx;
    lock(x);
    bool interrupted = has_news(x);
    unlock(x);
    return interrupted;
}

/* The member cannot reach its leader: a hint for the coordinator. */
static void on_lost(void *ctx, uint64_t generation, const uint8_t leader[static SH_NODE_ID_BYTES])
{
    struct rounds_unit *x = ctx;
    lock(x);
    struct wire_fence fence = x->next.placement.fence;
    unlock(x);
    if (fence.index == generation) {
        train_scribe_lost(x->scribe, fence, leader);
    }
}

/* ---- following the placement ---- */

static void finish(struct rounds_unit *x, bool partial)
{
    struct train_result result;
    if (rounds_lead_result(x->lead, &x->at, partial, &result)) {
        train_clerk_result(x->clerk, &result);
    }
}

static void follow(struct rounds_unit *x)
{
    bool first = memcmp(x->at.placement.members[0].node, x->me, SH_NODE_ID_BYTES) == 0;
    train_scribe_lead(x->scribe, first);
    if (!first) {
        rounds_lead_leave(x->lead);
    } else if (x->at.stopping) {
        finish(x, true);
    } else if (x->at.yielding) {
        /* What is committed is all that there is to keep. */
        struct train_last last = {.fence = x->at.placement.fence, .yields = true};
        train_clerk_last(x->clerk, &last);
    } else if (rounds_lead_run(x->lead, &x->at) == ROUNDS_DONE) {
        finish(x, false);
    }
}

/* Waits for a placement that is not in force; false: it is to leave. */
static bool take_assignment(struct rounds_unit *x)
{
    lock(x);
    while (!has_news(x)) {
        train_clock_wait(&x->changed, &x->lock, UINT64_MAX);
    }
    bool anew = !wire_fence_equal(x->next.placement.fence, x->at.placement.fence);
    x->at = x->next;
    bool go_on = !x->leaving;
    unlock(x);
    if (anew && go_on) {
        train_clerk_drop(x->clerk);
    }
    return go_on;
}

static void *run(void *arg)
{
    struct rounds_unit *x = arg;
    sh_thread_name("lead-%llu", (unsigned long long)x->config.unit.job);
    while (take_assignment(x)) {
        follow(x);
    }
    lock(x);
    x->ended = true;
    unlock(x);
    x->config.ended(x->config.ctx);
    return NULL;
}

/* ---- life ---- */

static void release(struct rounds_unit *x, bool ended)
{
    rounds_member_close(x->member, ended);
    rounds_lead_close(x->lead);
    train_clerk_close(x->clerk);
    train_scribe_close(x->scribe);
    SH_CHECK(pthread_cond_destroy(&x->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&x->lock) == 0);
    free(x->job);
    free(x->spec);
    free(x);
}

static enum sh_err parse(struct rounds_unit *x)
{
    struct spec_errors *errors = calloc(1, sizeof *errors);
    x->job = calloc(1, sizeof *x->job);
    x->spec = malloc(x->config.spec.size + 1);
    if (errors == NULL || x->job == NULL || x->spec == NULL) {
        free(errors);
        return SH_ERR_NO_MEMORY;
    }
    memcpy(x->spec, x->config.spec.at, x->config.spec.size);
    x->config.spec.at = (const uint8_t *)x->spec;
    enum sh_err err = spec_parse_again(x->spec, x->config.spec.size, x->job, errors);
    free(errors);
    return err;
}

static enum sh_err open_member(struct rounds_unit *x)
{
    struct service *s = x->rounds->s;
    struct rounds_local_config local = {
        .s = s, .part = &x->config, .name = x->name, .threads = x->rounds->threads};
    struct rounds_member_config member = {
        .s = s, .unit = x->config.unit, .scribe = x->scribe, .lost = on_lost, .ctx = x};
    enum sh_err err = rounds_local_open(&member.trainer, &local);
    if (err == SH_OK) {
        err = rounds_member_open(&x->member, &member);
        if (err != SH_OK) {
            member.trainer.close(member.trainer.ctx);
        }
    }
    return err;
}

static enum sh_err equip(struct rounds_unit *x)
{
    struct service *s = x->rounds->s;
    enum sh_err err = parse(x);
    err = err != SH_OK ? err : train_scribe_open(&x->scribe, s, x->config.unit);
    err = err != SH_OK ? err : train_clerk_open(&x->clerk, s, x->scribe, x->config.unit);
    err = err != SH_OK ? err : open_member(x);
    struct rounds_lead_config lead = {.s = s,
                                      .part = &x->config,
                                      .job = x->job,
                                      .scribe = x->scribe,
                                      .clerk = x->clerk,
                                      .member = x->member,
                                      .interrupted = is_interrupted,
                                      .ctx = x};
    memcpy(lead.me, x->me, sizeof lead.me);
    return err != SH_OK ? err : rounds_lead_open(&x->lead, &lead);
}

/* False: no room. */
static bool enter(struct rounds *r, struct rounds_unit *x)
{
    bool entered = false;
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
    for (size_t i = 0; i < ROUNDS_UNITS_MAX && !entered; i++) {
        if (r->units[i] == NULL) {
            r->units[i] = x;
            entered = true;
        }
    }
    SH_CHECK(pthread_mutex_unlock(&r->lock) == 0);
    return entered;
}

static void take_out(struct rounds *r, const struct rounds_unit *x)
{
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
    for (size_t i = 0; i < ROUNDS_UNITS_MAX; i++) {
        r->units[i] = r->units[i] == x ? NULL : r->units[i];
    }
    SH_CHECK(pthread_mutex_unlock(&r->lock) == 0);
}

static enum sh_err unit_open(void *ctx, struct train_part **out,
                             const struct train_part_config *config,
                             const struct train_assignment *first)
{
    struct rounds_unit *x = calloc(1, sizeof *x);
    struct service_status status;
    *out = NULL;
    if (x == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    x->rounds = ctx;
    x->config = *config;
    x->next = *first;
    service_status(x->rounds->s, &status);
    memcpy(x->me, status.node_id, sizeof x->me);
    (void)snprintf(x->name, sizeof x->name, "%s", status.name);
    SH_CHECK(pthread_mutex_init(&x->lock, NULL) == 0);
    train_clock_cond(&x->changed);
    enum sh_err err = equip(x);
    if (err == SH_OK && !enter(x->rounds, x)) {
        err = SH_ERR_FULL;
    }
    if (err == SH_OK && pthread_create(&x->thread, NULL, run, x) != 0) {
        take_out(x->rounds, x);
        err = SH_ERR_NO_MEMORY;
    }
    if (err != SH_OK) {
        release(x, false);
        return err;
    }
    *out = (struct train_part *)(void *)x;
    return SH_OK;
}

static struct rounds_unit *unit_of(struct train_part *part)
{
    return (struct rounds_unit *)(void *)part;
}

static void wake(struct rounds_unit *x)
{
    SH_CHECK(pthread_cond_signal(&x->changed) == 0);
    rounds_lead_wake(x->lead);
}

static void unit_assign(struct train_part *part, const struct train_assignment *assignment)
{
    struct rounds_unit *x = unit_of(part);
    lock(x);
    if (wire_fence_cmp(assignment->placement.fence, x->next.placement.fence) >= 0) {
        x->next = *assignment;
    }
    unlock(x);
    wake(x);
}

static void unit_leave(struct train_part *part)
{
    struct rounds_unit *x = unit_of(part);
    lock(x);
    x->leaving = true;
    unlock(x);
    wake(x);
}

static bool unit_has_ended(struct train_part *part)
{
    struct rounds_unit *x = unit_of(part);
    lock(x);
    bool ended = x->ended;
    unlock(x);
    return ended;
}

static bool unit_has_failed(struct train_part *part)
{
    struct rounds_unit *x = unit_of(part);
    lock(x);
    bool failed = x->failed;
    unlock(x);
    return failed;
}

/* The unit will not run again anywhere. */
static bool is_over(const struct rounds_unit *x)
{
    struct service_view *view;
    struct jobs_unit unit;
    if (service_view_open(x->rounds->s, &view) != SH_OK) {
        return false;
    }
    enum sh_err err = jobs_unit_get(service_view_table(view), x->config.unit, &unit);
    service_view_close(view);
    bool open = err == SH_OK && (unit.state == JOBS_WAITING || unit.state == JOBS_RUNNING ||
                                 unit.state == JOBS_STOPPING);
    return (err == SH_OK && !open) || err == SH_ERR_NOT_FOUND;
}

static void unit_close(struct train_part *part)
{
    struct rounds_unit *x = unit_of(part);
    unit_leave(part);
    SH_CHECK(pthread_join(x->thread, NULL) == 0);
    take_out(x->rounds, x);
    release(x, is_over(x));
}

/* ---- calls ---- */

static struct rounds_unit *find(struct rounds *r, struct wire_unit unit)
{
    for (size_t i = 0; i < ROUNDS_UNITS_MAX; i++) {
        if (r->units[i] != NULL && wire_unit_equal(r->units[i]->config.unit, unit)) {
            return r->units[i];
        }
    }
    return NULL;
}

static enum sh_err answer(struct rounds *r, struct sh_span request, struct sh_writer *w)
{
    enum rounds_message kind;
    struct wire_unit id;
    struct rounds_invite invite;
    struct rounds_report report;
    enum sh_err err = rounds_message_peek(request, &kind, &id);
    if (err != SH_OK) {
        return err;
    }
    struct rounds_unit *x = find(r, id);
    if (kind == ROUNDS_REPORT) {
        err = rounds_report_decode(request, &report);
        sh_put_u8(w, (uint8_t)(x != NULL && err == SH_OK ? rounds_lead_hear(x->lead, &report)
                                                         : ROUNDS_NOT_HERE));
        return err;
    }
    err = rounds_invite_decode(request, &invite);
    err = err == SH_OK && x == NULL ? SH_ERR_NOT_FOUND : err;
    if (err == SH_OK) {
        rounds_member_invite(x->member, &invite, &report);
        rounds_report_encode(&report, w);
    }
    return err;
}

enum sh_err rounds_answer(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                          size_t *reply_size)
{
    struct rounds *r = ctx;
    struct sh_writer w = sh_writer_over(reply, capacity);
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
    enum sh_err err = answer(r, request, &w);
    SH_CHECK(pthread_mutex_unlock(&r->lock) == 0);
    *reply_size = w.used;
    return err == SH_OK && w.full ? SH_ERR_LIMIT : err;
}

/* ---- what units share ---- */

enum sh_err rounds_open(struct rounds **out, struct service *s, uint32_t threads)
{
    struct rounds *r = calloc(1, sizeof *r);
    *out = r;
    if (r == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    r->s = s;
    r->threads = threads > 0 ? threads : 1;
    SH_CHECK(pthread_mutex_init(&r->lock, NULL) == 0);
    r->runner = (struct train_runner){.ctx = r,
                                      .open = unit_open,
                                      .assign = unit_assign,
                                      .leave = unit_leave,
                                      .has_ended = unit_has_ended,
                                      .has_failed = unit_has_failed,
                                      .close = unit_close};
    return SH_OK;
}

void rounds_close(struct rounds *rounds)
{
    if (rounds == NULL) {
        return;
    }
    SH_CHECK(pthread_mutex_destroy(&rounds->lock) == 0);
    free(rounds);
}

const struct train_runner *rounds_runner(const struct rounds *rounds)
{
    return &rounds->runner;
}
