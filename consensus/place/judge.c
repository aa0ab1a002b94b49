/* SPDX-License-Identifier: Apache-2.0 */
#include "place/pass.h"

static bool is_alive(const struct place *p, uint32_t node)
{
    return node != PLACE_NOBODY && place_node(p, node)->liveness == PLACE_ALIVE;
}

/* True when a member other than itself, alive, says that the member is lost; with own, when the
 * member itself says that it has no session. */
static bool reported(const struct place *p, const struct place_unit *unit, const uint8_t *member,
                     bool own)
{
    bool found = false;
    for (uint32_t i = 0; i < p->in->report_count && !found; i++) {
        const struct place_report *report = &p->in->reports[i];
        bool self = memcmp(report->reporter, report->lost, SH_NODE_ID_BYTES) == 0;
        bool ours = wire_unit_equal(report->unit, unit->unit) &&
                    wire_fence_equal(report->fence, unit->fence) && self == own &&
                    memcmp(report->lost, member, SH_NODE_ID_BYTES) == 0;
        found = ours &&
                wire_member_find(unit->members, unit->member_count, report->reporter) <
                    unit->member_count &&
                is_alive(p, place_node_find(p, report->reporter));
    }
    return found;
}

static bool class_is_lost(const struct place_unit *unit, const struct place_node *node)
{
    return unit->pinned && unit->need.arithmetic == WIRE_ARITHMETIC_SAME &&
           memcmp(node->class, unit->class, WIRE_CLASS_BYTES) != 0;
}

static struct place_member_fate judge_one(const struct place *p, const struct place_unit *unit,
                                          uint32_t at)
{
    const uint8_t *id = unit->members[at].node;
    struct place_member_fate fate = {.node = place_node_find(p, id), .fate = PLACE_STAYS};
    bool settled = p->in->now_us >= p->in->losses_from_us;
    if (fate.node == PLACE_NOBODY) {
        fate.fate = settled ? PLACE_GONE : PLACE_STAYS;
        fate.cause = WIRE_CAUSE_MEMBER_DEAD;
        return fate;
    }
    const struct place_node *node = place_node(p, fate.node);
    if (node->liveness == PLACE_LEFT) {
        fate.fate = PLACE_GONE;
        fate.cause = WIRE_CAUSE_MEMBER_LEFT;
    } else if (node->liveness == PLACE_DEAD) {
        fate.fate = settled ? PLACE_GONE : PLACE_STAYS;
        fate.cause = WIRE_CAUSE_MEMBER_DEAD;
    } else if (node->liveness == PLACE_SUSPECT) {
        /* Two witnesses of now, also where the coordinator has been one for a moment only. */
        bool lost = reported(p, unit, id, false);
        fate.fate = lost ? PLACE_GONE : PLACE_STAYS;
        fate.cause = WIRE_CAUSE_MEMBER_LOST;
    } else if (class_is_lost(unit, node)) {
        fate.fate = PLACE_GONE;
        fate.cause = WIRE_CAUSE_MEMBER_LOST;
    } else if (reported(p, unit, id, true)) {
        fate.fate = PLACE_RESTARTS;
    } else if (node->draining || node->quarantined_until_us > p->in->now_us) {
        fate.fate = PLACE_DRAINS;
    }
    return fate;
}

void place_judge(const struct place *p, const struct place_unit *unit,
                 struct place_member_fate *fates)
{
    SH_CHECK_CMP(unit->member_count, <=, WIRE_MEMBERS_MAX);
    for (uint32_t i = 0; i < unit->member_count; i++) {
        fates[i] = judge_one(p, unit, i);
    }
}
