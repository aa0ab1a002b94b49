/* SPDX-License-Identifier: Apache-2.0
 *
 * bundle. */
#include "cli/context.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GET_TIMEOUT_S 3600u

static int fetch(struct cli *c, FILE *file)
{
    struct cli_answer answer;
    char *path = cli_path(c, "/jobs/", c->args[0], "/bundle");
    if (path == NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", c->args[0]);
    }
    struct cli_call call = {
        .method = "GET", .path = path, .save = file, .timeout_s = GET_TIMEOUT_S};
    cli_http_call(c->http, &call, &answer);
    free(path);
    if (answer.status != 200) {
        return cli_fail_answer(c, &answer);
    }
    free(answer.body);
    return CLI_OK;
}

/* Into a file beside the one that is meant, which it replaces when it is whole. */
int cli_run_bundle(struct cli *c)
{
    int status = CLI_OK;
    const char *output = cli_value(c, "--output");
    json_t *job = cli_get(c, "/jobs/", c->args[0], "", &status);
    if (job == NULL) {
        return status;
    }
    char name[1024];
    char part[1040];
    int n = snprintf(name, sizeof name, "%s", output != NULL ? output : "");
    if (output == NULL) {
        n = snprintf(name, sizeof name, "%s-%lld.tar", cli_text(job, "name"),
                     cli_integer(job, "id"));
    }
    json_decref(job);
    if (n >= (int)sizeof name) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--output: too long");
    }
    (void)snprintf(part, sizeof part, "%s.part", name);
    FILE *file = fopen(part, "w+be");
    if (file == NULL) {
        return cli_fail(c, CLI_INTERNAL, "IO", "%s: %s", part, strerror(errno));
    }
    status = fetch(c, file);
    if (fclose(file) != 0 && status == CLI_OK) {
        status = cli_fail(c, CLI_INTERNAL, "IO", "%s: %s", part, strerror(errno));
    }
    if (status == CLI_OK && rename(part, name) != 0) {
        status = cli_fail(c, CLI_INTERNAL, "IO", "%s: %s", name, strerror(errno));
    }
    if (status != CLI_OK) {
        (void)unlink(part);
    } else if (c->json) {
        (void)cli_print_json(c, json_pack("{s:s}", "file", name));
    } else {
        (void)fprintf(c->out, "%s\n", name);
    }
    return status;
}
