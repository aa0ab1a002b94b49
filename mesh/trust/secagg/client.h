/* SPDX-License-Identifier: Apache-2.0
 *
 * A member's part in one secure sum. Each call is one phase; calls out of their order answer
 * CONFLICT and change nothing.
 *
 *     secagg_client_begin     R0: keys to send
 *     secagg_client_share     the list of keys came -> R1: shares to send
 *     secagg_client_deliver   what neighbours sealed for this member came
 *     secagg_client_mask      R2: the vector, slice by slice
 *     secagg_client_sign      the set of those whose vectors arrived -> R3: consent to send
 *     secagg_client_reveal    what the others signed -> R4: shares to send
 *
 * All secrets live here and nowhere else: they are never written down, so a member that starts anew
 * has dropped out of its round. Each coordinate can be masked once, one set can be signed, and to
 * reveal wipes every secret that is not in the answer: there is no order of calls in which both
 * secrets of a neighbour, or two vectors under one mask, come out. What was answered may be sent
 * again as it is; the host keeps it as long as it likes. */
#ifndef SECAGG_CLIENT_H
#define SECAGG_CLIENT_H

#include "secagg/mask.h"
#include "secagg/message.h"

enum secagg_phase {
    SECAGG_ENDED = 0,
    SECAGG_KEYED = 1,
    SECAGG_SHARED = 2,
    SECAGG_DELIVERED = 3,
    SECAGG_MASKED = 4, /* every coordinate */
    SECAGG_SIGNED = 5,
    SECAGG_REVEALED = 6
};

struct secagg_neighbour {
    uint16_t index;
    bool shared; /* its shares came: it is masked against */
    uint8_t sign_public[TRUST_KEY_BYTES];
    uint8_t seal_public[SECAGG_KEY_BYTES];
    uint8_t mask_public[SECAGG_KEY_BYTES];
    uint8_t pair_key[SECAGG_KEY_BYTES];                /* of the mask in common */
    uint8_t share[SECAGG_SECRETS][SECAGG_SHARE_BYTES]; /* of its secrets */
};

/* Fields are client.c's. Holds secrets: end it, do not copy it. */
struct secagg_client {
    enum secagg_phase phase;
    struct secagg_round round;
    const struct trust *trust; /* borrowed */
    struct secagg_plan plan;
    uint8_t digest[SECAGG_DIGEST_BYTES];
    struct secagg_stream random;
    struct secagg_keys keys;
    uint8_t seal_secret[SECAGG_KEY_BYTES];
    uint8_t mask_secret[SECAGG_KEY_BYTES];
    uint8_t self_seed[SECAGG_KEY_BYTES];
    uint8_t self_key[SECAGG_KEY_BYTES];
    uint32_t self;   /* own index in the list */
    uint64_t masked; /* coordinates already masked */
    struct secagg_set survivors;
    struct secagg_neighbour near[SECAGG_NEIGHBOURS_MAX];
};

/* True when this node is a member of the cluster that may take part, by this agent's own knowledge.
 */
typedef bool (*secagg_known_fn)(void *context, const uint8_t node[SH_NODE_ID_BYTES]);

/* `random` is 32 fresh random bytes, used for this call alone. */
void secagg_client_begin(struct secagg_client *c, const struct secagg_round *round,
                         const struct trust *trust, const uint8_t random[static SECAGG_KEY_BYTES],
                         struct secagg_keys *out);
/* Checks every key of the list. LIMIT: too few or too many. CORRUPT: not ascending, or without this
 * member's own keys. DENIED: *bad is the index of one with a false signature, that is not known
 * here, or whose key is no key. */
SH_MUST_USE enum sh_err secagg_client_share(struct secagg_client *c,
                                            const struct secagg_roster *roster,
                                            secagg_known_fn known, void *context,
                                            struct secagg_shares *out, uint32_t *bad);
/* CORRUPT: not for this member, or not from neighbours in ascending order. NO_QUORUM: fewer than
 * the threshold. DENIED: *bad is the index of one whose shares do not open; the round is then over
 * for this member. */
SH_MUST_USE enum sh_err secagg_client_deliver(struct secagg_client *c,
                                              const struct secagg_delivery *delivery,
                                              uint32_t *bad);
/* Adds the masks to a slice of the vector. Slices come in order, without gap or overlap; one that
 * does not begin where the last ended, or ends beyond the vector, is INVALID. O(count * k). */
SH_MUST_USE enum sh_err secagg_client_mask(struct secagg_client *c, struct secagg_slice slice);
/* NO_QUORUM: fewer than survivors_min. CORRUPT: a set of another list, without this member, or with
 * neighbours that sent no shares. */
SH_MUST_USE enum sh_err secagg_client_sign(struct secagg_client *c,
                                           const struct secagg_set *survivors,
                                           struct secagg_consent *out);
/* NO_QUORUM: fewer than the threshold of neighbours have signed the set that this member signed;
 * the secrets stay, more consents may come. */
SH_MUST_USE enum sh_err secagg_client_reveal(struct secagg_client *c,
                                             const struct secagg_consents *consents,
                                             struct secagg_reveal *out);
/* Wipes everything. */
void secagg_client_end(struct secagg_client *c);

#endif
