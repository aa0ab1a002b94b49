/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/tx.h"

static enum jobs_code load(struct jobs_tx *tx, struct wire_unit id)
{
    tx->result->unit = id;
    if (!jobs_tx_found(tx, jobs_job_get(tx->table, id.job, &tx->core->job))) {
        return JOBS_CODE_JOB_UNKNOWN;
    }
    if (!jobs_tx_found(tx, jobs_unit_get(tx->table, id, &tx->core->unit))) {
        return JOBS_CODE_UNIT_UNKNOWN;
    }
    tx->result->fence = tx->core->unit.placement.fence;
    return JOBS_CODE_NONE;
}

enum jobs_code jobs_unit_load_fenced(struct jobs_tx *tx, struct wire_unit id,
                                     struct wire_fence fence)
{
    enum jobs_code code = load(tx, id);
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    const struct jobs_unit *unit = &tx->core->unit;
    if (unit->state == JOBS_WAITING || !wire_fence_equal(unit->placement.fence, fence)) {
        return JOBS_CODE_FENCE_STALE;
    }
    return jobs_state_final(unit->state) ? JOBS_CODE_UNIT_CLOSED : JOBS_CODE_NONE;
}

static void event_of_gang(struct jobs_tx *tx, enum wire_cause cause)
{
    const struct wire_placement *gang = &tx->core->unit.placement;
    struct jobs_event *event = &tx->core->event;
    *event = (struct jobs_event){.cause = cause, .node_count = gang->member_count};
    for (uint32_t i = 0; i < gang->member_count; i++) {
        memcpy(event->nodes[i], gang->members[i].node, SH_NODE_ID_BYTES);
    }
}

static enum jobs_code check_members(struct jobs_tx *tx, const struct jobs_place *c)
{
    const struct wire_need *need = &tx->core->job.need;
    if (c->member_count < need->agents_min || c->member_count > need->agents_max) {
        return JOBS_CODE_MEMBER_COUNT;
    }
    if (!wire_members_cover(c->members, c->member_count, need->ranks)) {
        return JOBS_CODE_RANKS_UNCOVERED;
    }
    for (uint32_t i = 0; i < c->member_count; i++) {
        if (!jobs_tx_has(tx, jobs_row_id('n', c->members[i].node))) {
            return JOBS_CODE_MEMBER_UNKNOWN;
        }
        if (wire_member_find(c->members, i, c->members[i].node) < i) {
            return JOBS_CODE_MEMBER_TWICE;
        }
    }
    return JOBS_CODE_NONE;
}

/* Pins the class with the first gang; later gangs must match it, or mark the job as mixed. */
bool jobs_unit_class_fits(const struct jobs_job *job, const uint8_t class[static WIRE_CLASS_BYTES],
                          bool mixed)
{
    bool differs = mixed || (job->pinned && memcmp(job->class, class, WIRE_CLASS_BYTES) != 0);
    return !differs || job->need.arithmetic != WIRE_ARITHMETIC_SAME;
}

void jobs_unit_pin_class(struct jobs_job *job, const uint8_t class[static WIRE_CLASS_BYTES],
                         bool mixed)
{
    if (job->pinned) {
        job->mixed = job->mixed || mixed || memcmp(job->class, class, WIRE_CLASS_BYTES) != 0;
    } else {
        job->pinned = true;
        job->mixed = mixed;
        memcpy(job->class, class, WIRE_CLASS_BYTES);
    }
}

void jobs_unit_run(struct jobs_tx *tx, const struct wire_placement *gang)
{
    struct jobs_job *job = &tx->core->job;
    struct jobs_unit *unit = &tx->core->unit;
    SH_CHECK(wire_fence_cmp(unit->placement.fence, jobs_tx_fence(tx)) < 0);
    job->start_us = job->start_us == 0 ? tx->meta.stamp_us : job->start_us;
    unit->placement = *gang;
    unit->placement.fence = jobs_tx_fence(tx);
    unit->placed_us = tx->meta.stamp_us;
    unit->placements++;
    tx->result->fence = unit->placement.fence;
    jobs_life_move(tx, unit, JOBS_RUNNING);
}

