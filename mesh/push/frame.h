/* SPDX-License-Identifier: Apache-2.0
 *
 * Header of one frame of a transfer between two members of push-sum averaging. DATA carries
 * count * PUSH_ELEMENT_BYTES payload bytes (little-endian f32), which follow; the others nothing.
 *
 *    0 u8  version (1)      1 u8  kind          2 u16 from (member index)
 *    4 u32 chunk            8 u32 count        12 u32 zero
 *   16 u64 generation      24 u64 transfer     32 u64 weight
 *   40 u64 elements        48 u64 mark         56 u64 sum
 *
 * 64 bytes, so that a payload which follows directly keeps the alignment of the message. */
#ifndef PUSH_FRAME_H
#define PUSH_FRAME_H

#include "base/bytes.h"

#define PUSH_FRAME_BYTES   64u
#define PUSH_ELEMENT_BYTES 4u /* f32 */

/* S: from who gives; R: from who receives. */
enum push_frame_kind {
    PUSH_FRAME_OFFER = 1, /* S: a transfer is to be had; weight: what the sender had before it */
    PUSH_FRAME_ASK,       /* R: send me the chunks [chunk, chunk + count) */
    PUSH_FRAME_DATA,      /* S: chunk */
    PUSH_FRAME_TAKE,      /* R: all chunks are here, give me the weight */
    PUSH_FRAME_GIVE,      /* S: weight is yours */
    PUSH_FRAME_TAKEN,     /* R: it is */
    PUSH_FRAME_RETURN,    /* R: it is not and never will be; count 1: nothing else will be either */
    PUSH_FRAME_VOID,      /* S: this transfer is over without a GIVE */
};

struct push_frame {
    enum push_frame_kind kind;
    uint16_t from;
    uint32_t chunk;
    uint32_t count; /* ASK: chunks; DATA: elements of the payload; RETURN: 0 or 1 */
    uint64_t generation;
    uint64_t transfer; /* number, rising with each transfer of one sender in one generation */
    uint64_t weight;   /* OFFER, GIVE */
    uint64_t elements; /* OFFER: of the vector */
    uint64_t mark;     /* OFFER, GIVE: the host's own, handed on */
    uint64_t sum;      /* DATA: of the payload, as the host computes it */
};

/* out has PUSH_FRAME_BYTES bytes. */
void push_frame_encode(const struct push_frame *frame, uint8_t *out);
/* The header at the start of bytes and, in payload, what follows it (borrowed from bytes).
 * CORRUPT: short, unknown kind, a field that the kind does not have, or payload and kind do not
 * agree; VERSION: not version 1. Does not look at sum. */
SH_MUST_USE enum sh_err push_frame_decode(struct sh_span bytes, struct push_frame *frame,
                                          struct sh_span *payload);

#endif
