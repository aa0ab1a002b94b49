/* SPDX-License-Identifier: Apache-2.0
 *
 * stop, pause, resume, set, checkpoints. */
#include "cli/context.h"
#include "cli/format.h"
#include "cli/save.h"
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>

/* Asks for something to be done to a job. Takes body, NULL: none. NULL with the error printed. */
static json_t *ask(struct cli *c, const char *method, const char *suffix, json_t *body, int *status)
{
    char *path = cli_path(c, "/jobs/", c->args[0], suffix);
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_t *job = NULL;
    if (path == NULL) {
        *status = cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", c->args[0]);
    } else {
        struct cli_call call = {.method = method,
                                .path = path,
                                .body = (const uint8_t *)text,
                                .size = text != NULL ? strlen(text) : 0,
                                .timeout_s = CLI_CALL_S};
        job = cli_ask(c, &call, status);
    }
    json_decref(body);
    free(text);
    free(path);
    return job;
}

/* Takes job. */
static int show(struct cli *c, json_t *job)
{
    if (c->json) {
        return cli_print_json(c, job);
    }
    (void)fprintf(c->out, "job %lld %s is %s\n", cli_integer(job, "id"), cli_text(job, "name"),
                  cli_text(job, "state"));
    json_decref(job);
    return CLI_OK;
}

int cli_run_stop(struct cli *c)
{
    int status = CLI_OK;
    json_t *job = ask(c, "POST", "/stop", NULL, &status);
    return job == NULL ? status : show(c, job);
}

int cli_run_pause(struct cli *c)
{
    int status = CLI_OK;
    bool now = cli_flag(c, "--now");
    json_t *job = ask(c, "POST", "/pause", json_pack("{s:b}", "now", now), &status);
    if (job == NULL) {
        return status;
    }
    long long without = cli_integer(job, "units_without_checkpoint");
    if (without > 0 && !c->json) {
        (void)fprintf(c->out, "%lld unit%s without a checkpoint begin%s anew when resumed%s\n",
                      without, without == 1 ? "" : "s", without == 1 ? "s" : "",
                      now ? "" : ", unless one is written now");
    }
    return show(c, job);
}

int cli_run_resume(struct cli *c)
{
    int status = CLI_OK;
    uint64_t epochs = 0;
    uint64_t from = UINT64_MAX;
    if (!cli_number(c, "--epochs", 1, SPEC_EPOCHS_MAX, 0, &epochs) ||
        !cli_number(c, "--from", 0, UINT64_MAX >> 12, UINT64_MAX, &from)) {
        return CLI_USAGE;
    }
    json_t *body = json_object();
    if (epochs > 0) {
        (void)json_object_set_new(body, "epochs", json_integer((json_int_t)epochs));
    }
    if (from != UINT64_MAX) {
        (void)json_object_set_new(body, "from", json_integer((json_int_t)from));
    }
    json_t *job = ask(c, "POST", "/resume", body, &status);
    return job == NULL ? status : show(c, job);
}

/* KEY=NUMBER of the command line into the body; false with the error printed. */
static bool take_change(struct cli *c, const char *word, json_t *body)
{
    const char *equals = strchr(word, '=');
    const char *number = equals != NULL ? equals + 1 : "";
    size_t digits = strspn(number, "0123456789");
    if (equals == NULL || equals == word || digits == 0 || digits > 9 || number[digits] != '\0') {
        (void)cli_fail(c, CLI_USAGE, "USAGE", "%s: must be replicas=NUMBER or priority=NUMBER",
                       word);
        return false;
    }
    char key[32];
    (void)snprintf(key, sizeof key, "%.*s", (int)(equals - word), word);
    (void)json_object_set_new(body, key, json_integer(strtol(number, NULL, 10)));
    return true;
}

int cli_run_set(struct cli *c)
{
    int status = CLI_OK;
    json_t *body = json_object();
    for (size_t i = 1; i < c->arg_count; i++) {
        if (!take_change(c, c->args[i], body)) {
            json_decref(body);
            return CLI_USAGE;
        }
    }
    json_t *job = ask(c, "PATCH", "", body, &status);
    if (job == NULL || c->json) {
        return job == NULL ? status : cli_print_json(c, job);
    }
    (void)fprintf(c->out, "job %lld %s is %s: %lld of %lld replicas completed, priority %lld\n",
                  cli_integer(job, "id"), cli_text(job, "name"), cli_text(job, "state"),
                  cli_integer(job, "units_completed"), cli_integer(job, "replicas"),
                  cli_integer(job, "priority"));
    json_decref(job);
    return CLI_OK;
}

