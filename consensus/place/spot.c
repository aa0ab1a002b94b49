/* SPDX-License-Identifier: Apache-2.0 */
#include "place/order.h"
#include "place/pass.h"

/* The score: 200 for nothing that failed, 200 for speed, 400 for fit. Within LEVEL_SCORE nodes
 * count as equal. */
enum {
    FULL = 1000,
    FIT_SCORE = 400,
    LEVEL_SCORE = 8,
    SPEED_MAX = 4000,
    SPEED_PER_POINT = 20,
    FAILURES_MAX = 3000,
    FAILURES_PER_POINT = 15
};

uint32_t place_node_find(const struct place *p, const uint8_t *id)
{
    uint32_t low = 0;
    uint32_t high = p->in->node_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int side = memcmp(place_node(p, middle)->id, id, SH_NODE_ID_BYTES);
        if (side == 0) {
            return middle;
        }
        low = side < 0 ? middle + 1 : low;
        high = side < 0 ? high : middle;
    }
    return PLACE_NOBODY;
}

struct place_amount place_need(const struct place_unit *unit)
{
    return (struct place_amount){.slots = unit->wants.no_slot ? 0 : 1,
                                 .cpus = unit->need.cpus,
                                 .gpus = unit->wants.gpus,
                                 .ram_bytes = unit->need.ram_bytes,
                                 .disk_bytes = unit->wants.disk_bytes};
}

/* More may be used than there is: a node that came back smaller keeps what it runs. */
static uint64_t left(uint64_t all, uint64_t used)
{
    return all > used ? all - used : 0;
}

bool place_covers(const struct place_amount *all, const struct place_amount *used,
                  const struct place_amount *need)
{
    return left(all->slots, used->slots) >= need->slots &&
           left(all->cpus, used->cpus) >= need->cpus && left(all->gpus, used->gpus) >= need->gpus &&
           left(all->ram_bytes, used->ram_bytes) >= need->ram_bytes &&
           left(all->disk_bytes, used->disk_bytes) >= need->disk_bytes;
}

static uint32_t share(uint64_t used, uint64_t all)
{
    if (used == 0) {
        return 0;
    }
    /* Bytes are counted in KiB here: no product overflows. */
    return used >= all ? FULL : (uint32_t)(used * FULL / all);
}

static uint8_t level_of(int32_t score)
{
    SH_CHECK_CMP(score >= 0, ==, 1);
    SH_CHECK_CMP(score / LEVEL_SCORE, <, PLACE_LEVELS);
    return (uint8_t)(score / LEVEL_SCORE);
}

/* From and to: PLACE_LEVELS for none. */
static void change_level(struct place *p, struct place_levels *levels, uint32_t node, uint32_t from,
                         uint32_t to)
{
    uint32_t word = node / 64;
    uint64_t bit = UINT64_C(1) << node % 64;
    if (from == to) {
        return;
    }
    if (from < PLACE_LEVELS) {
        uint64_t *set = &levels->sets[(size_t)from * p->words + word];
        *set &= ~bit;
        if (*set == 0) {
            levels->tops[(size_t)from * p->top_words + word / 64] &= ~(UINT64_C(1) << word % 64);
        }
    }
    levels->sets[(size_t)to * p->words + word] |= bit;
    levels->tops[(size_t)to * p->top_words + word / 64] |= UINT64_C(1) << word % 64;
}

static void measure(struct place *p, uint32_t node)
{
    const struct place_site *site = &p->sites[node];
    struct place_spot *spot = &p->spots[node];
    spot->slots_left = (uint16_t)left(site->all.slots, site->used.slots);
    spot->gpus_left = (uint16_t)left(site->all.gpus, site->used.gpus);
    spot->cpus_left = (uint32_t)left(site->all.cpus, site->used.cpus);
    spot->ram_left = left(site->all.ram_bytes, site->used.ram_bytes);
    spot->disk_left = left(site->all.disk_bytes, site->used.disk_bytes);
    uint32_t full = share(site->used.slots, site->all.slots);
    uint32_t cpus = share(site->used.cpus, site->all.cpus);
    uint32_t gpus = share(site->used.gpus, site->all.gpus);
    uint32_t ram = share(site->used.ram_bytes / 1024, site->all.ram_bytes / 1024);
    full = full > cpus ? full : cpus;
    full = full > gpus ? full : gpus;
    full = full > ram ? full : ram;
    spot->full = (uint16_t)full;
    uint8_t level = level_of(spot->base + FIT_SCORE * (FULL - (int32_t)full) / FULL);
    change_level(p, &p->levels[0], node, spot->level, level);
    spot->level = level;
}

