/* SPDX-License-Identifier: Apache-2.0
 *
 * One agent's life: its disk outlives it, everything else is made anew at every start. */
#include "sim/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CF_META, CF_LOG, CF_FSM, CF_COUNT };

static const struct kv_cf FAMILIES[CF_COUNT] = {[CF_META] = {.name = "meta", .kind = KV_CF_SMALL},
                                                [CF_LOG] = {.name = "log", .kind = KV_CF_TEXT},
                                                [CF_FSM] = {.name = "fsm", .kind = KV_CF_TEXT}};

static void describe(struct sim *sim, struct sim_agent *a)
{
    struct wire_node *n = &a->node;
    a->id[0] = (uint8_t)a->number;
    for (uint32_t i = 1; i < SH_NODE_ID_BYTES; i++) {
        a->id[i] = (uint8_t)sh_rng_u64(&sim->rng);
    }
    memcpy(n->id, a->id, SH_NODE_ID_BYTES);
    /* A name belongs to one node for ever. */
    (void)snprintf(n->name, sizeof n->name, "%s%.0u", sim_name(a->number), a->wipes);
    (void)snprintf(n->addr, sizeof n->addr, "10.0.0.%u:7711", a->number + 1);
    n->bulk_port = 7712;
    memset(n->class, 7, sizeof n->class);
    (void)snprintf(n->version, sizeof n->version, "%s", SHOAL_VERSION);
    (void)snprintf(n->isa, sizeof n->isa, "sim");
    n->cpus = 2;
    n->ram_bytes = UINT64_C(1) << 32;
    n->slots = 4;
}

static void *block(size_t size)
{
    void *out = aligned_alloc(64, (size + 63) & ~(size_t)63);
    SH_CHECK(out != NULL);
    return out;
}

struct sim_agent *sim_agent_new(struct sim *sim, uint32_t number)
{
    struct sim_agent *a = sim_zeroed(1, sizeof *a);
    a->number = number;
    describe(sim, a);
    /* Clocks agree on nothing but the length of a second. */
    a->clock.from_local = UINT64_C(3600000000) + sh_rng_below(&sim->rng, UINT64_C(60000000));
    a->timer_at = UINT64_MAX;
    a->proposals_due_us = UINT64_MAX;
    SH_CHECK(kv_mem_open(FAMILIES, CF_COUNT, &a->kv) == SH_OK);
    a->jobs_memory = block(jobs_bytes());
    return a;
}

void sim_agent_wipe(struct sim *sim, struct sim_agent *a)
{
    SH_CHECK(!a->up);
    SH_CHECK(a->wal == NULL);
    kv_close(a->kv);
    SH_CHECK(kv_mem_open(FAMILIES, CF_COUNT, &a->kv) == SH_OK);
    a->wipes++;
    a->wiped_us = sim->now_us;
    a->rotten = false;
    a->quarantined = false;
    a->identity = (struct wal_identity){0};
    a->handle = 0;
    a->conf = (struct raft_conf){0};
    describe(sim, a);
    sim_check_wipe(&sim->check, a->number);
}

bool sim_agent_rot(struct sim_agent *a, uint64_t where)
{
    /* What a table's row holds has no hash of its own above kv. */
    return kv_mem_rot(a->kv, where % 8 == 0 ? CF_META : CF_LOG, where / 8);
}

void sim_agent_free(struct sim_agent *a)
{
    sim_replica_clear(a);
    sim_proposals_clear(a);
    while (a->disk.first != NULL) {
        struct sim_write *w = a->disk.first;
        a->disk.first = w->next;
        sim_install_free(w->install);
        free(w);
    }
    for (uint32_t i = 0; i < a->backlog_count; i++) {
        free(a->backlog[i].body);
    }
    sim_snapshots_abandon(a);
    if (a->fsm != NULL) {
        fsm_close(a->fsm);
        wal_close(a->wal);
    }
    kv_close(a->kv);
    free(a->backlog);
    free(a->raft_memory);
    free(a->swim_memory);
    free(a->jobs_memory);
    free(a);
}

/* First life of the founder. Entry 1 makes it the only voter, so that whoever joins learns the
 * group from the log alone; entry 2 admits it under the handle that it votes by. */
