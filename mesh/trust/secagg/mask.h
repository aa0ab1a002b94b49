/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys and masks: BLAKE2b derives, X25519 agrees, ChaCha20 (RFC 8439) makes words of a key. Any
 * slice of a mask is made without the rest: element e comes from block e / 16 (32 bits) or e / 8.
 */
#ifndef SECAGG_MASK_H
#define SECAGG_MASK_H

#include "secagg/plan.h"

/* BLAKE2b-256 of label, digest and two member numbers, keyed. Different labels or numbers give
 * independent keys. */
void secagg_derive(uint8_t out[static SECAGG_KEY_BYTES], const uint8_t key[static SECAGG_KEY_BYTES],
                   const char *label, const uint8_t digest[static SECAGG_DIGEST_BYTES],
                   uint32_t from, uint32_t to);
/* X25519, then secagg_derive. The same for (mine, theirs) on both sides if from and to are. DENIED:
 * a public key of small order. 40 us. */
SH_MUST_USE enum sh_err secagg_agree(uint8_t out[static SECAGG_KEY_BYTES],
                                     const uint8_t secret[static SECAGG_KEY_BYTES],
                                     const uint8_t public_key[static SECAGG_KEY_BYTES],
                                     const char *label,
                                     const uint8_t digest[static SECAGG_DIGEST_BYTES],
                                     uint32_t from, uint32_t to);
/* Public key of a secret one. */
void secagg_public(uint8_t out[static SECAGG_KEY_BYTES],
                   const uint8_t secret[static SECAGG_KEY_BYTES]);

/* A vector of either width: what callers of both widths hand on. */
struct secagg_slice {
    void *at;        /* uint32_t or uint64_t, as the bits say */
    uint64_t offset; /* of the first element */
    size_t count;
};
/* Element i of the slice += or -= word number offset + i of the key, modulo 2^bits; bits is 32 or
 * 64, offset + count below 2^34. */
void secagg_mask(uint32_t bits, struct secagg_slice slice,
                 const uint8_t key[static SECAGG_KEY_BYTES], bool subtract);

/* Bytes of a cryptographic generator: ChaCha20 under a key. The signature is that of
 * kernels/agg/noise.h's entropy; context is a struct secagg_stream. */
struct secagg_stream {
    uint8_t key[SECAGG_KEY_BYTES]; /* random, used for one stream */
    uint64_t used;                 /* blocks of 64 bytes; below 2^32 */
};
void secagg_stream_fill(void *context, uint8_t *bytes, size_t size);
void secagg_stream_end(struct secagg_stream *s); /* wipes the key */

#endif
