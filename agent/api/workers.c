/* SPDX-License-Identifier: Apache-2.0 */
#include "api/workers.h"

#include "base/host/host.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define STACK_BYTES ((size_t)512 * 1024)

struct api_workers {
    uint32_t most;
    pthread_attr_t attr;
    pthread_mutex_t lock;   /* what follows */
    pthread_cond_t more;    /* work, or the end */
    pthread_cond_t gone;    /* a thread */
    struct api_work *first; /* waits, oldest first */
    struct api_work **last;
    uint32_t waiting; /* of them */
    uint32_t count;   /* threads */
    uint32_t idle;    /* of them */
    bool closing;
};

enum sh_err api_workers_open(uint32_t most, struct api_workers **out)
{
    struct api_workers *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    w->most = most;
    w->last = &w->first;
    pthread_condattr_t clock;
    SH_CHECK(pthread_condattr_init(&clock) == 0);
    SH_CHECK(pthread_condattr_setclock(&clock, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&w->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&w->more, &clock) == 0);
    SH_CHECK(pthread_cond_init(&w->gone, NULL) == 0);
    SH_CHECK(pthread_condattr_destroy(&clock) == 0);
    SH_CHECK(pthread_attr_init(&w->attr) == 0);
    SH_CHECK(pthread_attr_setstacksize(&w->attr, STACK_BYTES) == 0);
    SH_CHECK(pthread_attr_setdetachstate(&w->attr, PTHREAD_CREATE_DETACHED) == 0);
    *out = w;
    return SH_OK;
}

static void lock(struct api_workers *w)
{
    SH_CHECK(pthread_mutex_lock(&w->lock) == 0);
}

static void unlock(struct api_workers *w)
{
    SH_CHECK(pthread_mutex_unlock(&w->lock) == 0);
}

void api_workers_close(struct api_workers *w)
{
    lock(w);
    SH_CHECK(w->first == NULL);
    w->closing = true;
    SH_CHECK(pthread_cond_broadcast(&w->more) == 0);
    while (w->count > 0) {
        SH_CHECK(pthread_cond_wait(&w->gone, &w->lock) == 0);
    }
    unlock(w);
    SH_CHECK(pthread_attr_destroy(&w->attr) == 0);
    SH_CHECK(pthread_cond_destroy(&w->gone) == 0);
    SH_CHECK(pthread_cond_destroy(&w->more) == 0);
    SH_CHECK(pthread_mutex_destroy(&w->lock) == 0);
    free(w);
}

/* With the lock: true once there is work, false when there was none for long or at the end. */
static bool await(struct api_workers *w)
{
    struct timespec until;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += (time_t)(API_WORKERS_IDLE_US / 1000000u);
    int err = 0;
    w->idle++;
    while (w->first == NULL && !w->closing && err == 0) {
        err = pthread_cond_timedwait(&w->more, &w->lock, &until);
        SH_CHECK(err == 0 || err == ETIMEDOUT);
    }
    w->idle--;
    return w->first != NULL;
}

static void *serve(void *arg)
{
    struct api_workers *w = arg;
    sh_thread_name("http");
    lock(w);
    while (await(w)) {
        struct api_work *work = w->first;
        w->first = work->next;
        w->last = w->first == NULL ? &w->first : w->last;
        w->waiting--;
        unlock(w);
        work->run(work->ctx);
        lock(w);
    }
    w->count--;
    SH_CHECK(pthread_cond_signal(&w->gone) == 0);
    unlock(w);
    return NULL;
}

/* With the lock. Each piece of work that waits has a thread, which may just be starting; at `most`
 * threads one is about to be free. */
static bool have_thread(struct api_workers *w)
{
    pthread_t thread;
    if (w->idle > w->waiting || w->count == w->most) {
        return true;
    }
    if (pthread_create(&thread, &w->attr, serve, w) != 0) {
        return false;
    }
    w->count++;
    return true;
}

bool api_workers_run(struct api_workers *workers, struct api_work *w)
{
    lock(workers);
    bool good = have_thread(workers);
    if (good) {
        w->next = NULL;
        *workers->last = w;
        workers->last = &w->next;
        workers->waiting++;
        SH_CHECK(pthread_cond_signal(&workers->more) == 0);
    }
    unlock(workers);
    return good;
}
