/* SPDX-License-Identifier: Apache-2.0
 *
 * What jobs that ask models came to. An ensemble's answer is made here, from what its members
 * committed and nothing else: any agent makes the same one, whoever has died meanwhile. */
#include "api/view.h"

#include "answer/table.h"
#include "kernels/score/ensemble.h"
#include "kernels/score/prediction.h"
#include "spec/fileset.h"
#include "spec/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EACH_NUMBERS_MAX 65536u /* of all members' own answers in one result */
#define EVALUATION_FILE  "evaluation.json"

_Static_assert((unsigned)SPEC_MODELS_MAX <= (unsigned)KN_ENSEMBLE_MEMBERS_MAX,
               "members of an ensemble can be combined");

struct member {
    struct jobs_unit unit;
    char why[JOBS_TEXT_MAX + 1]; /* it has not answered */
    double *values;              /* NULL: it has not answered */
    size_t count;
};

struct ensemble {
    const struct api_request *request;
    struct api_reply *reply;
    struct jobs_job job;
    struct spec_job *spec;
    struct member *members;
    json_t *classes; /* of the first that answered */
    size_t count;    /* numbers of each answer */
    uint32_t answered;
    uint32_t pending;
};

static size_t width_of(const struct ensemble *e)
{
    return json_array_size(e->classes) > 0 ? json_array_size(e->classes) : 1;
}

/* ---- what the members said ---- */

/* The text of the newest failure of each unit that has one in the history. */
static void read_reasons(struct ensemble *e, const struct sh_table *t)
{
    struct jobs_event *events = malloc(JOBS_HISTORY_MAX * sizeof *events);
    uint32_t count = 0;
    if (events != NULL &&
        jobs_history_of(t, &e->job, 0, events, JOBS_HISTORY_MAX, &count) == SH_OK) {
        for (uint32_t i = 0; i < count; i++) {
            if (events[i].cause == WIRE_CAUSE_FAILED && events[i].unit < e->job.units) {
                memcpy(e->members[events[i].unit].why, events[i].text, sizeof events[i].text);
            }
        }
    }
    free(events);
}

/* False with the reply made. */
static bool read_units(struct ensemble *e, const struct sh_table *t)
{
    struct sh_span spec;
    struct spec_errors *errors = malloc(sizeof *errors);
    enum sh_err err = errors != NULL ? jobs_spec_get(t, e->job.id, &spec) : SH_ERR_NO_MEMORY;
    err = err == SH_OK ? spec_parse((const char *)spec.at, spec.size, e->spec, errors) : err;
    free(errors);
    for (uint32_t i = 0; err == SH_OK && i < e->job.units; i++) {
        struct wire_unit id = {.job = e->job.id, .unit = i};
        err = jobs_unit_get(t, id, &e->members[i].unit);
    }
    if (err != SH_OK) {
        api_reply_err(e->reply, err);
        return false;
    }
    read_reasons(e, t);
    return true;
}

static void refuse_member(struct member *m, const char *why)
{
    free(m->values);
    m->values = NULL;
    (void)snprintf(m->why, sizeof m->why, "%s", why);
}

/* The first that answers says how many numbers of which classes an answer has. */
static void take_values(struct ensemble *e, struct member *m, struct sh_span text)
{
    const char *at = (const char *)text.at;
    const char *line = memchr(at, '\n', text.size);
    size_t head = line != NULL ? (size_t)(line - at) + 1 : text.size;
    json_t *classes = json_loadb(at, head, JSON_REJECT_DUPLICATES, NULL);
    m->values = calloc(SPEC_ENSEMBLE_NUMBERS_MAX, sizeof *m->values);
    bool good = m->values != NULL && json_is_array(classes) &&
                kn_prediction_list(at + head, text.size - head, m->values,
                                   SPEC_ENSEMBLE_NUMBERS_MAX, &m->count, NULL) == KN_OK;
    if (!good) {
        refuse_member(m, "its answer cannot be read");
    } else if (e->answered == 0) {
        e->classes = json_incref(classes);
        e->count = m->count;
    } else if (m->count != e->count || json_equal(classes, e->classes) == 0) {
        refuse_member(m, "it answers for other classes, or another number of samples, than the "
                         "first member that answered");
    }
    e->answered += m->values != NULL;
    json_decref(classes);
}

