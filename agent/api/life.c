/* SPDX-License-Identifier: Apache-2.0
 *
 * What a person does to a job that was submitted: stop, pause, resume, change. Where its state does
 * not allow that the answer names the state and those that do. */
#include "api/view.h"
#include "patience.h"

#include "base/host/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US   UINT64_C(1000000)
#define UNITS_PAGE  256u
#define COMMAND_MAX 64u /* bytes of one of these commands */

/* Proposes the command. What it came to, with result->code. */
static enum sh_err propose(const struct api_request *request, const struct jobs_cmd *cmd,
                           struct jobs_result *result)
{
    uint8_t bytes[COMMAND_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    *result = (struct jobs_result){.err = SH_OK};
    enum sh_err err = jobs_cmd_encode(cmd, &w);
    return err != SH_OK
               ? err
               : service_propose(request->service, bytes, w.used, API_WRITE_TIMEOUT_US, result);
}

/* The job as it is now, after a write here. */
static bool read_again(const struct api_request *request, struct api_reply *reply,
                       struct jobs_job *job)
{
    struct service_view *view = NULL;
    if (!api_open_here(request, reply, &view)) {
        return false;
    }
    enum sh_err err = jobs_job_get(service_view_table(view), job->id, job);
    service_view_close(view);
    if (err != SH_OK) {
        api_reply_err(reply, err);
    }
    return err == SH_OK;
}

/* The reply to a command that was refused; allowed: the states in which it would not have been. */
static void refuse(const struct api_request *request, struct api_reply *reply, struct jobs_job *job,
                   enum sh_err err, const char *verb, const char *allowed)
{
    if (err != SH_ERR_CONFLICT) {
        api_reply_err(reply, err);
    } else if (read_again(request, reply, job)) {
        api_reply_error(reply, err, "job", request->params[0],
                        "the job is %s: only one that is %s can be %s",
                        jobs_state_name((uint32_t)job->state), allowed, verb);
    }
}

static void reply_job(const struct api_request *request, struct api_reply *reply,
                      struct jobs_job *job)
{
    if (read_again(request, reply, job)) {
        api_reply_json(reply, 202, api_job_json(job));
    }
}

void api_stop_job(const struct api_request *request, struct api_reply *reply)
{
    struct jobs_job job;
    struct jobs_result result;
    if (!api_read_job(request, reply, &job)) {
        return;
    }
    struct jobs_cmd cmd = {.type = JOBS_STOP, .u.stop.job = job.id};
    enum sh_err err = propose(request, &cmd, &result);
    if (err != SH_OK) {
        refuse(request, reply, &job, err, "stopped", "waiting, running, pausing or paused");
        return;
    }
    reply_job(request, reply, &job);
}

/* ---- bodies ---- */

/* An object, or nothing, of which no member is unknown. NULL with the reply made. */
static json_t *read_body(const struct api_request *request, struct api_reply *reply,
                         const char *const *known)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_error_t where;
    json_t *body = request->body_size == 0
                       ? json_object()
                       : json_loadb((const char *)request->body, request->body_size,
                                    JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(body)) {
        api_reply_error(reply, SH_ERR_INVALID, "body", "", "must be a JSON object");
        json_decref(body);
        return NULL;
    }
    json_object_foreach(body, key, value)
    {
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], key) != 0) {
            i++;
        }
        if (known[i] == NULL) {
            api_reply_error(reply, SH_ERR_INVALID, key, "", "no such field; there is: %s%s%s",
                            known[0], known[0] != NULL && known[1] != NULL ? ", " : "",
                            known[0] != NULL && known[1] != NULL ? known[1] : "");
            json_decref(body);
            return NULL;
        }
    }
    return body;
}

/* A whole number of the body; false with the reply made where it is none. */
static bool take_number(struct api_reply *reply, const json_t *body, const char *key, uint64_t low,
                        uint64_t high, bool *given, uint64_t *out)
{
    const json_t *value = json_object_get(body, key);
    *given = value != NULL;
    if (value == NULL) {
        return true;
    }
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    if (number < 0 || (uint64_t)number < low || (uint64_t)number > high) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        api_reply_error(reply, SH_ERR_INVALID, key, text != NULL ? text : "",
                        "must be a whole number from %llu to %llu", (unsigned long long)low,
                        (unsigned long long)high);
        free(text);
        return false;
    }
    *out = (uint64_t)number;
    return true;
}

/* ---- pause and resume ---- */

/* The canonical job file as a tree; NULL: no memory. */
static json_t *read_file(const struct sh_table *t, uint64_t job)
{
    struct sh_span spec;
    return jobs_spec_get(t, job, &spec) == SH_OK
               ? json_loadb((const char *)spec.at, spec.size, 0, NULL)
               : NULL;
}

