/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients: each submits one job under a key of its own and, where told to, asks other agents until
 * one acknowledges it. They are outside of the cluster's network: an agent that runs is reachable.
 */
#include "sim/parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAY_US = 400 }; /* mean time from client to agent */

static void ask(struct sim *sim, uint32_t request, uint32_t agent)
{
    struct sim_ask *q = &sim->asks[request];
    q->attempt++;
    q->agent = agent;
    q->waiting = true;
    sim_queue_push(&sim->queue,
                   (struct sim_event){.at = sim->now_us + 1 + sim_about(&sim->rng, WAY_US),
                                      .who = agent,
                                      .kind = SIM_EV_REQUEST,
                                      .arg = request,
                                      .attempt = q->attempt});
    sim_queue_push(&sim->queue, (struct sim_event){.at = sim->now_us + 2 * SIM_PROPOSE_US,
                                                   .kind = SIM_EV_RETRY,
                                                   .arg = request,
                                                   .attempt = q->attempt});
}

static void tell_act(struct sim *sim, const struct sim_job *job, uint32_t agent, bool retry)
{
    char every[32] = "";
    const char *once = retry ? "" : " once";
    if (!job->train) {
        sim_act(sim, "submit noop %u to %s%s", job->units, sim_name(agent), once);
        return;
    }
    if (job->every > 0) {
        (void)snprintf(every, sizeof every, " checkpoint %u", job->every);
    }
    sim_act(sim, "submit train %u steps of %" PRIu64 "us%s agents %u..%u to %s%s", job->steps,
            job->step_us, every, job->agents_min, job->agents_max, sim_name(agent), once);
}

uint32_t sim_submit(struct sim *sim, const struct sim_job *job, uint32_t agent, bool retry)
{
    SH_CHECK_CMP(sim->ask_count, <, SIM_REQUESTS_MAX);
    SH_CHECK_CMP(agent, <, sim->agent_count);
    if (sim->ask_count == sim->ask_capacity) {
        sim->ask_capacity = sim->ask_capacity == 0 ? 64 : 2 * sim->ask_capacity;
        sim->asks = realloc(sim->asks, sim->ask_capacity * sizeof *sim->asks);
        SH_CHECK(sim->asks != NULL);
    }
    uint32_t request = sim->ask_count++;
    tell_act(sim, job, agent, retry);
    sim->asks[request] = (struct sim_ask){.job = *job, .retry = retry, .begun_us = sim->now_us};
    ask(sim, request, agent);
    return request;
}

struct sim_request sim_request(const struct sim *sim, uint32_t number)
{
    SH_CHECK_CMP(number, <, sim->ask_count);
    return sim->asks[number].seen;
}

/* ---- at the agent ---- */

static void fill(struct jobs_cmd *cmd, const struct sim_job *job, uint32_t request, char *spec,
                 size_t size)
{
    *cmd = (struct jobs_cmd){.type = JOBS_SUBMIT};
    struct jobs_submit *s = &cmd->u.submit;
    int used = snprintf(spec, size, "{}");
    if (job->train) {
        used = snprintf(spec, size, "{\"every\":%u,\"step_us\":%" PRIu64 ",\"steps\":%u}",
                        job->every, job->step_us, job->steps);
    }
    SH_CHECK(used > 0);
    SH_CHECK_CMP(used, <, size);
    (void)snprintf(s->key, sizeof s->key, "r%u", request);
    (void)snprintf(s->name, sizeof s->name, "job-%u", request);
    (void)snprintf(s->owner, sizeof s->owner, "sim");
    s->kind = job->train ? WIRE_KIND_TRAIN : WIRE_KIND_NOOP;
    s->spec = (struct sh_span){.at = (const uint8_t *)spec, .size = (size_t)used};
    for (uint32_t i = 0; i < SH_DIGEST_BYTES; i++) {
        s->spec_digest[i] = (uint8_t)sh_hash64(i, spec, (uint64_t)used);
    }
    s->need = (struct wire_need){.ranks = job->train ? 16 : 1,
                                 .agents_min = job->agents_min,
                                 .agents_max = job->agents_max,
                                 .arithmetic = WIRE_ARITHMETIC_SAME};
    s->reproducible = true;
    s->retries = 3;
    s->checkpoint_keep = 2;
    s->units = job->units;
}

