/* SPDX-License-Identifier: Apache-2.0
 *
 * result. */
#include "cli/context.h"
#include "cli/format.h"
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>

#define RESULT_TIMEOUT_S 120u
#define ROWS_SHOWN       50u

static void print_members(struct cli *c, const json_t *members)
{
    static const char *const NAMES[] = {">UNIT", "MODEL", "STATE", "", NULL};
    struct cli_table t;
    char text[SH_NAME_MAX + 32];
    cli_table_init(&t, NAMES);
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *m = json_array_get(members, i);
        (void)snprintf(text, sizeof text, "%lld", cli_integer(m, "unit"));
        cli_table_put(&t, text);
        (void)snprintf(text, sizeof text, "%s:%lld", cli_text(m, "model"),
                       cli_integer(m, "version"));
        cli_table_put(&t, text);
        cli_table_put(&t, cli_text(m, "state"));
        cli_table_put(&t, cli_text(m, "message"));
    }
    cli_table_print(&t, c->out);
}

/* A number, or of several classes the largest and its name. */
static void value_text(const json_t *value, const json_t *classes, char *out, size_t size)
{
    if (json_is_string(value)) {
        (void)snprintf(out, size, "%s", json_string_value(value));
        return;
    }
    if (!json_is_array(value)) {
        (void)snprintf(out, size, "%.10g", json_number_value(value));
        return;
    }
    size_t best = 0;
    for (size_t i = 1; i < json_array_size(value); i++) {
        bool more = json_number_value(json_array_get(value, i)) >
                    json_number_value(json_array_get(value, best));
        best = more ? i : best;
    }
    char part[CLI_FORMAT_BYTES];
    cli_format_percent(json_number_value(json_array_get(value, best)), part);
    (void)snprintf(out, size, "%s %s", json_string_value(json_array_get(classes, best)), part);
}

static void print_combined(struct cli *c, const json_t *result)
{
    static const char *const KINDS[] = {"mean", "median", "vote"};
    static const char *const HEADS[] = {">SAMPLE", "MEAN", "MEDIAN", "VOTE", NULL};
    const json_t *classes = json_object_get(result, "classes");
    size_t samples = (size_t)cli_integer(result, "samples");
    size_t shown = samples < ROWS_SHOWN ? samples : ROWS_SHOWN;
    struct cli_table t;
    cli_table_init(&t, HEADS);
    for (size_t i = 0; i < shown; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "%zu", i);
        cli_table_put(&t, text);
        for (size_t k = 0; k < SH_COUNT(KINDS); k++) {
            const json_t *list = json_object_get(result, KINDS[k]);
            (void)snprintf(text, sizeof text, "-");
            if (list != NULL) {
                value_text(json_array_get(list, i), classes, text, sizeof text);
            }
            cli_table_put(&t, text);
        }
    }
    cli_table_print(&t, c->out);
    if (shown < samples) {
        (void)fprintf(c->out, "and %zu more: --json has them all\n", samples - shown);
    }
}

static void print_ensemble(struct cli *c, const json_t *result)
{
    print_members(c, json_object_get(result, "members"));
    (void)fprintf(c->out, "\n%lld answered, %lld failed or late, %lld pending\n",
                  cli_integer(result, "answered"), cli_integer(result, "failures"),
                  cli_integer(result, "pending"));
    if (cli_integer(result, "answered") > 0) {
        (void)fputc('\n', c->out);
        print_combined(c, result);
    }
}

void cli_print_figures(struct cli *c, const json_t *figures)
{
    const char *name = NULL;
    const json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)figures, name, value)
    {
        if (json_is_number(value)) {
            (void)fprintf(c->out, "  %-12s %.10g\n", name, json_number_value(value));
        }
    }
}

static void print_evaluation(struct cli *c, const json_t *result)
{
    (void)fprintf(c->out, "%s:%lld on %s, %lld samples\n", cli_text(result, "model"),
                  cli_integer(result, "version"), cli_text(result, "data"),
                  cli_integer(result, "samples"));
    cli_print_figures(c, json_object_get(result, "figures"));
}

/* Predictions come as a table of their own. */
static int print_table(struct cli *c, const struct cli_answer *answer)
{
    if (c->json) {
        return cli_print_json(c, json_pack("{s:s#}", "csv", answer->body, (int)answer->size));
    }
    (void)fwrite(answer->body, 1, answer->size, c->out);
    return CLI_OK;
}

int cli_print_result(struct cli *c, const char *job)
{
    struct cli_answer answer;
    char *path = cli_path(c, "/jobs/", job, "/result");
    if (path == NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", job);
    }
    struct cli_call call = {.method = "GET", .path = path, .timeout_s = RESULT_TIMEOUT_S};
    cli_http_call(c->http, &call, &answer);
    free(path);
    if (answer.status != 200) {
        return cli_fail_answer(c, &answer);
    }
    int status = CLI_OK;
    json_t *result = answer.size > 0 && answer.body[0] == '{'
                         ? json_loadb(answer.body, answer.size, 0, NULL)
                         : NULL;
    if (result == NULL) {
        status = print_table(c, &answer);
    } else if (c->json) {
        status = cli_print_json(c, json_incref(result));
    } else if (json_object_get(result, "members") != NULL) {
        print_ensemble(c, result);
    } else {
        print_evaluation(c, result);
    }
    json_decref(result);
    free(answer.body);
    return status;
}

int cli_run_result(struct cli *c)
{
    return cli_print_result(c, c->args[0]);
}
