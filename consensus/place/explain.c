/* SPDX-License-Identifier: Apache-2.0 */
#include "place/pass.h"

static bool stands_in(const struct place_gang *gang, uint32_t node)
{
    bool found = false;
    for (uint32_t i = 0; i < gang->count && !found; i++) {
        found = gang->nodes[i] == node;
    }
    return found;
}

/* A member that is gone, or gives its place to another. */
static struct place_refusal refuse_member(const struct place *p, uint32_t unit, uint32_t node,
                                          const struct place_member_fate *fate)
{
    struct place_refusal refusal = {.reason = WIRE_REASON_NONE};
    if (fate->fate == PLACE_GONE) {
        refusal = place_refuse(p, unit, node);
        if (fate->cause == WIRE_CAUSE_MEMBER_LOST && refusal.reason != WIRE_REASON_CLASS_DIFFERS) {
            refusal = (struct place_refusal){.reason = WIRE_REASON_LOST};
        }
    }
    return refusal;
}

/* A node that could take the unit: why it does not. */
static struct place_refusal refuse_fit(struct place *p, uint32_t unit, uint32_t node,
                                       const struct place_case *c)
{
    const struct place_unit *u = &p->in->units[unit];
    const uint8_t *id = place_node(p, node)->id;
    struct place_refusal refusal = {.reason = WIRE_REASON_NONE};
    uint16_t class = place_slot_of(p, unit)->class;
    uint32_t failed = place_failed_count(p, unit);
    bool failed_here = false;
    for (uint32_t i = 0; i < failed; i++) {
        failed_here = failed_here || memcmp(u->failed[i], id, SH_NODE_ID_BYTES) == 0;
    }
    uint32_t max = place_agents_max(u);
    if (class != PLACE_NO_CLASS && p->spots[node].class != class) {
        refusal.reason = WIRE_REASON_CLASS_DIFFERS;
    } else if (failed_here) {
        refusal.reason = WIRE_REASON_FAILED_HERE;
    } else if (c->ready_only && !place_is_ready(u, id)) {
        refusal.reason = WIRE_REASON_NOT_READY;
    } else if (c->gang->count >= max) {
        refusal.reason = WIRE_REASON_MAX_AGENTS;
        refusal.need = max;
        refusal.have = c->gang->count;
    }
    return refusal;
}

static struct place_refusal too_soon(const struct place *p, const struct place_unit *u)
{
    uint64_t now = p->in->now_us;
    return (struct place_refusal){.reason = WIRE_REASON_TOO_SOON,
                                  .need = p->limits->change_min_us,
                                  .have = now > u->placed_us ? now - u->placed_us : 0};
}

static struct place_refusal judge_node(struct place *p, uint32_t unit, uint32_t node,
                                       const struct place_case *c)
{
    const struct place_unit *u = &p->in->units[unit];
    const uint8_t *id = place_node(p, node)->id;
    uint32_t member = wire_member_find(u->members, u->member_count, id);
    if (member < u->member_count) {
        SH_CHECK(c->fates != NULL);
        return refuse_member(p, unit, node, &c->fates[member]);
    }
    if (stands_in(c->gang, node)) {
        return c->too_soon ? too_soon(p, u) : (struct place_refusal){.reason = WIRE_REASON_NONE};
    }
    struct place_refusal refusal = place_refuse(p, unit, node);
    return refusal.reason == WIRE_REASON_NONE ? refuse_fit(p, unit, node, c) : refusal;
}

void place_explain(struct place *p, uint32_t unit, const struct place_case *c)
{
    struct place_output *out = p->out;
    if (!place_is_asked(p, unit)) {
        return;
    }
    for (uint32_t node = 0; node < p->in->node_count; node++) {
        struct place_refusal refusal = judge_node(p, unit, node, c);
        if (refusal.reason == WIRE_REASON_NONE) {
            continue;
        }
        refusal.unit = p->in->units[unit].unit;
        memcpy(refusal.node, place_node(p, node)->id, SH_NODE_ID_BYTES);
        if (out->refusal_count < out->refusal_capacity) {
            out->refusals[out->refusal_count++] = refusal;
        } else {
            out->refusals_left_off++;
        }
    }
}
