/* SPDX-License-Identifier: Apache-2.0 */
#include "train/clerk.h"

#include "journal.h"

#include "base/host/host.h"
#include "base/text.h"
#include "train/blob.h"
#include "train/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct checkpoint {
    struct wire_fence fence;
    uint64_t step;
    uint64_t work_us;
    uint8_t *bytes;
    size_t size;
};

struct train_clerk {
    struct service *s;
    struct train_scribe *scribe;
    struct wire_unit unit;
    pthread_t thread;
    bool running;
    struct jobs_cmd *cmd; /* the thread's */
    uint8_t *encoded;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    struct checkpoint checkpoint; /* bytes NULL: none waits */
    bool checkpoint_busy;
    struct train_last last;
    bool last_waits;
    struct train_result result;
    bool result_waits;
    struct wire_fence progress_fence;
    uint32_t progress; /* newest */
    uint32_t told;     /* of it, the furthest */
    uint64_t tell_at_us;
    uint64_t serial; /* of the newest result or drop: what is older is given up */
    uint64_t drops;  /* gangs that were superseded */
    bool closing;
};

static bool is_superseded(struct train_clerk *c, uint64_t serial)
{
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    bool superseded = c->closing || c->serial != serial;
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    return superseded;
}

/* What is on its way to other agents, and until when anybody wants it. */
struct errand {
    struct train_clerk *c;
    uint64_t serial;
    uint64_t drops;
};

static bool result_is_over(void *ctx)
{
    const struct errand *errand = ctx;
    return is_superseded(errand->c, errand->serial);
}

/* Not by a result: one that failed goes on from it, and so may another job. */
static bool checkpoint_is_over(void *ctx)
{
    const struct errand *errand = ctx;
    struct train_clerk *c = errand->c;
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    bool over = c->closing || c->drops != errand->drops;
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    return over;
}

static enum sh_err propose_from(struct train_clerk *c, struct jobs_cmd *cmd, uint8_t *encoded)
{
    struct jobs_result result;
    struct sh_writer w = sh_writer_over(encoded, JOBS_CMD_BYTES_MAX);
    cmd->stamp_us = sh_wall_us();
    enum sh_err err = jobs_cmd_encode(cmd, &w);
    return err != SH_OK ? err : service_propose(c->s, encoded, w.used, TRAIN_CMD_US, &result);
}

static enum sh_err propose(struct train_clerk *c)
{
    return propose_from(c, c->cmd, c->encoded);
}

/* Nobody can say yet whether it will be applied: worth another try. */
static bool is_passing(enum sh_err err)
{
    return train_is_passing(err) || err == SH_ERR_CANCELLED;
}

/* ---- checkpoints ---- */

/* cmd and encoded are the caller's for the call. */
static enum sh_err store_checkpoint_from(struct train_clerk *c, const struct checkpoint *p,
                                         const struct service_patience *patience,
                                         struct jobs_cmd *cmd, uint8_t *encoded)
{
    uint64_t start = sh_now_us();
    *cmd = (struct jobs_cmd){.type = JOBS_CHECKPOINT};
    struct jobs_checkpoint_add *add = &cmd->u.checkpoint;
    add->unit = c->unit;
    add->fence = p->fence;
    add->step = p->step;
    struct service_holders holders = {0};
    enum sh_err err = service_blob_put_patient(c->s, p->bytes, p->size, TRAIN_COPIES, add->manifest,
                                               &holders, patience);
    if (err == SH_OK) {
        add->holder_count = holders.count;
        add->cost_us = p->work_us + (sh_now_us() - start);
        memcpy(add->holders, holders.ids, sizeof add->holders);
        err = propose_from(c, cmd, encoded);
    }
    unsigned long long step = p->step;
    if (err == SH_OK) {
        train_scribe_line(c->scribe, "checkpoint after step %llu: %zu bytes in %llu ms", step,
                          p->size, (unsigned long long)(sh_now_us() - start) / 1000);
    } else if (err != SH_ERR_STALE) {
        train_scribe_line(c->scribe, "the checkpoint after step %llu is not kept: %s", step,
                          sh_err_text(err));
    }
    return err;
}

static enum sh_err store_checkpoint(struct train_clerk *c, const struct checkpoint *p,
                                    uint64_t drops)
{
    struct errand errand = {.c = c, .drops = drops};
    const struct service_patience patience = {
        .quiet_us = TRAIN_BLOB_US, .is_over = checkpoint_is_over, .ctx = &errand};
    return store_checkpoint_from(c, p, &patience, c->cmd, c->encoded);
}

