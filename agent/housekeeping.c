/* SPDX-License-Identifier: Apache-2.0 */
#include "housekeeping.h"

#include "copies.h"
#include "garbage.h"
#include "journal.h"
#include "parts.h"
#include "queue.h"

#include "base/host/host.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_US  UINT64_C(1000000)  /* at who is there */
#define RETRY_US UINT64_C(10000000) /* of a pass that failed */

enum errand_kind { SPREAD, COMPACT };

struct errand {
    enum errand_kind kind;
    struct blob_id id;
};

struct housekeeping {
    struct service *s;
    struct queue *errands;
    pthread_t thread;
    bool running;
    pthread_mutex_t pass; /* one at a time; held across disk and network */
    pthread_mutex_t lock; /* last */
    struct service_garbage last;
};

static struct copies_config copies_of(const struct housekeeping *h)
{
    struct copies_config config = {
        .blobs = h->s->blobs, .members = h->s->members, .wanted = h->s->options->copies};
    memcpy(config.me, h->s->trust.node, SH_NODE_ID_BYTES);
    return config;
}

/* ---- passes ---- */

/* From what is here to what of it rows name, as of now or later. */
static enum sh_err look(struct housekeeping *h, struct garbage *g)
{
    struct fsm_view *view = NULL;
    enum sh_err err = garbage_list(g);
    err = err == SH_OK ? service_read(h->s, HOUSEKEEPING_READ_US) : err;
    err = err == SH_OK ? fsm_view_open(h->s->fsm, &view) : err;
    if (err == SH_OK) {
        err = garbage_mark(g, fsm_view_table(view));
        fsm_view_close(view);
    }
    return err;
}

static void note(struct housekeeping *h, struct service_garbage *found)
{
    found->at_us = sh_wall_us();
    SH_CHECK(pthread_mutex_lock(&h->lock) == 0);
    h->last = *found;
    SH_CHECK(pthread_mutex_unlock(&h->lock) == 0);
}

static enum sh_err make_pass(struct housekeeping *h, bool go, bool copies,
                             struct service_garbage *found)
{
    struct garbage *g = NULL;
    struct copies_config config = copies_of(h);
    SH_CHECK(pthread_mutex_lock(&h->pass) == 0);
    enum sh_err err = garbage_open(&g, h->s->blob, &h->s->series);
    err = err == SH_OK ? look(h, g) : err;
    err = err == SH_OK ? garbage_sweep(g, go, found) : err;
    if (err == SH_OK && go) {
        note(h, found);
    }
    struct copies_done done = {.given = 0};
    if (err == SH_OK && copies) {
        err = copies_pass(&config, g, &done);
    }
    garbage_close(g);
    SH_CHECK(pthread_mutex_unlock(&h->pass) == 0);
    if (done.lacking > 0) {
        journal_info("gave %llu of %llu blobs that too few agents held to others",
                     (unsigned long long)done.given, (unsigned long long)done.lacking);
    }
    if (err == SH_OK && go && found->loose_blobs + found->partials + found->jobs > 0) {
        struct errand errand = {.kind = COMPACT};
        SH_MAY_FAIL(queue_push(h->errands, &errand)); /* the next pass that frees anything will */
    }
    return err;
}

/* ---- others ask ---- */

static void put_found(struct sh_writer *w, const struct service_garbage *f)
{
    sh_put_u64(w, f->at_us);
    sh_put_u64(w, f->blobs);
    sh_put_u64(w, f->bytes);
    sh_put_u64(w, f->loose_blobs);
    sh_put_u64(w, f->loose_bytes);
    sh_put_u64(w, f->leased_blobs);
    sh_put_u64(w, f->leased_bytes);
    sh_put_u64(w, f->partials);
    sh_put_u64(w, f->jobs);
}

static void get_found(struct sh_reader *r, struct service_garbage *f)
{
    f->at_us = sh_get_u64(r);
    f->blobs = sh_get_u64(r);
    f->bytes = sh_get_u64(r);
    f->loose_blobs = sh_get_u64(r);
    f->loose_bytes = sh_get_u64(r);
    f->leased_blobs = sh_get_u64(r);
    f->leased_bytes = sh_get_u64(r);
    f->partials = sh_get_u64(r);
    f->jobs = sh_get_u64(r);
}

static enum sh_err answer(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                          size_t *reply_size)
{
    struct sh_reader r = sh_reader_over(request.at, request.size);
    struct sh_writer w = sh_writer_over(reply, capacity);
    struct service_garbage found = {.at_us = 0};
    bool go = sh_get_bool(&r);
    enum sh_err err = r.bad ? SH_ERR_INVALID : make_pass(ctx, go, false, &found);
    put_found(&w, &found);
    *reply_size = w.used;
    return err == SH_OK && w.full ? SH_ERR_LIMIT : err;
}

