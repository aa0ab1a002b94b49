/* SPDX-License-Identifier: Apache-2.0 */
#include "place/place.h"
#include "place/order.h"
#include "place/pass.h"

/* A gang in the making: node indices in member order. */
struct gang {
    uint32_t nodes[WIRE_MEMBERS_MAX];
    uint32_t kept; /* the first ones are members already */
    uint32_t count;
};

struct place_limits place_limits_default(void)
{
    return (struct place_limits){.change_min_us = 2000000, .renew_min_us = 1000000};
}

static bool node_before(const void *ctx, uint32_t a, uint32_t b)
{
    const struct place_pass *pass = ctx;
    return memcmp(pass->in->nodes[a].id, pass->in->nodes[b].id, SH_NODE_ID_BYTES) < 0;
}

static bool unit_before(const void *ctx, uint32_t a, uint32_t b)
{
    const struct place_pass *pass = ctx;
    const struct place_unit *x = &pass->in->units[a];
    const struct place_unit *y = &pass->in->units[b];
    if (x->priority != y->priority) {
        return x->priority > y->priority;
    }
    if (x->unit.job != y->unit.job) {
        return x->unit.job < y->unit.job;
    }
    return x->unit.unit < y->unit.unit;
}

static bool is_ready(const struct place_unit *unit, const uint8_t *id)
{
    bool ready = false;
    for (uint32_t i = 0; i < unit->ready_count && !ready; i++) {
        ready = memcmp(unit->ready[i], id, SH_NODE_ID_BYTES) == 0;
    }
    return ready;
}

static uint32_t speed_of(const struct place_node *node)
{
    return node->speed == 0 ? PLACE_SPEED_USUAL : node->speed;
}

struct wish {
    const struct place_pass *pass;
    const struct place_unit *unit;
};

static bool fits_better(const void *ctx, uint32_t a, uint32_t b)
{
    const struct wish *wish = ctx;
    const struct place_node *x = &wish->pass->in->nodes[a];
    const struct place_node *y = &wish->pass->in->nodes[b];
    bool ready = is_ready(wish->unit, x->id);
    if (ready != is_ready(wish->unit, y->id)) {
        return ready;
    }
    if (wish->pass->work->slots_used[a] != wish->pass->work->slots_used[b]) {
        return wish->pass->work->slots_used[a] < wish->pass->work->slots_used[b];
    }
    if (speed_of(x) != speed_of(y)) {
        return speed_of(x) > speed_of(y);
    }
    return memcmp(x->id, y->id, SH_NODE_ID_BYTES) < 0;
}

static void set_refusal(struct place_pass *pass, const struct place_unit *unit, uint32_t node,
                        struct place_refusal refusal)
{
    refusal.unit = unit->unit;
    memcpy(refusal.node, pass->in->nodes[node].id, SH_NODE_ID_BYTES);
    pass->work->refusal[node] = refusal;
}

static bool is_member(const struct place_unit *unit, const uint8_t *id)
{
    return wire_member_find(unit->members, unit->member_count, id) < unit->member_count;
}

/* Finds every node that could join the unit's gang, best first, in work->fit; notes why the others
 * cannot. Members are passed over. */
static uint32_t find_fit(struct place_pass *pass, const struct place_unit *unit, bool ready_only)
{
    struct place_work *work = pass->work;
    uint32_t count = 0;
    for (uint32_t i = 0; i < pass->in->node_count; i++) {
        const struct place_node *node = &pass->in->nodes[i];
        struct place_refusal refusal = {.reason = WIRE_REASON_NONE};
        bool member = is_member(unit, node->id);
        if (!member) {
            refusal = place_refuse(pass, unit, i);
        }
        if (refusal.reason == WIRE_REASON_NONE && ready_only && !is_ready(unit, node->id)) {
            refusal.reason = WIRE_REASON_NOT_READY;
        }
        set_refusal(pass, unit, i, refusal);
        if (!member && refusal.reason == WIRE_REASON_NONE) {
            work->fit[count++] = i;
        }
    }
    const uint8_t *class = place_class(pass, unit, count);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = work->fit[i];
        if (class == NULL || memcmp(pass->in->nodes[node].class, class, WIRE_CLASS_BYTES) == 0) {
            work->fit[kept++] = node;
        } else {
            work->refusal[node].reason = WIRE_REASON_CLASS_DIFFERS;
        }
    }
    struct wish wish = {.pass = pass, .unit = unit};
    place_sort(work->fit, kept, fits_better, &wish);
    return kept;
}

