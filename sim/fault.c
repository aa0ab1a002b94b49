/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/fault.h"

#include "sim/parts.h"

#include <stdio.h>
#include <string.h>

#define RECENT_US  UINT64_C(5000000)  /* so long a passing fault counts as in force */
#define NOTICED_US UINT64_C(20000000) /* by then gossip and the planner know of a lost disk */

const char *sim_gap_name(enum sim_gap gap)
{
    static const char *const NAMES[SIM_GAP_COUNT] = {
        "stepped",   "elected",   "submitted", "sent",        "vote-asked", "vote-kept",
        "durable",   "released",  "applying",  "staged",      "applied",    "replying",
        "conf-step", "conf-kept", "handle",    "handle-kept", "boot",       "compacting",
        "compacted", "served",    "pulled",    "fetched",     "installing", "installed"};
    return NAMES[gap];
}

const char *sim_fault_name(enum sim_fault fault)
{
    static const char *const NAMES[SIM_FAULT_COUNT] = {
        "kill",  "power",     "torn",  "disk-fails", "slow-disk", "rot",       "wipe",
        "pause", "leave",     "stall", "jump",       "drift",     "partition", "one-way",
        "clog",  "slow-link", "loss",  "duplicate",  "reorder"};
    return NAMES[fault];
}

static const char *loss_name(enum sim_loss_kind kind)
{
    static const char *const NAMES[] = {
        [SIM_KILL] = "kill", [SIM_POWER] = "crash", [SIM_TORN] = "tear"};
    return NAMES[kind];
}

/* ---- what is in force ---- */

static bool any_link(const struct sim *sim, enum sim_fault fault)
{
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        for (uint32_t k = 0; k < sim->agent_count; k++) {
            const struct sim_link *l = &sim->links[i][k];
            bool back = sim->links[k][i].cut;
            if ((fault == SIM_FAULT_PARTITION && l->cut && back) ||
                (fault == SIM_FAULT_ONE_WAY && l->cut && !back) ||
                (fault == SIM_FAULT_CLOG && l->clogged_us > sim->now_us) ||
                (fault == SIM_FAULT_SLOW_LINK && l->extra_us > 0)) {
                return true;
            }
        }
    }
    return false;
}

static bool recent(const struct sim *sim, uint64_t at_us)
{
    return at_us != 0 && sim->now_us - at_us < RECENT_US;
}

static bool strikes(const struct sim *sim, const struct sim_agent *a, enum sim_fault fault)
{
    switch ((int)fault) {
    case SIM_FAULT_DISK_FAILS:
        return kv_mem_armed(a->kv) || a->disk.failed;
    case SIM_FAULT_SLOW_DISK:
        return a->disk.extra_us > 0;
    case SIM_FAULT_ROT:
        return a->rotten;
    case SIM_FAULT_WIPE:
        return a->wipes > 0 && (a->handle == 0 || recent(sim, a->wiped_us));
    case SIM_FAULT_PAUSE:
        return a->paused;
    case SIM_FAULT_LEAVE:
        return a->leave_us != 0;
    case SIM_FAULT_STALL:
        return a->clock.from_world > sim->now_us;
    case SIM_FAULT_JUMP:
        return recent(sim, a->jumped_us);
    default:
        return a->clock.ppm != 0;
    }
}

static bool in_force(const struct sim *sim, enum sim_fault fault, enum sim_loss_kind kind)
{
    switch (fault) {
    case SIM_FAULT_KILL:
        return kind == SIM_KILL;
    case SIM_FAULT_POWER:
        return kind == SIM_POWER;
    case SIM_FAULT_TORN:
        return kind == SIM_TORN;
    case SIM_FAULT_PARTITION:
    case SIM_FAULT_ONE_WAY:
    case SIM_FAULT_CLOG:
    case SIM_FAULT_SLOW_LINK:
        return any_link(sim, fault);
    case SIM_FAULT_LOSS:
        return sim->options.net.loss_ppm > 0;
    case SIM_FAULT_DUPLICATE:
        return sim->options.net.duplicate_ppm > 0;
    case SIM_FAULT_REORDER:
        return recent(sim, sim->overtaken_us);
    case SIM_FAULT_DISK_FAILS:
    case SIM_FAULT_SLOW_DISK:
    case SIM_FAULT_ROT:
    case SIM_FAULT_WIPE:
    case SIM_FAULT_PAUSE:
    case SIM_FAULT_LEAVE:
    case SIM_FAULT_STALL:
    case SIM_FAULT_JUMP:
    case SIM_FAULT_DRIFT:
        for (uint32_t i = 0; i < sim->agent_count; i++) {
            if (strikes(sim, sim->agents[i], fault)) {
                return true;
            }
        }
        return false;
    case SIM_FAULT_COUNT:
        break;
    }
    SH_UNREACHABLE();
}