void place_use(struct place *p, uint32_t unit, uint32_t node)
{
    struct place_site *site = &p->sites[node];
    const struct place_unit *u = &p->in->units[unit];
    struct place_amount need = place_need(u);
    uint32_t at = p->free_use;
    if (at == PLACE_NONE) {
        SH_CHECK_CMP(p->use_count, <, p->capacity.units * WIRE_MEMBERS_MAX);
        at = p->use_count++;
    } else {
        p->free_use = p->uses[at].next;
    }
    p->uses[at] = (struct place_use){.unit = unit, .next = site->first_use};
    site->first_use = at;
    site->used.slots += need.slots;
    site->used.cpus += need.cpus;
    site->used.gpus += need.gpus;
    site->used.ram_bytes += need.ram_bytes;
    site->used.disk_bytes += need.disk_bytes;
    /* The newest job: the same whatever the order of the units. */
    site->holder = site->holder > u->unit.job ? site->holder : u->unit.job;
    if (site->held && place_end_of(p, unit) > p->head.at_us) {
        site->spare.slots = (uint32_t)left(site->spare.slots, need.slots);
        site->spare.cpus = (uint32_t)left(site->spare.cpus, need.cpus);
        site->spare.gpus = (uint32_t)left(site->spare.gpus, need.gpus);
        site->spare.ram_bytes = left(site->spare.ram_bytes, need.ram_bytes);
        site->spare.disk_bytes = left(site->spare.disk_bytes, need.disk_bytes);
    }
    measure(p, node);
}

void place_unuse(struct place *p, uint32_t unit, uint32_t node)
{
    struct place_site *site = &p->sites[node];
    struct place_amount need = place_need(&p->in->units[unit]);
    uint32_t *link = &site->first_use;
    while (*link != PLACE_NONE && p->uses[*link].unit != unit) {
        link = &p->uses[*link].next;
    }
    SH_CHECK_CMP(*link, !=, PLACE_NONE);
    uint32_t at = *link;
    *link = p->uses[at].next;
    p->uses[at].next = p->free_use;
    p->free_use = at;
    SH_CHECK_CMP(site->used.slots, >=, need.slots);
    site->used.slots -= need.slots;
    site->used.cpus -= need.cpus;
    site->used.gpus -= need.gpus;
    site->used.ram_bytes -= need.ram_bytes;
    site->used.disk_bytes -= need.disk_bytes;
    measure(p, node);
    p->epoch++; /* candidates that were given up may fit again */
}

uint64_t place_end_of(const struct place *p, uint32_t unit)
{
    const struct place_unit *u = &p->in->units[unit];
    uint64_t now = p->in->now_us;
    uint64_t end = u->ends_us;
    if (u->member_count == 0) { /* placed in this pass */
        end = now + (u->run_us != 0 ? u->run_us : PLACE_RUN_GUESS_US);
    } else if (end == 0 && u->run_us != 0) {
        end = u->placed_us + u->run_us;
    } else if (end == 0) {
        uint64_t ran = left(now, u->placed_us);
        end = now + (ran > PLACE_RUN_LEAST_US ? ran : PLACE_RUN_LEAST_US);
    }
    return end > now ? end : now;
}

uint32_t place_of_job(const struct place *p, uint32_t node, uint64_t job)
{
    uint32_t count = 0;
    for (uint32_t at = p->sites[node].first_use; at != PLACE_NONE; at = p->uses[at].next) {
        count += p->in->units[p->uses[at].unit].unit.job == job;
    }
    return count;
}

static bool node_before(const void *ctx, uint32_t a, uint32_t b)
{
    const struct place *p = ctx;
    return memcmp(p->in->nodes[a].id, p->in->nodes[b].id, SH_NODE_ID_BYTES) < 0;
}

static enum wire_reason blocked_by(const struct place *p, const struct place_node *node)
{
    if (node->liveness == PLACE_LEFT) {
        return WIRE_REASON_LEFT;
    }
    if (node->liveness != PLACE_ALIVE) {
        return WIRE_REASON_NOT_ALIVE;
    }
    if (node->draining) {
        return WIRE_REASON_DRAINING;
    }
    if (p->in->version[0] != '\0' && strcmp(node->version, p->in->version) != 0) {
        return WIRE_REASON_VERSION_DIFFERS;
    }
    if (node->quarantined_until_us > p->in->now_us) {
        return WIRE_REASON_QUARANTINED;
    }
    return node->policy != WIRE_POLICY_NONE ? WIRE_REASON_POLICY : WIRE_REASON_NONE;
}