static uint32_t agents_max(const struct place_unit *unit)
{
    uint32_t max = unit->need.agents_max;
    max = max < unit->need.ranks ? max : unit->need.ranks;
    return max < WIRE_MEMBERS_MAX ? max : WIRE_MEMBERS_MAX;
}

/* Fills the gang up to its limit with the best fitting nodes; the new ones stand behind, by id. */
static void fill_gang(struct place_pass *pass, const struct place_unit *unit, struct gang *gang,
                      uint32_t fit_count)
{
    uint32_t max = agents_max(unit);
    for (uint32_t i = 0; i < fit_count; i++) {
        uint32_t node = pass->work->fit[i];
        if (gang->count < max) {
            gang->nodes[gang->count++] = node;
        } else {
            pass->work->refusal[node].reason = WIRE_REASON_MAX_AGENTS;
            pass->work->refusal[node].need = max;
            pass->work->refusal[node].have = gang->count;
        }
    }
    place_sort(gang->nodes + gang->kept, gang->count - gang->kept, node_before, pass);
}

static void set_verdict(struct place_pass *pass, const struct place_unit *unit,
                        enum wire_reason reason, uint64_t need, uint64_t have)
{
    if (pass->out->verdicts != NULL) {
        pass->out->verdicts[unit - pass->in->units] = (struct place_refusal){
            .unit = unit->unit, .reason = reason, .need = need, .have = have};
    }
}

static void flush_refusals(struct place_pass *pass)
{
    for (uint32_t i = 0; i < pass->in->node_count; i++) {
        uint32_t node = pass->work->node_order[i];
        const struct place_refusal *refusal = &pass->work->refusal[node];
        if (refusal->reason == WIRE_REASON_NONE) {
            continue;
        }
        if (pass->out->refusal_count < pass->out->refusal_capacity) {
            pass->out->refusals[pass->out->refusal_count++] = *refusal;
        } else {
            pass->out->refusals_left_off++;
        }
    }
}

/* NULL, and the verdict says so, when the caller's array is full. */
static struct place_decision *next_decision(struct place_pass *pass, const struct place_unit *unit,
                                            enum place_action action, enum wire_cause cause)
{
    if (pass->out->decision_count == pass->out->decision_capacity) {
        set_verdict(pass, unit, WIRE_REASON_NOT_EVALUATED, 0, 0);
        return NULL;
    }
    struct place_decision *decision = &pass->out->decisions[pass->out->decision_count++];
    *decision = (struct place_decision){
        .action = action, .unit = unit->unit, .previous = unit->fence, .cause = cause};
    return decision;
}

static void decide_place(struct place_pass *pass, const struct place_unit *unit,
                         const struct gang *gang, enum wire_cause cause)
{
    struct place_decision *decision = next_decision(pass, unit, PLACE_ACTION_PLACE, cause);
    if (decision == NULL) {
        return;
    }
    SH_CHECK_CMP(gang->count, >=, unit->need.agents_min);
    uint16_t speeds[WIRE_MEMBERS_MAX];
    struct wire_placement *placement = &decision->placement;
    const struct place_node *nodes = pass->in->nodes;
    const uint8_t *class = nodes[gang->nodes[0]].class;
    placement->member_count = gang->count;
    memcpy(placement->class, class, WIRE_CLASS_BYTES);
    for (uint32_t i = 0; i < gang->count; i++) {
        const struct place_node *node = &nodes[gang->nodes[i]];
        memcpy(placement->members[i].node, node->id, SH_NODE_ID_BYTES);
        speeds[i] = node->speed;
        placement->mixed = placement->mixed || memcmp(node->class, class, WIRE_CLASS_BYTES) != 0;
    }
    place_split(placement->members, speeds, gang->count, unit->need.ranks);
    place_use(pass, unit, unit->members, unit->member_count, false);
    place_use(pass, unit, placement->members, placement->member_count, true);
    set_verdict(pass, unit, WIRE_REASON_NONE, 0, 0);
}

static void decide_expire(struct place_pass *pass, const struct place_unit *unit,
                          enum wire_cause cause)
{
    if (next_decision(pass, unit, PLACE_ACTION_EXPIRE, cause) != NULL) {
        place_use(pass, unit, unit->members, unit->member_count, false);
    }
}

static void plan_waiting(struct place_pass *pass, const struct place_unit *unit)
{
    struct gang gang = {.count = 0};
    uint32_t fit_count = find_fit(pass, unit, false);
    fill_gang(pass, unit, &gang, fit_count);
    if (gang.count >= unit->need.agents_min) {
        decide_place(pass, unit, &gang, WIRE_CAUSE_PLACED);
    } else {
        set_verdict(pass, unit, WIRE_REASON_MIN_AGENTS, unit->need.agents_min, gang.count);
    }
    flush_refusals(pass);
}

