/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes of jobs by the index of the entry that made them, for those who watch. Rows of the table,
 * so that every replica has the same ones and a watcher may go on at any of them. */
#include "jobs/tx.h"

void jobs_change_note(struct jobs_tx *tx)
{
    const struct jobs_job *job = &tx->core->job;
    const struct jobs_event *event = &tx->core->event;
    struct jobs_change *change = &tx->core->change;
    *change = (struct jobs_change){.index = tx->entry->index,
                                   .job = job->id,
                                   .seq = event->seq,
                                   .unit = event->unit,
                                   .stamp_us = event->stamp_us,
                                   .cause = event->cause,
                                   .unit_state = event->unit_state,
                                   .job_state = event->job_state,
                                   .reason = event->reason};
    memcpy(change->units_in, job->units_in, sizeof change->units_in);
    jobs_tx_put(tx, jobs_row_u64('w', change->index),
                jobs_row_put_change(tx->core->buffer, change));
}

/* Index from which on changes are kept when everything up to applied is. */
static uint64_t oldest(uint64_t applied)
{
    return applied < JOBS_WATCH_MAX ? 0 : applied - JOBS_WATCH_MAX + 1;
}

/* By number and not by looking for the first row: those that went before leave marks in the store
 * that a search would walk over again and again. */
void jobs_change_prune(struct jobs_tx *tx)
{
    uint64_t last = tx->meta.applied;
    uint64_t end = oldest(tx->entry->index);
    for (uint64_t i = oldest(last); i < end && i <= last; i++) {
        if (jobs_tx_has(tx, jobs_row_u64('w', i))) {
            jobs_tx_del(tx, jobs_row_u64('w', i));
        }
    }
}

enum sh_err jobs_change_list(const struct sh_table *t, uint64_t after, struct jobs_change *out,
                             uint32_t max, uint32_t *count)
{
    struct jobs_counts counts;
    *count = 0;
    enum sh_err err = jobs_counts_get(t, &counts);
    if (err != SH_OK || after > counts.applied) {
        return err;
    }
    if (after + 1 < oldest(counts.applied)) {
        return SH_ERR_GONE;
    }
    struct jobs_row_key low = jobs_row_u64('w', after + 1);
    struct jobs_row_key prefix = jobs_row_letter('w');
    struct jobs_row_key high = jobs_row_beyond(&prefix);
    struct sh_span key;
    struct sh_span value;
    while (err == SH_OK && *count < max &&
           t->seek(t->ctx, jobs_row_span(&low), jobs_row_span(&high), false, &key, &value)) {
        low = jobs_row_past(key);
        err = jobs_row_get_change(value, &out[*count]);
        *count += err == SH_OK;
    }
    return err;
}
