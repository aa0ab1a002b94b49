/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/check.h"

#include "base/rng.h"

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

/* What the first application of an entry may do to the tables. */
static void check_first(struct sim_check *check, const struct wal_entry *entry,
                        struct sh_span command, const struct jobs_result *result,
                        const struct sh_table *table)
{
    struct jobs_counts counts;
    if (jobs_counts_get(table, &counts) != SH_OK || counts.jobs < check->jobs ||
        counts.jobs_in[JOBS_COMPLETED] < check->completed) {
        sim_check_fail(check, "jobs: entry %" PRIu64 " makes a job disappear", entry->index);
        return;
    }
    check->jobs = counts.jobs;
    check->completed = counts.jobs_in[JOBS_COMPLETED];
    if (result->err != SH_OK || result->duplicate ||
        jobs_cmd_decode(command.at, command.size, check->cmd) != SH_OK) {
        return;
    }
    if (check->cmd->type == JOBS_PLACE) {
        check_fence(check, check->cmd->u.place.unit,
                    (struct wire_fence){.term = entry->term, .index = entry->index});
    } else if (check->cmd->type == JOBS_PLACE_MANY) {
        const struct jobs_place_many *many = &check->cmd->u.place_many;
        for (uint32_t i = 0; i < many->count; i++) {
            check_fence(check, (struct wire_unit){.job = many->job, .unit = many->units[i]},
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
