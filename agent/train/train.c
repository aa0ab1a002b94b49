/* SPDX-License-Identifier: Apache-2.0 */
#include "train/train.h"

#include "bulk.h"
#include "journal.h"
#include "sweep/sweep.h"
#include "train/clock.h"
#include "train/material.h"
#include "train/message.h"
#include "train/session.h"

#include "base/host/host.h"
#include "jobs/view.h"
#include "spec/fileset.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTS_LOOKED_AT 16u /* of a job's history, for the reason of a placement */

struct place { /* of one part */
    const struct train_runner *runner;
    struct train_part *part; /* NULL: free */
    struct wire_unit unit;
    struct wire_fence fence; /* given to it last */
    bool wanted;             /* seen in this pass */
    bool leaving;
    bool parked; /* this agent is no member, and the part keeps what it has */
};

struct stuck { /* a unit placed here whose part cannot be opened */
    struct wire_unit unit;
    struct wire_fence fence;
    uint32_t tries; /* 0: free */
    enum sh_err err;
    uint64_t again_us;
    bool wanted; /* seen in this pass */
};

struct train {
    struct train_config config;
    struct train_runner native;
    char cache[TRAIN_PATH_MAX];
    uint8_t me[SH_NODE_ID_BYTES];
    char name[SH_NAME_MAX + 1]; /* of this agent */
    /* Of the supervisor's thread. */
    struct jobs_unit *units; /* TRAIN_UNITS_MAX */
    struct jobs_unit *noops; /* TRAIN_UNITS_MAX; placed here and to be committed */
    uint32_t noop_count;
    struct jobs_open_mark open;
    struct jobs_event *events;
    struct train_assignment *assignment;
    struct stuck stuck[TRAIN_SESSIONS_MAX];
    pthread_t thread;
    bool running;
    pthread_mutex_t table_lock; /* places: written by the supervisor, read by the bulk thread */
    struct place places[TRAIN_SESSIONS_MAX];
    pthread_mutex_t lock; /* awake, stopping */
    pthread_cond_t changed;
    bool awake;
    bool stopping;
};

static void table_lock(struct train *t)
{
    SH_CHECK(pthread_mutex_lock(&t->table_lock) == 0);
}

static void table_unlock(struct train *t)
{
    SH_CHECK(pthread_mutex_unlock(&t->table_lock) == 0);
}

/* ---- noop units ---- */

static bool alike(const struct jobs_unit *a, const struct jobs_unit *b)
{
    return a->id.job == b->id.job && a->state == JOBS_RUNNING && b->state == JOBS_RUNNING &&
           wire_fence_equal(a->placement.fence, b->placement.fence);
}

/* A COMMIT of the first of these units, or one of it and those behind it that are alike; how many.
 */
static uint32_t describe_commit(const struct jobs_unit *u, uint32_t count, struct jobs_cmd *cmd)
{
    uint32_t taken = 1;
    while (taken < count && taken < JOBS_MANY_MAX && alike(u, &u[taken])) {
        taken++;
    }
    cmd->stamp_us = sh_wall_us();
    if (taken == 1) {
        cmd->type = JOBS_COMMIT;
        cmd->u.commit = (struct jobs_commit){
            .unit = u->id, .fence = u->placement.fence, .partial = u->state == JOBS_STOPPING};
        return 1;
    }
    cmd->type = JOBS_COMMIT_MANY;
    cmd->u.commit_many =
        (struct jobs_commit_many){.job = u->id.job, .fence = u->placement.fence, .count = taken};
    for (uint32_t i = 0; i < taken; i++) {
        cmd->u.commit_many.units[i] = u[i].id.unit;
    }
    return taken;
}

/* Noop units are done as soon as they are placed; the first member says so. False: no quorum now.
 */
