/* SPDX-License-Identifier: Apache-2.0
 *
 * How far a job is, in thousandths, as one number that does not go down: units that are tried again
 * or go on from an earlier checkpoint keep the mark that they had reached, and more units that are
 * asked for hold the number until the work has caught up. It is JOBS_PROGRESS_WHOLE where the job
 * is completed and nowhere else; a completed job that is to have more units goes on from one below
 * it. */
#include "jobs/tx.h"

void jobs_progress_mark(struct jobs_tx *tx, struct jobs_unit *unit, uint32_t mark)
{
    struct jobs_job *job = &tx->core->job;
    SH_CHECK_CMP(job->id, ==, unit->id.job);
    SH_CHECK_CMP(mark, <=, JOBS_PROGRESS_WHOLE);
    SH_CHECK_CMP(job->progress_sum, >=, unit->progress);
    job->progress_sum = job->progress_sum - unit->progress + mark;
    unit->progress = (uint16_t)mark;
}

void jobs_progress_settle(struct jobs_job *job)
{
    const uint32_t most = JOBS_PROGRESS_WHOLE - 1;
    if (job->state == JOBS_COMPLETED) {
        job->progress = JOBS_PROGRESS_WHOLE;
        return;
    }
    SH_CHECK_CMP(job->target, >, 0);
    uint64_t now = job->progress_sum / job->target;
    uint64_t mark = now > job->progress ? now : job->progress;
    job->progress = (uint16_t)(mark < most ? mark : most);
}

/* No event of the job's history: it would have nothing else before long. */
enum jobs_code jobs_do_progress(struct jobs_tx *tx, const struct jobs_progress *c)
{
    struct jobs_unit *unit = &tx->core->unit;
    struct jobs_job *job = &tx->core->job;
    enum jobs_code code = jobs_unit_load_fenced(tx, c->unit, c->fence);
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    if (c->permille <= unit->progress) {
        tx->result->duplicate = true;
        return JOBS_CODE_NONE;
    }
    jobs_progress_mark(tx, unit, c->permille);
    jobs_progress_settle(job);
    jobs_tx_put(tx, jobs_row_unit('u', unit->id), jobs_row_put_unit(tx->core->buffer, unit));
    jobs_tx_put(tx, jobs_row_u64('j', job->id), jobs_row_put_job(tx->core->buffer, job));
    return JOBS_CODE_NONE;
}
