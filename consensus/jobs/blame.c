/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/tx.h"

static bool row_get(const struct sh_table *t, struct jobs_row_key key, struct sh_span *value)
{
    return t->get(t->ctx, jobs_row_span(&key), value);
}

enum sh_err jobs_trouble_get(const struct sh_table *t, struct wire_unit id,
                             struct jobs_trouble *out)
{
    struct sh_span value;
    bool found = row_get(t, jobs_row_unit('f', id), &value);
    return found ? jobs_row_get_trouble(value, out) : SH_ERR_NOT_FOUND;
}

enum sh_err jobs_health_get(const struct sh_table *t, const uint8_t id[static SH_NODE_ID_BYTES],
                            struct jobs_health *out)
{
    struct sh_span value;
    bool found = row_get(t, jobs_row_id('q', id), &value);
    return found ? jobs_row_get_health(value, out) : SH_ERR_NOT_FOUND;
}

static void put_health(struct jobs_tx *tx, const uint8_t *node)
{
    static const struct jobs_health clear;
    const struct jobs_health *h = &tx->core->health;
    bool clean = h->score_milli == clear.score_milli && h->suspect_job == 0 && h->trial == 0;
    if (clean) {
        jobs_tx_del(tx, jobs_row_id('q', node));
    } else {
        jobs_tx_put(tx, jobs_row_id('q', node), jobs_row_put_health(tx->core->buffer, h));
    }
}

/* False: nothing is known against the agent; health is clear then. An agent that was removed since
 * has no health. */
static bool load_health(struct jobs_tx *tx, const uint8_t *node)
{
    bool found = jobs_tx_found(tx, jobs_health_get(tx->table, node, &tx->core->health));
    if (!found) {
        tx->core->health = (struct jobs_health){0};
    }
    return found;
}

/* The member where it failed; NULL: nobody knows whose fault it was. */
static const uint8_t *failed_at(const struct wire_placement *gang, const struct jobs_fail *c)
{
    bool member = wire_member_find(gang->members, gang->member_count, c->node) < gang->member_count;
    if (member) {
        return c->node;
    }
    return gang->member_count == 1 ? gang->members[0].node : NULL;
}

bool jobs_blame_failure(struct jobs_tx *tx, const struct jobs_fail *c)
{
    struct jobs_unit *unit = &tx->core->unit;
    struct jobs_trouble *t = &tx->core->trouble;
    const uint8_t *node = failed_at(&unit->placement, c);
    uint64_t now_us = tx->meta.stamp_us;
    bool poison = false;
    if (!jobs_tx_found(tx, jobs_trouble_get(tx->table, unit->id, t))) {
        *t = (struct jobs_trouble){.count = 0};
    }
    t->not_before_us = now_us + jobs_backoff_us(unit->id, unit->failures);
    if (node != NULL && !c->final) {
        poison = jobs_trouble_add(t, node, jobs_failure_kind(c->reason, c->text), now_us);
        if (!poison && jobs_tx_has(tx, jobs_row_id('n', node))) {
            (void)load_health(tx, node);
            t->failures[0].blamed = jobs_health_failed(&tx->core->health, unit->id.job, now_us);
            put_health(tx, node);
        }
    }
    jobs_tx_put(tx, jobs_row_unit('f', unit->id), jobs_row_put_trouble(tx->core->buffer, t));
    return poison;
}

void jobs_blame_commit(struct jobs_tx *tx)
{
    struct jobs_unit *unit = &tx->core->unit;
    struct jobs_trouble *t = &tx->core->trouble;
    const struct wire_placement *gang = &unit->placement;
    uint64_t now_us = tx->meta.stamp_us;
    for (uint32_t i = 0; i < gang->member_count; i++) {
        if (load_health(tx, gang->members[i].node)) {
            jobs_health_completed(&tx->core->health, now_us);
            put_health(tx, gang->members[i].node);
        }
    }
    if (unit->failures == 0 || !jobs_tx_found(tx, jobs_trouble_get(tx->table, unit->id, t))) {
        return;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        const uint8_t *node = t->failures[i].node;
        bool elsewhere =
            wire_member_find(gang->members, gang->member_count, node) == gang->member_count;
        if (!t->failures[i].blamed && elsewhere && jobs_tx_has(tx, jobs_row_id('n', node))) {
            (void)load_health(tx, node);
            (void)jobs_health_blame(&tx->core->health, now_us);
            put_health(tx, node);
        }
    }
}
