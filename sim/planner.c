/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator's housekeeping, as agent/planner.c: admits agents, proposes who votes, places
 * units. Does nothing where the agent does not lead. */
#include "sim/parts.h"

#include <stdlib.h>
#include <string.h>

#define SIM_YIELD_US   UINT64_C(3000000) /* for a unit that is to give way */
#define SIM_YIELD_JOBS 4u                /* one job in so many has to, once */

enum { SIGNATURES_MAX = 8 };
enum { PASS_US = 2000 }; /* mean time from waking to the proposals of a pass */

void sim_planner_wake(struct sim *sim, struct sim_agent *a)
{
    if (!a->planner.waking && a->role == RAFT_LEADER) {
        a->planner.waking = true;
        sim_queue_push(&sim->queue,
                       (struct sim_event){.at = sim->now_us + 1 + sim_about(&sim->rng, PASS_US),
                                          .who = a->number,
                                          .life = a->life,
                                          .kind = SIM_EV_PLAN});
    }
}

uint64_t sim_planner_deadline(const struct sim_agent *a)
{
    bool idle = a->role != RAFT_LEADER || a->planner.waking;
    return idle ? UINT64_MAX : a->planner.pass_due_us;
}

/* Members that the core knows with their record, as the loop publishes them. */
static bool member_at(const struct sim_agent *a, uint32_t place, struct swim_member *m,
                      struct wire_node *node)
{
    if (!swim_at(a->swim, place, m) || m->meta_version == 0) {
        return false;
    }
    struct sh_reader r = sh_reader_over(m->meta.at, m->meta.size);
    return wire_node_decode(&r, node) == SH_OK && memcmp(node->id, m->id, SH_NODE_ID_BYTES) == 0;
}

static void admit(struct sim *sim, struct sim_agent *a, const struct sh_table *table)
{
    struct swim_member m;
    struct wire_node node;
    struct jobs_node row;
    for (uint32_t i = 0; i < swim_places(a->swim); i++) {
        if (!member_at(a, i, &m, &node) || m.state != SWIM_ALIVE ||
            jobs_node_get(table, node.id, &row) == SH_OK) {
            continue;
        }
        struct jobs_cmd *cmd = &sim->scratch->cmd;
        *cmd = (struct jobs_cmd){.type = JOBS_NODE_ADMIT};
        memcpy(cmd->u.node_admit.node, node.id, SH_NODE_ID_BYTES);
        memcpy(cmd->u.node_admit.name, node.name, sizeof node.name);
        memcpy(cmd->u.node_admit.addr, node.addr, sizeof node.addr);
        cmd->u.node_admit.bulk_port = node.bulk_port;
        sim_propose_plainly(sim, a, cmd);
    }
}

/* ---- who votes ---- */

static enum roles_presence presence_of(enum swim_state state)
{
    switch (state) {
    case SWIM_ALIVE:
    case SWIM_SUSPECT:
        return ROLES_ALIVE;
    case SWIM_LEFT:
        return ROLES_LEFT;
    case SWIM_DEAD:
    case SWIM_ABSENT:
        return ROLES_DEAD;
    }
    SH_UNREACHABLE();
}

static uint64_t since_of(struct sim_planner *p, const uint8_t *id, enum roles_presence now_is,
                         uint64_t now_us)
{
    for (uint32_t i = 0; i < p->presence_count; i++) {
        struct sim_presence *x = &p->presence[i];
        if (memcmp(x->id, id, SH_NODE_ID_BYTES) == 0) {
            if (x->presence != now_is) {
                x->presence = now_is;
                x->since_us = now_us;
            }
            return x->since_us;
        }
    }
    SH_CHECK_CMP(p->presence_count, <, SIM_NODES_MAX);
    struct sim_presence *x = &p->presence[p->presence_count++];
    *x = (struct sim_presence){.presence = now_is, .since_us = now_us};
    memcpy(x->id, id, SH_NODE_ID_BYTES);
    return now_us;
}

static uint64_t match_of(const struct raft_status *raft, uint64_t handle)
{
    if (handle == raft->id) {
        return raft->durable_index;
    }
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        if (raft->peers[i].id == handle) {
            return raft->peers[i].match;
        }
    }
    return 0;
}

