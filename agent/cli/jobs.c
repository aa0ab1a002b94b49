/* SPDX-License-Identifier: Apache-2.0
 *
 * ps, rm, why, logs, metrics. */
#include "cli/context.h"
#include "cli/format.h"
#include "cli/plot.h"
#include "cli/table.h"

#include "base/host/host.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CSV_TIMEOUT_S 120u
#define PLOT_ROWS     10u
#define LOG_TAIL_MAX  5000u
#define UNIT_MAX      9999u

static void put_progress(struct cli_table *t, const json_t *job)
{
    const json_t *progress = json_object_get(job, "progress");
    char text[3 * CLI_FORMAT_BYTES];
    char loss[CLI_FORMAT_BYTES];
    char accuracy[CLI_FORMAT_BYTES];
    long long percent = cli_integer(job, "percent");
    if (json_is_object(progress)) {
        (void)snprintf(text, sizeof text, "%lld %%, epoch %.2f, step %lld", percent,
                       cli_real(progress, "epoch"), cli_integer(progress, "step"));
    } else {
        (void)snprintf(text, sizeof text, "%lld %%, %lld/%lld units", percent,
                       cli_integer(job, "units_completed"), cli_integer(job, "replicas"));
    }
    cli_format_number(cli_real(progress, "loss"), loss);
    cli_format_percent(cli_real(progress, "accuracy"), accuracy);
    cli_table_put(t, text);
    cli_table_put(t, loss);
    cli_table_put(t, accuracy);
}

static void put_age(struct cli_table *t, const json_t *job)
{
    char text[CLI_FORMAT_BYTES];
    uint64_t from = (uint64_t)cli_integer(job, "submitted_us");
    uint64_t to = (uint64_t)cli_integer(job, "ended_us");
    to = to > 0 ? to : sh_wall_us();
    cli_format_duration(to > from ? to - from : 0, text);
    cli_table_put(t, text);
}

static const char *reason_of(const json_t *job)
{
    const char *message = cli_text(json_object_get(job, "failure"), "message");
    return message[0] != '\0' ? message : cli_text(job, "cause");
}

static void print_jobs(struct cli *c, const json_t *list)
{
    static const char *const NAMES[] = {">ID",   "NAME",      "KIND",  "STATE",  "PROGRESS",
                                        ">LOSS", ">ACCURACY", ">TIME", "REASON", NULL};
    struct cli_table t;
    cli_table_init(&t, NAMES);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *job = json_array_get(list, i);
        char id[24];
        (void)snprintf(id, sizeof id, "%lld", cli_integer(job, "id"));
        cli_table_put(&t, id);
        cli_table_put(&t, cli_text(job, "name"));
        cli_table_put(&t, cli_text(job, "kind"));
        cli_table_put(&t, cli_text(job, "state"));
        put_progress(&t, job);
        put_age(&t, job);
        cli_table_put(&t, reason_of(job));
    }
    cli_table_print(&t, c->out);
}

int cli_run_ps(struct cli *c)
{
    uint64_t limit = 0;
    uint64_t before = 0;
    int status = CLI_OK;
    const char *state = cli_value(c, "--state");
    const char *owner = cli_value(c, "--owner");
    if (!cli_number(c, "--limit", 1, 500, 20, &limit) ||
        !cli_number(c, "--before", 1, UINT64_MAX >> 1, 0, &before)) {
        return CLI_USAGE;
    }
    if (owner != NULL && !wire_name_ok(owner)) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--owner: %s: is no name of an owner", owner);
    }
    char suffix[96 + SH_NAME_MAX];
    (void)snprintf(suffix, sizeof suffix, "&limit=%llu&before=%llu%s%s", (unsigned long long)limit,
                   (unsigned long long)before, owner != NULL ? "&owner=" : "",
                   owner != NULL ? owner : "");
    json_t *page = cli_get(c, "/jobs?state=", state != NULL ? state : "", suffix, &status);
    if (page == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, page);
    }
    print_jobs(c, json_object_get(page, "jobs"));
    if (cli_integer(page, "next") > 0) {
        (void)fprintf(c->out, "more: --before %lld\n", cli_integer(page, "next"));
    }
    json_decref(page);
    return CLI_OK;
}

