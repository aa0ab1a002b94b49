/* SPDX-License-Identifier: Apache-2.0
 *
 * What people ask for while jobs run: some are paused and go on, some are to have more or fewer
 * units, settings change, agents are drained and are not. Each follows from the tables and the
 * term alone, so that a storm that is played again has the same ones. The coordinator proposes
 * them in its passes, as if it had been asked. */
#include "sim/parts.h"

#include "jobs/config.h"

#include <stdio.h>
#include <string.h>

#define GRACE_US    UINT64_C(2000000) /* of a unit that is to give way */
#define KINDS       8u                /* a job in so many has one of these wishes */
#define EVENTS_MAX  12u               /* in whose history there are more of has no further ones */
#define UNITS_MOST  6u                /* that a job is to have */
#define DRAIN_TERMS 3u                /* in one term of so many an agent is drained for a while */

enum { PAUSED = 0, RESIZED = 1 };

static void pause_or_resume(struct sim *sim, struct sim_agent *a, const struct jobs_job *job)
{
    struct jobs_cmd *cmd = &sim->scratch->cmd;
    if (job->state == JOBS_PAUSED) {
        *cmd = (struct jobs_cmd){.type = JOBS_RESUME, .u.resume.job = job->id};
        sim_propose_plainly(sim, a, cmd);
    } else if (job->state == JOBS_RUNNING && job->event_next < EVENTS_MAX) {
        *cmd = (struct jobs_cmd){.type = JOBS_PAUSE};
        cmd->u.pause = (struct jobs_pause){.job = job->id, .grace_us = GRACE_US};
        sim_propose_plainly(sim, a, cmd);
    }
}

static void resize(struct sim *sim, struct sim_agent *a, const struct jobs_job *job)
{
    struct jobs_cmd *cmd = &sim->scratch->cmd;
    uint32_t units = (uint32_t)(1 + sh_mix64(job->id + job->target) % UNITS_MOST);
    bool sensible = job->kind == WIRE_KIND_NOOP && job->cause == WIRE_CAUSE_NONE &&
                    units != job->target && units >= job->units_in[JOBS_COMPLETED];
    if (sensible && job->event_next < EVENTS_MAX) {
        *cmd = (struct jobs_cmd){.type = JOBS_RESIZE};
        cmd->u.resize = (struct jobs_resize){.job = job->id, .has_units = true, .units = units};
        sim_propose_plainly(sim, a, cmd);
    }
}

static void wish_of_jobs(struct sim *sim, struct sim_agent *a, const struct sh_table *table)
{
    struct sim_scratch *s = sim->scratch;
    struct jobs_job job = {.id = 0};
    uint32_t gangs = 0;
    uint32_t count = 0;
    SH_CHECK(jobs_gang_list(table, (struct wire_unit){0}, s->units, SIM_UNITS_MAX, &gangs) ==
             SH_OK);
    SH_CHECK(jobs_waiting_list(table, (struct wire_unit){0}, s->units + gangs,
                               SIM_UNITS_MAX - gangs, &count) == SH_OK);
    count += gangs;
    for (uint32_t i = 0; i < count && a->role == RAFT_LEADER; i++) {
        uint64_t id = s->units[i].id.job;
        uint64_t kind = sh_mix64(id) % KINDS;
        if (id == job.id || kind > RESIZED) {
            continue;
        }
        SH_CHECK(jobs_job_get(table, id, &job) == SH_OK);
        if (kind == PAUSED) {
            pause_or_resume(sim, a, &job);
        } else {
            resize(sim, a, &job);
        }
    }
}

/* One setting a term; nobody here is bound by it. */
static void wish_of_settings(struct sim *sim, struct sim_agent *a, const struct sh_table *table)
{
    static const char KEY[] = "quota.sim";
    struct jobs_cmd *cmd = &sim->scratch->cmd;
    uint64_t wanted = 1 + a->term % 7;
    uint64_t value = 0;
    if (jobs_setting_get(table, KEY, &value) == SH_OK && value == wanted) {
        return;
    }
    *cmd = (struct jobs_cmd){.type = JOBS_CONFIG_SET};
    cmd->u.config_set.count = 1;
    memcpy(cmd->u.config_set.at[0].key, KEY, sizeof KEY);
    cmd->u.config_set.at[0].value = wanted;
    sim_propose_plainly(sim, a, cmd);
}

static void mark(struct sim *sim, struct sim_agent *a, const struct jobs_node *node,
                 enum jobs_mark what)
{
    struct jobs_cmd *cmd = &sim->scratch->cmd;
    *cmd = (struct jobs_cmd){.type = JOBS_NODE_MARK};
    memcpy(cmd->u.node_mark.node, node->id, SH_NODE_ID_BYTES);
    cmd->u.node_mark.mark = what;
    sim_propose_plainly(sim, a, cmd);
}

/* Who is drained gets work again in the next pass; one agent a term, in some. */
static void wish_of_agents(struct sim *sim, struct sim_agent *a, const struct sh_table *table)
{
    struct jobs_node rows[SIM_NODES_MAX];
    uint32_t count = 0;
    SH_CHECK(jobs_node_list(table, NULL, rows, SIM_NODES_MAX, &count) == SH_OK);
    bool drained = false;
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i].draining) {
            mark(sim, a, &rows[i], JOBS_MARK_UNDRAIN);
            drained = true;
        }
    }
    bool due = a->planner.drained_term != a->term && a->term % DRAIN_TERMS == 0 && count > 0;
    if (due && !drained) {
        a->planner.drained_term = a->term;
        mark(sim, a, &rows[sh_mix64(a->term) % count], JOBS_MARK_DRAIN);
    }
}

void sim_wish_pass(struct sim *sim, struct sim_agent *a, const struct sh_table *table)
{
    wish_of_jobs(sim, a, table);
    wish_of_settings(sim, a, table);
    wish_of_agents(sim, a, table);
}
