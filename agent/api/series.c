/* SPDX-License-Identifier: Apache-2.0
 *
 * Metric points and log lines of a job. */
#include "api/view.h"

#include "metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS_MAX   100000u
#define LINES_MAX    5000u
#define CSV_CELL_MAX (SH_NAME_MAX + 26u)

struct series {
    struct service_point *points;
    size_t count;
};

struct table { /* the series that were asked for */
    size_t count;
    struct service_series_name names[API_SERIES_MAX];
    struct series series[API_SERIES_MAX];
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

static enum sh_err read_series(struct service *s, uint64_t job, const char *name, uint64_t from,
                               size_t limit, struct series *out)
{
    out->points = malloc(limit * sizeof *out->points);
    out->count = 0;
    if (out->points == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = service_series_read(s, job, name, from, out->points, limit, &out->count,
                                          API_SERIES_TIMEOUT_US);
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
                       const struct table *table)
{
    json_t *map = json_object();
    for (size_t i = 0; i < table->count; i++) {
        (void)json_object_set_new(map, table->names[i].text, series_json(&table->series[i]));
    }
    api_reply_json(reply, 200,
                   json_pack("{s:I, s:s, s:s, s:o}", "job", (json_int_t)job->id, "name", job->name,
                             "state", jobs_state_name((uint32_t)job->state), "series", map));
}

/* The smallest step that a cursor stands at; UINT64_MAX when all are at their ends. */
static uint64_t next_step(const struct table *table, const size_t *at)
{
    uint64_t step = UINT64_MAX;
    for (size_t i = 0; i < table->count; i++) {
        const struct series *series = &table->series[i];
        if (at[i] < series->count && series->points[at[i]].step < step) {
            step = series->points[at[i]].step;
        }
    }
    return step;
}

/* Writes one row, and moves the cursors that stand at its step. */
static size_t csv_row(const struct table *table, uint64_t step, size_t *at, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "%llu", (unsigned long long)step);
    for (size_t i = 0; i < table->count; i++) {
        const struct series *series = &table->series[i];
        out[used++] = ',';
        if (at[i] < series->count && series->points[at[i]].step == step) {
            used += (size_t)snprintf(out + used, size - used, "%.9g", series->points[at[i]].value);
            at[i]++;
        }
    }
    out[used++] = '\n';
    SH_CHECK_CMP(used, <, size);
    return used;
}

/* One row a step, one column a series, empty where a series has no point at that step. NULL: no
 * memory. */
static char *csv_text(const struct table *table, size_t *length)
{
    size_t at[API_SERIES_MAX] = {0};
    size_t rows = 2;
    for (size_t i = 0; i < table->count; i++) {
        rows += table->series[i].count;
    }
    size_t row_max = CSV_CELL_MAX * (table->count + 1);
    size_t size = rows * row_max;
    char *text = malloc(size);
    if (text == NULL) {
        return NULL;
    }
    size_t used = (size_t)snprintf(text, size, "step");
    for (size_t i = 0; i < table->count; i++) {
        used += (size_t)snprintf(text + used, size - used, ",%s", table->names[i].text);
    }
    text[used++] = '\n';
    for (uint64_t step = next_step(table, at); step != UINT64_MAX; step = next_step(table, at)) {
        used += csv_row(table, step, at, text + used, size - used);
    }
    *length = used;
    return text;
}

static void close_table(struct table *table)
{
    for (size_t i = 0; table != NULL && i < API_SERIES_MAX; i++) {
        free(table->series[i].points);
    }
    free(table);
}

enum sh_err api_series_csv(struct service *s, uint64_t job, char **text, size_t *size)
{
    struct table *table = calloc(1, sizeof *table);
    enum sh_err err =
        table == NULL ? SH_ERR_NO_MEMORY : api_series_names(s, job, table->names, &table->count);
    for (size_t i = 0; err == SH_OK && i < table->count; i++) {
        err = read_series(s, job, table->names[i].text, 0, POINTS_MAX, &table->series[i]);
    }
    *text = err == SH_OK ? csv_text(table, size) : NULL;
    close_table(table);
    return err == SH_OK && *text == NULL ? SH_ERR_NO_MEMORY : err;
}

static void reply_csv(struct api_reply *reply, const struct table *table)
{
    size_t size = 0;
    char *text = csv_text(table, &size);
    if (text == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
    } else {
        api_reply_text(reply, "text/csv", text, size);
    }
}

/* Leaves only the series with that name; false where there is none. */
static bool keep_only(struct table *table, const char *only)
{
    size_t i = 0;
    while (i < table->count && strcmp(table->names[i].text, only) != 0) {
        i++;
    }
    if (i == table->count) {
        return false;
    }
    table->names[0] = table->names[i];
    table->count = 1;
    return true;
}

/* Reads what was asked for; false with the reply made. */
static bool read_metrics(const struct api_request *request, struct api_reply *reply,
                         struct jobs_job *job, struct table *table, const char *only)
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
    if (!job_of(request, reply, job)) {
        return false;
    }
    enum sh_err err = api_series_names(request->service, job->id, table->names, &table->count);
    if (err == SH_OK && only != NULL && !keep_only(table, only)) {
        api_reply_error(reply, SH_ERR_NOT_FOUND, "name", only, "this job has no such series");
        return false;
    }
    for (size_t i = 0; err == SH_OK && i < table->count; i++) {
        err = read_series(request->service, job->id, table->names[i].text, from, (size_t)limit,
                          &table->series[i]);
    }
    if (err != SH_OK) {
        api_reply_err(reply, err);
    }
    return err == SH_OK;
}

