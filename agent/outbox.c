/* SPDX-License-Identifier: Apache-2.0 */
#include "outbox.h"

#include "queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OUTBOX_HEADS = 256 };

struct share { /* of one peer: what is posted, queued or parked for it */
    struct share *next;
    uint8_t node[SH_NODE_ID_BYTES];
    size_t bytes;
    uint32_t messages; /* freed with the last one */
};

struct message {
    struct message *next; /* while parked */
    struct share *share;
    uint8_t node[SH_NODE_ID_BYTES];
    uint16_t type;
    size_t size;
    struct link_message bytes;
};

struct outbox {
    struct link_plane *plane;
    struct queue *queue;    /* of struct message *, in and out */
    struct message *parked; /* the owner's; oldest first */
    struct message **parked_end;
    size_t bytes_max;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t room;
    size_t bytes; /* posted, queued or parked */
    uint32_t messages;
    struct share *shares[OUTBOX_HEADS]; /* by the first byte of the node's id, which is a hash */
    bool stopped;
};

enum sh_err outbox_open(struct outbox **out, struct link_plane *plane, size_t bytes_max)
{
    struct outbox *o = calloc(1, sizeof *o);
    if (o == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = queue_open(&o->queue, OUTBOX_MESSAGES_MAX, sizeof(struct message *));
    if (err != SH_OK) {
        free(o);
        return err;
    }
    o->plane = plane;
    o->bytes_max = bytes_max;
    o->parked_end = &o->parked;
    pthread_condattr_t attr;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&o->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&o->room, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    *out = o;
    return SH_OK;
}

/* Under the lock: where the share of a node is, or would be. */
static struct share **find_share(struct outbox *o, const uint8_t *node)
{
    struct share **at = &o->shares[node[0]];
    while (*at != NULL && memcmp((*at)->node, node, SH_NODE_ID_BYTES) != 0) {
        at = &(*at)->next;
    }
    return at;
}

static void give_back(struct outbox *o, struct share *share, size_t size)
{
    SH_CHECK(pthread_mutex_lock(&o->lock) == 0);
    SH_CHECK_CMP(o->bytes, >=, size);
    SH_CHECK_CMP(o->messages, >, 0);
    SH_CHECK_CMP(share->bytes, >=, size);
    SH_CHECK_CMP(share->messages, >, 0);
    o->bytes -= size;
    o->messages--;
    share->bytes -= size;
    share->messages--;
    if (share->messages == 0) {
        struct share **at = find_share(o, share->node);
        SH_CHECK(*at == share);
        *at = share->next;
        free(share);
    }
    SH_CHECK(pthread_cond_broadcast(&o->room) == 0);
    SH_CHECK(pthread_mutex_unlock(&o->lock) == 0);
}

static void release(struct message *m)
{
    link_message_drop(&m->bytes);
    free(m);
}

/* Frees a message and gives its room back. */
static void drop(struct outbox *o, struct message *m)
{
    give_back(o, m->share, m->size);
    release(m);
}

void outbox_close(struct outbox *o)
{
    if (o == NULL) {
        return;
    }
    struct message *m;
    while (queue_pop(o->queue, &m)) {
        drop(o, m);
    }
    while (o->parked != NULL) {
        m = o->parked;
        o->parked = m->next;
        drop(o, m);
    }
    SH_CHECK_CMP(o->messages, ==, 0);
    queue_close(o->queue);
    SH_CHECK(pthread_cond_destroy(&o->room) == 0);
    SH_CHECK(pthread_mutex_destroy(&o->lock) == 0);
    free(o);
}

void outbox_stop(struct outbox *o)
{
    queue_stop(o->queue);
    SH_CHECK(pthread_mutex_lock(&o->lock) == 0);
    o->stopped = true;
    SH_CHECK(pthread_cond_broadcast(&o->room) == 0);
    SH_CHECK(pthread_mutex_unlock(&o->lock) == 0);
}

/* Under the lock. One message always fits an empty outbox, whatever its size. A peer takes no more
 * than it leaves: however many stand still, there is room for another one (the dynamic threshold of
 * Choudhury and Hahne, 1998, with alpha = 1). */
static bool has_room(const struct outbox *o, const struct share *share, size_t size)
{
    bool whole =
        o->messages == 0 || (o->messages < OUTBOX_MESSAGES_MAX && o->bytes + size <= o->bytes_max);
    return whole && (share == NULL || (share->messages < OUTBOX_MESSAGES_MAX - o->messages &&
                                       share->bytes + size <= o->bytes_max - o->bytes));
}

static enum sh_err reserve(struct outbox *o, const uint8_t *node, size_t size, struct share **out)
{
    SH_CHECK(pthread_mutex_lock(&o->lock) == 0);
    struct share **at = find_share(o, node);
    enum sh_err err = o->stopped ? SH_ERR_CANCELLED : SH_OK;
    err = err == SH_OK && !has_room(o, *at, size) ? SH_ERR_FULL : err;
    if (err == SH_OK && *at == NULL) {
        *at = calloc(1, sizeof **at);
        err = *at == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    }
    if (err == SH_OK) {
        memcpy((*at)->node, node, SH_NODE_ID_BYTES);
        (*at)->bytes += size;
        (*at)->messages++;
        o->bytes += size;
        o->messages++;
        *out = *at;
    }
    SH_CHECK(pthread_mutex_unlock(&o->lock) == 0);
    return err;
}

enum sh_err outbox_post(struct outbox *o, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                        struct sh_span head, struct sh_span body)
{
    struct share *share = NULL;
    size_t size = head.size + body.size;
    enum sh_err err = reserve(o, node, size, &share);
    if (err != SH_OK) {
        return err;
    }
    struct message *m = malloc(sizeof *m);
    err = m == NULL ? SH_ERR_NO_MEMORY : link_message_make(&m->bytes, o->plane, type, head, body);
    if (err != SH_OK) {
        free(m);
        give_back(o, share, size);
        return err;
    }
    m->next = NULL;
    m->share = share;
    memcpy(m->node, node, SH_NODE_ID_BYTES);
    m->type = type;
    m->size = size;
    err = queue_push(o->queue, &m);
    if (err != SH_OK) {
        drop(o, m);
    }
    return err;
}

bool outbox_wait_room(struct outbox *o, const uint8_t node[SH_NODE_ID_BYTES], size_t size,
                      uint64_t timeout_us)
{
    struct timespec until;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    uint64_t ns = (uint64_t)until.tv_nsec + timeout_us % 1000000u * 1000u;
    until.tv_sec += (time_t)(timeout_us / 1000000u + ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    SH_CHECK(pthread_mutex_lock(&o->lock) == 0);
    while (!o->stopped && !has_room(o, *find_share(o, node), size)) {
        if (pthread_cond_timedwait(&o->room, &o->lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    bool room = !o->stopped && has_room(o, *find_share(o, node), size);
    SH_CHECK(pthread_mutex_unlock(&o->lock) == 0);
    return room;
}

int outbox_fd(const struct outbox *o)
{
    return queue_fd(o->queue);
}

static bool parked_for(const struct outbox *o, const uint8_t *node)
{
    for (const struct message *m = o->parked; m != NULL; m = m->next) {
        if (memcmp(m->node, node, SH_NODE_ID_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

/* False: the peer is full, m stays. */
static bool hand_on(struct outbox *o, uint64_t now_us, struct message *m, outbox_lost_fn lost,
                    void *ctx)
{
    enum sh_err err = link_pass(o->plane, now_us, m->node, &m->bytes);
    if (err == SH_ERR_FULL) {
        return false;
    }
    if (err != SH_OK) {
        lost(ctx, m->node, m->type);
    }
    drop(o, m);
    return true;
}

void outbox_drain(struct outbox *o, uint64_t now_us, outbox_lost_fn lost, void *ctx)
{
    struct message *m;
    while (queue_pop(o->queue, &m)) {
        if (parked_for(o, m->node) || !hand_on(o, now_us, m, lost, ctx)) {
            *o->parked_end = m;
            o->parked_end = &m->next;
        }
    }
}

void outbox_writable(struct outbox *o, uint64_t now_us, const uint8_t node[SH_NODE_ID_BYTES],
                     outbox_lost_fn lost, void *ctx)
{
    struct message **at = &o->parked;
    while (*at != NULL) {
        struct message *m = *at;
        if (memcmp(m->node, node, SH_NODE_ID_BYTES) != 0) {
            at = &m->next;
            continue;
        }
        struct message *next = m->next;
        if (!hand_on(o, now_us, m, lost, ctx)) {
            return;
        }
        *at = next;
        if (next == NULL) {
            o->parked_end = at;
        }
    }
}

void outbox_forget(struct outbox *o, const uint8_t node[SH_NODE_ID_BYTES])
{
    struct message **at = &o->parked;
    while (*at != NULL) {
        struct message *m = *at;
        if (memcmp(m->node, node, SH_NODE_ID_BYTES) == 0) {
            *at = m->next;
            drop(o, m);
        } else {
            at = &m->next;
        }
    }
    o->parked_end = at;
}
