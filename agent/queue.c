/* SPDX-License-Identifier: Apache-2.0 */
#include "queue.h"

#include "base/host/host.h"
#include "base/ring.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    pthread_cond_t room;
    int fd;
    bool watched; /* somebody asked for fd */
    bool marked;  /* fd is readable, or a push is about to make it so */
    bool stopped;
    size_t item_size;
    struct sh_ring ring;
    uint8_t *items;
};

enum sh_err queue_open(struct queue **out, uint32_t capacity, size_t item_size)
{
    SH_CHECK(capacity > 0);
    SH_CHECK(item_size > 0);
    struct queue *q = calloc(1, sizeof *q);
    if (q == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    q->items = calloc(capacity, item_size);
    q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->items == NULL || q->fd < 0) {
        enum sh_err err = q->items == NULL ? SH_ERR_NO_MEMORY : sh_err_from_errno(errno);
        if (q->fd >= 0) {
            (void)close(q->fd);
        }
        free(q->items);
        free(q);
        return err;
    }
    q->item_size = item_size;
    q->ring = sh_ring_of(capacity);
    pthread_condattr_t attr;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&q->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&q->arrived, &attr) == 0);
    SH_CHECK(pthread_cond_init(&q->room, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    *out = q;
    return SH_OK;
}

void queue_close(struct queue *q)
{
    if (q == NULL) {
        return;
    }
    SH_CHECK(pthread_cond_destroy(&q->arrived) == 0);
    SH_CHECK(pthread_cond_destroy(&q->room) == 0);
    SH_CHECK(pthread_mutex_destroy(&q->lock) == 0);
    (void)close(q->fd);
    free(q->items);
    free(q);
}

/* Under the lock. Wakes nobody: who does holds no lock, for whoever it wakes would run at once, in
 * its place, and wait for that lock. */
static enum sh_err add(struct queue *q, const void *item)
{
    if (q->stopped) {
        return SH_ERR_CANCELLED;
    }
    if (sh_ring_full(&q->ring)) {
        return SH_ERR_FULL;
    }
    memcpy(q->items + sh_ring_push(&q->ring) * q->item_size, item, q->item_size);
    return SH_OK;
}

/* Under the lock, after an item was added: whether fd is to be marked. */
static bool claim_mark(struct queue *q)
{
    bool claimed = q->watched && !q->marked;
    q->marked = q->marked || claimed;
    return claimed;
}

static void tell(struct queue *q, bool mark)
{
    uint64_t one = 1;
    if (mark) {
        SH_CHECK(write(q->fd, &one, sizeof one) == (ssize_t)sizeof one);
    }
    SH_CHECK(pthread_cond_signal(&q->arrived) == 0);
}

enum sh_err queue_push(struct queue *q, const void *item)
{
    SH_CHECK(pthread_mutex_lock(&q->lock) == 0);
    enum sh_err err = add(q, item);
    bool mark = err == SH_OK && claim_mark(q);
    SH_CHECK(pthread_mutex_unlock(&q->lock) == 0);
    if (err == SH_OK) {
        tell(q, mark);
    }
    return err;
}

enum sh_err queue_push_wait(struct queue *q, const void *item)
{
    SH_CHECK(pthread_mutex_lock(&q->lock) == 0);
    enum sh_err err = add(q, item);
    while (err == SH_ERR_FULL) {
        SH_CHECK(pthread_cond_wait(&q->room, &q->lock) == 0);
        err = add(q, item);
    }
    bool mark = err == SH_OK && claim_mark(q);
    SH_CHECK(pthread_mutex_unlock(&q->lock) == 0);
    if (err == SH_OK) {
        tell(q, mark);
    }
    return err;
}

/* Under the lock. A mark that is claimed and not made yet stays claimed: it wakes whoever watches
 * once for nothing, and the pop that finds nothing clears it. */
static bool take(struct queue *q, void *item)
{
    uint64_t counter;
    bool taken = q->ring.count > 0;
    if (taken) {
        memcpy(item, q->items + sh_ring_pop(&q->ring) * q->item_size, q->item_size);
    }
    if (q->ring.count == 0 && q->marked) {
        ssize_t n = read(q->fd, &counter, sizeof counter);
        SH_CHECK(n == (ssize_t)sizeof counter || errno == EAGAIN);
        q->marked = n < 0;
    }
    return taken;
}

bool queue_pop(struct queue *q, void *item)
{
    SH_CHECK(pthread_mutex_lock(&q->lock) == 0);
    bool taken = take(q, item);
    SH_CHECK(pthread_mutex_unlock(&q->lock) == 0);
    if (taken) {
        SH_CHECK(pthread_cond_signal(&q->room) == 0);
    }
    return taken;
}

bool queue_wait(struct queue *q, void *item, uint64_t timeout_us)
{
    struct timespec until;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    uint64_t ns = (uint64_t)until.tv_nsec + timeout_us % 1000000u * 1000u;
    until.tv_sec += (time_t)(timeout_us / 1000000u + ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    SH_CHECK(pthread_mutex_lock(&q->lock) == 0);
    bool taken = take(q, item);
    while (!taken && !q->stopped) {
        int rc = pthread_cond_timedwait(&q->arrived, &q->lock, &until);
        taken = take(q, item);
        if (rc == ETIMEDOUT) {
            break;
        }
        SH_CHECK(rc == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&q->lock) == 0);
    if (taken) {
        SH_CHECK(pthread_cond_signal(&q->room) == 0);
    }
    return taken;
}

void queue_stop(struct queue *q)
{
    SH_CHECK(pthread_mutex_lock(&q->lock) == 0);
    q->stopped = true;
    SH_CHECK(pthread_cond_broadcast(&q->arrived) == 0);
    SH_CHECK(pthread_cond_broadcast(&q->room) == 0);
    SH_CHECK(pthread_mutex_unlock(&q->lock) == 0);
}

int queue_fd(struct queue *q)
{
    SH_CHECK(pthread_mutex_lock(&q->lock) == 0);
    q->watched = true;
    bool mark = q->ring.count > 0 && claim_mark(q);
    SH_CHECK(pthread_mutex_unlock(&q->lock) == 0);
    if (mark) {
        tell(q, mark);
    }
    return q->fd;
}

uint32_t queue_count(struct queue *q)
{
    SH_CHECK(pthread_mutex_lock(&q->lock) == 0);
    uint32_t count = q->ring.count;
    SH_CHECK(pthread_mutex_unlock(&q->lock) == 0);
    return count;
}