int cli_run_rm(struct cli *c)
{
    int status = CLI_OK;
    char *path = cli_path(c, "/jobs/", c->args[0], "");
    if (path == NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", c->args[0]);
    }
    struct cli_call call = {.method = "DELETE", .path = path, .timeout_s = CLI_CALL_S};
    json_t *job = cli_ask(c, &call, &status);
    free(path);
    if (job == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, job);
    }
    (void)fprintf(c->out, "job %lld %s is removed\n", cli_integer(job, "id"),
                  cli_text(job, "name"));
    json_decref(job);
    return CLI_OK;
}

int cli_run_why(struct cli *c)
{
    int status = CLI_OK;
    json_t *why = cli_get(c, "/jobs/", c->args[0], "/why", &status);
    if (why == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, why);
    }
    (void)fprintf(c->out, "job %lld %s is %s\n", cli_integer(why, "job"), cli_text(why, "name"),
                  cli_text(why, "state"));
    const json_t *lines = json_object_get(why, "lines");
    for (size_t i = 0; i < json_array_size(lines); i++) {
        (void)fprintf(c->out, "  %s\n", json_string_value(json_array_get(lines, i)));
    }
    json_decref(why);
    return CLI_OK;
}

struct log_feed {
    struct cli *c;
    uint64_t unit; /* UINT64_MAX: all */
};

static void print_line(struct cli *c, const json_t *line)
{
    bool own = json_is_true(json_object_get(line, "own"));
    if (!own && !cli_flag(c, "--no-prefix")) {
        (void)fprintf(c->out, "[%lld/%lld] ", cli_integer(line, "unit"),
                      cli_integer(line, "member"));
    }
    (void)fprintf(c->out, "%s\n", cli_text(line, "text"));
}

static bool on_log(void *ctx, const char *type, const char *data)
{
    const struct log_feed *feed = ctx;
    struct cli *c = feed->c;
    if (strcmp(type, "log") == 0) {
        json_t *line = json_loads(data, 0, NULL);
        bool wanted = feed->unit == UINT64_MAX || (uint64_t)cli_integer(line, "unit") == feed->unit;
        if (wanted && c->json) {
            (void)fprintf(c->out, "%s\n", data);
        } else if (wanted) {
            print_line(c, line);
        }
        (void)fflush(c->out);
        json_decref(line);
    }
    return strcmp(type, "end") != 0;
}

/* since: where the lines begin, "" for all. */
static int follow_logs(struct cli *c, uint64_t unit, const char *since)
{
    struct log_feed feed = {.c = c, .unit = unit};
    struct cli_answer answer;
    char suffix[80];
    (void)snprintf(suffix, sizeof suffix, "/events%s%s", since[0] != '\0' ? "?since=" : "", since);
    char *path = cli_path(c, "/jobs/", c->args[0], suffix);
    if (path == NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", c->args[0]);
    }
    enum cli_stream_end end =
        cli_http_stream(c->http, path, CLI_CALL_S, on_log, NULL, &feed, &answer);
    free(path);
    return end == CLI_STREAM_DONE ? CLI_OK : cli_fail_answer(c, &answer);
}

/* Prints what there is; *next becomes the number of the first line that is not. */
static int print_logs(struct cli *c, const char *suffix, long long *next)
{
    int status = CLI_OK;
    json_t *page = cli_get(c, "/jobs/", c->args[0], suffix, &status);
    if (page == NULL) {
        return status;
    }
    *next = cli_integer(page, "next");
    if (c->json && !cli_flag(c, "--follow")) {
        return cli_print_json(c, page);
    }
    const json_t *lines = json_object_get(page, "lines");
    for (size_t i = 0; i < json_array_size(lines); i++) {
        print_line(c, json_array_get(lines, i));
    }
    json_decref(page);
    return CLI_OK;
}

