/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/tx.h"

void jobs_life_touch(struct jobs_tx *tx, struct wire_unit unit)
{
    struct jobs_result *result = tx->result;
    if (result->touched_count < JOBS_TOUCHED_MAX) {
        result->touched[result->touched_count++] = unit;
    } else {
        result->touched_more = true;
    }
}

/* Waiting units and units with a gang are listed apart: however long the queue is, whoever works
 * finds its units at once. 0: ended units are not listed. */
static char list_of(enum jobs_state state)
{
    return jobs_state_final(state) ? 0 : state == JOBS_WAITING ? 'a' : 'g';
}

static void change_list(struct jobs_tx *tx, const struct jobs_unit *unit, char from, char to)
{
    static const uint8_t present = 1;
    struct jobs_row_waiting waiting = {.placed = true, .since_us = unit->since_us};
    if (from != to) {
        jobs_tx_del(tx, jobs_row_unit(from, unit->id));
    }
    if (from != to && to == 'a') {
        jobs_tx_put(tx, jobs_row_unit(to, unit->id),
                    jobs_row_put_waiting(tx->core->buffer, &waiting));
    } else if (from != to && to != 0) {
        jobs_tx_put(tx, jobs_row_unit(to, unit->id), (struct sh_span){&present, 1});
    }
}

void jobs_life_move(struct jobs_tx *tx, struct jobs_unit *unit, enum jobs_state to)
{
    struct jobs_job *job = &tx->core->job;
    SH_CHECK_CMP(job->id, ==, unit->id.job);
    SH_CHECK_CMP(job->units_in[unit->state], >, 0);
    bool stays = unit->state == to;
    char from = list_of(unit->state);
    job->units_in[unit->state]--;
    unit->state = (enum jobs_state)sh_fsm_move(&jobs_unit_fsm, unit->state, to);
    job->units_in[to]++;
    unit->since_us = stays ? unit->since_us : tx->meta.stamp_us;
    if (jobs_state_final(to)) {
        SH_CHECK_CMP(tx->meta.open_units, >, 0);
        tx->meta.open_units--;
        if (unit->failures > 0) {
            jobs_tx_del(tx, jobs_row_unit('f', unit->id));
        }
    }
    change_list(tx, unit, from, list_of(to));
    jobs_tx_put(tx, jobs_row_unit('u', unit->id), jobs_row_put_unit(tx->core->buffer, unit));
    jobs_life_touch(tx, unit->id);
}

static void stop_unit(struct jobs_tx *tx, struct wire_unit at)
{
    struct jobs_unit *unit = &tx->core->sibling;
    if (!jobs_tx_found(tx, jobs_unit_get(tx->table, at, unit))) {
        tx->broken = true;
    } else if (unit->state == JOBS_WAITING) {
        jobs_life_move(tx, unit, JOBS_STOPPED);
    } else if (unit->state == JOBS_RUNNING) {
        jobs_life_move(tx, unit, JOBS_STOPPING);
    }
}

static void stop_listed(struct jobs_tx *tx, char letter)
{
    struct wire_unit at = {.job = tx->core->job.id, .unit = 0};
    struct jobs_row_key low = jobs_row_unit(letter, at);
    struct jobs_row_key prefix = jobs_row_u64(letter, at.job);
    struct jobs_row_key high = jobs_row_beyond(&prefix);
    struct sh_span key;
    struct sh_span value;
    while (!tx->broken && tx->table->seek(tx->table->ctx, jobs_row_span(&low), jobs_row_span(&high),
                                          false, &key, &value)) {
        low = jobs_row_past(key);
        at.unit = (uint32_t)(sh_key_u64_get(low.at + 5) & UINT32_MAX);
        stop_unit(tx, at);
    }
}

void jobs_life_stop_open(struct jobs_tx *tx)
{
    stop_listed(tx, 'g');
    stop_listed(tx, 'a');
}

static uint32_t open_count(const struct jobs_job *job)
{
    return job->units_in[JOBS_WAITING] + job->units_in[JOBS_RUNNING] + job->units_in[JOBS_STOPPING];
}

static enum jobs_state state_of(const struct jobs_job *job)
{
    if (job->cause == WIRE_CAUSE_NONE) {
        if (open_count(job) == 0) {
            return JOBS_COMPLETED;
        }
        return job->units_in[JOBS_RUNNING] > 0 ? JOBS_RUNNING : JOBS_WAITING;
    }
    if (open_count(job) > 0) {
        return JOBS_STOPPING;
    }
    if (job->cause == WIRE_CAUSE_FAILED) {
        return JOBS_FAILED;
    }
    return job->units_in[JOBS_COMPLETED] == job->units ? JOBS_COMPLETED : JOBS_STOPPED;
}

static void append_event(struct jobs_tx *tx, const struct jobs_unit *unit)
{
    struct jobs_job *job = &tx->core->job;
    struct jobs_event *event = &tx->core->event;
    event->seq = job->event_next++;
    event->stamp_us = tx->meta.stamp_us;
    event->index = tx->entry->index;
    event->job_state = job->state;
    event->unit = unit == NULL ? JOBS_EVENT_ALL_UNITS : unit->id.unit;
    event->unit_state = unit == NULL ? job->state : unit->state;
    jobs_tx_put(tx, jobs_row_event(job->id, event->seq),
                jobs_row_put_event(tx->core->buffer, event));
    SH_CHECK_CMP(event->seq, >, 0); /* the first one has no row */
    if (event->seq > JOBS_HISTORY_MAX) {
        jobs_tx_del(tx, jobs_row_event(job->id, event->seq - JOBS_HISTORY_MAX));
    }
}

void jobs_life_settle(struct jobs_tx *tx, const struct jobs_unit *unit)
{
    struct jobs_job *job = &tx->core->job;
    enum jobs_state to = state_of(job);
    if (to != job->state) {
        SH_CHECK_CMP(tx->meta.jobs_in[job->state], >, 0);
        tx->meta.jobs_in[job->state]--;
        job->state = (enum jobs_state)sh_fsm_move(&jobs_job_fsm, job->state, to);
        tx->meta.jobs_in[to]++;
        job->end_us = jobs_state_final(to) ? tx->meta.stamp_us : 0;
        if (jobs_state_final(to)) {
            static const uint8_t present = 1;
            jobs_tx_put(tx, jobs_row_then_u64(jobs_row_state(to), job->id),
                        (struct sh_span){&present, 1});
            jobs_keep_use(tx, false);
        }
    }
    append_event(tx, unit);
    jobs_change_note(tx);
    jobs_tx_put(tx, jobs_row_u64('j', job->id), jobs_row_put_job(tx->core->buffer, job));
    if (jobs_state_final(job->state)) {
        jobs_keep_newest(tx);
    }
}