enum jobs_code jobs_do_place(struct jobs_tx *tx, const struct jobs_place *c)
{
    struct jobs_unit *unit = &tx->core->unit;
    enum jobs_code code = load(tx, c->unit);
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    if (!wire_fence_equal(unit->placement.fence, c->previous)) {
        return JOBS_CODE_FENCE_STALE;
    }
    if (!sh_fsm_allows(&jobs_unit_fsm, unit->state, JOBS_RUNNING)) {
        return unit->state == JOBS_STOPPING ? JOBS_CODE_UNIT_STOPPING : JOBS_CODE_UNIT_CLOSED;
    }
    if (tx->core->job.paused || unit->yield.cause != WIRE_CAUSE_NONE) {
        return tx->core->job.paused ? JOBS_CODE_JOB_PAUSED : JOBS_CODE_UNIT_YIELDS;
    }
    if (jobs_stage_wait(tx->table, &tx->core->job, unit->id.unit).open > 0) {
        return JOBS_CODE_UNIT_EARLY;
    }
    code = check_members(tx, c);
    if (code == JOBS_CODE_NONE && !jobs_unit_class_fits(&tx->core->job, c->class, c->mixed)) {
        code = JOBS_CODE_CLASS_DIFFERS;
    }
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    if (unit->state == JOBS_RUNNING) {
        jobs_owner_charge(tx, unit);
    }
    struct wire_placement gang = {.mixed = c->mixed, .member_count = c->member_count};
    memcpy(gang.class, c->class, WIRE_CLASS_BYTES);
    memcpy(gang.members, c->members, sizeof c->members);
    jobs_unit_pin_class(&tx->core->job, c->class, c->mixed);
    jobs_unit_run(tx, &gang);
    event_of_gang(tx, c->cause);
    jobs_life_settle(tx, unit);
    return JOBS_CODE_NONE;
}

/* Deletes the oldest checkpoints of core->unit until as many are left as the job keeps. */
static void prune_checkpoints(struct jobs_tx *tx)
{
    struct jobs_unit *unit = &tx->core->unit;
    struct jobs_row_key prefix = jobs_row_unit('c', unit->id);
    struct jobs_row_key high = jobs_row_beyond(&prefix);
    struct sh_span key;
    struct sh_span value;
    while (unit->checkpoints > tx->core->job.checkpoint_keep) {
        bool found = tx->table->seek(tx->table->ctx, jobs_row_span(&prefix), jobs_row_span(&high),
                                     false, &key, &value);
        SH_CHECK(found);
        SH_CHECK_CMP(key.size, ==, 21);
        jobs_tx_del(tx, jobs_row_checkpoint(unit->id, sh_key_u64_get(key.at + 13)));
        unit->checkpoints--;
    }
}

enum jobs_code jobs_do_checkpoint(struct jobs_tx *tx, const struct jobs_checkpoint_add *c)
{
    enum jobs_code code = jobs_unit_load_fenced(tx, c->unit, c->fence);
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    struct jobs_unit *unit = &tx->core->unit;
    struct jobs_checkpoint *row = &tx->core->checkpoint;
    uint32_t count = 0;
    enum sh_err err = jobs_checkpoint_list(tx->table, c->unit, row, 1, &count);
    tx->broken = tx->broken || err != SH_OK;
    /* A later gang may start over from an older step when the newest checkpoint is gone. */
    if (count > 0 && wire_fence_equal(row->fence, c->fence) && c->step <= row->step) {
        bool same =
            c->step == row->step && memcmp(c->manifest, row->manifest, SH_DIGEST_BYTES) == 0;
        tx->result->duplicate = same;
        return same ? JOBS_CODE_NONE : JOBS_CODE_STEP_OLD;
    }
    *row = (struct jobs_checkpoint){.fence = c->fence,
                                    .step = c->step,
                                    .index = tx->entry->index,
                                    .stamp_us = tx->meta.stamp_us,
                                    .holder_count = c->holder_count,
                                    .cost_us = c->cost_us};
    memcpy(row->manifest, c->manifest, sizeof row->manifest);
    memcpy(row->holders, c->holders, sizeof row->holders);
    jobs_tx_put(tx, jobs_row_checkpoint(c->unit, row->index),
                jobs_row_put_checkpoint(tx->core->buffer, row));
    unit->checkpoints++;
    unit->checkpoint_step = c->step;
    prune_checkpoints(tx);
    jobs_tx_put(tx, jobs_row_unit('u', unit->id), jobs_row_put_unit(tx->core->buffer, unit));
    jobs_life_touch(tx, unit->id);
    return JOBS_CODE_NONE;
}