static void found(struct sim *sim, struct sim_agent *a)
{
    struct sim_scratch *s = sim->scratch;
    struct jobs_cmd *cmd = &s->cmd;
    *cmd = (struct jobs_cmd){.type = JOBS_NODE_ADMIT, .stamp_us = sim_wall(sim, a)};
    memcpy(cmd->u.node_admit.node, a->id, SH_NODE_ID_BYTES);
    memcpy(cmd->u.node_admit.name, a->node.name, sizeof a->node.name);
    memcpy(cmd->u.node_admit.addr, a->node.addr, sizeof a->node.addr);
    cmd->u.node_admit.bulk_port = a->node.bulk_port;
    cmd->u.node_admit.handle = 1;
    struct sh_writer w = sh_writer_over(s->command, sizeof s->command);
    SH_CHECK(jobs_cmd_encode(cmd, &w) == SH_OK);
    struct raft_conf_change change = {.count = 1, .changes = {{.type = RAFT_ADD_VOTER, .id = 1}}};
    uint8_t bytes[RAFT_CHANGE_BYTES_MAX];
    struct sh_writer c = sh_writer_over(bytes, sizeof bytes);
    raft_conf_change_encode(&change, &c);
    struct wal_entry entries[2] = {
        {.index = 1, .term = 1, .type = RAFT_ENTRY_CONF, .bytes = {.at = bytes, .size = c.used}},
        {.index = 2,
         .term = 1,
         .type = RAFT_ENTRY_NORMAL,
         .bytes = {.at = s->command, .size = w.used}}};
    struct wal_hard hard = {.term = 1, .vote = 1, .commit = 2};
    SH_CHECK(wal_save(a->wal, &hard, entries, 2, true) == SH_OK);
    a->identity.handle = 1;
    SH_CHECK(wal_put_identity(a->wal, &a->identity) == SH_OK);
    sim_check_found(&sim->check, a->number, &hard, entries, 2);
}

/* False: it is rotten, and nothing is open. */
static bool open_store(struct sim_agent *a, struct wal_boot *boot, struct fsm_applied *applied)
{
    enum sh_err err = wal_open(a->kv, CF_LOG, CF_META, boot, &a->wal);
    if (err != SH_OK) {
        SH_CHECK(err == SH_ERR_CORRUPT || err == SH_ERR_VERSION);
        SH_CHECK(a->rotten);
        a->wal = NULL;
        return false;
    }
    SH_CHECK(fsm_open(a->kv, CF_FSM, NULL, &a->fsm, applied) == SH_OK);
    return true;
}

static void close_store(struct sim_agent *a)
{
    wal_close(a->wal);
    fsm_close(a->fsm);
}

/* Opens what is on the disk, and counts this start durably. False: the disk is rotten. */
static bool boot_store(struct sim *sim, struct sim_agent *a, struct wal_boot *boot,
                       struct fsm_applied *applied)
{
    if (!open_store(a, boot, applied)) {
        return false;
    }
    if (boot->has_identity) {
        a->identity = boot->identity;
    } else {
        a->identity = (struct wal_identity){0};
        memcpy(a->identity.node, a->id, SH_NODE_ID_BYTES);
    }
    a->identity.boots++;
    SH_CHECK(wal_put_identity(a->wal, &a->identity) == SH_OK);
    if (a->number == 0 && a->wipes == 0 && a->identity.handle == 0) {
        found(sim, a);
    }
    close_store(a);
    return open_store(a, boot, applied);
}

static void open_jobs(struct sim_agent *a)
{
    struct sh_arena arena;
    sh_arena_init(&arena, a->jobs_memory, (jobs_bytes() + 63) & ~(size_t)63);
    a->jobs = jobs_init(&arena);
}

static void forget_life(struct sim *sim, struct sim_agent *a)
{
    a->up = true;
    a->paused = false;
    a->life++;
    a->handle = 0;
    a->durable = 0;
    a->leader = 0;
    a->role = RAFT_FOLLOWER;
    a->term = 0;
    a->steps = 0;
    a->led = false;
    a->leave_us = 0;
    a->goodbye_said = false;
    a->held_ring = sh_ring_of(SIM_HELD_MAX);
    a->disk.torn = false;
    a->disk.failed = false;
    a->planner = (struct sim_planner){0};
    a->seed_count = 0;
    memset(a->sessions, 0, sizeof a->sessions);
    a->work_due_us = UINT64_MAX;
    a->work_left_out = false;
    a->proposal_next = sh_rng_u64(&sim->rng) | 1;
    a->call_next = sh_rng_u64(&sim->rng) >> 1;
    a->timer_at = UINT64_MAX;
}

