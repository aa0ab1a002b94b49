/* SPDX-License-Identifier: Apache-2.0 */
#include "secagg/server.h"

#include <sodium.h>

#include <stdlib.h>
#include <string.h>

enum step { STEP_KEYS, STEP_SHARES, STEP_MASKED, STEP_CONSENT, STEP_RECOVERED };

/* What is known about one member's secrets through one neighbour. */
struct held {
    uint8_t sealed[SECAGG_SEALED_BYTES];
    uint8_t check[SECAGG_SECRETS][SECAGG_CHECK_BYTES];
    uint8_t share[SECAGG_SHARE_BYTES]; /* of the secret that is wanted */
    bool revealed;
};

struct member {
    uint16_t near[SECAGG_NEIGHBOURS_MAX];
    uint8_t self_check[SECAGG_CHECK_BYTES];
    uint8_t secret[SECAGG_KEY_BYTES]; /* recovered */
};

struct secagg_server {
    struct secagg_round round;
    uint32_t members_max;
    enum step step;
    struct secagg_plan plan;
    uint8_t digest[SECAGG_DIGEST_BYTES];
    struct secagg_set shared;
    struct secagg_set survivors;
    struct secagg_set consented;
    struct secagg_set revealed;
    struct secagg_consents consents;
    struct secagg_roster roster;
    struct member *member;                 /* [members_max] */
    struct held *held;                     /* [members][neighbours] */
    uint8_t (*mask_key)[SECAGG_KEY_BYTES]; /* of masks in common, as held: of a dropped member */
};

static size_t pairs_max(uint32_t members_max)
{
    size_t most = 0;
    for (uint32_t n = SECAGG_MEMBERS_MIN; n <= members_max; n++) {
        struct secagg_plan plan;
        SH_CHECK(secagg_plan(n, &plan) == SH_OK);
        const size_t pairs = (size_t)n * plan.neighbours;
        most = pairs > most ? pairs : most;
    }
    return most;
}

enum sh_err secagg_server_open(const struct secagg_round *round, uint32_t members_max,
                               struct secagg_server **out)
{
    *out = NULL;
    if (members_max < SECAGG_MEMBERS_MIN || members_max > SECAGG_MEMBERS_MAX) {
        return SH_ERR_LIMIT;
    }
    struct secagg_server *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    const size_t pairs = pairs_max(members_max);
    s->round = *round;
    s->members_max = members_max;
    s->member = calloc(members_max, sizeof *s->member);
    s->held = calloc(pairs, sizeof *s->held);
    s->mask_key = calloc(pairs, sizeof *s->mask_key);
    if (s->member == NULL || s->held == NULL || s->mask_key == NULL) {
        secagg_server_close(s);
        return SH_ERR_NO_MEMORY;
    }
    *out = s;
    return SH_OK;
}

void secagg_server_close(struct secagg_server *s)
{
    if (s == NULL) {
        return;
    }
    const size_t pairs = pairs_max(s->members_max);
    if (s->member != NULL) {
        sodium_memzero(s->member, s->members_max * sizeof *s->member);
    }
    if (s->held != NULL) {
        sodium_memzero(s->held, pairs * sizeof *s->held);
    }
    if (s->mask_key != NULL) {
        sodium_memzero(s->mask_key, pairs * sizeof *s->mask_key);
    }
    free(s->member);
    free(s->held);
    free(s->mask_key);
    free(s);
}