static uint32_t make_model(struct jobs_tx *tx, const struct jobs_commit *c)
{
    const struct jobs_job *job = &tx->core->job;
    struct jobs_model *model = &tx->core->model;
    struct jobs_row_key newest = jobs_row_name('l', job->name);
    struct sh_span value;
    uint32_t version = 0;
    if (tx->table->get(tx->table->ctx, jobs_row_span(&newest), &value)) {
        (void)jobs_tx_found(tx, jobs_row_get_number(value, &version));
    }
    version++;
    *model = (struct jobs_model){.version = version,
                                 .unit = c->unit,
                                 .reproducible = job->reproducible && !c->partial &&
                                                 (!job->mixed || job->kind == WIRE_KIND_RL),
                                 .mixed = job->mixed,
                                 .partial = c->partial,
                                 .created_us = tx->meta.stamp_us,
                                 .outcome = c->outcome,
                                 .holder_count = c->holder_count};
    memcpy(model->name, job->name, sizeof model->name);
    memcpy(model->spec_digest, job->spec_digest, sizeof model->spec_digest);
    memcpy(model->class, job->class, sizeof model->class);
    memcpy(model->holders, c->holders, sizeof model->holders);
    if (job->kind == WIRE_KIND_FINE_TUNE) {
        memcpy(model->parent, job->about.model, sizeof model->parent);
        model->parent_version = job->about.version;
    }
    jobs_tx_put(tx, newest, jobs_row_put_number(tx->core->buffer, version));
    jobs_tx_put(tx, jobs_row_model(model->name, version),
                jobs_row_put_model(tx->core->buffer, model));
    tx->meta.models++;
    return version;
}

static bool makes_model(enum wire_kind kind, const struct jobs_outcome *outcome)
{
    static const uint8_t none[SH_DIGEST_BYTES];
    return kind == WIRE_KIND_TRAIN || kind == WIRE_KIND_FINE_TUNE || kind == WIRE_KIND_RL ||
           (kind == WIRE_KIND_EXEC && memcmp(outcome->file, none, sizeof none) != 0);
}

/* They are of the model that the unit made, or else of the one that its job is about. */
static void note_figures(struct jobs_tx *tx, const struct jobs_figures *figures)
{
    const struct jobs_job *job = &tx->core->job;
    uint32_t made = tx->core->unit.model_version;
    if (figures->samples > 0 && (made > 0 || job->about.version > 0)) {
        jobs_evaluation_note(tx, made > 0 ? job->name : job->about.model,
                             made > 0 ? made : job->about.version, figures);
    }
}

static bool same_result(const struct jobs_unit *unit, const struct jobs_commit *c)
{
    const struct jobs_outcome *a = &unit->outcome;
    const struct jobs_outcome *b = &c->outcome;
    return unit->partial == c->partial && memcmp(a->file, b->file, SH_DIGEST_BYTES) == 0 &&
           memcmp(a->model, b->model, SH_DIGEST_BYTES) == 0 &&
           memcmp(a->state, b->state, SH_DIGEST_BYTES) == 0;
}

enum jobs_code jobs_do_commit(struct jobs_tx *tx, const struct jobs_commit *c)
{
    struct jobs_unit *unit = &tx->core->unit;
    enum jobs_code code = jobs_unit_load_fenced(tx, c->unit, c->fence);
    if (code == JOBS_CODE_UNIT_CLOSED && unit->committed) {
        /* Its first COMMIT was applied but the answer got lost. */
        tx->result->duplicate = same_result(unit, c);
        tx->result->model_version = unit->model_version;
        return tx->result->duplicate ? JOBS_CODE_NONE : JOBS_CODE_RESULT_DIFFERS;
    }
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    if (c->partial && unit->state != JOBS_STOPPING) {
        return JOBS_CODE_NOT_STOPPING;
    }
    bool makes_dataset = tx->core->job.kind == WIRE_KIND_DATA_PREP && !c->partial;
    code = makes_dataset ? jobs_dataset_check_made(tx) : JOBS_CODE_NONE;
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    SH_CHECK(!unit->committed);
    unit->committed = true;
    unit->partial = c->partial;
    unit->outcome = c->outcome;
    if (makes_model(tx->core->job.kind, &c->outcome)) {
        unit->model_version = make_model(tx, c);
    }
    if (makes_dataset) {
        jobs_dataset_make(tx, c);
    }
    note_figures(tx, &c->outcome.figures);
    tx->result->model_version = unit->model_version;
    jobs_blame_commit(tx);
    jobs_life_move(tx, unit, c->partial ? JOBS_STOPPED : JOBS_COMPLETED);
    event_of_gang(tx, c->partial ? WIRE_CAUSE_KEPT : WIRE_CAUSE_COMMITTED);
    jobs_life_settle(tx, unit);
    return JOBS_CODE_NONE;
}