static void carry_out(struct sim *sim, struct sim_agent *a, const struct roles_change *change)
{
    static const enum raft_change_type TYPES[] = {[ROLES_ADD_VOTER] = RAFT_ADD_VOTER,
                                                  [ROLES_ADD_LEARNER] = RAFT_ADD_LEARNER,
                                                  [ROLES_REMOVE] = RAFT_REMOVE};
    if (change->cause == ROLES_CAUSE_TRANSFER) {
        struct raft_event event = {.type = RAFT_TRANSFER, .peer = change->transfer_to};
        sim_replica_step(sim, a, &event);
        return;
    }
    if (change->op_count == 0) {
        return;
    }
    struct raft_conf_change raft = {.transition = RAFT_AUTO, .count = change->op_count};
    for (uint32_t i = 0; i < change->op_count; i++) {
        raft.changes[i] =
            (struct raft_change){.type = TYPES[change->ops[i].type], .id = change->ops[i].handle};
    }
    struct raft_event event = {.type = RAFT_PROPOSE_CONF, .change = &raft};
    sim_replica_step(sim, a, &event); /* refused: the next pass looks again */
}

/* A change that was proposed is on its way as long as the configuration is what it was then. */
static bool change_under_way(const struct sim_planner *p, const struct raft_conf *now,
                             uint64_t now_us)
{
    return p->changed_us != 0 && now_us - p->changed_us < SIM_PLAN_CHANGE_US &&
           raft_conf_equal(now, &p->changed_from);
}

static void plan_roles(struct sim *sim, struct sim_agent *a, const struct sh_table *table,
                       uint64_t now_us)
{
    struct jobs_node rows[SIM_NODES_MAX];
    struct roles_node nodes[SIM_NODES_MAX];
    struct raft_status raft;
    uint32_t count = 0;
    bool listed = false;
    raft_status(a->raft, &raft);
    if (change_under_way(&a->planner, &raft.conf, now_us)) {
        a->planner.pass_due_us = now_us + SIM_PLAN_PAUSE_US;
        return;
    }
    SH_CHECK(jobs_node_list(table, NULL, rows, SIM_NODES_MAX, &count) == SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        enum roles_presence now_is = presence_of(sim_gossip_state(a, rows[i].id));
        now_is = rows[i].handle == raft.id && a->leave_us != 0 ? ROLES_LEAVING : now_is;
        nodes[i] =
            (struct roles_node){.handle = rows[i].handle,
                                .presence = now_is,
                                .since_us = since_of(&a->planner, rows[i].id, now_is, now_us),
                                .match = match_of(&raft, rows[i].handle)};
        listed = listed || rows[i].handle == raft.id;
    }
    if (!listed) {
        return; /* its own admission is not applied yet */
    }
    struct roles_input input = {.now_us = now_us,
                                .leader = raft.id,
                                .last_index = raft.last_index,
                                .in_flight = raft_conf_joint(&raft.conf),
                                .nodes = nodes,
                                .node_count = count,
                                .voter_count = raft.conf.voter_count,
                                .learner_count = raft.conf.learner_count};
    memcpy(input.voters, raft.conf.voters, sizeof input.voters);
    memcpy(input.learners, raft.conf.learners,
           raft.conf.learner_count * sizeof raft.conf.learners[0]);
    struct roles_limits limits = roles_limits_default();
    struct roles_change change;
    roles_plan(&input, &limits, &a->planner.roles, &change);
    if (change.cause != ROLES_CAUSE_NONE && change.cause != ROLES_CAUSE_WISH) {
        a->planner.pass_due_us = now_us + SIM_PLAN_PAUSE_US;
    }
    if (change.op_count > 0 || change.cause == ROLES_CAUSE_TRANSFER) {
        a->planner.changed_us = now_us;
        a->planner.changed_from = raft.conf;
    }
    carry_out(sim, a, &change);
}

/* ---- placement ---- */

