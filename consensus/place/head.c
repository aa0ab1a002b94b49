/* SPDX-License-Identifier: Apache-2.0
 *
 * EASY backfill: who is first in the queue and does not fit gets the nodes that are free the
 * earliest, and nobody takes them in a way that would delay it. */
#include "place/order.h"
#include "place/pass.h"

enum { ENDS_MAX = 64, TRIES_MAX = 4 };

#define NEVER UINT64_MAX

struct ends { /* units on a node, those that end the earliest first */
    uint64_t at_us[ENDS_MAX];
    uint32_t units[ENDS_MAX];
    uint32_t count;
};

/* Units beyond so many are taken to stay. */
static void list_ends(const struct place *p, uint32_t node, struct ends *ends)
{
    ends->count = 0;
    for (uint32_t at = p->sites[node].first_use; at != PLACE_NONE && ends->count < ENDS_MAX;
         at = p->uses[at].next) {
        uint32_t unit = p->uses[at].unit;
        uint64_t end = place_end_of(p, unit);
        uint32_t i = ends->count++;
        while (i > 0 && ends->at_us[i - 1] > end) {
            ends->at_us[i] = ends->at_us[i - 1];
            ends->units[i] = ends->units[i - 1];
            i--;
        }
        ends->at_us[i] = end;
        ends->units[i] = unit;
    }
}

static void give_back(struct place_amount *used, const struct place_amount *need)
{
    used->slots -= need->slots;
    used->cpus -= need->cpus;
    used->gpus -= need->gpus;
    used->ram_bytes -= need->ram_bytes;
    used->disk_bytes -= need->disk_bytes;
}

/* When the node has room for the unit; NEVER where that cannot be foreseen. */
static uint64_t free_at(const struct place *p, uint32_t unit, uint32_t node)
{
    const struct place_site *site = &p->sites[node];
    const struct place_unit *u = &p->in->units[unit];
    struct place_amount need = place_need(u);
    struct place_amount used = site->used;
    uint32_t siblings = u->wants.per_node_max > 0 ? place_of_job(p, node, u->unit.job) : 0;
    uint64_t when = p->in->now_us;
    struct ends ends;
    list_ends(p, node, &ends);
    for (uint32_t i = 0;; i++) {
        bool room = place_covers(&site->all, &used, &need) &&
                    (!p->spots[node].parole || used.slots == 0) &&
                    (u->wants.per_node_max == 0 || siblings < u->wants.per_node_max);
        if (room || i == ends.count) {
            return room ? when : NEVER;
        }
        struct place_amount ended = place_need(&p->in->units[ends.units[i]]);
        give_back(&used, &ended);
        siblings -= siblings > 0 && p->in->units[ends.units[i]].unit.job == u->unit.job;
        when = ends.at_us[i];
    }
}

uint32_t place_list_open(struct place *p, uint32_t unit)
{
    const struct place_sign *sign = &p->signs[p->sign_of[unit]];
    uint32_t failed = place_failed_count(p, unit);
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->in->node_count; i++) {
        if (place_is_open(p, sign, i) && place_capable(p, sign, i) &&
            !place_avoids(p, unit, failed, i)) {
            p->scratch[count++] = i;
        }
    }
    return count;
}

static bool sooner(const void *ctx, uint32_t a, uint32_t b)
{
    const struct place *p = ctx;
    return p->when[a] != p->when[b] ? p->when[a] < p->when[b] : a < b;
}

bool place_pick(struct place *p, uint32_t unit, uint32_t count)
{
    const struct place_unit *u = &p->in->units[unit];
    bool any = u->need.arithmetic == WIRE_ARITHMETIC_ANY;
    uint32_t wanted = u->need.agents_min;
    uint32_t last = count;
    place_sort(p->scratch, count, sooner, p);
    memset(p->votes, 0, p->class_count * sizeof *p->votes);
    for (uint32_t i = 0; i < count && last == count; i++) {
        uint32_t *votes = &p->votes[any ? 0 : p->spots[p->scratch[i]].class];
        last = p->when[p->scratch[i]] != NEVER && ++*votes == wanted ? i : last;
    }
    if (last == count) {
        return false;
    }
    uint16_t class = p->spots[p->scratch[last]].class;
    uint32_t kept = 0;
    for (uint32_t i = 0; i <= last; i++) {
        if (any || p->spots[p->scratch[i]].class == class) {
            p->scratch[kept++] = p->scratch[i];
        }
    }
    SH_CHECK_CMP(kept, ==, wanted);
    return true;
}

