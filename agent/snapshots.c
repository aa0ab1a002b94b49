/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshots.h"

#include "journal.h"

#include "base/host/host.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum snapshots_op { OP_OPEN = 1, OP_READ = 2, OP_DONE = 3 };
enum { REQUEST_MAX = 32, EVENTS_MAX = 64, REPLY_HEAD = 4 };

#define REAP_US  UINT64_C(1000000)
#define RETRY_US UINT64_C(100000)

/* One that is being given to another agent. */
struct stream {
    bool taken;
    bool busy; /* a worker scans: the lock is not held meanwhile */
    uint64_t id;
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t index;
    uint64_t used_us;
    struct fsm_out *out;
    uint32_t number; /* of the chunk in bytes; UINT32_MAX: none yet */
    size_t size;
    uint8_t *bytes; /* FSM_SNAPSHOT_CHUNK_MAX */
};

enum state {
    IDLE,
    PULLING,
    STAGED, /* complete: the loop decides */
    FLIPPING
};

struct snapshots {
    struct snapshots_config config;
    struct queue *events;
    pthread_t thread;
    bool running;
    uint8_t *chunk; /* FSM_SNAPSHOT_CHUNK_MAX, the thread's */
    uint8_t *piece; /* the thread's */

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake;
    bool stopping;
    struct stream streams[SNAPSHOTS_SERVED_MAX];
    enum state state;
    bool ordered;
    uint8_t order[SH_NODE_ID_BYTES];  /* whom to pull from next */
    uint8_t source[SH_NODE_ID_BYTES]; /* whom it is pulled from now */
    struct fsm_in *in;                /* the thread's while PULLING, the loop's while STAGED */
    bool dropped;
    uint64_t installed;
};

static void lock(struct snapshots *s)
{
    SH_CHECK(pthread_mutex_lock(&s->lock) == 0);
}

static void unlock(struct snapshots *s)
{
    SH_CHECK(pthread_mutex_unlock(&s->lock) == 0);
}

/* The loop drains this queue at every wake-up; where it is full all the same, what is said with an
 * event comes to pass by its deadline too. */
static void tell(struct snapshots *s, const struct snapshots_event *event)
{
    SH_MAY_FAIL(queue_push(s->events, event));
}

/* ---- giving ---- */

/* Under the lock. */
static struct stream *stream_of(struct snapshots *s, uint64_t id)
{
    for (size_t i = 0; i < SNAPSHOTS_SERVED_MAX; i++) {
        if (s->streams[i].taken && s->streams[i].id == id) {
            return &s->streams[i];
        }
    }
    return NULL;
}

/* Under the lock: an empty place, or the one that this node had and has given up. What lay there is
 * moved to *old for the caller to close. NULL: all are in use. */
static struct stream *place_for(struct snapshots *s, const uint8_t *node, struct stream *old)
{
    uint64_t now = sh_now_us();
    for (size_t i = 0; i < SNAPSHOTS_SERVED_MAX; i++) {
        struct stream *p = &s->streams[i];
        bool same = p->taken && memcmp(p->node, node, SH_NODE_ID_BYTES) == 0;
        if (!p->busy && (same || (p->taken && now - p->used_us > SNAPSHOTS_IDLE_US))) {
            *old = *p;
            *p = (struct stream){0};
            return p;
        }
        if (same) {
            return NULL;
        }
    }
    for (size_t i = 0; i < SNAPSHOTS_SERVED_MAX; i++) {
        if (!s->streams[i].taken) {
            return &s->streams[i];
        }
    }
    return NULL;
}

static void close_stream(struct stream *stream)
{
    if (stream->taken) {
        fsm_out_close(stream->out);
        free(stream->bytes);
        *stream = (struct stream){0};
    }
}