void sim_planner_open(struct sim_scratch *s)
{
    const struct place_capacity capacity = {
        .nodes = SIM_NODES_MAX, .units = SIM_UNITS_MAX, .signatures = SIGNATURES_MAX};
    size_t bytes = (place_bytes(&capacity) + 63) / 64 * 64;
    struct sh_arena arena;
    void *memory = aligned_alloc(64, bytes);
    SH_CHECK(memory != NULL);
    sh_arena_init(&arena, memory, bytes);
    s->place = place_init(&arena, &capacity);
    SH_CHECK((void *)s->place == memory); /* the first thing taken: what is to be freed */
}

static enum place_liveness liveness_of(enum swim_state state)
{
    static const enum place_liveness MAP[] = {[SWIM_ABSENT] = PLACE_DEAD,
                                              [SWIM_ALIVE] = PLACE_ALIVE,
                                              [SWIM_SUSPECT] = PLACE_SUSPECT,
                                              [SWIM_DEAD] = PLACE_DEAD,
                                              [SWIM_LEFT] = PLACE_LEFT};
    return MAP[state];
}

static uint64_t cluster_us(struct sim *sim, const struct sim_agent *a, const struct sh_table *table)
{
    struct jobs_counts counts;
    uint64_t wall = sim_wall(sim, a);
    SH_CHECK(jobs_counts_get(table, &counts) == SH_OK);
    return counts.stamp_us > wall ? counts.stamp_us : wall;
}

static uint32_t collect_units(struct sim *sim, const struct sh_table *table)
{
    struct sim_scratch *s = sim->scratch;
    uint32_t count = 0;
    uint32_t taken = 0;
    struct jobs_job job = {0};
    uint32_t gangs = 0;
    SH_CHECK(jobs_gang_list(table, (struct wire_unit){0}, s->units, SIM_UNITS_MAX, &gangs) ==
             SH_OK);
    SH_CHECK(jobs_waiting_list(table, (struct wire_unit){0}, s->units + gangs,
                               SIM_UNITS_MAX - gangs, &count) == SH_OK);
    count += gangs;
    for (uint32_t i = 0; i < count; i++) {
        const struct jobs_unit *u = &s->units[i];
        if (job.id != u->id.job) {
            SH_CHECK(jobs_job_get(table, u->id.job, &job) == SH_OK);
        }
        bool gang = u->state == JOBS_RUNNING || u->state == JOBS_STOPPING;
        bool yields = u->yield.cause != WIRE_CAUSE_NONE;
        if (!gang && job.paused) {
            continue;
        }
        struct place_unit *out = &s->place_units[taken++];
        *out = (struct place_unit){.unit = u->id,
                                   .running = u->state == JOBS_RUNNING && !yields,
                                   .stopping = u->state == JOBS_STOPPING || yields,
                                   .yields_until_us = u->yield.until_us,
                                   .priority = job.priority,
                                   .since_us = job.submit_us,
                                   .owner = UINT32_MAX,
                                   .need = job.need,
                                   .wants = {.commands = job.need.sandbox != WIRE_SANDBOX_OFF,
                                             .sandbox = (uint8_t)job.need.sandbox},
                                   .dataset = PLACE_NO_DATASET,
                                   .pinned = job.pinned,
                                   .placed_us = u->placed_us,
                                   .fence = u->placement.fence,
                                   .member_count = gang ? u->placement.member_count : 0};
        memcpy(out->class, job.class, WIRE_CLASS_BYTES);
        memcpy(out->members, u->placement.members, out->member_count * sizeof out->members[0]);
        struct jobs_trouble trouble;
        if (u->failures > 0 && jobs_trouble_get(table, u->id, &trouble) == SH_OK) {
            out->not_before_us = trouble.not_before_us;
        }
    }
    return taken;
}

