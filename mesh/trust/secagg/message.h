/* SPDX-License-Identifier: Apache-2.0
 *
 * What members and the aggregator say to each other, and its bytes. A decoder takes any bytes: OK
 * and a message whose counts and indices are within the limits, or CORRUPT. Whether it fits the
 * round is for client.h and server.h to say. Masked vectors travel as plain little-endian words, in
 * whatever pieces the host likes. */
#ifndef SECAGG_MESSAGE_H
#define SECAGG_MESSAGE_H

#include "secagg/shamir.h"

#define SECAGG_SEALED_BYTES (2 * SECAGG_SHARE_BYTES + 16) /* two shares and the tag */
#define SECAGG_CHECK_BYTES  16u
#define SECAGG_KEYS_BYTES                                                                          \
    (SH_NODE_ID_BYTES + TRUST_KEY_BYTES + 2 * SECAGG_KEY_BYTES + TRUST_SIGNATURE_BYTES)

/* R0, to the aggregator: one member's public keys. */
struct secagg_keys {
    uint8_t node[SH_NODE_ID_BYTES];
    uint8_t sign_public[TRUST_KEY_BYTES];     /* of its identity */
    uint8_t seal_public[SECAGG_KEY_BYTES];    /* for shares that are sealed to it */
    uint8_t mask_public[SECAGG_KEY_BYTES];    /* for masks that it has in common with others */
    uint8_t signature[TRUST_SIGNATURE_BYTES]; /* by its identity, of round and both keys */
};

/* R0, from it: those of all, ascending by node. */
struct secagg_roster {
    uint32_t members;
    struct secagg_keys keys[SECAGG_MEMBERS_MAX];
};

/* What a member splits: the two secrets of R1. */
enum secagg_secret {
    SECAGG_SELF = 0, /* seed of its own mask */
    SECAGG_MASK = 1, /* secret key of its masks with others */
    SECAGG_SECRETS = 2
};

/* R1, to the aggregator: shares for each neighbour in ascending order, sealed. A check is the
 * digest of a share, by which a false one is known when shares are given back. */
struct secagg_shares {
    uint32_t from;
    uint32_t count;
    uint8_t self_check[SECAGG_CHECK_BYTES]; /* digest of the seed of the own mask */
    struct {
        uint8_t sealed[SECAGG_SEALED_BYTES];
        uint8_t check[SECAGG_SECRETS][SECAGG_CHECK_BYTES];
    } at[SECAGG_NEIGHBOURS_MAX];
};

/* R1, from it: what neighbours have sealed for one member, ascending. Who is not in it has dropped
 * out. */
struct secagg_delivery {
    uint32_t to;
    uint32_t count;
    struct {
        uint16_t from;
        uint8_t sealed[SECAGG_SEALED_BYTES];
    } at[SECAGG_NEIGHBOURS_MAX];
};

/* R3: whose vectors arrived (a struct secagg_set) goes out; consent comes in, and all of it goes
 * out again. */
struct secagg_consent {
    uint32_t from;
    uint8_t signature[TRUST_SIGNATURE_BYTES];
};

struct secagg_consents {
    uint32_t count;
    struct secagg_consent at[SECAGG_MEMBERS_MAX];
};

/* R4, to the aggregator. */
struct secagg_reveal {
    uint32_t from;
    uint32_t count;
    struct {
        uint16_t about;
        uint8_t secret; /* enum secagg_secret */
        uint8_t share[SECAGG_SHARE_BYTES];
    } at[SECAGG_NEIGHBOURS_MAX];
};

void secagg_put_round(struct sh_writer *w, const struct secagg_round *round);
/* Bits that are not 32 or 64, and a count of 0, are bad. */
void secagg_get_round(struct sh_reader *r, struct secagg_round *round);
void secagg_put_keys(struct sh_writer *w, const struct secagg_keys *keys);
void secagg_get_keys(struct sh_reader *r, struct secagg_keys *keys);
void secagg_put_roster(struct sh_writer *w, const struct secagg_roster *roster);
void secagg_get_roster(struct sh_reader *r, struct secagg_roster *roster);
void secagg_put_shares(struct sh_writer *w, const struct secagg_shares *shares);
void secagg_get_shares(struct sh_reader *r, struct secagg_shares *shares);
void secagg_put_delivery(struct sh_writer *w, const struct secagg_delivery *delivery);
void secagg_get_delivery(struct sh_reader *r, struct secagg_delivery *delivery);
void secagg_put_set(struct sh_writer *w, const struct secagg_set *set);
void secagg_get_set(struct sh_reader *r, struct secagg_set *set);
void secagg_put_consent(struct sh_writer *w, const struct secagg_consent *consent);
void secagg_get_consent(struct sh_reader *r, struct secagg_consent *consent);
void secagg_put_consents(struct sh_writer *w, const struct secagg_consents *consents);
void secagg_get_consents(struct sh_reader *r, struct secagg_consents *consents);
void secagg_put_reveal(struct sh_writer *w, const struct secagg_reveal *reveal);
void secagg_get_reveal(struct sh_reader *r, struct secagg_reveal *reveal);

/* The largest message: a list of keys. */
#define SECAGG_MESSAGE_BYTES_MAX (4 + SECAGG_MEMBERS_MAX * SECAGG_KEYS_BYTES)

/* --- what is signed and checked --------------------------------------------------------------- */

/* BLAKE2b-256 of round and list: what "this round" means to everything after R0. */
void secagg_roster_digest(const struct secagg_round *round, const struct secagg_roster *roster,
                          uint8_t out[static SECAGG_DIGEST_BYTES]);
/* OK when the node is that of the identity and the signature its. DENIED. 60 us. */
SH_MUST_USE enum sh_err secagg_keys_verify(const struct secagg_round *round,
                                           const struct secagg_keys *keys);
void secagg_keys_sign(const struct secagg_round *round, const struct trust *t,
                      struct secagg_keys *keys);
void secagg_consent_sign(const uint8_t digest[static SECAGG_DIGEST_BYTES],
                         const struct secagg_set *set, const struct trust *t,
                         uint8_t out[static TRUST_SIGNATURE_BYTES]);
SH_MUST_USE enum sh_err secagg_consent_verify(
    const uint8_t digest[static SECAGG_DIGEST_BYTES], const struct secagg_set *set,
    const uint8_t sign_public[static TRUST_KEY_BYTES],
    const uint8_t signature[static TRUST_SIGNATURE_BYTES]);
/* Digest of a secret or of a share of it, `about` whose it is, for `holder`. */
void secagg_check(uint8_t out[static SECAGG_CHECK_BYTES], enum secagg_secret kind, uint32_t about,
                  uint32_t holder, const uint8_t value[static SECAGG_SHARE_BYTES]);

#endif