void sim_client_request(struct sim *sim, struct sim_agent *a, uint32_t request, uint32_t attempt)
{
    char spec[128];
    struct jobs_cmd *cmd = &sim->scratch->cmd;
    fill(cmd, &sim->asks[request].job, request, spec, sizeof spec);
    if (!sim_propose(sim, a, SIM_FROM_CLIENT, request, attempt, cmd, SIM_PROPOSE_US)) {
        sim_client_answer(sim, a, request, attempt, SH_ERR_FULL, 0);
    }
}

void sim_client_answer(struct sim *sim, struct sim_agent *a, uint32_t request, uint32_t attempt,
                       enum sh_err err, uint64_t job)
{
    if (a->doomed) {
        return; /* the client loses patience */
    }
    uint64_t *words = malloc(2 * sizeof *words);
    SH_CHECK(words != NULL);
    words[0] = (uint64_t)err;
    words[1] = job;
    sim_queue_push(&sim->queue,
                   (struct sim_event){.at = sim->now_us + 1 + sim_about(&sim->rng, WAY_US),
                                      .who = a->number,
                                      .kind = SIM_EV_ANSWER,
                                      .arg = request,
                                      .attempt = attempt,
                                      .body = words});
}

/* ---- at the client ---- */

static void acknowledge(struct sim *sim, uint32_t request, uint64_t job)
{
    struct sim_request *seen = &sim->asks[request].seen;
    if (seen->job != 0 && seen->job != job) {
        sim_check_fail(&sim->check, "one key, two jobs: %" PRIu64 " and %" PRIu64, seen->job, job);
    }
    if (seen->job == 0) {
        sim->counts.acknowledged++;
        sim->asks[request].acked_us = sim->now_us;
        sim_reads_begin(sim, request, job);
        sim_check_ack(&sim->check, request, job);
        sim_note(sim, SIM_NOTE_JOB, "job %" PRIu64 " is acknowledged by %s", job,
                 sim_name(sim->asks[request].agent));
    }
    *seen = (struct sim_request){.done = true, .job = job, .answers = seen->answers + 1};
}

static void refused(struct sim *sim, uint32_t request, enum sh_err err)
{
    struct sim_ask *q = &sim->asks[request];
    q->waiting = false;
    q->seen.err = err;
    q->seen.answers++;
    q->seen.done = !q->retry;
    sim_note(sim, SIM_NOTE_CLIENT, "%s answers a submit: %s", sim_name(q->agent), sh_err_name(err));
    if (q->retry) {
        sim_queue_push(&sim->queue, (struct sim_event){.at = sim->now_us + SIM_RETRY_US,
                                                       .kind = SIM_EV_RETRY,
                                                       .arg = request,
                                                       .attempt = q->attempt});
    }
}

void sim_client_told(struct sim *sim, uint32_t request, uint32_t attempt, enum sh_err err,
                     uint64_t job)
{
    const struct sim_ask *q = &sim->asks[request];
    if (err == SH_OK) {
        acknowledge(sim, request, job);
    } else if (!q->seen.done && q->waiting && q->attempt == attempt) {
        refused(sim, request, err);
    }
}

void sim_client_timer(struct sim *sim, uint32_t request, uint32_t attempt)
{
    struct sim_ask *q = &sim->asks[request];
    if (q->seen.done || q->attempt != attempt) {
        return;
    }
    if (!q->retry) {
        refused(sim, request, SH_ERR_UNREACHABLE);
        return;
    }
    q->seen.err = q->waiting ? SH_ERR_UNREACHABLE : q->seen.err;
    ask(sim, request, (uint32_t)sh_rng_below(&sim->rng, sim->agent_count));
}