static uint32_t collect_nodes(struct sim *sim, const struct sim_agent *a,
                              const struct sh_table *table)
{
    struct swim_member m;
    struct wire_node node;
    struct jobs_node row;
    uint32_t count = 0;
    for (uint32_t i = 0; i < swim_places(a->swim); i++) {
        if (!member_at(a, i, &m, &node) || jobs_node_get(table, m.id, &row) != SH_OK) {
            continue;
        }
        struct place_node *n = &sim->scratch->place_nodes[count++];
        *n = (struct place_node){.liveness = liveness_of(m.state),
                                 .draining = node.draining || row.draining,
                                 .cpus = node.cpus,
                                 .ram_bytes = node.ram_bytes,
                                 .slots = node.slots,
                                 .speed = node.speed,
                                 .commands = node.sandbox != WIRE_SANDBOX_OFF,
                                 .too_weak = node.sandbox < node.sandbox_min,
                                 .sandbox = (uint8_t)node.sandbox};
        memcpy(n->id, node.id, SH_NODE_ID_BYTES);
        memcpy(n->class, node.class, WIRE_CLASS_BYTES);
        memcpy(n->version, node.version, sizeof n->version);
        struct jobs_health health;
        if (jobs_health_get(table, n->id, &health) == SH_OK) {
            /* Simulated agents have nothing to test. */
            n->quarantined_until_us = health.until_us;
            n->parole = jobs_health_on_trial(&health, cluster_us(sim, a, table));
            n->failures_milli = jobs_health_score(&health, cluster_us(sim, a, table));
        }
    }
    return count;
}

static uint32_t collect_reports(struct sim *sim, const struct sim_planner *p, uint64_t now_us)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SIM_REPORTS_MAX; i++) {
        if (p->reports[i].until_us > now_us) {
            sim->scratch->reports[count++] = p->reports[i].report;
        }
    }
    return count;
}

static void describe_place(const struct place_decision *d, struct jobs_place *place)
{
    *place = (struct jobs_place){.unit = d->unit,
                                 .previous = d->previous,
                                 .cause = d->cause,
                                 .mixed = d->placement.mixed,
                                 .member_count = d->placement.member_count};
    memcpy(place->class, d->placement.class, WIRE_CLASS_BYTES);
    memcpy(place->members, d->placement.members,
           d->placement.member_count * sizeof place->members[0]);
}

static void propose_decision(struct sim *sim, struct sim_agent *a, const struct place_decision *d)
{
    struct jobs_cmd *cmd = &sim->scratch->cmd;
    *cmd = (struct jobs_cmd){.type = JOBS_EXPIRE};
    if (d->action == PLACE_ACTION_EXPIRE) {
        cmd->u.expire.unit = d->unit;
        cmd->u.expire.fence = d->previous;
        cmd->u.expire.cause = d->cause;
    } else {
        cmd->type = JOBS_PLACE;
        describe_place(d, &cmd->u.place);
    }
    sim_propose_plainly(sim, a, cmd);
}

/* As the agent's planner does, but from two units on: the simulator has few of one job. */
static uint32_t propose_alike(struct sim *sim, struct sim_agent *a, const struct place_decision *d,
                              uint32_t count)
{
    struct jobs_cmd *cmd = &sim->scratch->cmd;
    struct jobs_place place;
    uint32_t taken = 0;
    *cmd = (struct jobs_cmd){.type = JOBS_PLACE_MANY};
    while (taken < count && d[taken].action == PLACE_ACTION_PLACE) {
        describe_place(&d[taken], &place);
        if (!jobs_many_add(&cmd->u.place_many, &place)) {
            break;
        }
        taken++;
    }
    if (taken < 2) {
        propose_decision(sim, a, d);
        return 1;
    }
    sim_propose_plainly(sim, a, cmd);
    return taken;
}

/* As if a unit of higher priority had come: the first gangs of some jobs are asked for a checkpoint
 * and their agents. */
static void ask_some(struct sim *sim, struct sim_agent *a, const struct sh_table *table)
{
    struct sim_scratch *s = sim->scratch;
    uint32_t gangs = 0;
    SH_CHECK(jobs_gang_list(table, (struct wire_unit){0}, s->units, SIM_UNITS_MAX, &gangs) ==
             SH_OK);
    for (uint32_t i = 0; i < gangs && a->role == RAFT_LEADER; i++) {
        const struct jobs_unit *u = &s->units[i];
        bool asked = u->state == JOBS_RUNNING && u->placements == 1 && u->checkpoints > 0 &&
                     u->yield.cause == WIRE_CAUSE_NONE && sh_mix64(u->id.job) % SIM_YIELD_JOBS == 0;
        if (asked) {
            struct jobs_cmd *cmd = &s->cmd;
            *cmd = (struct jobs_cmd){.type = JOBS_EXPIRE};
            cmd->u.expire.unit = u->id;
            cmd->u.expire.fence = u->placement.fence;
            cmd->u.expire.cause = WIRE_CAUSE_PREEMPTED;
            cmd->u.expire.grace_us = SIM_YIELD_US;
            sim_propose_plainly(sim, a, cmd);
        }
    }
}