struct sim_coverage sim_coverage(const struct sim *sim)
{
    return sim->coverage;
}

/* ---- crashes ---- */

void sim_crash(struct sim *sim, uint32_t agent, enum sim_loss_kind kind)
{
    struct sim_agent *a = sim->agents[agent];
    if (!a->up) {
        return;
    }
    sim_act(sim, "%s %s", loss_name(kind), sim_name(agent));
    sim->counts.crashes++;
    if (kind == SIM_KILL) {
        sim_say_down(sim, agent); /* a machine without power says nothing */
    }
    sim_agent_end(sim, a);
    sim_disk_crash(sim, a, kind);
    sim_note(sim, SIM_NOTE_FAULT, kind == SIM_KILL ? "%s is killed" : "%s loses power",
             sim_name(agent));
}

void sim_crash_in(struct sim *sim, uint32_t agent, enum sim_loss_kind kind, enum sim_gap gap)
{
    struct sim_agent *a = sim->agents[agent];
    sim_act(sim, "%s %s in %s", loss_name(kind), sim_name(agent), sim_gap_name(gap));
    a->armed = true;
    a->armed_gap = gap;
    a->doom_kind = kind;
}

bool sim_gap(struct sim *sim, struct sim_agent *a, enum sim_gap gap)
{
    if (a->doomed || !a->armed || a->armed_gap != gap) {
        return a->doomed;
    }
    a->armed = false;
    a->doomed = true;
    for (enum sim_fault f = SIM_FAULT_KILL; f < SIM_FAULT_COUNT; f++) {
        sim->coverage.pairs[f][gap] += in_force(sim, f, a->doom_kind);
    }
    sim_note(sim, SIM_NOTE_FAULT, "%s dies in the gap '%s'", sim_name(a->number),
             sim_gap_name(gap));
    return true;
}

void sim_reap(struct sim *sim, struct sim_agent *a)
{
    if (a->doomed) {
        bool acting = sim->acting;
        sim->acting = false; /* it was written down when it was armed */
        a->doomed = false;
        sim_crash(sim, a->number, a->doom_kind);
        sim->acting = acting;
    }
}

void sim_leave(struct sim *sim, uint32_t agent)
{
    struct sim_agent *a = sim->agents[agent];
    if (sim_runs(a) && a->leave_us == 0) {
        sim_act(sim, "leave %s", sim_name(agent));
        a->leave_us = sim_local(sim, a);
        sim_note(sim, SIM_NOTE_FAULT, "%s is leaving", sim_name(agent));
        sim_planner_wake(sim, a);
        sim_agent_leave(sim, a);
        sim_reap(sim, a);
    }
}

void sim_transfer(struct sim *sim, uint32_t to)
{
    uint32_t leader;
    sim_act(sim, "transfer %s", sim_name(to));
    if (sim_leader(sim, &leader) && sim->agents[to]->identity.handle != 0) {
        struct sim_agent *a = sim->agents[leader];
        struct raft_event event = {.type = RAFT_TRANSFER, .peer = sim->agents[to]->identity.handle};
        sim_note(sim, SIM_NOTE_FAULT, "%s is to hand over to %s", sim_name(leader), sim_name(to));
        sim_replica_step(sim, a, &event);
        sim_reap(sim, a);
        if (a->up) {
            sim_agent_arm(sim, a);
        }
    }
}

void sim_restart(struct sim *sim, uint32_t agent)
{
    if (!sim->agents[agent]->up && !sim->agents[agent]->quarantined) {
        sim_act(sim, "restart %s", sim_name(agent));
        sim_note(sim, SIM_NOTE_FAULT, "%s starts again", sim_name(agent));
        sim_agent_start(sim, sim->agents[agent]);
    }
}

