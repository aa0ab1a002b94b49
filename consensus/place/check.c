/* SPDX-License-Identifier: Apache-2.0
 *
 * What a node must have for a unit: as sets of nodes and fast answers for all nodes and signatures,
 * and as a reason with numbers for the few that somebody asks about. */
#include "place/pass.h"

/* ---- traits ---- */

bool place_trait_holds(const struct place *p, const struct place_trait *trait, uint32_t node)
{
    const struct place_node *n = place_node(p, node);
    switch (trait->kind) {
    case PLACE_TRAIT_DATASET:
        return (n->datasets >> trait->number & 1) == 1;
    case PLACE_TRAIT_COMMANDS:
        return n->commands;
    case PLACE_TRAIT_SANDBOX:
        return n->sandbox >= trait->number;
    case PLACE_TRAIT_CONDITION:
        return place_condition_holds(trait->condition, n->labels, n->label_count);
    case PLACE_TRAIT_GPU_BYTES:
        return n->gpu_bytes >= trait->number;
    }
    SH_UNREACHABLE();
}

uint32_t place_traits_of(const struct place_unit *u, struct place_trait *traits)
{
    const struct place_wants *w = &u->wants;
    uint32_t count = 0;
    SH_CHECK_CMP(w->condition_count, <=, PLACE_CONDITIONS_MAX);
    if (u->dataset != PLACE_NO_DATASET) {
        traits[count++] = (struct place_trait){.kind = PLACE_TRAIT_DATASET, .number = u->dataset};
    }
    if (w->commands) {
        traits[count++] = (struct place_trait){.kind = PLACE_TRAIT_COMMANDS};
    }
    if (w->sandbox > 0) {
        traits[count++] = (struct place_trait){.kind = PLACE_TRAIT_SANDBOX, .number = w->sandbox};
    }
    for (uint32_t i = 0; i < w->condition_count; i++) {
        traits[count++] =
            (struct place_trait){.kind = PLACE_TRAIT_CONDITION, .condition = &w->conditions[i]};
    }
    if (w->gpus > 0 && w->gpu_bytes > 0) {
        traits[count++] =
            (struct place_trait){.kind = PLACE_TRAIT_GPU_BYTES, .number = w->gpu_bytes};
    }
    return count;
}

/* One that is not numbered: every node is asked. */
static uint64_t ask_word(const struct place *p, const struct place_sign *sign, uint32_t which,
                         uint32_t word, uint64_t set)
{
    struct place_trait traits[PLACE_SIGN_TRAITS];
    (void)place_traits_of(&p->in->units[sign->unit], traits);
    uint64_t held = 0;
    for (uint64_t rest = set; rest != 0; rest &= rest - 1) {
        uint32_t bit = (uint32_t)__builtin_ctzll(rest);
        bool holds = place_trait_holds(p, &traits[which], 64 * word + bit);
        held |= (uint64_t)holds << bit;
    }
    return held;
}

uint64_t place_kind_word(const struct place *p, const struct place_sign *sign, uint32_t word,
                         bool open)
{
    uint32_t nodes = p->in->node_count - 64 * word;
    uint64_t set = nodes < 64 ? (UINT64_C(1) << nodes) - 1 : UINT64_MAX;
    if (open) {
        bool predicts = p->in->units[sign->unit].wants.predict;
        set &= p->open[word] & (predicts ? UINT64_MAX : ~p->reserved[word]);
    }
    for (uint32_t i = 0; i < sign->trait_count && set != 0; i++) {
        uint32_t number = sign->traits[i];
        set = number < PLACE_TRAITS_MAX ? set & p->have[(size_t)number * p->words + word]
                                        : ask_word(p, sign, i, word, set);
    }
    return set;
}

/* ---- answers ---- */

