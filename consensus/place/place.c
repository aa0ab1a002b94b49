/* SPDX-License-Identifier: Apache-2.0 */
#include "place/order.h"
#include "place/pass.h"

struct place_limits place_limits_default(void)
{
    return (struct place_limits){.change_min_us = 2000000, .renew_min_us = 1000000};
}

static uint32_t power_above(uint32_t count)
{
    uint32_t power = 1;
    while (power < 2 * count) {
        power *= 2;
    }
    return power;
}

size_t place_bytes(const struct place_capacity *c)
{
    size_t nodes = c->nodes;
    size_t units = c->units;
    size_t words = (nodes + 63) / 64;
    size_t tops = (words + 63) / 64;
    size_t levels = 2 * PLACE_LEVELS * (words + tops);
    size_t per_node = sizeof(struct place_spot) + sizeof(struct place_site) + sizeof(uint64_t) +
                      4 * sizeof(uint32_t);
    size_t per_unit = WIRE_MEMBERS_MAX * sizeof(struct place_use) + sizeof(struct place_key) +
                      sizeof(struct place_sign) + 4 * sizeof(uint32_t) + sizeof(uint8_t);
    size_t tables = (size_t)power_above(c->nodes) + power_above(c->units);
    size_t sets = (PLACE_TRAITS_MAX + 3 + c->signatures) * words + levels;
    return sizeof(struct place) + nodes * per_node + units * per_unit + tables * sizeof(uint32_t) +
           sets * sizeof(uint64_t) + c->signatures * sizeof(struct place_slot) +
           32 * 64; /* and what aligning takes */
}

static void take_nodes(struct place *p, struct sh_arena *arena)
{
    uint32_t nodes = p->capacity.nodes;
    p->spots = SH_ARENA_TAKE(arena, struct place_spot, nodes);
    p->sites = SH_ARENA_TAKE(arena, struct place_site, nodes);
    p->node_order = SH_ARENA_TAKE(arena, uint32_t, nodes);
    p->scratch = SH_ARENA_TAKE(arena, uint32_t, nodes);
    p->when = SH_ARENA_TAKE(arena, uint64_t, nodes);
    p->classes = SH_ARENA_TAKE(arena, uint32_t, nodes);
    p->votes = SH_ARENA_TAKE(arena, uint32_t, nodes);
    p->class_mask = power_above(nodes) - 1;
    p->class_heads = SH_ARENA_TAKE(arena, uint32_t, p->class_mask + 1);
}

static void take_sets(struct place *p, struct sh_arena *arena)
{
    p->words = (p->capacity.nodes + 63) / 64;
    p->top_words = (p->words + 63) / 64;
    p->have = SH_ARENA_TAKE(arena, uint64_t, (size_t)PLACE_TRAITS_MAX * p->words);
    p->open = SH_ARENA_TAKE(arena, uint64_t, p->words);
    p->reserved = SH_ARENA_TAKE(arena, uint64_t, p->words);
    p->with_gpus = SH_ARENA_TAKE(arena, uint64_t, p->words);
    for (uint32_t i = 0; i < 2; i++) {
        p->levels[i].sets = SH_ARENA_TAKE(arena, uint64_t, (size_t)PLACE_LEVELS * p->words);
        p->levels[i].tops = SH_ARENA_TAKE(arena, uint64_t, (size_t)PLACE_LEVELS * p->top_words);
    }
    p->slots = SH_ARENA_TAKE(arena, struct place_slot, p->capacity.signatures);
    for (uint32_t i = 0; i < p->capacity.signatures; i++) {
        p->slots[i].set = SH_ARENA_TAKE(arena, uint64_t, p->words);
    }
}

static void take_units(struct place *p, struct sh_arena *arena)
{
    uint32_t units = p->capacity.units;
    p->uses = SH_ARENA_TAKE(arena, struct place_use, (size_t)units * WIRE_MEMBERS_MAX);
    p->keys = SH_ARENA_TAKE(arena, struct place_key, units);
    p->queue = SH_ARENA_TAKE(arena, uint32_t, units);
    p->ended = SH_ARENA_TAKE(arena, uint8_t, units);
    p->fair = SH_ARENA_TAKE(arena, int32_t, units);
    p->running = SH_ARENA_TAKE(arena, uint32_t, units);
    p->sign_of = SH_ARENA_TAKE(arena, uint32_t, units);
    p->signs = SH_ARENA_TAKE(arena, struct place_sign, units);
    p->sign_mask = power_above(units) - 1;
    p->sign_heads = SH_ARENA_TAKE(arena, uint32_t, p->sign_mask + 1);
}