void sim_pause(struct sim *sim, uint32_t agent)
{
    struct sim_agent *a = sim->agents[agent];
    if (sim_runs(a)) {
        sim_act(sim, "pause %s", sim_name(agent));
        a->paused = true;
        sim_note(sim, SIM_NOTE_FAULT, "%s is paused", sim_name(agent));
    }
}

void sim_resume(struct sim *sim, uint32_t agent)
{
    struct sim_agent *a = sim->agents[agent];
    if (!a->up || !a->paused) {
        return;
    }
    sim_act(sim, "resume %s", sim_name(agent));
    a->paused = false;
    sim_note(sim, SIM_NOTE_FAULT, "%s goes on", sim_name(agent));
    for (uint32_t i = 0; i < a->backlog_count; i++) {
        struct sim_event event = a->backlog[i];
        if (event.kind == SIM_EV_TIMER) {
            continue; /* armed anew below */
        }
        event.at = sim->now_us;
        if (event.kind == SIM_EV_MESSAGE) {
            const struct sim_msg *msg = event.body;
            sim->links[msg->from][msg->to].on_the_way++;
        }
        sim_queue_push(&sim->queue, event);
    }
    a->backlog_count = 0;
    a->timer_at = UINT64_MAX;
    sim_agent_arm(sim, a);
}

/* ---- lost for good ---- */

static bool lost(const struct sim *sim, uint32_t agents, uint32_t agent)
{
    return sim->agents[agent]->rotten || (agents >> agent & 1) != 0;
}

/* Whose disk is rotten counts even where it does not vote: it may be made a voter before it finds
 * out. So does who has just lost its disk, before others find out. */
static bool keeps(const struct sim *sim, uint32_t agents, const uint64_t *voters, uint32_t count)
{
    uint32_t good = 0;
    uint32_t bad = 0;
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        const struct sim_agent *a = sim->agents[i];
        bool unnoticed = a->wiped_us != 0 && sim->now_us - a->wiped_us < NOTICED_US;
        bad += lost(sim, agents, i) || unnoticed;
    }
    for (uint32_t v = 0; v < count; v++) {
        bool known = false;
        for (uint32_t i = 0; i < sim->agent_count; i++) {
            known = known || sim->agents[i]->identity.handle == voters[v];
            good += sim->agents[i]->identity.handle == voters[v] && !lost(sim, agents, i);
        }
        bad += !known; /* nobody is that any more */
    }
    return 2 * good > count && 2 * bad < count;
}

bool sim_may_lose(const struct sim *sim, uint32_t agents)
{
    bool any = false;
    if (sim->conf_index > sim->check.applied) {
        return false; /* a change is on its way, and perhaps in force already */
    }
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        const struct raft_conf *conf = &sim->agents[i]->conf;
        if (conf->voter_count == 0) {
            continue;
        }
        any = true;
        if (!keeps(sim, agents, conf->voters, conf->voter_count) ||
            (conf->outgoing_count > 0 &&
             !keeps(sim, agents, conf->outgoing, conf->outgoing_count))) {
            return false;
        }
    }
    return any;
}

void sim_wipe(struct sim *sim, uint32_t agent)
{
    struct sim_agent *a = sim->agents[agent];
    bool acting = sim->acting;
    sim_act(sim, "wipe %s", sim_name(agent));
    sim->acting = false;
    sim_crash(sim, agent, SIM_KILL);
    sim->acting = acting;
    sim_agent_wipe(sim, a);
    sim_note(sim, SIM_NOTE_FAULT, "%s has a new disk and is a stranger", sim_name(agent));
}

bool sim_rot(struct sim *sim, uint32_t agent, uint64_t where)
{
    struct sim_agent *a = sim->agents[agent];
    sim_act(sim, "rot %s %llu", sim_name(agent), (unsigned long long)where);
    if (a->identity.handle == 0 || !sim_agent_rot(a, where)) {
        return false;
    }
    a->rotten = true;
    sim_note(sim, SIM_NOTE_FAULT, "a record of %s rots", sim_name(agent));
    return true;
}

/* ---- links ---- */

