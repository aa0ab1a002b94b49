/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/row.h"

#define ROW 3u /* version of every encoding below */

static struct sh_writer begin(uint8_t *buffer)
{
    struct sh_writer w = sh_writer_over(buffer, JOBS_ROW_BYTES_MAX);
    sh_put_u8(&w, ROW);
    return w;
}

static struct sh_span end(const struct sh_writer *w)
{
    SH_CHECK(!w->full);
    return (struct sh_span){.at = w->at, .size = w->used};
}

static struct sh_reader open_row(struct sh_span value)
{
    struct sh_reader r = sh_reader_over(value.at, value.size);
    r.bad = sh_get_u8(&r) != ROW;
    return r;
}

static enum jobs_state state_get(struct sh_reader *r)
{
    uint8_t state = sh_get_u8(r);
    r->bad = r->bad || state >= JOBS_STATE_COUNT;
    return r->bad ? JOBS_WAITING : (enum jobs_state)state;
}

/* A count of elements that follow, at most max. */
static uint32_t count_get(struct sh_reader *r, uint32_t max)
{
    uint32_t count = sh_get_u8(r);
    r->bad = r->bad || count > max;
    return r->bad ? 0 : count;
}

struct sh_span jobs_row_put_meta(uint8_t *buffer, const struct jobs_counts *row)
{
    struct sh_writer w = begin(buffer);
    sh_put_u64(&w, row->applied);
    sh_put_u64(&w, row->applied_term);
    sh_put_u64(&w, row->stamp_us);
    sh_put_u64(&w, row->digest);
    sh_put_u64(&w, row->handle_last);
    sh_put_u32(&w, row->nodes);
    sh_put_u32(&w, row->jobs);
    for (uint32_t i = 0; i < JOBS_STATE_COUNT; i++) {
        sh_put_u32(&w, row->jobs_in[i]);
    }
    sh_put_u32(&w, row->open_units);
    sh_put_u32(&w, row->models);
    sh_put_u32(&w, row->datasets);
    sh_put_u32(&w, row->sessions);
    sh_put_u32(&w, row->settings);
    sh_put_u32(&w, row->owners);
    sh_put_u64(&w, row->reopened);
    return end(&w);
}

enum sh_err jobs_row_get_meta(struct sh_span value, struct jobs_counts *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_counts){.applied = sh_get_u64(&r)};
    row->applied_term = sh_get_u64(&r);
    row->stamp_us = sh_get_u64(&r);
    row->digest = sh_get_u64(&r);
    row->handle_last = sh_get_u64(&r);
    row->nodes = sh_get_u32(&r);
    row->jobs = sh_get_u32(&r);
    for (uint32_t i = 0; i < JOBS_STATE_COUNT; i++) {
        row->jobs_in[i] = sh_get_u32(&r);
    }
    row->open_units = sh_get_u32(&r);
    row->models = sh_get_u32(&r);
    row->datasets = sh_get_u32(&r);
    row->sessions = sh_get_u32(&r);
    row->settings = sh_get_u32(&r);
    row->owners = sh_get_u32(&r);
    row->reopened = sh_get_u64(&r);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_node(uint8_t *buffer, const struct jobs_node *row)
{
    struct sh_writer w = begin(buffer);
    sh_put_bytes(&w, row->id, SH_NODE_ID_BYTES);
    sh_put_u64(&w, row->handle);
    wire_str_put(&w, row->name);
    wire_str_put(&w, row->addr);
    wire_str_put(&w, row->api);
    sh_put_u16(&w, row->bulk_port);
    sh_put_u64(&w, row->admitted_us);
    sh_put_u8(&w, row->draining);
    return end(&w);
}