static enum sh_err answer_open(struct snapshots *s, struct sh_reader *r, struct sh_writer *w)
{
    struct stream old = {0};
    struct stream new = {.taken = true, .id = sh_random_u64() | 1, .number = UINT32_MAX};
    sh_get_bytes(r, new.node, SH_NODE_ID_BYTES);
    if (r->bad) {
        return SH_ERR_INVALID;
    }
    lock(s);
    struct stream *p = place_for(s, new.node, &old);
    if (p != NULL) {
        *p = (struct stream){.taken = true, .busy = true};
    }
    unlock(s);
    close_stream(&old);
    if (p == NULL) {
        return SH_ERR_FULL;
    }
    new.bytes = malloc(FSM_SNAPSHOT_CHUNK_MAX);
    enum sh_err err = new.bytes == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    if (err == SH_OK) {
        err = fsm_out_open(s->config.fsm, new.id, s->config.schema, &new.out);
    }
    if (err == SH_OK) {
        new.index = fsm_out_applied(new.out)->index;
        new.used_us = sh_now_us();
    } else {
        free(new.bytes);
        new = (struct stream){0};
    }
    lock(s);
    *p = new;
    SH_CHECK(pthread_cond_broadcast(&s->wake) == 0); /* it is to be closed one day */
    unlock(s);
    sh_put_u64(w, new.id);
    return err;
}

/* The stream, busy for the caller alone; IN_USE where another worker has it. */
static enum sh_err claim_stream(struct snapshots *s, uint64_t id, struct stream **out)
{
    lock(s);
    struct stream *p = stream_of(s, id);
    enum sh_err err = p == NULL ? SH_ERR_NOT_FOUND : SH_OK;
    if (p != NULL && p->busy) {
        err = SH_ERR_IN_USE;
    }
    if (err == SH_OK) {
        p->busy = true;
    }
    unlock(s);
    *out = p;
    return err;
}

static void release_stream(struct snapshots *s, struct stream *p)
{
    lock(s);
    p->busy = false;
    p->used_us = sh_now_us();
    unlock(s);
}

static enum sh_err put_piece(struct stream *p, uint32_t number, uint32_t offset,
                             struct sh_writer *w)
{
    if (number == p->number + 1) {
        p->size = fsm_out_next(p->out, p->bytes);
        p->number = number;
    }
    if (number != p->number || offset >= p->size) {
        return SH_ERR_INVALID; /* behind, ahead, or past the end */
    }
    size_t left = p->size - offset;
    size_t room = w->size - REPLY_HEAD;
    size_t most = room < SNAPSHOTS_PIECE_BYTES ? room : SNAPSHOTS_PIECE_BYTES;
    sh_put_u32(w, (uint32_t)p->size);
    sh_put_bytes(w, p->bytes + offset, left < most ? left : most);
    return SH_OK;
}

static enum sh_err answer_read(struct snapshots *s, struct sh_reader *r, struct sh_writer *w)
{
    struct stream *p;
    uint64_t id = sh_get_u64(r);
    uint32_t number = sh_get_u32(r);
    uint32_t offset = sh_get_u32(r);
    if (r->bad || w->size <= REPLY_HEAD) {
        return SH_ERR_INVALID;
    }
    enum sh_err err = claim_stream(s, id, &p);
    if (err == SH_OK) {
        err = put_piece(p, number, offset, w);
        release_stream(s, p);
    }
    return err;
}

static enum sh_err answer_done(struct snapshots *s, struct sh_reader *r)
{
    uint64_t id = sh_get_u64(r);
    uint32_t outcome = sh_get_u32(r);
    if (r->bad) {
        return SH_ERR_INVALID;
    }
    lock(s);
    struct stream *p = stream_of(s, id);
    struct stream old = {0};
    if (p != NULL && !p->busy) {
        old = *p;
        *p = (struct stream){0};
    }
    unlock(s);
    if (old.taken) {
        struct snapshots_event event = {.kind = SNAPSHOTS_SENT, .ok = outcome == SH_OK};
        memcpy(event.node, old.node, SH_NODE_ID_BYTES);
        tell(s, &event);
    }
    close_stream(&old);
    return SH_OK;
}

