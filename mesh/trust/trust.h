/* SPDX-License-Identifier: Apache-2.0
 *
 * Who belongs to the cluster. One secret, shared by every agent, gives (by BLAKE2b keyed with it):
 * the cluster id, the CURVE key pair with which every agent listens (so a dialler that can speak to
 * it proves that both know the secret), the key of gossip datagrams and the key that authenticates
 * HELLO. Each agent directory holds one Ed25519 identity; its CURVE client key derives from it, and
 * NodeID = BLAKE2b-128 of its public key.
 *
 * Files of an agent directory: lock (flock while an agent runs), cluster.id (hex), identity.key
 * (hex Ed25519 seed, mode 0600), boot.epoch (decimal, durable + 1 at each start).
 *
 * why: every function that reads files writes one line for the operator into it on failure, naming
 * path and cause. Call sh_host_init() before anything here. */
#ifndef TRUST_TRUST_H
#define TRUST_TRUST_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define TRUST_KEY_BYTES       32u
#define TRUST_SIGNATURE_BYTES 64u
#define TRUST_MAC_BYTES       32u
#define TRUST_WHY_MAX         512u /* bytes of a why text, NUL included */
#define TRUST_SECRET_TEXT     82u  /* "shoal1-" 64 hex digits "-" 8 hex digits, newline, NUL */

struct trust_secret {
    uint8_t bytes[TRUST_KEY_BYTES];
};

/* Makes a secret and writes it to path (created with mode 0600, durable). EXISTS when there is a
 * file already; it is never overwritten. */
SH_MUST_USE enum sh_err trust_secret_create(const char *path, struct trust_secret *out,
                                            char why[static TRUST_WHY_MAX]);
/* NOT_FOUND; DENIED when it cannot be read or others than its owner can; VERSION for a secret of a
 * later format; CORRUPT for anything else that is not a whole secret (the checksum finds typing
 * errors). */
SH_MUST_USE enum sh_err trust_secret_load(const char *path, struct trust_secret *out,
                                          char why[static TRUST_WHY_MAX]);
void trust_secret_format(const struct trust_secret *secret, char out[static TRUST_SECRET_TEXT]);
/* VERSION or CORRUPT as above. White space around the text is ignored. */
SH_MUST_USE enum sh_err trust_secret_parse(struct sh_span text, struct trust_secret *out);
void trust_secret_wipe(struct trust_secret *secret);
/* Cluster id that this secret stands for. */
void trust_secret_cluster(const struct trust_secret *secret,
                          uint8_t out[static SH_CLUSTER_ID_BYTES]);

struct trust {
    uint8_t cluster[SH_CLUSTER_ID_BYTES];
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t boot_epoch; /* >= 1; greater at each start of this directory */
    uint8_t sign_public[TRUST_KEY_BYTES];
    uint8_t sign_secret[TRUST_SIGNATURE_BYTES];
    uint8_t client_public[TRUST_KEY_BYTES]; /* CURVE key with which this agent dials */
    uint8_t client_secret[TRUST_KEY_BYTES];
    uint8_t server_public[TRUST_KEY_BYTES]; /* CURVE key with which every agent listens */
    uint8_t server_secret[TRUST_KEY_BYTES];
    uint8_t gossip_key[TRUST_KEY_BYTES];
    uint8_t hello_key[TRUST_KEY_BYTES];
    int lock_fd;
};

/* Opens an agent directory (made if absent, mode 0700) for the cluster of this secret, takes its
 * lock, makes the identity at the first start, raises the boot epoch. IN_USE: another agent runs on
 * it. CLUSTER: it belongs to another cluster (why names both ids). CORRUPT, DENIED, NO_SPACE, IO.
 * On failure nothing is held. The struct holds secrets: close it, do not copy it. */
SH_MUST_USE enum sh_err trust_open(struct trust *t, const char *dir,
                                   const struct trust_secret *secret,
                                   char why[static TRUST_WHY_MAX]);
/* Releases the lock and wipes every key. */
void trust_close(struct trust *t);
/* Cluster that a directory belongs to, without opening it; NOT_FOUND when it has none yet. */
SH_MUST_USE enum sh_err trust_dir_cluster(const char *dir, uint8_t out[static SH_CLUSTER_ID_BYTES],
                                          char why[static TRUST_WHY_MAX]);
/* Identity and keys in memory only, for tests, tools and simulation: seed gives the identity. */
void trust_ephemeral(struct trust *t, const struct trust_secret *secret,
                     const uint8_t seed[static TRUST_KEY_BYTES], uint64_t boot_epoch);

/* --- identities of others ------------------------------------------------------------------- */
void trust_node_id(const uint8_t sign_public[static TRUST_KEY_BYTES],
                   uint8_t out[static SH_NODE_ID_BYTES]);
/* CURVE client key of an identity; CORRUPT when it is not a valid Ed25519 public key. */
SH_MUST_USE enum sh_err trust_client_key(const uint8_t sign_public[static TRUST_KEY_BYTES],
                                         uint8_t out[static TRUST_KEY_BYTES]);
/* Ed25519 over the bytes given (23 us to sign, 56 us to verify). */
void trust_sign(const struct trust *t, struct sh_span bytes,
                uint8_t out[static TRUST_SIGNATURE_BYTES]);
SH_MUST_USE enum sh_err trust_verify(const uint8_t sign_public[static TRUST_KEY_BYTES],
                                     struct sh_span bytes,
                                     const uint8_t signature[static TRUST_SIGNATURE_BYTES]);
/* Keyed BLAKE2b under the HELLO key; check compares in constant time and answers DENIED. */
void trust_hello_mac(const struct trust *t, struct sh_span bytes,
                     uint8_t out[static TRUST_MAC_BYTES]);
SH_MUST_USE enum sh_err trust_hello_check(const struct trust *t, struct sh_span bytes,
                                          const uint8_t mac[static TRUST_MAC_BYTES]);
/* Equal keys, compared in constant time. */
bool trust_key_equal(const uint8_t a[static TRUST_KEY_BYTES],
                     const uint8_t b[static TRUST_KEY_BYTES]);

#endif
