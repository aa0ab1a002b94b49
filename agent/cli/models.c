/* SPDX-License-Identifier: Apache-2.0
 *
 * model list, show, get, remove; predict. */
#include "cli/context.h"
#include "cli/format.h"
#include "cli/save.h"
#include "cli/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PREDICT_TIMEOUT_S 120u
#define INPUT_BYTES_MAX   ((size_t)64 << 20)
#define BAR_COLUMNS       30.0

static void accuracy_text(const json_t *model, char out[static CLI_FORMAT_BYTES])
{
    const json_t *m = json_object_get(model, "metrics");
    long long total = cli_integer(m, "test_total");
    double part = total > 0 ? (double)cli_integer(m, "test_correct") / (double)total : (double)NAN;
    cli_format_percent(part, out);
}

/* "test          98.00 % (98/100)" where something was counted. */
static bool print_part(struct cli *c, const char *label, long long correct, long long total)
{
    char text[CLI_FORMAT_BYTES];
    if (total > 0) {
        cli_format_percent((double)correct / (double)total, text);
        (void)fprintf(c->out, "%-13s %s (%lld/%lld)", label, text, correct, total);
    }
    return total > 0;
}

static void print_measures(struct cli *c, const json_t *metrics)
{
    char text[CLI_FORMAT_BYTES];
    double loss = cli_real(metrics, "val_loss");
    bool test = print_part(c, "test", cli_integer(metrics, "test_correct"),
                           cli_integer(metrics, "test_total"));
    (void)fprintf(c->out, "%s", test ? "\n" : "");
    bool validated = print_part(c, "validation", cli_integer(metrics, "val_correct"),
                                cli_integer(metrics, "val_total"));
    if (loss > 0) { /* else there was no validation */
        cli_format_number(loss, text);
        (void)fprintf(c->out, "%s%s", validated ? ", loss " : "validation    loss ", text);
    }
    (void)fprintf(c->out, "%s", validated || loss > 0 ? "\n" : "");
    if (!isnan(cli_real(metrics, "train_loss"))) { /* else no epoch was completed */
        cli_format_number(cli_real(metrics, "train_loss"), text);
        (void)fprintf(c->out, "training      loss %s\n", text);
    }
}

static void put_model(struct cli_table *t, const json_t *model)
{
    char text[CLI_FORMAT_BYTES + SH_NAME_MAX];
    bool best = json_is_true(json_object_get(model, "best"));
    (void)snprintf(text, sizeof text, "%s:%lld%s", cli_text(model, "name"),
                   cli_integer(model, "version"), best ? " (best)" : "");
    cli_table_put(t, text);
    (void)snprintf(text, sizeof text, "%lld", cli_integer(model, "job"));
    cli_table_put(t, text);
    (void)snprintf(text, sizeof text, "%lld", cli_integer(model, "steps"));
    cli_table_put(t, text);
    accuracy_text(model, text);
    cli_table_put(t, text);
    cli_table_put(t, json_is_true(json_object_get(model, "reproducible")) ? "yes" : "no");
    (void)snprintf(text, sizeof text, "%.16s", cli_text(model, "model_digest"));
    cli_table_put(t, text);
}

int cli_run_model_list(struct cli *c)
{
    static const char *const NAMES[] = {"MODEL",        ">JOB",   ">STEPS", ">TEST",
                                        "REPRODUCIBLE", "DIGEST", NULL};
    int status = CLI_OK;
    json_t *answer = cli_get(c, "/models", "", "", &status);
    if (answer == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, answer);
    }
    struct cli_table t;
    cli_table_init(&t, NAMES);
    const json_t *list = json_object_get(answer, "models");
    for (size_t i = 0; i < json_array_size(list); i++) {
        put_model(&t, json_array_get(list, i));
    }
    cli_table_print(&t, c->out);
    json_decref(answer);
    return CLI_OK;
}

int cli_run_model_remove(struct cli *c)
{
    int status = CLI_OK;
    char *path = cli_path(c, "/models/", c->args[0], "");
    if (path == NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", c->args[0]);
    }
    struct cli_call call = {.method = "DELETE", .path = path, .timeout_s = CLI_CALL_S};
    json_t *answer = cli_ask(c, &call, &status);
    free(path);
    if (answer == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, answer);
    }
    (void)fprintf(c->out, "model %s is removed\n", cli_text(answer, "removed"));
    json_decref(answer);
    return CLI_OK;
}

