/* SPDX-License-Identifier: Apache-2.0 */
#include "proposals.h"

#include "base/host/host.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STACK_BYTES ((size_t)256 * 1024)

struct place {
    uint64_t number; /* 0: free */
    uint64_t session;
    struct sh_span command;
    unsigned sends;
    proposals_fn fn;
    void *ctx;
    uint64_t deadline_us;
    uint64_t due_us;   /* of the next send, or the deadline */
    uint64_t pause_us; /* from the next send to the one after it */
};

struct proposals {
    struct proposals_config config;
    pthread_t thread;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t earlier;
    uint64_t wake_us; /* the thread looks at all places then */
    uint64_t next;    /* numbers are next * PROPOSALS_MAX + place, so never 0 */
    uint32_t idle_count;
    uint32_t idle[PROPOSALS_MAX];
    bool stopped;
    struct place places[PROPOSALS_MAX];
};

static void lock(struct proposals *p)
{
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
}

static void unlock(struct proposals *p)
{
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A number says which place it has. */
static struct place *find(struct proposals *p, uint64_t number)
{
    struct place *at = &p->places[number % PROPOSALS_MAX];
    return at->number == number ? at : NULL;
}

static void release(struct proposals *p, struct place *at)
{
    at->number = 0;
    SH_CHECK_CMP(p->idle_count, <, PROPOSALS_MAX);
    p->idle[p->idle_count++] = (uint32_t)(at - p->places);
}

/* With the lock, which is open while fn runs. */
static void end(struct proposals *p, struct place *at, enum sh_err err,
                const struct jobs_result *result)
{
    proposals_fn fn = at->fn;
    void *ctx = at->ctx;
    unsigned sends = at->sends;
    release(p, at);
    unlock(p);
    fn(ctx, err, result, sends);
    lock(p);
}

/* With the lock, which is open while this sends: the copy is made inside, because the command is
 * its owner's again once the proposal has ended. */
static enum sh_err send(struct proposals *p, struct place *at, uint8_t *copy)
{
    size_t size = at->command.size;
    memcpy(copy, at->command.at, size);
    SH_CHECK(jobs_cmd_sign(copy, size, at->session, at->number));
    at->sends++;
    unlock(p);
    enum sh_err err = p->config.send(p->config.ctx, copy, size);
    if (err != SH_OK) {
        free(copy);
    }
    lock(p);
    return err;
}

static void send_again(struct proposals *p, struct place *at, uint64_t now)
{
    uint64_t number = at->number;
    uint8_t *copy = malloc(at->command.size);
    at->due_us = least(now + at->pause_us, at->deadline_us);
    at->pause_us = least(2 * at->pause_us, PROPOSALS_RESEND_MAX_US);
    enum sh_err err = copy == NULL ? SH_ERR_NO_MEMORY : send(p, at, copy);
    if (err != SH_OK && at->number == number) {
        end(p, at, err, NULL);
    }
}

static void serve(struct proposals *p, struct place *at)
{
    uint64_t now = sh_now_us();
    if (at->number != 0 && now >= at->deadline_us) {
        end(p, at, p->config.late(p->config.ctx), NULL);
    } else if (at->number != 0 && now >= at->due_us) {
        send_again(p, at, now);
    }
    if (at->number != 0) {
        p->wake_us = least(p->wake_us, at->due_us);
    }
}

/* With the lock: until then, or until something earlier comes. */
static void doze(struct proposals *p, uint64_t wait_us)
{
    struct timespec until;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    uint64_t ns = (uint64_t)until.tv_nsec + wait_us % 1000000u * 1000u;
    until.tv_sec += (time_t)(wait_us / 1000000u + ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    int err = pthread_cond_timedwait(&p->earlier, &p->lock, &until);
    SH_CHECK(err == 0 || err == ETIMEDOUT);
}

static void *run(void *arg)
{
    struct proposals *p = arg;
    sh_thread_name("proposals");
    lock(p);
    while (!p->stopped) {
        uint64_t now = sh_now_us();
        if (now < p->wake_us) {
            doze(p, least(p->wake_us - now, PROPOSALS_RESEND_MAX_US));
            continue;
        }
        p->wake_us = UINT64_MAX;
        for (size_t i = 0; i < PROPOSALS_MAX && !p->stopped; i++) {
            serve(p, &p->places[i]);
        }
    }
    unlock(p);
    return NULL;
}

enum sh_err proposals_open(const struct proposals_config *config, struct proposals **out)
{
    struct proposals *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    p->config = *config;
    p->wake_us = UINT64_MAX;
    /* Numbers of an earlier life of this agent must not be taken for ours. */
    p->next = sh_random_u64() / PROPOSALS_MAX + 1;
    for (size_t i = 0; i < PROPOSALS_MAX; i++) {
        p->idle[p->idle_count++] = (uint32_t)i;
    }
    pthread_condattr_t clock;
    pthread_attr_t stack;
    SH_CHECK(pthread_condattr_init(&clock) == 0);
    SH_CHECK(pthread_condattr_setclock(&clock, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&p->earlier, &clock) == 0);
    SH_CHECK(pthread_condattr_destroy(&clock) == 0);
    SH_CHECK(pthread_attr_init(&stack) == 0);
    SH_CHECK(pthread_attr_setstacksize(&stack, STACK_BYTES) == 0);
    bool started = pthread_create(&p->thread, &stack, run, p) == 0;
    SH_CHECK(pthread_attr_destroy(&stack) == 0);
    if (!started) {
        p->stopped = true;
        proposals_close(p);
        return SH_ERR_IO;
    }
    *out = p;
    return SH_OK;
}

void proposals_close(struct proposals *p)
{
    if (p == NULL) {
        return;
    }
    SH_CHECK(p->stopped);
    SH_CHECK_CMP(p->idle_count, ==, PROPOSALS_MAX);
    SH_CHECK(pthread_cond_destroy(&p->earlier) == 0);
    SH_CHECK(pthread_mutex_destroy(&p->lock) == 0);
    free(p);
}

void proposals_stop(struct proposals *p)
{
    lock(p);
    bool first = !p->stopped;
    p->stopped = true;
    for (size_t i = 0; i < PROPOSALS_MAX; i++) {
        if (p->places[i].number != 0) {
            end(p, &p->places[i], SH_ERR_CANCELLED, NULL);
        }
    }
    SH_CHECK(pthread_cond_signal(&p->earlier) == 0);
    unlock(p);
    if (first) {
        SH_CHECK(pthread_join(p->thread, NULL) == 0);
    }
}

/* With the lock: a place with its first number and times. NULL: none is free. */
static struct place *occupy(struct proposals *p, uint64_t session, struct sh_span command,
                            uint64_t timeout_us, proposals_fn fn, void *ctx)
{
    if (p->idle_count == 0) {
        return NULL;
    }
    uint64_t now = sh_now_us();
    uint64_t slot = p->idle[--p->idle_count];
    struct place *at = &p->places[slot];
    p->next = p->next < UINT64_MAX / PROPOSALS_MAX - 1 ? p->next + 1 : 1;
    *at = (struct place){.number = p->next * PROPOSALS_MAX + slot,
                         .session = session,
                         .command = command,
                         .fn = fn,
                         .ctx = ctx,
                         .deadline_us = now + timeout_us,
                         .due_us = now + least(timeout_us, PROPOSALS_RESEND_US),
                         .pause_us = 2 * PROPOSALS_RESEND_US};
    if (at->due_us < p->wake_us) {
        p->wake_us = at->due_us;
        SH_CHECK(pthread_cond_signal(&p->earlier) == 0);
    }
    return at;
}

enum sh_err proposals_begin(struct proposals *p, uint64_t session, struct sh_span command,
                            uint64_t timeout_us, proposals_fn fn, void *ctx)
{
    SH_CHECK_CMP(command.size, <=, JOBS_CMD_BYTES_MAX);
    uint8_t *copy = malloc(command.size);
    if (copy == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    lock(p);
    struct place *at = p->stopped ? NULL : occupy(p, session, command, timeout_us, fn, ctx);
    if (at == NULL) {
        enum sh_err refused = p->stopped ? SH_ERR_CANCELLED : SH_ERR_FULL;
        unlock(p);
        free(copy);
        return refused;
    }
    uint64_t number = at->number;
    enum sh_err err = send(p, at, copy);
    if (err != SH_OK && at->number == number) {
        release(p, at);
    } else {
        err = SH_OK; /* it ended meanwhile, as fn was told */
    }
    unlock(p);
    return err;
}

void proposals_done(struct proposals *p, uint64_t number, const struct jobs_result *result)
{
    lock(p);
    struct place *at = number == 0 ? NULL : find(p, number);
    if (at != NULL) {
        end(p, at, result->err, result);
    }
    unlock(p);
}

void proposals_kick(struct proposals *p)
{
    lock(p);
    for (size_t i = 0; i < PROPOSALS_MAX; i++) {
        p->places[i].due_us = 0;
    }
    p->wake_us = 0;
    SH_CHECK(pthread_cond_signal(&p->earlier) == 0);
    unlock(p);
}