static bool commit_alike(struct train *t, const struct jobs_unit *u, uint32_t count,
                         uint32_t *taken)
{
    struct jobs_cmd *cmd = calloc(1, sizeof *cmd);
    uint8_t *bytes = malloc(JOBS_CMD_BYTES_MAX);
    struct jobs_result result;
    enum sh_err err = SH_ERR_NO_MEMORY;
    if (cmd != NULL && bytes != NULL) {
        *taken = describe_commit(u, count, cmd);
        struct sh_writer w = sh_writer_over(bytes, JOBS_CMD_BYTES_MAX);
        SH_CHECK(jobs_cmd_encode(cmd, &w) == SH_OK);
        err = service_propose(t->config.s, bytes, w.used, TRAIN_PROPOSE_US, &result);
    }
    free(bytes);
    free(cmd);
    bool passing = err == SH_ERR_NO_QUORUM || err == SH_ERR_TIMEOUT || err == SH_ERR_CANCELLED ||
                   err == SH_ERR_NO_MEMORY;
    if (err != SH_OK && err != SH_ERR_STALE && err != SH_ERR_CONFLICT && !passing) {
        journal_warn("job %llu unit %u: commit refused: %s", (unsigned long long)u->id.job,
                     u->id.unit, sh_err_text(err));
    }
    return !passing;
}

/* ---- units that cannot begin ---- */

/* NULL: none of this unit under this fence; with room, a free one. */
static struct stuck *find_stuck(struct train *t, const struct jobs_unit *u, bool room)
{
    struct stuck *free_one = NULL;
    for (size_t i = 0; i < SH_COUNT(t->stuck); i++) {
        struct stuck *k = &t->stuck[i];
        if (k->tries > 0 && wire_unit_equal(k->unit, u->id) &&
            wire_fence_equal(k->fence, u->placement.fence)) {
            return k;
        }
        free_one = k->tries == 0 ? k : free_one;
    }
    return room ? free_one : NULL;
}

/* Where there is no room it counts once others have been told of. */
static void note_stuck(struct train *t, const struct jobs_unit *u, enum sh_err err)
{
    struct stuck *k = find_stuck(t, u, true);
    journal_warn("job %llu unit %u: cannot begin: %s", (unsigned long long)u->id.job, u->id.unit,
                 sh_err_text(err));
    if (k != NULL) {
        *k = (struct stuck){.unit = u->id,
                            .fence = u->placement.fence,
                            .tries = k->tries + 1,
                            .err = err,
                            .again_us = sh_now_us() + TRAIN_OPEN_US,
                            .wanted = true};
    }
}

/* Whether it is to be tried now. */
static bool may_begin(struct train *t, const struct jobs_unit *u)
{
    struct stuck *k = find_stuck(t, u, false);
    if (k != NULL) {
        k->wanted = true;
    }
    return k == NULL || (k->tries < TRAIN_OPEN_TRIES && sh_now_us() >= k->again_us);
}

/* Not final: another agent may have what this one lacks. */
static enum sh_err fail_stuck(struct train *t, const struct stuck *k)
{
    struct jobs_cmd *cmd = calloc(1, sizeof *cmd);
    uint8_t *bytes = malloc(JOBS_CMD_BYTES_MAX);
    struct jobs_result result;
    enum sh_err err = SH_ERR_NO_MEMORY;
    if (cmd != NULL && bytes != NULL) {
        struct jobs_fail *fail = &cmd->u.fail;
        cmd->type = JOBS_FAIL;
        cmd->stamp_us = sh_wall_us();
        *fail = (struct jobs_fail){.unit = k->unit, .fence = k->fence, .reason = k->err};
        memcpy(fail->node, t->me, sizeof fail->node);
        (void)snprintf(fail->text, sizeof fail->text, "%s cannot begin: %s", t->name,
                       sh_err_text(k->err));
        struct sh_writer w = sh_writer_over(bytes, JOBS_CMD_BYTES_MAX);
        SH_CHECK(jobs_cmd_encode(cmd, &w) == SH_OK);
        err = service_propose(t->config.s, bytes, w.used, TRAIN_PROPOSE_US, &result);
    }
    free(bytes);
    free(cmd);
    return err;
}

/* After a whole pass. */
static void report_stuck(struct train *t)
{
    for (size_t i = 0; i < SH_COUNT(t->stuck); i++) {
        struct stuck *k = &t->stuck[i];
        if (k->tries > 0 && !k->wanted) { /* it ended, moved away, or has begun */
            k->tries = 0;
        }
        if (k->tries == TRAIN_OPEN_TRIES && sh_now_us() >= k->again_us) {
            enum sh_err err = fail_stuck(t, k);
            bool told = err == SH_OK || err == SH_ERR_STALE || err == SH_ERR_CONFLICT;
            k->tries = told ? 0 : k->tries;
            k->again_us = sh_now_us() + TRAIN_OPEN_US;
        }
    }
}