/* Running units that would begin anew. */
static uint32_t count_without(const struct sh_table *t, const struct jobs_job *job)
{
    struct jobs_unit *units = malloc(UNITS_PAGE * sizeof *units);
    uint32_t without = 0;
    uint32_t from = 0;
    uint32_t count = UNITS_PAGE;
    while (units != NULL && count == UNITS_PAGE &&
           jobs_unit_list(t, job->id, from, units, UNITS_PAGE, &count) == SH_OK) {
        for (uint32_t i = 0; i < count; i++) {
            without += units[i].state == JOBS_RUNNING && units[i].checkpoints == 0;
        }
        from += count;
    }
    free(units);
    return without;
}

static void pause_job(const struct api_request *request, struct api_reply *reply, bool now)
{
    struct service_view *view = NULL;
    struct jobs_job job;
    struct jobs_result result;
    if (!api_open_view(request, reply, &view)) {
        return;
    }
    const struct sh_table *t = service_view_table(view);
    bool found = api_find_job(request, reply, t, &job);
    uint32_t without = found ? count_without(t, &job) : 0;
    uint64_t grace_us = found && !now ? patience_of_job(t, job.id, sh_wall_us()) : 0;
    service_view_close(view);
    if (!found) {
        return;
    }
    struct jobs_cmd cmd = {.type = JOBS_PAUSE, .u.pause = {.job = job.id, .grace_us = grace_us}};
    enum sh_err err = propose(request, &cmd, &result);
    if (err != SH_OK) {
        refuse(request, reply, &job, err, "paused", "waiting, running or pausing");
        return;
    }
    if (read_again(request, reply, &job)) {
        json_t *out = api_job_json(&job);
        (void)json_object_set_new(out, "units_without_checkpoint",
                                  json_integer((json_int_t)without));
        api_reply_json(reply, 202, out);
    }
}

void api_pause_job(const struct api_request *request, struct api_reply *reply)
{
    static const char *const KNOWN[] = {"now", NULL};
    json_t *body = read_body(request, reply, KNOWN);
    const json_t *now = json_object_get(body, "now");
    if (body == NULL) {
        return;
    }
    if (now != NULL && !json_is_boolean(now)) {
        api_reply_error(reply, SH_ERR_INVALID, "now", "", "must be true or false");
    } else {
        pause_job(request, reply, json_is_true(now));
    }
    json_decref(body);
}

static void end_pause(const struct api_request *request, struct api_reply *reply,
                      struct jobs_job *job)
{
    struct jobs_result result;
    struct jobs_cmd cmd = {.type = JOBS_RESUME, .u.resume.job = job->id};
    enum sh_err err = propose(request, &cmd, &result);
    if (err != SH_OK) {
        refuse(request, reply, job, err, "resumed", "pausing or paused");
        return;
    }
    reply_job(request, reply, job);
}

/* ---- a job that has ended goes on as another one ---- */

struct wish { /* of a person */
    bool has_epochs;
    uint64_t epochs;
    bool has_step;
    uint64_t step;
};

/* The checkpoint to go on from: the newest, or the one of the step that was asked for. */
static bool find_checkpoint(const struct api_request *request, struct api_reply *reply,
                            const struct sh_table *t, const struct jobs_job *job,
                            const struct wish *wish, struct jobs_checkpoint *out)
{
    struct jobs_checkpoint rows[JOBS_KEEP_MAX];
    struct wire_unit unit = {.job = job->id};
    char steps[JOBS_KEEP_MAX * 22] = "";
    char asked[24];
    uint32_t count = 0;
    if (jobs_checkpoint_list(t, unit, rows, JOBS_KEEP_MAX, &count) != SH_OK || count == 0) {
        api_reply_error(reply, SH_ERR_CONFLICT, "job", request->params[0],
                        "no checkpoint of the job is kept");
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!wish->has_step || rows[i].step == wish->step) {
            *out = rows[i];
            return true;
        }
        size_t used = strlen(steps);
        (void)snprintf(steps + used, sizeof steps - used, "%s%llu", i == 0 ? "" : ", ",
                       (unsigned long long)rows[i].step);
    }
    (void)snprintf(asked, sizeof asked, "%llu", (unsigned long long)wish->step);
    api_reply_error(reply, SH_ERR_NOT_FOUND, "from", asked, "there are checkpoints of steps %s",
                    steps);
    return false;
}

