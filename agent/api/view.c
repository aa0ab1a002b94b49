/* SPDX-License-Identifier: Apache-2.0 */
#include "api/view.h"

#include "kernels/score/results.h"
#include "metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_is_stale(const struct api_request *request)
{
    const char *stale = api_query(request, "stale");
    return stale != NULL && strcmp(stale, "0") != 0;
}

static void refuse_read(struct api_reply *reply, enum sh_err err)
{
    api_reply_error(reply, err, "", "",
                    "%s; what this agent has can still be read with ?stale=1 (shoal: --stale)",
                    sh_err_text(err));
}

bool api_open_view(const struct api_request *request, struct api_reply *reply,
                   struct service_view **view)
{
    bool stale = read_is_stale(request);
    enum sh_err err = stale ? SH_OK : service_read(request->service, API_READ_TIMEOUT_US);
    if (err != SH_OK) {
        refuse_read(reply, err);
        return false;
    }
    if (!api_open_here(request, reply, view)) {
        return false;
    }
    if (stale) {
        reply->stale = true;
        reply->index = service_view_index(*view);
        reply->age_us = service_age_us(request->service, reply->index);
    }
    return true;
}

bool api_open_here(const struct api_request *request, struct api_reply *reply,
                   struct service_view **view)
{
    enum sh_err err = service_view_open(request->service, view);
    if (err != SH_OK) {
        api_reply_err(reply, err);
        return false;
    }
    return true;
}

bool api_find_job(const struct api_request *request, struct api_reply *reply,
                  const struct sh_table *t, struct jobs_job *job)
{
    const char *text = request->params[0];
    size_t digits = strspn(text, "0123456789");
    bool number = digits > 0 && digits < 20 && text[digits] == '\0';
    enum sh_err err =
        number ? jobs_job_get(t, strtoull(text, NULL, 10), job) : jobs_job_by_name(t, text, job);
    if (err == SH_ERR_NOT_FOUND) {
        api_reply_error(reply, err, "job", text, "no such job");
    } else if (err != SH_OK) {
        api_reply_err(reply, err);
    }
    return err == SH_OK;
}

bool api_read_job(const struct api_request *request, struct api_reply *reply, struct jobs_job *job)
{
    struct service_view *view = NULL;
    if (!api_open_view(request, reply, &view)) {
        return false;
    }
    bool found = api_find_job(request, reply, service_view_table(view), job);
    service_view_close(view);
    return found;
}

json_t *api_node_ref(const struct sh_table *t, const uint8_t id[static SH_NODE_ID_BYTES])
{
    struct jobs_node node;
    json_t *out = json_pack("{s:o}", "id", spec_json_hex(id, SH_NODE_ID_BYTES));
    if (jobs_node_get(t, id, &node) == SH_OK) {
        (void)json_object_set_new(out, "name", json_string(node.name));
    }
    return out;
}

const char *api_kind_text(enum wire_kind kind)
{
    static const char *const NAMES[] = {
        [WIRE_KIND_TRAIN] = "train",
        [WIRE_KIND_NOOP] = "noop",
        [WIRE_KIND_EXEC] = "exec",
        [WIRE_KIND_FINE_TUNE] = "fine-tune",
        [WIRE_KIND_EVALUATE] = "evaluate",
        [WIRE_KIND_PREDICT] = "predict",
        [WIRE_KIND_ENSEMBLE] = "ensemble",
        [WIRE_KIND_DATA_PREP] = "data-prep",
        [WIRE_KIND_RL] = "rl",
    };
    SH_CHECK_CMP(kind, <, SH_COUNT(NAMES));
    SH_CHECK(NAMES[kind] != NULL);
    return NAMES[kind];
}

static json_t *members_json(const struct sh_table *t, const struct wire_placement *placement)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < placement->member_count; i++) {
        const struct wire_member *m = &placement->members[i];
        json_t *member = api_node_ref(t, m->node);
        (void)json_object_set_new(member, "ranks",
                                  json_pack("[i, i]", (int)m->rank_lo, (int)m->rank_hi));
        (void)json_array_append_new(list, member);
    }
    return list;
}

static json_t *metrics_json(const struct jobs_metrics *m)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "test_correct", (json_int_t)m->test_correct,
                     "test_total", (json_int_t)m->test_total, "val_correct",
                     (json_int_t)m->val_correct, "val_total", (json_int_t)m->val_total,
                     "train_loss", spec_json_number(m->train_loss), "val_loss",
                     spec_json_number(m->val_loss));
}

static json_t *outcome_json(const struct jobs_outcome *o)
{
    json_t *out = json_pack("{s:o, s:o, s:o, s:I, s:o}", "file_digest",
                            spec_json_hex(o->file, sizeof o->file), "model_digest",
                            spec_json_hex(o->model, sizeof o->model), "state_digest",
                            spec_json_hex(o->state, sizeof o->state), "steps", (json_int_t)o->steps,
                            "metrics", metrics_json(&o->metrics));
    if (out != NULL && o->scored) {
        (void)json_object_set_new(out, "score", json_real(o->score));
    }
    return out;
}