bool place_capable(const struct place *p, const struct place_sign *sign, uint32_t node)
{
    static const struct place_amount nothing;
    return (!sign->pinned || p->spots[node].class == sign->class) &&
           (place_kind_word(p, sign, node / 64, false) >> node % 64 & 1) == 1 &&
           place_covers(&p->sites[node].all, &nothing, &sign->need);
}

bool place_is_open(const struct place *p, const struct place_sign *sign, uint32_t node)
{
    const struct place_site *site = &p->sites[node];
    return site->blocked == WIRE_REASON_NONE &&
           (!site->reserved || p->in->units[sign->unit].wants.predict);
}

bool place_has_room(const struct place *p, const struct place_sign *sign, uint32_t node)
{
    const struct place_spot *spot = &p->spots[node];
    if (spot->slots_left < sign->need.slots || spot->cpus_left < sign->need.cpus ||
        spot->ram_left < sign->need.ram_bytes || spot->gpus_left < sign->need.gpus ||
        spot->disk_left < sign->need.disk_bytes) {
        return false;
    }
    const struct place_unit *u = &p->in->units[sign->unit];
    return (!spot->parole || p->sites[node].used.slots == 0) &&
           (u->wants.per_node_max == 0 ||
            place_of_job(p, node, u->unit.job) < u->wants.per_node_max);
}

bool place_held_back(const struct place *p, uint32_t unit, uint32_t node)
{
    static const struct place_amount nothing;
    const struct place_site *site = &p->sites[node];
    const struct place_unit *u = &p->in->units[unit];
    if (!site->held || unit == p->head.unit) {
        return false;
    }
    bool ends_before = u->run_us != 0 && !u->running && p->in->now_us + u->run_us <= p->head.at_us;
    struct place_amount need = place_need(u);
    return !ends_before && !place_covers(&site->spare, &nothing, &need);
}

/* ---- reasons ---- */

static struct place_refusal because(enum wire_reason reason, uint64_t need, uint64_t have)
{
    return (struct place_refusal){.reason = reason, .need = need, .have = have};
}

static uint64_t left(uint64_t total, uint64_t used)
{
    return total > used ? total - used : 0;
}

static struct place_refusal refuse_blocked(const struct place *p, uint32_t at)
{
    const struct place_node *node = place_node(p, at);
    enum wire_reason reason = (enum wire_reason)p->sites[at].blocked;
    struct place_refusal refusal = because(reason, 0, 0);
    if (reason == WIRE_REASON_NOT_ALIVE) {
        refusal.have = node->liveness;
    } else if (reason == WIRE_REASON_QUARANTINED) {
        refusal.need = node->quarantined_until_us - p->in->now_us;
    } else if (reason == WIRE_REASON_POLICY) {
        refusal.have = node->policy;
    }
    return refusal;
}

static struct place_refusal lacks(const struct place *p, const struct place_unit *u,
                                  const struct place_trait *trait, uint32_t at)
{
    const struct place_node *node = place_node(p, at);
    switch (trait->kind) {
    case PLACE_TRAIT_DATASET:
        return because(WIRE_REASON_NO_DATASET, 0, 0);
    case PLACE_TRAIT_COMMANDS:
        return because(node->too_weak ? WIRE_REASON_SANDBOX_MIN : WIRE_REASON_NO_COMMANDS, 0, 0);
    case PLACE_TRAIT_SANDBOX:
        return because(WIRE_REASON_WEAK_SANDBOX, trait->number, node->sandbox);
    case PLACE_TRAIT_CONDITION:
        return because(WIRE_REASON_LABELS, (uint64_t)(trait->condition - u->wants.conditions), 0);
    case PLACE_TRAIT_GPU_BYTES:
        return node->gpus < u->wants.gpus
                   ? because(WIRE_REASON_TOO_FEW_GPUS, u->wants.gpus, node->gpus)
                   : because(WIRE_REASON_TOO_LITTLE_GPU_RAM, trait->number, node->gpu_bytes);
    }
    SH_UNREACHABLE();
}