/* The job file with what is to be different, given (free); NULL with the reply made. */
static char *write_file(struct api_reply *reply, json_t *file, const struct jobs_job *job,
                        const struct wish *wish, const struct jobs_checkpoint *from)
{
    json_t *train = json_object_get(file, "train");
    json_int_t had = json_integer_value(json_object_get(train, "epochs"));
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)wish->epochs);
    if (job->state == JOBS_COMPLETED && (!wish->has_epochs || (json_int_t)wish->epochs <= had)) {
        api_reply_error(
            reply, SH_ERR_INVALID, "epochs", wish->has_epochs ? text : "",
            "the job has completed %lld: must be more, so that there is something to do",
            (long long)had);
        return NULL;
    }
    if (wish->has_epochs) {
        (void)json_object_set_new(train, "epochs", json_integer((json_int_t)wish->epochs));
    }
    (void)json_object_set_new(file, "start",
                              json_pack("{s:I, s:I, s:o}", "job", (json_int_t)job->id, "step",
                                        (json_int_t)from->step, "checkpoint",
                                        spec_json_hex(from->manifest, sizeof from->manifest)));
    char *out = json_dumps(file, JSON_COMPACT);
    if (out == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
    }
    return out;
}

static void go_on(const struct api_request *request, struct api_reply *reply,
                  const struct wish *wish, const struct jobs_job *job)
{
    struct service_view *view = NULL;
    struct jobs_checkpoint from;
    char *text = NULL;
    if (job->kind != WIRE_KIND_TRAIN || job->units != 1) {
        api_reply_error(reply, SH_ERR_CONFLICT, "job", request->params[0],
                        "the job is %s: only one that is pausing or paused can be resumed, and "
                        "training of one unit that has ended",
                        jobs_state_name((uint32_t)job->state));
        return;
    }
    if (!api_open_here(request, reply, &view)) {
        return;
    }
    const struct sh_table *t = service_view_table(view);
    if (find_checkpoint(request, reply, t, job, wish, &from)) {
        json_t *file = read_file(t, job->id);
        if (file == NULL) {
            api_reply_err(reply, SH_ERR_NO_MEMORY);
        } else {
            text = write_file(reply, file, job, wish, &from);
        }
        json_decref(file);
    }
    service_view_close(view);
    if (text != NULL) {
        api_submit_text(request, reply, text, job->owner);
        free(text);
    }
}

void api_resume_job(const struct api_request *request, struct api_reply *reply)
{
    static const char *const KNOWN[] = {"epochs", "from", NULL};
    struct jobs_job job;
    struct wish wish = {.epochs = 0};
    json_t *body = read_body(request, reply, KNOWN);
    if (body == NULL) {
        return;
    }
    bool good =
        take_number(reply, body, "epochs", 1, SPEC_EPOCHS_MAX, &wish.has_epochs, &wish.epochs) &&
        take_number(reply, body, "from", 0, UINT64_MAX >> 12, &wish.has_step, &wish.step);
    json_decref(body);
    if (!good || !api_read_job(request, reply, &job)) {
        return;
    }
    bool other = wish.has_epochs || wish.has_step;
    if (jobs_state_final(job.state) && job.federated) {
        api_reply_error(reply, SH_ERR_CONFLICT, "job", request->params[0],
                        "federated rounds that have ended do not go on: submit a job of kind "
                        "fine-tune from its model");
    } else if (jobs_state_final(job.state)) {
        go_on(request, reply, &wish, &job);
    } else if (other) {
        api_reply_error(reply, SH_ERR_CONFLICT, "job", request->params[0],
                        "the job is %s: only one that is completed, failed or stopped can be "
                        "resumed with other epochs or from another step",
                        jobs_state_name((uint32_t)job.state));
    } else {
        end_pause(request, reply, &job);
    }
}

/* ---- changes ---- */

static void refuse_change(const struct api_request *request, struct api_reply *reply,
                          struct jobs_job *job, const struct jobs_resize *c,
                          const struct jobs_result *result)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%u", c->units);
    if (result->code == JOBS_CODE_FIXED_UNITS) {
        api_reply_error(reply, SH_ERR_CONFLICT, "replicas", text,
                        "a job of kind %s has one unit; replicas are those of scripts",
                        api_kind_text(job->kind));
    } else if (result->code == JOBS_CODE_BELOW_COMMITTED) {
        if (read_again(request, reply, job)) {
            api_reply_error(reply, SH_ERR_CONFLICT, "replicas", text,
                            "%u are committed already: at least so many",
                            job->units_in[JOBS_COMPLETED]);
        }
    } else if (result->code == JOBS_CODE_UNITS_FULL) {
        api_reply_error(reply, SH_ERR_FULL, "replicas", text,
                        "the job has had %u units; %u are the most that one may ever have",
                        job->units, JOBS_UNITS_MAX);
    } else {
        refuse(request, reply, job, SH_ERR_CONFLICT, "changed",
               "waiting, running, pausing or paused, or, for more replicas, completed");
    }
}

