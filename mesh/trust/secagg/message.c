/* SPDX-License-Identifier: Apache-2.0 */
#include "secagg/message.h"

#include "base/host/host.h"

#include <string.h>

void secagg_put_round(struct sh_writer *w, const struct secagg_round *round)
{
    sh_put_bytes(w, round->cluster, sizeof round->cluster);
    sh_put_u64(w, round->job);
    sh_put_u64(w, round->round);
    sh_put_u64(w, round->generation);
    sh_put_u64(w, round->count);
    sh_put_u32(w, round->bits);
}

void secagg_get_round(struct sh_reader *r, struct secagg_round *round)
{
    sh_get_bytes(r, round->cluster, sizeof round->cluster);
    round->job = sh_get_u64(r);
    round->round = sh_get_u64(r);
    round->generation = sh_get_u64(r);
    round->count = sh_get_u64(r);
    round->bits = sh_get_u32(r);
    r->bad = r->bad || round->count == 0 || (round->bits != 32 && round->bits != 64);
}

void secagg_put_keys(struct sh_writer *w, const struct secagg_keys *keys)
{
    sh_put_bytes(w, keys->node, sizeof keys->node);
    sh_put_bytes(w, keys->sign_public, sizeof keys->sign_public);
    sh_put_bytes(w, keys->seal_public, sizeof keys->seal_public);
    sh_put_bytes(w, keys->mask_public, sizeof keys->mask_public);
    sh_put_bytes(w, keys->signature, sizeof keys->signature);
}

void secagg_get_keys(struct sh_reader *r, struct secagg_keys *keys)
{
    sh_get_bytes(r, keys->node, sizeof keys->node);
    sh_get_bytes(r, keys->sign_public, sizeof keys->sign_public);
    sh_get_bytes(r, keys->seal_public, sizeof keys->seal_public);
    sh_get_bytes(r, keys->mask_public, sizeof keys->mask_public);
    sh_get_bytes(r, keys->signature, sizeof keys->signature);
}

/* A number that must be at most max; 0 and bad beyond. */
static uint32_t get_at_most(struct sh_reader *r, uint32_t max)
{
    uint32_t value = sh_get_u32(r);
    if (value > max) {
        r->bad = true;
        return 0;
    }
    return value;
}

static uint16_t get_index(struct sh_reader *r)
{
    uint16_t value = sh_get_u16(r);
    if (value >= SECAGG_MEMBERS_MAX) {
        r->bad = true;
        return 0;
    }
    return value;
}

void secagg_put_roster(struct sh_writer *w, const struct secagg_roster *roster)
{
    SH_CHECK_CMP(roster->members, <=, SECAGG_MEMBERS_MAX);
    sh_put_u32(w, roster->members);
    for (uint32_t i = 0; i < roster->members; i++) {
        secagg_put_keys(w, &roster->keys[i]);
    }
}

void secagg_get_roster(struct sh_reader *r, struct secagg_roster *roster)
{
    roster->members = get_at_most(r, SECAGG_MEMBERS_MAX);
    for (uint32_t i = 0; i < roster->members && !r->bad; i++) {
        secagg_get_keys(r, &roster->keys[i]);
    }
}

void secagg_put_shares(struct sh_writer *w, const struct secagg_shares *shares)
{
    SH_CHECK_CMP(shares->count, <=, SECAGG_NEIGHBOURS_MAX);
    sh_put_u32(w, shares->from);
    sh_put_u32(w, shares->count);
    sh_put_bytes(w, shares->self_check, sizeof shares->self_check);
    for (uint32_t i = 0; i < shares->count; i++) {
        sh_put_bytes(w, shares->at[i].sealed, sizeof shares->at[i].sealed);
        sh_put_bytes(w, shares->at[i].check, sizeof shares->at[i].check);
    }
}

void secagg_get_shares(struct sh_reader *r, struct secagg_shares *shares)
{
    shares->from = get_at_most(r, SECAGG_MEMBERS_MAX - 1);
    shares->count = get_at_most(r, SECAGG_NEIGHBOURS_MAX);
    sh_get_bytes(r, shares->self_check, sizeof shares->self_check);
    for (uint32_t i = 0; i < shares->count && !r->bad; i++) {
        sh_get_bytes(r, shares->at[i].sealed, sizeof shares->at[i].sealed);
        sh_get_bytes(r, shares->at[i].check, sizeof shares->at[i].check);
    }
}

