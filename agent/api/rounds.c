/* SPDX-License-Identifier: Apache-2.0
 *
 * Federated rounds: what came of each, from the newest of the states that they left as checkpoints
 * (rounds/state.h). The model after each is a checkpoint's (api/checkpoint.c). */
#include "api/view.h"

#include "rounds/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The job that is asked about and its newest state; *known: it has one. False with the reply made.
 */
static bool find_state(const struct api_request *request, struct api_reply *reply,
                       struct jobs_job *job, struct jobs_checkpoint *out, bool *known)
{
    struct service_view *view = NULL;
    uint32_t count = 0;
    if (!api_open_view(request, reply, &view)) {
        return false;
    }
    const struct sh_table *t = service_view_table(view);
    bool found = api_find_job(request, reply, t, job);
    struct wire_unit unit = {.job = job->id};
    enum sh_err err = found ? jobs_checkpoint_list(t, unit, out, 1, &count) : SH_OK;
    service_view_close(view);
    if (!found) {
        return false;
    }
    if (!job->federated) {
        api_reply_error(reply, SH_ERR_NOT_FOUND, "job", request->params[0],
                        "has no federated rounds");
        return false;
    }
    if (err != SH_OK) {
        api_reply_err(reply, err);
        return false;
    }
    *known = count > 0;
    return true;
}

/* One JSON object a line. */
static void put_records(json_t *out, struct sh_span text)
{
    json_t *rounds = json_array();
    json_t *evaluation = json_null();
    const char *at = (const char *)text.at;
    const char *behind = at + text.size;
    while (at < behind) {
        const char *end = memchr(at, '\n', (size_t)(behind - at));
        size_t size = (size_t)((end != NULL ? end : behind) - at);
        json_t *record = json_loadb(at, size, 0, NULL);
        const char *outcome = json_string_value(json_object_get(record, "outcome"));
        if (outcome != NULL && strcmp(outcome, "evaluated") == 0) {
            json_decref(evaluation);
            evaluation = record;
        } else if (record != NULL) {
            (void)json_array_append_new(rounds, record);
        }
        at = end != NULL ? end + 1 : behind;
    }
    (void)json_object_set_new(out, "rounds", rounds);
    (void)json_object_set_new(out, "evaluation", evaluation);
}

/* Its bytes, given (free), with the state in them; NULL with the reply made. */
static uint8_t *read_state(const struct api_request *request, struct api_reply *reply,
                           const struct jobs_checkpoint *c, struct rounds_state *state)
{
    uint64_t size = 0;
    uint8_t *bytes = api_read_blob(request, reply, "job", request->params[0], c->manifest, &size);
    if (bytes == NULL) {
        return NULL;
    }
    struct sh_span span = {.at = bytes, .size = (size_t)size};
    enum sh_err err = rounds_state_decode(span, state);
    if (err != SH_OK) {
        free(bytes);
        api_reply_err(reply, err);
        return NULL;
    }
    return bytes;
}

void api_get_rounds(const struct api_request *request, struct api_reply *reply)
{
    struct jobs_job job = {.id = 0};
    struct jobs_checkpoint newest;
    struct rounds_state state = {.records = {.size = 0}};
    bool known = false;
    uint8_t *bytes = NULL;
    if (!find_state(request, reply, &job, &newest, &known)) {
        return;
    }
    if (known) {
        bytes = read_state(request, reply, &newest, &state);
        if (bytes == NULL) {
            return;
        }
    }
    json_t *out = json_pack("{s:I, s:s, s:s}", "job", (json_int_t)job.id, "name", job.name, "state",
                            jobs_state_name((uint32_t)job.state));
    put_records(out, state.records);
    free(bytes);
    api_reply_json(reply, 200, out);
}
