/* SPDX-License-Identifier: Apache-2.0
 *
 * Candidates. All nodes stand in levels by their score, whatever the signature; each signature has
 * the set of those that fit it. The best ones are found from the highest level down, a word of 64
 * nodes at a time. So neither a placement nor a signature costs a look at every node's needs again.
 */
#include "place/order.h"
#include "place/pass.h"

/* A node with GPUs stands so many levels lower for who wants none. */
enum { GPU_MALUS = 12, OFFER_MAX = WIRE_MEMBERS_MAX + PLACE_NEAR_MAX };

#define GAIN_MAX   1000u
#define READY_GAIN UINT64_C(1000000) /* ready nodes come before all others */

static uint64_t gain_at(const struct place_unit *u, const uint8_t *id)
{
    uint64_t gain = place_is_ready(u, id) ? READY_GAIN : 0;
    for (uint32_t i = 0; i < u->near_count && i < PLACE_NEAR_MAX; i++) {
        if (memcmp(u->near[i].node, id, SH_NODE_ID_BYTES) == 0) {
            uint32_t here = u->near[i].gain < GAIN_MAX ? u->near[i].gain : GAIN_MAX;
            return gain + (uint64_t)here * PLACE_LEVELS / GAIN_MAX;
        }
    }
    return gain;
}

/* Higher is better: the level, then who has no GPUs that would be wasted, then the lower id. */
static uint64_t key_of(const struct place *p, const struct place_sign *sign, uint32_t node,
                       uint64_t gain)
{
    const struct place_spot *spot = &p->spots[node];
    bool wasted = p->sites[node].all.gpus > 0 && sign->need.gpus == 0;
    uint64_t level = GPU_MALUS + (uint64_t)(sign->pack ? spot->packed : spot->level);
    level -= wasted ? GPU_MALUS : 0;
    return ((level + gain) << 33) | (uint64_t)!wasted << 32 | (UINT32_MAX - node);
}

static uint32_t node_of(uint64_t key)
{
    return UINT32_MAX - (uint32_t)key;
}

/* ---- slots ---- */

/* The class that most nodes with room share; of equals the lower one. */
static uint16_t choose_class(const struct place *p, const struct place_sign *sign)
{
    uint32_t best = 0;
    if (sign->pinned || sign->mixes) {
        return sign->class;
    }
    for (uint32_t i = 1; i < p->class_count; i++) {
        best = p->votes[i] > p->votes[best] ? i : best;
    }
    return (uint16_t)best;
}

/* Leaves out the nodes of a word that have no room, or another class than the pinned one. */
static uint64_t keep_roomy(struct place *p, const struct place_sign *sign, uint32_t word,
                           uint64_t set)
{
    uint64_t kept = set;
    for (uint64_t rest = set; rest != 0; rest &= rest - 1) {
        uint32_t node = 64 * word + (uint32_t)__builtin_ctzll(rest);
        bool class_ok = !sign->pinned || p->spots[node].class == sign->class;
        if (class_ok && place_has_room(p, sign, node)) {
            p->votes[p->spots[node].class]++;
        } else {
            kept &= ~(rest & -rest);
        }
    }
    return kept;
}

/* Looks at every node for a signature. */
static void fill(struct place *p, struct place_slot *slot)
{
    const struct place_sign *sign = &p->signs[slot->sign];
    uint32_t words = (p->in->node_count + 63) / 64;
    memset(p->votes, 0, p->class_count * sizeof *p->votes);
    for (uint32_t i = 0; i < words; i++) {
        slot->set[i] = keep_roomy(p, sign, i, place_kind_word(p, sign, i, true));
    }
    slot->count = 0;
    slot->class = p->class_count > 0 ? choose_class(p, sign) : PLACE_NO_CLASS;
    bool any = slot->class == PLACE_NO_CLASS;
    slot->exhausted = any || p->votes[slot->class] < p->in->units[sign->unit].need.agents_min;
    for (uint32_t i = 0; i < words; i++) {
        for (uint64_t rest = slot->set[i]; rest != 0; rest &= rest - 1) {
            uint32_t node = 64 * i + (uint32_t)__builtin_ctzll(rest);
            bool wanted = any || p->spots[node].class == slot->class;
            slot->set[i] &= wanted ? UINT64_MAX : ~(rest & -rest);
            slot->count += wanted ? 1 : 0;
        }
    }
    slot->epoch = p->epoch;
}

struct place_slot *place_slot_of(struct place *p, uint32_t unit)
{
    uint32_t number = p->sign_of[unit];
    struct place_sign *sign = &p->signs[number];
    bool there = sign->slot != PLACE_NONE && p->slots[sign->slot].sign == number;
    if (!there) {
        sign->slot = p->next_slot;
        p->next_slot = (p->next_slot + 1) % p->capacity.signatures;
        p->slots[sign->slot].sign = number;
    }
    struct place_slot *slot = &p->slots[sign->slot];
    if (!there || slot->epoch != p->epoch) {
        fill(p, slot);
    }
    return slot;
}

