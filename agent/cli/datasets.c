/* SPDX-License-Identifier: Apache-2.0
 *
 * dataset add, list, show, preview, files, remove. */
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
        bool local = json_is_true(json_object_get(set, "local"));
        const json_t *holders = json_object_get(set, "holders");
        char files[24];
        char size[CLI_FORMAT_BYTES];
        char digest[17];
        for (size_t k = 0; k < json_array_size(holders); k++) {
            const json_t *holder = json_array_get(holders, k);
            const json_t *own = local ? holder : set; /* of a local set each part is told of */
            const json_t *summary = json_object_get(own, "summary");
            (void)snprintf(files, sizeof files, "%lld", cli_integer(summary, "files"));
            cli_format_bytes((uint64_t)cli_integer(summary, "bytes"), size);
            (void)snprintf(digest, sizeof digest, "%.16s", cli_text(own, "digest"));
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
    if (cli_flag(c, "--local")) {
        (void)json_object_set_new(body, "local", json_true());
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

/* One call about the set that args[0] names, with ?node= where it is given; NULL with the error
 * printed. */
static json_t *ask(struct cli *c, const char *method, const char *suffix, int *status)
{
    char *node =
        cli_value(c, "--node") != NULL ? cli_http_escape(c->http, cli_value(c, "--node")) : NULL;
    char tail[1400];
    const char *key = strchr(suffix, '?') != NULL ? "&node=" : "?node=";
    (void)snprintf(tail, sizeof tail, "%s%s%s", suffix, node != NULL ? key : "",
                   node != NULL ? node : "");
    free(node);
    char *path = cli_path(c, "/datasets/", c->args[0], tail);
    if (path == NULL) {
        *status = cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", c->args[0]);
        return NULL;
    }
    struct cli_call call = {.method = method, .path = path, .timeout_s = ADD_TIMEOUT_S};
    json_t *answer = cli_ask(c, &call, status);
    free(path);
    return answer;
}

int cli_run_dataset_show(struct cli *c)
{
    int status = CLI_OK;
    json_t *set = ask(c, "GET", "", &status);
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

static void print_row(struct cli *c, const json_t *row)
{
    for (size_t i = 0; i < json_array_size(row); i++) {
        const char *cell = json_string_value(json_array_get(row, i));
        (void)fprintf(c->out, "%s%s", i > 0 ? "," : "  ", cell != NULL ? cell : "");
    }
    (void)fprintf(c->out, "\n");
}

int cli_run_dataset_preview(struct cli *c)
{
    int status = CLI_OK;
    const char *class = NULL;
    json_t *count = NULL;
    char size[CLI_FORMAT_BYTES];
    json_t *p = ask(c, "GET", "/preview", &status);
    if (p == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, p);
    }
    cli_format_bytes((uint64_t)cli_integer(p, "bytes"), size);
    (void)fprintf(c->out, "%s: %s, %lld files, %s\n", cli_text(p, "name"), cli_text(p, "kind"),
                  cli_integer(p, "files"), size);
    json_object_foreach(json_object_get(p, "classes"), class, count)
    {
        (void)fprintf(c->out, "  class %s: %lld\n", class, json_integer_value(count));
    }
    const json_t *rows = json_object_get(p, "rows");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        print_row(c, json_array_get(rows, i));
    }
    const json_t *samples = json_object_get(p, "samples");
    for (size_t i = 0; rows == NULL && i < json_array_size(samples); i++) {
        const json_t *sample = json_array_get(samples, i);
        cli_format_bytes((uint64_t)cli_integer(sample, "size"), size);
        (void)fprintf(c->out, "  %s  %s\n", cli_text(sample, "file"), size);
    }
    json_decref(p);
    return CLI_OK;
}

int cli_run_dataset_files(struct cli *c)
{
    int status = CLI_OK;
    uint64_t from = 0;
    if (!cli_number(c, "--from", 0, UINT64_MAX >> 1, 0, &from)) {
        return CLI_USAGE;
    }
    const char *given = cli_value(c, "--under");
    char *under = cli_http_escape(c->http, given != NULL ? given : "");
    char suffix[1200];
    int n = snprintf(suffix, sizeof suffix, "/files?from=%llu&under=%s", (unsigned long long)from,
                     under != NULL ? under : "");
    free(under);
    if (n >= (int)sizeof suffix) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--under: too long");
    }
    json_t *page = ask(c, "GET", suffix, &status);
    if (page == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, page);
    }
    const json_t *files = json_object_get(page, "files");
    for (size_t i = 0; i < json_array_size(files); i++) {
        (void)fprintf(c->out, "%12lld  %s\n", cli_integer(json_array_get(files, i), "size"),
                      cli_text(json_array_get(files, i), "file"));
    }
    if (cli_integer(page, "next") > 0) {
        (void)fprintf(c->out, "more: --from %lld\n", cli_integer(page, "next"));
    }
    json_decref(page);
    return CLI_OK;
}

int cli_run_dataset_remove(struct cli *c)
{
    int status = CLI_OK;
    json_t *answer = ask(c, "DELETE", "", &status);
    if (answer == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, answer);
    }
    (void)fprintf(c->out, "data set %s is removed\n", cli_text(answer, "removed"));
    json_decref(answer);
    return CLI_OK;
}