struct place *place_init(struct sh_arena *arena, const struct place_capacity *capacity)
{
    SH_CHECK_CMP(capacity->nodes, >=, 1);
    SH_CHECK_CMP(capacity->nodes, <=, PLACE_NODES_MAX);
    SH_CHECK_CMP(capacity->units, >=, 1);
    SH_CHECK_CMP(capacity->units, <=, PLACE_UNITS_MAX);
    SH_CHECK_CMP(capacity->signatures, >=, 1);
    struct place *p = SH_ARENA_TAKE(arena, struct place, 1);
    p->capacity = *capacity;
    take_nodes(p, arena);
    take_sets(p, arena);
    take_units(p, arena);
    return p;
}

/* ---- decisions ---- */

struct place_decision *place_decide(struct place *p, uint32_t unit, enum place_action action,
                                    enum wire_cause cause)
{
    const struct place_unit *u = &p->in->units[unit];
    if (p->out->decision_count == p->out->decision_capacity) {
        place_verdict(p, unit, WIRE_REASON_NOT_EVALUATED, 0, 0);
        return NULL;
    }
    struct place_decision *decision = &p->out->decisions[p->out->decision_count++];
    *decision = (struct place_decision){
        .action = action, .unit = u->unit, .previous = u->fence, .cause = cause};
    return decision;
}

static void release(struct place *p, uint32_t unit)
{
    const struct place_unit *u = &p->in->units[unit];
    for (uint32_t i = 0; i < u->member_count; i++) {
        uint32_t node = place_node_find(p, u->members[i].node);
        if (node != PLACE_NOBODY) {
            place_unuse(p, unit, node);
        }
    }
}

static void decide_place(struct place *p, uint32_t unit, const struct place_gang *gang,
                         enum wire_cause cause)
{
    const struct place_unit *u = &p->in->units[unit];
    struct place_decision *decision = place_decide(p, unit, PLACE_ACTION_PLACE, cause);
    if (decision == NULL) {
        return;
    }
    SH_CHECK_CMP(gang->count, >=, u->need.agents_min);
    uint16_t speeds[WIRE_MEMBERS_MAX];
    struct wire_placement *placement = &decision->placement;
    const uint8_t *class = place_node(p, gang->nodes[0])->class;
    placement->member_count = gang->count;
    memcpy(placement->class, class, WIRE_CLASS_BYTES);
    release(p, unit);
    for (uint32_t i = 0; i < gang->count; i++) {
        const struct place_node *node = place_node(p, gang->nodes[i]);
        memcpy(placement->members[i].node, node->id, SH_NODE_ID_BYTES);
        speeds[i] = node->speed;
        placement->mixed = placement->mixed || memcmp(node->class, class, WIRE_CLASS_BYTES) != 0;
        place_use(p, unit, gang->nodes[i]);
    }
    place_split(placement->members, speeds, gang->count, u->need.ranks);
    place_verdict(p, unit, WIRE_REASON_NONE, 0, 0);
}

static void decide_expire(struct place *p, uint32_t unit, enum wire_cause cause)
{
    if (place_decide(p, unit, PLACE_ACTION_EXPIRE, cause) != NULL) {
        p->ended[unit] = 1;
        release(p, unit);
    }
}

/* ---- gangs ---- */

static bool id_before(const void *ctx, uint32_t a, uint32_t b)
{
    (void)ctx;
    return a < b;
}

/* Fills the gang up to its limit with the best fitting nodes; the new ones stand behind, by id. */
static void fill_gang(struct place *p, uint32_t unit, struct place_gang *gang,
                      const struct place_fit *fit)
{
    uint32_t max = place_agents_max(&p->in->units[unit]);
    for (uint32_t i = 0; i < fit->count && gang->count < max; i++) {
        gang->nodes[gang->count++] = fit->nodes[i];
    }
    place_sort(gang->nodes + gang->kept, gang->count - gang->kept, id_before, p);
}

/* ---- waiting units ---- */

/* A unit that must not run yet, whatever room there is. */
static bool must_wait(struct place *p, uint32_t unit)
{
    const struct place_unit *u = &p->in->units[unit];
    uint64_t now = p->in->now_us;
    if (u->awaited_open > 0) {
        place_verdict(p, unit, WIRE_REASON_NOT_READY, u->awaited, u->awaited - u->awaited_open);
        return true;
    }
    if (u->not_before_us > now) {
        place_verdict(p, unit, WIRE_REASON_BACK_OFF, u->not_before_us - now, 0);
        return true;
    }
    uint32_t quota = u->owner < p->in->owner_count ? p->in->owners[u->owner].quota : 0;
    if (quota > 0 && p->running[u->owner] >= quota) {
        place_verdict(p, unit, WIRE_REASON_QUOTA, quota, p->running[u->owner]);
        return true;
    }
    return false;
}

