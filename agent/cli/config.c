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

/* PUT of these; takes the body. */
static int change(struct cli *c, json_t *body)
{
    int status = CLI_OK;
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

/* KEY=NUMBER into the body; false with the error printed. */
static bool take_setting(struct cli *c, const char *word, json_t *body)
{
    const char *equals = strchr(word, '=');
    json_t *value = equals != NULL ? json_loads(equals + 1, JSON_DECODE_ANY, NULL) : NULL;
    bool good = json_is_number(value) && equals != word;
    char *key = good ? strndup(word, (size_t)(equals - word)) : NULL;
    if (!good) {
        (void)cli_fail(c, CLI_USAGE, "USAGE", "%s: must be KEY=NUMBER, such as reserve=0.34", word);
    } else if (key == NULL) {
        (void)cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
    } else {
        (void)json_object_set(body, key, value);
    }
    bool taken = key != NULL;
    free(key);
    json_decref(value);
    return taken;
}

int cli_run_config_set(struct cli *c)
{
    json_t *body = json_object();
    for (size_t i = 0; i < c->arg_count; i++) {
        if (!take_setting(c, c->args[i], body)) {
            json_decref(body);
            return CLI_USAGE;
        }
    }
    return change(c, body);
}

int cli_run_config_unset(struct cli *c)
{
    json_t *body = json_object();
    (void)json_object_set_new(body, c->args[0], json_null());
    return change(c, body);
}