void secagg_put_delivery(struct sh_writer *w, const struct secagg_delivery *delivery)
{
    SH_CHECK_CMP(delivery->count, <=, SECAGG_NEIGHBOURS_MAX);
    sh_put_u32(w, delivery->to);
    sh_put_u32(w, delivery->count);
    for (uint32_t i = 0; i < delivery->count; i++) {
        sh_put_u16(w, delivery->at[i].from);
        sh_put_bytes(w, delivery->at[i].sealed, sizeof delivery->at[i].sealed);
    }
}

void secagg_get_delivery(struct sh_reader *r, struct secagg_delivery *delivery)
{
    delivery->to = get_at_most(r, SECAGG_MEMBERS_MAX - 1);
    delivery->count = get_at_most(r, SECAGG_NEIGHBOURS_MAX);
    for (uint32_t i = 0; i < delivery->count && !r->bad; i++) {
        delivery->at[i].from = get_index(r);
        sh_get_bytes(r, delivery->at[i].sealed, sizeof delivery->at[i].sealed);
    }
}

void secagg_put_set(struct sh_writer *w, const struct secagg_set *set)
{
    SH_CHECK_CMP(set->members, <=, SECAGG_MEMBERS_MAX);
    sh_put_u32(w, set->members);
    for (uint32_t i = 0; i * 64 < set->members; i++) {
        sh_put_u64(w, set->word[i]);
    }
}

void secagg_get_set(struct sh_reader *r, struct secagg_set *set)
{
    *set = (struct secagg_set){.members = get_at_most(r, SECAGG_MEMBERS_MAX)};
    for (uint32_t i = 0; i * 64 < set->members; i++) {
        const uint32_t used = set->members - i * 64;
        set->word[i] = sh_get_u64(r);
        if (used < 64 && set->word[i] >> used != 0) {
            r->bad = true;
        }
    }
}

void secagg_put_consent(struct sh_writer *w, const struct secagg_consent *consent)
{
    sh_put_u32(w, consent->from);
    sh_put_bytes(w, consent->signature, sizeof consent->signature);
}

void secagg_get_consent(struct sh_reader *r, struct secagg_consent *consent)
{
    consent->from = get_at_most(r, SECAGG_MEMBERS_MAX - 1);
    sh_get_bytes(r, consent->signature, sizeof consent->signature);
}

void secagg_put_consents(struct sh_writer *w, const struct secagg_consents *consents)
{
    SH_CHECK_CMP(consents->count, <=, SECAGG_MEMBERS_MAX);
    sh_put_u32(w, consents->count);
    for (uint32_t i = 0; i < consents->count; i++) {
        secagg_put_consent(w, &consents->at[i]);
    }
}

void secagg_get_consents(struct sh_reader *r, struct secagg_consents *consents)
{
    consents->count = get_at_most(r, SECAGG_MEMBERS_MAX);
    for (uint32_t i = 0; i < consents->count && !r->bad; i++) {
        secagg_get_consent(r, &consents->at[i]);
    }
}

void secagg_put_reveal(struct sh_writer *w, const struct secagg_reveal *reveal)
{
    SH_CHECK_CMP(reveal->count, <=, SECAGG_NEIGHBOURS_MAX);
    sh_put_u32(w, reveal->from);
    sh_put_u32(w, reveal->count);
    for (uint32_t i = 0; i < reveal->count; i++) {
        sh_put_u16(w, reveal->at[i].about);
        sh_put_u8(w, reveal->at[i].secret);
        sh_put_bytes(w, reveal->at[i].share, sizeof reveal->at[i].share);
    }
}

void secagg_get_reveal(struct sh_reader *r, struct secagg_reveal *reveal)
{
    reveal->from = get_at_most(r, SECAGG_MEMBERS_MAX - 1);
    reveal->count = get_at_most(r, SECAGG_NEIGHBOURS_MAX);
    for (uint32_t i = 0; i < reveal->count && !r->bad; i++) {
        reveal->at[i].about = get_index(r);
        reveal->at[i].secret = sh_get_u8(r);
        sh_get_bytes(r, reveal->at[i].share, sizeof reveal->at[i].share);
        r->bad = r->bad || reveal->at[i].secret >= SECAGG_SECRETS;
    }
}

static void hash_add_round(struct sh_blake2b *h, const struct secagg_round *round)
{
    uint8_t bytes[SH_CLUSTER_ID_BYTES + 4 * 8 + 4];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    secagg_put_round(&w, round);
    SH_CHECK(!w.full);
    sh_blake2b_add(h, bytes, w.used);
}

