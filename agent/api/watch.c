/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /jobs?watch=1: changes of all jobs from a revision on, as server-sent events. A revision is
 * the index of a log entry, so it means the same at every agent, and a client that goes on with the
 * last id it saw, wherever, misses no change and sees none twice. A watcher holds a number here and
 * one block of text, whatever happens meanwhile: who reads more slowly than jobs change falls
 * behind, and beyond JOBS_WATCH_MAX entries is cut off with "gone". */
#include "api/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_BYTES  ((size_t)64 * 1024)
#define CHANGES    64u
#define CHANGE_MAX ((size_t)900) /* bytes of one change's text */

struct watch {
    struct api *api;
    struct service *service;
    uint64_t at; /* changes up to here were told */
    bool stale;  /* goes on without a quorum */
    bool ended;
    bool told; /* anything at all */
    size_t used;
    size_t sent;
    struct jobs_change changes[CHANGES];
    struct jobs_job job;
    char out[OUT_BYTES];
};

/* Takes value. */
static void put(struct watch *w, const char *type, json_t *value)
{
    char *text = value != NULL ? json_dumps(value, SPEC_JSON_PRINT) : NULL;
    json_decref(value);
    if (text == NULL) {
        w->ended = true; /* out of memory: the client comes again */
        return;
    }
    int n = snprintf(w->out + w->used, OUT_BYTES - w->used, "id: %llu\nevent: %s\ndata: %s\n\n",
                     (unsigned long long)w->at, type, text);
    free(text);
    SH_CHECK_CMP((size_t)n, <, OUT_BYTES - w->used);
    w->used += (size_t)n;
    w->told = true;
}

static json_t *change_json(const struct jobs_change *c, const struct jobs_job *job)
{
    json_t *event = json_pack("{s:I, s:I, s:s, s:s}", "seq", (json_int_t)c->seq, "at_us",
                              (json_int_t)c->stamp_us, "cause", wire_cause_text((uint32_t)c->cause),
                              "code", sh_err_name(c->reason));
    if (event != NULL && c->unit != JOBS_EVENT_ALL_UNITS) {
        (void)json_object_set_new(event, "unit", json_integer(c->unit));
        (void)json_object_set_new(event, "unit_state",
                                  json_string(jobs_state_name((uint32_t)c->unit_state)));
    }
    if (event != NULL && c->more > 0) {
        (void)json_object_set_new(event, "units", json_integer((json_int_t)c->more + 1));
    }
    json_t *row = json_pack("{s:I, s:s, s:s, s:s, s:s, s:i, s:i, s:i}", "id", (json_int_t)c->job,
                            "name", job->name, "kind", api_kind_text(job->kind), "owner",
                            job->owner, "state", jobs_state_name((uint32_t)c->job_state), "units",
                            (int)job->units, "units_completed", (int)c->units_in[JOBS_COMPLETED],
                            "units_running", (int)c->units_in[JOBS_RUNNING]);
    return json_pack("{s:I, s:o, s:o}", "revision", (json_int_t)c->index, "job", row, "event",
                     event);
}

static void end_with(struct watch *w, const char *type, enum sh_err err)
{
    put(w, type,
        json_pack("{s:{s:s, s:s}}", "error", "code", sh_err_name(err), "message",
                  sh_err_text(err)));
    w->ended = true;
}

/* Where the watch stands though nothing changes, so that it can go on from there: its last change
 * may have been forgotten long ago. */
static void put_revision(struct watch *w, uint64_t applied)
{
    uint64_t age_us = service_age_us(w->service, applied);
    if (w->told && age_us > API_WATCH_AGE_US && !w->stale) {
        end_with(w, "lost", SH_ERR_NO_QUORUM);
        return;
    }
    w->at = applied > w->at ? applied : w->at;
    put(w, "revision",
        json_pack("{s:I, s:o}", "revision", (json_int_t)w->at, "age_us",
                  age_us == UINT64_MAX ? json_null() : json_integer((json_int_t)age_us)));
}

