/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/tx.h"

/* Units that are completed or will be, unless they fail. */
static uint32_t wanted_count(const struct jobs_job *job)
{
    return job->units_in[JOBS_WAITING] + job->units_in[JOBS_RUNNING] +
           job->units_in[JOBS_COMPLETED];
}

static enum jobs_code check_units(const struct jobs_tx *tx, uint32_t target)
{
    const struct jobs_job *job = &tx->core->job;
    uint32_t wanted = wanted_count(job);
    uint32_t more = target > wanted ? target - wanted : 0;
    bool alike = job->kind == WIRE_KIND_EXEC || job->kind == WIRE_KIND_NOOP;
    if (!alike || job->stage_count > 0) {
        return JOBS_CODE_FIXED_UNITS;
    }
    if (target < job->units_in[JOBS_COMPLETED]) {
        return JOBS_CODE_BELOW_COMMITTED;
    }
    if (job->units + more > JOBS_UNITS_MAX) {
        return JOBS_CODE_UNITS_FULL;
    }
    return tx->meta.open_units + more > JOBS_OPEN_MAX ? JOBS_CODE_LIVE_FULL : JOBS_CODE_NONE;
}

static void add_units(struct jobs_tx *tx, uint32_t count)
{
    struct jobs_job *job = &tx->core->job;
    struct jobs_row_waiting row = {.since_us = tx->meta.stamp_us};
    for (uint32_t i = 0; i < count; i++) {
        struct wire_unit id = {.job = job->id, .unit = job->units++};
        jobs_tx_put(tx, jobs_row_unit('a', id), jobs_row_put_waiting(tx->core->buffer, &row));
        jobs_life_touch(tx, id);
    }
    job->units_in[JOBS_WAITING] += count;
    tx->meta.open_units += count;
}

/* Stops the unit while there are more than ctx, a count, says. */
static bool stop_spare(struct jobs_tx *tx, struct jobs_unit *unit, void *ctx)
{
    const uint32_t *target = ctx;
    if (wanted_count(&tx->core->job) > *target) {
        jobs_life_stop(tx, unit);
    }
    return wanted_count(&tx->core->job) > *target;
}

enum jobs_code jobs_do_resize(struct jobs_tx *tx, const struct jobs_resize *c)
{
    struct jobs_job *job = &tx->core->job;
    uint32_t target = c->units;
    if (!jobs_tx_found(tx, jobs_job_get(tx->table, c->job, job))) {
        return JOBS_CODE_JOB_UNKNOWN;
    }
    tx->result->unit.job = job->id;
    if (job->results_gone) { /* and what its units would need with them */
        return JOBS_CODE_JOB_FINISHED;
    }
    if (job->cause != WIRE_CAUSE_NONE) {
        return jobs_state_final(job->state) ? JOBS_CODE_JOB_FINISHED : JOBS_CODE_JOB_STOPPING;
    }
    if (!c->has_units && jobs_state_final(job->state)) {
        return JOBS_CODE_JOB_FINISHED;
    }
    enum jobs_code code = c->has_units ? check_units(tx, target) : JOBS_CODE_NONE;
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    if (c->has_priority) {
        job->priority = c->priority;
    }
    if (c->has_units) {
        uint32_t wanted = wanted_count(job);
        job->target = target;
        add_units(tx, target > wanted ? target - wanted : 0);
        jobs_life_each(tx, 'a', true, stop_spare, &target);
        jobs_life_each(tx, 'g', true, stop_spare, &target);
    }
    tx->core->event = (struct jobs_event){.cause = WIRE_CAUSE_RESIZED};
    jobs_life_settle(tx, NULL);
    return JOBS_CODE_NONE;
}
