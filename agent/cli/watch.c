/* SPDX-License-Identifier: Apache-2.0
 *
 * watch, and the end of submit --wait. On a terminal: a frame with progress and plots, drawn over
 * itself; elsewhere: one line for each thing that happened. */
#include "cli/context.h"
#include "cli/format.h"
#include "cli/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOST_S        60u /* without any agent that answers */
#define PLOT_ROWS     8u
#define LINE_EVERY_US UINT64_C(2000000) /* of training time, between two progress lines */

struct watch {
    struct cli *c;
    struct cli_progress progress;
    bool quiet;
    bool changed;
    size_t lines; /* of the frame on the screen */
    uint64_t said_us;
    uint64_t said_step;
    double said_validation;
};

/* Bytes of the first columns of a line of UTF-8 text. A longer line would wrap, and the frame would
 * be taller than it says. */
static size_t cut(const char *line, size_t size, unsigned columns)
{
    size_t used = 0;
    unsigned width = 0;
    while (used < size) {
        bool first = ((unsigned char)line[used] & 0xc0) != 0x80;
        if (first && width == columns) {
            break;
        }
        width += first ? 1 : 0;
        used++;
    }
    return used;
}

/* Draws the frame over the one before. */
static void draw(struct watch *w)
{
    char *text = NULL;
    size_t size = 0;
    FILE *frame = open_memstream(&text, &size);
    if (frame == NULL) {
        return;
    }
    char line[CLI_PROGRESS_LINE];
    cli_progress_line(&w->progress, line);
    (void)fprintf(frame, "%s\n", line);
    cli_progress_plots(&w->progress, frame, w->c->columns, PLOT_ROWS);
    (void)fclose(frame); /* memory only */
    if (w->lines > 0) {
        (void)fprintf(w->c->out, "\x1b[%zuA", w->lines);
    }
    w->lines = 0;
    for (const char *at = text; at != NULL && *at != '\0'; w->lines++) {
        size_t n = strcspn(at, "\n");
        size_t shown = cut(at, n, w->c->columns - 1);
        (void)fprintf(w->c->out, "%.*s\x1b[K\n", (int)shown, at);
        at += n + 1;
    }
    (void)fflush(w->c->out);
    free(text);
    w->changed = false;
}

static void say_event(struct watch *w, const char *data)
{
    json_t *event = json_loads(data, 0, NULL);
    const json_t *nodes = json_object_get(event, "nodes");
    (void)fprintf(w->c->out, "event  %s", cli_text(event, "cause"));
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        (void)fprintf(w->c->out, "%s%s", i == 0 ? ": " : ", ",
                      cli_text(json_array_get(nodes, i), "name"));
    }
    const char *message = cli_text(event, "message");
    (void)fprintf(w->c->out, "%s%s\n", message[0] != '\0' ? ": " : "", message);
    json_decref(event);
}

/* A line after each validation, every two seconds of training between, and at the end. */
static void say_progress(struct watch *w, bool last)
{
    const struct cli_progress *p = &w->progress;
    bool validated = !isnan(p->val_accuracy) &&
                     (isnan(w->said_validation) || p->val_accuracy > w->said_validation ||
                      p->val_accuracy < w->said_validation);
    bool due =
        validated || p->last_us >= w->said_us + LINE_EVERY_US || (last && p->step != w->said_step);
    w->changed = false;
    if (isnan(p->loss) || !due) {
        return;
    }
    char line[CLI_PROGRESS_LINE];
    cli_progress_line(p, line);
    (void)fprintf(w->c->out, "%s\n", line);
    (void)fflush(w->c->out);
    w->said_step = p->step;
    w->said_us = p->last_us;
    w->said_validation = p->val_accuracy;
}

/* Between two pieces of the stream, never between the points of one step: they come together. */
static void show(struct watch *w, bool last)
{
    if (w->quiet || w->c->json || !w->changed) {
        return;
    }
    if (w->c->terminal) {
        draw(w);
    } else {
        say_progress(w, last);
    }
}

static bool on_tick(void *ctx)
{
    show(ctx, false);
    return true;
}

static bool on_event(void *ctx, const char *type, const char *data)
{
    struct watch *w = ctx;
    cli_progress_event(&w->progress, type, data);
    w->changed = true;
    if (w->c->json) {
        if (!w->quiet) {
            (void)fprintf(w->c->out, "{\"event\":\"%s\",\"data\":%s}\n", type, data);
            (void)fflush(w->c->out);
        }
    } else if (!w->quiet && !w->c->terminal && strcmp(type, "event") == 0) {
        say_event(w, data);
        (void)fflush(w->c->out);
    }
    return strcmp(type, "end") != 0;
}