/* False with the reply made: what a member committed cannot be had. */
static bool read_answers(struct ensemble *e)
{
    for (uint32_t i = 0; i < e->job.units; i++) {
        struct member *m = &e->members[i];
        struct sh_span text = {0};
        char number[16];
        uint64_t size = 0;
        e->pending += !jobs_state_final(m->unit.state);
        if (m->unit.state != JOBS_COMPLETED) {
            continue;
        }
        (void)snprintf(number, sizeof number, "%u", i);
        uint8_t *blob =
            api_read_blob(e->request, e->reply, "unit", number, m->unit.outcome.state, &size);
        if (blob == NULL) {
            return false;
        }
        struct sh_span span = {.at = blob, .size = (size_t)size};
        if (spec_fileset_find(span, ANSWER_VALUES, &text) == SH_OK) {
            take_values(e, m, text);
        } else {
            refuse_member(m, "its answer cannot be read");
        }
        free(blob);
    }
    return true;
}

/* ---- what they say together ---- */

/* Numbers of one answer: a list a sample where there are classes, else one number a sample. */
static json_t *numbers_json(const struct ensemble *e, const double *values)
{
    json_t *out = json_array();
    size_t width = width_of(e);
    for (size_t i = 0; i < e->count; i += width) {
        if (json_array_size(e->classes) == 0) {
            (void)json_array_append_new(out, spec_json_number(values[i]));
            continue;
        }
        json_t *row = json_array();
        for (size_t k = 0; k < width; k++) {
            (void)json_array_append_new(row, spec_json_number(values[i + k]));
        }
        (void)json_array_append_new(out, row);
    }
    return out;
}

/* count numbers of each member, combined; NULL: no memory. Given (free). */
static double *combine(const struct ensemble *e, enum kn_ensemble_kind kind, double *const *values,
                       size_t count)
{
    struct kn_member *members = calloc(e->job.units, sizeof *members);
    double *out = calloc(count, sizeof *out);
    struct kn_ensemble tally;
    bool good = members != NULL && out != NULL;
    for (uint32_t i = 0; good && i < e->job.units; i++) {
        members[i] = (struct kn_member){.number = i, .values = values[i]};
    }
    good = good && kn_ensemble_combine(kind, members, e->job.units, (uint32_t)count, out, NULL,
                                       &tally, NULL) == KN_OK;
    free(members);
    if (!good) {
        free(out);
        return NULL;
    }
    return out;
}

static void put_combined(const struct ensemble *e, json_t *out, const char *name,
                         enum kn_ensemble_kind kind)
{
    double *values[SPEC_MODELS_MAX] = {NULL};
    for (uint32_t i = 0; i < e->job.units; i++) {
        values[i] = e->members[i].values;
    }
    double *all = combine(e, kind, values, e->count);
    if (all != NULL) {
        (void)json_object_set_new(out, name, numbers_json(e, all));
    }
    free(all);
}

/* Classes of each sample as numbers; NULL where the member has not answered. Given (free). */
static double *classes_of(const struct ensemble *e, const struct member *m)
{
    size_t width = width_of(e);
    double *out = m->values != NULL ? calloc(e->count / width + 1, sizeof *out) : NULL;
    for (size_t i = 0; out != NULL && i * width < e->count; i++) {
        out[i] = kn_ensemble_class(m->values + i * width, (uint32_t)width);
    }
    return out;
}

