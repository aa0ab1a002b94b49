/* SPDX-License-Identifier: Apache-2.0 */
#include "calls.h"

#include "base/host/host.h"
#include "queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REQUEST_HEAD = 9, REPLY_HEAD = 12 };

#define WORKER_WAIT_US UINT64_C(60000000) /* queue_stop ends it earlier */

struct waiting {
    uint64_t id; /* 0: free */
    enum calls_plane plane;
    uint8_t node[SH_NODE_ID_BYTES];
    bool done;
    enum sh_err err;
    uint8_t *reply; /* the caller's */
    size_t capacity;
    size_t reply_size;
};

struct asked { /* bytes is owned by the item */
    enum calls_plane plane;
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t id;
    enum service_call_kind kind;
    uint8_t *bytes;
    size_t size;
};

struct calls {
    struct calls_config config;
    pthread_mutex_t lock; /* waiting, next_id, stopped, queued_bytes, fns, ctxs */
    pthread_cond_t answered;
    struct waiting waiting[CALLS_WAITING_MAX];
    uint64_t next_id;
    bool stopped;
    size_t queued_bytes; /* requests with the workers or waiting for one */
    service_call_fn fns[SERVICE_CALL_KIND_COUNT];
    void *ctxs[SERVICE_CALL_KIND_COUNT];
    struct queue *queue;
    pthread_t workers[CALLS_WORKERS];
    unsigned worker_count;
};

static void send_reply(struct calls *c, const struct asked *q, enum sh_err err, uint8_t *frame,
                       size_t body)
{
    struct sh_writer w = sh_writer_over(frame, REPLY_HEAD);
    sh_put_u64(&w, q->id);
    sh_put_u32(&w, (uint32_t)err);
    /* A reply that cannot be handed over is the asker's timeout: it must be able to ask again. */
    (void)c->config.post(c->config.ctx, q->plane, q->node, CALLS_REPLY, frame, REPLY_HEAD + body);
}

static enum sh_err run(struct calls *c, enum service_call_kind kind, struct sh_span request,
                       uint8_t *reply, size_t capacity, size_t *reply_size)
{
    *reply_size = 0;
    if ((unsigned)kind >= SERVICE_CALL_KIND_COUNT) {
        return SH_ERR_UNSUPPORTED;
    }
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    service_call_fn fn = c->fns[kind];
    void *ctx = c->ctxs[kind];
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    return fn == NULL ? SH_ERR_UNSUPPORTED : fn(ctx, request, reply, capacity, reply_size);
}

bool calls_stopped(struct calls *calls)
{
    SH_CHECK(pthread_mutex_lock(&calls->lock) == 0);
    bool stopped = calls->stopped;
    SH_CHECK(pthread_mutex_unlock(&calls->lock) == 0);
    return stopped;
}

/* Makes room for a request of others; false: they have taken all there is. */
static bool take_room(struct calls *c, size_t size)
{
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    bool room = c->queued_bytes + size <= CALLS_QUEUE_BYTES_MAX;
    c->queued_bytes += room ? size : 0;
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    return room;
}

static void release(struct calls *c, struct asked *q)
{
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    SH_CHECK_CMP(c->queued_bytes, >=, q->size);
    c->queued_bytes -= q->size;
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    free(q->bytes);
}

static void *work(void *arg)
{
    struct calls *c = arg;
    uint8_t *frame = malloc(REPLY_HEAD + CALLS_REPLY_MAX);
    SH_CHECK(frame != NULL);
    struct asked q;
    sh_thread_name("calls");
    while (!calls_stopped(c)) {
        if (!queue_wait(c->queue, &q, WORKER_WAIT_US)) {
            continue;
        }
        size_t body = 0;
        size_t most = q.plane == CALLS_BULK ? CALLS_BULK_MAX : CALLS_REPLY_MAX;
        struct sh_span request = {.at = q.bytes, .size = q.size};
        enum sh_err err = run(c, q.kind, request, frame + REPLY_HEAD, most, &body);
        SH_CHECK_CMP(body, <=, most);
        send_reply(c, &q, err, frame, err == SH_OK ? body : 0);
        release(c, &q);
    }
    free(frame);
    return NULL;
}

enum sh_err calls_open(struct calls **out, const struct calls_config *config)
{
    struct calls *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    c->config = *config;
    c->next_id = 1;
    enum sh_err err = queue_open(&c->queue, CALLS_QUEUE_MAX, sizeof(struct asked));
    if (err != SH_OK) {
        free(c);
        return err;
    }
    pthread_condattr_t attr;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&c->answered, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    for (; c->worker_count < CALLS_WORKERS; c->worker_count++) {
        if (pthread_create(&c->workers[c->worker_count], NULL, work, c) != 0) {
            calls_stop(c);
            calls_close(c);
            return SH_ERR_NO_MEMORY;
        }
    }
    *out = c;
    return SH_OK;
}