static void put_holders(struct cli_table *t, const json_t *holders)
{
    char text[160] = "";
    size_t used = 0;
    for (size_t i = 0; i < json_array_size(holders) && used < sizeof text; i++) {
        int n = snprintf(text + used, sizeof text - used, "%s%s", i == 0 ? "" : " ",
                         cli_text(json_array_get(holders, i), "name"));
        used += n > 0 ? (size_t)n : 0;
    }
    cli_table_put(t, text);
}

/* One of them as a file. */
static int get_checkpoint(struct cli *c, uint64_t step)
{
    uint64_t unit = 0;
    int status = CLI_OK;
    const char *output = cli_value(c, "--output");
    char rest[96];
    char name[SH_NAME_MAX + 64];
    if (!cli_number(c, "--unit", 0, UINT32_MAX, 0, &unit)) {
        return CLI_USAGE;
    }
    json_t *job = cli_get(c, "/jobs/", c->args[0], "", &status);
    if (job == NULL) {
        return status;
    }
    const char *kind = cli_text(job, "kind");
    bool trains = strcmp(kind, "train") == 0 || strcmp(kind, "fine-tune") == 0;
    bool model = trains && !cli_flag(c, "--kept");
    (void)snprintf(name, sizeof name, "%s-%llu-step-%llu%s", cli_text(job, "name"),
                   (unsigned long long)unit, (unsigned long long)step, model ? ".safetensors" : "");
    (void)snprintf(rest, sizeof rest, "/checkpoints/%llu?unit=%llu%s", (unsigned long long)step,
                   (unsigned long long)unit, model ? "&as=model" : "");
    json_decref(job);
    char *path = cli_path(c, "/jobs/", c->args[0], rest);
    if (path == NULL) {
        return cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
    }
    const struct cli_save save = {.path = path, .name = output != NULL ? output : name};
    status = cli_save(c, &save);
    free(path);
    return status;
}

/* Of all units, page by page; NULL: it was told what is wrong. */
static json_t *read_checkpoints(struct cli *c, int *status)
{
    json_t *all = cli_get(c, "/jobs/", c->args[0], "/checkpoints", status);
    long long next = all != NULL ? cli_integer(all, "next") : 0;
    while (next > 0) {
        char rest[64];
        (void)snprintf(rest, sizeof rest, "/checkpoints?from=%lld", next);
        json_t *page = cli_get(c, "/jobs/", c->args[0], rest, status);
        if (page == NULL) {
            json_decref(all);
            return NULL;
        }
        (void)json_array_extend(json_object_get(all, "checkpoints"),
                                json_object_get(page, "checkpoints"));
        next = cli_integer(page, "next");
        json_decref(page);
    }
    if (all != NULL) {
        (void)json_object_set_new(all, "next", json_integer(0));
        (void)json_object_set_new(all, "left_off", json_integer(0));
    }
    return all;
}

int cli_run_checkpoints(struct cli *c)
{
    static const char *const NAMES[] = {">UNIT", ">STEP", "DIGEST", "HOLDERS", NULL};
    int status = CLI_OK;
    uint64_t step = 0;
    if (!cli_number(c, "--get", 0, UINT64_MAX >> 12, UINT64_MAX, &step)) {
        return CLI_USAGE;
    }
    if (step != UINT64_MAX) {
        return get_checkpoint(c, step);
    }
    json_t *all = read_checkpoints(c, &status);
    if (all == NULL || c->json) {
        return all == NULL ? status : cli_print_json(c, all);
    }
    struct cli_table t;
    cli_table_init(&t, NAMES);
    const json_t *list = json_object_get(all, "checkpoints");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        char text[CLI_FORMAT_BYTES];
        (void)snprintf(text, sizeof text, "%lld", cli_integer(row, "unit"));
        cli_table_put(&t, text);
        (void)snprintf(text, sizeof text, "%lld", cli_integer(row, "step"));
        cli_table_put(&t, text);
        (void)snprintf(text, sizeof text, "%.16s", cli_text(row, "digest"));
        cli_table_put(&t, text);
        put_holders(&t, json_object_get(row, "holders"));
    }
    cli_table_print(&t, c->out);
    json_decref(all);
    return CLI_OK;
}