/* Position of a node, or where it belongs. */
static uint32_t find(const struct secagg_roster *roster,
                     const uint8_t node[static SH_NODE_ID_BYTES], bool *there)
{
    uint32_t low = 0;
    uint32_t high = roster->members;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const int order = memcmp(roster->keys[middle].node, node, SH_NODE_ID_BYTES);
        if (order == 0) {
            *there = true;
            return middle;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    *there = false;
    return low;
}

enum sh_err secagg_server_keys(struct secagg_server *s, const struct secagg_keys *keys)
{
    bool there = false;
    if (s->step != STEP_KEYS) {
        return SH_ERR_CONFLICT;
    }
    if (secagg_keys_verify(&s->round, keys) != SH_OK) {
        return SH_ERR_DENIED;
    }
    struct secagg_keys *at = &s->roster.keys[find(&s->roster, keys->node, &there)];
    if (there) {
        return memcmp(at, keys, sizeof *keys) == 0 ? SH_OK : SH_ERR_EXISTS;
    }
    if (s->roster.members == s->members_max) {
        return SH_ERR_FULL;
    }
    const size_t after = (size_t)(&s->roster.keys[s->roster.members] - at);
    memmove(at + 1, at, after * sizeof *at);
    *at = *keys;
    s->roster.members++;
    return SH_OK;
}

enum sh_err secagg_server_open_shares(struct secagg_server *s)
{
    struct secagg_graph graph;
    if (s->step != STEP_KEYS) {
        return SH_ERR_CONFLICT;
    }
    enum sh_err err = secagg_plan(s->roster.members, &s->plan);
    if (err != SH_OK) {
        return err;
    }
    secagg_roster_digest(&s->round, &s->roster, s->digest);
    secagg_graph_init(&graph, &s->plan, s->digest);
    for (uint32_t i = 0; i < s->plan.members; i++) {
        secagg_graph_neighbours(&graph, i, s->member[i].near);
    }
    s->shared.members = s->plan.members;
    s->survivors.members = s->plan.members;
    s->consented.members = s->plan.members;
    s->revealed.members = s->plan.members;
    s->step = STEP_SHARES;
    return SH_OK;
}

const struct secagg_roster *secagg_server_roster(const struct secagg_server *s)
{
    return &s->roster;
}

const struct secagg_plan *secagg_server_plan(const struct secagg_server *s)
{
    return &s->plan;
}

uint32_t secagg_server_index(const struct secagg_server *s,
                             const uint8_t node[static SH_NODE_ID_BYTES])
{
    bool there = false;
    uint32_t at = find(&s->roster, node, &there);
    return there ? at : SECAGG_MEMBERS_MAX;
}

static struct held *held_of(const struct secagg_server *s, uint32_t member, uint32_t slot)
{
    return &s->held[(size_t)member * s->plan.neighbours + slot];
}

/* Position of `other` among the neighbours of `member`, or their number. */
static uint32_t slot_of(const struct secagg_server *s, uint32_t member, uint32_t other)
{
    const uint16_t *near = s->member[member].near;
    uint32_t low = 0;
    uint32_t high = s->plan.neighbours;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        low = near[middle] < other ? middle + 1 : low;
        high = near[middle] < other ? high : middle;
    }
    return low < s->plan.neighbours && near[low] == other ? low : s->plan.neighbours;
}

enum sh_err secagg_server_shares(struct secagg_server *s, uint32_t from,
                                 const struct secagg_shares *shares)
{
    if (s->step != STEP_SHARES || from >= s->plan.members) {
        return SH_ERR_CONFLICT;
    }
    if (shares->from != from) {
        return SH_ERR_DENIED;
    }
    if (shares->count != s->plan.neighbours) {
        return SH_ERR_CORRUPT;
    }
    if (secagg_set_has(&s->shared, from)) {
        return SH_ERR_EXISTS;
    }
    memcpy(s->member[from].self_check, shares->self_check, SECAGG_CHECK_BYTES);
    for (uint32_t i = 0; i < shares->count; i++) {
        struct held *h = held_of(s, from, i);
        memcpy(h->sealed, shares->at[i].sealed, sizeof h->sealed);
        memcpy(h->check, shares->at[i].check, sizeof h->check);
    }
    secagg_set_add(&s->shared, from);
    return SH_OK;
}

enum sh_err secagg_server_open_masked(struct secagg_server *s)
{
    if (s->step != STEP_SHARES) {
        return SH_ERR_CONFLICT;
    }
    if (secagg_set_count(&s->shared) < s->plan.survivors_min) {
        return SH_ERR_NO_QUORUM;
    }
    s->step = STEP_MASKED;
    return SH_OK;
}

void secagg_server_delivery(const struct secagg_server *s, uint32_t to, struct secagg_delivery *out)
{
    SH_CHECK(s->step >= STEP_MASKED);
    SH_CHECK(secagg_set_has(&s->shared, to));
    *out = (struct secagg_delivery){.to = to};
    for (uint32_t i = 0; i < s->plan.neighbours; i++) {
        const uint16_t from = s->member[to].near[i];
        if (secagg_set_has(&s->shared, from)) {
            const struct held *h = held_of(s, from, slot_of(s, from, to));
            out->at[out->count].from = from;
            memcpy(out->at[out->count].sealed, h->sealed, sizeof h->sealed);
            out->count++;
        }
    }
}