static bool is_sweep(const struct api_request *request, uint64_t job)
{
    struct service_view *view = NULL;
    if (service_view_open(request->service, &view) != SH_OK) {
        return false; /* what follows finds the same and says it */
    }
    json_t *file = read_file(service_view_table(view), job);
    service_view_close(view);
    bool sweeps = json_object_get(file, "sweep") != NULL;
    json_decref(file);
    return sweeps;
}

static void change(const struct api_request *request, struct api_reply *reply,
                   struct jobs_resize *c)
{
    struct jobs_job job;
    struct jobs_result result;
    if (!api_read_job(request, reply, &job)) {
        return;
    }
    if (c->has_units && is_sweep(request, job.id)) {
        api_reply_error(reply, SH_ERR_CONFLICT, "replicas", "",
                        "the units of this job are those of its sweep");
        return;
    }
    c->job = job.id;
    struct jobs_cmd cmd = {.type = JOBS_RESIZE, .u.resize = *c};
    enum sh_err err = propose(request, &cmd, &result);
    if (err == SH_ERR_CONFLICT || (err == SH_ERR_FULL && result.code == JOBS_CODE_UNITS_FULL)) {
        refuse_change(request, reply, &job, c, &result);
    } else if (err != SH_OK) {
        api_reply_err(reply, err);
    } else {
        reply_job(request, reply, &job);
    }
}

void api_patch_job(const struct api_request *request, struct api_reply *reply)
{
    static const char *const KNOWN[] = {"replicas", "priority", NULL};
    uint64_t units = 0;
    uint64_t priority = 0;
    struct jobs_resize c = {.job = 0};
    json_t *body = read_body(request, reply, KNOWN);
    if (body == NULL) {
        return;
    }
    bool good =
        take_number(reply, body, "replicas", 1, JOBS_UNITS_MAX, &c.has_units, &units) &&
        take_number(reply, body, "priority", 0, JOBS_PRIORITY_MAX, &c.has_priority, &priority);
    json_decref(body);
    if (good && !c.has_units && !c.has_priority) {
        api_reply_error(reply, SH_ERR_INVALID, "body", "", "must have replicas or priority");
    } else if (good) {
        c.units = (uint32_t)units;
        c.priority = (uint8_t)priority;
        change(request, reply, &c);
    }
}

/* ---- checkpoints ---- */

static json_t *checkpoint_json(const struct sh_table *t, uint32_t unit,
                               const struct jobs_checkpoint *c)
{
    json_t *holders = json_array();
    for (uint32_t i = 0; i < c->holder_count; i++) {
        (void)json_array_append_new(holders, api_node_ref(t, c->holders[i]));
    }
    return json_pack("{s:i, s:I, s:o, s:I, s:I, s:o}", "unit", (int)unit, "step",
                     (json_int_t)c->step, "digest", spec_json_hex(c->manifest, sizeof c->manifest),
                     "generation", (json_int_t)c->fence.index, "created_us",
                     (json_int_t)c->stamp_us, "holders", holders);
}

static json_t *checkpoints_json(const struct sh_table *t, const struct jobs_job *job,
                                const struct api_units_page *page)
{
    struct jobs_checkpoint rows[JOBS_KEEP_MAX];
    json_t *list = json_array();
    for (uint32_t i = page->from; i < page->from + page->count; i++) {
        struct wire_unit id = {.job = job->id, .unit = i};
        uint32_t count = 0;
        if (jobs_checkpoint_list(t, id, rows, JOBS_KEEP_MAX, &count) != SH_OK) {
            break; /* a damaged row: whoever applies finds it too, and stops the agent */
        }
        for (uint32_t at = 0; at < count; at++) {
            (void)json_array_append_new(list, checkpoint_json(t, i, &rows[at]));
        }
    }
    return list;
}

void api_get_checkpoints(const struct api_request *request, struct api_reply *reply)
{
    struct service_view *view = NULL;
    struct jobs_job job;
    struct api_units_page page;
    if (!api_open_view(request, reply, &view)) {
        return;
    }
    const struct sh_table *t = service_view_table(view);
    if (api_find_job(request, reply, t, &job) && api_units_page(request, reply, &job, &page)) {
        json_t *out = json_pack("{s:I, s:s, s:o}", "job", (json_int_t)job.id, "name", job.name,
                                "checkpoints", checkpoints_json(t, &job, &page));
        api_put_page(out, &job, &page);
        api_reply_json(reply, 200, out);
    }
    service_view_close(view);
}
