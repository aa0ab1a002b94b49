/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be seen of a world from outside. */
#include "sim/parts.h"

#include <inttypes.h>
#include <stdio.h>

uint32_t sim_agents(const struct sim *sim)
{
    return sim->agent_count;
}

static enum sim_face face_of(const struct sim_agent *a, const struct raft_status *raft)
{
    static const enum sim_face FACES[] = {[RAFT_FOLLOWER] = SIM_FOLLOWER,
                                          [RAFT_PRE_CANDIDATE] = SIM_CANDIDATE,
                                          [RAFT_CANDIDATE] = SIM_CANDIDATE,
                                          [RAFT_LEADER] = SIM_LEADER};
    if (!a->up) {
        return SIM_DOWN;
    }
    if (a->paused) {
        return SIM_PAUSED;
    }
    if (a->raft == NULL) {
        return SIM_DORMANT;
    }
    return raft->promotable || raft->role == RAFT_LEADER ? FACES[raft->role] : SIM_LEARNER;
}

enum sim_face sim_face(const struct sim *sim, uint32_t agent)
{
    const struct sim_agent *a = sim->agents[agent];
    struct raft_status raft = {0};
    if (a->raft != NULL) {
        raft_status(a->raft, &raft);
    }
    return face_of(a, &raft);
}

static uint64_t state_digest(const struct sim_agent *a)
{
    uint64_t digest = jobs_digest(fsm_begin(a->fsm));
    fsm_abort(a->fsm);
    return digest;
}

static uint32_t agent_of(const struct sim *sim, uint64_t handle)
{
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if (sim->agents[i]->identity.handle == handle) {
            return i;
        }
    }
    return SIM_AGENTS_MAX;
}

struct sim_agent_view sim_look(const struct sim *sim, uint32_t agent)
{
    const struct sim_agent *a = sim->agents[agent];
    const struct sim_view *v = &sim->check.views[agent];
    struct raft_status raft = {0};
    if (a->raft != NULL) {
        raft_status(a->raft, &raft);
    }
    struct sim_agent_view out = {.face = face_of(a, &raft), .handle = a->identity.handle};
    if (!a->up) {
        return out;
    }
    uint64_t members[RAFT_PEERS_MAX];
    out.voter = raft_conf_voter(&raft.conf, raft.id);
    out.voters = raft.conf.voter_count;
    out.members = raft_conf_members(&raft.conf, members);
    out.leader_known = a->leader != 0 && agent_of(sim, a->leader) < SIM_AGENTS_MAX;
    out.leader = out.leader_known ? agent_of(sim, a->leader) : 0;
    out.term = raft.term;
    out.commit = raft.commit;
    out.applied = a->apply.applied;
    out.last_index = raft.last_index;
    out.log_digest = v->live.at[v->live.last].chain;
    out.state_digest = state_digest(a);
    return out;
}

bool sim_local_read(const struct sim *sim, uint32_t agent, uint32_t *jobs)
{
    const struct sim_agent *a = sim->agents[agent];
    struct jobs_counts counts;
    if (!sim_runs(a)) {
        return false;
    }
    struct fsm_view *view;
    if (fsm_view_open(a->fsm, &view) != SH_OK) {
        return false;
    }
    bool ok = jobs_counts_get(fsm_view_table(view), &counts) == SH_OK;
    *jobs = counts.jobs;
    fsm_view_close(view);
    return ok;
}

struct sim_counts sim_counts(const struct sim *sim)
{
    struct sim_counts out = sim->counts;
    out.elections = sim->check.elections;
    out.committed_index = sim->check.last;
    out.completed = sim->check.completed;
    out.units = sim->check.units;
    uint64_t applied = 0;
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        const struct sim_agent *a = sim->agents[i];
        if (a->up && a->apply.applied >= applied) {
            applied = a->apply.applied;
            out.state = state_digest(a);
        }
    }
    return out;
}

bool sim_leader(const struct sim *sim, uint32_t *agent)
{
    uint64_t term = 0;
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        const struct sim_agent *a = sim->agents[i];
        if (sim_runs(a) && a->raft != NULL && a->role == RAFT_LEADER && a->term > term) {
            term = a->term;
            *agent = i;
        }
    }
    return term > 0;
}

static const char *say(struct sim *sim, const char *format, const char *who, uint64_t number)
{
    (void)snprintf(sim->text, sizeof sim->text, "%s%s%" PRIu64, format, who, number);
    return sim->text;
}

static bool of_core(const struct sim *sim, uint32_t agent)
{
    return (sim->core >> agent & 1) != 0;
}

static const char *differs(struct sim *sim, uint32_t leader)
{
    struct sim_agent_view first = sim_look(sim, leader);
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if (!of_core(sim, i)) {
            continue;
        }
        struct sim_agent_view v = sim_look(sim, i);
        if (v.face == SIM_DOWN || v.face == SIM_PAUSED || v.face == SIM_DORMANT) {
            return say(sim, "not taking part: ", sim_name(i), 0);
        }
        if (!v.leader_known || v.leader != leader) {
            return say(sim, "follows nobody or somebody else: ", sim_name(i), v.term);
        }
        if (v.last_index != first.last_index || v.log_digest != first.log_digest) {
            return say(sim, "the log differs: ", sim_name(i), v.last_index);
        }
        if (v.applied != v.last_index || v.state_digest != first.state_digest) {
            return say(sim, "not everything is applied: ", sim_name(i), v.applied);
        }
    }
    return "";
}

const char *sim_unconverged(struct sim *sim)
{
    uint32_t leader;
    if (!sim_leader(sim, &leader)) {
        return "nobody leads";
    }
    for (uint32_t i = 0; i < sim->ask_count; i++) {
        if (sim->asks[i].retry && !sim->asks[i].seen.done) {
            return say(sim, "a client waits: request ", "", i);
        }
    }
    if (sim->check.completed < sim->check.jobs) {
        return say(sim, "jobs not completed: ", "", sim->check.jobs - sim->check.completed);
    }
    return differs(sim, leader);
}

bool sim_converged(const struct sim *sim)
{
    uint32_t leader;
    if (sim->check.completed < sim->check.jobs || !sim_leader(sim, &leader)) {
        return false;
    }
    for (uint32_t i = 0; i < sim->ask_count; i++) {
        if (sim->asks[i].retry && !sim->asks[i].seen.done) {
            return false;
        }
    }
    uint64_t index = sim->check.last;
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        const struct sim_agent *a = sim->agents[i];
        if (!of_core(sim, i)) {
            continue;
        }
        if (!sim_runs(a) || a->raft == NULL || a->leader != sim->agents[leader]->handle ||
            a->apply.applied != index || sim->check.views[i].live.last != index) {
            return false;
        }
    }
    /* The whole comparison only where the cheap one says yes. */
    struct sim_agent_view first = sim_look(sim, leader);
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if (!of_core(sim, i)) {
            continue;
        }
        struct sim_agent_view v = sim_look(sim, i);
        if (v.log_digest != first.log_digest || v.state_digest != first.state_digest) {
            return false;
        }
    }
    return true;
}
