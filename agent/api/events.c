/* SPDX-License-Identifier: Apache-2.0
 *
 * The live stream of one job as server-sent events: "state" (its row, whenever it changed), "event"
 * (its history), "model" (one that a unit made, with where to fetch it, right before the event that
 * it was committed), "metric" (points as they arrive), "log" (lines), and "end" once it has ended
 * and all of it was sent. Every event's id is "H-S-L": the next history number, step and line, so a
 * client that reconnects, to any agent, misses nothing and gets a point again only where it was
 * redone. */
#include "api/view.h"

#include "base/host/host.h"
#include "metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_BYTES ((size_t)256 * 1024) /* of text that waits to be sent */
#define POINTS    256u                 /* read at a time */
#define LINES     64u
#define EVENTS    16u
#define EVENT_MAX ((size_t)8 * 1024) /* bytes of one event's text */
#define POLL_US   UINT64_C(500000)   /* series and logs do not wake a waiter */
#define NAMES_US  UINT64_C(2000000)  /* between two looks for series that are new */
#define LAG_US    UINT64_C(200000)   /* of log lines */

/* One series that the client is told of. */
struct feed {
    struct service_series_name name;
    uint64_t step; /* next */
    bool news;     /* somebody has points of it that were not sent */
};

struct events {
    struct api *api;
    struct service *service;
    uint64_t job;
    uint32_t history;  /* next event */
    uint64_t step;     /* where a series that is new begins */
    uint64_t names_us; /* of the next look for new series */
    size_t feed_count;
    struct feed feeds[API_SERIES_MAX];
    struct service_series_name names[API_SERIES_MAX];
    uint64_t line; /* next log line */
    uint64_t applied;
    uint64_t row_digest; /* of the row that was sent last */
    bool sent_row;
    bool idle; /* the last turn found nothing: wait before the next */
    bool ended;
    size_t used;
    size_t sent;
    struct service_point points[POINTS];
    struct service_log_line lines[LINES];
    struct jobs_event events[EVENTS];
    char out[OUT_BYTES];
};

static uint64_t lowest_step(const struct events *e)
{
    uint64_t low = e->feed_count > 0 ? e->feeds[0].step : e->step;
    for (size_t i = 1; i < e->feed_count; i++) {
        low = e->feeds[i].step < low ? e->feeds[i].step : low;
    }
    return low;
}

static bool has_room(const struct events *e)
{
    return OUT_BYTES - e->used >= EVENT_MAX;
}

/* Takes value. What does not fit one event is left out: no row or line is that long. */
static void put(struct events *e, const char *type, json_t *value)
{
    char *text = value != NULL ? json_dumps(value, SPEC_JSON_PRINT) : NULL;
    json_decref(value);
    if (text != NULL && strlen(text) < EVENT_MAX - 160) {
        int n =
            snprintf(e->out + e->used, OUT_BYTES - e->used,
                     "id: %u-%llu-%llu\nevent: %s\ndata: %s\n\n", e->history,
                     (unsigned long long)lowest_step(e), (unsigned long long)e->line, type, text);
        SH_CHECK(n > 0);
        SH_CHECK_CMP(n, <, OUT_BYTES - e->used);
        e->used += (size_t)n;
    }
    free(text);
}

/* What the unit of this event made. Before the number of the event is passed, so that who
 * reconnects in between gets it again and never misses it. */
static void put_model(struct events *e, const struct sh_table *t, const struct jobs_event *event)
{
    bool commits = event->cause == WIRE_CAUSE_COMMITTED || event->cause == WIRE_CAUSE_KEPT;
    struct wire_unit id = {.job = e->job, .unit = event->unit};
    struct jobs_unit unit;
    struct jobs_model model;
    struct jobs_job job;
    if (!commits || event->unit == JOBS_EVENT_ALL_UNITS || jobs_unit_get(t, id, &unit) != SH_OK ||
        unit.model_version == 0 || jobs_job_get(t, e->job, &job) != SH_OK ||
        jobs_model_get(t, job.name, unit.model_version, &model) != SH_OK) {
        return;
    }
    char url[SH_NAME_MAX + 48];
    (void)snprintf(url, sizeof url, "/api/v1/models/%s:%u/file", model.name, model.version);
    put(e, "model",
        json_pack("{s:s, s:i, s:i, s:o, s:o, s:s}", "name", model.name, "version",
                  (int)model.version, "unit", (int)id.unit, "file_digest",
                  spec_json_hex(model.outcome.file, SH_DIGEST_BYTES), "model_digest",
                  spec_json_hex(model.outcome.model, SH_DIGEST_BYTES), "url", url));
}

