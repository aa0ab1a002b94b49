/* SPDX-License-Identifier: Apache-2.0
 *
 * The apply thread of one agent, as agent/apply.c: committed entries from the log into the tables,
 * a run of commands in one write, each change of the configuration with a question to the loop. */
#include "sim/parts.h"

#include <stdlib.h>

enum { APPLY_US = 60, TOLD_US = 20 }; /* means: a thread wakes, and another one */

static void later_with(struct sim *sim, struct sim_agent *a, uint64_t mean,
                       enum sim_event_kind kind, uint64_t arg, void *body)
{
    sim_queue_push(&sim->queue,
                   (struct sim_event){.at = sim->now_us + 1 + sim_about(&sim->rng, mean),
                                      .who = a->number,
                                      .life = a->life,
                                      .kind = kind,
                                      .arg = arg,
                                      .body = body});
}

static void later(struct sim *sim, struct sim_agent *a, uint64_t mean, enum sim_event_kind kind,
                  uint64_t arg)
{
    later_with(sim, a, mean, kind, arg, NULL);
}

static void wake(struct sim *sim, struct sim_agent *a)
{
    struct sim_apply *p = &a->apply;
    if (!p->waking && !p->conf_waiting && !p->failed && !p->hold && p->applied < p->target) {
        p->waking = true;
        later(sim, a, APPLY_US, SIM_EV_APPLY, 0);
    }
}

void sim_apply_to(struct sim *sim, struct sim_agent *a, uint64_t target)
{
    a->apply.target = target > a->apply.target ? target : a->apply.target;
    wake(sim, a);
}

static void fail(struct sim *sim, struct sim_agent *a, enum sh_err err)
{
    a->apply.failed = true;
    sim_agent_fail(sim, a, err, "applying the log failed");
}

/* False: the entry cannot be applied by this program. */
static bool apply_one(struct sim *sim, struct sim_agent *a, const struct sh_table *table,
                      const struct wal_entry *e, struct jobs_result *result)
{
    *result = (struct jobs_result){0};
    if (e->bytes.size > 0) {
        struct jobs_entry entry = {.index = e->index, .term = e->term, .bytes = e->bytes};
        jobs_apply(a->jobs, table, &entry, result);
    }
    sim_check_applied(&sim->check, a->number, e, e->bytes, result, table);
    return !result->halt;
}

static void note_applied(struct sim *sim, const struct jobs_result *r, bool first)
{
    if (!first || r->err != SH_OK || r->duplicate) {
        return;
    }
    unsigned long long job = r->unit.job;
    if (r->type == JOBS_COMMIT) {
        sim_note(sim, SIM_NOTE_JOB, "unit %llu/%u is committed", job, r->unit.unit);
    } else if (r->type == JOBS_PLACE) {
        sim_note(sim, SIM_NOTE_JOB, "unit %llu/%u is placed under fence %llu", job, r->unit.unit,
                 (unsigned long long)r->fence.index);
    } else if (r->type == JOBS_PLACE_MANY) {
        sim_note(sim, SIM_NOTE_JOB, "units of %llu are placed under fence %llu", job,
                 (unsigned long long)r->fence.index);
    } else if (r->type == JOBS_EXPIRE) {
        sim_note(sim, SIM_NOTE_JOB, "unit %llu/%u waits again", job, r->unit.unit);
    } else if (r->type == JOBS_CHECKPOINT) {
        sim_note(sim, SIM_NOTE_JOB, "unit %llu/%u has a checkpoint", job, r->unit.unit);
    } else if (r->type == JOBS_NODE_ADMIT) {
        sim_note(sim, SIM_NOTE_GROUP, "agent %llu is admitted", (unsigned long long)r->handle);
    }
}

/* The leader writes to a new agent before that one knows its handle. */
void sim_learn_nodes(struct sim *sim, struct sim_agent *a, const struct sh_table *table)
{
    struct jobs_node rows[SIM_NODES_MAX];
    uint32_t count = 0;
    SH_CHECK(jobs_node_list(table, NULL, rows, SIM_NODES_MAX, &count) == SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_agent *other = sim_by_id(sim, rows[i].id);
        if (other == NULL) {
            continue; /* it has lost its disk since */
        }
        *sim_ledger_at(&sim->handles, rows[i].handle) =
            (uint64_t)other->wipes << 32 | (other->number + 1);
        sim_gossip_seed(sim, a, other->number);
    }
}

static void after_run(struct sim *sim, struct sim_agent *a, uint32_t count)
{
    struct sim_scratch *s = sim->scratch;
    const struct sh_table *table = fsm_begin(a->fsm);
    for (uint32_t i = 0; i < count; i++) {
        if (s->results[i].nodes_changed) {
            sim_learn_nodes(sim, a, table);
            break;
        }
    }
    sim_check_one_job(&sim->check, a->number, table);
    bool changed = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct jobs_result *r = &s->results[i];
        changed = changed || (r->err == SH_OK && r->type != 0 && !r->duplicate);
        sim_work_match(sim, a, table, &s->results[i]);
    }
    fsm_abort(a->fsm);
    for (uint32_t i = 0; i < count; i++) {
        if (s->wal[i].bytes.size > 0) {
            sim_proposals_done(sim, a, &s->results[i]);
        }
    }
    if (changed &&
        !a->doomed) { /* what is refused over and over must not make the planner propose at once */
        sim_planner_wake(sim, a);
    }
}

