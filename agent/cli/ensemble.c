/* SPDX-License-Identifier: Apache-2.0
 *
 * predict --ensemble: a job of kind ensemble, its end awaited, its result shown. */
#include "cli/upload.h"

#include <stdlib.h>
#include <string.h>

#define JOB_NAME "predict"

/* "digits", or "digits:1,digits@best": a word or a list of them. */
static json_t *models_of(const char *text)
{
    if (strchr(text, ',') == NULL) {
        return json_string(text);
    }
    json_t *list = json_array();
    while (*text != '\0') {
        size_t n = strcspn(text, ",");
        (void)json_array_append_new(list, json_stringn(text, n));
        text += n + (text[n] == ',' ? 1 : 0);
    }
    return list;
}

/* The job file that a person would have written; given (free), NULL: no memory. */
static char *write_job(const struct cli *c)
{
    const char *deadline = cli_value(c, "--deadline");
    json_t *job = json_pack("{s:s, s:s, s:s, s:o, s:s}", "api", "shoal/v1", "kind", "ensemble",
                            "name", JOB_NAME, "models", models_of(c->args[0]), "input", c->args[1]);
    if (deadline != NULL) {
        (void)json_object_set_new(job, "deadline", json_string(deadline));
    }
    char *text = job != NULL ? json_dumps(job, JSON_COMPACT) : NULL;
    json_decref(job);
    return text;
}

static int make_job(struct cli *c, struct spec_job *job)
{
    struct spec_errors *errors = calloc(1, sizeof *errors);
    char *text = write_job(c);
    int status = CLI_OK;
    if (text == NULL || errors == NULL) {
        status = cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
    } else if (spec_parse(text, strlen(text), job, errors) != SH_OK) {
        status = cli_fail_spec(c, "predict --ensemble", errors);
    }
    free(text);
    free(errors);
    return status;
}

int cli_predict_together(struct cli *c)
{
    if (c->arg_count != 2) {
        return cli_fail(c, CLI_USAGE, "USAGE",
                        "predict --ensemble takes models (NAME for all versions, or a list with "
                        "commas) and one file or folder");
    }
    struct spec_job *job = calloc(1, sizeof *job);
    int status =
        job != NULL ? make_job(c, job) : cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
    status = status == CLI_OK ? cli_upload_data(c, job) : status;
    json_t *row = status == CLI_OK ? cli_send_job(c, job, &status) : NULL;
    free(job);
    if (row == NULL) {
        return status;
    }
    char id[24];
    (void)snprintf(id, sizeof id, "%lld", cli_integer(row, "id"));
    json_decref(row);
    status = cli_follow(c, id, CLI_FOLLOW_SILENT);
    return status == CLI_OK ? cli_print_result(c, id) : status;
}
