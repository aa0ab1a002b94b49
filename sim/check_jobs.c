/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/check.h"

#include "base/rng.h"
#include "jobs/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t result_hash(const struct jobs_result *r)
{
    uint64_t h = sh_mix64(((uint64_t)r->err << 32) ^ (uint64_t)r->code ^ ((uint64_t)r->type << 16));
    h = sh_mix64(h ^ r->unit.job ^ (uint64_t)r->unit.unit << 40);
    h = sh_mix64(h ^ r->fence.index ^ r->fence.term << 40);
    return sh_mix64(h ^ r->stamp_us ^ (uint64_t)r->duplicate);
}

static uint64_t unit_key(struct wire_unit unit)
{
    SH_CHECK_CMP(unit.unit, <, UINT64_C(1) << 20);
    return (unit.job << 20 | unit.unit) + 1;
}

static void check_fence(struct sim_check *check, struct wire_unit unit, struct wire_fence fence)
{
    uint64_t *index = sim_ledger_at(&check->fences, unit_key(unit));
    uint64_t *term = sim_ledger_at(&check->fence_terms, unit_key(unit));
    if (fence.index <= *index || fence.term < *term) {
        sim_check_fail(check,
                       "fences: unit %" PRIu64 "/%u was placed at %" PRIu64 " after %" PRIu64,
                       unit.job, unit.unit, fence.index, *index);
    }
    *index = fence.index;
    *term = fence.term;
}

static void check_once(struct sim_check *check, struct wire_unit unit, struct wire_fence fence,
                       uint64_t index)
{
    uint64_t *committed = sim_ledger_at(&check->commits, unit_key(unit));
    if (*committed != 0) {
        sim_check_fail(check, "unit %" PRIu64 "/%u is committed twice: at %" PRIu64 " and %" PRIu64,
                       unit.job, unit.unit, *committed, index);
    }
    if (*sim_ledger_at(&check->fences, unit_key(unit)) != fence.index) {
        sim_check_fail(check, "unit %" PRIu64 "/%u is committed under a fence that is not in force",
                       unit.job, unit.unit);
    }
    *committed = index;
    check->units++;
}

/* Of a job that is paused nothing is placed. */
static void check_place(struct sim_check *check, struct wire_unit unit, struct wire_fence fence)
{
    if (*sim_ledger_at(&check->paused, unit.job) != 0) {
        sim_check_fail(check, "unit %" PRIu64 "/%u of a paused job is placed at %" PRIu64, unit.job,
                       unit.unit, fence.index);
    }
    check_fence(check, unit, fence);
}

/* How far a job is said to be: never less, but for one that had been whole. */
static void check_progress(struct sim_check *check, uint64_t job, const struct sh_table *table)
{
    if (job == 0 || jobs_job_get(table, job, check->job) != SH_OK) {
        return;
    }
    uint64_t *last = sim_ledger_at(&check->progress, job);
    uint64_t now = check->job->progress;
    bool whole = now == JOBS_PROGRESS_WHOLE;
    bool reopened = *last == JOBS_PROGRESS_WHOLE && now + 1 == JOBS_PROGRESS_WHOLE;
    if ((now < *last && !reopened) || whole != (check->job->state == JOBS_COMPLETED)) {
        sim_check_fail(check, "job %" PRIu64 " goes from %" PRIu64 " to %" PRIu64 " thousandths",
                       job, *last, now);
    }
    *last = now;
}

static void check_resize(struct sim_check *check, const struct jobs_resize *c)
{
    const struct jobs_job *job = check->job; /* check_progress has read it */
    bool enough =
        job->units_in[JOBS_WAITING] + job->units_in[JOBS_RUNNING] + job->units_in[JOBS_COMPLETED] >=
        c->units;
    if (job->id != c->job || job->target != c->units || !enough) {
        sim_check_fail(check, "job %" PRIu64 " was to have %u units and is to have %u", c->job,
                       c->units, job->target);
    }
}

static void check_setting(struct sim_check *check, const struct jobs_config_set *c,
                          const struct sh_table *table)
{
    for (uint32_t i = 0; i < c->count; i++) {
        uint64_t value = 0;
        bool set = jobs_setting_get(table, c->at[i].key, &value) == SH_OK;
        if (set == c->at[i].unset || (set && value != c->at[i].value)) {
            sim_check_fail(check, "setting %s is not what it was set to", c->at[i].key);
        }
    }
}

static void check_mark(struct sim_check *check, const struct jobs_node_mark *c,
                       const struct sh_table *table)
{
    struct jobs_node node;
    bool drains = c->mark == JOBS_MARK_DRAIN;
    if ((drains || c->mark == JOBS_MARK_UNDRAIN) &&
        (jobs_node_get(table, c->node, &node) != SH_OK || node.draining != drains)) {
        sim_check_fail(check, "an agent is %sdrained against its mark", drains ? "not " : "");
    }
}

/* What people asked for. */
static void check_wish(struct sim_check *check, uint64_t index, const struct sh_table *table)
{
    const struct jobs_cmd *cmd = check->cmd;
    if (cmd->type == JOBS_PAUSE) {
        *sim_ledger_at(&check->paused, cmd->u.pause.job) = index;
    } else if (cmd->type == JOBS_RESUME) {
        *sim_ledger_at(&check->paused, cmd->u.resume.job) = 0;
    } else if (cmd->type == JOBS_RESIZE) {
        check_resize(check, &cmd->u.resize);
    } else if (cmd->type == JOBS_CONFIG_SET) {
        check_setting(check, &cmd->u.config_set, table);
    } else if (cmd->type == JOBS_NODE_MARK) {
        check_mark(check, &cmd->u.node_mark, table);
    }
}