enum sh_err secagg_server_masked(struct secagg_server *s, uint32_t from)
{
    if (s->step != STEP_MASKED || !secagg_set_has(&s->shared, from)) {
        return SH_ERR_CONFLICT;
    }
    if (secagg_set_has(&s->survivors, from)) {
        return SH_ERR_EXISTS;
    }
    secagg_set_add(&s->survivors, from);
    return SH_OK;
}

enum sh_err secagg_server_open_consent(struct secagg_server *s)
{
    if (s->step != STEP_MASKED) {
        return SH_ERR_CONFLICT;
    }
    if (secagg_set_count(&s->survivors) < s->plan.survivors_min) {
        return SH_ERR_NO_QUORUM;
    }
    s->step = STEP_CONSENT;
    return SH_OK;
}

const struct secagg_set *secagg_server_survivors(const struct secagg_server *s)
{
    SH_CHECK(s->step >= STEP_CONSENT);
    return &s->survivors;
}

enum sh_err secagg_server_consent(struct secagg_server *s, uint32_t from,
                                  const struct secagg_consent *consent)
{
    if (s->step != STEP_CONSENT || !secagg_set_has(&s->survivors, from)) {
        return SH_ERR_CONFLICT;
    }
    if (secagg_set_has(&s->consented, from)) {
        return SH_ERR_EXISTS;
    }
    if (consent->from != from ||
        secagg_consent_verify(s->digest, &s->survivors, s->roster.keys[from].sign_public,
                              consent->signature) != SH_OK) {
        return SH_ERR_DENIED;
    }
    secagg_set_add(&s->consented, from);
    s->consents.at[s->consents.count] = *consent;
    s->consents.count++;
    return SH_OK;
}

const struct secagg_consents *secagg_server_consents(const struct secagg_server *s)
{
    return &s->consents;
}

static enum secagg_secret wanted(const struct secagg_server *s, uint32_t about)
{
    return secagg_set_has(&s->survivors, about) ? SECAGG_SELF : SECAGG_MASK;
}

/* The place of a share that `from` may give, or NULL. */
static struct held *place_of(const struct secagg_server *s, uint32_t from, uint32_t about,
                             uint8_t secret, const uint8_t share[static SECAGG_SHARE_BYTES])
{
    uint8_t check[SECAGG_CHECK_BYTES];
    if (!secagg_set_has(&s->shared, about) || secret != (uint8_t)wanted(s, about)) {
        return NULL;
    }
    const uint32_t slot = slot_of(s, about, from);
    if (slot == s->plan.neighbours) {
        return NULL;
    }
    struct held *h = held_of(s, about, slot);
    secagg_check(check, (enum secagg_secret)secret, about, from, share);
    return memcmp(check, h->check[secret], sizeof check) == 0 ? h : NULL;
}

enum sh_err secagg_server_reveal(struct secagg_server *s, uint32_t from,
                                 const struct secagg_reveal *reveal)
{
    if (s->step != STEP_CONSENT || !secagg_set_has(&s->survivors, from)) {
        return SH_ERR_CONFLICT;
    }
    if (secagg_set_has(&s->revealed, from)) {
        return SH_ERR_EXISTS;
    }
    for (uint32_t i = 0; i < reveal->count; i++) {
        if (reveal->from != from || place_of(s, from, reveal->at[i].about, reveal->at[i].secret,
                                             reveal->at[i].share) == NULL) {
            return SH_ERR_DENIED;
        }
    }
    for (uint32_t i = 0; i < reveal->count; i++) {
        struct held *h =
            place_of(s, from, reveal->at[i].about, reveal->at[i].secret, reveal->at[i].share);
        memcpy(h->share, reveal->at[i].share, sizeof h->share);
        h->revealed = true;
    }
    secagg_set_add(&s->revealed, from);
    return SH_OK;
}

/* The first member whose secret lacks shares, or plan.members. */
static uint32_t lacking(const struct secagg_server *s)
{
    for (uint32_t u = 0; u < s->plan.members; u++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < s->plan.neighbours; i++) {
            count += held_of(s, u, i)->revealed;
        }
        if (secagg_set_has(&s->shared, u) && count < s->plan.threshold) {
            return u;
        }
    }
    return s->plan.members;
}

bool secagg_server_ready(const struct secagg_server *s)
{
    return s->step == STEP_CONSENT && lacking(s) == s->plan.members;
}

