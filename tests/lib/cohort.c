/* SPDX-License-Identifier: Apache-2.0 */
#include "cohort.h"

#include "base/host/host.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

enum { WEIGHT_MAX = 1000 };

static void *take(size_t count, size_t size)
{
    void *at = calloc(count, size);
    SH_CHECK(at != NULL);
    return at;
}

void cohort_open(struct cohort *c, uint32_t members, size_t count, uint32_t bits, uint64_t seed)
{
    const struct trust_secret secret = {{5}};
    sh_host_init();
    *c = (struct cohort){.members = members, .seed = seed};
    c->round = (struct secagg_round){
        .job = 7, .round = 3, .generation = seed, .count = count, .bits = bits};
    c->member = take(members, sizeof *c->member);
    c->dealt = take(members, sizeof *c->dealt);
    c->told = take(members, sizeof *c->told);
    c->sum = take(count, bits / 8);
    for (uint32_t i = 0; i < members; i++) {
        uint8_t identity[TRUST_KEY_BYTES] = {0};
        uint64_t words[2] = {sh_mix64(seed), i};
        memcpy(identity, words, sizeof words);
        trust_ephemeral(&c->member[i].trust, &secret, identity, 1);
        c->member[i].silent = COHORT_STAYS;
        c->member[i].index = members;
    }
    memcpy(c->round.cluster, c->member[0].trust.cluster, sizeof c->round.cluster);
    SH_CHECK(secagg_server_open(&c->round, members, &c->server) == SH_OK);
}

void cohort_close(struct cohort *c)
{
    for (uint32_t i = 0; i < c->members; i++) {
        secagg_client_end(&c->member[i].client);
        trust_close(&c->member[i].trust);
        free(c->member[i].masked);
    }
    secagg_server_close(c->server);
    free(c->member);
    free(c->dealt);
    free(c->told);
    free(c->sum);
}

uint64_t cohort_value(const struct cohort *c, uint32_t member, uint64_t i)
{
    const uint64_t weight = 1 + sh_mix64(c->seed ^ member) % WEIGHT_MAX;
    const uint64_t span = c->round.bits == 32 ? UINT64_C(1) << 16 : UINT64_C(1) << 41;
    const uint64_t drawn = sh_mix64(c->seed ^ ((uint64_t)member << 40) ^ i) % span;
    const uint64_t value = i + 1 == c->round.count ? weight : (drawn - span / 2) * weight;
    return c->round.bits == 32 ? (uint32_t)value : value;
}

void cohort_store(const struct cohort *c, void *vector, uint64_t i, uint64_t value)
{
    if (c->round.bits == 32) {
        ((uint32_t *)vector)[i] = (uint32_t)value;
    } else {
        ((uint64_t *)vector)[i] = value;
    }
}

uint64_t cohort_load(const struct cohort *c, const void *vector, uint64_t i)
{
    return c->round.bits == 32 ? ((const uint32_t *)vector)[i] : ((const uint64_t *)vector)[i];
}

uint64_t cohort_plain(const struct cohort *c, uint64_t i)
{
    const struct secagg_set *in = secagg_server_survivors(c->server);
    uint64_t sum = 0;
    for (uint32_t m = 0; m < c->members; m++) {
        sum += secagg_set_has(in, c->member[m].index) ? cohort_value(c, m, i) : 0;
    }
    return c->round.bits == 32 ? (uint32_t)sum : sum;
}