static void plan_stopping(struct place_pass *pass, const struct place_unit *unit)
{
    struct place_member_fate fates[WIRE_MEMBERS_MAX];
    place_judge(pass, unit, fates);
    set_verdict(pass, unit, WIRE_REASON_STOPPING, 0, 0);
    if (unit->member_count > 0 &&
        (fates[0].fate == PLACE_GONE || fates[0].fate == PLACE_RESTARTS)) {
        decide_expire(pass, unit, WIRE_CAUSE_STOPPED);
    }
}

/* Members that take part in the next gang. Draining ones go when enough others are there. */
static void keep_members(const struct place_unit *unit, const struct place_member_fate *fates,
                         uint32_t fit_count, struct gang *gang)
{
    uint32_t firm = 0;
    for (uint32_t i = 0; i < unit->member_count; i++) {
        firm += fates[i].fate == PLACE_STAYS || fates[i].fate == PLACE_RESTARTS;
    }
    bool drop = firm + fit_count >= unit->need.agents_min;
    *gang = (struct gang){.count = 0};
    for (uint32_t i = 0; i < unit->member_count; i++) {
        bool stays = fates[i].fate == PLACE_STAYS || fates[i].fate == PLACE_RESTARTS ||
                     (fates[i].fate == PLACE_DRAINS && !drop);
        if (stays) {
            SH_CHECK_CMP(fates[i].node, !=, PLACE_NOBODY);
            gang->nodes[gang->count++] = fates[i].node;
        }
    }
    gang->kept = gang->count;
}

static enum wire_cause forced_by(const struct place_pass *pass, const struct place_unit *unit,
                                 const struct place_member_fate *fates)
{
    bool restarts = false;
    for (uint32_t i = 0; i < unit->member_count; i++) {
        if (fates[i].fate == PLACE_GONE) {
            return fates[i].cause;
        }
        restarts = restarts || fates[i].fate == PLACE_RESTARTS;
    }
    bool late = pass->in->now_us >= unit->placed_us + pass->limits->renew_min_us;
    return restarts && late ? WIRE_CAUSE_RENEWED : WIRE_CAUSE_NONE;
}

static void refuse_gone(struct place_pass *pass, const struct place_unit *unit,
                        const struct place_member_fate *fates)
{
    for (uint32_t i = 0; i < unit->member_count; i++) {
        if (fates[i].node != PLACE_NOBODY && fates[i].fate == PLACE_GONE) {
            struct place_refusal refusal = place_refuse(pass, unit, fates[i].node);
            if (fates[i].cause == WIRE_CAUSE_MEMBER_LOST &&
                refusal.reason != WIRE_REASON_CLASS_DIFFERS) {
                refusal = (struct place_refusal){.reason = WIRE_REASON_LOST};
            }
            set_refusal(pass, unit, fates[i].node, refusal);
        }
    }
}

/* A member is gone or restarted: a new gang now, or none. */
static void plan_forced(struct place_pass *pass, const struct place_unit *unit,
                        const struct place_member_fate *fates, enum wire_cause cause)
{
    struct gang gang;
    uint32_t fit_count = find_fit(pass, unit, pass->limits->grow_ready_only);
    keep_members(unit, fates, fit_count, &gang);
    if (gang.kept + fit_count < unit->need.agents_min && pass->limits->grow_ready_only) {
        fit_count = find_fit(pass, unit, false);
        keep_members(unit, fates, fit_count, &gang);
    }
    fill_gang(pass, unit, &gang, fit_count);
    refuse_gone(pass, unit, fates);
    if (gang.count >= unit->need.agents_min) {
        decide_place(pass, unit, &gang, cause);
    } else {
        set_verdict(pass, unit, WIRE_REASON_MIN_AGENTS, unit->need.agents_min, gang.count);
        decide_expire(pass, unit, WIRE_CAUSE_TOO_FEW_AGENTS);
    }
    flush_refusals(pass);
}

static void refuse_too_soon(struct place_pass *pass, const struct place_unit *unit,
                            const struct gang *gang)
{
    uint64_t now = pass->in->now_us;
    for (uint32_t i = gang->kept; i < gang->count; i++) {
        struct place_refusal refusal = {.reason = WIRE_REASON_TOO_SOON,
                                        .need = pass->limits->change_min_us,
                                        .have = now > unit->placed_us ? now - unit->placed_us : 0};
        set_refusal(pass, unit, gang->nodes[i], refusal);
    }
}