static enum sh_err answer(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                          size_t *reply_size)
{
    struct snapshots *s = ctx;
    struct sh_reader r = sh_reader_over(request.at, request.size);
    struct sh_writer w = sh_writer_over(reply, capacity);
    enum sh_err err = SH_ERR_INVALID;
    switch (sh_get_u8(&r)) {
    case OP_OPEN:
        err = answer_open(s, &r, &w);
        break;
    case OP_READ:
        err = answer_read(s, &r, &w);
        break;
    case OP_DONE:
        err = answer_done(s, &r);
        break;
    default:
        break;
    }
    *reply_size = w.used;
    return err == SH_OK && w.full ? SH_ERR_LIMIT : err;
}

/* Closes what nobody has asked for in a while. */
static void reap(struct snapshots *s)
{
    uint64_t now = sh_now_us();
    for (size_t i = 0; i < SNAPSHOTS_SERVED_MAX; i++) {
        struct stream old = {0};
        lock(s);
        struct stream *p = &s->streams[i];
        if (p->taken && !p->busy && now - p->used_us > SNAPSHOTS_IDLE_US) {
            old = *p;
            *p = (struct stream){0};
        }
        unlock(s);
        close_stream(&old);
    }
}

bool snapshots_serving(struct snapshots *s, const uint8_t node[SH_NODE_ID_BYTES])
{
    bool serving = false;
    uint64_t now = sh_now_us();
    lock(s);
    for (size_t i = 0; i < SNAPSHOTS_SERVED_MAX; i++) {
        const struct stream *p = &s->streams[i];
        serving =
            serving || (p->taken && memcmp(p->node, node, SH_NODE_ID_BYTES) == 0 &&
                        (p->busy || p->used_us > now || now - p->used_us <= SNAPSHOTS_IDLE_US));
    }
    unlock(s);
    return serving;
}

uint64_t snapshots_floor(struct snapshots *s)
{
    uint64_t floor = UINT64_MAX;
    lock(s);
    for (size_t i = 0; i < SNAPSHOTS_SERVED_MAX; i++) {
        const struct stream *p = &s->streams[i];
        floor = p->taken && p->out != NULL && p->index < floor ? p->index : floor;
    }
    unlock(s);
    return floor;
}

/* ---- taking ---- */

struct pull {
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t id;
    uint64_t begun_us;
    uint64_t progress_us; /* the newest piece */
};