void api_get_metrics(const struct api_request *request, struct api_reply *reply)
{
    struct jobs_job job;
    const char *format = api_query(request, "format");
    struct table *table = calloc(1, sizeof *table);
    if (table == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
        return;
    }
    if (read_metrics(request, reply, &job, table, api_query(request, "name"))) {
        if (format != NULL && strcmp(format, "csv") == 0) {
            reply_csv(reply, table);
        } else {
            reply_json(reply, &job, table);
        }
    }
    close_table(table);
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
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(list, api_line_json(&lines[i]));
    }
    uint64_t next = count > 0 ? lines[count - 1].sequence + 1 : from;
    api_reply_json(reply, 200,
                   json_pack("{s:I, s:s, s:o, s:I}", "job", (json_int_t)job->id, "state",
                             jobs_state_name((uint32_t)job->state), "lines", list, "next",
                             (json_int_t)next));
}

/* from, limit, tail, unit, generation; false with the reply made. */
static bool read_want(const struct api_request *request, struct api_reply *reply,
                      struct service_log_want *want, size_t *limit)
{
    uint64_t unit = 0;
    uint64_t max = 0;
    bool tail = api_query(request, "tail") != NULL;
    const char *field = tail ? "tail" : "limit";
    *want = (struct service_log_want){.before = UINT64_MAX, .newest = tail};
    if (!api_query_u64(request, "from", UINT64_MAX >> 1, 0, &want->from)) {
        api_reply_error(reply, SH_ERR_INVALID, "from", api_query(request, "from"),
                        "must be the next of an earlier page");
        return false;
    }
    if (!api_query_u64(request, field, LINES_MAX, LINES_MAX, &max) || max == 0) {
        api_reply_error(reply, SH_ERR_INVALID, field, api_query(request, field),
                        "must be a whole number from 1 to %u", LINES_MAX);
        return false;
    }
    if (!api_query_u64(request, "unit", JOBS_UNITS_MAX, SERVICE_LINE_ALL, &unit)) {
        api_reply_error(reply, SH_ERR_INVALID, "unit", api_query(request, "unit"),
                        "must be the number of a unit");
        return false;
    }
    if (!api_query_u64(request, "generation", UINT64_MAX >> 1, 0, &want->generation)) {
        api_reply_error(reply, SH_ERR_INVALID, "generation", api_query(request, "generation"),
                        "must be the generation of a gang");
        return false;
    }
    want->unit = (uint32_t)unit;
    *limit = (size_t)max;
    return true;
}

void api_get_logs(const struct api_request *request, struct api_reply *reply)
{
    struct jobs_job job;
    struct service_log_want want;
    size_t limit = 0;
    const char *format = api_query(request, "format");
    if (!read_want(request, reply, &want, &limit) || !job_of(request, reply, &job)) {
        return;
    }
    struct service_log_line *lines = malloc(limit * sizeof *lines);
    size_t count = 0;
    enum sh_err err = lines == NULL ? SH_ERR_NO_MEMORY
                                    : service_log_read(request->service, job.id, &want, lines,
                                                       limit, &count, API_SERIES_TIMEOUT_US);
    if (err != SH_OK && err != SH_ERR_NOT_FOUND) {
        api_reply_err(reply, err);
    } else if (format != NULL && strcmp(format, "text") == 0) {
        reply_lines_text(reply, lines, count);
    } else {
        reply_lines_json(reply, &job, lines, count, want.from);
    }
    free(lines);
}
