/* SPDX-License-Identifier: Apache-2.0
 *
 * nodes and status. */
#include "cli/context.h"
#include "cli/format.h"
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>

static void put_state(struct cli_table *t, const json_t *node)
{
    char text[128];
    const char *policy = cli_text(node, "policy");
    const json_t *health = json_object_get(node, "health");
    const char *state = json_is_object(health) ? cli_text(health, "state") : "suspected";
    bool blocked = strcmp(policy, "none") != 0;
    bool doubted = strcmp(state, "suspected") != 0;
    (void)snprintf(text, sizeof text, "%s%s%s%s%s%s%s", cli_text(node, "liveness"),
                   json_is_true(json_object_get(node, "one_way")) ? ", one-way" : "",
                   json_is_true(json_object_get(node, "draining")) ? ", draining" : "",
                   blocked ? ", " : "", blocked ? policy : "", doubted ? ", " : "",
                   doubted ? state : "");
    cli_table_put(t, text);
}

static const char *role_of(const json_t *node)
{
    if (json_is_true(json_object_get(node, "leader"))) {
        return "leader";
    }
    return json_is_true(json_object_get(node, "voter")) ? "voter" : "learner";
}

static void put_datasets(struct cli_table *t, const json_t *node)
{
    const json_t *list = json_object_get(node, "datasets");
    char text[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < json_array_size(list) && used < sizeof text; i++) {
        int n = snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? "," : "",
                         json_string_value(json_array_get(list, i)));
        used += n > 0 ? (size_t)n : 0;
    }
    cli_table_put(t, text);
}

#define LABELS_SHOWN 24 /* characters; --json has all */

static void put_labels(struct cli_table *t, const json_t *node)
{
    const json_t *value;
    const char *key;
    char text[256] = "";
    size_t used = 0;
    json_object_foreach((json_t *)(uintptr_t)json_object_get(node, "labels"), key, value)
    {
        const char *word = json_string_value(value);
        bool valued = word != NULL && word[0] != '\0';
        int n = snprintf(text + used, sizeof text - used, "%s%s%s%s", used > 0 ? "," : "", key,
                         valued ? "=" : "", valued ? word : "");
        used += n > 0 && used + (size_t)n < sizeof text ? (size_t)n : 0;
    }
    if (used > LABELS_SHOWN) {
        (void)snprintf(text + LABELS_SHOWN - 3, 4, "...");
    }
    cli_table_put(t, used > 0 ? text : "-");
}

/* How the commands of jobs are kept here, and whose they are. */
static void put_commands(struct cli_table *t, const json_t *node)
{
    char text[64];
    long long user = cli_integer(node, "run_as");
    if (json_is_true(json_object_get(node, "commands")) && user > 0) {
        (void)snprintf(text, sizeof text, "%.15s, user %lld", cli_text(node, "sandbox"), user);
    } else {
        (void)snprintf(text, sizeof text, "%.15s", cli_text(node, "sandbox"));
    }
    cli_table_put(t, text);
}

static void put_inventory(struct cli_table *t, const json_t *node)
{
    char text[96];
    (void)snprintf(text, sizeof text, "%lld", cli_integer(node, "cpus"));
    cli_table_put(t, text);
    cli_format_bytes((uint64_t)cli_integer(node, "ram_bytes"), text);
    cli_table_put(t, text);
    cli_table_put(t, cli_text(node, "isa"));
    if (cli_integer(node, "gpus") > 0) {
        (void)snprintf(text, sizeof text, "%lldx %s", cli_integer(node, "gpus"),
                       cli_text(node, "gpu"));
    } else {
        (void)snprintf(text, sizeof text, "-");
    }
    cli_table_put(t, text);
    (void)snprintf(text, sizeof text, "%.8s", cli_text(node, "class"));
    cli_table_put(t, text);
    (void)snprintf(text, sizeof text, "%lld %%", cli_integer(node, "load") / 10);
    cli_table_put(t, text);
}

static int by_name(const void *a, const void *b)
{
    const json_t *left = *(json_t *const *)a;
    const json_t *right = *(json_t *const *)b;
    return strcmp(cli_text(left, "name"), cli_text(right, "name"));
}

/* The agents in the order of their names; NULL when memory runs out. The caller's to free. */
static const json_t **sorted(const json_t *list)
{
    size_t count = json_array_size(list);
    const json_t **nodes = calloc(count + 1, sizeof *nodes);
    for (size_t i = 0; nodes != NULL && i < count; i++) {
        nodes[i] = json_array_get(list, i);
    }
    if (nodes != NULL) {
        qsort(nodes, count, sizeof *nodes, by_name);
    }
    return nodes;
}

