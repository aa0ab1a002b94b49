/* SPDX-License-Identifier: Apache-2.0 */
#include "secagg/client.h"

#include <sodium.h>

#include <string.h>

_Static_assert(SECAGG_SEALED_BYTES ==
                   2 * SECAGG_SHARE_BYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES,
               "sealed shares");

void secagg_client_begin(struct secagg_client *c, const struct secagg_round *round,
                         const struct trust *trust, const uint8_t random[static SECAGG_KEY_BYTES],
                         struct secagg_keys *out)
{
    SH_CHECK(round->bits == 32 || round->bits == 64);
    *c = (struct secagg_client){.phase = SECAGG_KEYED, .round = *round, .trust = trust};
    memcpy(c->random.key, random, sizeof c->random.key);
    secagg_stream_fill(&c->random, c->seal_secret, sizeof c->seal_secret);
    secagg_stream_fill(&c->random, c->mask_secret, sizeof c->mask_secret);
    secagg_stream_fill(&c->random, c->self_seed, sizeof c->self_seed);
    secagg_public(c->keys.seal_public, c->seal_secret);
    secagg_public(c->keys.mask_public, c->mask_secret);
    secagg_keys_sign(round, trust, &c->keys);
    *out = c->keys;
}

static enum sh_err verify_roster(const struct secagg_client *c, const struct secagg_roster *roster,
                                 secagg_known_fn known, void *context, uint32_t *self,
                                 uint32_t *bad)
{
    *self = roster->members;
    for (uint32_t i = 0; i < roster->members; i++) {
        const struct secagg_keys *k = &roster->keys[i];
        *bad = i;
        if (i > 0 && memcmp(roster->keys[i - 1].node, k->node, sizeof k->node) >= 0) {
            return SH_ERR_CORRUPT;
        }
        if (memcmp(k->node, c->keys.node, sizeof k->node) == 0) {
            *self = i;
        } else if (!known(context, k->node) || secagg_keys_verify(&c->round, k) != SH_OK) {
            return SH_ERR_DENIED;
        }
    }
    *bad = *self;
    return *self < roster->members && memcmp(&roster->keys[*self], &c->keys, sizeof c->keys) == 0
               ? SH_OK
               : SH_ERR_CORRUPT;
}

/* Keys of the masks in common, and what is needed of the neighbours later. */
static enum sh_err meet(struct secagg_client *c, const struct secagg_roster *roster, uint32_t *bad)
{
    struct secagg_graph graph;
    uint16_t near[SECAGG_NEIGHBOURS_MAX];
    secagg_graph_init(&graph, &c->plan, c->digest);
    secagg_graph_neighbours(&graph, c->self, near);
    for (uint32_t i = 0; i < c->plan.neighbours; i++) {
        const struct secagg_keys *k = &roster->keys[near[i]];
        struct secagg_neighbour *n = &c->near[i];
        const uint32_t low = near[i] < c->self ? near[i] : c->self;
        const uint32_t high = near[i] < c->self ? c->self : near[i];
        *n = (struct secagg_neighbour){.index = near[i]};
        memcpy(n->sign_public, k->sign_public, sizeof n->sign_public);
        memcpy(n->seal_public, k->seal_public, sizeof n->seal_public);
        memcpy(n->mask_public, k->mask_public, sizeof n->mask_public);
        *bad = near[i];
        enum sh_err err =
            secagg_agree(n->pair_key, c->mask_secret, k->mask_public, "mask", c->digest, low, high);
        if (err != SH_OK) {
            return err;
        }
    }
    secagg_derive(c->self_key, c->self_seed, "self", c->digest, c->self, c->self);
    return SH_OK;
}

/* Every sealing key is used once, for one message of one round: the nonce need not change. */
static const uint8_t zero_nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];

static enum sh_err seal(const struct secagg_client *c, const struct secagg_neighbour *n,
                        const uint8_t shares[static 2 * SECAGG_SHARE_BYTES],
                        uint8_t out[static SECAGG_SEALED_BYTES])
{
    uint8_t key[SECAGG_KEY_BYTES];
    enum sh_err err =
        secagg_agree(key, c->seal_secret, n->seal_public, "seal", c->digest, c->self, n->index);
    if (err == SH_OK) {
        SH_CHECK(crypto_aead_xchacha20poly1305_ietf_encrypt(
                     out, NULL, shares, 2 * SECAGG_SHARE_BYTES, c->digest, sizeof c->digest, NULL,
                     zero_nonce, key) == 0);
    }
    sodium_memzero(key, sizeof key);
    return err;
}