/* True when the agent ends, or this one makes no headway and another agent offers one. */
static bool given_up(struct snapshots *s, const struct pull *p)
{
    uint64_t stuck_us = sh_now_us() - p->progress_us;
    lock(s);
    bool other = s->ordered && stuck_us > SNAPSHOTS_CALL_US;
    bool up = s->stopping || other || stuck_us > SNAPSHOTS_IDLE_US;
    unlock(s);
    return up;
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

static void pause_us(struct snapshots *s, uint64_t us)
{
    struct timespec until = after_us(us);
    lock(s);
    bool late = false;
    while (!s->stopping && !late) {
        late = pthread_cond_timedwait(&s->wake, &s->lock, &until) == ETIMEDOUT;
    }
    unlock(s);
}

/* Asks again while that can help. FULL: the other end serves as many as it may. */
static enum sh_err ask(struct snapshots *s, struct pull *p, const struct sh_writer *request,
                       size_t *got)
{
    for (;;) {
        enum sh_err err = calls_ask(s->config.calls, CALLS_BULK, p->node, SERVICE_CALL_SNAPSHOT,
                                    request->at, request->used, s->piece,
                                    REPLY_HEAD + SNAPSHOTS_PIECE_BYTES, got, SNAPSHOTS_CALL_US);
        bool again = err == SH_ERR_TIMEOUT || err == SH_ERR_UNREACHABLE || err == SH_ERR_IN_USE ||
                     err == SH_ERR_FULL;
        if (!again || given_up(s, p)) {
            return err;
        }
        pause_us(s, RETRY_US);
        reap(s);
    }
}

static enum sh_err ask_open(struct snapshots *s, struct pull *p)
{
    uint8_t bytes[REQUEST_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    size_t got = 0;
    sh_put_u8(&w, OP_OPEN);
    sh_put_bytes(&w, s->config.me, SH_NODE_ID_BYTES);
    enum sh_err err = ask(s, p, &w, &got);
    struct sh_reader r = sh_reader_over(s->piece, got);
    p->id = err == SH_OK ? sh_get_u64(&r) : 0;
    return err == SH_OK ? sh_reader_end(&r) : err;
}

/* One whole chunk into s->chunk. */
static enum sh_err ask_chunk(struct snapshots *s, struct pull *p, uint32_t number, size_t *size)
{
    size_t used = 0;
    size_t total = 1;
    while (used < total) {
        uint8_t bytes[REQUEST_MAX];
        struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
        size_t got = 0;
        sh_put_u8(&w, OP_READ);
        sh_put_u64(&w, p->id);
        sh_put_u32(&w, number);
        sh_put_u32(&w, (uint32_t)used);
        enum sh_err err = ask(s, p, &w, &got);
        if (err != SH_OK) {
            return err;
        }
        struct sh_reader r = sh_reader_over(s->piece, got);
        total = sh_get_u32(&r);
        size_t piece = sh_reader_left(&r);
        if (r.bad || piece == 0 || total > FSM_SNAPSHOT_CHUNK_MAX || piece > total - used) {
            return SH_ERR_CORRUPT;
        }
        memcpy(s->chunk + used, s->piece + r.used, piece);
        used += piece;
        p->progress_us = sh_now_us();
    }
    *size = used;
    return SH_OK;
}

static enum sh_err pull_all(struct snapshots *s, struct pull *p, struct fsm_in *in)
{
    enum sh_err err = SH_OK;
    while (err == SH_OK && !fsm_in_complete(in)) {
        size_t size = 0;
        err = ask_chunk(s, p, fsm_in_next(in), &size);
        if (err == SH_OK) {
            err = fsm_in_take(in, (struct sh_span){.at = s->chunk, .size = size});
        }
        reap(s);
        lock(s);
        err = s->stopping ? SH_ERR_CANCELLED : err;
        unlock(s);
    }
    return err;
}

/* Lost: the other end gives up by itself. */
static void say_done(struct snapshots *s, const struct pull *p, enum sh_err outcome)
{
    uint8_t bytes[REQUEST_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    size_t got = 0;
    sh_put_u8(&w, OP_DONE);
    sh_put_u64(&w, p->id);
    sh_put_u32(&w, (uint32_t)outcome);
    SH_MAY_FAIL(calls_ask(s->config.calls, CALLS_BULK, p->node, SERVICE_CALL_SNAPSHOT, bytes,
                          w.used, s->piece, REPLY_HEAD + SNAPSHOTS_PIECE_BYTES, &got,
                          SNAPSHOTS_CALL_US));
}

static enum sh_err decode_conf(const struct fsm_applied *applied, struct raft_conf *conf)
{
    struct sh_reader r = sh_reader_over(applied->conf, applied->conf_size);
    return raft_conf_decode(&r, conf);
}

/* Has the loop decide, which it does within REPLICA_STAGED_US; OK when the snapshot is in place,
 * STALE when it was not wanted. */
static enum sh_err hand_over(struct snapshots *s, struct fsm_in *in)
{
    const struct fsm_applied *applied = fsm_in_applied(in);
    struct snapshots_event event = {.kind = SNAPSHOTS_STAGED,
                                    .snapshot = {.index = applied->index, .term = applied->term}};
    enum sh_err err = decode_conf(applied, &event.snapshot.conf);
    if (err != SH_OK) {
        return err;
    }
    lock(s);
    s->state = STAGED;
    s->in = in;
    s->dropped = false;
    unlock(s);
    err = queue_push_wait(s->events, &event); /* CANCELLED: the agent ends */
    lock(s);
    while (err == SH_OK && !s->stopping && !s->dropped && s->state != IDLE) {
        SH_CHECK(pthread_cond_wait(&s->wake, &s->lock) == 0);
    }
    err = s->state == IDLE ? SH_OK : SH_ERR_STALE;
    err = s->stopping ? SH_ERR_CANCELLED : err;
    s->in = NULL;
    unlock(s);
    return err;
}

static void say_outcome(const struct pull *p, const struct fsm_in *in, enum sh_err err)
{
    char id[2 * SH_NODE_ID_BYTES + 1];
    sh_hex(id, p->node, SH_NODE_ID_BYTES);
    if (err == SH_OK) {
        journal_info("installed a snapshot of index %llu from %.8s: %llu rows, %llu KiB, %llu ms",
                     (unsigned long long)fsm_in_applied(in)->index, id,
                     (unsigned long long)fsm_in_rows(in),
                     (unsigned long long)(fsm_in_bytes(in) >> 10),
                     (unsigned long long)((sh_now_us() - p->begun_us) / 1000));
    } else if (err != SH_ERR_CANCELLED && err != SH_ERR_STALE) {
        journal_warn("no snapshot from %.8s: %s", id, sh_err_text(err));
    }
}

static enum sh_err pull(struct snapshots *s, struct pull *p)
{
    struct fsm_in *in = NULL;
    p->begun_us = sh_now_us();
    p->progress_us = p->begun_us;
    enum sh_err err = ask_open(s, p);
    bool opened = err == SH_OK;
    if (err == SH_OK) {
        err = fsm_in_open(s->config.fsm, s->config.schema, &in);
    }
    if (err == SH_OK) {
        err = pull_all(s, p, in);
    }
    if (err == SH_OK) {
        err = hand_over(s, in);
    }
    if (in != NULL) {
        say_outcome(p, in, err);
    }
    if (opened && err != SH_ERR_CANCELLED) {
        say_done(s, p, err);
    }
    fsm_in_close(in);
    return err;
}

/* Under the lock. */
static bool serves_any(const struct snapshots *s)
{
    bool any = false;
    for (size_t i = 0; i < SNAPSHOTS_SERVED_MAX; i++) {
        any = any || s->streams[i].taken;
    }
    return any;
}

/* Waits for an order, closing what others have left meanwhile; false when the agent ends. */
static bool next_order(struct snapshots *s, struct pull *p)
{
    lock(s);
    while (!s->stopping && !s->ordered) {
        if (!serves_any(s)) {
            SH_CHECK(pthread_cond_wait(&s->wake, &s->lock) == 0);
            continue;
        }
        struct timespec until = after_us(REAP_US);
        if (pthread_cond_timedwait(&s->wake, &s->lock, &until) == ETIMEDOUT) {
            unlock(s);
            reap(s);
            lock(s);
        }
    }
    bool stopping = s->stopping;
    if (!stopping) {
        s->ordered = false;
        s->state = PULLING;
        memcpy(s->source, s->order, SH_NODE_ID_BYTES);
        memcpy(p->node, s->order, SH_NODE_ID_BYTES);
    }
    unlock(s);
    return !stopping;
}

/* Nobody else may have anything to write, and so find out: a member that waits for a snapshot gets
 * nothing but heartbeats. */
static bool store_failed(struct snapshots *s)
{
    struct snapshots_event event = {.kind = SNAPSHOTS_FAILED, .err = fsm_health(s->config.fsm)};
    if (event.err != SH_OK) {
        SH_MAY_FAIL(queue_push_wait(s->events, &event)); /* CANCELLED: the agent ends already */
    }
    return event.err != SH_OK;
}

static void *run(void *arg)
{
    struct snapshots *s = arg;
    struct pull p = {0};
    while (next_order(s, &p)) {
        enum sh_err err = pull(s, &p);
        if (err != SH_OK && store_failed(s)) {
            return NULL;
        }
        if (err != SH_OK && err != SH_ERR_CANCELLED && err != SH_ERR_STALE) {
            pause_us(s, SNAPSHOTS_BACKOFF_US);
        }
        lock(s);
        s->state = IDLE;
        s->ordered = s->ordered && err != SH_OK;
        unlock(s);
    }
    return NULL;
}

/* ---- the loop's side ---- */

void snapshots_pull(struct snapshots *s, const uint8_t node[SH_NODE_ID_BYTES])
{
    lock(s);
    bool other = s->state == PULLING && memcmp(s->source, node, SH_NODE_ID_BYTES) != 0;
    if (!s->ordered && (s->state == IDLE || other)) {
        s->ordered = true;
        memcpy(s->order, node, SH_NODE_ID_BYTES);
        SH_CHECK(pthread_cond_broadcast(&s->wake) == 0);
    }
    unlock(s);
}

struct queue *snapshots_event_queue(struct snapshots *s)
{
    return s->events;
}

struct disk_install *snapshots_take(struct snapshots *s)
{
    struct disk_install *install = calloc(1, sizeof *install);
    SH_CHECK(install != NULL);
    lock(s);
    SH_CHECK(s->state == STAGED && !s->dropped);
    s->state = FLIPPING;
    install->index = fsm_in_applied(s->in)->index;
    install->term = fsm_in_applied(s->in)->term;
    install->quiet = s->config.quiet;
    install->ctx = s->config.ctx;
    kv_batch_init(&install->flip);
    fsm_in_flip(s->in, &install->flip);
    fsm_in_give(s->in);
    unlock(s);
    return install;
}

void snapshots_installed(struct snapshots *s)
{
    lock(s);
    SH_CHECK(s->state == FLIPPING);
    s->state = IDLE;
    s->installed++;
    SH_CHECK(pthread_cond_broadcast(&s->wake) == 0);
    unlock(s);
}

void snapshots_drop(struct snapshots *s)
{
    lock(s);
    SH_CHECK(s->state == STAGED);
    s->dropped = true;
    SH_CHECK(pthread_cond_broadcast(&s->wake) == 0);
    unlock(s);
}

uint64_t snapshots_count(struct snapshots *s)
{
    lock(s);
    uint64_t count = s->installed;
    unlock(s);
    return count;
}

/* ---- life ---- */

enum sh_err snapshots_open(struct snapshots **out, const struct snapshots_config *config)
{
    struct snapshots *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    s->config = *config;
    s->chunk = malloc(FSM_SNAPSHOT_CHUNK_MAX);
    s->piece = malloc(REPLY_HEAD + SNAPSHOTS_PIECE_BYTES);
    enum sh_err err = s->chunk == NULL || s->piece == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    if (err == SH_OK) {
        err = queue_open(&s->events, EVENTS_MAX, sizeof(struct snapshots_event));
    }
    if (err != SH_OK) {
        free(s->chunk);
        free(s->piece);
        free(s);
        return err;
    }
    pthread_condattr_t attr;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&s->wake, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    calls_on(config->calls, SERVICE_CALL_SNAPSHOT, answer, s);
    *out = s;
    return SH_OK;
}

enum sh_err snapshots_start(struct snapshots *s)
{
    if (pthread_create(&s->thread, NULL, run, s) != 0) {
        return SH_ERR_NO_MEMORY;
    }
    s->running = true;
    return SH_OK;
}

void snapshots_stop(struct snapshots *s)
{
    queue_stop(s->events);
    lock(s);
    s->stopping = true;
    SH_CHECK(pthread_cond_broadcast(&s->wake) == 0);
    unlock(s);
    if (s->running) {
        SH_CHECK(pthread_join(s->thread, NULL) == 0);
        s->running = false;
    }
}

void snapshots_close(struct snapshots *s)
{
    if (s == NULL) {
        return;
    }
    SH_CHECK(!s->running);
    for (size_t i = 0; i < SNAPSHOTS_SERVED_MAX; i++) {
        SH_CHECK(!s->streams[i].busy);
        close_stream(&s->streams[i]);
    }
    queue_close(s->events);
    SH_CHECK(pthread_cond_destroy(&s->wake) == 0);
    SH_CHECK(pthread_mutex_destroy(&s->lock) == 0);
    free(s->chunk);
    free(s->piece);
    free(s);
}