int cli_run_logs(struct cli *c)
{
    uint64_t unit = UINT64_MAX;
    uint64_t tail = 0;
    char suffix[96];
    char since[64] = "";
    long long next = 0;
    int status = CLI_OK;
    if (!cli_number(c, "--unit", 0, UNIT_MAX, UINT64_MAX, &unit) ||
        !cli_number(c, "--tail", 1, LOG_TAIL_MAX, 0, &tail)) {
        return CLI_USAGE;
    }
    size_t used = (size_t)snprintf(suffix, sizeof suffix, "/logs?");
    if (tail > 0) {
        used += (size_t)snprintf(suffix + used, sizeof suffix - used, "tail=%llu&",
                                 (unsigned long long)tail);
    }
    if (unit != UINT64_MAX) {
        (void)snprintf(suffix + used, sizeof suffix - used, "unit=%llu", (unsigned long long)unit);
    }
    bool follow = cli_flag(c, "--follow");
    if (!follow || tail > 0) {
        status = print_logs(c, suffix, &next);
        (void)snprintf(since, sizeof since, "0-0-%lld", next);
    }
    return status == CLI_OK && follow ? follow_logs(c, unit, since) : status;
}

static int print_csv(struct cli *c, const char *from)
{
    struct cli_answer answer;
    char suffix[64];
    (void)snprintf(suffix, sizeof suffix, "/metrics?format=csv&from=%s", from);
    char *path = cli_path(c, "/jobs/", c->args[0], suffix);
    if (path == NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", c->args[0]);
    }
    struct cli_call call = {.method = "GET", .path = path, .timeout_s = CSV_TIMEOUT_S};
    cli_http_call(c->http, &call, &answer);
    free(path);
    if (answer.status != 200) {
        return cli_fail_answer(c, &answer);
    }
    (void)fwrite(answer.body, 1, answer.size, c->out);
    free(answer.body);
    return CLI_OK;
}

static void print_series(struct cli *c, const json_t *map)
{
    static const char *const NAMES[] = {"SERIES", ">POINTS", ">LAST STEP", ">LAST", NULL};
    struct cli_table t;
    const char *name = NULL;
    json_t *points = NULL;
    cli_table_init(&t, NAMES);
    json_object_foreach((json_t *)(uintptr_t)map, name, points)
    {
        size_t count = json_array_size(points);
        const json_t *last = json_array_get(points, count > 0 ? count - 1 : 0);
        char text[CLI_FORMAT_BYTES];
        cli_table_put(&t, name);
        (void)snprintf(text, sizeof text, "%zu", count);
        cli_table_put(&t, text);
        (void)snprintf(text, sizeof text, "%lld", json_integer_value(json_array_get(last, 0)));
        cli_table_put(&t, text);
        const json_t *value = json_array_get(last, 1);
        cli_format_number(json_is_number(value) ? json_number_value(value) : (double)NAN, text);
        cli_table_put(&t, text);
    }
    cli_table_print(&t, c->out);
}

static void plot_series(struct cli *c, const json_t *points, const char *title)
{
    size_t count = json_array_size(points);
    double *x = calloc(count + 1, sizeof *x);
    double *y = calloc(count + 1, sizeof *y);
    for (size_t i = 0; x != NULL && y != NULL && i < count; i++) {
        const json_t *point = json_array_get(points, i);
        const json_t *value = json_array_get(point, 1);
        x[i] = json_number_value(json_array_get(point, 0));
        y[i] = json_is_number(value) ? json_number_value(value) : (double)NAN;
    }
    if (x != NULL && y != NULL && count > 0) {
        struct cli_curve curve = {.x = x, .y = y, .count = count};
        cli_plot_draw(c->out, title, &curve, 1, c->columns - CLI_PLOT_LABEL - 1, PLOT_ROWS);
    }
    free(x);
    free(y);
}

int cli_run_metrics(struct cli *c)
{
    uint64_t from = 0;
    int status = CLI_OK;
    char text[24];
    char suffix[64];
    if (!cli_number(c, "--from", 0, UINT64_MAX >> 4, 0, &from)) {
        return CLI_USAGE;
    }
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)from);
    if (cli_flag(c, "--csv")) {
        return print_csv(c, text);
    }
    (void)snprintf(suffix, sizeof suffix, "/metrics?from=%s", text);
    json_t *all = cli_get(c, "/jobs/", c->args[0], suffix, &status);
    if (all == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, all);
    }
    const json_t *series = json_object_get(all, "series");
    print_series(c, series);
    if (c->terminal) {
        plot_series(c, json_object_get(series, "loss"), "loss");
        plot_series(c, json_object_get(series, "accuracy"), "accuracy");
    }
    json_decref(all);
    return CLI_OK;
}
