/* SPDX-License-Identifier: Apache-2.0 */
#include "proposals.h"

#include "base/host/host.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct place {
    pthread_cond_t changed; /* of its own: an applied entry wakes its proposer and nobody else */
    uint64_t number;        /* 0: free */
    bool done;
    bool kicked;
    struct jobs_result result;
};

struct proposals {
    pthread_mutex_t lock;
    uint64_t next; /* numbers are next * PROPOSALS_MAX + place, so never 0 */
    uint32_t idle_count;
    uint32_t idle[PROPOSALS_MAX];
    bool stopped;
    struct place places[PROPOSALS_MAX];
};

enum sh_err proposals_open(struct proposals **out)
{
    struct proposals *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    /* Numbers of an earlier life of this agent must not be taken for ours. */
    p->next = sh_random_u64() / PROPOSALS_MAX + 1;
    pthread_condattr_t attr;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
    for (size_t i = 0; i < PROPOSALS_MAX; i++) {
        SH_CHECK(pthread_cond_init(&p->places[i].changed, &attr) == 0);
        p->idle[p->idle_count++] = (uint32_t)i;
    }
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    *out = p;
    return SH_OK;
}

void proposals_close(struct proposals *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < PROPOSALS_MAX; i++) {
        SH_CHECK(pthread_cond_destroy(&p->places[i].changed) == 0);
    }
    SH_CHECK(pthread_mutex_destroy(&p->lock) == 0);
    free(p);
}

/* With the lock; a number has one waiter. */
static void settle(struct place *at, const struct jobs_result *result)
{
    at->done = true;
    at->result = *result;
    SH_CHECK(pthread_cond_signal(&at->changed) == 0);
}

void proposals_stop(struct proposals *p)
{
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    p->stopped = true;
    for (size_t i = 0; i < PROPOSALS_MAX; i++) {
        if (p->places[i].number != 0 && !p->places[i].done) {
            settle(&p->places[i], &(struct jobs_result){.err = SH_ERR_CANCELLED});
        }
    }
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
}

/* A number says which place it has. */
static struct place *find(struct proposals *p, uint64_t number)
{
    struct place *at = &p->places[number % PROPOSALS_MAX];
    return at->number == number ? at : NULL;
}

enum sh_err proposals_begin(struct proposals *p, uint64_t *number)
{
    enum sh_err err = SH_ERR_FULL;
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    if (p->stopped) {
        err = SH_ERR_CANCELLED;
    } else if (p->idle_count > 0) {
        uint64_t slot = p->idle[--p->idle_count];
        p->next = p->next < UINT64_MAX / PROPOSALS_MAX - 1 ? p->next + 1 : 1;
        struct place *at = &p->places[slot];
        at->number = p->next * PROPOSALS_MAX + slot;
        at->done = false;
        at->kicked = false;
        *number = at->number;
        err = SH_OK;
    }
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
    return err;
}

bool proposals_wait(struct proposals *p, uint64_t number, uint64_t timeout_us,
                    struct jobs_result *out)
{
    struct timespec until;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    uint64_t ns = (uint64_t)until.tv_nsec + timeout_us % 1000000u * 1000u;
    until.tv_sec += (time_t)(timeout_us / 1000000u + ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    struct place *at = find(p, number);
    SH_CHECK(at != NULL);
    while (!at->done && !at->kicked) {
        if (pthread_cond_timedwait(&at->changed, &p->lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    bool done = at->done;
    at->kicked = false;
    if (done) {
        *out = at->result;
    }
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
    return done;
}

void proposals_end(struct proposals *p, uint64_t number)
{
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    struct place *at = find(p, number);
    SH_CHECK(at != NULL);
    at->number = 0;
    p->idle[p->idle_count++] = (uint32_t)(number % PROPOSALS_MAX);
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
}

void proposals_done(struct proposals *p, uint64_t number, const struct jobs_result *result)
{
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    struct place *at = number == 0 ? NULL : find(p, number);
    if (at != NULL && !at->done) {
        settle(at, result);
    }
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
}

void proposals_kick(struct proposals *p)
{
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    for (size_t i = 0; i < PROPOSALS_MAX; i++) {
        if (p->places[i].number != 0) {
            p->places[i].kicked = true;
            SH_CHECK(pthread_cond_signal(&p->places[i].changed) == 0);
        }
    }
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
}
