/* SPDX-License-Identifier: Apache-2.0
 *
 * dataset add and dataset list. */
#include "cli/context.h"
#include "cli/format.h"
#include "cli/table.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define ADD_TIMEOUT_S 320u /* the agent reads all of it */

static void print_sets(struct cli *c, const json_t *list)
{
    static const char *const NAMES[] = {"NAME", ">FILES", ">SIZE", "AGENT", "PATH", "DIGEST", NULL};
    struct cli_table t;
    cli_table_init(&t, NAMES);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *set = json_array_get(list, i);
        const json_t *summary = json_object_get(set, "summary");
        const json_t *holders = json_object_get(set, "holders");
        char files[24];
        char size[CLI_FORMAT_BYTES];
        char digest[17];
        (void)snprintf(files, sizeof files, "%lld", cli_integer(summary, "files"));
        cli_format_bytes((uint64_t)cli_integer(summary, "bytes"), size);
        (void)snprintf(digest, sizeof digest, "%.16s", cli_text(set, "digest"));
        for (size_t k = 0; k < json_array_size(holders); k++) {
            const json_t *holder = json_array_get(holders, k);
            cli_table_put(&t, cli_text(set, "name"));
            cli_table_put(&t, files);
            cli_table_put(&t, size);
            cli_table_put(&t, cli_text(holder, "name"));
            cli_table_put(&t, cli_text(holder, "path"));
            cli_table_put(&t, digest);
        }
    }
    cli_table_print(&t, c->out);
}

int cli_run_dataset_list(struct cli *c)
{
    int status = CLI_OK;
    json_t *answer = cli_get(c, "/datasets", "", "", &status);
    if (answer == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, answer);
    }
    print_sets(c, json_object_get(answer, "datasets"));
    json_decref(answer);
    return CLI_OK;
}

int cli_run_dataset_add(struct cli *c)
{
    const char *node = cli_value(c, "--node");
    char here[PATH_MAX];
    const char *path = c->args[1];
    /* A path of another machine is taken as it stands; one of this machine may be relative. */
    if (node == NULL && path[0] != '/' && realpath(path, here) != NULL) {
        path = here;
    }
    json_t *body = json_pack("{s:s, s:s}", "name", c->args[0], "path", path);
    if (node != NULL) {
        (void)json_object_set_new(body, "node", json_string(node));
    }
    char *text = body != NULL ? json_dumps(body, SPEC_JSON_PRINT) : NULL;
    json_decref(body);
    if (text == NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "name and path must be UTF-8 text");
    }
    int status = CLI_OK;
    struct cli_call call = {.method = "POST",
                            .path = "/api/v1/datasets",
                            .body = text,
                            .size = strlen(text),
                            .timeout_s = ADD_TIMEOUT_S};
    json_t *set = cli_ask(c, &call, &status);
    free(text);
    if (set == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, set);
    }
    json_t *list = json_pack("[o]", set);
    print_sets(c, list);
    json_decref(list);
    return CLI_OK;
}