enum sh_err jobs_row_get_node(struct sh_span value, struct jobs_node *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_node){.handle = 0};
    sh_get_bytes(&r, row->id, SH_NODE_ID_BYTES);
    row->handle = sh_get_u64(&r);
    wire_str_get(&r, row->name, sizeof row->name);
    wire_str_get(&r, row->addr, sizeof row->addr);
    wire_str_get(&r, row->api, sizeof row->api);
    row->bulk_port = sh_get_u16(&r);
    row->admitted_us = sh_get_u64(&r);
    row->draining = sh_get_bool(&r);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_job(uint8_t *buffer, const struct jobs_job *row)
{
    struct sh_writer w = begin(buffer);
    sh_put_u64(&w, row->id);
    sh_put_u8(&w, (uint8_t)row->state);
    sh_put_u8(&w, (uint8_t)row->cause);
    sh_put_u8(&w, (uint8_t)row->kind);
    wire_str_put(&w, row->name);
    wire_str_put(&w, row->owner);
    wire_str_put(&w, row->key);
    sh_put_bytes(&w, row->spec_digest, SH_DIGEST_BYTES);
    wire_need_put(&w, &row->need);
    sh_put_u8(&w, row->reproducible);
    sh_put_u8(&w, row->mixed);
    sh_put_u8(&w, row->pinned);
    sh_put_bytes(&w, row->class, row->pinned ? WIRE_CLASS_BYTES : 0);
    sh_put_u8(&w, row->priority);
    sh_put_u8(&w, row->retries);
    sh_put_u8(&w, row->checkpoint_keep);
    sh_put_u16(&w, row->keep_results);
    sh_put_u8(&w, row->results_gone);
    sh_put_u64(&w, row->submit_us);
    sh_put_u64(&w, row->start_us);
    sh_put_u64(&w, row->end_us);
    sh_put_u32(&w, row->units);
    sh_put_u32(&w, row->target);
    sh_put_u8(&w, row->paused);
    for (uint32_t i = 0; i < JOBS_UNIT_STATE_COUNT; i++) {
        sh_put_u32(&w, row->units_in[i]);
    }
    sh_put_u32(&w, row->event_next);
    sh_put_u32(&w, row->fail_unit);
    sh_put_u16(&w, (uint16_t)row->fail_reason);
    sh_put_str(&w, row->fail_text);
    sh_put_u8(&w, (uint8_t)row->blob_count);
    sh_put_bytes(&w, row->blobs, (size_t)row->blob_count * SH_DIGEST_BYTES);
    jobs_about_put(&w, &row->about);
    sh_put_u64(&w, row->deadline_us);
    wire_str_put(&w, row->dataset);
    sh_put_u8(&w, row->federated);
    jobs_stages_put(&w, row->stages, row->stage_count);
    sh_put_u16(&w, row->progress);
    sh_put_u32(&w, row->progress_sum);
    return end(&w);
}

static void job_tail_get(struct sh_reader *r, struct jobs_job *row)
{
    row->submit_us = sh_get_u64(r);
    row->start_us = sh_get_u64(r);
    row->end_us = sh_get_u64(r);
    row->units = sh_get_u32(r);
    row->target = sh_get_u32(r);
    row->paused = sh_get_bool(r);
    for (uint32_t i = 0; i < JOBS_UNIT_STATE_COUNT; i++) {
        row->units_in[i] = sh_get_u32(r);
    }
    row->event_next = sh_get_u32(r);
    row->fail_unit = sh_get_u32(r);
    row->fail_reason = (enum sh_err)sh_get_u16(r);
    sh_get_str(r, row->fail_text, sizeof row->fail_text);
    row->blob_count = count_get(r, JOBS_BLOBS_MAX);
    sh_get_bytes(r, row->blobs, (size_t)row->blob_count * SH_DIGEST_BYTES);
    jobs_about_get(r, &row->about);
    row->deadline_us = sh_get_u64(r);
    wire_str_get(r, row->dataset, sizeof row->dataset);
    row->federated = sh_get_bool(r);
    row->stage_count = jobs_stages_get(r, row->stages);
    r->bad = r->bad || !jobs_stages_ok(row->stages, row->stage_count, row->units);
    row->progress = sh_get_u16(r);
    row->progress_sum = sh_get_u32(r);
}

