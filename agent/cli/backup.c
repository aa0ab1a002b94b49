/* SPDX-License-Identifier: Apache-2.0
 *
 * backup and restore. */
#include "cli/context.h"
#include "cli/format.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKUP_TIMEOUT_S 600u /* where the files must be copied, not linked */

/* The agent is on this machine, or the path is absolute. */
static bool absolute(const char *path, char *out, size_t size)
{
    char here[PATH_MAX];
    if (path[0] == '/') {
        return snprintf(out, size, "%s", path) < (int)size;
    }
    return getcwd(here, sizeof here) != NULL &&
           snprintf(out, size, "%s/%s", here, path) < (int)size;
}

int cli_run_backup(struct cli *c)
{
    char path[2 * PATH_MAX];
    if (!absolute(c->args[0], path, sizeof path)) {
        return cli_fail(c, CLI_USAGE, "USAGE", "DIR: too long, or no working directory");
    }
    json_t *body = json_pack("{s:s}", "dir", path);
    char *text = body != NULL ? json_dumps(body, SPEC_JSON_PRINT) : NULL;
    json_decref(body);
    if (text == NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "DIR must be UTF-8 text");
    }
    int status = CLI_OK;
    struct cli_call call = {.method = "POST",
                            .path = "/api/v1/backup",
                            .body = text,
                            .size = strlen(text),
                            .timeout_s = BACKUP_TIMEOUT_S};
    json_t *made = cli_ask(c, &call, &status);
    free(text);
    if (made == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, made);
    }
    char size[CLI_FORMAT_BYTES];
    cli_format_bytes((uint64_t)cli_integer(made, "bytes"), size);
    (void)fprintf(c->out, "%s: all that the agent holds, up to index %lld, %s\n",
                  cli_text(made, "dir"), cli_integer(made, "index"), size);
    json_decref(made);
    return CLI_OK;
}

int cli_run_restore(struct cli *c)
{
    struct restore_options options;
    char why[AGENT_WHY_BYTES];
    uint64_t index = 0;
    const char *data = cli_value(c, "--data");
    if (data == NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--data DIR is missing: where the new agent lives");
    }
    if (snprintf(options.backup, sizeof options.backup, "%s", c->args[0]) > (int)AGENT_PATH_MAX ||
        snprintf(options.data, sizeof options.data, "%s", data) > (int)AGENT_PATH_MAX) {
        return cli_fail(c, CLI_USAGE, "USAGE", "a path has more than %u characters",
                        AGENT_PATH_MAX);
    }
    int status = c->programs->restore(&options, &index, why);
    if (status != CLI_OK) {
        return cli_fail(c, (enum cli_exit)status, "RESTORE", "%s", why);
    }
    if (c->json) {
        return cli_print_json(c, json_pack("{s:s, s:I}", "data", data, "index", (json_int_t)index));
    }
    (void)fprintf(c->out,
                  "%s has the state of index %llu. It begins a cluster of its own:\n"
                  "  shoal agent --new --data %s\n"
                  "That makes a new secret, %s/secret; the other agents join with it, on new "
                  "directories.\n",
                  data, (unsigned long long)index, data, data);
    return CLI_OK;
}