/* When to look again though nothing was applied. */
static uint64_t stuck_until(const struct train *t)
{
    uint64_t until = UINT64_MAX;
    for (size_t i = 0; i < SH_COUNT(t->stuck); i++) {
        bool sooner = t->stuck[i].tries > 0 && t->stuck[i].again_us < until;
        until = sooner ? t->stuck[i].again_us : until;
    }
    return until;
}

static void commit_noops(struct train *t)
{
    bool go_on = true;
    uint32_t taken = 1;
    for (uint32_t i = 0; go_on && i < t->noop_count; i += taken) {
        go_on = commit_alike(t, &t->noops[i], t->noop_count - i, &taken);
    }
    t->noop_count = 0;
}

/* ---- training sessions as parts ---- */

static struct train_session *session_of(struct train_part *part)
{
    return (struct train_session *)(void *)part;
}

static enum sh_err native_open(void *ctx, struct train_part **out,
                               const struct train_part_config *config,
                               const struct train_assignment *first)
{
    const struct train *t = ctx;
    struct train_session *session = NULL;
    struct train_session_config whole = {
        .s = t->config.s, .bulk = t->config.bulk, .threads = t->config.threads, .part = *config};
    enum sh_err err = train_session_open(&session, &whole, first);
    *out = (struct train_part *)(void *)session;
    return err;
}

static void native_assign(struct train_part *part, const struct train_assignment *assignment)
{
    train_session_assign(session_of(part), assignment);
}

static bool native_park(struct train_part *part)
{
    return train_session_park(session_of(part));
}

static void native_leave(struct train_part *part)
{
    train_session_leave(session_of(part));
}

static bool native_has_ended(struct train_part *part)
{
    return train_session_has_ended(session_of(part));
}

static bool native_has_failed(struct train_part *part)
{
    return train_session_has_failed(session_of(part));
}

static void native_close(struct train_part *part)
{
    train_session_close(session_of(part));
}

/* ---- parts ---- */

static struct place *find_place(struct train *t, struct wire_unit unit)
{
    for (size_t i = 0; i < TRAIN_SESSIONS_MAX; i++) {
        if (t->places[i].part != NULL && wire_unit_equal(t->places[i].unit, unit)) {
            return &t->places[i];
        }
    }
    return NULL;
}

static enum wire_cause cause_of(struct train *t, const struct sh_table *table,
                                const struct jobs_job *job, uint64_t index)
{
    uint32_t count = 0;
    uint32_t from = job->event_next > EVENTS_LOOKED_AT ? job->event_next - EVENTS_LOOKED_AT : 0;
    if (jobs_history_list(table, job->id, from, t->events, EVENTS_LOOKED_AT, &count) != SH_OK) {
        return WIRE_CAUSE_NONE;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (t->events[i].index == index) {
            return t->events[i].cause;
        }
    }
    return WIRE_CAUSE_NONE;
}

static void fill_assignment(struct train *t, const struct sh_table *table,
                            const struct jobs_job *job, const struct jobs_unit *u)
{
    struct train_assignment *a = t->assignment;
    *a = (struct train_assignment){.placement = u->placement,
                                   .cause = cause_of(t, table, job, u->placement.fence.index),
                                   .stopping = u->state == JOBS_STOPPING,
                                   .yielding = u->yield.cause != WIRE_CAUSE_NONE,
                                   .units = job->target};
    for (uint32_t i = 0; i < a->placement.member_count; i++) {
        struct jobs_node node;
        const uint8_t *id = a->placement.members[i].node;
        if (jobs_node_get(table, id, &node) == SH_OK) {
            (void)snprintf(a->names[i], sizeof a->names[i], "%s", node.name);
        } else {
            sh_hex(a->names[i], id, 4);
        }
    }
}

static void on_ended(void *ctx)
{
    train_wake(ctx);
}

static const struct train_runner *runner_of(const struct train *t, const struct jobs_job *job)
{
    if (job->federated) {
        return t->config.rounds;
    }
    bool commands = job->kind == WIRE_KIND_EXEC || job->need.sandbox != WIRE_SANDBOX_OFF;
    if (commands) {
        return t->config.exec;
    }
    if (job->kind == WIRE_KIND_RL) {
        return t->config.rl;
    }
    bool asks = job->kind == WIRE_KIND_EVALUATE || job->kind == WIRE_KIND_PREDICT ||
                job->kind == WIRE_KIND_ENSEMBLE;
    return asks ? t->config.answer : &t->native;
}

