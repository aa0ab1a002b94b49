/* SPDX-License-Identifier: Apache-2.0
 *
 * watch without a job: a list, then every change after it. An agent that dies on the way is
 * replaced by the next peer, which goes on behind the last revision seen; where that is too long
 * ago, the list is taken anew. */
#include "cli/context.h"
#include "cli/format.h"

#include <stdlib.h>
#include <string.h>

#define LOST_S 30u

struct changes {
    struct cli *c;
    uint64_t limit; /* 0: none */
    uint64_t seen;
    bool gone;
};

static void print_change(const struct cli *c, const json_t *change)
{
    const json_t *job = json_object_get(change, "job");
    const json_t *event = json_object_get(change, "event");
    const json_t *unit = json_object_get(event, "unit");
    const char *code = cli_text(event, "code");
    char of[32] = "";
    if (json_object_get(event, "units") != NULL) {
        (void)snprintf(of, sizeof of, " %lld units", cli_integer(event, "units"));
    } else if (unit != NULL && cli_integer(job, "units") > 1) {
        (void)snprintf(of, sizeof of, " unit %lld", json_integer_value(unit));
    }
    (void)fprintf(c->out, "%lld  job %lld %s: %s%s %s%s%s (%lld/%lld)\n",
                  cli_integer(change, "revision"), cli_integer(job, "id"), cli_text(job, "name"),
                  cli_text(job, "state"), of, cli_text(event, "cause"),
                  strcmp(code, "OK") != 0 ? ": " : "", strcmp(code, "OK") != 0 ? code : "",
                  cli_integer(job, "units_completed"), cli_integer(job, "units"));
    (void)fflush(c->out);
}

static bool on_event(void *ctx, const char *type, const char *data)
{
    struct changes *w = ctx;
    w->gone = w->gone || strcmp(type, "gone") == 0;
    if (strcmp(type, "change") == 0) {
        json_t *change = json_loads(data, 0, NULL);
        if (w->c->json) {
            (void)cli_print_json(w->c, json_incref(change));
            (void)fflush(w->c->out);
        } else {
            print_change(w->c, change);
        }
        json_decref(change);
        w->seen++;
    }
    return !w->gone && (w->limit == 0 || w->seen < w->limit);
}

static bool on_tick(void *ctx)
{
    (void)ctx;
    return true;
}

/* The revision of a list taken now. */
static bool read_revision(struct cli *c, uint64_t *from, int *status)
{
    json_t *list = cli_get(c, "/jobs?limit=1", "", "", status);
    *from = (uint64_t)cli_integer(list, "revision");
    bool good = list != NULL;
    json_decref(list);
    return good;
}

/* True: the changes after `from` are not kept any more. */
static bool follow(struct changes *w, uint64_t from, int *status)
{
    char number[24];
    struct cli_answer answer;
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)from);
    char *path = cli_path(w->c, "/jobs?watch=1&from=", number, "");
    if (path == NULL) {
        *status = cli_fail(w->c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
        return false;
    }
    w->gone = false;
    enum cli_stream_end end =
        cli_http_stream(w->c->http, path, LOST_S, on_event, on_tick, w, &answer);
    free(path);
    w->gone = w->gone || (end == CLI_STREAM_REFUSED && answer.status == 410);
    if (end == CLI_STREAM_DONE) {
        *status = CLI_OK;
    } else if (w->gone) {
        free(answer.body);
    } else {
        *status = cli_fail_answer(w->c, &answer);
    }
    return w->gone;
}

int cli_follow_all(struct cli *c)
{
    struct changes w = {.c = c};
    uint64_t from = 0;
    int status = CLI_OK;
    bool given = cli_value(c, "--from") != NULL;
    if (!cli_number(c, "--limit", 1, UINT32_MAX, 0, &w.limit) ||
        !cli_number(c, "--from", 0, UINT64_MAX >> 4, 0, &from)) {
        return CLI_USAGE;
    }
    while (given || read_revision(c, &from, &status)) {
        given = false;
        if (!follow(&w, from, &status)) {
            break;
        }
        (void)fprintf(c->err,
                      "changes after revision %llu are not kept any more: goes on from now; "
                      "shoal ps lists all jobs\n",
                      (unsigned long long)from);
    }
    return status;
}
