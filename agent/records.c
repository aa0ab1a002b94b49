/* SPDX-License-Identifier: Apache-2.0 */
#include "records_parts.h"

#include "journal.h"

#include "base/host/host.h"
#include "base/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REQUEST_BYTES = 262144 };

#define WAIT_US UINT64_C(60000000) /* for a row; queue_stop ends it earlier */

/* ---- rows on the wire: job, step, wall, value, name, line ---- */

void records_row_put(struct sh_writer *w, const struct records_row *row)
{
    sh_put_u64(w, row->job);
    sh_put_u64(w, row->step);
    sh_put_u64(w, row->wall_us);
    sh_put_f64(w, row->value);
    sh_put_str(w, row->name);
    sh_put_u16(w, row->size);
    sh_put_bytes(w, row->line, row->size);
}

void records_row_get(struct sh_reader *r, struct records_row *row)
{
    row->job = sh_get_u64(r);
    row->step = sh_get_u64(r);
    row->wall_us = sh_get_u64(r);
    row->value = sh_get_f64(r);
    sh_get_str(r, row->name, sizeof row->name);
    row->size = sh_get_u16(r);
    r->bad = r->bad || row->size > sizeof row->line;
    sh_get_bytes(r, row->line, r->bad ? 0 : row->size);
}

static void put_point(struct sh_writer *w, const struct service_point *p)
{
    sh_put_u64(w, p->step);
    sh_put_u64(w, p->wall_us);
    sh_put_f64(w, p->value);
}

static struct service_point get_point(struct sh_reader *r)
{
    struct service_point p;
    p.step = sh_get_u64(r);
    p.wall_us = sh_get_u64(r);
    p.value = sh_get_f64(r);
    return p;
}

void records_row_store(struct records *r, struct kv_batch *batch, const struct records_row *row)
{
    if (row->name[0] != '\0') {
        struct series_point point = {
            .step = row->step, .value = row->value, .wall_us = row->wall_us};
        series_put_point(&r->s->series, batch, row->job, row->name, &point);
    } else {
        struct series_row line = {.seq = row->step,
                                  .wall_us = row->wall_us,
                                  .text = {.at = row->line, .size = row->size}};
        series_put_line(&r->s->series, batch, row->job, &line);
    }
}

/* ---- writing ---- */

void records_keep(struct records *r, struct kv_batch *batch)
{
    enum sh_err err = kv_write(r->s->bulk_kv, batch, false);
    kv_batch_fini(batch);
    if (err != SH_OK && !atomic_exchange(&r->warned, true)) {
        journal_warn("metrics and logs are not kept by this agent: %s", sh_err_text(err));
    }
}

void records_offer(struct records *r, const struct records_row *row)
{
    /* FULL: this row stays on this agent only, as the header says. */
    SH_MAY_FAIL(queue_push(r->queue, row));
}

static struct records_row point_row(uint64_t job, const struct service_measure *m)
{
    struct records_row row = {
        .job = job, .step = m->point.step, .wall_us = m->point.wall_us, .value = m->point.value};
    (void)snprintf(row.name, sizeof row.name, "%s", m->name);
    return row;
}

void records_points(struct records *r, uint64_t job, const struct service_measure *measures,
                    size_t count)
{
    struct kv_batch batch;
    kv_batch_init(&batch);
    for (size_t i = 0; i < count; i++) {
        struct records_row row = point_row(job, &measures[i]);
        records_row_store(r, &batch, &row);
    }
    records_keep(r, &batch);
    for (size_t i = 0; i < count; i++) {
        struct records_row row = point_row(job, &measures[i]);
        records_offer(r, &row);
    }
}

/* ---- copies ---- */

struct choice {
    uint64_t weight;
    uint8_t node[SH_NODE_ID_BYTES];
};

/* The live agents with the largest hash of (job, node): the same ones on every agent. */
static size_t choose(struct records *r, uint64_t job, struct choice out[static RECORDS_COPIES])
{
    uint8_t alive[WIRE_MEMBERS_MAX][SH_NODE_ID_BYTES];
    size_t count = members_alive(r->s->members, alive, WIRE_MEMBERS_MAX);
    size_t chosen = 0;
    for (size_t i = 0; i < count; i++) {
        struct choice c = {.weight = sh_hash64(job, alive[i], SH_NODE_ID_BYTES)};
        memcpy(c.node, alive[i], SH_NODE_ID_BYTES);
        if (chosen < RECORDS_COPIES) {
            out[chosen++] = c;
            continue;
        }
        size_t least = 0;
        for (size_t k = 1; k < chosen; k++) {
            least = out[k].weight < out[least].weight ? k : least;
        }
        if (c.weight > out[least].weight) {
            out[least] = c;
        }
    }
    return chosen;
}