static void describe(struct place *p, uint32_t at)
{
    const struct place_node *node = place_node(p, at);
    int32_t speed = node->speed == 0 ? (int32_t)PLACE_SPEED_USUAL : node->speed;
    int32_t failures =
        node->failures_milli < FAILURES_MAX ? (int32_t)node->failures_milli : FAILURES_MAX;
    speed = speed < SPEED_MAX ? speed : SPEED_MAX;
    p->spots[at] = (struct place_spot){.base = speed / SPEED_PER_POINT +
                                               (FAILURES_MAX - failures) / FAILURES_PER_POINT,
                                       .parole = node->parole,
                                       .level = PLACE_LEVELS};
    p->sites[at] =
        (struct place_site){.blocked = (uint8_t)blocked_by(p, node), .first_use = PLACE_NONE};
    p->sites[at].all = (struct place_amount){.slots = node->slots,
                                             .cpus = node->cpus,
                                             .gpus = node->gpus,
                                             .ram_bytes = node->ram_bytes,
                                             .disk_bytes = node->disk_bytes};
    if (p->sites[at].blocked == WIRE_REASON_NONE) {
        p->open[at / 64] |= UINT64_C(1) << at % 64;
    }
    if (node->gpus > 0) {
        p->with_gpus[at / 64] |= UINT64_C(1) << at % 64;
    }
    measure(p, at);
}

/* ---- the reserve ---- */

static bool reserved_before(const void *ctx, uint32_t a, uint32_t b)
{
    const struct place *p = ctx;
    if (place_node(p, a)->gpus != place_node(p, b)->gpus) {
        return place_node(p, a)->gpus < place_node(p, b)->gpus;
    }
    return a < b;
}

static void keep_reserve(struct place *p)
{
    uint32_t live = 0;
    if (p->limits->reserve_permille == 0) {
        return;
    }
    for (uint32_t i = 0; i < p->in->node_count; i++) {
        if (p->sites[i].blocked == WIRE_REASON_NONE) {
            p->scratch[live++] = i;
        }
    }
    uint64_t kept = (uint64_t)live * p->limits->reserve_permille / 1000;
    kept = kept > 0 ? kept : 1;
    place_sort(p->scratch, live, reserved_before, p);
    for (uint32_t i = 0; i < live && i < kept; i++) {
        uint32_t node = p->scratch[i];
        p->sites[node].reserved = true;
        p->reserved[node / 64] |= UINT64_C(1) << node % 64;
    }
}

/* ---- begin ---- */

void place_use_members(struct place *p, uint32_t unit)
{
    const struct place_unit *u = &p->in->units[unit];
    for (uint32_t i = 0; i < u->member_count; i++) {
        uint32_t node = place_node_find(p, u->members[i].node);
        if (node != PLACE_NOBODY) {
            place_use(p, unit, node);
        }
    }
}

void place_spots_begin(struct place *p)
{
    const struct place_input *in = p->in;
    for (uint32_t i = 0; i < in->node_count; i++) {
        p->node_order[i] = i;
    }
    place_sort(p->node_order, in->node_count, node_before, p);
    memset(p->open, 0, p->words * sizeof *p->open);
    memset(p->reserved, 0, p->words * sizeof *p->reserved);
    memset(p->with_gpus, 0, p->words * sizeof *p->with_gpus);
    for (uint32_t i = 0; i < 2; i++) {
        memset(p->levels[i].sets, 0, (size_t)PLACE_LEVELS * p->words * sizeof *p->levels[i].sets);
        memset(p->levels[i].tops, 0,
               (size_t)PLACE_LEVELS * p->top_words * sizeof *p->levels[i].tops);
    }
    for (uint32_t i = 0; i < in->node_count; i++) {
        SH_CHECK(i == 0 || node_before(p, p->node_order[i - 1], p->node_order[i]));
        describe(p, i);
    }
    keep_reserve(p);
    p->use_count = 0;
    p->free_use = PLACE_NONE;
}

/* Units are packed by how full nodes were when the pass began: who is filled first stays first. */
void place_spots_end(struct place *p)
{
    for (uint32_t i = 0; i < p->in->node_count; i++) {
        struct place_spot *spot = &p->spots[i];
        spot->packed = level_of(spot->base + FIT_SCORE * (int32_t)spot->full / FULL);
        change_level(p, &p->levels[1], i, PLACE_LEVELS, spot->packed);
    }
}