enum sh_err jobs_row_get_job(struct sh_span value, struct jobs_job *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_job){.id = sh_get_u64(&r)};
    row->state = state_get(&r);
    row->cause = (enum wire_cause)sh_get_u8(&r);
    row->kind = (enum wire_kind)sh_get_u8(&r);
    wire_str_get(&r, row->name, sizeof row->name);
    wire_str_get(&r, row->owner, sizeof row->owner);
    wire_str_get(&r, row->key, sizeof row->key);
    sh_get_bytes(&r, row->spec_digest, SH_DIGEST_BYTES);
    wire_need_get(&r, &row->need);
    r.bad = r.bad || !wire_need_ok(&row->need);
    row->reproducible = sh_get_bool(&r);
    row->mixed = sh_get_bool(&r);
    row->pinned = sh_get_bool(&r);
    sh_get_bytes(&r, row->class, row->pinned ? WIRE_CLASS_BYTES : 0);
    row->priority = sh_get_u8(&r);
    row->retries = sh_get_u8(&r);
    row->checkpoint_keep = sh_get_u8(&r);
    row->keep_results = sh_get_u16(&r);
    row->results_gone = sh_get_bool(&r);
    job_tail_get(&r, row);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_unit(uint8_t *buffer, const struct jobs_unit *row)
{
    struct sh_writer w = begin(buffer);
    wire_unit_put(&w, row->id);
    sh_put_u8(&w, (uint8_t)row->state);
    wire_placement_put(&w, &row->placement);
    sh_put_u64(&w, row->placed_us);
    sh_put_u64(&w, row->since_us);
    sh_put_u32(&w, row->placements);
    sh_put_u32(&w, row->failures);
    sh_put_u32(&w, row->checkpoints);
    sh_put_u64(&w, row->checkpoint_step);
    sh_put_u16(&w, (uint16_t)row->fail_reason);
    sh_put_u8(&w, row->committed);
    sh_put_u8(&w, row->partial);
    if (row->committed) {
        jobs_outcome_put(&w, &row->outcome);
    }
    sh_put_u32(&w, row->model_version);
    sh_put_u8(&w, (uint8_t)row->yield.cause);
    sh_put_u64(&w, row->yield.until_us);
    sh_put_u16(&w, row->progress);
    return end(&w);
}

enum sh_err jobs_row_get_unit(struct sh_span value, struct jobs_unit *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_unit){.id = wire_unit_get(&r)};
    row->state = state_get(&r);
    wire_placement_get(&r, &row->placement);
    row->placed_us = sh_get_u64(&r);
    row->since_us = sh_get_u64(&r);
    row->placements = sh_get_u32(&r);
    row->failures = sh_get_u32(&r);
    row->checkpoints = sh_get_u32(&r);
    row->checkpoint_step = sh_get_u64(&r);
    row->fail_reason = (enum sh_err)sh_get_u16(&r);
    row->committed = sh_get_bool(&r);
    row->partial = sh_get_bool(&r);
    if (row->committed) {
        jobs_outcome_get(&r, &row->outcome);
    }
    row->model_version = sh_get_u32(&r);
    row->yield.cause = (enum wire_cause)sh_get_u8(&r);
    row->yield.until_us = sh_get_u64(&r);
    row->progress = sh_get_u16(&r);
    r.bad = r.bad || row->state >= JOBS_UNIT_STATE_COUNT;
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_checkpoint(uint8_t *buffer, const struct jobs_checkpoint *row)
{
    struct sh_writer w = begin(buffer);
    wire_fence_put(&w, row->fence);
    sh_put_u64(&w, row->step);
    sh_put_u64(&w, row->index);
    sh_put_u64(&w, row->stamp_us);
    sh_put_bytes(&w, row->manifest, SH_DIGEST_BYTES);
    jobs_holders_put(&w, row->holders, row->holder_count);
    sh_put_u64(&w, row->cost_us);
    return end(&w);
}

