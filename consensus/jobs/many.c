/* SPDX-License-Identifier: Apache-2.0
 *
 * Many units in one entry. A job of thousands of short units costs the log two entries for hundreds
 * of them, and their job one event; all or none of them, so that a refusal writes nothing. */
#include "jobs/many.h"

#include "jobs/tx.h"

_Static_assert(WIRE_MEMBERS_MAX *SH_NODE_ID_BYTES + JOBS_MANY_MAX * 5u + 128u < JOBS_CMD_BYTES_MAX,
               "the largest PLACE_MANY fits");

/* ---- bodies ---- */

static bool units_ok(const uint32_t *units, uint32_t count)
{
    bool ok = count >= 1 && count <= JOBS_MANY_MAX;
    for (uint32_t i = 1; ok && i < count; i++) {
        ok = units[i - 1] < units[i];
    }
    return ok;
}

bool jobs_many_place_ok(const struct jobs_place_many *c)
{
    bool ok = c->job != 0 && units_ok(c->units, c->count) && c->node_count <= WIRE_MEMBERS_MAX;
    for (uint32_t i = 0; ok && i < c->count; i++) {
        ok = c->at[i] < c->node_count;
    }
    return ok;
}

bool jobs_many_commit_ok(const struct jobs_commit_many *c)
{
    return c->job != 0 && units_ok(c->units, c->count);
}

static void units_put(struct sh_writer *w, const uint32_t *units, uint32_t count)
{
    SH_CHECK_CMP(count, <=, JOBS_MANY_MAX);
    sh_put_u16(w, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        sh_put_u32(w, units[i]);
    }
}

static uint32_t units_get(struct sh_reader *r, uint32_t *units)
{
    uint32_t count = sh_get_u16(r);
    if (count > JOBS_MANY_MAX) {
        r->bad = true;
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        units[i] = sh_get_u32(r);
    }
    return count;
}

void jobs_many_place_put(struct sh_writer *w, const struct jobs_place_many *c)
{
    SH_CHECK_CMP(c->node_count, <=, WIRE_MEMBERS_MAX);
    sh_put_u64(w, c->job);
    sh_put_bytes(w, c->class, WIRE_CLASS_BYTES);
    sh_put_u8(w, (uint8_t)c->node_count);
    sh_put_bytes(w, c->nodes, (size_t)c->node_count * SH_NODE_ID_BYTES);
    units_put(w, c->units, c->count);
    sh_put_bytes(w, c->at, c->count);
}

void jobs_many_place_get(struct sh_reader *r, struct jobs_place_many *c)
{
    c->job = sh_get_u64(r);
    sh_get_bytes(r, c->class, WIRE_CLASS_BYTES);
    c->node_count = sh_get_u8(r);
    if (c->node_count > WIRE_MEMBERS_MAX) {
        r->bad = true;
        c->node_count = 0;
    }
    sh_get_bytes(r, c->nodes, (size_t)c->node_count * SH_NODE_ID_BYTES);
    c->count = units_get(r, c->units);
    sh_get_bytes(r, c->at, c->count);
}

void jobs_many_commit_put(struct sh_writer *w, const struct jobs_commit_many *c)
{
    sh_put_u64(w, c->job);
    wire_fence_put(w, c->fence);
    units_put(w, c->units, c->count);
}

void jobs_many_commit_get(struct sh_reader *r, struct jobs_commit_many *c)
{
    c->job = sh_get_u64(r);
    c->fence = wire_fence_get(r);
    c->count = units_get(r, c->units);
}

static uint32_t node_place(struct jobs_place_many *many, const uint8_t *node)
{
    uint32_t at = 0;
    while (at < many->node_count && memcmp(many->nodes[at], node, SH_NODE_ID_BYTES) != 0) {
        at++;
    }
    return at;
}

bool jobs_many_add(struct jobs_place_many *many, const struct jobs_place *place)
{
    uint32_t count = many->count;
    bool alike = place->cause == WIRE_CAUSE_PLACED && place->member_count == 1 && !place->mixed &&
                 wire_fence_none(place->previous);
    bool fits = count == 0 || (many->job == place->unit.job && count < JOBS_MANY_MAX &&
                               many->units[count - 1] < place->unit.unit &&
                               memcmp(many->class, place->class, WIRE_CLASS_BYTES) == 0);
    uint32_t at = alike && fits ? node_place(many, place->members[0].node) : WIRE_MEMBERS_MAX;
    if (at == WIRE_MEMBERS_MAX) {
        return false;
    }
    many->job = place->unit.job;
    memcpy(many->class, place->class, WIRE_CLASS_BYTES);
    memcpy(many->nodes[at], place->members[0].node, SH_NODE_ID_BYTES);
    many->node_count = at == many->node_count ? at + 1 : many->node_count;
    many->units[count] = place->unit.unit;
    many->at[count] = (uint8_t)at;
    many->count++;
    return true;
}

/* ---- their application ---- */

/* One event for all, about core->unit, the last one, and those beside it. */
static void settle(struct jobs_tx *tx, enum wire_cause cause, uint32_t count, const void *nodes,
                   uint32_t node_count)
{
    struct jobs_event *event = &tx->core->event;
    *event = (struct jobs_event){.cause = cause, .more = count - 1, .node_count = node_count};
    memcpy(event->nodes, nodes, (size_t)node_count * SH_NODE_ID_BYTES);
    jobs_life_settle(tx, &tx->core->unit);
}