json_t *api_unit_json(const struct sh_table *t, const struct jobs_unit *unit)
{
    json_t *out = json_pack("{s:i, s:s, s:I, s:I, s:i, s:i, s:I}", "unit", (int)unit->id.unit,
                            "state", jobs_state_name((uint32_t)unit->state), "placed_us",
                            (json_int_t)unit->placed_us, "since_us", (json_int_t)unit->since_us,
                            "placements", (int)unit->placements, "failures", (int)unit->failures,
                            "checkpoint_step", (json_int_t)unit->checkpoint_step);
    if (out == NULL) {
        return NULL;
    }
    if (unit->state == JOBS_RUNNING || unit->state == JOBS_STOPPING) {
        (void)json_object_set_new(out, "generation",
                                  json_integer((json_int_t)unit->placement.fence.index));
        (void)json_object_set_new(out, "members", members_json(t, &unit->placement));
    }
    if (unit->yield.cause != WIRE_CAUSE_NONE) {
        (void)json_object_set_new(out, "yields",
                                  json_string(wire_cause_text((uint32_t)unit->yield.cause)));
    }
    if (unit->committed) {
        (void)json_object_set_new(out, "partial", json_boolean(unit->partial));
        (void)json_object_set_new(out, "outcome", outcome_json(&unit->outcome));
    }
    if (unit->model_version > 0) {
        (void)json_object_set_new(out, "model_version", json_integer(unit->model_version));
    }
    return out;
}

json_t *api_event_json(const struct sh_table *t, const struct jobs_event *event)
{
    json_t *nodes = json_array();
    for (uint32_t i = 0; i < event->node_count; i++) {
        (void)json_array_append_new(nodes, api_node_ref(t, event->nodes[i]));
    }
    json_t *out =
        json_pack("{s:I, s:i, s:I, s:I, s:s, s:s, s:o}", "seq", (json_int_t)event->seq, "unit",
                  (int)event->unit, "at_us", (json_int_t)event->stamp_us, "index",
                  (json_int_t)event->index, "cause", wire_cause_text((uint32_t)event->cause),
                  "state", jobs_state_name((uint32_t)event->job_state), "nodes", nodes);
    if (out != NULL && event->more > 0) {
        (void)json_object_set_new(out, "units", json_integer((json_int_t)event->more + 1));
    }
    if (out != NULL && event->reason != SH_OK) {
        (void)json_object_set_new(out, "code", json_string(sh_err_name(event->reason)));
        (void)json_object_set_new(out, "message", json_string(event->text));
    }
    return out;
}

json_t *api_model_json(const struct sh_table *t, const struct jobs_model *m)
{
    json_t *holders = json_array();
    for (uint32_t i = 0; i < m->holder_count; i++) {
        (void)json_array_append_new(holders, api_node_ref(t, m->holders[i]));
    }
    struct jobs_job job;
    json_t *data = json_array();
    bool there = jobs_job_get(t, m->unit.job, &job) == SH_OK;
    for (uint32_t i = 0; there && i < job.blob_count; i++) {
        (void)json_array_append_new(data, spec_json_hex(job.blobs[i], SH_DIGEST_BYTES));
    }
    json_t *out = outcome_json(&m->outcome);
    json_t *head = json_pack("{s:s, s:i, s:I, s:i, s:b, s:o, s:b, s:b, s:I, s:o, s:o, s:o}", "name",
                             m->name, "version", (int)m->version, "job", (json_int_t)m->unit.job,
                             "unit", (int)m->unit.unit, "job_removed", !there, "data_digests", data,
                             "reproducible", m->reproducible && !m->mixed, "partial", m->partial,
                             "created_us", (json_int_t)m->created_us, "spec_digest",
                             spec_json_hex(m->spec_digest, sizeof m->spec_digest), "class",
                             spec_json_hex(m->class, sizeof m->class), "holders", holders);
    (void)json_object_update(out, head);
    json_decref(head);
    if (m->parent_version > 0) {
        (void)json_object_set_new(
            out, "parent",
            json_pack("{s:s, s:i}", "name", m->parent, "version", (int)m->parent_version));
    }
    return out;
}

json_t *api_figures_json(const struct jobs_figures *figures)
{
    json_t *out = json_object();
    for (uint32_t i = 0; i < JOBS_FIGURES_MAX; i++) {
        (void)json_object_set_new(out, kn_metric_name((enum kn_metric)i),
                                  spec_json_number(figures->at[i]));
    }
    return out;
}