enum sh_err jobs_row_get_checkpoint(struct sh_span value, struct jobs_checkpoint *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_checkpoint){.fence = wire_fence_get(&r)};
    row->step = sh_get_u64(&r);
    row->index = sh_get_u64(&r);
    row->stamp_us = sh_get_u64(&r);
    sh_get_bytes(&r, row->manifest, SH_DIGEST_BYTES);
    row->holder_count = jobs_holders_get(&r, row->holders);
    row->cost_us = sh_get_u64(&r);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_event(uint8_t *buffer, const struct jobs_event *row)
{
    SH_CHECK_CMP(row->node_count, <=, WIRE_MEMBERS_MAX);
    struct sh_writer w = begin(buffer);
    sh_put_u32(&w, row->seq);
    sh_put_u32(&w, row->unit);
    sh_put_u32(&w, row->more);
    sh_put_u64(&w, row->stamp_us);
    sh_put_u64(&w, row->index);
    sh_put_u8(&w, (uint8_t)row->cause);
    sh_put_u8(&w, (uint8_t)row->unit_state);
    sh_put_u8(&w, (uint8_t)row->job_state);
    sh_put_u16(&w, (uint16_t)row->reason);
    sh_put_str(&w, row->text);
    sh_put_u8(&w, (uint8_t)row->node_count);
    sh_put_bytes(&w, row->nodes, (size_t)row->node_count * SH_NODE_ID_BYTES);
    return end(&w);
}

enum sh_err jobs_row_get_event(struct sh_span value, struct jobs_event *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_event){.seq = sh_get_u32(&r)};
    row->unit = sh_get_u32(&r);
    row->more = sh_get_u32(&r);
    row->stamp_us = sh_get_u64(&r);
    row->index = sh_get_u64(&r);
    row->cause = (enum wire_cause)sh_get_u8(&r);
    row->unit_state = state_get(&r);
    row->job_state = state_get(&r);
    row->reason = (enum sh_err)sh_get_u16(&r);
    sh_get_str(&r, row->text, sizeof row->text);
    row->node_count = count_get(&r, WIRE_MEMBERS_MAX);
    sh_get_bytes(&r, row->nodes, (size_t)row->node_count * SH_NODE_ID_BYTES);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_change(uint8_t *buffer, const struct jobs_change *row)
{
    struct sh_writer w = begin(buffer);
    sh_put_u64(&w, row->index);
    sh_put_u64(&w, row->job);
    sh_put_u32(&w, row->seq);
    sh_put_u32(&w, row->unit);
    sh_put_u32(&w, row->more);
    sh_put_u64(&w, row->stamp_us);
    sh_put_u8(&w, (uint8_t)row->cause);
    sh_put_u8(&w, (uint8_t)row->unit_state);
    sh_put_u8(&w, (uint8_t)row->job_state);
    sh_put_u16(&w, (uint16_t)row->reason);
    for (uint32_t i = 0; i < JOBS_UNIT_STATE_COUNT; i++) {
        sh_put_u32(&w, row->units_in[i]);
    }
    return end(&w);
}

enum sh_err jobs_row_get_change(struct sh_span value, struct jobs_change *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_change){.index = sh_get_u64(&r)};
    row->job = sh_get_u64(&r);
    row->seq = sh_get_u32(&r);
    row->unit = sh_get_u32(&r);
    row->more = sh_get_u32(&r);
    row->stamp_us = sh_get_u64(&r);
    row->cause = (enum wire_cause)sh_get_u8(&r);
    row->unit_state = state_get(&r);
    row->job_state = state_get(&r);
    row->reason = (enum sh_err)sh_get_u16(&r);
    for (uint32_t i = 0; i < JOBS_UNIT_STATE_COUNT; i++) {
        row->units_in[i] = sh_get_u32(&r);
    }
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_model(uint8_t *buffer, const struct jobs_model *row)
{
    struct sh_writer w = begin(buffer);
    wire_str_put(&w, row->name);
    sh_put_u32(&w, row->version);
    wire_unit_put(&w, row->unit);
    sh_put_bytes(&w, row->spec_digest, SH_DIGEST_BYTES);
    sh_put_bytes(&w, row->class, WIRE_CLASS_BYTES);
    sh_put_u8(&w, row->reproducible);
    sh_put_u8(&w, row->mixed);
    sh_put_u8(&w, row->partial);
    sh_put_u64(&w, row->created_us);
    wire_str_put(&w, row->parent);
    sh_put_u32(&w, row->parent_version);
    jobs_outcome_put(&w, &row->outcome);
    jobs_holders_put(&w, row->holders, row->holder_count);
    return end(&w);
}