static void plan_places(struct sim *sim, struct sim_agent *a, const struct sh_table *table,
                        uint64_t now_us)
{
    struct sim_scratch *s = sim->scratch;
    uint64_t wall = cluster_us(sim, a, table);
    uint64_t led_us = now_us - a->planner.led_since_us;
    uint32_t units = collect_units(sim, table);
    if (units == 0) {
        return;
    }
    a->planner.pass_due_us = now_us + SIM_PLAN_PAUSE_US;
    struct place_input input = {
        .now_us = wall,
        .losses_from_us = led_us < SIM_PLAN_SETTLE_US ? wall + (SIM_PLAN_SETTLE_US - led_us) : 0,
        .nodes = s->place_nodes,
        .node_count = collect_nodes(sim, a, table),
        .units = s->place_units,
        .unit_count = units,
        .reports = s->reports,
        .report_count = collect_reports(sim, &a->planner, now_us)};
    memcpy(input.version, a->node.version, sizeof input.version);
    struct place_limits limits = place_limits_default();
    s->placed = (struct place_output){
        .decisions = s->decisions, .decision_capacity = SIM_DECISIONS_MAX, .verdicts = s->verdicts};
    place_plan(s->place, &input, &limits, &s->placed);
    for (uint32_t i = 0; i < s->placed.decision_count && a->role == RAFT_LEADER;) {
        i += propose_alike(sim, a, &s->decisions[i], s->placed.decision_count - i);
    }
}

void sim_planner_pass(struct sim *sim, struct sim_agent *a)
{
    struct sim_planner *p = &a->planner;
    uint64_t now_us = sim_local(sim, a);
    p->waking = false;
    p->pass_due_us = now_us + SIM_PLAN_IDLE_US;
    if (a->role != RAFT_LEADER) {
        p->led_since_us = 0;
        p->presence_count = 0;
        return;
    }
    if (p->led_since_us == 0 || p->term != a->term) {
        p->led_since_us = now_us;
        p->term = a->term;
        p->presence_count = 0;
        p->changed_us = 0;
        p->roles = roles_memory_new(now_us);
    }
    const struct sh_table *table = fsm_begin(a->fsm);
    admit(sim, a, table);
    plan_roles(sim, a, table, now_us);
    plan_places(sim, a, table, now_us);
    ask_some(sim, a, table);
    sim_wish_pass(sim, a, table);
    fsm_abort(a->fsm);
}

void sim_planner_report(struct sim *sim, struct sim_agent *a, struct sh_span bytes)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    struct place_report report;
    uint64_t now = sim_local(sim, a);
    report.unit = wire_unit_get(&r);
    report.fence = wire_fence_get(&r);
    sh_get_bytes(&r, report.reporter, SH_NODE_ID_BYTES);
    sh_get_bytes(&r, report.lost, SH_NODE_ID_BYTES);
    SH_CHECK(!r.bad);
    struct sim_report *place = NULL;
    for (uint32_t i = 0; i < SIM_REPORTS_MAX; i++) {
        struct sim_report *at = &a->planner.reports[i];
        bool same = at->until_us > now && wire_unit_equal(at->report.unit, report.unit) &&
                    wire_fence_equal(at->report.fence, report.fence) &&
                    memcmp(at->report.reporter, report.reporter, SH_NODE_ID_BYTES) == 0 &&
                    memcmp(at->report.lost, report.lost, SH_NODE_ID_BYTES) == 0;
        if (same) {
            place = at;
            break;
        }
        place = at->until_us <= now && place == NULL ? at : place;
    }
    if (place != NULL) {
        place->report = report;
        place->until_us = now + SIM_REPORT_US;
    }
    sim_planner_wake(sim, a);
}
