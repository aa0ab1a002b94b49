/* SPDX-License-Identifier: Apache-2.0 */
#include "train/worker.h"

#include "journal.h"

#include "base/host/host.h"
#include "spec/sweep.h"
#include "train/blob.h"
#include "train/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void train_worker_lock(struct train_worker *w)
{
    SH_CHECK(pthread_mutex_lock(&w->lock) == 0);
}

void train_worker_unlock(struct train_worker *w)
{
    SH_CHECK(pthread_mutex_unlock(&w->lock) == 0);
}

void train_worker_signal(struct train_worker *w)
{
    SH_CHECK(pthread_cond_signal(&w->changed) == 0);
}

bool train_worker_has_news(const struct train_worker *w)
{
    return w->leaving || w->next.stopping != w->at.stopping || w->next.yielding != w->at.yielding ||
           !wire_fence_equal(w->next.placement.fence, w->at.placement.fence);
}

bool train_worker_is_interrupted(struct train_worker *w)
{
    train_worker_lock(w);
    bool interrupted = train_worker_has_news(w);
    train_worker_unlock(w);
    return interrupted;
}

/* ---- results ---- */

void train_worker_fail(struct train_worker *w, enum sh_err reason, bool final, bool mine,
                       const char *text)
{
    struct train_result result = {
        .fence = w->at.placement.fence, .failed = true, .reason = reason, .final = final};
    (void)snprintf(result.text, sizeof result.text, "%s", text);
    if (mine) {
        memcpy(result.node, w->me, sizeof result.node);
    }
    journal_warn("job %llu unit %u: %s", (unsigned long long)w->config.unit.job,
                 w->config.unit.unit, result.text);
    train_clerk_result(w->clerk, &result);
}

void train_worker_finish(struct train_worker *w, const struct train_result *result)
{
    SH_CHECK(!result->failed);
    w->finished = true;
    train_clerk_result(w->clerk, result);
}

/* ---- what it needs ---- */

static bool is_over(void *ctx)
{
    return train_worker_is_interrupted(ctx);
}

/* False: interrupted. */
static bool wait_again(struct train_worker *w)
{
    uint64_t until = sh_now_us() + TRAIN_AGAIN_US;
    train_worker_lock(w);
    while (!train_worker_has_news(w) && sh_now_us() < until) {
        train_clock_wait(&w->changed, &w->lock, until);
    }
    bool interrupted = train_worker_has_news(w);
    train_worker_unlock(w);
    return !interrupted;
}

enum sh_err train_worker_resume(struct train_worker *w, struct train_resume *r)
{
    const struct service_patience patience = {
        .quiet_us = TRAIN_FETCH_US, .is_over = is_over, .ctx = w};
    r->s = w->s;
    r->scribe = w->scribe;
    r->node = w->node;
    r->unit = w->config.unit;
    r->goes_on = w->config.goes_on;
    r->before = w->config.before;
    r->patience = &patience;
    enum sh_err err = train_resume(r);
    while (train_is_passing(err) && !w->at.stopping) {
        err = wait_again(w) ? train_resume(r) : SH_ERR_CANCELLED;
    }
    r->patience = NULL;
    return err;
}

static enum sh_err read_once(struct train_worker *w, const uint8_t *digest, uint64_t bytes_max,
                             uint8_t **bytes, size_t *size)
{
    const struct service_patience patience = {
        .quiet_us = TRAIN_FETCH_US, .is_over = is_over, .ctx = w};
    enum sh_err err = train_blob_read_patient(w->s, digest, bytes_max, &patience, bytes, size);
    bool gone = err == SH_ERR_NOT_FOUND || err == SH_ERR_CORRUPT;
    return gone && train_blob_may_come(w->s, NULL, 0) ? SH_ERR_UNREACHABLE : err;
}

enum sh_err train_worker_blob(struct train_worker *w, const char *what,
                              const uint8_t digest[static SH_DIGEST_BYTES], uint64_t bytes_max,
                              uint8_t **bytes, size_t *size)
{
    uint64_t say_at_us = 0;
    enum sh_err err = read_once(w, digest, bytes_max, bytes, size);
    while (train_is_passing(err)) {
        if (sh_now_us() >= say_at_us) {
            train_scribe_line(w->scribe, "unit %u on %s waits for %s: %s", w->config.unit.unit,
                              w->node, what, sh_err_text(err));
            say_at_us = sh_now_us() + TRAIN_SAY_US;
        }
        err = wait_again(w) ? read_once(w, digest, bytes_max, bytes, size) : SH_ERR_CANCELLED;
    }
    return err;
}

/* ---- the thread ---- */

/* Waits for an assignment that is not in force; false: it is to leave. */
static bool take_assignment(struct train_worker *w, bool *anew)
{
    train_worker_lock(w);
    while (!train_worker_has_news(w)) {
        train_clock_wait(&w->changed, &w->lock, UINT64_MAX);
    }
    *anew = !wire_fence_equal(w->next.placement.fence, w->at.placement.fence);
    w->at = w->next;
    w->finished = w->finished && !*anew;
    bool go_on = !w->leaving;
    train_worker_unlock(w);
    if (*anew) {
        train_clerk_drop(w->clerk);
    }
    return go_on;
}

/* The agent that took the job could read it, and may be newer than this one: the text names this
 * one, so that several of them are no reason to give the job up. */
static enum sh_err parse(struct train_worker *w, char *why, size_t size)
{
    const struct sh_span spec = w->config.spec;
    struct spec_errors *errors = calloc(1, sizeof *errors);
    char text[JOBS_TEXT_MAX + 1] = "";
    enum sh_err err = errors == NULL
                          ? SH_ERR_NO_MEMORY
                          : spec_parse_again((const char *)spec.at, spec.size, w->job, errors);
    if (err != SH_OK) {
        if (errors != NULL && errors->count > 0) {
            (void)spec_error_text(&errors->at[0], "job", text, sizeof text);
        }
        (void)snprintf(why, size, "%s cannot read the job: %.160s", w->node,
                       text[0] != '\0' ? text : sh_err_text(err));
    }
    free(errors);
    return err;
}

