/* SPDX-License-Identifier: Apache-2.0
 *
 * The header in front of every message on the control and bulk planes, and the registry of message
 * types. 32 bytes, little-endian, the same in every major version so that two versions can tell
 * each other why they do not talk:
 *
 *   0 magic u32 "SHOA"   4 major u16   6 type u16   8 flags u32   12 length u32   16 cluster id
 * [16]
 *
 * length counts the payload, which follows at once and ends the message. Flags that a receiver does
 * not know are ignored. Pure. */
#ifndef SH_WIRE_FRAME_H
#define SH_WIRE_FRAME_H

#include "base/bytes.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define FRAME_MAGIC        UINT32_C(0x414f4853)
#define FRAME_MAJOR        1u /* raised when an old program could misread a payload */
#define FRAME_HEADER_BYTES 32u

/* Planes on which a type may travel. */
#define FRAME_CONTROL 1u
#define FRAME_BULK    2u
#define FRAME_GOSSIP  4u

/* Numbers travel: never renumber, only append inside the range of the module that owns it.
 * 1-15 link, 16-31 raft, 32-47 swim, 48-63 agent to agent, 80-95 training. */
#define FRAME_TYPE_MAP(X)                                                                          \
    X(1, HELLO, FRAME_CONTROL | FRAME_BULK)                                                        \
    X(2, REFUSE, FRAME_CONTROL | FRAME_BULK)                                                       \
    X(3, BYE, FRAME_CONTROL | FRAME_BULK)                                                          \
    X(16, RAFT, FRAME_CONTROL)                                                                     \
    X(32, SWIM, FRAME_CONTROL | FRAME_GOSSIP)                                                      \
    X(48, CALL, FRAME_CONTROL | FRAME_BULK)                                                        \
    X(49, ANSWER, FRAME_CONTROL | FRAME_BULK)                                                      \
    X(50, PROPOSE, FRAME_CONTROL)                                                                  \
    X(51, NOT_ADMITTED, FRAME_CONTROL)                                                             \
    X(80, TRAIN_HELLO, FRAME_BULK)                                                                 \
    X(81, TRAIN_CHUNK, FRAME_BULK)                                                                 \
    X(82, TRAIN_FETCH, FRAME_BULK)                                                                 \
    X(83, TRAIN_NOTE, FRAME_BULK)                                                                  \
    X(84, TRAIN_OFFER, FRAME_BULK)                                                                 \
    X(85, TRAIN_MIX, FRAME_BULK)

enum frame_type {
#define X(number, name, planes) FRAME_##name = number,
    FRAME_TYPE_MAP(X)
#undef X
        FRAME_TYPE_END = 96 /* one past the last range */
};

struct frame_header {
    uint16_t major;
    uint16_t type;
    uint32_t flags;
    uint32_t length; /* payload bytes */
    uint8_t cluster[SH_CLUSTER_ID_BYTES];
};

/* A header of this program's major version. */
void frame_encode(uint8_t out[static FRAME_HEADER_BYTES], uint16_t type, uint32_t length,
                  const uint8_t cluster[static SH_CLUSTER_ID_BYTES]);
/* Reads one whole message. OK: payload borrows bytes. CORRUPT: not a frame, or length is not what
 * follows. VERSION: a frame of another major; header and payload are filled, for HELLO and REFUSE
 * only their fields that never change may be read. */
SH_MUST_USE enum sh_err frame_decode(struct sh_span bytes, struct frame_header *header,
                                     struct sh_span *payload);
/* "RAFT"; "UNKNOWN" for a number that is not registered. */
const char *frame_type_name(uint16_t type);
/* True when the type is registered for this plane (one of FRAME_CONTROL, FRAME_BULK, ...). */
bool frame_type_on(uint16_t type, uint32_t plane);

#endif
