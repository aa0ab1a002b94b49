/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/tx.h"

void jobs_job_begin(const struct jobs_submit *c, uint64_t id, uint64_t stamp_us,
                    struct jobs_job *job)
{
    *job = (struct jobs_job){.id = id,
                             .state = JOBS_WAITING,
                             .kind = c->kind,
                             .need = c->need,
                             .reproducible = c->reproducible,
                             .priority = c->priority,
                             .retries = c->retries,
                             .checkpoint_keep = c->checkpoint_keep,
                             .keep_results = c->keep_results,
                             .submit_us = stamp_us,
                             .units = c->units,
                             .target = c->units,
                             .event_next = 1, /* the first is read from this row */
                             .blob_count = c->blob_count,
                             .about = c->about,
                             .deadline_us = c->deadline_us > 0 ? stamp_us + c->deadline_us : 0,
                             .federated = c->federated,
                             .stage_count = c->stage_count};
    memcpy(job->name, c->name, sizeof job->name);
    memcpy(job->owner, c->owner, sizeof job->owner);
    memcpy(job->key, c->key, sizeof job->key);
    memcpy(job->spec_digest, c->spec_digest, sizeof job->spec_digest);
    memcpy(job->blobs, c->blobs, sizeof job->blobs);
    memcpy(job->dataset, c->dataset, sizeof job->dataset);
    memcpy(job->stages, c->stages, sizeof job->stages);
    job->units_in[JOBS_WAITING] = c->units;
}

static void write_units(struct jobs_tx *tx)
{
    const struct jobs_job *job = &tx->core->job;
    struct jobs_row_waiting row = {.since_us = tx->meta.stamp_us};
    for (uint32_t i = 0; i < job->units; i++) {
        struct wire_unit id = {.job = job->id, .unit = i};
        jobs_tx_put(tx, jobs_row_unit('a', id), jobs_row_put_waiting(tx->core->buffer, &row));
        jobs_life_touch(tx, id);
    }
    tx->meta.open_units += job->units;
}

/* The job that this key made already, if any: the caller asked twice and gets one job. */
static enum jobs_code seen_before(struct jobs_tx *tx, const struct jobs_submit *c, bool *seen)
{
    struct jobs_row_key key = jobs_row_name('i', c->key);
    struct jobs_row_idem idem;
    struct sh_span value;
    *seen = c->key[0] != '\0' && tx->table->get(tx->table->ctx, jobs_row_span(&key), &value) &&
            jobs_tx_found(tx, jobs_row_get_idem(value, &idem));
    if (!*seen) {
        return JOBS_CODE_NONE;
    }
    tx->result->unit.job = idem.job;
    if (memcmp(idem.spec_digest, c->spec_digest, SH_DIGEST_BYTES) != 0) {
        return JOBS_CODE_KEY_REUSED;
    }
    tx->result->duplicate = true;
    return JOBS_CODE_NONE;
}

enum jobs_code jobs_do_submit(struct jobs_tx *tx, const struct jobs_submit *c)
{
    bool seen = false;
    enum jobs_code code = seen_before(tx, c, &seen);
    if (seen) {
        return code;
    }
    if (tx->meta.open_units + c->units > JOBS_OPEN_MAX) {
        return JOBS_CODE_LIVE_FULL;
    }
    if (tx->meta.jobs >= JOBS_TOTAL_MAX) {
        return JOBS_CODE_TOTAL_FULL;
    }
    static const uint8_t present = 1;
    struct jobs *core = tx->core;
    jobs_job_begin(c, tx->entry->index, tx->meta.stamp_us, &core->job);
    jobs_keep_use(tx, true);
    /* The rows of a job bear its id, which is this entry's index; its key was looked for above. */
    tx->fresh = true;
    tx->result->unit.job = core->job.id;
    jobs_tx_put(tx, jobs_row_then_u64(jobs_row_named(c->name), core->job.id),
                (struct sh_span){&present, 1});
    jobs_tx_put(tx, jobs_row_u64('s', core->job.id), jobs_row_put_spec(core->buffer, c->spec));
    if (c->key[0] != '\0') {
        struct jobs_row_idem idem = {.job = core->job.id};
        memcpy(idem.spec_digest, c->spec_digest, sizeof idem.spec_digest);
        jobs_tx_put(tx, jobs_row_name('i', c->key), jobs_row_put_idem(core->buffer, &idem));
    }
    write_units(tx);
    if (core->job.deadline_us > 0) {
        jobs_tx_put(tx, jobs_row_then_u64(jobs_row_u64('T', core->job.deadline_us), core->job.id),
                    (struct sh_span){&present, 1});
    }
    tx->meta.jobs++;
    tx->meta.jobs_in[JOBS_WAITING]++;
    jobs_tx_put(tx, jobs_row_u64('j', core->job.id), jobs_row_put_job(core->buffer, &core->job));
    return JOBS_CODE_NONE;
}

enum jobs_code jobs_do_stop(struct jobs_tx *tx, const struct jobs_stop *c)
{
    struct jobs_job *job = &tx->core->job;
    if (!jobs_tx_found(tx, jobs_job_get(tx->table, c->job, job))) {
        return JOBS_CODE_JOB_UNKNOWN;
    }
    tx->result->unit.job = job->id;
    if (job->state == JOBS_STOPPING || job->state == JOBS_STOPPED) {
        tx->result->duplicate = true;
        return JOBS_CODE_NONE;
    }
    if (jobs_state_final(job->state)) {
        return JOBS_CODE_JOB_FINISHED;
    }
    job->cause = WIRE_CAUSE_STOP_ASKED;
    jobs_life_stop_open(tx);
    tx->core->event = (struct jobs_event){.cause = WIRE_CAUSE_STOP_ASKED};
    jobs_life_settle(tx, NULL);
    return JOBS_CODE_NONE;
}

enum jobs_code jobs_do_deadline(struct jobs_tx *tx, const struct jobs_deadline *c)
{
    static const char text[] = "no member had answered when the deadline passed";
    struct jobs_job *job = &tx->core->job;
    if (!jobs_tx_found(tx, jobs_job_get(tx->table, c->job, job))) {
        return JOBS_CODE_JOB_UNKNOWN;
    }
    tx->result->unit.job = job->id;
    if (jobs_state_final(job->state)) {
        return JOBS_CODE_JOB_FINISHED;
    }
    if (job->deadline_us == 0 || tx->meta.stamp_us < job->deadline_us) {
        return JOBS_CODE_DEADLINE_AHEAD;
    }
    if (job->fail_reason == SH_OK && job->units_in[JOBS_COMPLETED] == 0) {
        job->fail_reason = SH_ERR_TIMEOUT;
        memcpy(job->fail_text, text, sizeof text);
    }
    jobs_life_end_open(tx);
    tx->core->event = (struct jobs_event){.cause = WIRE_CAUSE_DEADLINE, .reason = SH_ERR_TIMEOUT};
    jobs_life_settle(tx, NULL);
    return JOBS_CODE_NONE;
}
