/* SPDX-License-Identifier: Apache-2.0
 *
 * A job's row. It is what every submission answers, so it is printed without a tree. */
#include "api/view.h"

static json_t *failure_json(const struct jobs_job *job)
{
    return json_pack("{s:s, s:i, s:s}", "code", sh_err_name(job->fail_reason), "unit",
                     (int)job->fail_unit, "message", job->fail_text);
}

size_t api_job_print(const struct jobs_job *job, const bool *duplicate,
                     char out[static API_ROW_BYTES])
{
    struct sh_writer w = sh_writer_over(out, API_ROW_BYTES);
    bool any = job->need.arithmetic == WIRE_ARITHMETIC_ANY;
    spec_json_open(&w, NULL); /* its members sorted, as jansson prints them */
    spec_json_put_str(&w, "arithmetic", any ? "any" : "same");
    if (job->cause != WIRE_CAUSE_NONE) {
        spec_json_put_str(&w, "cause", wire_cause_text((uint32_t)job->cause));
    }
    if (job->pinned) {
        spec_json_put_hex(&w, "class", job->class, sizeof job->class);
    }
    if (duplicate != NULL) {
        spec_json_put_bool(&w, "duplicate", *duplicate);
    }
    spec_json_put_int(&w, "ended_us", (int64_t)job->end_us);
    spec_json_put_int(&w, "events", job->event_next);
    if (job->cause == WIRE_CAUSE_FAILED) {
        spec_json_put_tree(&w, "failure", failure_json(job));
    }
    spec_json_put_int(&w, "id", (int64_t)job->id);
    spec_json_put_str(&w, "kind", api_kind_text(job->kind));
    spec_json_put_str(&w, "name", job->name);
    spec_json_put_str(&w, "owner", job->owner);
    spec_json_put_int(&w, "percent", job->progress * 100 / (int)JOBS_PROGRESS_WHOLE);
    spec_json_put_int(&w, "priority", job->priority);
    spec_json_put_int(&w, "replicas", job->target);
    spec_json_put_bool(&w, "reproducible", job->reproducible && !job->mixed);
    if (job->results_gone) {
        spec_json_put_bool(&w, "results_gone", true);
    }
    spec_json_put_hex(&w, "spec_digest", job->spec_digest, sizeof job->spec_digest);
    spec_json_put_int(&w, "started_us", (int64_t)job->start_us);
    spec_json_put_str(&w, "state", jobs_state_name((uint32_t)job->state));
    spec_json_put_int(&w, "submitted_us", (int64_t)job->submit_us);
    spec_json_put_int(&w, "units", job->units);
    spec_json_put_int(&w, "units_completed", job->units_in[JOBS_COMPLETED]);
    spec_json_put_int(&w, "units_running", job->units_in[JOBS_RUNNING]);
    spec_json_close(&w);
    return w.full ? 0 : w.used;
}

json_t *api_job_json(const struct jobs_job *job)
{
    char text[API_ROW_BYTES];
    return json_loadb(text, api_job_print(job, NULL, text), 0, NULL);
}