/* Of a sweep: the job of this unit in the place of the whole. */
static enum sh_err derive(const struct sh_table *table, const struct jobs_job *job, uint32_t unit,
                          struct train_part_config *config, struct spec_derived *derived)
{
    struct sweep *sweep = NULL;
    enum sh_err err = derived != NULL ? sweep_open(&sweep, table, job) : SH_ERR_NO_MEMORY;
    err = err != SH_OK ? err : sweep_derive(sweep, unit, derived);
    if (err == SH_OK) {
        config->spec =
            (struct sh_span){.at = (const uint8_t *)derived->spec, .size = derived->size};
        config->params = (struct sh_span){.at = (const uint8_t *)derived->params,
                                          .size = strlen(derived->params)};
        memcpy(config->spec_digest, derived->digest, sizeof config->spec_digest);
        (void)snprintf(config->metric, sizeof config->metric, "%s", sweep_form(sweep)->metric);
        config->before = sweep_before(sweep, unit);
        config->goes_on = config->before != UINT32_MAX;
    }
    sweep_close(sweep);
    return err;
}

static void leave(struct place *place)
{
    if (!place->leaving) {
        place->runner->leave(place->part);
        place->leaving = true;
    }
}

/* What works comes before what only keeps something. */
static void leave_parked(struct train *t)
{
    for (size_t i = 0; i < TRAIN_SESSIONS_MAX; i++) {
        if (t->places[i].part != NULL && t->places[i].parked) {
            leave(&t->places[i]);
            return;
        }
    }
}

static void open_part(struct train *t, const struct sh_table *table, const struct jobs_job *job,
                      const struct jobs_unit *u)
{
    struct place *place = NULL;
    for (size_t i = 0; i < TRAIN_SESSIONS_MAX && place == NULL; i++) {
        place = t->places[i].part == NULL ? &t->places[i] : NULL;
    }
    const struct train_runner *runner = runner_of(t, job);
    struct train_part_config config = {
        .unit = u->id, .units = job->units, .ended = on_ended, .ctx = t};
    if (!may_begin(t, u)) {
        return;
    }
    if (place == NULL) {
        leave_parked(t);
    }
    if (place == NULL || jobs_spec_get(table, u->id.job, &config.spec) != SH_OK) {
        return; /* looked at again in the next pass */
    }
    int n = snprintf(config.cache, sizeof config.cache, "%s/%llu-%u", t->cache,
                     (unsigned long long)u->id.job, u->id.unit);
    memcpy(config.spec_digest, job->spec_digest, sizeof config.spec_digest);
    struct train_part *part = NULL;
    struct spec_derived *derived = job->stage_count > 0 ? malloc(sizeof *derived) : NULL;
    enum sh_err err = n < (int)sizeof config.cache ? SH_OK : SH_ERR_LIMIT;
    if (err == SH_OK && job->stage_count > 0) {
        err = derive(table, job, u->id.unit, &config, derived);
    }
    err = err != SH_OK ? err : runner->open(runner->ctx, &part, &config, t->assignment);
    free(derived);
    if (err != SH_OK) {
        note_stuck(t, u, err);
        return;
    }
    table_lock(t);
    *place = (struct place){
        .runner = runner, .part = part, .unit = u->id, .fence = u->placement.fence, .wanted = true};
    table_unlock(t);
}

static void keep_part(struct train *t, const struct sh_table *table, const struct jobs_job *job,
                      const struct jobs_unit *u)
{
    struct place *place = find_place(t, u->id);
    if (place != NULL && place->leaving) {
        return; /* a new one is opened when it has ended */
    }
    fill_assignment(t, table, job, u);
    if (place == NULL) {
        open_part(t, table, job, u);
        return;
    }
    bool newer = wire_fence_cmp(u->placement.fence, place->fence) > 0;
    if (newer && place->runner->has_failed(place->part)) {
        leave(place);
        return;
    }
    place->wanted = true;
    place->parked = false;
    place->fence = u->placement.fence;
    place->runner->assign(place->part, t->assignment);
}