static bool prepare(struct train_worker *w)
{
    char why[JOBS_TEXT_MAX + 1] = "";
    enum sh_err err = parse(w, why, sizeof why);
    bool read = err == SH_OK;
    if (err == SH_OK && w->duty->prepare != NULL) {
        err = w->duty->prepare(w, why, sizeof why);
    }
    if (err != SH_OK) {
        train_worker_lock(w);
        w->at = w->next;
        w->failed = true;
        train_worker_unlock(w);
        train_worker_fail(w, err, read && err != SH_ERR_NO_MEMORY, false, why);
    }
    return err == SH_OK;
}

static void *run(void *arg)
{
    struct train_worker *w = arg;
    bool anew = false;
    sh_thread_name("%s-%llu", w->duty->name, (unsigned long long)w->config.unit.job);
    bool good = prepare(w);
    while (good && take_assignment(w, &anew)) {
        if (!w->finished) {
            w->duty->follow(w, anew);
        }
    }
    train_worker_lock(w);
    while (!w->leaving) {
        train_clock_wait(&w->changed, &w->lock, UINT64_MAX);
    }
    w->ended = true;
    train_worker_unlock(w);
    if (w->duty->end != NULL) {
        w->duty->end(w);
    }
    w->config.ended(w->config.ctx);
    return NULL;
}

/* ---- life ---- */

static struct sh_span own(struct sh_span text, enum sh_err *err)
{
    char *copy = malloc(text.size + 1);
    if (copy == NULL) {
        *err = SH_ERR_NO_MEMORY;
        return (struct sh_span){.at = NULL};
    }
    if (text.size > 0) {
        memcpy(copy, text.at, text.size);
    }
    copy[text.size] = '\0';
    return (struct sh_span){.at = (const uint8_t *)copy, .size = text.size};
}

enum sh_err train_worker_init(struct train_worker *w, struct service *s,
                              const struct train_duty *duty, const struct train_part_config *config,
                              const struct train_assignment *first)
{
    struct service_status status;
    enum sh_err err = SH_OK;
    *w = (struct train_worker){.s = s, .duty = duty, .config = *config, .next = *first};
    service_status(s, &status);
    memcpy(w->me, status.node_id, sizeof w->me);
    (void)snprintf(w->node, sizeof w->node, "%s", status.name);
    SH_CHECK(pthread_mutex_init(&w->lock, NULL) == 0);
    train_clock_cond(&w->changed);
    w->config.spec = own(config->spec, &err);
    w->config.params = own(config->params, &err);
    w->job = calloc(1, sizeof *w->job);
    err = w->job != NULL ? err : SH_ERR_NO_MEMORY;
    err = err != SH_OK ? err : train_scribe_open(&w->scribe, s, config->unit);
    return err != SH_OK ? err : train_clerk_open(&w->clerk, s, w->scribe, config->unit);
}

void train_worker_fini(struct train_worker *w)
{
    train_clerk_close(w->clerk);
    train_scribe_close(w->scribe);
    SH_CHECK(pthread_cond_destroy(&w->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&w->lock) == 0);
    free(w->job);
    free((void *)(uintptr_t)w->config.spec.at);
    free((void *)(uintptr_t)w->config.params.at);
}

enum sh_err train_worker_start(struct train_worker *w, enum sh_err err, struct train_part **out)
{
    if (err == SH_OK && pthread_create(&w->thread, NULL, run, w) != 0) {
        err = SH_ERR_NO_MEMORY;
    }
    if (err != SH_OK) {
        w->duty->release(w);
        return err;
    }
    *out = (struct train_part *)(void *)w;
    return SH_OK;
}

/* ---- the runner ---- */

static struct train_worker *worker_of(struct train_part *part)
{
    return (struct train_worker *)(void *)part;
}

static void part_assign(struct train_part *part, const struct train_assignment *assignment)
{
    struct train_worker *w = worker_of(part);
    train_worker_lock(w);
    if (wire_fence_cmp(assignment->placement.fence, w->next.placement.fence) >= 0) {
        w->next = *assignment;
        train_worker_signal(w);
    }
    train_worker_unlock(w);
}

static void part_leave(struct train_part *part)
{
    struct train_worker *w = worker_of(part);
    train_worker_lock(w);
    w->leaving = true;
    train_worker_signal(w);
    train_worker_unlock(w);
}

static bool part_has_ended(struct train_part *part)
{
    struct train_worker *w = worker_of(part);
    train_worker_lock(w);
    bool ended = w->ended;
    train_worker_unlock(w);
    return ended;
}

static bool part_has_failed(struct train_part *part)
{
    struct train_worker *w = worker_of(part);
    train_worker_lock(w);
    bool failed = w->failed;
    train_worker_unlock(w);
    return failed;
}

static void part_close(struct train_part *part)
{
    struct train_worker *w = worker_of(part);
    part_leave(part);
    SH_CHECK(pthread_join(w->thread, NULL) == 0);
    w->duty->release(w);
}

struct train_runner train_worker_runner(void *ctx,
                                        enum sh_err (*open)(void *ctx, struct train_part **out,
                                                            const struct train_part_config *config,
                                                            const struct train_assignment *first))
{
    return (struct train_runner){.ctx = ctx,
                                 .open = open,
                                 .assign = part_assign,
                                 .leave = part_leave,
                                 .has_ended = part_has_ended,
                                 .has_failed = part_has_failed,
                                 .close = part_close};
}