static void name_blocker(struct place_verdict *verdict, uint64_t job)
{
    bool named = verdict->blocker_count == PLACE_BLOCKERS_MAX;
    for (uint32_t i = 0; i < verdict->blocker_count && !named; i++) {
        named = verdict->blockers[i] == job;
    }
    if (!named) {
        verdict->blockers[verdict->blocker_count++] = job;
    }
}

/* The jobs whose units on the picked nodes end before the unit can start. */
static void name_blockers(struct place *p, uint32_t unit, uint64_t at_us)
{
    struct place_verdict *verdict = &p->out->verdicts[unit];
    struct ends ends;
    for (uint32_t i = 0; i < p->in->units[unit].need.agents_min; i++) {
        uint32_t node = p->scratch[i];
        list_ends(p, node, &ends);
        for (uint32_t j = 0; j < ends.count && p->when[node] > p->in->now_us; j++) {
            if (ends.at_us[j] <= at_us) {
                name_blocker(verdict, p->in->units[ends.units[j]].unit.job);
            }
        }
    }
}

/* The nodes, in front of scratch, and the time at which all of them have room; NEVER: unknown. */
static uint64_t foresee(struct place *p, uint32_t unit)
{
    uint32_t count = place_list_open(p, unit);
    for (uint32_t i = 0; i < count; i++) {
        p->when[p->scratch[i]] = free_at(p, unit, p->scratch[i]);
    }
    if (!place_pick(p, unit, count)) {
        return NEVER;
    }
    uint64_t at_us = p->when[p->scratch[p->in->units[unit].need.agents_min - 1]];
    if (p->out->verdicts != NULL) {
        p->out->verdicts[unit].earliest_us = at_us;
        name_blockers(p, unit, at_us);
    }
    return at_us;
}

static uint64_t left(uint64_t all, uint64_t used)
{
    return all > used ? all - used : 0;
}

/* Keeps the node for the head; what the head leaves of it at its time others may have. */
static void hold(struct place *p, uint32_t node)
{
    struct place_site *site = &p->sites[node];
    struct place_amount used = site->used;
    struct place_amount need = place_need(&p->in->units[p->head.unit]);
    struct ends ends;
    site->held = true;
    site->spare = (struct place_amount){0};
    if (p->head.preempts) {
        return; /* what is given up for it is for it alone */
    }
    list_ends(p, node, &ends);
    for (uint32_t i = 0; i < ends.count && ends.at_us[i] <= p->head.at_us; i++) {
        struct place_amount ended = place_need(&p->in->units[ends.units[i]]);
        give_back(&used, &ended);
    }
    site->spare.slots = (uint32_t)left(site->all.slots, used.slots + need.slots);
    site->spare.cpus = (uint32_t)left(site->all.cpus, used.cpus + need.cpus);
    site->spare.gpus = (uint32_t)left(site->all.gpus, used.gpus + need.gpus);
    site->spare.ram_bytes = left(site->all.ram_bytes, used.ram_bytes + need.ram_bytes);
    site->spare.disk_bytes = left(site->all.disk_bytes, used.disk_bytes + need.disk_bytes);
}

void place_head_try(struct place *p, uint32_t unit)
{
    const struct place_unit *u = &p->in->units[unit];
    if (p->head.unit != PLACE_NONE || p->head_tries == TRIES_MAX ||
        place_count(p, unit, true, u->need.agents_min) < u->need.agents_min) {
        return;
    }
    p->head_tries++;
    uint64_t at_us = p->in->now_us;
    bool preempts = place_preempt(p, unit);
    if (!preempts) {
        at_us = foresee(p, unit);
    }
    if (at_us == NEVER) {
        return;
    }
    p->head = (struct place_head){.unit = unit, .preempts = preempts, .at_us = at_us};
    p->out->head = u->unit;
    for (uint32_t i = 0; i < u->need.agents_min; i++) {
        hold(p, p->scratch[i]);
    }
}

void place_head_foresee(struct place *p, uint32_t unit)
{
    if (p->out->verdicts != NULL && p->out->verdicts[unit].earliest_us == 0) {
        SH_MAY_FAIL(foresee(p, unit)); /* then the verdict says 0: unknown */
    }
}
