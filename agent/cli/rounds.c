/* SPDX-License-Identifier: Apache-2.0
 *
 * rounds. */
#include "cli/context.h"
#include "cli/format.h"
#include "cli/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELL_BYTES 512u

/* Who was lost, failed or late, and whose update a rule or a secure sum has left out. */
static bool is_missing(const json_t *member)
{
    const bool delivered = strcmp(cli_text(member, "part"), "delivered") == 0;
    const bool left_out =
        json_object_get(member, "why") != NULL && json_object_get(member, "weight") == NULL;
    return !delivered || left_out;
}

/* "b lost, c failed (no data)": who was asked and whose update does not count. */
static void name_missing(const json_t *members, char out[static CELL_BYTES])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(members) && used < CELL_BYTES; i++) {
        const json_t *member = json_array_get(members, i);
        const char *part = cli_text(member, "part");
        const char *why = json_string_value(json_object_get(member, "why"));
        if (is_missing(member)) {
            int n = snprintf(out + used, CELL_BYTES - used, "%s%s %s%s%s%s", used > 0 ? ", " : "",
                             cli_text(member, "agent"), part, why != NULL ? " (" : "",
                             why != NULL ? why : "", why != NULL ? ")" : "");
            used += n > 0 ? (size_t)n : 0;
        }
    }
}

static void put_number(struct cli_table *t, double value)
{
    char text[CLI_FORMAT_BYTES];
    cli_format_number(value, text);
    cli_table_put(t, text);
}

static void put_correct(struct cli_table *t, const json_t *record, const char *correct,
                        const char *total)
{
    double of = (double)cli_integer(record, total);
    put_number(t, of > 0 ? (double)cli_integer(record, correct) / of : (double)NAN);
}

static void put_record(struct cli_table *t, const json_t *record)
{
    char text[CELL_BYTES];
    (void)snprintf(text, sizeof text, "%lld", cli_integer(record, "round"));
    cli_table_put(t, text);
    cli_table_put(t, cli_text(record, "outcome"));
    (void)snprintf(text, sizeof text, "%lld/%lld", cli_integer(record, "updates"),
                   cli_integer(record, "cohort"));
    cli_table_put(t, text);
    (void)snprintf(text, sizeof text, "%lld", cli_integer(record, "samples"));
    cli_table_put(t, text);
    (void)snprintf(text, sizeof text, "%lld", cli_integer(record, "ms"));
    cli_table_put(t, text);
    put_number(t, cli_real(record, "train_loss"));
    put_number(t, cli_real(record, "val_loss"));
    put_correct(t, record, "val_correct", "val_total");
    (void)snprintf(text, sizeof text, "%.12s", cli_text(record, "model"));
    cli_table_put(t, text);
    name_missing(json_object_get(record, "members"), text);
    cli_table_put(t, text);
}

static void print_rounds(struct cli *c, const json_t *answer)
{
    static const char *const NAMES[] = {">ROUND", "OUTCOME",   ">UPDATES", ">SAMPLES",
                                        ">MS",    ">LOSS",     ">VAL",     ">ACCURACY",
                                        "MODEL",  "NOT ADDED", NULL};
    const json_t *rounds = json_object_get(answer, "rounds");
    const json_t *evaluation = json_object_get(answer, "evaluation");
    struct cli_table t;
    (void)fprintf(c->out, "job %lld %s is %s; VAL and ACCURACY are of the model before the round\n",
                  cli_integer(answer, "job"), cli_text(answer, "name"), cli_text(answer, "state"));
    cli_table_init(&t, NAMES);
    for (size_t i = 0; i < json_array_size(rounds); i++) {
        put_record(&t, json_array_get(rounds, i));
    }
    if (json_is_object(evaluation)) {
        put_record(&t, evaluation);
    }
    cli_table_print(&t, c->out);
    double epsilon = (double)NAN;
    for (size_t i = 0; i < json_array_size(rounds); i++) {
        const json_t *spent = json_object_get(json_array_get(rounds, i), "epsilon");
        epsilon = spent != NULL ? json_real_value(spent) : epsilon;
    }
    if (!isnan(epsilon)) {
        (void)fprintf(c->out, "privacy: epsilon %.4f spent\n", epsilon);
    }
}

int cli_run_rounds(struct cli *c)
{
    int status = CLI_OK;
    json_t *answer = cli_get(c, "/jobs/", c->args[0], "/rounds", &status);
    if (answer == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, answer);
    }
    print_rounds(c, answer);
    json_decref(answer);
    return CLI_OK;
}