static enum jobs_code load_job(struct jobs_tx *tx, uint64_t job, uint32_t unit)
{
    tx->result->unit = (struct wire_unit){.job = job, .unit = unit};
    bool found = jobs_tx_found(tx, jobs_job_get(tx->table, job, &tx->core->job));
    return found ? JOBS_CODE_NONE : JOBS_CODE_JOB_UNKNOWN;
}

static enum jobs_code check_places(struct jobs_tx *tx, const struct jobs_place_many *c)
{
    const struct jobs_unit *unit = &tx->core->unit;
    for (uint32_t i = 0; i < c->node_count; i++) {
        if (!jobs_tx_has(tx, jobs_row_id('n', c->nodes[i]))) {
            return JOBS_CODE_MEMBER_UNKNOWN;
        }
    }
    for (uint32_t i = 0; i < c->count; i++) {
        struct wire_unit id = {.job = c->job, .unit = c->units[i]};
        if (!jobs_tx_found(tx, jobs_unit_get(tx->table, id, &tx->core->unit))) {
            return JOBS_CODE_UNIT_UNKNOWN;
        }
        if (!wire_fence_none(unit->placement.fence)) {
            return JOBS_CODE_FENCE_STALE;
        }
        if (unit->state != JOBS_WAITING) {
            return JOBS_CODE_UNIT_CLOSED;
        }
        if (jobs_stage_wait(tx->table, &tx->core->job, id.unit).open > 0) {
            return JOBS_CODE_UNIT_EARLY;
        }
    }
    return JOBS_CODE_NONE;
}

enum jobs_code jobs_do_place_many(struct jobs_tx *tx, const struct jobs_place_many *c)
{
    struct jobs_job *job = &tx->core->job;
    enum jobs_code code = load_job(tx, c->job, c->units[0]);
    if (code == JOBS_CODE_NONE && job->need.agents_min > 1) {
        code = JOBS_CODE_NOT_ALIKE;
    }
    if (code == JOBS_CODE_NONE) {
        code = check_places(tx, c);
    }
    if (code == JOBS_CODE_NONE && !jobs_unit_class_fits(job, c->class, false)) {
        code = JOBS_CODE_CLASS_DIFFERS;
    }
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    struct wire_placement gang = {.member_count = 1, .members = {{.rank_hi = job->need.ranks}}};
    memcpy(gang.class, c->class, WIRE_CLASS_BYTES);
    jobs_unit_pin_class(job, c->class, false);
    for (uint32_t i = 0; i < c->count; i++) {
        struct wire_unit id = {.job = c->job, .unit = c->units[i]};
        SH_CHECK(jobs_tx_found(tx, jobs_unit_get(tx->table, id, &tx->core->unit)));
        memcpy(gang.members[0].node, c->nodes[c->at[i]], SH_NODE_ID_BYTES);
        jobs_unit_run(tx, &gang);
    }
    settle(tx, WIRE_CAUSE_PLACED, c->count, c->nodes, c->node_count);
    return JOBS_CODE_NONE;
}

static void note_node(uint8_t nodes[][SH_NODE_ID_BYTES], uint32_t *count, const uint8_t *node)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (memcmp(nodes[i], node, SH_NODE_ID_BYTES) == 0) {
            return;
        }
    }
    if (*count < WIRE_MEMBERS_MAX) {
        memcpy(nodes[(*count)++], node, SH_NODE_ID_BYTES);
    }
}

static enum jobs_code check_commits(struct jobs_tx *tx, const struct jobs_commit_many *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct wire_unit id = {.job = c->job, .unit = c->units[i]};
        enum jobs_code code = jobs_unit_load_fenced(tx, id, c->fence);
        if (code != JOBS_CODE_NONE) {
            return code;
        }
        if (tx->core->unit.state != JOBS_RUNNING) {
            return JOBS_CODE_UNIT_STOPPING;
        }
    }
    return tx->core->job.kind == WIRE_KIND_NOOP ? JOBS_CODE_NONE : JOBS_CODE_NOT_ALIKE;
}

enum jobs_code jobs_do_commit_many(struct jobs_tx *tx, const struct jobs_commit_many *c)
{
    struct jobs_unit *unit = &tx->core->unit;
    uint8_t nodes[WIRE_MEMBERS_MAX][SH_NODE_ID_BYTES];
    uint32_t node_count = 0;
    enum jobs_code code = load_job(tx, c->job, c->units[0]);
    if (code == JOBS_CODE_NONE) {
        code = check_commits(tx, c);
    }
    if (code != JOBS_CODE_NONE) {
        return code;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        struct wire_unit id = {.job = c->job, .unit = c->units[i]};
        SH_CHECK(jobs_tx_found(tx, jobs_unit_get(tx->table, id, unit)));
        unit->committed = true;
        jobs_blame_commit(tx);
        for (uint32_t k = 0; k < unit->placement.member_count; k++) {
            note_node(nodes, &node_count, unit->placement.members[k].node);
        }
        jobs_life_move(tx, unit, JOBS_COMPLETED);
    }
    settle(tx, WIRE_CAUSE_COMMITTED, c->count, nodes, node_count);
    return JOBS_CODE_NONE;
}
