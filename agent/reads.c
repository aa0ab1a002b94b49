/* SPDX-License-Identifier: Apache-2.0 */
#include "reads.h"

#include "base/host/host.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct answer {
    uint64_t index;
    uint64_t asked_us; /* the state at index was the newest at some time after; 0: no answer */
};

struct reads {
    reads_ask_fn ask;
    void *ctx;
    uint64_t resend_least_us;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    bool stopped;
    uint64_t wanted; /* newest round somebody waits for */
    uint64_t asked;  /* newest round begun */
    uint64_t done;   /* newest round answered */
    uint64_t index;  /* the largest answer */
    uint64_t asked_us;
    uint64_t resend_us; /* pause before a round without an answer is begun again */
    struct answer newest;
    struct answer shown; /* the newest one that tables were seen to have reached */
    struct answer next;  /* one after that, kept until they have: later ones may be out of reach */
};

enum sh_err reads_open(struct reads **out, reads_ask_fn ask, void *ctx, uint64_t resend_us)
{
    struct reads *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    r->ask = ask;
    r->ctx = ctx;
    r->resend_least_us = resend_us;
    r->resend_us = resend_us;
    pthread_condattr_t attr;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&r->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&r->changed, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    *out = r;
    return SH_OK;
}

void reads_close(struct reads *r)
{
    if (r == NULL) {
        return;
    }
    SH_CHECK(pthread_cond_destroy(&r->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&r->lock) == 0);
    free(r);
}

static void lock(struct reads *r)
{
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
}

static void unlock(struct reads *r)
{
    SH_CHECK_CMP(r->done, <=, r->asked);
    SH_CHECK(pthread_mutex_unlock(&r->lock) == 0);
}

void reads_stop(struct reads *r)
{
    lock(r);
    r->stopped = true;
    SH_CHECK(pthread_cond_broadcast(&r->changed) == 0);
    unlock(r);
}

static void begin(struct reads *r)
{
    r->asked++;
    r->asked_us = sh_now_us();
    r->ask(r->ctx, r->asked);
}

static bool under_way(const struct reads *r)
{
    return r->done < r->asked;
}

/* With the lock, for wait_us at most. */
static void doze(struct reads *r, uint64_t wait_us)
{
    struct timespec until;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    uint64_t ns = (uint64_t)until.tv_nsec + wait_us % 1000000u * 1000u;
    until.tv_sec += (time_t)(wait_us / 1000000u + ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    int err = pthread_cond_timedwait(&r->changed, &r->lock, &until);
    SH_CHECK(err == 0 || err == ETIMEDOUT);
}

/* The message or its answer may be lost: the round is begun anew, which serves its waiters too. */
static void begin_again_when_due(struct reads *r)
{
    if (sh_now_us() - r->asked_us >= r->resend_us) {
        r->resend_us *= r->resend_us < 8 * r->resend_least_us ? 2 : 1;
        begin(r);
    }
}

enum sh_err reads_wait(struct reads *r, uint64_t timeout_us, uint64_t *index)
{
    uint64_t deadline = sh_now_us() + timeout_us;
    enum sh_err err = SH_OK;
    lock(r);
    uint64_t mine = r->asked + 1;
    r->wanted = r->wanted > mine ? r->wanted : mine;
    if (!under_way(r)) {
        begin(r);
    }
    while (!r->stopped && r->done < mine && err == SH_OK) {
        uint64_t due = r->asked_us + r->resend_us;
        uint64_t now = sh_now_us();
        due = due < deadline ? due : deadline;
        doze(r, due > now ? due - now : 0);
        if (r->done < mine && sh_now_us() >= deadline) {
            err = SH_ERR_TIMEOUT;
        } else if (r->done < mine) {
            begin_again_when_due(r);
        }
    }
    *index = r->index;
    err = r->stopped ? SH_ERR_CANCELLED : err;
    unlock(r);
    return err;
}

uint64_t reads_age_us(struct reads *r, uint64_t applied)
{
    uint64_t now = sh_now_us();
    lock(r);
    if (r->newest.index <= applied) {
        r->shown = r->newest;
        r->next = (struct answer){0};
    } else if (r->next.asked_us != 0 && r->next.index <= applied) {
        r->shown = r->next;
        r->next = r->newest;
    }
    bool known = r->shown.asked_us != 0 && r->shown.index <= applied;
    uint64_t age = known ? now - r->shown.asked_us : UINT64_MAX;
    if (age > READS_AGE_US && !r->stopped && now - r->asked_us >= READS_AGE_US) {
        begin(r);
    }
    unlock(r);
    return age;
}

void reads_done(struct reads *r, uint64_t number, uint64_t index, enum sh_err err)
{
    lock(r);
    if (err == SH_OK && number > r->done && number <= r->asked) {
        r->done = number;
        r->index = index > r->index ? index : r->index;
        r->resend_us = r->resend_least_us;
        if (number == r->asked) {
            r->newest = (struct answer){.index = r->index, .asked_us = r->asked_us};
            r->next = r->next.asked_us == 0 ? r->newest : r->next;
        }
        if (r->wanted > r->asked) {
            begin(r);
        }
        SH_CHECK(pthread_cond_broadcast(&r->changed) == 0);
    }
    unlock(r);
}

void reads_kick(struct reads *r)
{
    lock(r);
    if (under_way(r) && r->wanted > r->done) {
        begin(r);
    }
    unlock(r);
}
