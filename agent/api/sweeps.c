/* SPDX-License-Identifier: Apache-2.0
 *
 * Sweeps: every unit with its values and what it was found to be worth. */
#include "api/view.h"

#include "sweep/sweep.h"

#include <stdlib.h>
#include <string.h>

static json_t *values_json(const struct sweep *sweep, uint32_t unit, struct spec_derived *derived)
{
    if (sweep_derive(sweep, unit, derived) != SH_OK) {
        return json_null(); /* those that it waits for choose them */
    }
    json_t *values = json_loads(derived->params, 0, NULL);
    return values != NULL ? values : json_null();
}

static json_t *unit_json(const struct sweep *sweep, uint32_t number, struct spec_derived *derived)
{
    const struct jobs_unit *u = sweep_unit(sweep, number);
    json_t *out = json_pack("{s:i, s:s, s:o}", "unit", (int)number, "state",
                            jobs_state_name((uint32_t)u->state), "values",
                            values_json(sweep, number, derived));
    if (out == NULL) {
        return json_null();
    }
    (void)json_object_set_new(out, "spec_digest",
                              json_is_null(json_object_get(out, "values"))
                                  ? json_null()
                                  : spec_json_hex(derived->digest, sizeof derived->digest));
    if (sweep_before(sweep, number) != UINT32_MAX) {
        const struct spec_start *start = sweep_start(sweep, number);
        (void)json_object_set_new(
            out, "goes_on_from",
            json_pack("{s:i, s:o}", "unit", (int)sweep_before(sweep, number), "step",
                      start->set ? json_integer((json_int_t)start->step) : json_null()));
    }
    if (u->committed) {
        (void)json_object_set_new(out, "score",
                                  u->outcome.scored ? json_real(u->outcome.score) : json_null());
        (void)json_object_set_new(out, "steps", json_integer((json_int_t)u->outcome.steps));
    }
    if (u->model_version > 0) {
        (void)json_object_set_new(out, "model_version", json_integer(u->model_version));
        (void)json_object_set_new(out, "model_digest",
                                  spec_json_hex(u->outcome.model, sizeof u->outcome.model));
    }
    return out;
}

static json_t *stages_json(const struct sweep *sweep)
{
    struct spec_stage stages[SPEC_STAGES_MAX];
    json_t *list = json_array();
    uint32_t count = spec_sweep_stages(sweep_form(sweep), stages);
    for (uint32_t i = 0; i < count; i++) {
        (void)json_array_append_new(list,
                                    json_pack("{s:i, s:i, s:i, s:b}", "first", (int)stages[i].first,
                                              "units", (int)stages[i].count, "resource",
                                              (int)stages[i].resource, "after", stages[i].after));
    }
    return list;
}

static json_t *sweep_json(const struct sweep *sweep, const struct jobs_job *job)
{
    const struct spec_sweep *form = sweep_form(sweep);
    struct spec_derived *derived = malloc(sizeof *derived);
    json_t *units = json_array();
    for (uint32_t i = 0; i < job->units && derived != NULL; i++) {
        (void)json_array_append_new(units, unit_json(sweep, i, derived));
    }
    free(derived);
    uint32_t best = sweep_best(sweep);
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "job", (json_int_t)job->id, "name",
                     job->name, "state", jobs_state_name((uint32_t)job->state), "metric",
                     form->metric, "goal", form->goal == SPEC_GOAL_MAX ? "max" : "min", "best",
                     best == UINT32_MAX ? json_null() : json_integer(best), "stages",
                     stages_json(sweep), "units", units);
}

void api_get_sweep(const struct api_request *request, struct api_reply *reply)
{
    struct service_view *view = NULL;
    struct jobs_job job;
    struct sweep *sweep = NULL;
    if (!api_open_view(request, reply, &view)) {
        return;
    }
    const struct sh_table *t = service_view_table(view);
    if (!api_find_job(request, reply, t, &job)) {
        service_view_close(view);
        return;
    }
    enum sh_err err = sweep_open(&sweep, t, &job);
    service_view_close(view);
    if (err == SH_ERR_NOT_FOUND) {
        api_reply_error(reply, err, "job", request->params[0], "is no sweep");
    } else if (err != SH_OK) {
        api_reply_err(reply, err);
    } else {
        api_reply_json(reply, 200, sweep_json(sweep, &job));
    }
    sweep_close(sweep);
}

uint32_t api_sweep_best(const struct sh_table *t, uint64_t id)
{
    struct jobs_job job;
    struct sweep *sweep = NULL;
    if (jobs_job_get(t, id, &job) != SH_OK || sweep_open(&sweep, t, &job) != SH_OK) {
        return UINT32_MAX;
    }
    uint32_t best = sweep_best(sweep);
    sweep_close(sweep);
    return best;
}
