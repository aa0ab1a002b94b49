/* SPDX-License-Identifier: Apache-2.0
 *
 * bundle. */
#include "cli/save.h"

#include <stdlib.h>

int cli_run_bundle(struct cli *c)
{
    int status = CLI_OK;
    const char *output = cli_value(c, "--output");
    json_t *job = cli_get(c, "/jobs/", c->args[0], "", &status);
    if (job == NULL) {
        return status;
    }
    char name[SH_NAME_MAX + 32];
    (void)snprintf(name, sizeof name, "%s-%lld.tar", cli_text(job, "name"), cli_integer(job, "id"));
    json_decref(job);
    char *path = cli_path(c, "/jobs/", c->args[0], "/bundle");
    if (path == NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", c->args[0]);
    }
    const struct cli_save save = {.path = path, .name = output != NULL ? output : name};
    status = cli_save(c, &save);
    free(path);
    return status;
}