enum sh_err train_clerk_keep(struct train_clerk *clerk, struct wire_fence fence, uint64_t step,
                             struct sh_span bytes, uint8_t digest[static SH_DIGEST_BYTES],
                             bool (*is_over)(void *ctx), void *ctx)
{
    struct jobs_cmd *cmd = malloc(sizeof *cmd);
    uint8_t *encoded = malloc(JOBS_CMD_BYTES_MAX);
    enum sh_err err = SH_ERR_NO_MEMORY;
    if (cmd != NULL && encoded != NULL) {
        const struct checkpoint p = {.fence = fence,
                                     .step = step,
                                     .bytes = (uint8_t *)(uintptr_t)bytes.at,
                                     .size = bytes.size};
        const struct service_patience patience = {
            .quiet_us = TRAIN_BLOB_US, .is_over = is_over, .ctx = ctx};
        err = store_checkpoint_from(clerk, &p, &patience, cmd, encoded);
        memcpy(digest, cmd->u.checkpoint.manifest, SH_DIGEST_BYTES);
    }
    free(cmd);
    free(encoded);
    return err;
}

/* ---- the last one ---- */

/* All is kept: the unit is for another gang. */
static enum sh_err release(struct train_clerk *c, const struct train_last *last)
{
    *c->cmd = (struct jobs_cmd){.type = JOBS_EXPIRE};
    struct jobs_expire *expire = &c->cmd->u.expire;
    expire->unit = c->unit;
    expire->fence = last->fence;
    expire->cause = WIRE_CAUSE_PAUSED; /* of the two that it can be the unit's yield says which */
    return propose(c);
}

static void wait_before_next(struct train_clerk *c, uint64_t serial)
{
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    if (!c->closing && c->serial == serial) {
        train_clock_wait(&c->changed, &c->lock, sh_now_us() + TRAIN_REFUSAL_US);
    }
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
}

/* A unit that yields is not given back before its checkpoint is kept: where that cannot be, the
 * coordinator ends it when its time is over. CONFLICT: there is one of this step. */
static void bring_last(struct train_clerk *c, const struct train_last *last, uint64_t serial,
                       uint64_t drops)
{
    const struct checkpoint p = {.fence = last->fence,
                                 .step = last->step,
                                 .work_us = last->work_us,
                                 .bytes = last->bytes,
                                 .size = last->size};
    enum sh_err err = last->bytes != NULL ? store_checkpoint(c, &p, drops) : SH_OK;
    while (last->yields && is_passing(err) && !is_superseded(c, serial)) {
        wait_before_next(c, serial);
        err = store_checkpoint(c, &p, drops);
    }
    if (!last->yields || (err != SH_OK && err != SH_ERR_CONFLICT)) {
        return;
    }
    err = release(c, last);
    while (is_passing(err) && !is_superseded(c, serial)) {
        wait_before_next(c, serial);
        err = release(c, last);
    }
}

/* ---- results ---- */

static void fill_fail(struct train_clerk *c, const struct train_result *r)
{
    *c->cmd = (struct jobs_cmd){.type = JOBS_FAIL};
    struct jobs_fail *fail = &c->cmd->u.fail;
    fail->unit = c->unit;
    fail->fence = r->fence;
    fail->reason = r->reason;
    fail->final = r->final;
    (void)sh_text_copy(fail->text, sizeof fail->text, r->text);
    memcpy(fail->node, r->node, sizeof fail->node);
}

static void fill_commit(struct train_clerk *c, const struct train_result *r,
                        const struct service_holders *holders)
{
    *c->cmd = (struct jobs_cmd){.type = JOBS_COMMIT};
    struct jobs_commit *commit = &c->cmd->u.commit;
    commit->unit = c->unit;
    commit->fence = r->fence;
    commit->partial = r->partial;
    commit->outcome = r->outcome;
    commit->holder_count = holders->count;
    memcpy(commit->holders, holders->ids, sizeof commit->holders);
}

/* The holders are those of what was stored last: the model, where there is one. */
static enum sh_err store_result(struct train_clerk *c, struct train_result *r, uint64_t serial,
                                struct service_holders *holders)
{
    struct errand errand = {.c = c, .serial = serial};
    const struct service_patience patience = {
        .quiet_us = TRAIN_BLOB_US, .is_over = result_is_over, .ctx = &errand};
    enum sh_err err = SH_OK;
    if (r->outputs != NULL) {
        err = service_blob_put_patient(c->s, r->outputs, r->outputs_size, TRAIN_COPIES,
                                       r->outcome.state, holders, &patience);
    }
    if (err == SH_OK && r->file != NULL) {
        err = service_blob_put_patient(c->s, r->file, r->file_size, TRAIN_COPIES, r->outcome.file,
                                       holders, &patience);
    }
    if (err == SH_OK && r->file_is_model) {
        memcpy(r->outcome.model, r->outcome.file, sizeof r->outcome.model);
    }
    return err;
}

