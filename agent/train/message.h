/* SPDX-License-Identifier: Apache-2.0
 *
 * What members of a gang tell each other besides chunks of reductions (train/exchange.h): where
 * they stand, and pieces of their state for those behind. Little-endian, fields append-only, excess
 * bytes ignored (but in NOTE, whose piece ends the frame). Pure.
 *
 *   all     u64 job, u32 unit, u32 version (1), u64 generation
 *   HELLO   u32 flags, u64 mine, u64 yours, u64 position, u8[32] state digest
 *   FETCH   u64 position, u64 offset, u32 size
 *   NOTE    u64 position, u64 offset, u64 total, then the piece
 *   OFFER   u64 number, u32 taken; with 0 comes the descriptor of the sender's shelf of that number
 *           (train/shelf.h), with 1 the sender says that it reads the receiver's */
#ifndef TRAIN_MESSAGE_H
#define TRAIN_MESSAGE_H

#include "wire/job.h"

#define TRAIN_PIECE_BYTES   SH_BULK_CHUNK_BYTES
#define TRAIN_MESSAGE_BYTES 128u /* of any message without its piece, at most */
#define TRAIN_UNIT_HEAD     16u  /* job, unit, 0, before frames of rounds and of mixing */

#define TRAIN_HELLO_ASKS    1u /* the sender does not know enough of the receiver: please answer */
#define TRAIN_HELLO_HAS     2u /* the sender has a state: position and digest count */
#define TRAIN_HELLO_RUNNING 4u /* the sender has begun the rounds of this generation */

struct train_about { /* whom a message concerns */
    struct wire_unit unit;
    uint64_t generation; /* index of the fence */
};

struct train_hello {
    struct train_about about;
    uint32_t flags;
    uint64_t mine;  /* number of the sender's session, drawn at its start; never 0 */
    uint64_t yours; /* number of the receiver's session as the sender knows it; 0: unknown */
    uint64_t position;
    uint8_t digest[SH_DIGEST_BYTES];
};

/* Please send bytes [offset, offset + size) of your encoded state at position. */
struct train_fetch {
    struct train_about about;
    uint64_t position;
    uint64_t offset;
    uint32_t size; /* 1..TRAIN_PIECE_BYTES */
};

struct train_note {
    struct train_about about;
    uint64_t position;
    uint64_t offset;
    uint64_t total; /* bytes of the whole state */
    struct sh_span piece;
};

struct train_offer {
    struct train_about about;
    uint64_t number; /* of the shelf; not 0 */
    bool taken;
};

/* What every message, TRAIN_CHUNK and TRAIN_MIX begins with. CORRUPT. */
SH_MUST_USE enum sh_err train_message_unit(struct sh_span bytes, struct wire_unit *unit);
/* The head of a TRAIN_CHUNK or TRAIN_MIX, and the frame after it. CORRUPT. */
void train_unit_head_encode(struct wire_unit unit, uint8_t out[static TRAIN_UNIT_HEAD]);
SH_MUST_USE enum sh_err train_unit_head_decode(struct sh_span bytes, struct wire_unit *unit,
                                               struct sh_span *frame);

/* Appends; the writer has TRAIN_MESSAGE_BYTES. The piece of a note is not written: it follows. */
void train_hello_encode(const struct train_hello *hello, struct sh_writer *w);
void train_fetch_encode(const struct train_fetch *fetch, struct sh_writer *w);
void train_note_encode(const struct train_note *note, struct sh_writer *w);
void train_offer_encode(const struct train_offer *offer, struct sh_writer *w);

/* VERSION, CORRUPT. */
SH_MUST_USE enum sh_err train_hello_decode(struct sh_span bytes, struct train_hello *hello);
SH_MUST_USE enum sh_err train_fetch_decode(struct sh_span bytes, struct train_fetch *fetch);
SH_MUST_USE enum sh_err train_offer_decode(struct sh_span bytes, struct train_offer *offer);
/* The piece borrows bytes; it lies within total and is not empty. */
SH_MUST_USE enum sh_err train_note_decode(struct sh_span bytes, struct train_note *note);

#endif