static int print_nodes(struct cli *c, const json_t *list)
{
    static const char *const NAMES[] = {"NAME",     "STATE",   "ROLE",   "ADDRESS",   ">CPUS",
                                        ">RAM",     "ISA",     "GPU",    "CLASS",     ">LOAD",
                                        "COMMANDS", "VERSION", "LABELS", "DATA SETS", NULL};
    struct cli_table t;
    const json_t **nodes = sorted(list);
    if (nodes == NULL) {
        return cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
    }
    cli_table_init(&t, NAMES);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *node = nodes[i];
        cli_table_put(&t, cli_text(node, "name"));
        put_state(&t, node);
        cli_table_put(&t, role_of(node));
        cli_table_put(&t, cli_text(node, "addr"));
        put_inventory(&t, node);
        put_commands(&t, node);
        cli_table_put(&t, cli_text(node, "version"));
        put_labels(&t, node);
        put_datasets(&t, node);
    }
    cli_table_print(&t, c->out);
    free(nodes);
    return CLI_OK;
}

int cli_run_nodes(struct cli *c)
{
    int status = CLI_OK;
    json_t *answer = cli_get(c, "/nodes", "", "", &status);
    if (answer == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, answer);
    }
    status = print_nodes(c, json_object_get(answer, "nodes"));
    json_decref(answer);
    return status;
}

static void print_status(struct cli *c, const json_t *s)
{
    char uptime[CLI_FORMAT_BYTES];
    char gap[CLI_FORMAT_BYTES];
    const json_t *leader = json_object_get(s, "leader");
    const json_t *counts = json_object_get(s, "counts");
    cli_format_duration((uint64_t)cli_integer(s, "uptime_us"), uptime);
    cli_format_number((double)cli_integer(s, "leaderless_us") / 1e6, gap);
    (void)fprintf(c->out, "agent        %s (%s), up %s, version %s\n", cli_text(s, "name"),
                  cli_text(s, "id"), uptime, cli_text(s, "version"));
    (void)fprintf(c->out, "cluster      %s\n", cli_text(s, "cluster"));
    (void)fprintf(c->out, "role         %s, term %lld\n", cli_text(s, "role"),
                  cli_integer(s, "term"));
    (void)fprintf(c->out, "leader       %s\n",
                  json_is_object(leader) ? cli_text(leader, "name") : "none known: no quorum");
    (void)fprintf(c->out, "last gap     %s s without a leader\n", gap);
    (void)fprintf(c->out, "log          committed %lld, applied %lld, state %s\n",
                  cli_integer(s, "commit_index"), cli_integer(s, "applied_index"),
                  cli_text(s, "state_digest"));
    (void)fprintf(c->out, "agents       %lld admitted\n", cli_integer(counts, "nodes"));
    (void)fprintf(c->out, "models       %lld\n", cli_integer(counts, "models"));
    const json_t *jobs = json_object_get(counts, "jobs");
    (void)fprintf(c->out, "jobs         %lld waiting, %lld running, %lld completed, %lld failed\n",
                  cli_integer(jobs, "waiting"), cli_integer(jobs, "running"),
                  cli_integer(jobs, "completed"), cli_integer(jobs, "failed"));
    const json_t *running = json_object_get(s, "running");
    for (size_t i = 0; i < json_array_size(running); i++) {
        const json_t *job = json_array_get(running, i);
        (void)fprintf(c->out, "%s %lld %s, %lld %%\n", i == 0 ? "running     " : "            ",
                      cli_integer(job, "id"), cli_text(job, "name"), cli_integer(job, "percent"));
    }
}

int cli_run_status(struct cli *c)
{
    int status = CLI_OK;
    json_t *answer = cli_get(c, "/status", "", "", &status);
    if (answer == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, answer);
    }
    print_status(c, answer);
    json_decref(answer);
    return CLI_OK;
}

/* POST /nodes/NAME/WHAT. NULL with the error printed and *status set. */
static json_t *change_node(struct cli *c, const char *what, int *status)
{
    char *path = cli_path(c, "/nodes/", c->args[0], what);
    if (path == NULL) {
        *status = cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", c->args[0]);
        return NULL;
    }
    struct cli_call call = {.method = "POST", .path = path, .timeout_s = CLI_CALL_S};
    json_t *node = cli_ask(c, &call, status);
    free(path);
    return node;
}

static int mark_node(struct cli *c, const char *what, const char *said)
{
    int status = CLI_OK;
    json_t *node = change_node(c, what, &status);
    if (node == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, node);
    }
    (void)fprintf(c->out, "agent %s %s\n", cli_text(node, "name"), said);
    json_decref(node);
    return CLI_OK;
}

int cli_run_node_drain(struct cli *c)
{
    return mark_node(c, "/drain", "finishes what it has and gets nothing new");
}

int cli_run_node_undrain(struct cli *c)
{
    return mark_node(c, "/undrain", "gets work again");
}

int cli_run_node_parole(struct cli *c)
{
    return mark_node(c, "/parole", "tests itself; if that passes it is on trial");
}

int cli_run_node_remove(struct cli *c)
{
    int status = CLI_OK;
    json_t *node = change_node(c, "/remove", &status);
    if (node == NULL) {
        return status;
    }
    if (c->json) {
        return cli_print_json(c, node);
    }
    (void)fprintf(c->out, "agent %s (%lld) is removed\n", cli_text(node, "name"),
                  cli_integer(node, "handle"));
    json_decref(node);
    return CLI_OK;
}
