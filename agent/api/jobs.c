/* SPDX-License-Identifier: Apache-2.0 */
#include "api/view.h"

#include "base/host/host.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 50u
#define LIMIT_MAX     500u
#define OWNER_LOOK    65536u /* jobs that one page of an owner's looks at, at most */
#define LIVE_SHOWN    8u     /* running jobs of one page whose series are read */
#define WHY_BYTES     65536u
#define WHY_WAIT_US   UINT64_C(3000000)

/* "running,waiting" as a set of states; false when a word is none. */
static bool read_states(const char *text, uint32_t *states)
{
    *states = 0;
    while (text != NULL && *text != '\0') {
        size_t n = strcspn(text, ",");
        uint32_t state = 0;
        while (state < JOBS_STATE_COUNT && (strlen(jobs_state_name(state)) != n ||
                                            strncmp(jobs_state_name(state), text, n) != 0)) {
            state++;
        }
        if (state == JOBS_STATE_COUNT) {
            return false;
        }
        *states |= SH_FSM_BIT(state);
        text += n + (text[n] == ',' ? 1 : 0);
    }
    return true;
}

static bool trains(const struct jobs_job *job)
{
    return job->kind == WIRE_KIND_TRAIN || job->kind == WIRE_KIND_FINE_TUNE;
}

/* Not under a view: series are read from other agents, which takes time. */
static json_t *progress_of(const struct api_request *request, const struct jobs_job *job)
{
    struct api_progress progress;
    api_progress_read(request->service, job->id, &progress);
    return progress.known ? api_progress_json(&progress) : json_null();
}

/* Of these rows those of an owner (NULL: of all), moved to the front. */
static uint32_t keep_owned(struct jobs_job *rows, uint32_t count, const char *owner)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (owner == NULL || strcmp(rows[i].owner, owner) == 0) {
            rows[kept] = rows[i];
            kept++;
        }
    }
    return kept;
}

/* Up to limit rows; *before becomes the cursor of the next page. */
static enum sh_err read_rows(const struct sh_table *t, uint32_t states, const char *owner,
                             uint64_t *before, struct jobs_job *rows, uint32_t limit,
                             uint32_t *have)
{
    enum sh_err err = SH_OK;
    uint32_t looked = 0;
    *have = 0;
    do {
        uint32_t count = 0;
        err = jobs_job_list(t, before, states, rows + *have, limit - *have, &count);
        looked += count;
        *have += err == SH_OK ? keep_owned(rows + *have, count, owner) : 0;
    } while (err == SH_OK && *have < limit && *before != 0 && looked < OWNER_LOOK);
    return err;
}

/* What ps shows: the rows, and live numbers of the first few that train. */
static json_t *rows_json(const struct api_request *request, const struct jobs_job *rows,
                         uint32_t count)
{
    json_t *list = json_array();
    uint32_t live = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct jobs_job *job = &rows[i];
        json_t *out = api_job_json(job);
        if (trains(job) && job->state == JOBS_RUNNING && live < LIVE_SHOWN) {
            (void)json_object_set_new(out, "progress", progress_of(request, job));
            live++;
        }
        (void)json_array_append_new(list, out);
    }
    return list;
}

static void list_jobs(const struct api_request *request, struct api_reply *reply)
{
    uint32_t states = 0;
    uint64_t limit = 0;
    uint64_t before = 0;
    const char *owner = api_query(request, "owner");
    struct service_view *view = NULL;
    if (owner != NULL && !wire_name_ok(owner)) {
        api_reply_error(reply, SH_ERR_INVALID, "owner", owner,
                        "must be up to 63 letters, digits, '.', '_', '-', the first a letter or "
                        "digit");
        return;
    }
    if (!read_states(api_query(request, "state"), &states)) {
        api_reply_error(
            reply, SH_ERR_INVALID, "state", api_query(request, "state"),
            "must be of waiting, running, pausing, paused, stopping, completed, failed, "
            "stopped");
        return;
    }
    if (!api_query_u64(request, "limit", LIMIT_MAX, LIMIT_DEFAULT, &limit) || limit == 0) {
        api_reply_error(reply, SH_ERR_INVALID, "limit", api_query(request, "limit"),
                        "must be a whole number from 1 to %u", LIMIT_MAX);
        return;
    }
    if (!api_query_u64(request, "before", UINT64_MAX >> 1, 0, &before)) {
        api_reply_error(reply, SH_ERR_INVALID, "before", api_query(request, "before"),
                        "must be the next of an earlier page");
        return;
    }
    if (!api_open_view(request, reply, &view)) {
        return;
    }
    struct jobs_job *rows = malloc(limit * sizeof *rows);
    uint32_t count = 0;
    enum sh_err err = rows == NULL ? SH_ERR_NO_MEMORY
                                   : read_rows(service_view_table(view), states, owner, &before,
                                               rows, (uint32_t)limit, &count);
    uint64_t revision = service_view_index(view);
    service_view_close(view);
    if (err == SH_OK) {
        json_t *list = rows_json(request, rows, count);
        api_reply_json(reply, 200,
                       json_pack("{s:o, s:I, s:I}", "jobs", list, "next", (json_int_t)before,
                                 "revision", (json_int_t)revision));
    } else {
        api_reply_err(reply, err);
    }
    free(rows);
}