static void close_ended(struct train *t)
{
    for (size_t i = 0; i < TRAIN_SESSIONS_MAX; i++) {
        struct place *place = &t->places[i];
        if (place->part == NULL || !place->runner->has_ended(place->part)) {
            continue;
        }
        struct place ended = *place;
        table_lock(t);
        *place = (struct place){0};
        table_unlock(t);
        ended.runner->close(ended.part);
    }
}

/* ---- a pass over the tables ---- */

static void look_at(struct train *t, const struct sh_table *table, const struct jobs_unit *u)
{
    struct jobs_job job;
    bool gang = u->state == JOBS_RUNNING || u->state == JOBS_STOPPING;
    uint32_t count = gang ? u->placement.member_count : 0;
    uint32_t me = wire_member_find(u->placement.members, count, t->me);
    if (me == count || jobs_job_get(table, u->id.job, &job) != SH_OK) {
        return;
    }
    if (job.kind != WIRE_KIND_NOOP) {
        keep_part(t, table, &job, u);
    } else if (me == 0 && t->noop_count < TRAIN_UNITS_MAX) {
        t->noops[t->noop_count++] = *u;
    }
}

static bool look_at_all(struct train *t, const struct sh_table *table)
{
    struct wire_unit after = {0};
    uint32_t count = TRAIN_UNITS_MAX;
    uint64_t first = jobs_open_from(table, &t->open);
    if (first > 0) {
        after = (struct wire_unit){.job = first - 1, .unit = UINT32_MAX};
    }
    while (count == TRAIN_UNITS_MAX) {
        if (jobs_gang_list(table, after, t->units, TRAIN_UNITS_MAX, &count) != SH_OK) {
            return false;
        }
        for (uint32_t i = 0; i < count; i++) {
            look_at(t, table, &t->units[i]);
            after = t->units[i].id;
        }
    }
    return true;
}

/* Parts whose unit is open without this agent, and which keep what they have. */
static void park(struct train *t, const struct sh_table *table)
{
    struct jobs_unit *u = &t->units[0];
    for (size_t i = 0; i < TRAIN_SESSIONS_MAX; i++) {
        struct place *place = &t->places[i];
        if (place->part == NULL || place->wanted || place->leaving || place->runner->park == NULL ||
            jobs_unit_get(table, place->unit, u) != SH_OK || jobs_state_final(u->state)) {
            continue;
        }
        place->wanted = place->runner->park(place->part);
        place->parked = place->wanted;
    }
}

static void pass(struct train *t)
{
    struct service_view *view;
    close_ended(t);
    for (size_t i = 0; i < TRAIN_SESSIONS_MAX; i++) {
        t->places[i].wanted = false;
        t->stuck[i].wanted = false;
    }
    if (service_view_open(t->config.s, &view) != SH_OK) {
        return;
    }
    bool complete = look_at_all(t, service_view_table(view));
    if (complete) {
        park(t, service_view_table(view));
    }
    service_view_close(view);
    for (size_t i = 0; complete && i < TRAIN_SESSIONS_MAX; i++) {
        if (t->places[i].part != NULL && !t->places[i].wanted) {
            leave(&t->places[i]);
        }
    }
    if (complete) {
        report_stuck(t);
    }
    commit_noops(t);
}

static bool wait_for_wake(struct train *t)
{
    SH_CHECK(pthread_mutex_lock(&t->lock) == 0);
    if (!t->awake && !t->stopping) {
        train_clock_wait(&t->changed, &t->lock, stuck_until(t));
    }
    t->awake = false;
    bool go_on = !t->stopping;
    SH_CHECK(pthread_mutex_unlock(&t->lock) == 0);
    return go_on;
}

static void *run(void *arg)
{
    struct train *t = arg;
    sh_thread_name("train");
    while (wait_for_wake(t)) {
        pass(t);
    }
    return NULL;
}

/* ---- the bulk plane ---- */

static void on_frame(void *ctx, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                     struct sh_span payload, int fd)
{
    struct train *t = ctx;
    struct wire_unit unit;
    if (train_message_unit(payload, &unit) != SH_OK) {
        return;
    }
    table_lock(t);
    const struct place *place = find_place(t, unit);
    if (place != NULL && place->runner == &t->native) {
        train_session_frame(session_of(place->part), node, type, payload, fd);
    }
    table_unlock(t);
}