/* All members are well: grow, or let draining members go, if it is time. */
static void plan_growth(struct place_pass *pass, const struct place_unit *unit,
                        const struct place_member_fate *fates)
{
    struct gang gang;
    uint32_t fit_count = find_fit(pass, unit, pass->limits->grow_ready_only);
    keep_members(unit, fates, fit_count, &gang);
    bool drains = gang.kept < unit->member_count;
    fill_gang(pass, unit, &gang, fit_count);
    bool wanted = (drains || gang.count > gang.kept) && gang.count >= unit->need.agents_min;
    if (wanted && pass->in->now_us < unit->placed_us + pass->limits->change_min_us) {
        refuse_too_soon(pass, unit, &gang);
    } else if (wanted) {
        decide_place(pass, unit, &gang, drains ? WIRE_CAUSE_MEMBER_DRAINED : WIRE_CAUSE_GROWN);
    }
    flush_refusals(pass);
}

/* False while a member is suspected, or not known yet: no time for changes that nobody needs. */
static bool all_alive(const struct place_pass *pass, const struct place_unit *unit,
                      const struct place_member_fate *fates)
{
    bool all = true;
    for (uint32_t i = 0; i < unit->member_count; i++) {
        all = all && fates[i].node != PLACE_NOBODY &&
              pass->in->nodes[fates[i].node].liveness == PLACE_ALIVE;
    }
    return all;
}

/* A new coordinator that has not heard of a member yet must not judge its gang. */
static bool unheard_of(const struct place_unit *unit, const struct place_member_fate *fates)
{
    bool some = false;
    for (uint32_t i = 0; i < unit->member_count; i++) {
        some = some || (fates[i].node == PLACE_NOBODY && fates[i].fate != PLACE_GONE);
    }
    return some;
}

/* First who must be placed, anew or at all; then, with grow, who could have more. */
static void plan_unit(struct place_pass *pass, const struct place_unit *unit, bool grow)
{
    struct place_member_fate fates[WIRE_MEMBERS_MAX];
    if (unit->stopping || !unit->running) {
        if (!grow && unit->stopping) {
            plan_stopping(pass, unit);
        } else if (!grow) {
            plan_waiting(pass, unit);
        }
        return;
    }
    place_judge(pass, unit, fates);
    if (unheard_of(unit, fates)) {
        return;
    }
    enum wire_cause cause = forced_by(pass, unit, fates);
    if (cause != WIRE_CAUSE_NONE && !grow) {
        plan_forced(pass, unit, fates, cause);
    } else if (cause == WIRE_CAUSE_NONE && grow && all_alive(pass, unit, fates)) {
        plan_growth(pass, unit, fates);
    }
}

static void begin(struct place_pass *pass)
{
    const struct place_input *in = pass->in;
    struct place_work *work = pass->work;
    SH_CHECK_CMP(in->node_count, <=, PLACE_NODES_MAX);
    SH_CHECK_CMP(in->unit_count, <=, PLACE_UNITS_MAX);
    for (uint32_t i = 0; i < in->node_count; i++) {
        work->node_order[i] = i;
        work->slots_used[i] = 0;
        work->cpus_used[i] = 0;
        work->ram_used[i] = 0;
        work->holder[i] = 0;
    }
    place_sort(work->node_order, in->node_count, node_before, pass);
    for (uint32_t i = 1; i < in->node_count; i++) {
        SH_CHECK(node_before(pass, work->node_order[i - 1], work->node_order[i]));
    }
    for (uint32_t i = 0; i < in->unit_count; i++) {
        const struct place_unit *unit = &in->units[i];
        SH_CHECK(wire_need_ok(&unit->need));
        SH_CHECK(unit->dataset == PLACE_NO_DATASET || unit->dataset < PLACE_DATASETS_MAX);
        SH_CHECK((unit->member_count > 0) == (unit->running || unit->stopping));
        work->unit_order[i] = i;
        place_use(pass, unit, unit->members, unit->member_count, true);
        set_verdict(pass, unit, WIRE_REASON_NONE, 0, 0);
    }
    place_sort(work->unit_order, in->unit_count, unit_before, pass);
}

void place_plan(const struct place_input *input, const struct place_limits *limits,
                struct place_output *output)
{
    struct place_pass pass = {.in = input, .limits = limits, .out = output, .work = &output->work};
    output->decision_count = 0;
    output->refusal_count = 0;
    output->refusals_left_off = 0;
    begin(&pass);
    for (uint32_t i = 0; i < input->unit_count; i++) {
        plan_unit(&pass, &input->units[output->work.unit_order[i]], false);
    }
    for (uint32_t i = 0; i < input->unit_count; i++) {
        plan_unit(&pass, &input->units[output->work.unit_order[i]], true);
    }
}