/* The class, or the number, that most said of each sample. */
static void put_vote(const struct ensemble *e, json_t *out)
{
    double *values[SPEC_MODELS_MAX] = {NULL};
    size_t samples = e->count / width_of(e);
    if (json_array_size(e->classes) == 0) {
        put_combined(e, out, "vote", KN_ENSEMBLE_VOTE);
        return;
    }
    for (uint32_t i = 0; i < e->job.units; i++) {
        values[i] = classes_of(e, &e->members[i]);
    }
    double *all = combine(e, KN_ENSEMBLE_VOTE, values, samples);
    json_t *names = json_array();
    for (size_t i = 0; all != NULL && i < samples; i++) {
        (void)json_array_append(names, json_array_get(e->classes, (size_t)all[i]));
    }
    (void)json_object_set_new(out, "vote", names);
    free(all);
    for (uint32_t i = 0; i < e->job.units; i++) {
        free(values[i]);
    }
}

/* ---- the reply ---- */

static const char *state_of(const struct member *m)
{
    if (m->values != NULL) {
        return "answered";
    }
    if (!jobs_state_final(m->unit.state)) {
        return jobs_state_name((uint32_t)m->unit.state);
    }
    bool late = m->unit.state != JOBS_COMPLETED && m->unit.fail_reason == SH_ERR_TIMEOUT;
    return late ? "late" : "failed";
}

static json_t *member_json(const struct ensemble *e, uint32_t i, bool each)
{
    const struct member *m = &e->members[i];
    const struct spec_model_ref *ref = &e->spec->use.models[i];
    json_t *out = json_pack("{s:i, s:s, s:i, s:s}", "unit", (int)i, "model", ref->name, "version",
                            (int)ref->version, "state", state_of(m));
    if (m->values == NULL && m->why[0] != '\0') {
        (void)json_object_set_new(out, "message", json_string(m->why));
    }
    if (m->values != NULL && each) {
        (void)json_object_set_new(out, "values", numbers_json(e, m->values));
    }
    return out;
}

static void reply_ensemble(struct ensemble *e)
{
    uint32_t wanted = e->spec->use.combine;
    json_t *members = json_array();
    bool each =
        (wanted & SPEC_COMBINE_EACH) != 0 && (uint64_t)e->answered * e->count <= EACH_NUMBERS_MAX;
    for (uint32_t i = 0; i < e->job.units; i++) {
        (void)json_array_append_new(members, member_json(e, i, each));
    }
    json_t *out = json_pack("{s:I, s:s, s:I, s:i, s:i, s:i, s:o}", "job", (json_int_t)e->job.id,
                            "state", jobs_state_name((uint32_t)e->job.state), "deadline_us",
                            (json_int_t)e->job.deadline_us, "answered", (int)e->answered,
                            "failures", (int)(e->job.units - e->answered - e->pending), "pending",
                            (int)e->pending, "members", members);
    if (e->answered > 0) {
        (void)json_object_set(out, "classes", e->classes);
        (void)json_object_set_new(out, "samples",
                                  json_integer((json_int_t)(e->count / width_of(e))));
    }
    if (e->answered > 0 && (wanted & SPEC_COMBINE_MEAN) != 0) {
        put_combined(e, out, "mean", KN_ENSEMBLE_MEAN);
    }
    if (e->answered > 0 && (wanted & SPEC_COMBINE_MEDIAN) != 0) {
        put_combined(e, out, "median", KN_ENSEMBLE_MEDIAN);
    }
    if (e->answered > 0 && (wanted & SPEC_COMBINE_VOTE) != 0) {
        put_vote(e, out);
    }
    api_reply_json(e->reply, 200, out);
}

