/* SPDX-License-Identifier: Apache-2.0
 *
 * Header of one frame of a reduction on the bulk plane. PART and RESULT carry
 * count elements: count * ROUND_ELEMENT_BYTES payload bytes (little-endian f32), which follow or,
 * between members on one machine, lie where the frame says: on the sender's shelf, memory that the
 * receiver reads too. What follows may be coded in fewer bytes instead, in a way that the hosts
 * agree on. ASK_* have no payload.
 *
 *    0 u8  version (2)      1 u8  kind          2 u16 from (member index)
 *    4 u16 subtree          6 u8  segment       7 u8  codec
 *    8 u32 chunk
 *   12 u32 count           16 u64 generation   24 u64 sequence
 *   32 u64 elements        40 u64 offset       48 u64 sum or shelf 56 u64 shelf_at
 *
 * 64 bytes, so that a payload which follows directly keeps the alignment of the message. */
#ifndef ROUND_FRAME_H
#define ROUND_FRAME_H

#include "base/bytes.h"

#define ROUND_FRAME_BYTES 64u

enum round_frame_kind {
    ROUND_FRAME_PART = 1,   /* sum over subtree of chunk, to the chunk's owner */
    ROUND_FRAME_RESULT,     /* sum over all ranks of chunk */
    ROUND_FRAME_ASK_PART,   /* send me subtree of the chunks [chunk, chunk + count) */
    ROUND_FRAME_ASK_RESULT, /* send me the result of the chunks [chunk, chunk + count) */
};

struct round_frame {
    enum round_frame_kind kind;
    uint16_t from;    /* member index of the sender */
    uint16_t subtree; /* index among all subtrees of the generation; 0 for results */
    uint16_t segment; /* member index of the owner of chunk, below ROUND_MEMBERS_MAX */
    uint8_t codec; /* of a payload that follows: 0, or the host's number of the way it is coded */
    uint32_t chunk;
    uint32_t count; /* PART, RESULT: elements of the payload; ASK_*: chunks */
    uint64_t generation;
    uint64_t sequence;
    uint64_t elements; /* length of the whole vector of this round */
    uint64_t offset;   /* PART, RESULT: first element of the payload in the vector */
    uint64_t sum;      /* of a payload that follows: its round_frame_sum; else 0 */
    uint64_t shelf;    /* payload on a shelf: the shelf's number; ASK_*: the number of the shelf of
                        * the receiver that the sender can read, 0: of none */
    uint64_t shelf_at; /* payload on a shelf: bytes before it, not 0; else 0 */
};

/* out has ROUND_FRAME_BYTES bytes. */
void round_frame_encode(const struct round_frame *frame, uint8_t *out);
/* The header at the start of bytes and, in payload, what follows it (borrowed from bytes).
 * CORRUPT: short, unknown kind, or payload and kind do not agree; VERSION: not version 2. Does not
 * look at sum: compare it with round_frame_sum before using the payload. A coded payload has 1 to
 * count * ROUND_ELEMENT_BYTES - 1 bytes. */
SH_MUST_USE enum sh_err round_frame_decode(struct sh_span bytes, struct round_frame *frame,
                                           struct sh_span *payload);
/* 64-bit digest of a payload, eight bytes at a time. It finds buffers that were reused too early
 * and broken memory; the link's authenticator is what keeps strangers out. O(size). */
uint64_t round_frame_sum(const void *bytes, size_t size);

#endif