int cli_run_model_show(struct cli *c)
{
    int status = CLI_OK;
    json_t *m = cli_get(c, "/models/", c->args[0], "", &status);
    if (m == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, m);
    }
    const json_t *holders = json_object_get(m, "holders");
    (void)fprintf(c->out, "model         %s:%lld\n", cli_text(m, "name"),
                  cli_integer(m, "version"));
    (void)fprintf(c->out, "job           %lld, %lld steps\n", cli_integer(m, "job"),
                  cli_integer(m, "steps"));
    print_measures(c, json_object_get(m, "metrics"));
    if (json_object_get(m, "score") != NULL) {
        bool best = json_is_true(json_object_get(m, "best"));
        (void)fprintf(c->out, "score         %.6g%s\n", cli_real(m, "score"),
                      best ? ", the best of its sweep" : "");
    }
    const json_t *parent = json_object_get(m, "parent");
    if (parent != NULL) {
        (void)fprintf(c->out, "began with    %s:%lld\n", cli_text(parent, "name"),
                      cli_integer(parent, "version"));
    }
    (void)fprintf(c->out, "reproducible  %s%s\n",
                  json_is_true(json_object_get(m, "reproducible")) ? "yes" : "no",
                  json_is_true(json_object_get(m, "partial")) ? ", stopped early" : "");
    (void)fprintf(c->out, "model digest  %s\n", cli_text(m, "model_digest"));
    (void)fprintf(c->out, "file digest   %s\n", cli_text(m, "file_digest"));
    (void)fprintf(c->out, "spec digest   %s\n", cli_text(m, "spec_digest"));
    (void)fprintf(c->out, "class         %s\n", cli_text(m, "class"));
    (void)fprintf(c->out, "held by      ");
    for (size_t i = 0; i < json_array_size(holders); i++) {
        (void)fprintf(c->out, " %s", cli_text(json_array_get(holders, i), "name"));
    }
    (void)fprintf(c->out, "\n");
    const json_t *evaluations = json_object_get(m, "evaluations");
    for (size_t i = 0; i < json_array_size(evaluations); i++) {
        const json_t *e = json_array_get(evaluations, i);
        (void)fprintf(c->out, "on %s (job %lld, %lld samples)\n", cli_text(e, "data"),
                      cli_integer(e, "job"), cli_integer(e, "samples"));
        cli_print_figures(c, json_object_get(e, "figures"));
    }
    json_decref(m);
    return CLI_OK;
}

int cli_run_model_get(struct cli *c)
{
    int status = CLI_OK;
    const char *output = cli_value(c, "--output");
    json_t *model = cli_get(c, "/models/", c->args[0], "", &status);
    if (model == NULL) {
        return status;
    }
    char version[SH_NAME_MAX + 16]; /* what was asked for may mean another one meanwhile */
    char name[SH_NAME_MAX + 40];
    const char *digest = cli_text(model, "file_digest");
    /* What a script calls its model has any form. */
    bool script = strcmp(digest, cli_text(model, "model_digest")) == 0;
    (void)snprintf(version, sizeof version, "%s:%lld", cli_text(model, "name"),
                   cli_integer(model, "version"));
    (void)snprintf(name, sizeof name, "%s-%lld%s", cli_text(model, "name"),
                   cli_integer(model, "version"), script ? "" : ".safetensors");
    char *path = cli_path(c, "/models/", version, "/file");
    const struct cli_save save = {
        .path = path, .name = output != NULL ? output : name, .digest = digest};
    status =
        path != NULL ? cli_save(c, &save) : cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
    free(path);
    json_decref(model);
    return status;
}

static void print_sample(struct cli *c, const json_t *sample, uint64_t top)
{
    const json_t *classes = json_object_get(sample, "classes");
    if (json_object_get(sample, "value") != NULL) {
        (void)fprintf(c->out, "  %.6g\n", cli_real(sample, "value"));
        return;
    }
    for (size_t i = 0; i < json_array_size(classes) && i < top; i++) {
        const json_t *one = json_array_get(classes, i);
        double part = cli_real(one, "probability");
        char text[CLI_FORMAT_BYTES];
        cli_format_percent(part, text);
        (void)fprintf(c->out, "  %-16s %9s", cli_text(one, "class"), text);
        int bar = (int)(part * BAR_COLUMNS + 0.5);
        (void)fputs(bar > 0 ? "  " : "", c->out);
        for (int k = 0; k < bar; k++) {
            (void)fputs("\xe2\x96\x88", c->out);
        }
        (void)fputc('\n', c->out);
    }
}

static void print_prediction(struct cli *c, const char *file, const json_t *answer, uint64_t top)
{
    const json_t *samples = json_object_get(answer, "samples");
    size_t count = json_array_size(samples);
    for (size_t i = 0; i < count; i++) {
        if (count == 1) {
            (void)fprintf(c->out, "%s\n", file);
        } else {
            (void)fprintf(c->out, "%s[%zu]\n", file, i);
        }
        print_sample(c, json_array_get(samples, i), top);
    }
}

static json_t *predict_file(struct cli *c, const char *file, int *status)
{
    size_t size = 0;
    char *bytes = cli_read_file(c, file, INPUT_BYTES_MAX, &size);
    char *path =
        cli_path(c, "/predict?model=", c->args[0], cli_flag(c, "--invert") ? "&invert=1" : "");
    json_t *answer = NULL;
    if (bytes == NULL) {
        *status = CLI_INTERNAL;
    } else if (path == NULL) {
        *status = cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", c->args[0]);
    } else {
        struct cli_call call = {.method = "POST",
                                .path = path,
                                .body = bytes,
                                .size = size,
                                .timeout_s = PREDICT_TIMEOUT_S};
        c->input = file;
        answer = cli_ask(c, &call, status);
        c->input = NULL;
    }
    free(bytes);
    free(path);
    return answer;
}

int cli_run_predict(struct cli *c)
{
    uint64_t top = 0;
    int status = CLI_OK;
    if (cli_flag(c, "--ensemble")) {
        return cli_predict_together(c);
    }
    if (cli_value(c, "--deadline") != NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--deadline: goes with --ensemble");
    }
    if (!cli_number(c, "--top", 1, SPEC_CLASSES_MAX, 5, &top)) {
        return CLI_USAGE;
    }
    for (size_t i = 1; i < c->arg_count && status == CLI_OK; i++) {
        json_t *answer = predict_file(c, c->args[i], &status);
        if (answer != NULL && c->json) {
            (void)json_object_set_new(answer, "file", json_string(c->args[i]));
            (void)cli_print_json(c, answer);
        } else if (answer != NULL) {
            print_prediction(c, c->args[i], answer, top);
            json_decref(answer);
        }
    }
    return status;
}