void api_get_jobs(const struct api_request *request, struct api_reply *reply)
{
    const char *watch = api_query(request, "watch");
    if (watch != NULL && strcmp(watch, "0") != 0) {
        api_watch_jobs(request, reply);
    } else {
        list_jobs(request, reply);
    }
}

static json_t *units_json(const struct sh_table *t, const struct jobs_job *job,
                          const struct api_units_page *page)
{
    json_t *list = json_array();
    struct jobs_unit *units = malloc(API_UNITS_MAX * sizeof *units);
    uint32_t count = 0;
    if (units != NULL &&
        jobs_unit_list(t, job->id, page->from, units, page->count, &count) == SH_OK) {
        for (uint32_t i = 0; i < count; i++) {
            (void)json_array_append_new(list, api_unit_json(t, &units[i]));
        }
    }
    free(units);
    return list;
}

json_t *api_history_json(const struct sh_table *t, const struct jobs_job *job)
{
    json_t *list = json_array();
    struct jobs_event *events = malloc(JOBS_HISTORY_MAX * sizeof *events);
    uint32_t count = 0;
    if (events != NULL && jobs_history_of(t, job, 0, events, JOBS_HISTORY_MAX, &count) == SH_OK) {
        for (uint32_t i = 0; i < count; i++) {
            (void)json_array_append_new(list, api_event_json(t, &events[i]));
        }
    }
    free(events);
    return list;
}

static json_t *spec_json(const struct sh_table *t, uint64_t job)
{
    struct sh_span spec;
    if (jobs_spec_get(t, job, &spec) != SH_OK) {
        return json_null();
    }
    json_t *out = json_loadb((const char *)spec.at, spec.size, JSON_REJECT_DUPLICATES, NULL);
    return out != NULL ? out : json_null();
}

void api_get_job(const struct api_request *request, struct api_reply *reply)
{
    struct service_view *view = NULL;
    struct jobs_job job;
    struct api_units_page page;
    if (!api_open_view(request, reply, &view)) {
        return;
    }
    const struct sh_table *t = service_view_table(view);
    if (!api_find_job(request, reply, t, &job) || !api_units_page(request, reply, &job, &page)) {
        service_view_close(view);
        return;
    }
    json_t *out = api_job_json(&job);
    (void)json_object_set_new(out, "unit_list", units_json(t, &job, &page));
    api_put_page(out, &job, &page);
    (void)json_object_set_new(out, "history", api_history_json(t, &job));
    (void)json_object_set_new(out, "spec", spec_json(t, job.id));
    service_view_close(view);
    (void)json_object_set_new(out, "progress",
                              trains(&job) ? progress_of(request, &job) : json_null());
    api_reply_json(reply, 200, out);
}

/* The id of the job that params[0] names; 0 with the reply made where there is none. */
static uint64_t job_id(const struct api_request *request, struct api_reply *reply,
                       struct jobs_job *job)
{
    struct service_view *view = NULL;
    if (!api_open_view(request, reply, &view)) {
        return 0;
    }
    bool found = api_find_job(request, reply, service_view_table(view), job);
    service_view_close(view);
    return found ? job->id : 0;
}

static enum sh_err propose(const struct api_request *request, const struct jobs_cmd *cmd)
{
    uint8_t bytes[64];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    struct jobs_result result;
    enum sh_err err = jobs_cmd_encode(cmd, &w);
    return err != SH_OK
               ? err
               : service_propose(request->service, bytes, w.used, API_WRITE_TIMEOUT_US, &result);
}

void api_remove_job(const struct api_request *request, struct api_reply *reply)
{
    struct jobs_job job;
    if (job_id(request, reply, &job) == 0) {
        return;
    }
    struct jobs_cmd cmd = {.type = JOBS_JOB_REMOVE, .u.job_remove.job = job.id};
    enum sh_err err = propose(request, &cmd);
    if (err == SH_ERR_CONFLICT) {
        api_reply_error(reply, err, "job", request->params[0],
                        "the job has not ended: it is %s; stop it first",
                        jobs_state_name((uint32_t)job.state));
    } else if (err == SH_ERR_NOT_FOUND) {
        api_reply_error(reply, err, "job", request->params[0], "no such job");
    } else if (err != SH_OK) {
        api_reply_err(reply, err);
    } else {
        api_reply_json(reply, 200, api_job_json(&job));
    }
}

void api_get_why(const struct api_request *request, struct api_reply *reply)
{
    struct jobs_job job;
    if (!api_read_job(request, reply, &job)) {
        return;
    }
    char *text = malloc(WHY_BYTES);
    enum sh_err err = text == NULL
                          ? SH_ERR_NO_MEMORY
                          : service_why(request->service, job.id, text, WHY_BYTES, WHY_WAIT_US);
    if (err != SH_OK) {
        free(text);
        api_reply_err(reply, err);
        return;
    }
    json_t *lines = json_array();
    if (job.paused) {
        (void)json_array_append_new(
            lines, json_string("the job: is paused until somebody resumes it (shoal resume)"));
    }
    for (const char *at = text; *at != '\0';) {
        size_t n = strcspn(at, "\n");
        if (n > 0) {
            (void)json_array_append_new(lines, json_stringn(at, n));
        }
        at += n + (at[n] == '\n' ? 1 : 0);
    }
    free(text);
    api_reply_json(reply, 200,
                   json_pack("{s:I, s:s, s:s, s:o}", "job", (json_int_t)job.id, "name", job.name,
                             "state", jobs_state_name((uint32_t)job.state), "lines", lines));
}