enum sh_err jobs_row_get_model(struct sh_span value, struct jobs_model *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_model){.version = 0};
    wire_str_get(&r, row->name, sizeof row->name);
    row->version = sh_get_u32(&r);
    row->unit = wire_unit_get(&r);
    sh_get_bytes(&r, row->spec_digest, SH_DIGEST_BYTES);
    sh_get_bytes(&r, row->class, WIRE_CLASS_BYTES);
    row->reproducible = sh_get_bool(&r);
    row->mixed = sh_get_bool(&r);
    row->partial = sh_get_bool(&r);
    row->created_us = sh_get_u64(&r);
    wire_str_get(&r, row->parent, sizeof row->parent);
    row->parent_version = sh_get_u32(&r);
    jobs_outcome_get(&r, &row->outcome);
    row->holder_count = jobs_holders_get(&r, row->holders);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_evaluation(uint8_t *buffer, const struct jobs_evaluation *row)
{
    struct sh_writer w = begin(buffer);
    wire_str_put(&w, row->data);
    sh_put_bytes(&w, row->digest, SH_DIGEST_BYTES);
    wire_unit_put(&w, row->unit);
    sh_put_u64(&w, row->created_us);
    jobs_figures_put(&w, &row->figures);
    return end(&w);
}

enum sh_err jobs_row_get_evaluation(struct sh_span value, struct jobs_evaluation *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_evaluation){.created_us = 0};
    wire_str_get(&r, row->data, sizeof row->data);
    sh_get_bytes(&r, row->digest, SH_DIGEST_BYTES);
    row->unit = wire_unit_get(&r);
    row->created_us = sh_get_u64(&r);
    jobs_figures_get(&r, &row->figures);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_dataset(uint8_t *buffer, const struct jobs_dataset *row)
{
    struct sh_writer w = begin(buffer);
    wire_str_put(&w, row->name);
    sh_put_bytes(&w, row->digest, SH_DIGEST_BYTES);
    sh_put_u8(&w, row->local);
    sh_put_u32(&w, row->holders);
    sh_put_u64(&w, row->created_us);
    sh_put_str(&w, row->summary);
    wire_unit_put(&w, row->unit);
    jobs_holders_put(&w, row->blob_holders, row->blob_holder_count);
    return end(&w);
}

enum sh_err jobs_row_get_dataset(struct sh_span value, struct jobs_dataset *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_dataset){.holders = 0};
    wire_str_get(&r, row->name, sizeof row->name);
    sh_get_bytes(&r, row->digest, SH_DIGEST_BYTES);
    row->local = sh_get_bool(&r);
    row->holders = sh_get_u32(&r);
    row->created_us = sh_get_u64(&r);
    sh_get_str(&r, row->summary, sizeof row->summary);
    row->unit = wire_unit_get(&r);
    row->blob_holder_count = jobs_holders_get(&r, row->blob_holders);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_holder(uint8_t *buffer, const struct jobs_dataset_holder *row)
{
    struct sh_writer w = begin(buffer);
    sh_put_bytes(&w, row->node, SH_NODE_ID_BYTES);
    sh_put_u64(&w, row->added_us);
    sh_put_str(&w, row->path);
    sh_put_bytes(&w, row->digest, SH_DIGEST_BYTES);
    sh_put_str(&w, row->summary);
    return end(&w);
}

enum sh_err jobs_row_get_holder(struct sh_span value, struct jobs_dataset_holder *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_dataset_holder){.added_us = 0};
    sh_get_bytes(&r, row->node, SH_NODE_ID_BYTES);
    row->added_us = sh_get_u64(&r);
    sh_get_str(&r, row->path, sizeof row->path);
    sh_get_bytes(&r, row->digest, SH_DIGEST_BYTES);
    sh_get_str(&r, row->summary, sizeof row->summary);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_idem(uint8_t *buffer, const struct jobs_row_idem *row)
{
    struct sh_writer w = begin(buffer);
    sh_put_u64(&w, row->job);
    sh_put_bytes(&w, row->spec_digest, SH_DIGEST_BYTES);
    return end(&w);
}