static int status_of(const json_t *job)
{
    const char *state = cli_text(job, "state");
    if (strcmp(state, "failed") == 0) {
        return CLI_JOB_FAILED;
    }
    return strcmp(state, "stopped") == 0 ? CLI_JOB_STOPPED : CLI_OK;
}

static void say_outcome(struct cli *c, const json_t *job)
{
    const json_t *unit = json_array_get(json_object_get(job, "unit_list"), 0);
    const json_t *outcome = json_object_get(unit, "outcome");
    const json_t *metrics = json_object_get(outcome, "metrics");
    const char *failure = cli_text(json_object_get(job, "failure"), "message");
    long long version = cli_integer(unit, "model_version");
    (void)fprintf(c->out, "%s  job %lld %s%s%s", cli_text(job, "state"), cli_integer(job, "id"),
                  cli_text(job, "name"), failure[0] != '\0' ? ": " : "", failure);
    if (version > 0) {
        (void)fprintf(c->out, "  model %s:%lld", cli_text(job, "name"), version);
    }
    if (cli_integer(metrics, "test_total") > 0) {
        char text[CLI_FORMAT_BYTES];
        long long correct = cli_integer(metrics, "test_correct");
        long long total = cli_integer(metrics, "test_total");
        cli_format_percent((double)correct / (double)total, text);
        (void)fprintf(c->out, "  test accuracy %s (%lld/%lld)", text, correct, total);
    }
    if (version > 0) {
        (void)fprintf(c->out, "\ndigest  %s", cli_text(outcome, "model_digest"));
    }
    (void)fprintf(c->out, "\n");
}

static int tell_outcome(struct cli *c, const char *job, bool silent)
{
    int status = CLI_OK;
    json_t *row = cli_get(c, "/jobs/", job, "", &status);
    if (row == NULL) {
        return status;
    }
    status = status_of(row);
    if (silent) {
        const char *failure = cli_text(json_object_get(row, "failure"), "message");
        if (status != CLI_OK) {
            (void)cli_fail(c, (enum cli_exit)status, "JOB", "job %lld is %s%s%s",
                           cli_integer(row, "id"), cli_text(row, "state"),
                           failure[0] != '\0' ? ": " : "", failure);
        }
        json_decref(row);
        return status;
    }
    if (c->json) {
        (void)cli_print_json(c, row);
        return status;
    }
    say_outcome(c, row);
    json_decref(row);
    return status;
}

/* Epochs that the job file asks for; 0 with *status set where there is no such job. */
static bool read_epochs(struct cli *c, const char *job, uint32_t *epochs, int *status)
{
    json_t *row = cli_get(c, "/jobs/", job, "", status);
    const json_t *train = json_object_get(json_object_get(row, "spec"), "train");
    *epochs = (uint32_t)cli_integer(train, "epochs");
    json_decref(row);
    return row != NULL;
}

int cli_follow(struct cli *c, const char *job, enum cli_follow what)
{
    uint32_t epochs = 0;
    int status = CLI_OK;
    struct cli_answer answer;
    if (!read_epochs(c, job, &epochs, &status)) {
        return status;
    }
    struct watch *w = calloc(1, sizeof *w);
    char *path = cli_path(c, "/jobs/", job, "/events");
    if (w == NULL || path == NULL) {
        free(w);
        free(path);
        return cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
    }
    w->c = c;
    w->quiet = what != CLI_FOLLOW_ALL;
    w->said_validation = (double)NAN;
    cli_progress_init(&w->progress, epochs);
    enum cli_stream_end end = cli_http_stream(c->http, path, LOST_S, on_event, on_tick, w, &answer);
    if (end == CLI_STREAM_DONE) {
        show(w, true);
        status = tell_outcome(c, job, what == CLI_FOLLOW_SILENT);
    } else {
        status = cli_fail_answer(c, &answer);
    }
    free(path);
    free(w);
    return status;
}

int cli_run_watch(struct cli *c)
{
    if (c->arg_count == 0) {
        return cli_follow_all(c);
    }
    return cli_follow(c, c->args[0], CLI_FOLLOW_ALL);
}