static void put_history(struct events *e, const struct sh_table *t)
{
    uint32_t count = 0;
    if (jobs_history_list(t, e->job, e->history, e->events, EVENTS, &count) != SH_OK) {
        return;
    }
    for (uint32_t i = 0; i < count && has_room(e); i++) {
        put_model(e, t, &e->events[i]);
        e->history = e->events[i].seq + 1;
        put(e, "event", api_event_json(t, &e->events[i]));
    }
}

/* The row where it differs from the one sent last; true when the job has ended. */
static bool put_row(struct events *e, const struct sh_table *t)
{
    struct jobs_job job;
    if (jobs_job_get(t, e->job, &job) != SH_OK) {
        return true;
    }
    uint64_t digest =
        (uint64_t)job.state + 8 * ((uint64_t)job.progress + 1024 * (uint64_t)job.event_next);
    if (!e->sent_row || digest != e->row_digest) {
        e->sent_row = true;
        e->row_digest = digest;
        put(e, "state", api_job_json(&job));
    }
    return jobs_state_final(job.state);
}

/* Series come into being while the job runs; none goes. */
static void find_series(struct events *e)
{
    size_t count = 0;
    if (api_series_names(e->service, e->job, e->names, &count) != SH_OK) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (at < e->feed_count && strcmp(e->feeds[at].name.text, e->names[i].text) != 0) {
            at++;
        }
        if (at == e->feed_count && at < API_SERIES_MAX) {
            e->feeds[e->feed_count++] = (struct feed){.name = e->names[i], .step = e->step};
        }
    }
}

static void put_series(struct events *e, struct feed *feed)
{
    size_t count = 0;
    if (service_series_read(e->service, e->job, feed->name.text, feed->step, e->points, POINTS,
                            &count, API_SERIES_TIMEOUT_US) != SH_OK) {
        return;
    }
    for (size_t i = 0; i < count && has_room(e); i++) {
        const struct service_point *p = &e->points[i];
        feed->step = p->step + 1;
        put(e, "metric",
            json_pack("{s:s, s:I, s:o, s:I}", "name", feed->name.text, "step", (json_int_t)p->step,
                      "value", spec_json_number(p->value), "at_us", (json_int_t)p->wall_us));
    }
}

/* What tells where training stands; the others tell what it measured there. */
static bool is_context(const char *name)
{
    static const char *const CONTEXT[] = {METRIC_EPOCH, METRIC_LR, METRIC_SPEED, METRIC_AGENTS};
    bool found = false;
    for (size_t i = 0; i < SH_COUNT(CONTEXT) && !found; i++) {
        found = strcmp(name, CONTEXT[i]) == 0;
    }
    return found;
}

/* One question for SERVICE_NEWEST_MAX series, instead of one for each. */
static void look_for_news(struct events *e)
{
    const char *names[SERVICE_NEWEST_MAX];
    struct service_newest newest[SERVICE_NEWEST_MAX];
    for (size_t from = 0; from < e->feed_count; from += SERVICE_NEWEST_MAX) {
        size_t count = e->feed_count - from;
        count = count < SERVICE_NEWEST_MAX ? count : SERVICE_NEWEST_MAX;
        for (size_t i = 0; i < count; i++) {
            names[i] = e->feeds[from + i].name.text;
        }
        bool known = service_series_newest(e->service, e->job, names, count, newest,
                                           API_SERIES_TIMEOUT_US) == SH_OK;
        for (size_t i = 0; i < count; i++) {
            struct feed *feed = &e->feeds[from + i];
            feed->news = known && newest[i].known && newest[i].point.step >= feed->step;
        }
    }
}

/* The context first: a client that shows both as the measures arrive shows what belongs together.
 */