void sim_agent_start(struct sim *sim, struct sim_agent *a)
{
    struct wal_boot boot;
    SH_CHECK(!a->up);
    forget_life(sim, a);
    if (!boot_store(sim, a, &boot, &sim->scratch->applied)) {
        a->up = false;
        a->quarantined = true;
        sim_note(sim, SIM_NOTE_FAULT, "%s refuses to start: its disk is damaged",
                 sim_name(a->number));
        return;
    }
    sim_check_start(&sim->check, a->number, &boot.hard, a->wal, sim->scratch->applied.index);
    a->apply = (struct sim_apply){.applied = sim->scratch->applied.index,
                                  .target = sim->scratch->applied.index};
    open_jobs(a);
    sim_gossip_open(sim, a);
    if (!sim_gap(sim, a, SIM_GAP_BOOT)) {
        if (a->identity.handle != 0) {
            SH_CHECK(sim_replica_wake(sim, a, &boot, &sim->scratch->applied) == SH_OK);
        }
        const struct sh_table *table = fsm_begin(a->fsm);
        sim_learn_nodes(sim, a, table);
        sim_work_match(sim, a, table, NULL);
        fsm_abort(a->fsm);
        sim_replica_begin(sim, a);
    }
    sim_reap(sim, a);
    if (a->up) {
        a->timer_at = UINT64_MAX;
        sim_agent_arm(sim, a);
    }
}

void sim_agent_end(struct sim *sim, struct sim_agent *a)
{
    (void)sim;
    SH_CHECK(a->up);
    a->up = false;
    a->paused = false;
    a->life++;
    a->raft = NULL;
    a->swim = NULL;
    a->timer_at = UINT64_MAX;
    for (uint32_t i = 0; i < a->backlog_count; i++) {
        free(a->backlog[i].body);
    }
    a->backlog_count = 0;
    a->wait_count = 0;
    sim_replica_clear(a);
    sim_proposals_clear(a);
}

void sim_agent_fail(struct sim *sim, struct sim_agent *a, enum sh_err err, const char *what)
{
    if (!a->up) {
        return;
    }
    sim_note(sim, SIM_NOTE_FAULT, "%s stops: %s: %s", sim_name(a->number), what, sh_err_text(err));
    a->quarantined = a->quarantined || err == SH_ERR_CORRUPT;
    sim_say_down(sim, a->number);
    sim_agent_end(sim, a);
    sim_disk_crash(sim, a, SIM_KILL);
}

/* Leadership first (the planner hands it over), then the goodbye, then the end. */
void sim_agent_leave(struct sim *sim, struct sim_agent *a)
{
    uint64_t now = sim_local(sim, a);
    bool alone = swim_counts(a->swim).alive <= 1;
    bool late = now - a->leave_us > SIM_LEAVE_US / 2;
    if (!a->goodbye_said && (alone || late || a->role != RAFT_LEADER)) {
        a->goodbye_said = true;
        sim_gossip_leave(sim, a);
    }
    if (a->goodbye_said && (alone || swim_has_left(a->swim) || now - a->leave_us > SIM_LEAVE_US)) {
        sim_note(sim, SIM_NOTE_FAULT, "%s has left", sim_name(a->number));
        sim_say_down(sim, a->number);
        sim_agent_end(sim, a);
        sim_disk_crash(sim, a, SIM_KILL);
    }
}

/* ---- time ---- */

static uint64_t least(uint64_t x, uint64_t y)
{
    return x < y ? x : y;
}

void sim_agent_arm(struct sim *sim, struct sim_agent *a)
{
    uint64_t due = swim_deadline_us(a->swim);
    if (a->raft != NULL) {
        due = least(due, raft_deadline(a->raft));
    }
    due = least(due, sim_proposals_deadline(a));
    due = least(due, sim_planner_deadline(a));
    due = least(due, sim_work_deadline(a));
    due = least(due, sim_streams_deadline(a));
    due = least(due, sim_snapshots_deadline(a));
    uint64_t at = sim_world(a, due);
    at = at < sim->now_us ? sim->now_us : at;
    if (at < a->timer_at) {
        a->timer_at = at;
        sim_queue_push(
            &sim->queue,
            (struct sim_event){.at = at, .who = a->number, .life = a->life, .kind = SIM_EV_TIMER});
    }
}

void sim_agent_timer(struct sim *sim, struct sim_agent *a)
{
    uint64_t now = sim_local(sim, a);
    a->timer_at = UINT64_MAX;
    if (swim_deadline_us(a->swim) <= now) {
        struct swim_event tick = {.kind = SWIM_EV_TICK, .now_us = now};
        sim_gossip_step(sim, a, &tick);
    }
    if (a->raft != NULL && raft_deadline(a->raft) <= now) {
        struct raft_event tick = {.type = RAFT_TICK};
        sim_replica_step(sim, a, &tick);
    }
    sim_proposals_tick(sim, a);
    if (sim_planner_deadline(a) <= now) {
        sim_planner_wake(sim, a);
    }
    sim_work_tick(sim, a);
    sim_streams_tick(sim, a);
    sim_snapshots_tick(sim, a);
}
