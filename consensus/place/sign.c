/* SPDX-License-Identifier: Apache-2.0
 *
 * What is told apart in a pass: arithmetic classes, conditions on labels, signatures of units. */
#include "place/order.h"
#include "place/pass.h"

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
    return hash ^ hash >> 32;
}

/* ---- classes ---- */

static uint64_t class_hash(const uint8_t *class)
{
    uint64_t halves[2];
    memcpy(halves, class, sizeof halves);
    return mix(mix(0, halves[0]), halves[1]);
}

/* Where the class is in the table, or would be. */
static uint32_t class_place(const struct place *p, const uint8_t *class)
{
    uint32_t at = (uint32_t)class_hash(class) & p->class_mask;
    while (p->class_heads[at] != PLACE_NONE &&
           memcmp(place_node(p, p->classes[p->class_heads[at]])->class, class, WIRE_CLASS_BYTES) !=
               0) {
        at = (at + 1) & p->class_mask;
    }
    return at;
}

static bool class_before(const void *ctx, uint32_t a, uint32_t b)
{
    const struct place *p = ctx;
    return memcmp(place_node(p, a)->class, place_node(p, b)->class, WIRE_CLASS_BYTES) < 0;
}

static void number_classes(struct place *p)
{
    p->class_count = 0;
    memset(p->class_heads, 0xff, (p->class_mask + 1) * sizeof *p->class_heads);
    for (uint32_t i = 0; i < p->in->node_count; i++) {
        uint32_t at = class_place(p, place_node(p, i)->class);
        if (p->class_heads[at] == PLACE_NONE) {
            p->class_heads[at] = p->class_count;
            p->classes[p->class_count++] = i;
        }
    }
    /* In the order of their bytes, so that of two the lower number is the lower one. */
    place_sort(p->classes, p->class_count, class_before, p);
    memset(p->class_heads, 0xff, (p->class_mask + 1) * sizeof *p->class_heads);
    for (uint32_t i = 0; i < p->class_count; i++) {
        p->class_heads[class_place(p, place_node(p, p->classes[i])->class)] = i;
    }
    for (uint32_t i = 0; i < p->in->node_count; i++) {
        p->spots[i].class = (uint16_t)p->class_heads[class_place(p, place_node(p, i)->class)];
    }
}

/* ---- traits ---- */

static bool same_trait(const struct place_trait *a, const struct place_trait *b)
{
    return a->kind == b->kind && a->number == b->number &&
           (a->condition == b->condition || (a->condition != NULL && b->condition != NULL &&
                                             place_condition_equal(a->condition, b->condition)));
}

static uint16_t number_trait(struct place *p, const struct place_trait *trait)
{
    for (uint32_t i = 0; i < p->trait_count; i++) {
        if (same_trait(&p->traits[i], trait)) {
            return (uint16_t)i;
        }
    }
    if (p->trait_count == PLACE_TRAITS_MAX) {
        return PLACE_TRAITS_MAX;
    }
    uint32_t number = p->trait_count++;
    uint64_t *have = p->have + (size_t)number * p->words;
    p->traits[number] = *trait;
    memset(have, 0, p->words * sizeof *have);
    for (uint32_t i = 0; i < p->in->node_count; i++) {
        if (place_trait_holds(p, trait, i)) {
            have[i / 64] |= UINT64_C(1) << i % 64;
        }
    }
    return (uint16_t)number;
}

/* ---- signatures ---- */

/* Units of one job tell each other's nodes where only so many may be on one. */
static uint64_t job_of(const struct place_unit *unit)
{
    return unit->wants.per_node_max > 0 ? unit->unit.job : 0;
}

static uint64_t sign_hash(const struct place_unit *u)
{
    const struct place_wants *w = &u->wants;
    uint64_t hash = mix(0, u->need.cpus | (uint64_t)u->need.agents_min << 16 |
                               (uint64_t)u->need.agents_max << 32 | (uint64_t)u->need.ranks << 48);
    hash = mix(hash, u->need.ram_bytes);
    hash = mix(hash, (uint64_t)w->gpus | (uint64_t)w->per_node_max << 16 |
                         (uint64_t)u->dataset << 32 | (uint64_t)w->sandbox << 40 |
                         (uint64_t)w->spread << 48 | (uint64_t)u->need.arithmetic << 56);
    hash = mix(hash, (uint64_t)w->commands | (uint64_t)w->predict << 1 | (uint64_t)u->pinned << 2 |
                         (uint64_t)w->no_slot << 3);
    hash = mix(hash, w->gpu_bytes);
    hash = mix(hash, w->disk_bytes);
    hash = mix(hash, job_of(u));
    hash = u->pinned ? mix(hash, class_hash(u->class)) : hash;
    for (uint32_t i = 0; i < w->condition_count; i++) {
        const struct place_condition *c = &w->conditions[i];
        hash = mix(mix(hash, c->key), (uint64_t)c->number ^ c->op ^ c->values[0]);
    }
    return hash;
}

