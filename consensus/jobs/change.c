/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes of jobs by the index of the entry that made them, for those who watch. Rows of the table,
 * so that every replica has the same ones and a watcher may go on at any of them. */
#include "jobs/tx.h"

enum { STRIDE = 256 };

void jobs_change_note(struct jobs_tx *tx)
{
    const struct jobs_job *job = &tx->core->job;
    const struct jobs_event *event = &tx->core->event;
    struct jobs_change *change = &tx->core->change;
    *change = (struct jobs_change){.index = tx->entry->index,
                                   .job = job->id,
                                   .seq = event->seq,
                                   .unit = event->unit,
                                   .more = event->more,
                                   .stamp_us = event->stamp_us,
                                   .cause = event->cause,
                                   .unit_state = event->unit_state,
                                   .job_state = event->job_state,
                                   .reason = event->reason};
    memcpy(change->units_in, job->units_in, sizeof change->units_in);
    jobs_tx_put(tx, jobs_row_u64('w', change->index),
                jobs_row_put_change(tx->core->buffer, change));
}

/* In strides: to look for what has to go at every entry would cost more than what is there. */
uint64_t jobs_change_oldest(uint64_t applied)
{
    return applied < JOBS_WATCH_MAX ? 0 : (applied - JOBS_WATCH_MAX + 1) / STRIDE * STRIDE;
}

/* From the first index that may have a row, and not from the first row: those that went before
 * leave marks in the store that a search would walk over again and again. */
void jobs_change_prune(struct jobs_tx *tx)
{
    uint64_t begin = jobs_change_oldest(tx->meta.applied);
    uint64_t end = jobs_change_oldest(tx->entry->index);
    if (begin == end) {
        return;
    }
    struct jobs_row_key low = jobs_row_u64('w', begin);
    struct jobs_row_key high = jobs_row_u64('w', end);
    struct sh_span key;
    struct sh_span value;
    while (tx->table->seek(tx->table->ctx, jobs_row_span(&low), jobs_row_span(&high), false, &key,
                           &value)) {
        uint64_t index = sh_key_u64_get(key.at + 1);
        low = jobs_row_past(key);
        jobs_tx_del(tx, jobs_row_u64('w', index));
    }
}

/* Changes of one kind in the order of their indexes: those that have rows, and the first ones of
 * jobs, which are read from the rows of these. */
struct source {
    char letter; /* w, j */
    struct jobs_row_key low;
    struct jobs_change next;
    bool more;
};

static enum sh_err take_next(const struct sh_table *t, struct source *s)
{
    struct jobs_row_key prefix = jobs_row_letter(s->letter);
    struct jobs_row_key high = jobs_row_beyond(&prefix);
    struct jobs_job job;
    struct sh_span key;
    struct sh_span value;
    s->more = t->seek(t->ctx, jobs_row_span(&s->low), jobs_row_span(&high), false, &key, &value);
    if (!s->more) {
        return SH_OK;
    }
    s->low = jobs_row_past(key);
    if (s->letter == 'w') {
        return jobs_row_get_change(value, &s->next);
    }
    enum sh_err err = jobs_row_get_job(value, &job);
    jobs_row_first_change(&job, &s->next);
    return err;
}

enum sh_err jobs_change_list(const struct sh_table *t, uint64_t after, struct jobs_change *out,
                             uint32_t max, uint32_t *count)
{
    struct jobs_counts counts;
    *count = 0;
    enum sh_err err = jobs_counts_get(t, &counts);
    if (err != SH_OK || after >= counts.applied) {
        return err;
    }
    if (after + 1 < jobs_change_oldest(counts.applied)) {
        return SH_ERR_GONE;
    }
    struct source rows = {.letter = 'w', .low = jobs_row_u64('w', after + 1)};
    struct source firsts = {.letter = 'j', .low = jobs_row_u64('j', after + 1)};
    err = take_next(t, &rows);
    if (err == SH_OK) {
        err = take_next(t, &firsts);
    }
    while (err == SH_OK && *count < max && (rows.more || firsts.more)) {
        bool first = !rows.more || (firsts.more && firsts.next.index < rows.next.index);
        struct source *sooner = first ? &firsts : &rows;
        out[(*count)++] = sooner->next;
        err = take_next(t, sooner);
    }
    return err;
}