static void get_ensemble(const struct api_request *request, struct api_reply *reply,
                         const struct jobs_job *job, struct service_view *view)
{
    struct ensemble e = {.request = request, .reply = reply, .job = *job};
    e.members = calloc(job->units, sizeof *e.members);
    e.spec = malloc(sizeof *e.spec);
    bool good = e.members != NULL && e.spec != NULL;
    if (!good) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
    }
    good = good && read_units(&e, service_view_table(view));
    service_view_close(view);
    if (good && read_answers(&e)) {
        reply_ensemble(&e);
    }
    for (uint32_t i = 0; e.members != NULL && i < job->units; i++) {
        free(e.members[i].values);
    }
    json_decref(e.classes);
    free(e.members);
    free(e.spec);
}

/* ---- one model's answer ---- */

static void reply_predictions(struct api_reply *reply, struct sh_span text)
{
    char *copy = malloc(text.size + 1);
    if (copy == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
        return;
    }
    memcpy(copy, text.at, text.size);
    api_reply_text(reply, "text/csv; charset=utf-8", copy, text.size);
    reply->status = 200;
}

static void reply_evaluation(struct api_reply *reply, const struct jobs_job *job,
                             const struct jobs_unit *unit, struct sh_span text)
{
    json_t *details = json_loadb((const char *)text.at, text.size, JSON_REJECT_DUPLICATES, NULL);
    json_t *out = json_pack("{s:I, s:s, s:i, s:s, s:o}", "job", (json_int_t)job->id, "model",
                            job->about.model, "version", (int)job->about.version, "data",
                            job->about.data, "figures", api_figures_json(&unit->outcome.figures));
    (void)json_object_set_new(out, "samples",
                              json_integer((json_int_t)unit->outcome.figures.samples));
    (void)json_object_set_new(out, "details", details != NULL ? details : json_null());
    api_reply_json(reply, 200, out);
}

static void get_answer(const struct api_request *request, struct api_reply *reply,
                       const struct jobs_job *job, struct service_view *view)
{
    struct jobs_unit unit;
    struct sh_span text = {0};
    uint64_t size = 0;
    struct wire_unit id = {.job = job->id};
    enum sh_err err = jobs_unit_get(service_view_table(view), id, &unit);
    service_view_close(view);
    if (err != SH_OK) {
        api_reply_err(reply, err);
        return;
    }
    if (unit.state != JOBS_COMPLETED) {
        api_reply_error(reply, SH_ERR_NOT_FOUND, "job", request->params[0],
                        "it has no result: it is %s", jobs_state_name((uint32_t)job->state));
        return;
    }
    uint8_t *blob =
        api_read_blob(request, reply, "job", request->params[0], unit.outcome.state, &size);
    if (blob == NULL) {
        return;
    }
    bool predicts = job->kind == WIRE_KIND_PREDICT;
    struct sh_span span = {.at = blob, .size = (size_t)size};
    err = spec_fileset_find(span, predicts ? ANSWER_PREDICTIONS : EVALUATION_FILE, &text);
    if (predicts && err == SH_OK) {
        reply_predictions(reply, text);
    } else if (predicts) {
        api_reply_err(reply, SH_ERR_CORRUPT);
    } else { /* a script's evaluation has figures alone */
        reply_evaluation(reply, job, &unit, text);
    }
    free(blob);
}

void api_get_result(const struct api_request *request, struct api_reply *reply)
{
    struct service_view *view = NULL;
    struct jobs_job job;
    if (!api_open_view(request, reply, &view)) {
        return;
    }
    if (!api_find_job(request, reply, service_view_table(view), &job)) {
        service_view_close(view);
    } else if (job.kind == WIRE_KIND_ENSEMBLE) {
        get_ensemble(request, reply, &job, view);
    } else if (job.kind == WIRE_KIND_PREDICT || job.kind == WIRE_KIND_EVALUATE) {
        get_answer(request, reply, &job, view);
    } else {
        service_view_close(view);
        api_reply_error(reply, SH_ERR_INVALID, "job", request->params[0],
                        "it is of kind %s; evaluate, predict and ensemble have a result",
                        api_kind_text(job.kind));
    }
}