static enum sh_err unseal(const struct secagg_client *c, struct secagg_neighbour *n,
                          const uint8_t sealed[static SECAGG_SEALED_BYTES])
{
    uint8_t key[SECAGG_KEY_BYTES];
    enum sh_err err =
        secagg_agree(key, c->seal_secret, n->seal_public, "seal", c->digest, n->index, c->self);
    if (err == SH_OK && crypto_aead_xchacha20poly1305_ietf_decrypt(
                            n->share[0], NULL, NULL, sealed, SECAGG_SEALED_BYTES, c->digest,
                            sizeof c->digest, zero_nonce, key) != 0) {
        err = SH_ERR_DENIED;
    }
    sodium_memzero(key, sizeof key);
    return err;
}

/* Splits both secrets; [secret][neighbour]. */
static void split_both(struct secagg_client *c,
                       uint8_t share[SECAGG_SECRETS][SECAGG_NEIGHBOURS_MAX][SECAGG_SHARE_BYTES])
{
    const uint8_t *const secret[SECAGG_SECRETS] = {
        [SECAGG_SELF] = c->self_seed, [SECAGG_MASK] = c->mask_secret};
    uint8_t random[SECAGG_NEIGHBOURS_MAX * SECAGG_SHARE_BYTES];
    for (uint32_t s = 0; s < SECAGG_SECRETS; s++) {
        secagg_stream_fill(&c->random, random,
                           (size_t)(c->plan.threshold - 1) * SECAGG_SHARE_BYTES);
        secagg_split(secret[s], c->plan.threshold, random, c->plan.neighbours, share[s]);
    }
    sodium_memzero(random, sizeof random);
}

static enum sh_err share_out(struct secagg_client *c, struct secagg_shares *out, uint32_t *bad)
{
    uint8_t share[SECAGG_SECRETS][SECAGG_NEIGHBOURS_MAX][SECAGG_SHARE_BYTES];
    enum sh_err err = SH_OK;
    split_both(c, share);
    *out = (struct secagg_shares){.from = c->self, .count = c->plan.neighbours};
    secagg_check(out->self_check, SECAGG_SELF, c->self, c->self, c->self_seed);
    for (uint32_t i = 0; i < c->plan.neighbours && err == SH_OK; i++) {
        const struct secagg_neighbour *n = &c->near[i];
        uint8_t both[2 * SECAGG_SHARE_BYTES];
        for (uint32_t s = 0; s < SECAGG_SECRETS; s++) {
            memcpy(both + (size_t)s * SECAGG_SHARE_BYTES, share[s][i], SECAGG_SHARE_BYTES);
            secagg_check(out->at[i].check[s], (enum secagg_secret)s, c->self, n->index,
                         share[s][i]);
        }
        *bad = n->index;
        err = seal(c, n, both, out->at[i].sealed);
        sodium_memzero(both, sizeof both);
    }
    sodium_memzero(share, sizeof share);
    return err;
}

enum sh_err secagg_client_share(struct secagg_client *c, const struct secagg_roster *roster,
                                secagg_known_fn known, void *context, struct secagg_shares *out,
                                uint32_t *bad)
{
    *bad = 0;
    if (c->phase != SECAGG_KEYED) {
        return SH_ERR_CONFLICT;
    }
    enum sh_err err = secagg_plan(roster->members, &c->plan);
    if (err == SH_OK) {
        err = verify_roster(c, roster, known, context, &c->self, bad);
    }
    if (err == SH_OK) {
        secagg_roster_digest(&c->round, roster, c->digest);
        err = meet(c, roster, bad);
    }
    if (err == SH_OK) {
        err = share_out(c, out, bad);
    }
    /* From here on the secrets belong to this list; after a bad one they are of no use. */
    if (err == SH_OK) {
        c->phase = SECAGG_SHARED;
    } else {
        secagg_client_end(c);
    }
    return err;
}

enum sh_err secagg_client_deliver(struct secagg_client *c, const struct secagg_delivery *delivery,
                                  uint32_t *bad)
{
    uint32_t slot = 0;
    *bad = 0;
    if (c->phase != SECAGG_SHARED) {
        return SH_ERR_CONFLICT;
    }
    if (delivery->to != c->self) {
        return SH_ERR_CORRUPT;
    }
    for (uint32_t i = 0; i < delivery->count; i++) {
        *bad = delivery->at[i].from;
        while (slot < c->plan.neighbours && c->near[slot].index < delivery->at[i].from) {
            slot++;
        }
        if (slot == c->plan.neighbours || c->near[slot].index != delivery->at[i].from) {
            secagg_client_end(c);
            return SH_ERR_CORRUPT;
        }
        if (unseal(c, &c->near[slot], delivery->at[i].sealed) != SH_OK) {
            secagg_client_end(c);
            return SH_ERR_DENIED;
        }
        c->near[slot].shared = true;
        slot++;
    }
    if (delivery->count < c->plan.threshold) {
        secagg_client_end(c);
        return SH_ERR_NO_QUORUM;
    }
    sodium_memzero(c->seal_secret, sizeof c->seal_secret);
    c->phase = SECAGG_DELIVERED;
    return SH_OK;
}