/* Rows of one job that wait for their copies. */
struct parcel {
    uint64_t job;
    uint32_t count;
    struct sh_writer w; /* over bytes: op, count, rows */
    uint8_t bytes[REQUEST_BYTES];
};

static void parcel_begin(struct parcel *p, uint64_t job)
{
    p->job = job;
    p->count = 0;
    p->w = sh_writer_over(p->bytes, sizeof p->bytes);
    sh_put_u8(&p->w, RECORDS_PUT);
    sh_put_u32(&p->w, 0);
}

static bool parcel_full(const struct parcel *p)
{
    return sizeof p->bytes - p->w.used < RECORDS_ROW_BYTES;
}

static void parcel_add(struct parcel *p, const struct records_row *row)
{
    records_row_put(&p->w, row);
    p->count++;
    SH_CHECK(!p->w.full);
}

/* What does not arrive stays on this agent. */
static void parcel_send(struct records *r, struct parcel *p)
{
    struct choice to[RECORDS_COPIES];
    size_t targets = choose(r, p->job, to);
    struct sh_writer head = sh_writer_over(p->bytes, 5);
    sh_put_u8(&head, RECORDS_PUT);
    sh_put_u32(&head, p->count);
    for (size_t i = 0; i < targets; i++) {
        size_t size = 0;
        uint8_t none[1];
        SH_MAY_FAIL(calls_ask(r->s->calls, CALLS_CONTROL, to[i].node, SERVICE_CALL_SERIES, p->bytes,
                              p->w.used, none, sizeof none, &size, RECORDS_ASK_US));
    }
}

static void note_settled(struct records *r, uint64_t ticket, bool ended)
{
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
    r->settled = ticket > r->settled ? ticket : r->settled;
    r->ended = r->ended || ended;
    SH_CHECK(pthread_cond_broadcast(&r->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&r->lock) == 0);
}

/* A row of no job goes the way of the others: those of a job before it are sent at once. */
enum sh_err records_settle(struct records *r, uint64_t timeout_us)
{
    uint64_t until_us = sh_now_us() + timeout_us;
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000u),
                             .tv_nsec = (long)(until_us % 1000000u * 1000u)};
    struct records_row mark = {.job = 0};
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
    mark.step = r->asked + 1;
    enum sh_err err = queue_push(r->queue, &mark);
    r->asked += err == SH_OK;
    while (err == SH_OK && r->settled < mark.step && !r->ended) {
        int failed = pthread_cond_timedwait(&r->changed, &r->lock, &until);
        SH_CHECK(failed == 0 || failed == ETIMEDOUT);
        err = failed == 0 || r->settled >= mark.step ? SH_OK : SH_ERR_TIMEOUT;
    }
    err = err == SH_OK && r->settled < mark.step ? SH_ERR_CANCELLED : err;
    SH_CHECK(pthread_mutex_unlock(&r->lock) == 0);
    return err;
}

static void *run(void *arg)
{
    struct records *r = arg;
    struct parcel *p = calloc(1, sizeof *p);
    SH_CHECK(p != NULL);
    struct records_row next;
    bool have = false;
    sh_thread_name("records");
    while (!calls_stopped(r->s->calls)) {
        if (!have && !queue_wait(r->queue, &next, WAIT_US)) {
            continue;
        }
        if (next.job == 0) {
            note_settled(r, next.step, false);
            have = false;
            continue;
        }
        parcel_begin(p, next.job);
        parcel_add(p, &next);
        have = false;
        uint64_t until = sh_now_us() + RECORDS_FLUSH_US;
        while (!parcel_full(p) && !have) {
            uint64_t now = sh_now_us();
            if (now >= until || !queue_wait(r->queue, &next, until - now)) {
                break;
            }
            have = next.job != p->job;
            if (!have) {
                parcel_add(p, &next);
            }
        }
        parcel_send(r, p);
    }
    note_settled(r, 0, true);
    free(p);
    return NULL;
}

/* ---- answering ---- */