/* What the node is, whatever runs there. */
static struct place_refusal refuse_kind(const struct place *p, uint32_t unit, uint32_t at)
{
    const struct place_sign *sign = &p->signs[p->sign_of[unit]];
    const struct place_unit *u = &p->in->units[unit];
    struct place_trait traits[PLACE_SIGN_TRAITS];
    uint32_t count = place_traits_of(u, traits);
    if (sign->pinned && p->spots[at].class != sign->class) {
        return because(WIRE_REASON_CLASS_DIFFERS, 0, 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!place_trait_holds(p, &traits[i], at)) {
            return lacks(p, u, &traits[i], at);
        }
    }
    bool reserved = p->sites[at].reserved && !u->wants.predict;
    return because(reserved ? WIRE_REASON_RESERVED : WIRE_REASON_NONE, 0, 0);
}

/* The first amount, beside slots, of which less is left than the unit needs. */
static struct place_refusal refuse_amount(const struct place_amount *all,
                                          const struct place_amount *used,
                                          const struct place_amount *need)
{
    if (left(all->cpus, used->cpus) < need->cpus) {
        return because(WIRE_REASON_TOO_FEW_CPUS, need->cpus, left(all->cpus, used->cpus));
    }
    if (left(all->ram_bytes, used->ram_bytes) < need->ram_bytes) {
        return because(WIRE_REASON_TOO_LITTLE_RAM, need->ram_bytes,
                       left(all->ram_bytes, used->ram_bytes));
    }
    if (left(all->gpus, used->gpus) < need->gpus) {
        return because(WIRE_REASON_TOO_FEW_GPUS, need->gpus, left(all->gpus, used->gpus));
    }
    if (left(all->disk_bytes, used->disk_bytes) < need->disk_bytes) {
        return because(WIRE_REASON_TOO_LITTLE_DISK, need->disk_bytes,
                       left(all->disk_bytes, used->disk_bytes));
    }
    return because(WIRE_REASON_NONE, 0, 0);
}

/* What others use of it now. */
static struct place_refusal refuse_room(const struct place *p, const struct place_sign *sign,
                                        uint32_t at)
{
    const struct place_site *site = &p->sites[at];
    const struct place_unit *u = &p->in->units[sign->unit];
    if (left(site->all.slots, site->used.slots) < sign->need.slots) {
        struct place_refusal refusal = because(WIRE_REASON_NO_SLOT, 1, 0);
        refusal.holder = site->holder;
        return refusal;
    }
    if (p->spots[at].parole && site->used.slots > 0) {
        return because(WIRE_REASON_ON_TRIAL, 0, 0);
    }
    uint32_t siblings = u->wants.per_node_max > 0 ? place_of_job(p, at, u->unit.job) : 0;
    if (u->wants.per_node_max > 0 && siblings >= u->wants.per_node_max) {
        return because(WIRE_REASON_PER_NODE, u->wants.per_node_max, siblings);
    }
    return refuse_amount(&site->all, &site->used, &sign->need);
}

struct place_refusal place_refuse(const struct place *p, uint32_t unit, uint32_t node)
{
    static const struct place_amount nothing;
    const struct place_sign *sign = &p->signs[p->sign_of[unit]];
    struct place_refusal refusal = refuse_blocked(p, node);
    if (refusal.reason == WIRE_REASON_NONE) {
        refusal = refuse_kind(p, unit, node);
    }
    /* What the node could never give comes before what others use of it now. */
    if (refusal.reason == WIRE_REASON_NONE) {
        refusal = refuse_amount(&p->sites[node].all, &nothing, &sign->need);
    }
    if (refusal.reason == WIRE_REASON_NONE) {
        refusal = refuse_room(p, sign, node);
    }
    if (refusal.reason == WIRE_REASON_NONE && place_held_back(p, unit, node)) {
        refusal.reason = WIRE_REASON_HELD_BACK;
        refusal.holder = p->in->units[p->head.unit].unit.job;
    }
    return refusal;
}
