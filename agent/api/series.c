/* SPDX-License-Identifier: Apache-2.0
 *
 * Metric points and log lines of a job. */
#include "api/view.h"

#include "metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS_MAX  100000u
#define LINES_MAX   5000u
#define CSV_ROW_MAX ((size_t)24 * (METRIC_COUNT + 1))

static const char *const NAMES[METRIC_COUNT] = {
#define X(name) name,
    METRIC_MAP(X)
#undef X
};

struct series {
    struct service_point *points;
    size_t count;
};

static bool job_of(const struct api_request *request, struct api_reply *reply, struct jobs_job *job)
{
    struct service_view *view = NULL;
    if (!api_open_view(request, reply, &view)) {
        return false;
    }
    bool found = api_find_job(request, reply, service_view_table(view), job);
    service_view_close(view);
    return found;
}

static enum sh_err read_series(const struct api_request *request, uint64_t job, const char *name,
                               uint64_t from, size_t limit, struct series *out)
{
    out->points = malloc(limit * sizeof *out->points);
    out->count = 0;
    if (out->points == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = service_series_read(request->service, job, name, from, out->points, limit,
                                          &out->count, API_SERIES_TIMEOUT_US);
    return err == SH_ERR_NOT_FOUND ? SH_OK : err;
}

static json_t *series_json(const struct series *series)
{
    json_t *list = json_array();
    for (size_t i = 0; i < series->count; i++) {
        const struct service_point *p = &series->points[i];
        (void)json_array_append_new(list,
                                    json_pack("[I, o, I]", (json_int_t)p->step,
                                              spec_json_number(p->value), (json_int_t)p->wall_us));
    }
    return list;
}

static void reply_json(struct api_reply *reply, const struct jobs_job *job,
                       const struct series *series, const char *only)
{
    json_t *map = json_object();
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        if (series[i].count > 0 || (only != NULL && strcmp(only, NAMES[i]) == 0)) {
            (void)json_object_set_new(map, NAMES[i], series_json(&series[i]));
        }
    }
    api_reply_json(reply, 200,
                   json_pack("{s:I, s:s, s:s, s:o}", "job", (json_int_t)job->id, "name", job->name,
                             "state", jobs_state_name((uint32_t)job->state), "series", map));
}

/* The smallest step that a cursor stands at; UINT64_MAX when all are at their ends. */
static uint64_t next_step(const struct series *series, const size_t *at)
{
    uint64_t step = UINT64_MAX;
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        if (at[i] < series[i].count && series[i].points[at[i]].step < step) {
            step = series[i].points[at[i]].step;
        }
    }
    return step;
}

/* One row a step, one column a series, empty where a series has no point at that step. */
static void reply_csv(struct api_reply *reply, const struct series *series)
{
    size_t at[METRIC_COUNT] = {0};
    size_t rows = 2;
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        rows += series[i].count;
    }
    size_t size = rows * CSV_ROW_MAX;
    char *text = malloc(size);
    if (text == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
        return;
    }
    size_t used = (size_t)snprintf(text, size, "step");
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        used += (size_t)snprintf(text + used, size - used, ",%s", NAMES[i]);
    }
    text[used++] = '\n';
    for (uint64_t step = next_step(series, at); step != UINT64_MAX; step = next_step(series, at)) {
        used += (size_t)snprintf(text + used, size - used, "%llu", (unsigned long long)step);
        for (size_t i = 0; i < METRIC_COUNT; i++) {
            text[used++] = ',';
            if (at[i] < series[i].count && series[i].points[at[i]].step == step) {
                used += (size_t)snprintf(text + used, size - used, "%.9g",
                                         series[i].points[at[i]].value);
                at[i]++;
            }
        }
        text[used++] = '\n';
        SH_CHECK_CMP(used, <, size);
    }
    api_reply_text(reply, "text/csv", text, used);
}