static void put_all_series(struct events *e, bool final)
{
    uint64_t now = sh_now_us();
    if (now >= e->names_us || final) {
        find_series(e);
        e->names_us = now + NAMES_US;
    }
    look_for_news(e);
    for (size_t i = 0; i < 2 * e->feed_count; i++) {
        struct feed *feed = &e->feeds[i % e->feed_count];
        if (feed->news && is_context(feed->name.text) == (i < e->feed_count)) {
            put_series(e, feed);
        }
    }
}

/* What is younger than LAG_US comes later: of two agents that write at the same time one answers
 * first, and a line before those that were told would be told to nobody. */
static void put_log(struct events *e, bool final)
{
    size_t count = 0;
    struct service_log_want want = {
        .from = e->line,
        .before = final ? UINT64_MAX : (sh_wall_us() - LAG_US) * SERVICE_SEQUENCE_STEP,
        .unit = SERVICE_LINE_ALL};
    if (service_log_read(e->service, e->job, &want, e->lines, LINES, &count,
                         API_SERIES_TIMEOUT_US) != SH_OK) {
        return;
    }
    for (size_t i = 0; i < count && has_room(e); i++) {
        e->line = e->lines[i].sequence + 1;
        put(e, "log", api_line_json(&e->lines[i]));
    }
}

/* One look at everything; out holds what is new. */
static void turn(struct events *e)
{
    struct service_view *view = NULL;
    bool final = false;
    if (service_view_open(e->service, &view) == SH_OK) {
        put_history(e, service_view_table(view));
        final = put_row(e, service_view_table(view));
        service_view_close(view);
    }
    put_all_series(e, final);
    put_log(e, final);
    if (e->used == 0 && final) {
        put(e, "end", json_pack("{s:I}", "job", (json_int_t)e->job));
        e->ended = true;
    }
    e->idle = e->used == 0;
    if (e->idle) {
        /* A comment: tells the client, and the proxy between, that we are there. */
        memcpy(e->out, ":\n\n", 3);
        e->used = 3;
    }
}

static long read_events(void *ctx, char *out, size_t size)
{
    struct events *e = ctx;
    if (e->sent == e->used) {
        if (e->ended || api_is_stopping(e->api)) {
            return 0;
        }
        if (e->idle) {
            e->applied = service_wait_applied(e->service, e->applied, POLL_US);
        }
        e->sent = 0;
        e->used = 0;
        turn(e);
    }
    size_t n = e->used - e->sent < size ? e->used - e->sent : size;
    memcpy(out, e->out + e->sent, n);
    e->sent += n;
    return (long)n;
}

/* "H-S-L"; false when it is none. */
static bool read_since(const char *text, struct events *e)
{
    unsigned history = 0;
    unsigned long long step = 0;
    unsigned long long line = 0;
    char rest = 0;
    if (sscanf(text, "%9u-%19llu-%19llu%c", &history, &step, &line, &rest) != 3) {
        return false;
    }
    e->history = history;
    e->line = line;
    e->step = step;
    return true;
}

static void close_events(void *ctx)
{
    struct events *e = ctx;
    api_stream_drop(e->api);
    free(e);
}

void api_get_events(const struct api_request *request, struct api_reply *reply)
{
    struct service_view *view = NULL;
    struct jobs_job job;
    if (!api_open_view(request, reply, &view)) {
        return;
    }
    bool found = api_find_job(request, reply, service_view_table(view), &job);
    service_view_close(view);
    struct events *e = found ? calloc(1, sizeof *e) : NULL;
    if (e == NULL) {
        if (found) {
            api_reply_err(reply, SH_ERR_NO_MEMORY);
        }
        return;
    }
    const char *since = api_header(request, "Last-Event-ID");
    since = since != NULL ? since : api_query(request, "since");
    if (since != NULL && !read_since(since, e)) {
        free(e);
        api_reply_error(reply, SH_ERR_INVALID, "since", since,
                        "must be the id of an earlier event");
        return;
    }
    if (!api_stream_take(request, reply)) {
        free(e);
        return;
    }
    e->api = request->api;
    e->service = request->service;
    e->job = job.id;
    reply->status = 200;
    reply->type = "text/event-stream";
    reply->stream = (struct api_stream){
        .read = read_events, .close = close_events, .ctx = e, .size = UINT64_MAX};
}