static enum sh_err answer_put(struct records *r, struct sh_reader *request)
{
    uint32_t count = sh_get_u32(request);
    struct kv_batch batch;
    kv_batch_init(&batch);
    for (uint32_t i = 0; i < count && !request->bad; i++) {
        struct records_row row;
        records_row_get(request, &row);
        if (!request->bad) {
            records_row_store(r, &batch, &row);
        }
    }
    enum sh_err err = request->bad ? SH_ERR_CORRUPT : kv_write(r->s->bulk_kv, &batch, false);
    kv_batch_fini(&batch);
    return err;
}

static enum sh_err local_points(struct records *r, uint64_t job, const char *name, uint64_t from,
                                struct service_point *out, uint32_t capacity, uint32_t *count)
{
    struct series_point *points = calloc(capacity, sizeof *points);
    if (points == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = series_points(&r->s->series, job, name, from, points, capacity, count);
    for (uint32_t i = 0; err == SH_OK && i < *count; i++) {
        out[i] = (struct service_point){
            .step = points[i].step, .wall_us = points[i].wall_us, .value = points[i].value};
    }
    free(points);
    return err;
}

static enum sh_err answer_points(struct records *r, struct sh_reader *request,
                                 struct sh_writer *reply)
{
    char name[SH_NAME_MAX + 1];
    uint64_t job = sh_get_u64(request);
    uint64_t from = sh_get_u64(request);
    sh_get_str(request, name, sizeof name);
    struct service_point *points = calloc(RECORDS_PAGE_MAX, sizeof *points);
    uint32_t count = 0;
    enum sh_err err = points == NULL                    ? SH_ERR_NO_MEMORY
                      : request->bad || name[0] == '\0' ? SH_ERR_CORRUPT
                                                        : SH_OK;
    if (err == SH_OK) {
        err = local_points(r, job, name, from, points, RECORDS_PAGE_MAX, &count);
    }
    sh_put_u32(reply, count);
    for (uint32_t i = 0; i < count; i++) {
        put_point(reply, &points[i]);
    }
    free(points);
    return err == SH_OK && reply->full ? SH_ERR_LIMIT : err;
}

/* One flag for each name, and its point where there is one. */
static enum sh_err answer_newest(struct records *r, struct sh_reader *request,
                                 struct sh_writer *reply)
{
    uint64_t job = sh_get_u64(request);
    uint8_t count = sh_get_u8(request);
    for (uint8_t i = 0; i < count; i++) {
        char name[SH_NAME_MAX + 1];
        struct series_point p;
        sh_get_str(request, name, sizeof name);
        if (request->bad || name[0] == '\0') {
            return SH_ERR_CORRUPT;
        }
        enum sh_err err = series_newest(&r->s->series, job, name, &p);
        if (err != SH_OK && err != SH_ERR_NOT_FOUND) {
            return err;
        }
        sh_put_u8(reply, err == SH_OK ? 1 : 0);
        if (err == SH_OK) {
            struct service_point out = {p.step, p.wall_us, p.value};
            put_point(reply, &out);
        }
    }
    return request->bad ? SH_ERR_CORRUPT : reply->full ? SH_ERR_LIMIT : SH_OK;
}

static enum sh_err answer_names(struct records *r, struct sh_reader *request,
                                struct sh_writer *reply)
{
    uint64_t job = sh_get_u64(request);
    struct series_name *names = calloc(RECORDS_NAMES_MAX, sizeof *names);
    uint32_t count = 0;
    enum sh_err err = names == NULL ? SH_ERR_NO_MEMORY : request->bad ? SH_ERR_CORRUPT : SH_OK;
    if (err == SH_OK) {
        err = series_names(&r->s->series, job, names, RECORDS_NAMES_MAX, &count);
    }
    sh_put_u32(reply, count);
    for (uint32_t i = 0; i < count; i++) {
        sh_put_str(reply, names[i].text);
    }
    free(names);
    return err == SH_OK && reply->full ? SH_ERR_LIMIT : err;
}

static enum sh_err answer_series(void *ctx, struct sh_span bytes, uint8_t *reply, size_t capacity,
                                 size_t *reply_size)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    struct sh_writer w = sh_writer_over(reply, capacity);
    uint8_t op = sh_get_u8(&r);
    enum sh_err err = op == RECORDS_PUT      ? answer_put(ctx, &r)
                      : op == RECORDS_GET    ? answer_points(ctx, &r, &w)
                      : op == RECORDS_NEWEST ? answer_newest(ctx, &r, &w)
                      : op == RECORDS_NAMES  ? answer_names(ctx, &r, &w)
                                             : SH_ERR_INVALID;
    *reply_size = w.used;
    return err;
}