void sim_split(struct sim *sim, uint32_t agents, bool one_way)
{
    char names[2 * SIM_AGENTS_MAX + 1];
    uint32_t used = 0;
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        bool in = (agents >> i & 1) != 0;
        for (uint32_t k = 0; k < sim->agent_count; k++) {
            if (in && (agents >> k & 1) == 0) {
                sim->links[i][k].cut = true;
                sim->links[k][i].cut = !one_way;
            }
        }
        if (in) {
            names[used++] = sim_name(i)[0];
            names[used++] = ' ';
        }
    }
    names[used > 0 ? used - 1 : 0] = '\0';
    if (used > 0) {
        sim_act(sim, "%s %s", one_way ? "mute" : "isolate", names);
        sim_note(sim, SIM_NOTE_FAULT, one_way ? "%s: heard by nobody outside" : "%s: cut off",
                 names);
    }
}

void sim_mend(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        for (uint32_t k = 0; k < sim->agent_count; k++) {
            struct sim_link *l = &sim->links[i][k];
            l->cut = false;
            l->extra_us = 0;
            l->clogged_us = 0;
        }
    }
    sim_act(sim, "mend");
    sim_note(sim, SIM_NOTE_FAULT, "all links are whole");
}

void sim_cut(struct sim *sim, uint32_t from, uint32_t to, bool cut)
{
    SH_CHECK(from != to);
    sim_act(sim, "%s %s -> %s", cut ? "cut" : "heal", sim_name(from), sim_name(to));
    sim->links[from][to].cut = cut;
}

void sim_slow_link(struct sim *sim, uint32_t a, uint32_t b, uint64_t extra_us)
{
    SH_CHECK(a != b);
    sim_act(sim, "slow-link %s %s %lluus", sim_name(a), sim_name(b), (unsigned long long)extra_us);
    sim->links[a][b].extra_us = extra_us;
    sim->links[b][a].extra_us = extra_us;
}

void sim_clog(struct sim *sim, uint32_t from, uint32_t to, uint64_t for_us)
{
    SH_CHECK(from != to);
    sim_act(sim, "clog %s %s %lluus", sim_name(from), sim_name(to), (unsigned long long)for_us);
    sim->links[from][to].clogged_us = sim->now_us + for_us;
    sim_note(sim, SIM_NOTE_FAULT, "from %s to %s nothing comes through for %llu ms", sim_name(from),
             sim_name(to), (unsigned long long)(for_us / 1000));
}

/* ---- disks ---- */

void sim_slow_disk(struct sim *sim, uint32_t agent, uint64_t extra_us)
{
    sim_act(sim, "slow-disk %s %lluus", sim_name(agent), (unsigned long long)extra_us);
    sim->agents[agent]->disk.extra_us = extra_us;
}

void sim_fail_disk(struct sim *sim, uint32_t agent, bool torn)
{
    struct sim_agent *a = sim->agents[agent];
    if (a->up) {
        sim_act(sim, "fail-disk %s%s", sim_name(agent), torn ? " torn" : "");
        kv_mem_fail(a->kv, 1, SH_ERR_IO, torn);
        a->disk.torn = torn;
    }
}

void sim_lying_disk(struct sim *sim, uint32_t agent)
{
    sim->agents[agent]->disk.lying = true;
}

/* ---- and back ---- */

static void heal_agent(struct sim *sim, uint32_t agent)
{
    struct sim_agent *a = sim->agents[agent];
    if (a->clock.ppm != 0) {
        sim_drift_clock(sim, agent, 0);
    }
    a->armed = false;
    sim_slow_disk(sim, agent, 0);
    kv_mem_fail(a->kv, 0, SH_ERR_IO, false); /* disarmed */
    sim_resume(sim, agent);
    if (a->quarantined) {
        sim_wipe(sim, agent);
    }
    sim_restart(sim, agent);
}

void sim_heal(struct sim *sim, uint32_t agents)
{
    bool acting = sim->acting;
    sim->acting = false;
    sim->options.net.loss_ppm = 0;
    sim->options.net.duplicate_ppm = 0;
    sim->core = agents;
    sim_mend(sim);
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if ((agents >> i & 1) == 0) {
            sim_crash(sim, i, SIM_KILL);
        }
    }
    for (uint32_t i = 0; i < sim->agent_count; i++) {
        if ((agents >> i & 1) != 0) {
            heal_agent(sim, i);
        }
    }
    sim->acting = acting;
}