bool cohort_known(void *context, const uint8_t node[SH_NODE_ID_BYTES])
{
    const struct cohort *c = context;
    for (uint32_t i = 0; i < c->members; i++) {
        if (memcmp(c->member[i].trust.node, node, SH_NODE_ID_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static bool speaks(const struct cohort *c, uint32_t member, enum cohort_phase phase)
{
    return c->member[member].silent > phase;
}

/* From one side to the other, as bytes. */
#define CARRY(c, type, message)                                                                    \
    do {                                                                                           \
        static uint8_t carry_bytes[SECAGG_MESSAGE_BYTES_MAX];                                      \
        struct sh_writer carry_w = sh_writer_over(carry_bytes, sizeof carry_bytes);                \
        secagg_put_##type(&carry_w, (message));                                                    \
        SH_CHECK(!carry_w.full);                                                                   \
        (c)->bytes += carry_w.used;                                                                \
        memset((message), 0xa5, sizeof *(message));                                                \
        struct sh_reader carry_r = sh_reader_over(carry_bytes, carry_w.used);                      \
        secagg_get_##type(&carry_r, (message));                                                    \
        SH_CHECK(sh_reader_end(&carry_r) == SH_OK);                                                \
        SH_CHECK(sh_reader_left(&carry_r) == 0);                                                   \
    } while (0)

enum sh_err cohort_keys(struct cohort *c)
{
    for (uint32_t i = 0; i < c->members; i++) {
        uint8_t random[SECAGG_KEY_BYTES];
        struct secagg_keys keys;
        uint64_t words[4] = {sh_mix64(c->seed + 1), i, 1, 2};
        memcpy(random, words, sizeof random);
        secagg_client_begin(&c->member[i].client, &c->round, &c->member[i].trust, random, &keys);
        CARRY(c, keys, &keys);
        if (speaks(c, i, COHORT_KEYS)) {
            SH_CHECK(secagg_server_keys(c->server, &keys) == SH_OK);
        }
    }
    enum sh_err err = secagg_server_open_shares(c->server);
    for (uint32_t i = 0; err == SH_OK && i < c->members; i++) {
        c->member[i].index = secagg_server_index(c->server, c->member[i].trust.node);
    }
    return err;
}

enum sh_err cohort_shares(struct cohort *c)
{
    static struct secagg_roster roster;
    for (uint32_t i = 0; i < c->members; i++) {
        const uint32_t index = c->member[i].index;
        uint32_t bad = 0;
        if (!speaks(c, i, COHORT_SHARES)) {
            continue;
        }
        roster = *secagg_server_roster(c->server);
        CARRY(c, roster, &roster);
        struct secagg_shares *dealt = &c->dealt[index];
        SH_CHECK(secagg_client_share(&c->member[i].client, &roster, cohort_known, c, dealt, &bad) ==
                 SH_OK);
        CARRY(c, shares, dealt);
        SH_CHECK(secagg_server_shares(c->server, index, dealt) == SH_OK);
    }
    return secagg_server_open_masked(c->server);
}

static void send_masked(struct cohort *c, uint32_t member, void *vector)
{
    struct cohort_member *m = &c->member[member];
    const size_t width = c->round.bits / 8;
    for (uint64_t i = 0; i < c->round.count; i++) {
        cohort_store(c, vector, i, cohort_value(c, member, i));
    }
    const uint64_t began = sh_now_us();
    for (uint64_t at = 0; at < c->round.count;) { /* slices of odd sizes */
        size_t n = c->round.count - at < 70001 ? (size_t)(c->round.count - at) : 70001;
        struct secagg_slice slice = {
            .at = (uint8_t *)vector + at * width, .offset = at, .count = n};
        SH_CHECK(secagg_client_mask(&m->client, slice) == SH_OK);
        at += n;
    }
    c->member_us += sh_now_us() - began;
    if (c->keep) {
        m->masked = take(c->round.count, sizeof *m->masked);
    }
    for (uint64_t i = 0; i < c->round.count; i++) {
        const uint64_t word = cohort_load(c, vector, i);
        cohort_store(c, c->sum, i, cohort_load(c, c->sum, i) + word);
        if (c->keep) {
            m->masked[i] = word;
        }
    }
}

enum sh_err cohort_masked(struct cohort *c)
{
    void *vector = take(c->round.count, c->round.bits / 8);
    for (uint32_t i = 0; i < c->members; i++) {
        static struct secagg_delivery delivery;
        uint32_t bad = 0;
        if (!speaks(c, i, COHORT_SHARES)) {
            continue;
        }
        secagg_server_delivery(c->server, c->member[i].index, &delivery);
        CARRY(c, delivery, &delivery);
        if (speaks(c, i, COHORT_MASKED)) {
            SH_CHECK(secagg_client_deliver(&c->member[i].client, &delivery, &bad) == SH_OK);
            SH_CHECK(secagg_server_masked(c->server, c->member[i].index) == SH_OK);
            send_masked(c, i, vector);
        }
    }
    free(vector);
    return secagg_server_open_consent(c->server);
}

enum sh_err cohort_consent(struct cohort *c)
{
    for (uint32_t i = 0; i < c->members; i++) {
        struct secagg_consent consent;
        if (speaks(c, i, COHORT_CONSENT)) {
            struct secagg_set set = *secagg_server_survivors(c->server);
            CARRY(c, set, &set);
            SH_CHECK(secagg_client_sign(&c->member[i].client, &set, &consent) == SH_OK);
            CARRY(c, consent, &consent);
            SH_CHECK(secagg_server_consent(c->server, c->member[i].index, &consent) == SH_OK);
        }
    }
    return SH_OK;
}

enum sh_err cohort_reveal(struct cohort *c, uint32_t *bad)
{
    static struct secagg_consents consents;
    for (uint32_t i = 0; i < c->members; i++) {
        const uint32_t index = c->member[i].index;
        if (!speaks(c, i, COHORT_REVEAL)) {
            continue;
        }
        consents = *secagg_server_consents(c->server);
        CARRY(c, consents, &consents);
        if (secagg_client_reveal(&c->member[i].client, &consents, &c->told[index]) == SH_OK) {
            CARRY(c, reveal, &c->told[index]);
            SH_CHECK(secagg_server_reveal(c->server, index, &c->told[index]) == SH_OK);
        }
    }
    const uint64_t began = sh_now_us();
    enum sh_err err = secagg_server_recover(c->server, bad);
    if (err == SH_OK) {
        const struct secagg_slice all = {.at = c->sum, .count = c->round.count};
        secagg_server_unmask(c->server, all);
    }
    c->server_us = sh_now_us() - began;
    return err;
}

enum sh_err cohort_run(struct cohort *c)
{
    uint32_t bad = 0;
    enum sh_err err = cohort_keys(c);
    err = err != SH_OK ? err : cohort_shares(c);
    err = err != SH_OK ? err : cohort_masked(c);
    err = err != SH_OK ? err : cohort_consent(c);
    return err != SH_OK ? err : cohort_reveal(c, &bad);
}
