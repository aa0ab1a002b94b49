/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/tx.h"

/* OK where the job is open and not about to end. */
static enum jobs_code load(struct jobs_tx *tx, uint64_t id)
{
    struct jobs_job *job = &tx->core->job;
    if (!jobs_tx_found(tx, jobs_job_get(tx->table, id, job))) {
        return JOBS_CODE_JOB_UNKNOWN;
    }
    tx->result->unit.job = job->id;
    if (jobs_state_final(job->state)) {
        return JOBS_CODE_JOB_FINISHED;
    }
    return job->state == JOBS_STOPPING ? JOBS_CODE_JOB_STOPPING : JOBS_CODE_NONE;
}

static bool pause_one(struct jobs_tx *tx, struct jobs_unit *unit, void *ctx)
{
    const struct jobs_pause *c = ctx;
    if (unit->state == JOBS_RUNNING && c->grace_us > 0) {
        jobs_life_yield(tx, unit, WIRE_CAUSE_PAUSED, c->grace_us);
    } else if (unit->state == JOBS_RUNNING) {
        jobs_life_move(tx, unit, JOBS_WAITING);
    }
    return true;
}

enum jobs_code jobs_do_pause(struct jobs_tx *tx, const struct jobs_pause *c)
{
    struct jobs_job *job = &tx->core->job;
    enum jobs_code code = load(tx, c->job);
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    bool hurried = c->grace_us == 0 && job->units_in[JOBS_RUNNING] > 0;
    if (job->paused && !hurried) {
        tx->result->duplicate = true;
        return JOBS_CODE_NONE;
    }
    struct jobs_pause asked = *c;
    job->paused = true;
    jobs_life_each(tx, 'g', false, pause_one, &asked);
    tx->core->event = (struct jobs_event){.cause = WIRE_CAUSE_PAUSE_ASKED};
    jobs_life_settle(tx, NULL);
    return JOBS_CODE_NONE;
}

/* What waits is there for the planner again. */
static bool show_one(struct jobs_tx *tx, struct jobs_unit *unit, void *ctx)
{
    (void)ctx;
    jobs_life_touch(tx, unit->id);
    return !tx->result->touched_more;
}

enum jobs_code jobs_do_resume(struct jobs_tx *tx, const struct jobs_resume *c)
{
    struct jobs_job *job = &tx->core->job;
    enum jobs_code code = load(tx, c->job);
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    if (!job->paused) {
        return JOBS_CODE_NOT_PAUSED;
    }
    /* A unit that gives way does so and is placed again: its gang has begun to end. */
    job->paused = false;
    jobs_life_each(tx, 'a', false, show_one, NULL);
    tx->core->event = (struct jobs_event){.cause = WIRE_CAUSE_RESUMED};
    jobs_life_settle(tx, NULL);
    return JOBS_CODE_NONE;
}