uint32_t place_count(struct place *p, uint32_t unit, bool open, uint32_t enough)
{
    static const struct place_amount nothing;
    const struct place_sign *sign = &p->signs[p->sign_of[unit]];
    uint32_t most = 0;
    memset(p->votes, 0, p->class_count * sizeof *p->votes);
    for (uint32_t i = 0; 64 * i < p->in->node_count && most < enough; i++) {
        for (uint64_t rest = place_kind_word(p, sign, i, open); rest != 0; rest &= rest - 1) {
            uint32_t node = 64 * i + (uint32_t)__builtin_ctzll(rest);
            uint16_t class = p->spots[node].class;
            if ((!sign->pinned || class == sign->class) &&
                place_covers(&p->sites[node].all, &nothing, &sign->need)) {
                uint32_t votes = ++p->votes[sign->mixes ? 0 : class];
                most = votes > most ? votes : most;
            }
        }
    }
    return most < enough ? most : enough;
}

/* ---- what a unit has of its own ---- */

bool place_is_ready(const struct place_unit *unit, const uint8_t *id)
{
    bool ready = false;
    for (uint32_t i = 0; i < unit->ready_count && !ready; i++) {
        ready = memcmp(unit->ready[i], id, SH_NODE_ID_BYTES) == 0;
    }
    return ready;
}

uint32_t place_agents_max(const struct place_unit *unit)
{
    uint32_t max = unit->need.agents_max;
    max = max < unit->need.ranks ? max : unit->need.ranks;
    return max < WIRE_MEMBERS_MAX ? max : WIRE_MEMBERS_MAX;
}

/* Keeps away from all nodes where the unit failed while enough others could take it, else from the
 * last of them while any other could, else from none: one node alone is tried again. */
uint32_t place_failed_count(struct place *p, uint32_t unit)
{
    const struct place_unit *u = &p->in->units[unit];
    const struct place_sign *sign = &p->signs[p->sign_of[unit]];
    uint32_t all = u->failed_count < PLACE_FAILED_MAX ? u->failed_count : PLACE_FAILED_MAX;
    uint32_t capable = 0;
    uint32_t last = 0;
    if (all == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < all; i++) {
        uint32_t node = place_node_find(p, u->failed[i]);
        bool counts =
            node != PLACE_NOBODY && place_is_open(p, sign, node) && place_capable(p, sign, node);
        capable += counts ? 1 : 0;
        last = i == 0 ? capable : last;
    }
    uint32_t could = place_count(p, unit, true, capable + u->need.agents_min);
    if (could >= capable + u->need.agents_min) {
        return all;
    }
    return could >= last + u->need.agents_min ? 1 : 0;
}

bool place_avoids(const struct place *p, uint32_t unit, uint32_t failed, uint32_t node)
{
    const struct place_unit *u = &p->in->units[unit];
    const uint8_t *id = place_node(p, node)->id;
    bool failed_here = false;
    for (uint32_t i = 0; i < failed && !failed_here; i++) {
        failed_here = memcmp(u->failed[i], id, SH_NODE_ID_BYTES) == 0;
    }
    return failed_here || wire_member_find(u->members, u->member_count, id) < u->member_count ||
           place_held_back(p, unit, node);
}

/* ---- offers ---- */

struct offer {
    uint64_t keys[OFFER_MAX];
    uint32_t count;
    /* The walk through the levels. */
    uint32_t unit;
    uint32_t failed;
    uint32_t want; /* of the others */
    uint32_t found;
    uint32_t seen; /* nodes with room, wanted or not */
};

static bool is_offered(const struct offer *offer, uint32_t node)
{
    bool found = false;
    for (uint32_t i = 0; i < offer->count && !found; i++) {
        found = node_of(offer->keys[i]) == node;
    }
    return found;
}

/* One node that the unit has an interest in of its own. */
static void offer_special(const struct place *p, const struct place_slot *slot, const uint8_t *id,
                          struct offer *offer)
{
    const struct place_sign *sign = &p->signs[slot->sign];
    uint32_t node = place_node_find(p, id);
    if (node == PLACE_NOBODY || offer->count == PLACE_NEAR_MAX || is_offered(offer, node) ||
        (slot->set[node / 64] >> node % 64 & 1) == 0 || !place_has_room(p, sign, node) ||
        place_avoids(p, offer->unit, offer->failed, node)) {
        return;
    }
    offer->keys[offer->count++] = key_of(p, sign, node, gain_at(&p->in->units[offer->unit], id));
}