static bool same_conditions(const struct place_wants *a, const struct place_wants *b)
{
    bool same = a->condition_count == b->condition_count;
    for (uint32_t i = 0; i < a->condition_count && same && a->conditions != b->conditions; i++) {
        same = place_condition_equal(&a->conditions[i], &b->conditions[i]);
    }
    return same;
}

static bool same_sign(const struct place_unit *a, const struct place_unit *b)
{
    const struct place_wants *v = &a->wants;
    const struct place_wants *w = &b->wants;
    bool gang = a->need.agents_min == b->need.agents_min &&
                a->need.agents_max == b->need.agents_max && a->need.ranks == b->need.ranks;
    bool amounts = a->need.cpus == b->need.cpus && a->need.ram_bytes == b->need.ram_bytes &&
                   v->gpus == w->gpus && v->gpu_bytes == w->gpu_bytes &&
                   v->disk_bytes == w->disk_bytes;
    bool kinds = a->dataset == b->dataset && v->commands == w->commands &&
                 v->predict == w->predict && v->sandbox == w->sandbox && v->spread == w->spread &&
                 v->no_slot == w->no_slot && v->per_node_max == w->per_node_max &&
                 job_of(a) == job_of(b);
    bool classes = a->need.arithmetic == b->need.arithmetic && a->pinned == b->pinned &&
                   (!a->pinned || memcmp(a->class, b->class, WIRE_CLASS_BYTES) == 0);
    return gang && amounts && kinds && classes && same_conditions(v, w);
}

static void describe(struct place *p, struct place_sign *sign, uint32_t unit)
{
    const struct place_unit *u = &p->in->units[unit];
    struct place_trait traits[PLACE_SIGN_TRAITS];
    bool packs = u->wants.spread == WIRE_SPREAD_PACK ||
                 (u->wants.spread == WIRE_SPREAD_AUTO && u->wants.gpus > 0);
    *sign = (struct place_sign){.unit = unit,
                                .slot = PLACE_NONE,
                                .pinned = u->pinned && u->need.arithmetic == WIRE_ARITHMETIC_SAME,
                                .class = PLACE_NO_CLASS,
                                .mixes = u->need.arithmetic == WIRE_ARITHMETIC_ANY,
                                .pack = packs,
                                .need = place_need(u)};
    if (sign->pinned) {
        uint32_t number = p->class_heads[class_place(p, u->class)];
        sign->class = number == PLACE_NONE ? PLACE_NO_CLASS : (uint16_t)number;
    }
    sign->trait_count = (uint8_t)place_traits_of(u, traits);
    for (uint32_t i = 0; i < sign->trait_count; i++) {
        sign->traits[i] = number_trait(p, &traits[i]);
    }
}

void place_sign_give(struct place *p, uint32_t unit)
{
    uint32_t *head = &p->sign_heads[(uint32_t)sign_hash(&p->in->units[unit]) & p->sign_mask];
    uint32_t at = *head;
    while (at != PLACE_NONE && !same_sign(&p->in->units[p->signs[at].unit], &p->in->units[unit])) {
        at = p->signs[at].next;
    }
    if (at == PLACE_NONE) {
        at = p->sign_count++;
        describe(p, &p->signs[at], unit);
        p->signs[at].next = *head;
        *head = at;
    }
    p->sign_of[unit] = at;
}

void place_signs_begin(struct place *p)
{
    number_classes(p);
    p->trait_count = 0;
    p->sign_count = 0;
    p->next_slot = 0;
    memset(p->sign_heads, 0xff, (p->sign_mask + 1) * sizeof *p->sign_heads);
    for (uint32_t i = 0; i < p->capacity.signatures; i++) {
        p->slots[i].sign = PLACE_NONE;
    }
}
