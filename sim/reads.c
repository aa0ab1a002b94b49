/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients read what was acknowledged, each time at some agent, which asks its coordinator for a
 * read index and answers once its tables have come so far. What all clients saw, submissions and
 * reads, must be linearizable. */
#include "sim/parts.h"

#include "lin/history.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    WAY_US = 400,           /* mean time between client and agent */
    READS_OF_A_JOB = 3,     /* after its acknowledgement, */
    READ_AFTER_US = 300000, /* in the mean so long after it */
};

void sim_reads_begin(struct sim *sim, uint32_t request, uint64_t job)
{
    for (uint32_t i = 0; i < READS_OF_A_JOB; i++) {
        if (sim->read_count == sim->read_capacity) {
            sim->read_capacity = sim->read_capacity == 0 ? 64 : 2 * sim->read_capacity;
            sim->reads = realloc(sim->reads, sim->read_capacity * sizeof *sim->reads);
            SH_CHECK(sim->reads != NULL);
        }
        uint64_t begun = sim->now_us + 1 + sim_about(&sim->rng, READ_AFTER_US);
        sim->reads[sim->read_count] =
            (struct sim_read){.request = request, .job = job, .begun_us = begun};
        struct sim_event event = {.at = begun + 1 + sim_about(&sim->rng, WAY_US),
                                  .who = (uint32_t)sh_rng_below(&sim->rng, sim->agent_count),
                                  .kind = SIM_EV_READ,
                                  .arg = sim->read_count};
        sim->read_count++;
        sim_queue_push(&sim->queue, event);
    }
}

/* ---- at the agent ---- */

void sim_reads_ask(struct sim *sim, struct sim_agent *a, uint64_t number)
{
    struct raft_event event = {.type = RAFT_READ_INDEX};
    event.ctx = number + 1;
    if (a->raft != NULL) {
        sim_replica_step(sim, a, &event);
    }
}

static void serve_soon(struct sim *sim, struct sim_agent *a)
{
    sim_queue_push(&sim->queue, (struct sim_event){.at = sim->now_us + 1,
                                                   .who = a->number,
                                                   .life = a->life,
                                                   .kind = SIM_EV_SERVE});
}

void sim_reads_take(struct sim *sim, struct sim_agent *a, const struct raft_update *update)
{
    uint32_t before = a->wait_count;
    for (uint32_t i = 0; i < update->read_count && a->wait_count < SIM_WAITING_READS_MAX; i++) {
        if (update->reads[i].err == SH_OK) { /* else the client gets no answer */
            a->waits[a->wait_count++] = update->reads[i];
        }
    }
    if (a->wait_count > before) {
        serve_soon(sim, a);
    }
}

void sim_reads_applied(struct sim *sim, struct sim_agent *a)
{
    if (a->wait_count > 0) {
        serve_soon(sim, a);
    }
}

/* 1 + units of the job that are committed; 0: there is no such job. */
static uint32_t progress_of(struct sim *sim, struct sim_agent *a, uint64_t job)
{
    const struct sh_table *table = fsm_begin(a->fsm);
    struct jobs_job *row = sim->check.job;
    enum sh_err err = jobs_job_get(table, job, row);
    fsm_abort(a->fsm);
    return err == SH_OK ? row->units_in[JOBS_COMPLETED] + 1 : 0;
}

void sim_reads_serve(struct sim *sim, struct sim_agent *a)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < a->wait_count; i++) {
        struct raft_read *r = &a->waits[i];
        if (r->index > a->apply.applied) {
            a->waits[kept++] = *r;
            continue;
        }
        uint64_t number = r->ctx - 1;
        sim_queue_push(&sim->queue,
                       (struct sim_event){.at = sim->now_us + 1 + sim_about(&sim->rng, WAY_US),
                                          .who = a->number,
                                          .kind = SIM_EV_READ_TOLD,
                                          .arg = number,
                                          .attempt = progress_of(sim, a, sim->reads[number].job)});
    }
    a->wait_count = kept;
}

/* ---- at the client ---- */

void sim_reads_told(struct sim *sim, uint64_t number, uint32_t progress)
{
    struct sim_read *r = &sim->reads[number];
    if (r->done_us == 0) {
        r->done_us = sim->now_us;
        r->progress = progress;
        sim->counts.reads++;
    }
}

void sim_reads_judge(struct sim *sim)
{
    uint32_t count = 0;
    struct lin_op *ops = calloc(sim->ask_count + sim->read_count + 1, sizeof *ops);
    SH_CHECK(ops != NULL);
    for (uint32_t i = 0; i < sim->ask_count; i++) {
        const struct sim_ask *q = &sim->asks[i];
        ops[count] = (struct lin_op){.call = q->begun_us,
                                     .done = q->seen.job == 0 ? LIN_NEVER : q->acked_us,
                                     .arg = {q->seen.job},
                                     .verb = LIN_JOB_SUBMIT,
                                     .key = i,
                                     .line = count};
        count++;
    }
    for (uint64_t i = 0; i < sim->read_count; i++) {
        const struct sim_read *r = &sim->reads[i];
        if (r->done_us != 0) {
            ops[count] = (struct lin_op){.call = r->begun_us,
                                         .done = r->done_us,
                                         .arg = {r->job, r->progress},
                                         .verb = LIN_JOB_READ,
                                         .key = r->request,
                                         .line = count,
                                         .reads = r->progress == 0};
            count++;
        }
    }
    struct lin_report report;
    lin_check(ops, count, 0, lin_job_step, NULL, LIN_BUDGET, &report);
    if (report.verdict != LIN_OK) {
        sim_check_fail(
            &sim->check,
            "linearizability: %s: what clients saw of job %" PRIu64 " has no order (request %u)",
            lin_verdict_name(report.verdict), sim->asks[report.key].seen.job, report.key);
    }
    free(ops);
}
