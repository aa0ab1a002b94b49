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
    if (!stays) {
        unit->yield = (struct jobs_yield){.cause = WIRE_CAUSE_NONE};
    }
    if (to == JOBS_COMPLETED || to == JOBS_STOPPED) {
        jobs_progress_mark(tx, unit, to == JOBS_COMPLETED ? JOBS_PROGRESS_WHOLE : 0);
    }
    if (jobs_state_final(to)) {
        SH_CHECK_CMP(tx->meta.open_units, >, 0);
        tx->meta.open_units--;
        if (unit->failures > 0) {
            jobs_tx_del(tx, jobs_row_unit('f', unit->id));
        }
    }
    if (from == 'g' && list_of(to) != 'g') {
        jobs_owner_charge(tx, unit);
    }
    change_list(tx, unit, from, list_of(to));
    jobs_tx_put(tx, jobs_row_unit('u', unit->id), jobs_row_put_unit(tx->core->buffer, unit));
    jobs_life_touch(tx, unit->id);
}

void jobs_life_yield(struct jobs_tx *tx, struct jobs_unit *unit, enum wire_cause cause,
                     uint64_t grace_us)
{
    SH_CHECK_CMP(unit->state, ==, JOBS_RUNNING);
    SH_CHECK(cause != WIRE_CAUSE_NONE);
    uint64_t most_us = UINT64_MAX - tx->meta.stamp_us; /* the command says how long: any number */
    uint64_t wait_us = grace_us < most_us ? grace_us : most_us;
    unit->yield = (struct jobs_yield){.cause = cause, .until_us = tx->meta.stamp_us + wait_us};
    jobs_life_move(tx, unit, JOBS_RUNNING);
}

void jobs_life_stop(struct jobs_tx *tx, struct jobs_unit *unit)
{
    if (unit->state == JOBS_WAITING) {
        jobs_life_move(tx, unit, JOBS_STOPPED);
    } else if (unit->state == JOBS_RUNNING) {
        jobs_life_move(tx, unit, JOBS_STOPPING);
    }
}

void jobs_life_each(struct jobs_tx *tx, char list, bool last,
                    bool (*visit)(struct jobs_tx *tx, struct jobs_unit *unit, void *ctx), void *ctx)
{
    struct wire_unit at = {.job = tx->core->job.id, .unit = 0};
    struct jobs_row_key low = jobs_row_unit(list, at);
    struct jobs_row_key prefix = jobs_row_u64(list, at.job);
    struct jobs_row_key high = jobs_row_beyond(&prefix);
    struct jobs_unit *unit = &tx->core->sibling;
    struct sh_span key;
    struct sh_span value;
    bool more = true;
    while (more && tx->table->seek(tx->table->ctx, jobs_row_span(&low), jobs_row_span(&high), last,
                                   &key, &value)) {
        at.unit = (uint32_t)(sh_key_u64_get(key.at + 5) & UINT32_MAX);
        if (last) {
            high = jobs_row_unit(list, at);
        } else {
            low = jobs_row_past(key);
        }
        tx->broken = tx->broken || !jobs_tx_found(tx, jobs_unit_get(tx->table, at, unit));
        more = !tx->broken && visit(tx, unit, ctx);
    }
}

static bool stop_one(struct jobs_tx *tx, struct jobs_unit *unit, void *ctx)
{
    (void)ctx;
    jobs_life_stop(tx, unit);
    return true;
}

void jobs_life_stop_open(struct jobs_tx *tx)
{
    jobs_life_each(tx, 'g', false, stop_one, NULL);
    jobs_life_each(tx, 'a', false, stop_one, NULL);
}

static bool end_one(struct jobs_tx *tx, struct jobs_unit *unit, void *ctx)
{
    (void)ctx;
    bool late = unit->state == JOBS_RUNNING;
    unit->fail_reason = SH_ERR_TIMEOUT;
    jobs_life_move(tx, unit, late ? JOBS_FAILED : JOBS_STOPPED);
    return true;
}

void jobs_life_end_open(struct jobs_tx *tx)
{
    jobs_life_each(tx, 'g', false, end_one, NULL);
    jobs_life_each(tx, 'a', false, end_one, NULL);
}

static uint32_t open_count(const struct jobs_job *job)
{
    return job->units_in[JOBS_WAITING] + job->units_in[JOBS_RUNNING] + job->units_in[JOBS_STOPPING];
}

static enum jobs_state state_of(const struct jobs_job *job)
{
    bool gangs = job->units_in[JOBS_RUNNING] + job->units_in[JOBS_STOPPING] > 0;
    if (job->cause == WIRE_CAUSE_NONE) {
        if (open_count(job) == 0) {
            return job->units_in[JOBS_COMPLETED] > 0 ? JOBS_COMPLETED : JOBS_FAILED;
        }
        if (job->paused) {
            return gangs ? JOBS_PAUSING : JOBS_PAUSED;
        }
        return gangs ? JOBS_RUNNING : JOBS_WAITING;
    }
    if (open_count(job) > 0) {
        return JOBS_STOPPING;
    }
    if (job->cause == WIRE_CAUSE_FAILED) {
        return JOBS_FAILED;
    }
    return job->units_in[JOBS_COMPLETED] >= job->target ? JOBS_COMPLETED : JOBS_STOPPED;
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

/* Whatever lists jobs by how they ended follows. */
static void change_state(struct jobs_tx *tx, enum jobs_state to)
{
    static const uint8_t present = 1;
    struct jobs_job *job = &tx->core->job;
    SH_CHECK_CMP(tx->meta.jobs_in[job->state], >, 0);
    if (jobs_state_final(job->state)) {
        jobs_tx_del(tx, jobs_row_then_u64(jobs_row_state(job->state), job->id));
        tx->meta.reopened = tx->entry->index;
        jobs_keep_use(tx, true);
    }
    tx->meta.jobs_in[job->state]--;
    job->state = (enum jobs_state)sh_fsm_move(&jobs_job_fsm, job->state, to);
    tx->meta.jobs_in[to]++;
    job->end_us = jobs_state_final(to) ? tx->meta.stamp_us : 0;
    if (jobs_state_final(to)) {
        jobs_tx_put(tx, jobs_row_then_u64(jobs_row_state(to), job->id),
                    (struct sh_span){&present, 1});
        jobs_keep_use(tx, false);
    }
    if (jobs_state_final(to) && job->deadline_us > 0) {
        jobs_tx_del(tx, jobs_row_then_u64(jobs_row_u64('T', job->deadline_us), job->id));
    }
}

void jobs_life_settle(struct jobs_tx *tx, const struct jobs_unit *unit)
{
    struct jobs_job *job = &tx->core->job;
    enum jobs_state to = state_of(job);
    if (to == JOBS_FAILED && job->cause == WIRE_CAUSE_NONE) {
        job->cause = WIRE_CAUSE_FAILED; /* all of an ensemble or a sweep did */
    }
    bool ends = to != job->state && jobs_state_final(to);
    if (to != job->state) {
        change_state(tx, to);
    }
    job->paused = to == JOBS_PAUSING || to == JOBS_PAUSED;
    jobs_progress_settle(job);
    append_event(tx, unit);
    jobs_change_note(tx);
    jobs_tx_put(tx, jobs_row_u64('j', job->id), jobs_row_put_job(tx->core->buffer, job));
    if (ends) {
        jobs_keep_newest(tx);
    }
}
