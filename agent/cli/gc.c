/* SPDX-License-Identifier: Apache-2.0
 *
 * gc. */
#include "cli/context.h"
#include "cli/format.h"
#include "cli/table.h"

#include <string.h>

#define GC_TIMEOUT_S 300u

static void put_part(struct cli_table *t, const json_t *found, const char *blobs, const char *bytes)
{
    char text[3 * CLI_FORMAT_BYTES];
    char size[CLI_FORMAT_BYTES];
    cli_format_bytes((uint64_t)cli_integer(found, bytes), size);
    (void)snprintf(text, sizeof text, "%lld (%s)", cli_integer(found, blobs), size);
    cli_table_put(t, text);
}

int cli_run_gc(struct cli *c)
{
    bool dry = cli_flag(c, "--dry-run");
    const char *const NAMES[] = {"AGENT",      ">HELD", dry ? ">WOULD GO" : ">GONE",
                                 ">TOO YOUNG", ">JOBS", NULL};
    const char *body = dry ? "{\"dry_run\": true}" : "{\"dry_run\": false}";
    struct cli_call call = {.method = "POST",
                            .path = "/api/v1/gc",
                            .body = body,
                            .size = strlen(body),
                            .timeout_s = GC_TIMEOUT_S};
    int status = CLI_OK;
    json_t *answer = cli_ask(c, &call, &status);
    if (answer == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, answer);
    }
    struct cli_table t;
    cli_table_init(&t, NAMES);
    const json_t *nodes = json_object_get(answer, "nodes");
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *found = json_array_get(nodes, i);
        const char *why = cli_text(found, "code");
        char jobs[24];
        cli_table_put(&t, cli_text(found, "name"));
        if (why[0] != '\0') {
            cli_table_put(&t, why);
            cli_table_put(&t, "");
            cli_table_put(&t, "");
            cli_table_put(&t, "");
            continue;
        }
        put_part(&t, found, "blobs", "bytes");
        put_part(&t, found, "loose_blobs", "loose_bytes");
        put_part(&t, found, "leased_blobs", "leased_bytes");
        (void)snprintf(jobs, sizeof jobs, "%lld", cli_integer(found, "jobs"));
        cli_table_put(&t, jobs);
    }
    cli_table_print(&t, c->out);
    json_decref(answer);
    return CLI_OK;
}