json_t *api_evaluations_json(const struct sh_table *t, const struct jobs_model *model)
{
    json_t *list = json_array();
    struct jobs_evaluation *e = malloc(JOBS_EVALUATIONS_MAX * sizeof *e);
    uint32_t count = 0;
    if (e != NULL && jobs_evaluation_list(t, model->name, model->version, e, JOBS_EVALUATIONS_MAX,
                                          &count) == SH_OK) {
        for (uint32_t i = 0; i < count; i++) {
            (void)json_array_append_new(
                list,
                json_pack("{s:s, s:o, s:I, s:i, s:I, s:I, s:o}", "data", e[i].data, "data_digest",
                          spec_json_hex(e[i].digest, sizeof e[i].digest), "job",
                          (json_int_t)e[i].unit.job, "unit", (int)e[i].unit.unit, "created_us",
                          (json_int_t)e[i].created_us, "samples", (json_int_t)e[i].figures.samples,
                          "figures", api_figures_json(&e[i].figures)));
        }
    }
    free(e);
    return list;
}

void api_progress_read(struct service *s, uint64_t job, struct api_progress *out)
{
    static const char *const names[] = {METRIC_LOSS,  METRIC_ACCURACY, METRIC_EPOCH,
                                        METRIC_SPEED, METRIC_VAL_LOSS, METRIC_VAL_ACCURACY};
    double *const values[] = {&out->loss,          &out->accuracy, &out->epoch,
                              &out->samples_per_s, &out->val_loss, &out->val_accuracy};
    struct service_newest newest[SH_COUNT(names)];
    memset(out, 0, sizeof *out);
    if (service_series_newest(s, job, names, SH_COUNT(names), newest, API_SERIES_TIMEOUT_US) !=
        SH_OK) {
        return;
    }
    out->known = newest[0].known;
    out->step = newest[0].point.step;
    for (size_t i = 0; i < SH_COUNT(names); i++) {
        *values[i] = newest[i].known ? newest[i].point.value : (double)NAN;
    }
}

json_t *api_progress_json(const struct api_progress *p)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "step", (json_int_t)p->step, "loss",
                     spec_json_number(p->loss), "accuracy", spec_json_number(p->accuracy), "epoch",
                     spec_json_number(p->epoch), "samples_per_s",
                     spec_json_number(p->samples_per_s), "val_loss", spec_json_number(p->val_loss),
                     "val_accuracy", spec_json_number(p->val_accuracy));
}

static size_t rank_of(const char *name)
{
    static const char *const NAMES[METRIC_COUNT] = {
#define X(name) name,
        METRIC_MAP(X)
#undef X
    };
    size_t i = 0;
    while (i < METRIC_COUNT && strcmp(NAMES[i], name) != 0) {
        i++;
    }
    return i;
}

static int by_rank(const void *a, const void *b)
{
    const struct service_series_name *x = a;
    const struct service_series_name *y = b;
    size_t p = rank_of(x->text);
    size_t q = rank_of(y->text);
    return p != q ? (p < q ? -1 : 1) : strcmp(x->text, y->text);
}

enum sh_err api_series_names(struct service *s, uint64_t job,
                             struct service_series_name out[static API_SERIES_MAX], size_t *count)
{
    enum sh_err err =
        service_series_names(s, job, out, API_SERIES_MAX, count, API_SERIES_TIMEOUT_US);
    if (err == SH_OK) {
        qsort(out, *count, sizeof *out, by_rank);
    }
    return err;
}

bool api_units_page(const struct api_request *request, struct api_reply *reply,
                    const struct jobs_job *job, struct api_units_page *out)
{
    uint64_t from = 0;
    uint64_t limit = 0;
    if (!api_query_u64(request, "from", JOBS_UNITS_MAX, 0, &from)) {
        api_reply_error(reply, SH_ERR_INVALID, "from", api_query(request, "from"),
                        "must be the number of a unit, such as the next of an earlier page");
        return false;
    }
    if (!api_query_u64(request, "limit", API_UNITS_MAX, API_UNITS_MAX, &limit) || limit == 0) {
        api_reply_error(reply, SH_ERR_INVALID, "limit", api_query(request, "limit"),
                        "must be a whole number from 1 to %u", API_UNITS_MAX);
        return false;
    }
    uint32_t rest = from < job->units ? job->units - (uint32_t)from : 0;
    *out = (struct api_units_page){.from = (uint32_t)from,
                                   .count = rest < limit ? rest : (uint32_t)limit};
    return true;
}

void api_put_page(json_t *out, const struct jobs_job *job, const struct api_units_page *page)
{
    uint32_t next = page->from + page->count;
    uint32_t left_off = next < job->units ? job->units - next : 0;
    (void)json_object_set_new(out, "next", json_integer(left_off > 0 ? next : 0));
    (void)json_object_set_new(out, "left_off", json_integer(left_off));
}

json_t *api_line_json(const struct service_log_line *l)
{
    json_t *text = json_string(l->text);
    json_t *out = json_pack("{s:I, s:I, s:i, s:b, s:o}", "seq", (json_int_t)l->sequence, "at_us",
                            (json_int_t)l->wall_us, "member", (int)l->member, "own", l->own, "text",
                            text != NULL ? text : json_null());
    if (l->unit != SERVICE_LINE_ALL) {
        (void)json_object_set_new(out, "unit", json_integer(l->unit));
    }
    if (l->generation != 0) {
        (void)json_object_set_new(out, "generation", json_integer((json_int_t)l->generation));
    }
    return out;
}