static void on_down(void *ctx, const uint8_t node[SH_NODE_ID_BYTES])
{
    struct train *t = ctx;
    table_lock(t);
    for (size_t i = 0; i < TRAIN_SESSIONS_MAX; i++) {
        if (t->places[i].part != NULL && t->places[i].runner == &t->native) {
            train_session_down(session_of(t->places[i].part), node);
        }
    }
    table_unlock(t);
}

/* ---- life ---- */

enum sh_err train_open(struct train **out, const struct train_config *config)
{
    struct train *t = calloc(1, sizeof *t);
    *out = NULL;
    if (t == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    t->config = *config;
    t->native = (struct train_runner){.ctx = t,
                                      .open = native_open,
                                      .assign = native_assign,
                                      .park = native_park,
                                      .leave = native_leave,
                                      .has_ended = native_has_ended,
                                      .has_failed = native_has_failed,
                                      .close = native_close};
    int n = snprintf(t->cache, sizeof t->cache, "%s", config->cache);
    SH_CHECK(pthread_mutex_init(&t->table_lock, NULL) == 0);
    SH_CHECK(pthread_mutex_init(&t->lock, NULL) == 0);
    train_clock_cond(&t->changed);
    t->units = calloc(TRAIN_UNITS_MAX, sizeof *t->units);
    t->noops = calloc(TRAIN_UNITS_MAX, sizeof *t->noops);
    t->events = calloc(EVENTS_LOOKED_AT, sizeof *t->events);
    t->assignment = calloc(1, sizeof *t->assignment);
    enum sh_err err = n < (int)sizeof t->cache ? SH_OK : SH_ERR_LIMIT;
    if (t->units == NULL || t->noops == NULL || t->events == NULL || t->assignment == NULL) {
        err = SH_ERR_NO_MEMORY;
    }
    if (err != SH_OK) {
        train_close(t);
        return err;
    }
    /* What an earlier run left is of no use to anybody. */
    char aside[SPEC_FILESET_ASIDE_BYTES];
    char why[TRAIN_WHY_BYTES] = "";
    err = spec_fileset_fresh(t->cache, 0700, aside, why, sizeof why);
    if (aside[0] != '\0') {
        journal_warn("%s cannot be cleared (%s): what was in it is in %s", t->cache, why, aside);
    }
    if (err != SH_OK) {
        train_close(t);
        return err;
    }
    bulk_on_train(config->bulk, on_frame, on_down, t);
    *out = t;
    return SH_OK;
}

enum sh_err train_start(struct train *t)
{
    struct service_status status;
    service_status(t->config.s, &status);
    memcpy(t->me, status.node_id, SH_NODE_ID_BYTES);
    (void)snprintf(t->name, sizeof t->name, "%s", status.name);
    if (pthread_create(&t->thread, NULL, run, t) != 0) {
        return SH_ERR_NO_MEMORY;
    }
    t->running = true;
    return SH_OK;
}

void train_stop(struct train *t)
{
    SH_CHECK(pthread_mutex_lock(&t->lock) == 0);
    t->stopping = true;
    SH_CHECK(pthread_cond_broadcast(&t->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&t->lock) == 0);
    if (t->running) {
        SH_CHECK(pthread_join(t->thread, NULL) == 0);
        t->running = false;
    }
    for (size_t i = 0; i < TRAIN_SESSIONS_MAX; i++) {
        if (t->places[i].part != NULL) {
            leave(&t->places[i]);
        }
    }
    for (size_t i = 0; i < TRAIN_SESSIONS_MAX; i++) {
        struct place left = t->places[i];
        table_lock(t);
        t->places[i] = (struct place){0};
        table_unlock(t);
        if (left.part != NULL) {
            left.runner->close(left.part);
        }
    }
}

void train_close(struct train *t)
{
    if (t == NULL) {
        return;
    }
    SH_CHECK(!t->running);
    SH_CHECK(pthread_cond_destroy(&t->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&t->lock) == 0);
    SH_CHECK(pthread_mutex_destroy(&t->table_lock) == 0);
    free(t->units);
    free(t->noops);
    free(t->events);
    free(t->assignment);
    free(t);
}

void train_wake(struct train *t)
{
    SH_CHECK(pthread_mutex_lock(&t->lock) == 0);
    t->awake = true;
    SH_CHECK(pthread_cond_signal(&t->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&t->lock) == 0);
}
