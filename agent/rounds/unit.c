/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/unit.h"

#include "rounds/lead.h"
#include "rounds/local.h"

#include "base/host/host.h"
#include "jobs/view.h"
#include "train/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct rounds_unit {
    struct train_worker w; /* first */
    struct rounds *rounds;
    struct rounds_member *member; /* NULL: not ready; set once */
    struct rounds_lead *lead;
};

struct rounds {
    struct rounds_config config;
    char folder[TRAIN_PATH_MAX];
    struct train_runner runner;
    pthread_mutex_t lock; /* held while a unit answers: it is not closed meanwhile */
    struct rounds_unit *units[ROUNDS_UNITS_MAX];
};

static struct rounds_unit *unit_of(struct train_worker *w)
{
    return (struct rounds_unit *)(void *)w;
}

/* The member cannot reach its leader: a hint for the coordinator. */
static void on_lost(void *ctx, uint64_t generation, const uint8_t leader[static SH_NODE_ID_BYTES])
{
    struct rounds_unit *x = ctx;
    train_worker_lock(&x->w);
    struct wire_fence fence = x->w.next.placement.fence;
    train_worker_unlock(&x->w);
    if (fence.index == generation) {
        train_scribe_lost(x->w.scribe, fence, leader);
    }
}

/* Whether a node is a member of the gang by what this agent has applied. */
static bool is_member(void *ctx, const uint8_t node[SH_NODE_ID_BYTES])
{
    struct rounds_unit *x = ctx;
    train_worker_lock(&x->w);
    const struct wire_placement *p = &x->w.next.placement;
    bool found = wire_member_find(p->members, p->member_count, node) < p->member_count;
    train_worker_unlock(&x->w);
    return found;
}

/* ---- following the placement ---- */

static void finish(struct rounds_unit *x, bool partial)
{
    struct train_result result;
    if (rounds_lead_result(x->lead, partial, &result)) {
        train_worker_finish(&x->w, &result);
    }
}

static void follow(struct train_worker *w, bool anew)
{
    struct rounds_unit *x = unit_of(w);
    bool first = memcmp(w->at.placement.members[0].node, w->me, SH_NODE_ID_BYTES) == 0;
    (void)anew;
    train_scribe_lead(w->scribe, first);
    if (!first) {
        rounds_lead_leave(x->lead);
    } else if (w->at.stopping) {
        finish(x, true);
    } else if (w->at.yielding) {
        /* What is committed is all that there is to keep. */
        struct train_last last = {.fence = w->at.placement.fence, .yields = true};
        train_clerk_last(w->clerk, &last);
    } else if (rounds_lead_run(x->lead) == ROUNDS_DONE) {
        finish(x, false);
    }
}

/* ---- life ---- */

static enum sh_err open_trainer(struct rounds_unit *x, struct rounds_trainer *out)
{
    const struct rounds_config *config = &x->rounds->config;
    struct rounds_local_config local = {.s = x->w.s,
                                        .part = &x->w.config,
                                        .name = x->w.node,
                                        .threads = config->threads,
                                        .folder = config->folder};
    return x->w.job->kind == SPEC_EXEC ? config->script(config->ctx, out, &x->w)
                                       : rounds_local_open(out, &local);
}

static enum sh_err open_member(struct rounds_unit *x, struct rounds_member **out)
{
    struct rounds_member_config member = {
        .s = x->w.s, .unit = x->w.config.unit, .scribe = x->w.scribe, .lost = on_lost, .ctx = x};
    member.masking = (struct rounds_masking_config){
        .trust = x->rounds->config.trust, .fed = &x->w.job->federated, .known = is_member};
    enum sh_err err = open_trainer(x, &member.trainer);
    if (err == SH_OK) {
        err = rounds_member_open(out, &member);
        if (err != SH_OK) {
            member.trainer.close(member.trainer.ctx);
        }
    }
    return err;
}

/* From now on the unit answers. False: no room. */
static bool enter(struct rounds *r, struct rounds_unit *x, struct rounds_member *member)
{
    bool entered = false;
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
    x->member = member;
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

static enum sh_err prepare(struct train_worker *w, char *why, size_t size)
{
    struct rounds_unit *x = unit_of(w);
    struct rounds_member *member = NULL;
    enum sh_err err = open_member(x, &member);
    err = err != SH_OK ? err : rounds_lead_open(&x->lead, w, member);
    if (err == SH_OK && !enter(x->rounds, x, member)) {
        err = SH_ERR_FULL;
    } else if (err != SH_OK) {
        x->member = member; /* for release */
    }
    if (err != SH_OK) {
        (void)snprintf(why, size, "the rounds cannot begin here: %s", sh_err_text(err));
    }
    return err;
}

/* The unit will not run again anywhere. */
static bool is_over(const struct train_worker *w)
{
    struct service_view *view;
    struct jobs_unit unit;
    if (service_view_open(w->s, &view) != SH_OK) {
        return false;
    }
    enum sh_err err = jobs_unit_get(service_view_table(view), w->config.unit, &unit);
    service_view_close(view);
    bool open = err == SH_OK && (unit.state == JOBS_WAITING || unit.state == JOBS_RUNNING ||
                                 unit.state == JOBS_STOPPING);
    return (err == SH_OK && !open) || err == SH_ERR_NOT_FOUND;
}

static void release(struct train_worker *w)
{
    struct rounds_unit *x = unit_of(w);
    take_out(x->rounds, x);
    rounds_member_close(x->member, is_over(w));
    rounds_lead_close(x->lead);
    train_worker_fini(w);
    free(x);
}

static const struct train_duty DUTY = {
    .name = "lead", .prepare = prepare, .follow = follow, .release = release};

static enum sh_err unit_open(void *ctx, struct train_part **out,
                             const struct train_part_config *config,
                             const struct train_assignment *first)
{
    struct rounds *rounds = ctx;
    struct rounds_unit *x = calloc(1, sizeof *x);
    *out = NULL;
    if (x == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = train_worker_init(&x->w, rounds->config.s, &DUTY, config, first);
    x->rounds = rounds;
    return train_worker_start(&x->w, err, out);
}

/* ---- calls ---- */

static struct rounds_unit *find(struct rounds *r, struct wire_unit unit)
{
    for (size_t i = 0; i < ROUNDS_UNITS_MAX; i++) {
        if (r->units[i] != NULL && wire_unit_equal(r->units[i]->w.config.unit, unit)) {
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
    if (kind == ROUNDS_SUM) {
        return x != NULL ? rounds_member_sum(x->member, request, w) : SH_ERR_NOT_FOUND;
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

enum sh_err rounds_open(struct rounds **out, const struct rounds_config *config)
{
    struct rounds *r = calloc(1, sizeof *r);
    *out = NULL;
    if (r == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    int n = snprintf(r->folder, sizeof r->folder, "%s", config->folder);
    if (n < 0 || n >= (int)sizeof r->folder || (mkdir(r->folder, 0700) != 0 && errno != EEXIST)) {
        free(r);
        return SH_ERR_IO;
    }
    *out = r;
    r->config = *config;
    r->config.folder = r->folder;
    r->config.threads = config->threads > 0 ? config->threads : 1;
    SH_CHECK(pthread_mutex_init(&r->lock, NULL) == 0);
    r->runner = train_worker_runner(r, unit_open);
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
