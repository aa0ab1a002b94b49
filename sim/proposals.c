/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands of an agent on their way through the log, as agent/proposals.c and service_propose: sent
 * to the coordinator again and again until this agent has applied them or the deadline passes. */
#include "sim/parts.h"

#include <stdlib.h>
#include <string.h>

static void settle_due(struct sim_agent *a)
{
    a->proposals_due_us = UINT64_MAX;
    for (uint32_t i = 0; i < SIM_PROPOSALS_MAX; i++) {
        const struct sim_proposal *p = &a->proposals[i];
        if (p->number != 0) {
            uint64_t at = p->resend_us < p->deadline_us ? p->resend_us : p->deadline_us;
            a->proposals_due_us = at < a->proposals_due_us ? at : a->proposals_due_us;
        }
    }
}

/* Numbers say whose they are: agents have no session here, so that what makes a command safe to
 * repeat without one (keys, fences) is what is examined. */
static size_t seal(struct sim *sim, uint64_t number, const struct jobs_cmd *cmd)
{
    struct sh_writer w = sh_writer_over(sim->scratch->command, sizeof sim->scratch->command);
    SH_CHECK(jobs_cmd_encode(cmd, &w) == SH_OK);
    SH_CHECK(jobs_cmd_sign(sim->scratch->command, w.used, 0, number));
    return w.used;
}

/* Proposes here or sends it to whoever leads. bytes are stamped in place. */
static void post(struct sim *sim, struct sim_agent *a, uint8_t *bytes, size_t size)
{
    enum sh_err err = sim_replica_propose(sim, a, bytes, size);
    const struct sim_agent *leader = sim_by_handle(sim, a->leader);
    if (err == SH_ERR_NOT_LEADER && leader != NULL && leader != a) {
        /* Lost, refused or FULL: its origin sends it again. */
        (void)sim_send(sim, a->number, leader->number, SIM_PROPOSE, bytes, size);
    }
}

void sim_propose_plainly(struct sim *sim, struct sim_agent *a, const struct jobs_cmd *cmd)
{
    post(sim, a, sim->scratch->command, seal(sim, 0, cmd));
}

bool sim_propose(struct sim *sim, struct sim_agent *a, enum sim_source source, uint32_t request,
                 uint32_t attempt, const struct jobs_cmd *cmd, uint64_t timeout_us)
{
    uint32_t place = 0;
    while (place < SIM_PROPOSALS_MAX && a->proposals[place].number != 0) {
        place++;
    }
    if (place == SIM_PROPOSALS_MAX) {
        return false;
    }
    struct sim_proposal *p = &a->proposals[place];
    uint64_t now = sim_local(sim, a);
    a->proposal_next += a->proposal_next == UINT64_MAX ? 2 : 1;
    size_t size = seal(sim, a->proposal_next, cmd);
    *p = (struct sim_proposal){.number = a->proposal_next,
                               .source = source,
                               .request = request,
                               .attempt = attempt,
                               .resend_us = now + SIM_RESEND_US,
                               .pause_us = SIM_RESEND_US,
                               .deadline_us = now + timeout_us,
                               .size = (uint32_t)size};
    p->bytes = malloc(size);
    SH_CHECK(p->bytes != NULL);
    memcpy(p->bytes, sim->scratch->command, size);
    settle_due(a);
    post(sim, a, p->bytes, size);
    return true;
}

static void answer(struct sim *sim, struct sim_agent *a, struct sim_proposal *p, enum sh_err err,
                   uint64_t job)
{
    struct sim_proposal was = *p;
    free(p->bytes);
    *p = (struct sim_proposal){0};
    settle_due(a);
    if (was.source == SIM_FROM_CLIENT) {
        sim_client_answer(sim, a, was.request, was.attempt, err, job);
    } else {
        sim_work_answer(sim, a, was.request, was.attempt, err);
    }
}

void sim_proposals_done(struct sim *sim, struct sim_agent *a, const struct jobs_result *result)
{
    if (result->number == 0) {
        return;
    }
    for (uint32_t i = 0; i < SIM_PROPOSALS_MAX; i++) {
        if (a->proposals[i].number == result->number) {
            (void)sim_gap(sim, a, SIM_GAP_REPLYING); /* a doomed agent's answer goes nowhere */
            answer(sim, a, &a->proposals[i], result->err, result->unit.job);
            return;
        }
    }
}

void sim_proposals_receive(struct sim *sim, struct sim_agent *a, struct sh_span bytes)
{
    struct sim_scratch *s = sim->scratch;
    if (a->role == RAFT_LEADER && a->raft != NULL) {
        SH_CHECK_CMP(bytes.size, <=, sizeof s->command);
        memcpy(s->command, bytes.at, bytes.size);
        /* Refused: its origin sends it again. */
        if (sim_replica_propose(sim, a, s->command, bytes.size) != SH_OK) {
            sim_mix(sim, bytes.size);
        }
    }
}

void sim_proposals_kick(struct sim *sim, struct sim_agent *a)
{
    uint64_t now = sim_local(sim, a);
    for (uint32_t i = 0; i < SIM_PROPOSALS_MAX; i++) {
        a->proposals[i].resend_us = now;
    }
    settle_due(a);
}

void sim_proposals_tick(struct sim *sim, struct sim_agent *a)
{
    uint64_t now = sim_local(sim, a);
    if (a->proposals_due_us > now) {
        return;
    }
    for (uint32_t i = 0; i < SIM_PROPOSALS_MAX; i++) {
        struct sim_proposal *p = &a->proposals[i];
        if (p->number == 0) {
            continue;
        }
        if (p->deadline_us <= now) {
            answer(sim, a, p, a->leader != 0 ? SH_ERR_TIMEOUT : SH_ERR_NO_QUORUM, 0);
        } else if (p->resend_us <= now) {
            p->pause_us = p->pause_us < SIM_RESEND_MAX_US ? 2 * p->pause_us : p->pause_us;
            p->resend_us = now + p->pause_us;
            post(sim, a, p->bytes, p->size);
        }
    }
    settle_due(a);
}

uint64_t sim_proposals_deadline(const struct sim_agent *a)
{
    return a->proposals_due_us;
}

void sim_proposals_clear(struct sim_agent *a)
{
    for (uint32_t i = 0; i < SIM_PROPOSALS_MAX; i++) {
        free(a->proposals[i].bytes);
        a->proposals[i] = (struct sim_proposal){0};
    }
    a->proposals_due_us = UINT64_MAX;
}