static void fail_job(struct jobs_tx *tx, const struct jobs_fail *c)
{
    struct jobs_job *job = &tx->core->job;
    bool first = job->fail_reason == SH_OK;
    if (first) {
        job->fail_unit = c->unit.unit;
        job->fail_reason = c->reason;
        memcpy(job->fail_text, c->text, sizeof job->fail_text);
    }
    /* An ensemble or a sweep goes on without it; it has failed when nothing comes of it. */
    if (job->cause == WIRE_CAUSE_NONE && job->kind != WIRE_KIND_ENSEMBLE && job->stage_count == 0) {
        job->cause = WIRE_CAUSE_FAILED;
        jobs_life_stop_open(tx);
    }
}

enum jobs_code jobs_do_fail(struct jobs_tx *tx, const struct jobs_fail *c)
{
    struct jobs_unit *unit = &tx->core->unit;
    enum jobs_code code = jobs_unit_load_fenced(tx, c->unit, c->fence);
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    unit->failures++;
    unit->fail_reason = c->reason;
    bool poison = jobs_blame_failure(tx, c);
    bool again = unit->state == JOBS_RUNNING && !c->final && !poison &&
                 unit->failures <= tx->core->job.retries;
    /* It was one too many (RESIZE): nobody waits for it. */
    bool spare = unit->state == JOBS_STOPPING && tx->core->job.cause == WIRE_CAUSE_NONE;
    enum jobs_state ended = spare ? JOBS_STOPPED : JOBS_FAILED;
    event_of_gang(tx, again ? WIRE_CAUSE_RETRIED : spare ? WIRE_CAUSE_STOPPED : WIRE_CAUSE_FAILED);
    tx->core->event.reason = c->reason;
    memcpy(tx->core->event.text, c->text, sizeof c->text);
    jobs_life_move(tx, unit, again ? JOBS_WAITING : ended);
    if (!again && !spare) {
        fail_job(tx, c);
    }
    jobs_life_settle(tx, unit);
    return JOBS_CODE_NONE;
}

/* The unit in core->unit runs on until its gang has left a checkpoint. */
static enum jobs_code ask_to_yield(struct jobs_tx *tx, const struct jobs_expire *c)
{
    struct jobs_unit *unit = &tx->core->unit;
    if (unit->state == JOBS_STOPPING) {
        return JOBS_CODE_UNIT_STOPPING;
    }
    if (unit->yield.cause != WIRE_CAUSE_NONE) {
        tx->result->duplicate = true;
        return JOBS_CODE_NONE;
    }
    jobs_life_yield(tx, unit, c->cause, c->grace_us);
    event_of_gang(tx, WIRE_CAUSE_YIELD_ASKED);
    jobs_life_settle(tx, unit);
    return JOBS_CODE_NONE;
}

enum jobs_code jobs_do_expire(struct jobs_tx *tx, const struct jobs_expire *c)
{
    struct jobs_unit *unit = &tx->core->unit;
    enum jobs_code code = jobs_unit_load_fenced(tx, c->unit, c->fence);
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    bool stops = unit->state == JOBS_STOPPING;
    if (c->grace_us > 0) {
        return ask_to_yield(tx, c);
    }
    bool yields = unit->yield.cause != WIRE_CAUSE_NONE;
    event_of_gang(tx, stops ? WIRE_CAUSE_STOPPED : yields ? unit->yield.cause : c->cause);
    jobs_life_move(tx, unit, stops ? JOBS_STOPPED : JOBS_WAITING);
    jobs_life_settle(tx, unit);
    return JOBS_CODE_NONE;
}
