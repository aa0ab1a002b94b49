/* SPDX-License-Identifier: Apache-2.0 */
#include "place/pass.h"

enum { VICTIMS_MAX = 64 };

struct victims { /* on one node, the cheapest first */
    uint32_t units[VICTIMS_MAX];
    uint32_t count;
};

static uint64_t lost_us(const struct place *p, uint32_t unit)
{
    const struct place_unit *u = &p->in->units[unit];
    uint64_t saved = u->checkpoint_us > u->placed_us ? u->checkpoint_us : u->placed_us;
    return p->in->now_us > saved ? p->in->now_us - saved : 0;
}

static bool may_end(const struct place *p, uint32_t unit, uint32_t victim)
{
    const struct place_unit *u = &p->in->units[unit];
    const struct place_unit *v = &p->in->units[victim];
    bool rested = v->preempted_us == 0 || p->in->now_us >= v->preempted_us + PLACE_PREEMPT_AGAIN_US;
    /* Else it would be first in the next pass, and preempt in its turn. */
    bool stays_behind = p->keys[victim].priority < p->keys[unit].priority;
    return v->running && v->preemptible && rested && stays_behind &&
           u->priority >= v->priority + PLACE_PREEMPT_GAP && p->ended[victim] == 0;
}

/* It gives way already: for this one as well as for whoever it was asked. */
static bool gives_way(const struct place *p, uint32_t unit)
{
    return p->in->units[unit].yields_until_us != 0;
}

static bool cheaper(const struct place *p, uint32_t a, uint32_t b)
{
    if (gives_way(p, a) != gives_way(p, b)) {
        return gives_way(p, a);
    }
    const struct place_unit *x = &p->in->units[a];
    const struct place_unit *y = &p->in->units[b];
    if (lost_us(p, a) != lost_us(p, b)) {
        return lost_us(p, a) < lost_us(p, b);
    }
    if (x->placed_us != y->placed_us) {
        return x->placed_us > y->placed_us;
    }
    return x->unit.job != y->unit.job ? x->unit.job > y->unit.job : x->unit.unit > y->unit.unit;
}

static void list_victims(const struct place *p, uint32_t unit, uint32_t node,
                         struct victims *victims)
{
    victims->count = 0;
    for (uint32_t at = p->sites[node].first_use; at != PLACE_NONE && victims->count < VICTIMS_MAX;
         at = p->uses[at].next) {
        uint32_t victim = p->uses[at].unit;
        if (!gives_way(p, victim) && !may_end(p, unit, victim)) {
            continue;
        }
        uint32_t i = victims->count++;
        while (i > 0 && cheaper(p, victim, victims->units[i - 1])) {
            victims->units[i] = victims->units[i - 1];
            i--;
        }
        victims->units[i] = victim;
    }
}

/* How many of the victims must end so that the node has room; count + 1: all are not enough. */
static uint32_t victims_needed(const struct place *p, uint32_t unit, uint32_t node,
                               const struct victims *victims)
{
    const struct place_site *site = &p->sites[node];
    const struct place_unit *u = &p->in->units[unit];
    struct place_amount need = place_need(u);
    struct place_amount used = site->used;
    uint32_t siblings = u->wants.per_node_max > 0 ? place_of_job(p, node, u->unit.job) : 0;
    for (uint32_t i = 0; i <= victims->count; i++) {
        /* Siblings have the same priority: no victim is one. */
        if (place_covers(&site->all, &used, &need) && (!p->spots[node].parole || used.slots == 0) &&
            (u->wants.per_node_max == 0 || siblings < u->wants.per_node_max)) {
            return i;
        }
        if (i < victims->count) {
            struct place_amount given = place_need(&p->in->units[victims->units[i]]);
            used.slots -= given.slots;
            used.cpus -= given.cpus;
            used.gpus -= given.gpus;
            used.ram_bytes -= given.ram_bytes;
            used.disk_bytes -= given.disk_bytes;
        }
    }
    return victims->count + 1;
}

/* Fewer victims first, then less lost work, in seconds. */
static uint64_t price_of(const struct place *p, uint32_t unit, uint32_t node)
{
    struct victims victims;
    uint64_t lost = 0;
    list_victims(p, unit, node, &victims);
    uint32_t needed = victims_needed(p, unit, node, &victims);
    if (needed > victims.count) {
        return UINT64_MAX;
    }
    uint64_t asked = 0;
    for (uint32_t i = 0; i < needed; i++) {
        bool free = gives_way(p, victims.units[i]);
        asked += free ? 0 : 1;
        lost += free ? 0 : lost_us(p, victims.units[i]) / 1000000;
    }
    return asked << 48 | (lost < UINT64_C(1) << 48 ? lost : (UINT64_C(1) << 48) - 1);
}

/* False: there is room without. */
static bool end_victims(struct place *p, uint32_t unit, uint32_t node)
{
    struct victims victims;
    list_victims(p, unit, node, &victims);
    uint32_t needed = victims_needed(p, unit, node, &victims);
    for (uint32_t i = 0; i < needed && i < victims.count; i++) {
        uint32_t victim = victims.units[i];
        if (gives_way(p, victim)) {
            continue;
        }
        p->ended[victim] = 1;
        SH_MAY_FAIL(place_decide(p, victim, PLACE_ACTION_EXPIRE, WIRE_CAUSE_PREEMPTED) != NULL);
    }
    return needed > 0;
}

bool place_preempt(struct place *p, uint32_t unit)
{
    uint32_t count = place_list_open(p, unit);
    for (uint32_t i = 0; i < count; i++) {
        p->when[p->scratch[i]] = price_of(p, unit, p->scratch[i]);
    }
    if (!place_pick(p, unit, count)) {
        return false;
    }
    uint32_t wanted = p->in->units[unit].need.agents_min;
    bool some = false;
    for (uint32_t i = 0; i < wanted; i++) {
        some = end_victims(p, unit, p->scratch[i]) || some;
    }
    return some;
}