/* One try. OK: acknowledged. */
static enum sh_err carry(struct train_clerk *c, struct train_result *r, uint64_t serial)
{
    if (!r->failed) {
        struct service_holders holders = {0};
        enum sh_err err = store_result(c, r, serial, &holders);
        if (err != SH_OK) {
            return err;
        }
        fill_commit(c, r, &holders);
    } else {
        fill_fail(c, r);
    }
    return propose(c);
}

static void note_end(struct train_clerk *c, const struct train_result *r)
{
    char hex[2 * SH_DIGEST_BYTES + 1];
    const struct jobs_metrics *m = &r->outcome.metrics;
    if (r->failed) {
        train_scribe_line(c->scribe, "failed: %s", r->text);
        return;
    }
    if (r->file == NULL) {
        train_scribe_line(c->scribe, "%s", r->partial ? "stopped" : "finished");
        return;
    }
    sh_hex(hex, r->outcome.model, SH_DIGEST_BYTES);
    char test[64] = "";
    if (m->test_total > 0) {
        (void)snprintf(test, sizeof test, ", test %llu of %llu correct",
                       (unsigned long long)m->test_correct, (unsigned long long)m->test_total);
    }
    train_scribe_line(c->scribe, "%s after step %llu: model %.16s%s",
                      r->partial ? "stopped" : "finished", (unsigned long long)r->outcome.steps,
                      hex, test);
}

/* Until it is acknowledged, refused for good, or superseded. */
static void bring_result(struct train_clerk *c, struct train_result *r, uint64_t serial)
{
    train_scribe_flush(c->scribe, TRAIN_CMD_US);
    /* What it wrote is with others before its end is known; where they are slow it stays here. */
    SH_MAY_FAIL(service_records_settle(c->s, TRAIN_SETTLE_US));
    for (uint32_t tries = 1; !is_superseded(c, serial); tries++) {
        enum sh_err err = carry(c, r, serial);
        if (err == SH_OK) {
            note_end(c, r);
            return;
        }
        unsigned long long job = c->unit.job;
        if (err == SH_ERR_STALE || err == SH_ERR_CONFLICT) {
            return; /* placed anew, or ended: the supervisor sees it in the tables too */
        }
        if (tries % 5 == 1) {
            journal_warn("job %llu: its result is not committed yet: %s", job, sh_err_text(err));
        }
        if (!is_passing(err) && tries >= TRAIN_TRIES_MAX && !r->failed) {
            r->failed = true;
            r->reason = err;
            r->final = false;
            (void)snprintf(r->text, sizeof r->text, "the result cannot be stored: %s",
                           sh_err_text(err));
        }
        wait_before_next(c, serial);
    }
}

/* ---- progress ---- */

/* With the lock. */
static bool has_progress(const struct train_clerk *c)
{
    return c->progress >= c->told + TRAIN_TELL_STEP;
}

/* With the lock, which is let go meanwhile. One that does not come through is followed by another.
 */
static void tell_progress(struct train_clerk *c)
{
    *c->cmd = (struct jobs_cmd){.type = JOBS_PROGRESS};
    c->cmd->u.progress = (struct jobs_progress){
        .unit = c->unit, .fence = c->progress_fence, .permille = (uint16_t)c->progress};
    c->told = c->progress;
    c->tell_at_us = sh_now_us() + TRAIN_TELL_US;
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    SH_MAY_FAIL(propose(c) == SH_OK);
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
}

/* ---- the thread ---- */

static void *run(void *arg)
{
    struct train_clerk *c = arg;
    sh_thread_name("clerk-%llu", (unsigned long long)c->unit.job);
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    while (!c->closing) {
        if (c->last_waits) {
            struct train_last last = c->last;
            uint64_t serial = c->serial;
            uint64_t drops = c->drops;
            c->last_waits = false;
            SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
            bring_last(c, &last, serial, drops);
            free(last.bytes);
            SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
        } else if (c->checkpoint.bytes != NULL) {
            struct checkpoint checkpoint = c->checkpoint;
            uint64_t drops = c->drops;
            c->checkpoint.bytes = NULL;
            c->checkpoint_busy = true;
            SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
            /* What could not be kept is told; there will be a next one. */
            SH_MAY_FAIL(store_checkpoint(c, &checkpoint, drops) == SH_OK);
            free(checkpoint.bytes);
            SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
            c->checkpoint_busy = false;
        } else if (c->result_waits) {
            struct train_result result = c->result;
            uint64_t serial = c->serial;
            c->result_waits = false;
            SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
            bring_result(c, &result, serial);
            free(result.file);
            free(result.outputs);
            SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
        } else if (has_progress(c) && sh_now_us() >= c->tell_at_us) {
            tell_progress(c);
        } else {
            train_clock_wait(&c->changed, &c->lock, has_progress(c) ? c->tell_at_us : UINT64_MAX);
        }
    }
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    return NULL;
}