enum sh_err service_collect(struct service *s, const uint8_t node[SH_NODE_ID_BYTES], bool go,
                            struct service_garbage *out, uint64_t timeout_us)
{
    uint8_t request[1] = {go ? 1 : 0};
    uint8_t reply[128];
    size_t size = 0;
    enum sh_err err = calls_ask(s->calls, CALLS_CONTROL, node, SERVICE_CALL_COLLECT, request,
                                sizeof request, reply, sizeof reply, &size, timeout_us);
    struct sh_reader r = sh_reader_over(reply, size);
    get_found(&r, out);
    return err != SH_OK ? err : sh_reader_end(&r);
}

/* ---- the thread ---- */

static uint64_t who_is_there(struct housekeeping *h)
{
    uint8_t alive[BLOBS_HOLDERS_MAX][SH_NODE_ID_BYTES];
    size_t count = members_alive(h->s->members, alive, SH_COUNT(alive));
    return sh_hash64(count, alive, count * SH_NODE_ID_BYTES);
}

static void run_errand(struct housekeeping *h, const struct errand *e)
{
    if (e->kind == SPREAD) {
        /* Passes find what does not work now. */
        SH_MAY_FAIL(blobs_copy(h->s->blobs, &e->id, h->s->options->copies, NULL, BLOBS_CALL_US));
        return;
    }
    enum sh_err err = blob_compact(h->s->blob);
    err = err == SH_OK ? kv_compact(h->s->bulk_kv, h->s->series.cf, KV_ALL, KV_ALL) : err;
    if (err != SH_OK) {
        journal_warn("space of what was collected is not free yet: %s", sh_err_text(err));
    }
}

static void *run(void *arg)
{
    struct housekeeping *h = arg;
    uint64_t every_us = h->s->options->collect_every_us;
    uint64_t next_us = sh_now_us() + every_us;
    uint64_t there = who_is_there(h);
    sh_thread_name("housekeeping");
    while (!calls_stopped(h->s->calls)) {
        struct errand errand;
        uint64_t now = sh_now_us();
        uint64_t left = next_us > now ? next_us - now : 0;
        if (queue_wait(h->errands, &errand, left < LOOK_US ? left : LOOK_US)) {
            run_errand(h, &errand);
            continue;
        }
        now = sh_now_us();
        uint64_t seen = who_is_there(h);
        if (seen != there) {
            there = seen;
            next_us = now + HOUSEKEEPING_SETTLE_US;
        }
        if (now >= next_us && !calls_stopped(h->s->calls)) {
            struct service_garbage found;
            enum sh_err err = make_pass(h, true, true, &found);
            next_us = sh_now_us() + (err == SH_OK || every_us < RETRY_US ? every_us : RETRY_US);
        }
    }
    return NULL;
}

/* ---- life ---- */

static void on_put(void *ctx, const struct blob_id *id)
{
    struct housekeeping *h = ctx;
    struct errand errand = {.kind = SPREAD, .id = *id};
    SH_MAY_FAIL(queue_push(h->errands, &errand)); /* FULL, or ending */
}

enum sh_err housekeeping_open(struct housekeeping **out, struct service *s)
{
    struct housekeeping *h = calloc(1, sizeof *h);
    *out = NULL;
    if (h == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    h->s = s;
    enum sh_err err = queue_open(&h->errands, HOUSEKEEPING_QUEUED_MAX, sizeof(struct errand));
    if (err != SH_OK) {
        free(h);
        return err;
    }
    SH_CHECK(pthread_mutex_init(&h->pass, NULL) == 0);
    SH_CHECK(pthread_mutex_init(&h->lock, NULL) == 0);
    calls_on(s->calls, SERVICE_CALL_COLLECT, answer, h);
    blobs_on_put(s->blobs, on_put, h);
    *out = h;
    return SH_OK;
}

enum sh_err housekeeping_start(struct housekeeping *h)
{
    h->running = pthread_create(&h->thread, NULL, run, h) == 0;
    return h->running ? SH_OK : SH_ERR_NO_MEMORY;
}

void housekeeping_stop(struct housekeeping *h)
{
    SH_CHECK(calls_stopped(h->s->calls));
    queue_stop(h->errands);
    if (h->running) {
        SH_CHECK(pthread_join(h->thread, NULL) == 0);
        h->running = false;
    }
}

void housekeeping_close(struct housekeeping *h)
{
    if (h == NULL) {
        return;
    }
    SH_CHECK(!h->running);
    queue_close(h->errands);
    SH_CHECK(pthread_mutex_destroy(&h->pass) == 0);
    SH_CHECK(pthread_mutex_destroy(&h->lock) == 0);
    free(h);
}

void housekeeping_last(struct housekeeping *h, struct service_garbage *out)
{
    SH_CHECK(pthread_mutex_lock(&h->lock) == 0);
    *out = h->last;
    SH_CHECK(pthread_mutex_unlock(&h->lock) == 0);
}