static void put_changes(struct watch *w, const struct sh_table *t, uint32_t count)
{
    for (uint32_t i = 0; i < count && OUT_BYTES - w->used > CHANGE_MAX && !w->ended; i++) {
        const struct jobs_change *c = &w->changes[i];
        if (jobs_job_get(t, c->job, &w->job) != SH_OK) {
            end_with(w, "lost", SH_ERR_CORRUPT);
            return;
        }
        w->at = c->index;
        put(w, "change", change_json(c, &w->job));
    }
}

/* What there is after w->at; one line at least. */
static void turn(struct watch *w)
{
    struct service_view *view = NULL;
    uint32_t count = 0;
    enum sh_err err = service_view_open(w->service, &view);
    if (err != SH_OK) {
        end_with(w, "lost", err);
        return;
    }
    const struct sh_table *t = service_view_table(view);
    err = jobs_change_list(t, w->at, w->changes, CHANGES, &count);
    if (err == SH_ERR_GONE) {
        end_with(w, "gone", err);
    } else if (err != SH_OK) {
        end_with(w, "lost", err);
    } else if (count == 0) {
        put_revision(w, service_view_index(view));
    } else {
        put_changes(w, t, count);
    }
    service_view_close(view);
}

static long read_watch(void *ctx, char *out, size_t size)
{
    struct watch *w = ctx;
    if (w->sent == w->used) {
        if (w->ended || api_is_stopping(w->api)) {
            return 0;
        }
        if (w->told) {
            (void)service_wait_applied(w->service, w->at, API_STREAM_TIMEOUT_US);
        }
        w->sent = 0;
        w->used = 0;
        turn(w);
    }
    size_t n = w->used - w->sent < size ? w->used - w->sent : size;
    memcpy(out, w->out + w->sent, n);
    w->sent += n;
    return (long)n;
}

static void close_watch(void *ctx)
{
    struct watch *w = ctx;
    api_stream_drop(w->api);
    free(w);
}

/* Where the watch begins: after the last id of an earlier stream, after ?from, or now. False with
 * the reply made where it cannot. */
static bool read_from(const struct api_request *request, struct api_reply *reply,
                      const struct service_view *view, uint64_t *from)
{
    uint64_t applied = service_view_index(view);
    const char *last = api_header(request, "Last-Event-ID");
    bool good = last != NULL ? api_number(last, UINT64_MAX >> 1, from)
                             : api_query_u64(request, "from", UINT64_MAX >> 1, applied, from);
    if (!good || (*from > applied && !reply->stale)) {
        api_reply_error(reply, SH_ERR_INVALID, "from",
                        last != NULL ? last : api_query(request, "from"),
                        "must be a revision that an agent of this cluster has told");
        return false;
    }
    struct jobs_change change;
    uint32_t count = 0;
    enum sh_err err = jobs_change_list(service_view_table(view), *from, &change, 1, &count);
    if (err != SH_OK) {
        api_reply_err(reply, err);
    }
    return err == SH_OK;
}

void api_watch_jobs(const struct api_request *request, struct api_reply *reply)
{
    struct service_view *view = NULL;
    uint64_t from = 0;
    if (!api_open_view(request, reply, &view)) {
        return;
    }
    bool good = read_from(request, reply, view, &from);
    service_view_close(view);
    if (!good || !api_stream_take(request, reply)) {
        return;
    }
    struct watch *w = calloc(1, sizeof *w);
    if (w == NULL) {
        api_stream_drop(request->api);
        api_reply_err(reply, SH_ERR_NO_MEMORY);
        return;
    }
    w->api = request->api;
    w->service = request->service;
    w->at = from;
    w->stale = reply->stale;
    reply->status = 200;
    reply->type = "text/event-stream";
    reply->stream =
        (struct api_stream){.read = read_watch, .close = close_watch, .ctx = w, .size = UINT64_MAX};
}