static void offer_word(struct place *p, struct place_slot *slot, uint32_t word, uint64_t set,
                       struct offer *offer)
{
    const struct place_sign *sign = &p->signs[slot->sign];
    for (; set != 0 && offer->found < offer->want; set &= set - 1) {
        uint32_t node = 64 * word + (uint32_t)__builtin_ctzll(set);
        if (!place_has_room(p, sign, node)) {
            slot->set[word] &= ~(set & -set);
            slot->count--;
            continue;
        }
        offer->seen++;
        if (!place_avoids(p, offer->unit, offer->failed, node) && !is_offered(offer, node)) {
            offer->keys[offer->count++] = key_of(p, sign, node, 0);
            offer->found++;
        }
    }
}

/* The nodes of a level that are in mask, or with out are not. */
static void offer_level(struct place *p, struct place_slot *slot, uint32_t level,
                        const uint64_t *mask, bool out, struct offer *offer)
{
    const struct place_levels *levels = &p->levels[p->signs[slot->sign].pack ? 1 : 0];
    const uint64_t *set = &levels->sets[(size_t)level * p->words];
    for (uint32_t i = 0; i < p->top_words; i++) {
        uint64_t top = levels->tops[(size_t)level * p->top_words + i];
        for (; top != 0 && offer->found < offer->want; top &= top - 1) {
            uint32_t word = 64 * i + (uint32_t)__builtin_ctzll(top);
            uint64_t wanted = set[word] & slot->set[word] & (out ? ~mask[word] : mask[word]);
            offer_word(p, slot, word, wanted, offer);
        }
    }
}

/* The best of the others, from the highest level down. */
static void offer_others(struct place *p, struct place_slot *slot, struct offer *offer)
{
    bool gpus = p->signs[slot->sign].need.gpus > 0;
    uint32_t above = PLACE_LEVELS + GPU_MALUS;
    if (slot->count <= WIRE_MEMBERS_MAX) { /* so few that all of them can be offered */
        offer->want = WIRE_MEMBERS_MAX;
        for (uint32_t i = 0; 64 * i < p->in->node_count && slot->count > 0; i++) {
            offer_word(p, slot, i, slot->set[i], offer);
        }
        return;
    }
    for (uint32_t i = above; i > 0 && offer->found < offer->want; i--) {
        /* Levels of others, and of nodes with GPUs, that count as the same. */
        uint32_t level = i - 1;
        if (level >= GPU_MALUS) {
            offer_level(p, slot, level - GPU_MALUS, p->with_gpus, !gpus, offer);
        }
        if (level < PLACE_LEVELS) {
            offer_level(p, slot, level, p->with_gpus, gpus, offer);
        }
    }
}

static bool better(const void *ctx, uint32_t a, uint32_t b)
{
    const uint64_t *keys = ctx;
    return keys[a] > keys[b];
}

static void collect(struct place *p, struct place_slot *slot, bool ready_only, struct offer *offer)
{
    const struct place_unit *u = &p->in->units[offer->unit];
    offer->count = 0;
    offer->found = 0;
    offer->seen = 0;
    for (uint32_t i = 0; i < u->ready_count && i < PLACE_NEAR_MAX; i++) {
        offer_special(p, slot, u->ready[i], offer);
    }
    for (uint32_t i = 0; i < u->near_count && i < PLACE_NEAR_MAX && !ready_only; i++) {
        offer_special(p, slot, u->near[i].node, offer);
    }
    if (!ready_only) {
        offer_others(p, slot, offer);
    }
}

void place_find_fit(struct place *p, uint32_t unit, uint32_t want, bool ready_only,
                    struct place_fit *fit)
{
    const struct place_unit *u = &p->in->units[unit];
    struct offer offer = {.unit = unit, .failed = place_failed_count(p, unit), .want = want};
    struct place_slot *slot = place_slot_of(p, unit);
    uint32_t order[OFFER_MAX];
    SH_CHECK_CMP(want, <=, WIRE_MEMBERS_MAX);
    collect(p, slot, ready_only, &offer);
    if (offer.seen < u->need.agents_min && !ready_only && !p->signs[slot->sign].pinned &&
        !slot->exhausted) {
        fill(p, slot); /* the class is full: perhaps another has room */
        offer.want = want;
        collect(p, slot, ready_only, &offer);
    }
    for (uint32_t i = 0; i < offer.count; i++) {
        order[i] = i;
    }
    place_sort(order, offer.count, better, offer.keys);
    fit->scarce = !ready_only && offer.seen < u->need.agents_min;
    fit->count = offer.count < want ? offer.count : want;
    for (uint32_t i = 0; i < fit->count; i++) {
        fit->nodes[i] = node_of(offer.keys[order[i]]);
    }
}
