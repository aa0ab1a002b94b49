/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a sequence of federated rounds stands after one of them, as a checkpoint: what whoever
 * leads next goes on from, what members train from, and what the API shows. Its step is the number
 * of rounds so far.
 *
 *    0 u32 magic "SHR1"    4 u32 version (1)   8 u8[32] spec digest
 *   40 u64 round          48 u32 skips        52 u32 scored
 *   56 f64 best           64 u32 not_best     68 u32 end
 *   72 u64 file           80 u64 server       88 u64 controls    96 u64 records
 *  104 file bytes of model.safetensors; server, then controls elements of little-endian f32;
 *      records bytes of text, one JSON object a round, a line each; then the end
 *
 * Contents are vouched for by the digest of the blob. */
#ifndef ROUNDS_STATE_H
#define ROUNDS_STATE_H

#include "base/bytes.h"
#include "base/limits.h"
#include "fed/fed.h"

#define ROUNDS_STATE_HEAD 104u

/* Spans and vectors are borrowed: of whoever encodes, or from the bytes that were decoded. Vectors
 * lie unaligned. */
struct rounds_state {
    uint8_t spec[SH_DIGEST_BYTES];
    struct fed_resume at;
    struct sh_span file;
    struct sh_span server;   /* floats of the server's optimiser; may be empty */
    struct sh_span controls; /* SCAFFOLD: the control variate of all; else empty */
    struct sh_span records;
};

size_t rounds_state_size(const struct rounds_state *state);
void rounds_state_encode(const struct rounds_state *state, uint8_t *out);
/* VERSION, CORRUPT. */
SH_MUST_USE enum sh_err rounds_state_decode(struct sh_span bytes, struct rounds_state *state);

#endif
