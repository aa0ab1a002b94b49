/* SPDX-License-Identifier: Apache-2.0 */
#include "base/decay.h"
#include "place/order.h"
#include "place/pass.h"

/* ---- fair share ---- */

/* 2^(-usage / share) of the whole range, the share being an equal one of all who used something. */
static int32_t fair_of(uint64_t usage, uint64_t total, uint64_t owners)
{
    const uint64_t range = (uint64_t)PLACE_FAIR_MAX * PLACE_POINT;
    if (owners < 2 || usage == 0) {
        return 0; /* nobody to share with */
    }
    while (total > UINT32_MAX) { /* so that the product below fits */
        total >>= 1;
        usage >>= 1;
    }
    return (int32_t)sh_decay(range, usage * owners, total) - (int32_t)range;
}

void place_queue_begin(struct place *p)
{
    uint64_t total = 0;
    uint64_t owners = 0;
    SH_CHECK_CMP(p->in->owner_count, <=, p->capacity.units);
    for (uint32_t i = 0; i < p->in->owner_count; i++) {
        uint64_t usage = p->in->owners[i].usage;
        SH_CHECK_CMP(usage, <=, UINT64_MAX - total);
        total += usage;
        owners += usage > 0;
        p->running[i] = 0;
    }
    for (uint32_t i = 0; i < p->in->owner_count; i++) {
        p->fair[i] = fair_of(p->in->owners[i].usage, total, owners);
    }
}

/* ---- order ---- */

static int32_t age_of(const struct place *p, const struct place_unit *u)
{
    bool waits = !u->running && !u->stopping;
    uint64_t now = p->in->now_us;
    if (!waits || u->since_us == 0 || u->since_us >= now) {
        return 0;
    }
    uint64_t most = PLACE_AGE_MAX * PLACE_AGE_US;
    uint64_t waited = now - u->since_us < most ? now - u->since_us : most;
    return (int32_t)(waited * PLACE_POINT / PLACE_AGE_US);
}

static bool key_before(const void *ctx, uint32_t a, uint32_t b)
{
    const struct place *p = ctx;
    const struct place_key *x = &p->keys[a];
    const struct place_key *y = &p->keys[b];
    if (x->priority != y->priority) {
        return x->priority > y->priority;
    }
    return x->job != y->job ? x->job < y->job : x->unit < y->unit;
}

void place_queue_give(struct place *p, uint32_t unit)
{
    const struct place_unit *u = &p->in->units[unit];
    int32_t base = (int32_t)(u->priority * PLACE_POINT);
    int32_t age = age_of(p, u);
    bool owned = u->owner < p->in->owner_count;
    int32_t fair = owned ? p->fair[u->owner] : 0;
    p->queue[unit] = unit;
    p->ended[unit] = 0;
    p->keys[unit] = (struct place_key){.priority = base + age + fair,
                                       .job = u->unit.job,
                                       .unit = u->unit.unit,
                                       .waits = !u->running && !u->stopping};
    if (owned && (u->running || u->stopping)) {
        p->running[u->owner]++;
    }
    if (p->out->verdicts != NULL) {
        p->out->verdicts[unit] = (struct place_verdict){
            .unit = u->unit, .priority = base + age + fair, .base = base, .age = age, .fair = fair};
    }
}

void place_queue_end(struct place *p)
{
    uint32_t position = 0;
    place_sort(p->queue, p->in->unit_count, key_before, p);
    for (uint32_t i = 0; i < p->in->unit_count && p->out->verdicts != NULL; i++) {
        bool waits = p->keys[p->queue[i]].waits;
        p->out->verdicts[p->queue[i]].position = waits ? ++position : 0;
    }
}

void place_verdict(struct place *p, uint32_t unit, enum wire_reason reason, uint64_t need,
                   uint64_t have)
{
    if (p->out->verdicts != NULL) {
        struct place_verdict *verdict = &p->out->verdicts[unit];
        verdict->reason = reason;
        verdict->need = need;
        verdict->have = have;
    }
}

bool place_is_asked(const struct place *p, uint32_t unit)
{
    bool asked = p->in->asked == NULL;
    for (uint32_t i = 0; i < p->in->asked_count && !asked; i++) {
        asked =
            p->in->asked[i].job == p->keys[unit].job && p->in->asked[i].unit == p->keys[unit].unit;
    }
    return asked;
}