enum sh_err jobs_row_get_idem(struct sh_span value, struct jobs_row_idem *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_row_idem){.job = sh_get_u64(&r)};
    sh_get_bytes(&r, row->spec_digest, SH_DIGEST_BYTES);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_node_id(uint8_t *buffer, const uint8_t *id)
{
    struct sh_writer w = begin(buffer);
    sh_put_bytes(&w, id, SH_NODE_ID_BYTES);
    return end(&w);
}

enum sh_err jobs_row_get_node_id(struct sh_span value, uint8_t *id)
{
    struct sh_reader r = open_row(value);
    sh_get_bytes(&r, id, SH_NODE_ID_BYTES);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_number(uint8_t *buffer, uint32_t number)
{
    struct sh_writer w = begin(buffer);
    sh_put_u32(&w, number);
    return end(&w);
}

enum sh_err jobs_row_get_number(struct sh_span value, uint32_t *number)
{
    struct sh_reader r = open_row(value);
    *number = sh_get_u32(&r);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_spec(uint8_t *buffer, struct sh_span spec)
{
    struct sh_writer w = begin(buffer);
    sh_put_bytes(&w, spec.at, spec.size);
    return end(&w);
}

enum sh_err jobs_row_get_spec(struct sh_span value, struct sh_span *spec)
{
    struct sh_reader r = open_row(value);
    *spec = r.bad ? (struct sh_span){0}
                  : (struct sh_span){.at = value.at + r.used, .size = sh_reader_left(&r)};
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_waiting(uint8_t *buffer, const struct jobs_row_waiting *row)
{
    struct sh_writer w = begin(buffer);
    sh_put_u8(&w, row->placed);
    sh_put_u64(&w, row->since_us);
    return end(&w);
}

enum sh_err jobs_row_get_waiting(struct sh_span value, struct jobs_row_waiting *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_row_waiting){.placed = sh_get_bool(&r)};
    row->since_us = sh_get_u64(&r);
    return sh_reader_end(&r);
}

void jobs_row_first_unit(const struct jobs_row_waiting *row, struct wire_unit id,
                         struct jobs_unit *out)
{
    *out = (struct jobs_unit){.id = id, .state = JOBS_WAITING, .since_us = row->since_us};
}

void jobs_row_first_event(const struct jobs_job *job, struct jobs_event *out)
{
    *out = (struct jobs_event){.unit = JOBS_EVENT_ALL_UNITS,
                               .stamp_us = job->submit_us,
                               .index = job->id,
                               .cause = WIRE_CAUSE_SUBMITTED,
                               .unit_state = JOBS_WAITING,
                               .job_state = JOBS_WAITING};
}

void jobs_row_first_change(const struct jobs_job *job, struct jobs_change *out)
{
    *out = (struct jobs_change){.index = job->id,
                                .job = job->id,
                                .unit = JOBS_EVENT_ALL_UNITS,
                                .stamp_us = job->submit_us,
                                .cause = WIRE_CAUSE_SUBMITTED,
                                .unit_state = JOBS_WAITING,
                                .job_state = JOBS_WAITING,
                                .units_in = {[JOBS_WAITING] = job->units}};
}

struct sh_span jobs_row_put_session(uint8_t *buffer, const struct jobs_session *row)
{
    struct sh_writer w = begin(buffer);
    sh_put_u64(&w, row->id);
    sh_put_bytes(&w, row->node, SH_NODE_ID_BYTES);
    sh_put_u64(&w, row->life);
    sh_put_u64(&w, row->used_us);
    return end(&w);
}

enum sh_err jobs_row_get_session(struct sh_span value, struct jobs_session *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_session){.id = sh_get_u64(&r)};
    sh_get_bytes(&r, row->node, SH_NODE_ID_BYTES);
    row->life = sh_get_u64(&r);
    row->used_us = sh_get_u64(&r);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_reply(uint8_t *buffer, const struct jobs_reply *row)
{
    struct sh_writer w = begin(buffer);
    sh_put_u64(&w, row->number);
    sh_put_u16(&w, (uint16_t)row->code);
    sh_put_u8(&w, row->duplicate);
    wire_unit_put(&w, row->unit);
    wire_fence_put(&w, row->fence);
    sh_put_u64(&w, row->handle);
    sh_put_u32(&w, row->model_version);
    return end(&w);
}

enum sh_err jobs_row_get_reply(struct sh_span value, struct jobs_reply *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_reply){.number = sh_get_u64(&r)};
    uint16_t code = sh_get_u16(&r);
    r.bad = r.bad || code >= JOBS_CODE_COUNT;
    row->code = r.bad ? JOBS_CODE_NONE : (enum jobs_code)code;
    row->duplicate = sh_get_bool(&r);
    row->unit = wire_unit_get(&r);
    row->fence = wire_fence_get(&r);
    row->handle = sh_get_u64(&r);
    row->model_version = sh_get_u32(&r);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_owner(uint8_t *buffer, const struct jobs_owner *row)
{
    struct sh_writer w = begin(buffer);
    sh_put_u64(&w, row->core_ms);
    sh_put_u64(&w, row->at_us);
    return end(&w);
}

enum sh_err jobs_row_get_owner(struct sh_span value, struct jobs_owner *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_owner){.core_ms = sh_get_u64(&r)};
    row->at_us = sh_get_u64(&r);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_index(uint8_t *buffer, uint64_t index)
{
    struct sh_writer w = begin(buffer);
    sh_put_u64(&w, index);
    return end(&w);
}

enum sh_err jobs_row_get_index(struct sh_span value, uint64_t *index)
{
    struct sh_reader r = open_row(value);
    *index = sh_get_u64(&r);
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_trouble(uint8_t *buffer, const struct jobs_trouble *row)
{
    SH_CHECK_CMP(row->count, <=, JOBS_TROUBLE_MAX);
    struct sh_writer w = begin(buffer);
    sh_put_u64(&w, row->not_before_us);
    sh_put_u64(&w, row->preempted_us);
    sh_put_u8(&w, (uint8_t)row->count);
    for (uint32_t i = 0; i < row->count; i++) {
        const struct jobs_failure *failure = &row->failures[i];
        sh_put_bytes(&w, failure->node, SH_NODE_ID_BYTES);
        sh_put_u64(&w, failure->at_us);
        sh_put_u64(&w, failure->kind);
        sh_put_u8(&w, failure->blamed);
    }
    return end(&w);
}

enum sh_err jobs_row_get_trouble(struct sh_span value, struct jobs_trouble *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_trouble){.not_before_us = sh_get_u64(&r)};
    row->preempted_us = sh_get_u64(&r);
    row->count = count_get(&r, JOBS_TROUBLE_MAX);
    for (uint32_t i = 0; i < row->count; i++) {
        struct jobs_failure *failure = &row->failures[i];
        sh_get_bytes(&r, failure->node, SH_NODE_ID_BYTES);
        failure->at_us = sh_get_u64(&r);
        failure->kind = sh_get_u64(&r);
        failure->blamed = sh_get_bool(&r);
    }
    return sh_reader_end(&r);
}

struct sh_span jobs_row_put_health(uint8_t *buffer, const struct jobs_health *row)
{
    struct sh_writer w = begin(buffer);
    sh_put_u32(&w, row->score_milli);
    sh_put_u64(&w, row->score_us);
    sh_put_u64(&w, row->suspect_job);
    sh_put_u64(&w, row->suspect_us);
    sh_put_u64(&w, row->until_us);
    sh_put_u8(&w, row->strikes);
    sh_put_u8(&w, row->trial);
    sh_put_u8(&w, row->tested);
    return end(&w);
}

enum sh_err jobs_row_get_health(struct sh_span value, struct jobs_health *row)
{
    struct sh_reader r = open_row(value);
    *row = (struct jobs_health){.score_milli = sh_get_u32(&r)};
    row->score_us = sh_get_u64(&r);
    row->suspect_job = sh_get_u64(&r);
    row->suspect_us = sh_get_u64(&r);
    row->until_us = sh_get_u64(&r);
    row->strikes = sh_get_u8(&r);
    row->trial = sh_get_u8(&r);
    row->tested = sh_get_bool(&r);
    return sh_reader_end(&r);
}