/* ---- life ---- */

enum sh_err train_clerk_open(struct train_clerk **out, struct service *s,
                             struct train_scribe *scribe, struct wire_unit unit)
{
    struct train_clerk *c = calloc(1, sizeof *c);
    *out = NULL;
    if (c == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    c->s = s;
    c->scribe = scribe;
    c->unit = unit;
    SH_CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
    train_clock_cond(&c->changed);
    c->tell_at_us = sh_now_us() + TRAIN_TELL_US;
    c->cmd = calloc(1, sizeof *c->cmd);
    c->encoded = malloc(JOBS_CMD_BYTES_MAX);
    if (c->cmd != NULL && c->encoded != NULL) {
        c->running = pthread_create(&c->thread, NULL, run, c) == 0;
    }
    if (!c->running) {
        train_clerk_close(c);
        return SH_ERR_NO_MEMORY;
    }
    *out = c;
    return SH_OK;
}

/* With the lock, or alone. */
static void forget_last(struct train_clerk *c)
{
    if (c->last_waits) {
        free(c->last.bytes);
        c->last_waits = false;
    }
}

void train_clerk_close(struct train_clerk *clerk)
{
    if (clerk == NULL) {
        return;
    }
    SH_CHECK(pthread_mutex_lock(&clerk->lock) == 0);
    clerk->closing = true;
    SH_CHECK(pthread_cond_signal(&clerk->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&clerk->lock) == 0);
    if (clerk->running) {
        SH_CHECK(pthread_join(clerk->thread, NULL) == 0);
    }
    if (clerk->result_waits) {
        free(clerk->result.file);
        free(clerk->result.outputs);
    }
    free(clerk->checkpoint.bytes);
    forget_last(clerk);
    SH_CHECK(pthread_cond_destroy(&clerk->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&clerk->lock) == 0);
    free(clerk->encoded);
    free(clerk->cmd);
    free(clerk);
}

/* ---- calls ---- */

bool train_clerk_checkpoint(struct train_clerk *clerk, struct wire_fence fence, uint64_t step,
                            uint64_t work_us, uint8_t *bytes, size_t size)
{
    SH_CHECK(bytes != NULL);
    SH_CHECK(pthread_mutex_lock(&clerk->lock) == 0);
    bool idle = clerk->checkpoint.bytes == NULL && !clerk->checkpoint_busy;
    if (idle) {
        clerk->checkpoint = (struct checkpoint){
            .fence = fence, .step = step, .work_us = work_us, .bytes = bytes, .size = size};
        SH_CHECK(pthread_cond_signal(&clerk->changed) == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&clerk->lock) == 0);
    return idle;
}

void train_clerk_progress(struct train_clerk *clerk, struct wire_fence fence, uint32_t permille)
{
    SH_CHECK_CMP(permille, <, JOBS_PROGRESS_WHOLE);
    SH_CHECK(pthread_mutex_lock(&clerk->lock) == 0);
    bool had = has_progress(clerk);
    clerk->progress_fence = fence;
    clerk->progress = permille > clerk->progress ? permille : clerk->progress;
    if (!had && has_progress(clerk)) {
        SH_CHECK(pthread_cond_signal(&clerk->changed) == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&clerk->lock) == 0);
}

/* With the lock: what waits is worth nothing any more. */
static void forget(struct train_clerk *c)
{
    if (c->result_waits) {
        free(c->result.file);
        free(c->result.outputs);
        c->result_waits = false;
    }
    c->serial++;
}

void train_clerk_last(struct train_clerk *clerk, const struct train_last *last)
{
    SH_CHECK(pthread_mutex_lock(&clerk->lock) == 0);
    forget_last(clerk);
    free(clerk->checkpoint.bytes);
    clerk->checkpoint.bytes = NULL;
    clerk->last = *last;
    clerk->last_waits = true;
    SH_CHECK(pthread_cond_signal(&clerk->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&clerk->lock) == 0);
}

void train_clerk_result(struct train_clerk *clerk, const struct train_result *result)
{
    SH_CHECK(pthread_mutex_lock(&clerk->lock) == 0);
    forget(clerk);
    clerk->result = *result;
    clerk->result_waits = true;
    SH_CHECK(pthread_cond_signal(&clerk->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&clerk->lock) == 0);
}

void train_clerk_drop(struct train_clerk *clerk)
{
    SH_CHECK(pthread_mutex_lock(&clerk->lock) == 0);
    forget(clerk);
    forget_last(clerk);
    clerk->drops++;
    free(clerk->checkpoint.bytes);
    clerk->checkpoint.bytes = NULL;
    SH_CHECK(pthread_cond_signal(&clerk->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&clerk->lock) == 0);
}