/* ---- reading ---- */

/* Inserts by step; an equal step keeps the newer point. Beyond capacity the largest steps go. */
static void merge_point(struct service_point *out, size_t capacity, size_t *count,
                        const struct service_point *p)
{
    size_t low = 0;
    size_t high = *count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (out[middle].step < p->step) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < *count && out[low].step == p->step) {
        if (p->wall_us > out[low].wall_us) {
            out[low] = *p;
        }
        return;
    }
    if (low >= capacity) {
        return;
    }
    size_t moved = (*count < capacity ? *count : capacity - 1) - low;
    memmove(&out[low + 1], &out[low], moved * sizeof *out);
    out[low] = *p;
    *count = *count < capacity ? *count + 1 : capacity;
}

static void take_points(struct records_question *q, struct sh_reader *reply)
{
    uint32_t count = sh_get_u32(reply);
    for (uint32_t i = 0; i < count && !reply->bad; i++) {
        struct service_point p = get_point(reply);
        if (!reply->bad && p.step >= q->from) {
            merge_point(q->out, q->capacity, &q->count, &p);
        }
    }
}

static void take_newest(struct records_question *q, struct sh_reader *reply)
{
    struct service_newest *out = q->out;
    for (size_t i = 0; i < q->capacity; i++) {
        bool has = sh_get_u8(reply) != 0;
        struct service_point p = {0};
        if (has) {
            p = get_point(reply);
        }
        if (reply->bad) {
            return;
        }
        bool newer = p.step > out[i].point.step ||
                     (p.step == out[i].point.step && p.wall_us > out[i].point.wall_us);
        if (has && (!out[i].known || newer)) {
            out[i] = (struct service_newest){.known = true, .point = p};
        }
    }
}

static void take_names(struct records_question *q, struct sh_reader *reply)
{
    struct service_series_name *out = q->out;
    uint32_t count = sh_get_u32(reply);
    for (uint32_t i = 0; i < count && !reply->bad; i++) {
        struct service_series_name name;
        sh_get_str(reply, name.text, sizeof name.text);
        size_t at = 0;
        while (at < q->count && strcmp(out[at].text, name.text) < 0) {
            at++;
        }
        bool known = at < q->count && strcmp(out[at].text, name.text) == 0;
        if (!reply->bad && !known && q->count < q->capacity) {
            memmove(&out[at + 1], &out[at], (q->count - at) * sizeof *out);
            out[at] = name;
            q->count++;
        }
    }
}

enum sh_err records_ask_all(struct records *r, struct records_question *q, uint64_t deadline)
{
    uint8_t nodes[WIRE_MEMBERS_MAX + 1][SH_NODE_ID_BYTES];
    memcpy(nodes[0], r->s->trust.node, SH_NODE_ID_BYTES);
    size_t count = 1 + members_alive(r->s->members, &nodes[1], WIRE_MEMBERS_MAX);
    uint8_t *reply = malloc(CALLS_REPLY_MAX);
    enum sh_err result = SH_ERR_NO_MEMORY;
    for (size_t i = 0; reply != NULL && i < count; i++) {
        uint64_t now = sh_now_us();
        uint64_t left = (now < deadline ? deadline - now : 0) / (count - i);
        size_t size = 0;
        enum sh_err err =
            calls_ask(r->s->calls, CALLS_CONTROL, nodes[i], q->kind, q->bytes, q->size, reply,
                      CALLS_REPLY_MAX, &size, left < RECORDS_ASK_US ? left : RECORDS_ASK_US);
        if (err == SH_OK) {
            struct sh_reader reader = sh_reader_over(reply, size);
            q->take(q, &reader);
            result = SH_OK;
        }
        result = i == 0 ? err : result;
    }
    free(reply);
    return result;
}

/* Asks page by page: an agent gives one page at most, and a merged page that is not full is the
 * last.
 */