static void apply_run(struct sim *sim, struct sim_agent *a, uint32_t count)
{
    struct sim_scratch *s = sim->scratch;
    const struct sh_table *table = fsm_begin(a->fsm);
    for (uint32_t i = 0; i < count; i++) {
        bool first = s->wal[i].index > sim->check.applied;
        sim_check_apply(&sim->check, a->number, &s->wal[i]);
        if (!apply_one(sim, a, table, &s->wal[i], &s->results[i])) {
            fsm_abort(a->fsm);
            sim_check_fail(&sim->check, "agent %s cannot apply entry %llu", sim_name(a->number),
                           (unsigned long long)s->wal[i].index);
            return;
        }
        note_applied(sim, &s->results[i], first);
    }
    if (sim_gap(sim, a, SIM_GAP_STAGED)) {
        fsm_abort(a->fsm);
        return;
    }
    const struct wal_entry *last = &s->wal[count - 1];
    enum sh_err err = fsm_commit(a->fsm, last->index, last->term, 0, (struct sh_span){0}, false);
    if (err != SH_OK) {
        fail(sim, a, err);
        return;
    }
    a->apply.applied = last->index;
    if (sim_gap(sim, a, SIM_GAP_APPLIED)) {
        return;
    }
    later(sim, a, TOLD_US, SIM_EV_TOLD, last->index);
    after_run(sim, a, count);
    sim_reads_applied(sim, a);
    wake(sim, a);
}

void sim_apply_event(struct sim *sim, struct sim_agent *a)
{
    struct sim_scratch *s = sim->scratch;
    struct sim_apply *p = &a->apply;
    uint32_t count = 0;
    p->waking = false;
    if (p->hold || sim_gap(sim, a, SIM_GAP_APPLYING)) {
        return;
    }
    enum sh_err err = wal_read(a->wal, p->applied + 1, p->target + 1, s->wal, SIM_BATCH_ENTRIES,
                               s->read, SIM_READ_BYTES, &count);
    if (err != SH_OK) {
        fail(sim, a, err);
        return;
    }
    uint32_t run = 0;
    while (run < count && s->wal[run].type == RAFT_ENTRY_NORMAL) {
        run++;
    }
    if (run > 0) {
        apply_run(sim, a, run);
    } else {
        struct sim_change *change = sim_zeroed(1, sizeof *change);
        SH_CHECK_CMP(s->wal[0].bytes.size, <=, sizeof change->bytes);
        change->term = s->wal[0].term;
        change->size = (uint32_t)s->wal[0].bytes.size;
        for (uint32_t i = 0; i < change->size; i++) {
            change->bytes[i] = s->wal[0].bytes.at[i];
        }
        p->conf_waiting = true;
        later_with(sim, a, TOLD_US, SIM_EV_CONF, p->applied + 1, change);
    }
}

static void say_conf(struct sim *sim, const struct raft_conf *conf)
{
    sim_note(sim, SIM_NOTE_GROUP, "the group has %u voters and %u learners%s", conf->voter_count,
             conf->learner_count, raft_conf_joint(conf) ? ", changing" : "");
}

void sim_apply_conf(struct sim *sim, struct sim_agent *a, uint64_t index,
                    const struct sim_change *change)
{
    struct wal_entry entry = {.index = index,
                              .term = change->term,
                              .type = RAFT_ENTRY_CONF,
                              .bytes = {.at = change->bytes, .size = change->size}};
    struct raft_event event = {.type = RAFT_CONF_APPLIED, .now = sim_local(sim, a)};
    event.conf.index = index;
    event.conf.data = change->bytes;
    event.conf.size = change->size;
    if (a->apply.hold || a->apply.applied >= index) {
        sim_replica_step(sim, a, &event); /* a snapshot has brought it meanwhile */
        return;
    }
    sim_check_apply(&sim->check, a->number, &entry);
    sim_replica_conf(sim, a, &event);
    if (sim_gap(sim, a, SIM_GAP_CONF_STEP)) {
        return;
    }
    const struct raft_conf *conf = &a->conf;
    uint8_t bytes[RAFT_CONF_BYTES_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    raft_conf_encode(conf, &w);
    const struct sh_table *table = fsm_begin(a->fsm);
    struct jobs_result none = {0};
    if (index > sim->check.applied) {
        say_conf(sim, conf);
    }
    sim_check_conf(&sim->check, a->number, index, conf);
    sim_check_applied(&sim->check, a->number, &entry, (struct sh_span){0}, &none, table);
    enum sh_err err = fsm_commit(a->fsm, index, entry.term, index,
                                 (struct sh_span){.at = bytes, .size = w.used}, true);
    if (err != SH_OK) {
        fail(sim, a, err);
        return;
    }
    a->apply.applied = index;
    a->apply.conf_waiting = false;
    if (sim_gap(sim, a, SIM_GAP_CONF_KEPT)) {
        return;
    }
    later(sim, a, TOLD_US, SIM_EV_TOLD, index);
    sim_planner_wake(sim, a);
    sim_reads_applied(sim, a);
    wake(sim, a);
}

void sim_apply_told(struct sim *sim, struct sim_agent *a, uint64_t index)
{
    struct raft_event event = {.type = RAFT_APPLIED, .index = index};
    sim_replica_step(sim, a, &event);
    sim_snapshots_compact(sim, a, index);
    sim_replica_begin(sim, a);
}

void sim_apply_hold(struct sim_agent *a)
{
    a->apply.hold = true;
    a->apply.conf_waiting = false;
}

void sim_apply_resume(struct sim *sim, struct sim_agent *a)
{
    a->apply.hold = false;
    later(sim, a, TOLD_US, SIM_EV_TOLD, a->apply.applied);
    const struct sh_table *table = fsm_begin(a->fsm);
    sim_learn_nodes(sim, a, table);
    sim_work_replaced(sim, a, table);
    fsm_abort(a->fsm);
    if (!a->doomed) {
        sim_planner_wake(sim, a);
    }
    sim_reads_applied(sim, a);
    wake(sim, a);
}
