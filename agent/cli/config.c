/* SPDX-License-Identifier: Apache-2.0
 *
 * config get, set and unset: settings of the cluster. `config show` is about one agent's own
 * (settings.c). */
#include "cli/context.h"
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>

static void print_value(const json_t *value, char *out, size_t size)
{
    if (json_is_integer(value)) {
        (void)snprintf(out, size, "%lld", (long long)json_integer_value(value));
    } else {
        (void)snprintf(out, size, "%g", json_number_value(value));
    }
}

/* All settings, or the one that was asked for; takes the answer. */
static int print(struct cli *c, json_t *answer, const char *wanted)
{
    static const char *const NAMES[] = {"SETTING", "VALUE", NULL};
    json_t *settings = json_object_get(answer, "config");
    const char *key = NULL;
    json_t *value = NULL;
    struct cli_table t;
    char text[64];
    if (c->json) {
        return cli_print_json(c, answer);
    }
    if (wanted != NULL) {
        value = json_object_get(settings, wanted);
        print_value(value, text, sizeof text);
        (void)fprintf(c->out, "%s\n", value != NULL ? text : "not set");
        json_decref(answer);
        return CLI_OK;
    }
    cli_table_init(&t, NAMES);
    json_object_foreach(settings, key, value)
    {
        print_value(value, text, sizeof text);
        cli_table_put(&t, key);
        cli_table_put(&t, text);
    }
    cli_table_print(&t, c->out);
    json_decref(answer);
    return CLI_OK;
}

int cli_run_config_get(struct cli *c)
{
    int status = CLI_OK;
    json_t *answer = cli_get(c, "/config", "", "", &status);
    return answer != NULL ? print(c, answer, c->arg_count > 0 ? c->args[0] : NULL) : status;
}

/* Takes value. */
static int change(struct cli *c, json_t *value)
{
    int status = CLI_OK;
    json_t *body = json_object();
    (void)json_object_set_new(body, c->args[0], value);
    char *text = json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(body);
    if (text == NULL) {
        return cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
    }
    struct cli_call call = {.method = "PUT",
                            .path = "/api/v1/config",
                            .body = text,
                            .size = strlen(text),
                            .timeout_s = CLI_CALL_S};
    json_t *answer = cli_ask(c, &call, &status);
    free(text);
    return answer != NULL ? print(c, answer, NULL) : status;
}

int cli_run_config_set(struct cli *c)
{
    json_t *value = json_loads(c->args[1], JSON_DECODE_ANY, NULL);
    if (!json_is_number(value)) {
        json_decref(value);
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: %s: must be a number", c->args[0], c->args[1]);
    }
    return change(c, value);
}

int cli_run_config_unset(struct cli *c)
{
    return change(c, json_null());
}