static bool is_metric(const char *name)
{
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        if (strcmp(NAMES[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Reads what was asked for; false with the reply made. */
static bool read_metrics(const struct api_request *request, struct api_reply *reply,
                         struct jobs_job *job, struct series *series, const char *only)
{
    uint64_t from = 0;
    uint64_t limit = 0;
    if (!api_query_u64(request, "from", UINT64_MAX >> 1, 0, &from)) {
        api_reply_error(reply, SH_ERR_INVALID, "from", api_query(request, "from"),
                        "must be a step");
        return false;
    }
    if (!api_query_u64(request, "limit", POINTS_MAX, POINTS_MAX, &limit) || limit == 0) {
        api_reply_error(reply, SH_ERR_INVALID, "limit", api_query(request, "limit"),
                        "must be a whole number from 1 to %u", POINTS_MAX);
        return false;
    }
    if (only != NULL && !is_metric(only)) {
        api_reply_error(reply, SH_ERR_NOT_FOUND, "name", only, "no such series");
        return false;
    }
    if (!job_of(request, reply, job)) {
        return false;
    }
    enum sh_err err = SH_OK;
    for (size_t i = 0; err == SH_OK && i < METRIC_COUNT; i++) {
        if (only == NULL || strcmp(only, NAMES[i]) == 0) {
            err = read_series(request, job->id, NAMES[i], from, (size_t)limit, &series[i]);
        }
    }
    if (err != SH_OK) {
        api_reply_err(reply, err);
    }
    return err == SH_OK;
}

void api_get_metrics(const struct api_request *request, struct api_reply *reply)
{
    struct series series[METRIC_COUNT] = {{0}};
    struct jobs_job job;
    const char *only = api_query(request, "name");
    const char *format = api_query(request, "format");
    if (read_metrics(request, reply, &job, series, only)) {
        if (format != NULL && strcmp(format, "csv") == 0) {
            reply_csv(reply, series);
        } else {
            reply_json(reply, &job, series, only);
        }
    }
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        free(series[i].points);
    }
}

static void reply_lines_text(struct api_reply *reply, const struct service_log_line *lines,
                             size_t count)
{
    size_t size = count * (sizeof lines[0].text + 1) + 1;
    char *text = malloc(size);
    size_t used = 0;
    if (text == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s\n", lines[i].text);
    }
    api_reply_text(reply, "text/plain; charset=utf-8", text, used);
}

static void reply_lines_json(struct api_reply *reply, const struct jobs_job *job,
                             const struct service_log_line *lines, size_t count, uint64_t from)
{
    json_t *list = json_array();
    uint64_t next = from;
    for (size_t i = 0; i < count; i++) {
        const struct service_log_line *l = &lines[i];
        json_t *text = json_string(l->text);
        (void)json_array_append_new(
            list, json_pack("{s:I, s:I, s:o}", "seq", (json_int_t)l->sequence, "at_us",
                            (json_int_t)l->wall_us, "text", text != NULL ? text : json_null()));
        next = l->sequence + 1;
    }
    api_reply_json(reply, 200,
                   json_pack("{s:I, s:s, s:o, s:I}", "job", (json_int_t)job->id, "state",
                             jobs_state_name((uint32_t)job->state), "lines", list, "next",
                             (json_int_t)next));
}

void api_get_logs(const struct api_request *request, struct api_reply *reply)
{
    struct jobs_job job;
    uint64_t from = 0;
    uint64_t limit = 0;
    const char *format = api_query(request, "format");
    if (!api_query_u64(request, "from", UINT64_MAX >> 1, 0, &from) ||
        !api_query_u64(request, "limit", LINES_MAX, LINES_MAX, &limit) || limit == 0) {
        api_reply_error(reply, SH_ERR_INVALID, "from, limit", "",
                        "must be a line's number, and 1 to %u lines", LINES_MAX);
        return;
    }
    if (!job_of(request, reply, &job)) {
        return;
    }
    struct service_log_line *lines = malloc(limit * sizeof *lines);
    size_t count = 0;
    enum sh_err err = lines == NULL
                          ? SH_ERR_NO_MEMORY
                          : service_log_read(request->service, job.id, from, lines, (size_t)limit,
                                             &count, API_SERIES_TIMEOUT_US);
    if (err != SH_OK && err != SH_ERR_NOT_FOUND) {
        api_reply_err(reply, err);
    } else if (format != NULL && strcmp(format, "text") == 0) {
        reply_lines_text(reply, lines, count);
    } else {
        reply_lines_json(reply, &job, lines, count, from);
    }
    free(lines);
}