/* What the first application of an entry may do to the tables. */
static void check_first(struct sim_check *check, const struct wal_entry *entry,
                        struct sh_span command, const struct jobs_result *result,
                        const struct sh_table *table)
{
    struct jobs_counts counts;
    bool accepted = result->err == SH_OK && !result->duplicate;
    bool reopens = accepted && result->type == JOBS_RESIZE;
    if (jobs_counts_get(table, &counts) != SH_OK || counts.jobs < check->jobs ||
        counts.jobs_in[JOBS_COMPLETED] + (reopens ? 1 : 0) < check->completed) {
        sim_check_fail(check, "jobs: entry %" PRIu64 " makes a job disappear", entry->index);
        return;
    }
    check->jobs = counts.jobs;
    check->completed = counts.jobs_in[JOBS_COMPLETED];
    if (!accepted || jobs_cmd_decode(command.at, command.size, check->cmd) != SH_OK) {
        return;
    }
    check->applied_of[check->cmd->type]++;
    check_progress(check, result->unit.job, table);
    check_wish(check, entry->index, table);
    if (check->cmd->type == JOBS_PLACE) {
        check_place(check, check->cmd->u.place.unit,
                    (struct wire_fence){.term = entry->term, .index = entry->index});
    } else if (check->cmd->type == JOBS_PLACE_MANY) {
        const struct jobs_place_many *many = &check->cmd->u.place_many;
        for (uint32_t i = 0; i < many->count; i++) {
            check_place(check, (struct wire_unit){.job = many->job, .unit = many->units[i]},
                        (struct wire_fence){.term = entry->term, .index = entry->index});
        }
    } else if (check->cmd->type == JOBS_COMMIT) {
        check_once(check, check->cmd->u.commit.unit, check->cmd->u.commit.fence, entry->index);
    }
}

void sim_check_applied(struct sim_check *check, uint32_t agent, const struct wal_entry *entry,
                       struct sh_span command, const struct jobs_result *result,
                       const struct sh_table *table)
{
    struct sim_committed *c = &check->committed[entry->index];
    if (command.size == 0) {
        check->applied = entry->index > check->applied ? entry->index : check->applied;
        return;
    }
    uint64_t digest = jobs_digest(table);
    uint64_t answer = result_hash(result);
    if (!c->applied) {
        c->applied = true;
        c->result = answer;
        c->digest = digest;
        check_first(check, entry, command, result, table);
    } else if (c->digest != digest || c->result != answer) {
        sim_check_fail(check, "agent %s has other tables than others after entry %" PRIu64,
                       sim_name(agent), entry->index);
    }
    check->applied = entry->index > check->applied ? entry->index : check->applied;
}

void sim_check_ack(struct sim_check *check, uint32_t request, uint64_t job)
{
    if (check->acked_count == check->acked_capacity) {
        check->acked_capacity = check->acked_capacity == 0 ? 64 : 2 * check->acked_capacity;
        check->acked = realloc(check->acked, check->acked_capacity * sizeof *check->acked);
        SH_CHECK(check->acked != NULL);
    }
    check->acked[check->acked_count++] = (struct sim_acked){.job = job, .request = request};
    if (job == 0 || job > check->last) {
        sim_check_fail(check, "job %" PRIu64 " was acknowledged before it was committed", job);
    }
}

static void check_job(struct sim_check *check, uint32_t agent, const struct sh_table *table,
                      const struct sim_acked *acked)
{
    char key[32];
    (void)snprintf(key, sizeof key, "r%u", acked->request);
    if (acked->job > jobs_applied(table)) {
        return; /* this agent has not come so far */
    }
    if (jobs_job_get(table, acked->job, check->job) != SH_OK) {
        sim_check_fail(check, "job %" PRIu64 ", acknowledged, does not exist on agent %s",
                       acked->job, sim_name(agent));
    } else if (strcmp(check->job->key, key) != 0) {
        sim_check_fail(check, "job %" PRIu64 " on agent %s is another than was acknowledged",
                       acked->job, sim_name(agent));
    }
}

void sim_check_one_job(struct sim_check *check, uint32_t agent, const struct sh_table *table)
{
    if (check->acked_count > 0) {
        check->acked_turn = (check->acked_turn + 1) % check->acked_count;
        check_job(check, agent, table, &check->acked[check->acked_turn]);
    }
}

void sim_check_all_jobs(struct sim_check *check, uint32_t agent, const struct sh_table *table)
{
    for (uint32_t i = 0; i < check->acked_count; i++) {
        check_job(check, agent, table, &check->acked[i]);
    }
}

void sim_check_contents(struct sim_check *check, uint32_t agent, uint64_t index, uint64_t contents)
{
    uint64_t *known = sim_ledger_at(&check->contents, index + 1);
    if (*known == 0) {
        *known = contents;
    } else if (*known != contents) {
        sim_check_fail(check, "agent %s has other rows than others at index %" PRIu64,
                       sim_name(agent), index);
    }
}

void sim_check_tables(struct sim_check *check, uint32_t agent, uint64_t index,
                      const struct sh_table *table)
{
    uint64_t last = index;
    while (last > 0 && index <= check->applied && check->committed[last].digest == 0) {
        last--;
    }
    if (index > check->applied ||
        (last > 0 && check->committed[last].digest != jobs_digest(table))) {
        sim_check_fail(check, "agent %s has other tables than others at index %" PRIu64,
                       sim_name(agent), index);
    }
    sim_check_all_jobs(check, agent, table);
}