static void note_failure(struct place *p, uint32_t unit, const struct place_fit *fit, uint32_t have)
{
    const struct place_unit *u = &p->in->units[unit];
    struct place_sign *sign = &p->signs[p->sign_of[unit]];
    bool never = place_count(p, unit, false, u->need.agents_min) < u->need.agents_min;
    /* Who failed because of what is its own says nothing about its like. */
    sign->failed = fit->scarce ? p->epoch + 1 : 0;
    sign->failed_have = have;
    sign->failed_reason = never ? WIRE_REASON_NEVER_FITS : WIRE_REASON_MIN_AGENTS;
    place_verdict(p, unit, sign->failed_reason, u->need.agents_min, have);
}

static void plan_waiting(struct place *p, uint32_t unit)
{
    const struct place_unit *u = &p->in->units[unit];
    struct place_sign *sign = &p->signs[p->sign_of[unit]];
    struct place_gang gang = {.count = 0};
    struct place_fit fit = {.count = 0};
    bool asked = place_is_asked(p, unit);
    if (must_wait(p, unit)) {
        return;
    }
    if (sign->failed == p->epoch + 1 && !asked) {
        place_verdict(p, unit, sign->failed_reason, u->need.agents_min, sign->failed_have);
        return;
    }
    place_find_fit(p, unit, place_agents_max(u), false, &fit);
    fill_gang(p, unit, &gang, &fit);
    place_explain(p, unit, &(struct place_case){.gang = &gang});
    if (gang.count >= u->need.agents_min) {
        if (u->owner < p->in->owner_count) {
            p->running[u->owner]++;
        }
        decide_place(p, unit, &gang, WIRE_CAUSE_PLACED);
        return;
    }
    note_failure(p, unit, &fit, gang.count);
    place_head_try(p, unit);
    if (p->head.unit == unit && p->head.preempts) {
        place_verdict(p, unit, WIRE_REASON_PREEMPTS, u->need.agents_min, gang.count);
    }
    if (asked) {
        place_head_foresee(p, unit);
    }
}

/* ---- units with a gang ---- */

static void plan_stopping(struct place *p, uint32_t unit)
{
    const struct place_unit *u = &p->in->units[unit];
    struct place_member_fate fates[WIRE_MEMBERS_MAX];
    place_judge(p, u, fates);
    place_verdict(p, unit, WIRE_REASON_STOPPING, 0, 0);
    if (u->member_count > 0 && (fates[0].fate == PLACE_GONE || fates[0].fate == PLACE_RESTARTS)) {
        decide_expire(p, unit, WIRE_CAUSE_STOPPED);
    }
}

