/* SPDX-License-Identifier: Apache-2.0 */
#include "place/pass.h"

uint32_t place_node_find(const struct place_pass *pass, const uint8_t *id)
{
    const uint32_t *order = pass->work->node_order;
    uint32_t low = 0;
    uint32_t high = pass->in->node_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int side = memcmp(pass->in->nodes[order[middle]].id, id, SH_NODE_ID_BYTES);
        if (side == 0) {
            return order[middle];
        }
        low = side < 0 ? middle + 1 : low;
        high = side < 0 ? high : middle;
    }
    return PLACE_NOBODY;
}

void place_use(struct place_pass *pass, const struct place_unit *unit,
               const struct wire_member *members, uint32_t count, bool add)
{
    struct place_work *work = pass->work;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = place_node_find(pass, members[i].node);
        if (node == PLACE_NOBODY) {
            continue;
        }
        if (add) {
            work->slots_used[node]++;
            work->cpus_used[node] += unit->need.cpus;
            work->ram_used[node] += unit->need.ram_bytes;
            /* The newest job: the same whatever the order of the units. */
            work->holder[node] =
                work->holder[node] > unit->unit.job ? work->holder[node] : unit->unit.job;
        } else {
            SH_CHECK_CMP(work->slots_used[node], >, 0);
            work->slots_used[node]--;
            work->cpus_used[node] -= unit->need.cpus;
            work->ram_used[node] -= unit->need.ram_bytes;
        }
    }
}

static bool is_alive(const struct place_pass *pass, uint32_t node)
{
    return node != PLACE_NOBODY && pass->in->nodes[node].liveness == PLACE_ALIVE;
}

/* True when a member other than itself, alive, says that the member is lost; with own, when the
 * member itself says that it has no session. */
static bool reported(const struct place_pass *pass, const struct place_unit *unit,
                     const uint8_t *member, bool own)
{
    bool found = false;
    for (uint32_t i = 0; i < pass->in->report_count && !found; i++) {
        const struct place_report *report = &pass->in->reports[i];
        bool self = memcmp(report->reporter, report->lost, SH_NODE_ID_BYTES) == 0;
        bool ours = wire_unit_equal(report->unit, unit->unit) &&
                    wire_fence_equal(report->fence, unit->fence) && self == own &&
                    memcmp(report->lost, member, SH_NODE_ID_BYTES) == 0;
        found = ours &&
                wire_member_find(unit->members, unit->member_count, report->reporter) <
                    unit->member_count &&
                is_alive(pass, place_node_find(pass, report->reporter));
    }
    return found;
}

static bool class_is_lost(const struct place_unit *unit, const struct place_node *node)
{
    return unit->pinned && unit->need.arithmetic == WIRE_ARITHMETIC_SAME &&
           memcmp(node->class, unit->class, WIRE_CLASS_BYTES) != 0;
}

static struct place_member_fate judge_one(const struct place_pass *pass,
                                          const struct place_unit *unit, uint32_t at)
{
    const uint8_t *id = unit->members[at].node;
    struct place_member_fate fate = {.node = place_node_find(pass, id), .fate = PLACE_STAYS};
    bool settled = pass->in->now_us >= pass->in->losses_from_us;
    if (fate.node == PLACE_NOBODY) {
        fate.fate = settled ? PLACE_GONE : PLACE_STAYS;
        fate.cause = WIRE_CAUSE_MEMBER_DEAD;
        return fate;
    }
    const struct place_node *node = &pass->in->nodes[fate.node];
    if (node->liveness == PLACE_LEFT) {
        fate.fate = PLACE_GONE;
        fate.cause = WIRE_CAUSE_MEMBER_LEFT;
    } else if (node->liveness == PLACE_DEAD) {
        fate.fate = settled ? PLACE_GONE : PLACE_STAYS;
        fate.cause = WIRE_CAUSE_MEMBER_DEAD;
    } else if (node->liveness == PLACE_SUSPECT) {
        bool lost = settled && reported(pass, unit, id, false);
        fate.fate = lost ? PLACE_GONE : PLACE_STAYS;
        fate.cause = WIRE_CAUSE_MEMBER_LOST;
    } else if (class_is_lost(unit, node)) {
        fate.fate = PLACE_GONE;
        fate.cause = WIRE_CAUSE_MEMBER_LOST;
    } else if (reported(pass, unit, id, true)) {
        fate.fate = PLACE_RESTARTS;
    } else if (node->draining) {
        fate.fate = PLACE_DRAINS;
    }
    return fate;
}

