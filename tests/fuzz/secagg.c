/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as each message of a secure sum: decoded or refused, encoded again as they were, and
 * taken by a member and by an aggregator in the midst of a round without more than an error. */
#include "base/host/host.h"
#include "secagg/client.h"
#include "secagg/server.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMBERS = 3 };

static struct {
    bool ready;
    struct trust trust[MEMBERS];
    struct secagg_round round;
    struct secagg_client keyed;  /* has sent its keys */
    struct secagg_client shared; /* has sent its shares */
    struct secagg_server *server;
    uint8_t out[SECAGG_MESSAGE_BYTES_MAX];
} f;

static bool known(void *context, const uint8_t node[SH_NODE_ID_BYTES])
{
    (void)context;
    (void)node;
    return true;
}

static void prepare(void)
{
    const struct trust_secret secret = {{5}};
    struct secagg_client other;
    struct secagg_keys keys;
    static struct secagg_shares shares;
    uint32_t bad = 0;
    sh_host_init();
    f.round = (struct secagg_round){.job = 1, .round = 2, .generation = 3, .count = 8, .bits = 64};
    SH_CHECK(secagg_server_open(&f.round, MEMBERS, &f.server) == SH_OK);
    for (uint8_t i = 0; i < MEMBERS; i++) {
        const uint8_t seed[TRUST_KEY_BYTES] = {i};
        trust_ephemeral(&f.trust[i], &secret, seed, 1);
        secagg_client_begin(&other, &f.round, &f.trust[i], seed, &keys);
        SH_CHECK(secagg_server_keys(f.server, &keys) == SH_OK);
        f.keyed = other;
    }
    f.shared = f.keyed;
    SH_CHECK(secagg_server_open_shares(f.server) == SH_OK);
    SH_CHECK(secagg_client_share(&f.shared, secagg_server_roster(f.server), known, NULL, &shares,
                                 &bad) == SH_OK);
    f.ready = true;
}

/* Decodes into a static message; when that went well encodes it again and compares. */
#define ROUND_TRIP(type)                                                                           \
    secagg_get_##type(&r, &type);                                                                  \
    if (sh_reader_end(&r) != SH_OK) {                                                              \
        return;                                                                                    \
    }                                                                                              \
    secagg_put_##type(&w, &type);                                                                  \
    SH_CHECK(!w.full);                                                                             \
    SH_CHECK(w.used == r.used);                                                                    \
    SH_CHECK(memcmp(f.out, data, w.used) == 0)

static void try_message(uint8_t kind, const uint8_t *data, size_t size)
{
    struct sh_reader r = sh_reader_over(data, size);
    struct sh_writer w = sh_writer_over(f.out, sizeof f.out);
    struct secagg_client client = f.keyed;
    uint32_t bad = 0;
    switch (kind % 9) {
    case 0: {
        static struct secagg_round round;
        ROUND_TRIP(round);
        break;
    }
    case 1: {
        static struct secagg_keys keys;
        ROUND_TRIP(keys);
        SH_MAY_FAIL(secagg_keys_verify(&f.round, &keys)); /* no bytes make it panic */
        break;
    }
    case 2: {
        static struct secagg_roster roster;
        static struct secagg_shares shares;
        ROUND_TRIP(roster);
        SH_MAY_FAIL(secagg_client_share(&client, &roster, known, NULL, &shares, &bad));
        break;
    }
    case 3: {
        static struct secagg_shares shares;
        ROUND_TRIP(shares);
        SH_MAY_FAIL(secagg_server_shares(f.server, shares.from, &shares));
        break;
    }
    case 4: {
        static struct secagg_delivery delivery;
        ROUND_TRIP(delivery);
        client = f.shared;
        SH_MAY_FAIL(secagg_client_deliver(&client, &delivery, &bad));
        break;
    }
    case 5: {
        static struct secagg_set set;
        static struct secagg_consent consent;
        ROUND_TRIP(set);
        client = f.shared;
        client.phase = SECAGG_MASKED;
        SH_MAY_FAIL(secagg_client_sign(&client, &set, &consent));
        break;
    }
    case 6: {
        static struct secagg_consent consent;
        ROUND_TRIP(consent);
        break;
    }
    case 7: {
        static struct secagg_consents consents;
        static struct secagg_reveal reveal;
        ROUND_TRIP(consents);
        client = f.shared;
        client.phase = SECAGG_SIGNED;
        SH_CHECK(secagg_client_reveal(&client, &consents, &reveal) != SH_OK);
        break;
    }
    default: {
        static struct secagg_reveal reveal;
        ROUND_TRIP(reveal);
        SH_CHECK(secagg_server_reveal(f.server, reveal.from, &reveal) != SH_OK);
        break;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!f.ready) {
        prepare();
    }
    if (size > 0) {
        try_message(data[0], data + 1, size - 1);
    }
    return 0;
}