/* Whether a recovered secret is the one that its owner bound itself to in R0 or R1. */
static bool genuine(const struct secagg_server *s, uint32_t u)
{
    const struct member *m = &s->member[u];
    if (wanted(s, u) == SECAGG_SELF) {
        uint8_t check[SECAGG_CHECK_BYTES];
        secagg_check(check, SECAGG_SELF, u, u, m->secret);
        return memcmp(check, m->self_check, sizeof check) == 0;
    }
    uint8_t public_key[SECAGG_KEY_BYTES];
    secagg_public(public_key, m->secret);
    return memcmp(public_key, s->roster.keys[u].mask_public, sizeof public_key) == 0;
}

static void combine(struct secagg_server *s, uint32_t u)
{
    uint8_t point[SECAGG_NEIGHBOURS_MAX];
    uint8_t share[SECAGG_NEIGHBOURS_MAX][SECAGG_SHARE_BYTES];
    uint32_t used = 0;
    for (uint32_t i = 0; i < s->plan.neighbours && used < s->plan.threshold; i++) {
        const struct held *h = held_of(s, u, i);
        if (h->revealed) {
            point[used] = (uint8_t)(i + 1);
            memcpy(share[used], h->share, SECAGG_SHARE_BYTES);
            used++;
        }
    }
    secagg_combine(s->plan.threshold, point, (const uint8_t(*)[SECAGG_SHARE_BYTES])share,
                   s->member[u].secret);
    sodium_memzero(share, sizeof share);
}

/* Keys of the masks of one member: its own, or those that it has in common with survivors. */
static enum sh_err make_keys(struct secagg_server *s, uint32_t u)
{
    struct member *m = &s->member[u];
    if (wanted(s, u) == SECAGG_SELF) {
        secagg_derive(s->mask_key[(size_t)u * s->plan.neighbours], m->secret, "self", s->digest, u,
                      u);
        return SH_OK;
    }
    for (uint32_t i = 0; i < s->plan.neighbours; i++) {
        const uint32_t v = m->near[i];
        if (secagg_set_has(&s->survivors, v)) {
            enum sh_err err = secagg_agree(s->mask_key[(size_t)u * s->plan.neighbours + i],
                                           m->secret, s->roster.keys[v].mask_public, "mask",
                                           s->digest, u < v ? u : v, u < v ? v : u);
            if (err != SH_OK) {
                return err;
            }
        }
    }
    return SH_OK;
}

enum sh_err secagg_server_recover(struct secagg_server *s, uint32_t *bad)
{
    *bad = 0;
    if (s->step != STEP_CONSENT) {
        return SH_ERR_CONFLICT;
    }
    *bad = lacking(s);
    if (*bad < s->plan.members) {
        return SH_ERR_NO_QUORUM;
    }
    for (uint32_t u = 0; u < s->plan.members; u++) {
        if (secagg_set_has(&s->shared, u)) {
            *bad = u;
            combine(s, u);
            if (!genuine(s, u) || make_keys(s, u) != SH_OK) {
                return SH_ERR_DENIED;
            }
        }
    }
    s->step = STEP_RECOVERED;
    return SH_OK;
}

void secagg_server_unmask(const struct secagg_server *s, struct secagg_slice slice)
{
    SH_CHECK(s->step == STEP_RECOVERED);
    SH_CHECK_CMP(slice.offset, <=, s->round.count);
    SH_CHECK_CMP(slice.count, <=, s->round.count - slice.offset);
    for (uint32_t u = 0; u < s->plan.members; u++) {
        uint8_t(*key)[SECAGG_KEY_BYTES] = &s->mask_key[(size_t)u * s->plan.neighbours];
        if (secagg_set_has(&s->survivors, u)) {
            secagg_mask(s->round.bits, slice, key[0], true);
        } else if (secagg_set_has(&s->shared, u)) {
            for (uint32_t i = 0; i < s->plan.neighbours; i++) {
                const uint32_t v = s->member[u].near[i];
                if (secagg_set_has(&s->survivors, v)) {
                    /* v added the mask in common with u where v < u */
                    secagg_mask(s->round.bits, slice, key[i], v < u);
                }
            }
        }
    }
}

uint32_t secagg_server_masks(const struct secagg_server *s)
{
    uint32_t count = secagg_set_count(&s->survivors);
    for (uint32_t u = 0; u < s->plan.members; u++) {
        const bool dropped = secagg_set_has(&s->shared, u) && !secagg_set_has(&s->survivors, u);
        for (uint32_t i = 0; dropped && i < s->plan.neighbours; i++) {
            count += secagg_set_has(&s->survivors, s->member[u].near[i]);
        }
    }
    return count;
}
