/* SPDX-License-Identifier: Apache-2.0
 *
 * outputs. */
#include "cli/context.h"

#include "spec/fileset.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTPUTS_TIMEOUT_S 600u
#define UNIT_MAX          9999u
#define WHY_BYTES         1024u

static int unpack(struct cli *c, const struct cli_answer *answer, const char *dir)
{
    char path[PATH_MAX];
    char why[WHY_BYTES] = "";
    if (access(dir, F_OK) == 0) {
        return cli_fail(c, CLI_CONFLICT, "EXISTS", "%s exists: name another folder with -o", dir);
    }
    struct sh_span blob = {.at = (const uint8_t *)answer->body, .size = answer->size};
    enum sh_err err = spec_fileset_extract(blob, false, dir, path, sizeof path, why, sizeof why);
    if (err != SH_OK) {
        return cli_fail(c, cli_exit_of(sh_err_name(err)), sh_err_name(err), "%s: %s", dir,
                        why[0] != '\0' ? why : sh_err_text(err));
    }
    if (c->json) {
        return cli_print_json(c, json_pack("{s:s}", "folder", dir));
    }
    (void)fprintf(c->out, "%s\n", dir);
    return CLI_OK;
}

int cli_run_outputs(struct cli *c)
{
    uint64_t unit = 0;
    int status = CLI_OK;
    char name[SH_NAME_MAX + 32];
    char suffix[48];
    const char *output = cli_value(c, "--output");
    if (!cli_number(c, "--unit", 0, UNIT_MAX, 0, &unit)) {
        return CLI_USAGE;
    }
    json_t *job = cli_get(c, "/jobs/", c->args[0], "", &status);
    if (job == NULL) {
        return status;
    }
    (void)snprintf(name, sizeof name, "%s-%llu", cli_text(job, "name"), (unsigned long long)unit);
    json_decref(job);
    (void)snprintf(suffix, sizeof suffix, "/units/%llu/outputs", (unsigned long long)unit);
    char *path = cli_path(c, "/jobs/", c->args[0], suffix);
    if (path == NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", c->args[0]);
    }
    struct cli_answer answer;
    struct cli_call call = {.method = "GET", .path = path, .timeout_s = OUTPUTS_TIMEOUT_S};
    cli_http_call(c->http, &call, &answer);
    free(path);
    if (answer.status != 200) {
        return cli_fail_answer(c, &answer);
    }
    status = unpack(c, &answer, output != NULL ? output : name);
    free(answer.body);
    return status;
}
