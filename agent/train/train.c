/* SPDX-License-Identifier: Apache-2.0 */
#include "train/train.h"

#include "bulk.h"
#include "journal.h"

#include "base/host/host.h"
#include "jobs/view.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAUSE_S = 1 };

struct train {
    struct service *s;
    struct bulk *bulk;
    unsigned threads;
    uint8_t me[SH_NODE_ID_BYTES];
    struct jobs_unit *units; /* TRAIN_UNITS_MAX */
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* awake, stopping */
    pthread_cond_t changed;
    bool awake;
    bool stopping;
};

/* A noop unit is done as soon as it is placed; the first member says so. */
static void commit_noop(struct train *t, const struct jobs_unit *u)
{
    if (memcmp(u->placement.members[0].node, t->me, SH_NODE_ID_BYTES) != 0) {
        return;
    }
    struct jobs_cmd cmd = {.type = JOBS_COMMIT, .stamp_us = sh_wall_us()};
    cmd.u.commit.unit = u->id;
    cmd.u.commit.fence = u->placement.fence;
    cmd.u.commit.partial = u->state == JOBS_STOPPING;
    uint8_t *bytes = malloc(JOBS_CMD_BYTES_MAX);
    if (bytes == NULL) {
        return; /* the next pass tries again */
    }
    struct sh_writer w = sh_writer_over(bytes, JOBS_CMD_BYTES_MAX);
    SH_CHECK(jobs_cmd_encode(&cmd, &w) == SH_OK);
    struct jobs_result result;
    enum sh_err err = service_propose(t->s, bytes, w.used, TRAIN_PROPOSE_US, &result);
    free(bytes);
    if (err != SH_OK && err != SH_ERR_STALE && err != SH_ERR_NO_QUORUM && err != SH_ERR_TIMEOUT &&
        err != SH_ERR_CANCELLED) {
        journal_warn("job %llu unit %u: commit refused: %s", (unsigned long long)u->id.job,
                     u->id.unit, sh_err_text(err));
    }
}

static void look_at(struct train *t, const struct sh_table *table, const struct jobs_unit *u)
{
    struct jobs_job job;
    bool gang = u->state == JOBS_RUNNING || u->state == JOBS_STOPPING;
    uint32_t count = gang ? u->placement.member_count : 0;
    if (wire_member_find(u->placement.members, count, t->me) == count ||
        jobs_job_get(table, u->id.job, &job) != SH_OK) {
        return;
    }
    if (job.kind == WIRE_KIND_NOOP) {
        commit_noop(t, u);
    }
}

static void pass(struct train *t)
{
    struct service_view *view;
    uint32_t count = 0;
    if (service_view_open(t->s, &view) != SH_OK) {
        return;
    }
    const struct sh_table *table = service_view_table(view);
    if (jobs_open_list(table, (struct wire_unit){0}, t->units, TRAIN_UNITS_MAX, &count) == SH_OK) {
        for (uint32_t i = 0; i < count; i++) {
            look_at(t, table, &t->units[i]);
        }
    }
    service_view_close(view);
}

static bool wait_for_wake(struct train *t)
{
    struct timespec until;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += PAUSE_S;
    SH_CHECK(pthread_mutex_lock(&t->lock) == 0);
    while (!t->awake && !t->stopping) {
        if (pthread_cond_timedwait(&t->changed, &t->lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    t->awake = false;
    bool go_on = !t->stopping;
    SH_CHECK(pthread_mutex_unlock(&t->lock) == 0);
    return go_on;
}

static void *run(void *arg)
{
    struct train *t = arg;
    while (wait_for_wake(t)) {
        pass(t);
    }
    return NULL;
}

enum sh_err train_open(struct train **out, struct service *s, struct bulk *bulk, unsigned threads)
{
    struct train *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    t->units = calloc(TRAIN_UNITS_MAX, sizeof *t->units);
    if (t->units == NULL) {
        free(t);
        return SH_ERR_NO_MEMORY;
    }
    t->s = s;
    t->bulk = bulk;
    t->threads = threads;
    pthread_condattr_t attr;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&t->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&t->changed, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    *out = t;
    return SH_OK;
}

enum sh_err train_start(struct train *t)
{
    struct service_status status;
    service_status(t->s, &status);
    memcpy(t->me, status.node_id, SH_NODE_ID_BYTES);
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
}

void train_close(struct train *t)
{
    if (t == NULL) {
        return;
    }
    SH_CHECK(!t->running);
    SH_CHECK(pthread_cond_destroy(&t->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&t->lock) == 0);
    free(t->units);
    free(t);
}

void train_wake(struct train *t)
{
    SH_CHECK(pthread_mutex_lock(&t->lock) == 0);
    t->awake = true;
    SH_CHECK(pthread_cond_signal(&t->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&t->lock) == 0);
}