enum sh_err secagg_client_mask(struct secagg_client *c, struct secagg_slice slice)
{
    if (c->phase != SECAGG_DELIVERED) {
        return SH_ERR_CONFLICT;
    }
    if (slice.offset != c->masked || slice.count > c->round.count - c->masked) {
        return SH_ERR_INVALID;
    }
    secagg_mask(c->round.bits, slice, c->self_key, false);
    for (uint32_t i = 0; i < c->plan.neighbours; i++) {
        if (c->near[i].shared) {
            secagg_mask(c->round.bits, slice, c->near[i].pair_key, c->near[i].index < c->self);
        }
    }
    c->masked += slice.count;
    if (c->masked == c->round.count) {
        c->phase = SECAGG_MASKED;
    }
    return SH_OK;
}

static bool plausible(const struct secagg_client *c, const struct secagg_set *survivors)
{
    bool all_shared = true;
    for (uint32_t i = 0; i < c->plan.neighbours; i++) {
        all_shared = all_shared &&
                     SH_IMPLIES(secagg_set_has(survivors, c->near[i].index), c->near[i].shared);
    }
    return all_shared && survivors->members == c->plan.members &&
           secagg_set_has(survivors, c->self);
}

enum sh_err secagg_client_sign(struct secagg_client *c, const struct secagg_set *survivors,
                               struct secagg_consent *out)
{
    const bool again = c->phase == SECAGG_SIGNED && secagg_set_equal(survivors, &c->survivors);
    if (c->phase != SECAGG_MASKED && !again) {
        return SH_ERR_CONFLICT;
    }
    if (!plausible(c, survivors)) {
        return SH_ERR_CORRUPT;
    }
    if (secagg_set_count(survivors) < c->plan.survivors_min) {
        return SH_ERR_NO_QUORUM;
    }
    c->survivors = *survivors;
    c->phase = SECAGG_SIGNED;
    out->from = c->self;
    secagg_consent_sign(c->digest, survivors, c->trust, out->signature);
    return SH_OK;
}

/* Neighbours whose signature of the set that this member signed is among them; no more than the
 * threshold are looked for. */
static uint32_t agreeing(const struct secagg_client *c, const struct secagg_consents *consents)
{
    bool seen[SECAGG_NEIGHBOURS_MAX] = {false};
    uint32_t count = 0;
    for (uint32_t i = 0; i < consents->count && count < c->plan.threshold; i++) {
        for (uint32_t slot = 0; slot < c->plan.neighbours; slot++) {
            const struct secagg_neighbour *n = &c->near[slot];
            if (n->index == consents->at[i].from && !seen[slot] &&
                secagg_set_has(&c->survivors, n->index) &&
                secagg_consent_verify(c->digest, &c->survivors, n->sign_public,
                                      consents->at[i].signature) == SH_OK) {
                seen[slot] = true;
                count++;
            }
        }
    }
    return count;
}

enum sh_err secagg_client_reveal(struct secagg_client *c, const struct secagg_consents *consents,
                                 struct secagg_reveal *out)
{
    if (c->phase != SECAGG_SIGNED) {
        return SH_ERR_CONFLICT;
    }
    if (agreeing(c, consents) < c->plan.threshold) {
        return SH_ERR_NO_QUORUM;
    }
    *out = (struct secagg_reveal){.from = c->self};
    for (uint32_t i = 0; i < c->plan.neighbours; i++) {
        const struct secagg_neighbour *n = &c->near[i];
        if (n->shared) {
            const uint32_t at = out->count;
            const enum secagg_secret secret =
                secagg_set_has(&c->survivors, n->index) ? SECAGG_SELF : SECAGG_MASK;
            out->at[at].about = n->index;
            out->at[at].secret = (uint8_t)secret;
            memcpy(out->at[at].share, n->share[secret], SECAGG_SHARE_BYTES);
            out->count++;
        }
    }
    secagg_client_end(c);
    c->phase = SECAGG_REVEALED;
    return SH_OK;
}

void secagg_client_end(struct secagg_client *c)
{
    sodium_memzero(c, sizeof *c);
}