/* Members that take part in the next gang. Draining ones go when enough others are there. */
static void keep_members(const struct place_unit *unit, const struct place_member_fate *fates,
                         uint32_t fit_count, struct place_gang *gang)
{
    uint32_t firm = 0;
    for (uint32_t i = 0; i < unit->member_count; i++) {
        firm += fates[i].fate == PLACE_STAYS || fates[i].fate == PLACE_RESTARTS;
    }
    bool drop = firm + fit_count >= unit->need.agents_min;
    *gang = (struct place_gang){.count = 0};
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

static enum wire_cause forced_by(const struct place *p, const struct place_unit *unit,
                                 const struct place_member_fate *fates)
{
    bool restarts = false;
    for (uint32_t i = 0; i < unit->member_count; i++) {
        if (fates[i].fate == PLACE_GONE) {
            return fates[i].cause;
        }
        restarts = restarts || fates[i].fate == PLACE_RESTARTS;
    }
    bool late = p->in->now_us >= unit->placed_us + p->limits->renew_min_us;
    return restarts && late ? WIRE_CAUSE_RENEWED : WIRE_CAUSE_NONE;
}

/* A member is gone or restarted: a new gang now, or none. */
static void plan_forced(struct place *p, uint32_t unit, const struct place_member_fate *fates,
                        enum wire_cause cause)
{
    const struct place_unit *u = &p->in->units[unit];
    struct place_gang gang;
    struct place_fit fit;
    bool ready_only = p->limits->grow_ready_only;
    place_find_fit(p, unit, place_agents_max(u), ready_only, &fit);
    keep_members(u, fates, fit.count, &gang);
    if (gang.kept + fit.count < u->need.agents_min && ready_only) {
        ready_only = false;
        place_find_fit(p, unit, place_agents_max(u), false, &fit);
        keep_members(u, fates, fit.count, &gang);
    }
    fill_gang(p, unit, &gang, &fit);
    place_explain(p, unit,
                  &(struct place_case){.gang = &gang, .fates = fates, .ready_only = ready_only});
    if (gang.count >= u->need.agents_min) {
        decide_place(p, unit, &gang, cause);
    } else {
        place_verdict(p, unit, WIRE_REASON_MIN_AGENTS, u->need.agents_min, gang.count);
        decide_expire(p, unit, WIRE_CAUSE_TOO_FEW_AGENTS);
    }
}

/* All members are well: grow, or let draining members go, if it is time. */
static void plan_growth(struct place *p, uint32_t unit, const struct place_member_fate *fates)
{
    const struct place_unit *u = &p->in->units[unit];
    struct place_sign *sign = &p->signs[p->sign_of[unit]];
    struct place_gang gang;
    struct place_fit fit = {.count = 0};
    uint32_t max = place_agents_max(u);
    bool drains = false;
    for (uint32_t i = 0; i < u->member_count; i++) {
        drains = drains || fates[i].fate == PLACE_DRAINS;
    }
    bool asked = place_is_asked(p, unit);
    bool none_left = sign->failed == p->epoch + 1 && u->need.agents_min == 1;
    if (!asked && !drains && (u->member_count >= max || none_left)) {
        return;
    }
    place_find_fit(p, unit, max, p->limits->grow_ready_only, &fit);
    keep_members(u, fates, fit.count, &gang);
    drains = gang.kept < u->member_count;
    fill_gang(p, unit, &gang, &fit);
    bool wanted = (drains || gang.count > gang.kept) && gang.count >= u->need.agents_min;
    bool soon = wanted && p->in->now_us < u->placed_us + p->limits->change_min_us;
    place_explain(p, unit,
                  &(struct place_case){.gang = &gang,
                                       .fates = fates,
                                       .ready_only = p->limits->grow_ready_only,
                                       .too_soon = soon});
    if (wanted && !soon) {
        decide_place(p, unit, &gang, drains ? WIRE_CAUSE_MEMBER_DRAINED : WIRE_CAUSE_GROWN);
    }
}

/* False while a member is suspected, or not known yet: no time for changes that nobody needs. */
static bool all_alive(const struct place *p, const struct place_unit *unit,
                      const struct place_member_fate *fates)
{
    bool all = true;
    for (uint32_t i = 0; i < unit->member_count; i++) {
        all = all && fates[i].node != PLACE_NOBODY &&
              place_node(p, fates[i].node)->liveness == PLACE_ALIVE;
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
static void plan_unit(struct place *p, uint32_t unit, bool grow)
{
    const struct place_unit *u = &p->in->units[unit];
    struct place_member_fate fates[WIRE_MEMBERS_MAX];
    if (p->ended[unit] != 0 || (grow && p->keys[unit].waits)) {
        return;
    }
    if (u->stopping || !u->running) {
        if (!grow && u->stopping) {
            plan_stopping(p, unit);
        } else if (!grow) {
            plan_waiting(p, unit);
        }
        return;
    }
    place_judge(p, u, fates);
    if (unheard_of(u, fates)) {
        return;
    }
    enum wire_cause cause = forced_by(p, u, fates);
    if (cause != WIRE_CAUSE_NONE && !grow) {
        plan_forced(p, unit, fates, cause);
    } else if (cause == WIRE_CAUSE_NONE && grow && all_alive(p, u, fates)) {
        plan_growth(p, unit, fates);
    }
}

/* ---- a pass ---- */

static void begin(struct place *p)
{
    const struct place_input *in = p->in;
    SH_CHECK_CMP(in->node_count, <=, p->capacity.nodes);
    SH_CHECK_CMP(in->unit_count, <=, p->capacity.units);
    p->epoch = 0;
    p->head = (struct place_head){.unit = PLACE_NONE};
    p->head_tries = 0;
    place_spots_begin(p);
    place_signs_begin(p);
    place_queue_begin(p);
    for (uint32_t i = 0; i < in->unit_count; i++) {
        const struct place_unit *unit = &in->units[i];
        SH_CHECK(wire_need_ok(&unit->need));
        SH_CHECK(unit->dataset == PLACE_NO_DATASET || unit->dataset < PLACE_DATASETS_MAX);
        SH_CHECK((unit->member_count > 0) == (unit->running || unit->stopping));
        place_use_members(p, i);
        place_sign_give(p, i);
        place_queue_give(p, i);
    }
    place_spots_end(p);
    place_queue_end(p);
}

void place_plan(struct place *p, const struct place_input *input, const struct place_limits *limits,
                struct place_output *output)
{
    p->in = input;
    p->limits = limits;
    p->out = output;
    output->decision_count = 0;
    output->refusal_count = 0;
    output->refusals_left_off = 0;
    output->head = (struct wire_unit){0};
    begin(p);
    for (uint32_t i = 0; i < input->unit_count; i++) {
        plan_unit(p, p->queue[i], false);
    }
    for (uint32_t i = 0; i < input->unit_count; i++) {
        plan_unit(p, p->queue[i], true);
    }
}