void secagg_roster_digest(const struct secagg_round *round, const struct secagg_roster *roster,
                          uint8_t out[static SECAGG_DIGEST_BYTES])
{
    static const char label[] = "shoal secagg 1 roster";
    struct sh_blake2b h;
    sh_blake2b_start(&h, SECAGG_DIGEST_BYTES);
    sh_blake2b_add(&h, label, sizeof label);
    hash_add_round(&h, round);
    for (uint32_t i = 0; i < roster->members; i++) {
        uint8_t bytes[SECAGG_KEYS_BYTES];
        struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
        secagg_put_keys(&w, &roster->keys[i]);
        SH_CHECK(!w.full);
        sh_blake2b_add(&h, bytes, w.used);
    }
    sh_blake2b_end(&h, out, SECAGG_DIGEST_BYTES);
}

/* What an identity signs about its keys. */
static struct sh_span keys_text(const struct secagg_round *round, const struct secagg_keys *keys,
                                uint8_t *text, size_t size)
{
    struct sh_writer w = sh_writer_over(text, size);
    sh_put_str(&w, "shoal secagg 1 keys");
    secagg_put_round(&w, round);
    sh_put_bytes(&w, keys->seal_public, sizeof keys->seal_public);
    sh_put_bytes(&w, keys->mask_public, sizeof keys->mask_public);
    SH_CHECK(!w.full);
    return (struct sh_span){.at = text, .size = w.used};
}

void secagg_keys_sign(const struct secagg_round *round, const struct trust *t,
                      struct secagg_keys *keys)
{
    uint8_t text[256];
    memcpy(keys->node, t->node, sizeof keys->node);
    memcpy(keys->sign_public, t->sign_public, sizeof keys->sign_public);
    trust_sign(t, keys_text(round, keys, text, sizeof text), keys->signature);
}

enum sh_err secagg_keys_verify(const struct secagg_round *round, const struct secagg_keys *keys)
{
    uint8_t node[SH_NODE_ID_BYTES];
    uint8_t text[256];
    trust_node_id(keys->sign_public, node);
    if (memcmp(node, keys->node, sizeof node) != 0) {
        return SH_ERR_DENIED;
    }
    return trust_verify(keys->sign_public, keys_text(round, keys, text, sizeof text),
                        keys->signature);
}

static struct sh_span consent_text(const uint8_t digest[static SECAGG_DIGEST_BYTES],
                                   const struct secagg_set *set, uint8_t *text, size_t size)
{
    struct sh_writer w = sh_writer_over(text, size);
    sh_put_str(&w, "shoal secagg 1 consent");
    sh_put_bytes(&w, digest, SECAGG_DIGEST_BYTES);
    secagg_put_set(&w, set);
    SH_CHECK(!w.full);
    return (struct sh_span){.at = text, .size = w.used};
}

void secagg_consent_sign(const uint8_t digest[static SECAGG_DIGEST_BYTES],
                         const struct secagg_set *set, const struct trust *t,
                         uint8_t out[static TRUST_SIGNATURE_BYTES])
{
    uint8_t text[256];
    trust_sign(t, consent_text(digest, set, text, sizeof text), out);
}

enum sh_err secagg_consent_verify(const uint8_t digest[static SECAGG_DIGEST_BYTES],
                                  const struct secagg_set *set,
                                  const uint8_t sign_public[static TRUST_KEY_BYTES],
                                  const uint8_t signature[static TRUST_SIGNATURE_BYTES])
{
    uint8_t text[256];
    return trust_verify(sign_public, consent_text(digest, set, text, sizeof text), signature);
}

void secagg_check(uint8_t out[static SECAGG_CHECK_BYTES], enum secagg_secret kind, uint32_t about,
                  uint32_t holder, const uint8_t value[static SECAGG_SHARE_BYTES])
{
    uint8_t text[96];
    struct sh_writer w = sh_writer_over(text, sizeof text);
    sh_put_str(&w, "shoal secagg 1 check");
    sh_put_u8(&w, (uint8_t)kind);
    sh_put_u32(&w, about);
    sh_put_u32(&w, holder);
    sh_put_bytes(&w, value, SECAGG_SHARE_BYTES);
    SH_CHECK(!w.full);
    sh_blake2b(out, SECAGG_CHECK_BYTES, text, w.used);
}