void place_judge(const struct place_pass *pass, const struct place_unit *unit,
                 struct place_member_fate *fates)
{
    SH_CHECK_CMP(unit->member_count, <=, WIRE_MEMBERS_MAX);
    for (uint32_t i = 0; i < unit->member_count; i++) {
        fates[i] = judge_one(pass, unit, i);
    }
}

static struct place_refusal because(enum wire_reason reason, uint64_t need, uint64_t have)
{
    return (struct place_refusal){.reason = reason, .need = need, .have = have};
}

static uint64_t left(uint64_t total, uint64_t used)
{
    return total > used ? total - used : 0;
}

/* What the node could never give comes before what others use of it now. */
static struct place_refusal refuse_resources(const struct place_pass *pass,
                                             const struct place_unit *unit, uint32_t at)
{
    const struct place_node *node = &pass->in->nodes[at];
    const struct place_work *work = pass->work;
    const struct wire_need *need = &unit->need;
    if (node->cpus < need->cpus) {
        return because(WIRE_REASON_TOO_FEW_CPUS, need->cpus, node->cpus);
    }
    if (node->ram_bytes < need->ram_bytes) {
        return because(WIRE_REASON_TOO_LITTLE_RAM, need->ram_bytes, node->ram_bytes);
    }
    if (work->slots_used[at] >= node->slots) {
        struct place_refusal refusal = because(WIRE_REASON_NO_SLOT, 1, 0);
        refusal.holder = work->holder[at];
        return refusal;
    }
    if (left(node->cpus, work->cpus_used[at]) < need->cpus) {
        return because(WIRE_REASON_TOO_FEW_CPUS, need->cpus, left(node->cpus, work->cpus_used[at]));
    }
    if (left(node->ram_bytes, work->ram_used[at]) < need->ram_bytes) {
        return because(WIRE_REASON_TOO_LITTLE_RAM, need->ram_bytes,
                       left(node->ram_bytes, work->ram_used[at]));
    }
    return because(WIRE_REASON_NONE, 0, 0);
}

struct place_refusal place_refuse(const struct place_pass *pass, const struct place_unit *unit,
                                  uint32_t at)
{
    const struct place_node *node = &pass->in->nodes[at];
    if (node->liveness == PLACE_LEFT) {
        return because(WIRE_REASON_LEFT, 0, 0);
    }
    if (node->liveness != PLACE_ALIVE) {
        return because(WIRE_REASON_NOT_ALIVE, PLACE_ALIVE, node->liveness);
    }
    if (node->draining) {
        return because(WIRE_REASON_DRAINING, 0, 0);
    }
    if (pass->in->version[0] != '\0' && strcmp(node->version, pass->in->version) != 0) {
        return because(WIRE_REASON_VERSION_DIFFERS, 0, 0);
    }
    if (class_is_lost(unit, node)) {
        return because(WIRE_REASON_CLASS_DIFFERS, 0, 0);
    }
    if (unit->dataset != PLACE_NO_DATASET && (node->datasets >> unit->dataset & 1) == 0) {
        return because(WIRE_REASON_NO_DATASET, 0, 0);
    }
    return refuse_resources(pass, unit, at);
}

static uint32_t class_votes(const struct place_pass *pass, const uint8_t *class, uint32_t count)
{
    uint32_t votes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *other = pass->in->nodes[pass->work->fit[i]].class;
        votes += memcmp(other, class, WIRE_CLASS_BYTES) == 0;
    }
    return votes;
}

const uint8_t *place_class(const struct place_pass *pass, const struct place_unit *unit,
                           uint32_t fit_count)
{
    if (unit->need.arithmetic == WIRE_ARITHMETIC_ANY) {
        return NULL;
    }
    if (unit->pinned) {
        return unit->class;
    }
    const uint8_t *best = NULL;
    uint32_t best_votes = 0;
    for (uint32_t i = 0; i < fit_count && best_votes <= fit_count / 2; i++) {
        const uint8_t *class = pass->in->nodes[pass->work->fit[i]].class;
        uint32_t votes = class_votes(pass, class, fit_count);
        bool first = votes == best_votes && memcmp(class, best, WIRE_CLASS_BYTES) < 0;
        if (best == NULL || votes > best_votes || first) {
            best = class;
            best_votes = votes;
        }
    }
    return best;
}