void calls_stop(struct calls *calls)
{
    SH_CHECK(pthread_mutex_lock(&calls->lock) == 0);
    calls->stopped = true;
    for (size_t i = 0; i < CALLS_WAITING_MAX; i++) {
        struct waiting *w = &calls->waiting[i];
        if (w->id != 0 && !w->done) {
            w->done = true;
            w->err = SH_ERR_CANCELLED;
        }
    }
    SH_CHECK(pthread_cond_broadcast(&calls->answered) == 0);
    SH_CHECK(pthread_mutex_unlock(&calls->lock) == 0);
    queue_stop(calls->queue);
    for (unsigned i = 0; i < calls->worker_count; i++) {
        SH_CHECK(pthread_join(calls->workers[i], NULL) == 0);
    }
    calls->worker_count = 0;
}

void calls_close(struct calls *calls)
{
    if (calls == NULL) {
        return;
    }
    SH_CHECK(calls->worker_count == 0);
    struct asked q;
    while (queue_pop(calls->queue, &q)) {
        free(q.bytes);
    }
    queue_close(calls->queue);
    SH_CHECK(pthread_cond_destroy(&calls->answered) == 0);
    SH_CHECK(pthread_mutex_destroy(&calls->lock) == 0);
    free(calls);
}

void calls_on(struct calls *calls, enum service_call_kind kind, service_call_fn fn, void *ctx)
{
    SH_CHECK_CMP(kind, <, SERVICE_CALL_KIND_COUNT);
    SH_CHECK(pthread_mutex_lock(&calls->lock) == 0);
    SH_CHECK(calls->fns[kind] == NULL);
    calls->ctxs[kind] = ctx;
    calls->fns[kind] = fn;
    SH_CHECK(pthread_mutex_unlock(&calls->lock) == 0);
}

/* Under the lock. NULL: all places are taken. */
static struct waiting *claim(struct calls *c)
{
    for (size_t i = 0; i < CALLS_WAITING_MAX; i++) {
        if (c->waiting[i].id == 0) {
            c->waiting[i] = (struct waiting){.id = c->next_id++};
            return &c->waiting[i];
        }
    }
    return NULL;
}

static struct timespec after_us(uint64_t us)
{
    struct timespec t;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    uint64_t ns = (uint64_t)t.tv_nsec + us % 1000000u * 1000u;
    t.tv_sec += (time_t)(us / 1000000u + ns / 1000000000u);
    t.tv_nsec = (long)(ns % 1000000000u);
    return t;
}

