/* SPDX-License-Identifier: Apache-2.0
 *
 * Sealed gossip datagrams. XChaCha20-Poly1305 under a key of the sender (BLAKE2b of its node id,
 * keyed with the cluster's gossip key); the header is authenticated, the payload encrypted:
 *
 *   0 magic u16   2 version u8   3 zero u8   4 node id [16]   20 boot epoch u64   28 salt u64
 *   36 counter u64   44 payload   then the tag [16]
 *
 * Nonce = bytes 20..43. Salt is random per process, so even a copied directory that reuses an epoch
 * reuses no nonce. A receiver keeps a window per sender: a datagram is taken once, and none of an
 * earlier boot or more than TRUST_WINDOW_BITS behind the newest. */
#ifndef TRUST_DATAGRAM_H
#define TRUST_DATAGRAM_H

#include "trust/trust.h"

#define TRUST_DATAGRAM_OVERHEAD 60u
#define TRUST_WINDOW_BITS       1024u

struct trust_sealer { /* owned by the one thread that sends */
    uint64_t salt;
    uint64_t counter;
};

struct trust_window {
    uint8_t node[SH_NODE_ID_BYTES];
    bool used;
    uint64_t epoch;
    uint64_t salt;
    uint64_t newest;                       /* greatest counter taken */
    uint64_t touched;                      /* turn of the last datagram, for eviction */
    uint64_t seen[TRUST_WINDOW_BITS / 64]; /* bit c % TRUST_WINDOW_BITS of counter c */
};

struct trust_replay { /* windows of the senders heard last; owned by the one thread that receives */
    struct trust_window *windows; /* borrowed, zeroed by the caller */
    uint32_t capacity;
    uint64_t turn;
};

/* What a sealed datagram says about its sender; authentic once trust_unseal answered OK. */
struct trust_sender {
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t boot_epoch;
};

struct trust_sealer trust_sealer_new(void);
/* Writes payload.size + TRUST_DATAGRAM_OVERHEAD bytes and gives that size; out has room for it. */
size_t trust_seal(const struct trust *t, struct trust_sealer *sealer, struct sh_span payload,
                  uint8_t *out, size_t out_size);
/* Opens one datagram into out (bytes.size is enough room). CORRUPT: not a datagram of shoal.
 * VERSION: of a later program. DENIED: sealed under another cluster secret, or tampered with.
 * STALE: seen before, too old, or from an earlier life of its sender. The least recently heard
 * sender is forgotten when windows run out. O(payload + capacity). */
SH_MUST_USE enum sh_err trust_unseal(const struct trust *t, struct trust_replay *replay,
                                     struct sh_span bytes, struct trust_sender *sender,
                                     uint8_t *out, size_t out_size, size_t *payload_size);
/* The window alone: takes (epoch, salt, counter) of a sender or answers STALE. */
SH_MUST_USE enum sh_err trust_replay_take(struct trust_replay *replay,
                                          const uint8_t node[static SH_NODE_ID_BYTES],
                                          uint64_t epoch, uint64_t salt, uint64_t counter);

#endif