enum sh_err records_read_points(struct records *r, uint64_t job, const char *name, uint64_t from,
                                struct service_point *out, size_t capacity, size_t *count,
                                uint64_t timeout_us)
{
    uint64_t deadline = sh_now_us() + timeout_us;
    bool more = true;
    *count = 0;
    while (more && *count < capacity) {
        size_t room = capacity - *count;
        size_t page = room < RECORDS_PAGE_MAX ? room : RECORDS_PAGE_MAX;
        struct records_question q = {.kind = SERVICE_CALL_SERIES,
                                     .take = take_points,
                                     .from = from,
                                     .out = out + *count,
                                     .capacity = page};
        struct sh_writer w = sh_writer_over(q.bytes, sizeof q.bytes);
        sh_put_u8(&w, RECORDS_GET);
        sh_put_u64(&w, job);
        sh_put_u64(&w, from);
        sh_put_str(&w, name);
        if (w.full || name[0] == '\0') {
            return SH_ERR_INVALID;
        }
        q.size = w.used;
        enum sh_err err = records_ask_all(r, &q, deadline);
        if (err != SH_OK) {
            return err;
        }
        *count += q.count;
        more = q.count == page && out[*count - 1].step < UINT64_MAX;
        from = more ? out[*count - 1].step + 1 : from;
    }
    return SH_OK;
}

enum sh_err records_newest(struct records *r, uint64_t job, const char *const *names, size_t count,
                           struct service_newest *out, uint64_t timeout_us)
{
    struct records_question q = {
        .kind = SERVICE_CALL_SERIES, .take = take_newest, .out = out, .capacity = count};
    struct sh_writer w = sh_writer_over(q.bytes, sizeof q.bytes);
    SH_CHECK_CMP(count, <=, SERVICE_NEWEST_MAX);
    memset(out, 0, count * sizeof *out);
    sh_put_u8(&w, RECORDS_NEWEST);
    sh_put_u64(&w, job);
    sh_put_u8(&w, (uint8_t)count);
    for (size_t i = 0; i < count; i++) {
        if (names[i][0] == '\0' || strlen(names[i]) > SH_NAME_MAX) {
            return SH_ERR_INVALID;
        }
        sh_put_str(&w, names[i]);
    }
    SH_CHECK(!w.full);
    q.size = w.used;
    return records_ask_all(r, &q, sh_now_us() + timeout_us);
}

enum sh_err records_names(struct records *r, uint64_t job, struct service_series_name *out,
                          size_t capacity, size_t *count, uint64_t timeout_us)
{
    struct records_question q = {
        .kind = SERVICE_CALL_SERIES, .take = take_names, .out = out, .capacity = capacity};
    struct sh_writer w = sh_writer_over(q.bytes, sizeof q.bytes);
    sh_put_u8(&w, RECORDS_NAMES);
    sh_put_u64(&w, job);
    q.size = w.used;
    enum sh_err err = records_ask_all(r, &q, sh_now_us() + timeout_us);
    *count = q.count;
    return err;
}

/* ---- life ---- */

enum sh_err records_open(struct records **out, struct service *s)
{
    struct records *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    r->s = s;
    pthread_condattr_t attr;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_cond_init(&r->changed, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    SH_CHECK(pthread_mutex_init(&r->lock, NULL) == 0);
    enum sh_err err = queue_open(&r->queue, RECORDS_QUEUED_MAX, sizeof(struct records_row));
    if (err == SH_OK && pthread_create(&r->thread, NULL, run, r) != 0) {
        queue_close(r->queue);
        err = SH_ERR_NO_MEMORY;
    }
    if (err != SH_OK) {
        SH_CHECK(pthread_cond_destroy(&r->changed) == 0);
        SH_CHECK(pthread_mutex_destroy(&r->lock) == 0);
        free(r);
        return err;
    }
    r->running = true;
    calls_on(s->calls, SERVICE_CALL_SERIES, answer_series, r);
    calls_on(s->calls, SERVICE_CALL_LOGS, records_answer_logs, r);
    *out = r;
    return SH_OK;
}

void records_stop(struct records *r)
{
    SH_CHECK(calls_stopped(r->s->calls));
    queue_stop(r->queue);
    if (r->running) {
        SH_CHECK(pthread_join(r->thread, NULL) == 0);
        r->running = false;
    }
}

void records_close(struct records *r)
{
    if (r == NULL) {
        return;
    }
    SH_CHECK(!r->running);
    queue_close(r->queue);
    SH_CHECK(pthread_cond_destroy(&r->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&r->lock) == 0);
    free(r);
}