static enum sh_err post_request(struct calls *c, const struct waiting *w, uint64_t id,
                                enum service_call_kind kind, const void *request, size_t size)
{
    uint8_t *frame = malloc(REQUEST_HEAD + size);
    if (frame == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    struct sh_writer out = sh_writer_over(frame, REQUEST_HEAD + size);
    sh_put_u64(&out, id);
    sh_put_u8(&out, (uint8_t)kind);
    sh_put_bytes(&out, request, size);
    SH_CHECK(!out.full);
    enum sh_err err =
        c->config.post(c->config.ctx, w->plane, w->node, CALLS_REQUEST, frame, out.used);
    free(frame);
    return err;
}

static enum sh_err wait_for(struct calls *c, struct waiting *w, uint64_t timeout_us,
                            size_t *reply_size)
{
    struct timespec until = after_us(timeout_us);
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    while (!w->done) {
        if (pthread_cond_timedwait(&c->answered, &c->lock, &until) == ETIMEDOUT && !w->done) {
            w->done = true;
            w->err = SH_ERR_TIMEOUT;
        }
    }
    enum sh_err err = w->err;
    *reply_size = w->reply_size;
    w->id = 0;
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
    return err;
}

enum sh_err calls_ask(struct calls *calls, enum calls_plane plane,
                      const uint8_t node[SH_NODE_ID_BYTES], enum service_call_kind kind,
                      const void *request, size_t size, uint8_t *reply, size_t capacity,
                      size_t *reply_size, uint64_t timeout_us)
{
    *reply_size = 0;
    if (size > (plane == CALLS_BULK ? CALLS_BULK_MAX : CALLS_REQUEST_MAX)) {
        return SH_ERR_LIMIT;
    }
    if (memcmp(node, calls->config.me, SH_NODE_ID_BYTES) == 0) {
        struct sh_span bytes = {.at = request, .size = size};
        return run(calls, kind, bytes, reply, capacity, reply_size);
    }
    SH_CHECK(pthread_mutex_lock(&calls->lock) == 0);
    struct waiting *w = calls->stopped ? NULL : claim(calls);
    enum sh_err err = calls->stopped ? SH_ERR_CANCELLED : SH_ERR_FULL;
    uint64_t id = 0;
    if (w != NULL) {
        id = w->id;
        w->plane = plane;
        memcpy(w->node, node, SH_NODE_ID_BYTES);
        w->reply = reply;
        w->capacity = capacity;
    }
    SH_CHECK(pthread_mutex_unlock(&calls->lock) == 0);
    if (w == NULL) {
        return err;
    }
    err = post_request(calls, w, id, kind, request, size);
    if (err != SH_OK) {
        SH_CHECK(pthread_mutex_lock(&calls->lock) == 0);
        w->id = 0;
        SH_CHECK(pthread_mutex_unlock(&calls->lock) == 0);
        return err;
    }
    return wait_for(calls, w, timeout_us, reply_size);
}

static void take_reply(struct calls *c, const uint8_t *node, struct sh_span payload)
{
    struct sh_reader r = sh_reader_over(payload.at, payload.size);
    uint64_t id = sh_get_u64(&r);
    enum sh_err err = sh_err_from_u32(sh_get_u32(&r));
    if (r.bad) {
        return;
    }
    size_t body = sh_reader_left(&r);
    SH_CHECK(pthread_mutex_lock(&c->lock) == 0);
    for (size_t i = 0; i < CALLS_WAITING_MAX; i++) {
        struct waiting *w = &c->waiting[i];
        if (id == 0 || w->id != id || w->done || memcmp(w->node, node, SH_NODE_ID_BYTES) != 0) {
            continue;
        }
        w->done = true;
        w->err = body > w->capacity ? SH_ERR_LIMIT : err;
        if (w->err == SH_OK && body > 0) {
            memcpy(w->reply, payload.at + REPLY_HEAD, body);
            w->reply_size = body;
        }
        SH_CHECK(pthread_cond_broadcast(&c->answered) == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&c->lock) == 0);
}

static void take_request(struct calls *c, enum calls_plane plane, const uint8_t *node,
                         struct sh_span payload)
{
    struct sh_reader r = sh_reader_over(payload.at, payload.size);
    struct asked q = {.plane = plane};
    q.id = sh_get_u64(&r);
    q.kind = (enum service_call_kind)sh_get_u8(&r);
    if (r.bad) {
        return;
    }
    memcpy(q.node, node, SH_NODE_ID_BYTES);
    q.size = sh_reader_left(&r);
    enum sh_err err = take_room(c, q.size) ? SH_OK : SH_ERR_FULL;
    if (err == SH_OK) {
        q.bytes = malloc(q.size > 0 ? q.size : 1);
        err = q.bytes == NULL ? SH_ERR_NO_MEMORY : SH_OK;
        if (err == SH_OK && q.size > 0) {
            memcpy(q.bytes, payload.at + REQUEST_HEAD, q.size);
        }
        err = err == SH_OK ? queue_push(c->queue, &q) : err;
        if (err != SH_OK) {
            release(c, &q);
        }
    }
    if (err != SH_OK) {
        uint8_t frame[REPLY_HEAD];
        send_reply(c, &q, err, frame, 0);
    }
}

void calls_receive(struct calls *calls, enum calls_plane plane,
                   const uint8_t node[SH_NODE_ID_BYTES], enum calls_frame frame,
                   struct sh_span payload)
{
    if (frame == CALLS_REPLY) {
        take_reply(calls, node, payload);
    } else {
        take_request(calls, plane, node, payload);
    }
}

void calls_peer_down(struct calls *calls, enum calls_plane plane,
                     const uint8_t node[SH_NODE_ID_BYTES])
{
    SH_CHECK(pthread_mutex_lock(&calls->lock) == 0);
    for (size_t i = 0; i < CALLS_WAITING_MAX; i++) {
        struct waiting *w = &calls->waiting[i];
        if (w->id != 0 && !w->done && w->plane == plane &&
            memcmp(w->node, node, SH_NODE_ID_BYTES) == 0) {
            w->done = true;
            w->err = SH_ERR_UNREACHABLE;
        }
    }
    SH_CHECK(pthread_cond_broadcast(&calls->answered) == 0);
    SH_CHECK(pthread_mutex_unlock(&calls->lock) == 0);
}
