/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to mesh/swim (and its fuzz target): the bytes of a gossip datagram before sealing.
 *
 *   0 u8 version (1)   1 u8 type   2 u8 claims   3 u8 zero
 *   4 u64 incarnation of the sender   12 u64 its fingerprint   20 body   then the claims
 *
 *   body    PING: u32 seq, id [16] of who is meant     ACK, NACK: u32 seq
 *           PING_REQ: u32 seq, id [16], addr           HASHES: u64 [64]
 *           RECORDS: u64 buckets wanted in return      GOSSIP, JOIN, WHO: nothing
 *   claim   u8 state | 0x80 with meta, id [16], u64 incarnation, addr, u64 meta version,
 *           SUSPECT: u8 count, u64 [count] accusers    DEAD, LEFT: u32 age in seconds
 *           with meta: u16 size, bytes
 *   addr    u8 size, bytes
 *
 * The sender's id is not in it: the sealed datagram names it. Excess bytes are ignored. */
#ifndef SWIM_PACKET_H
#define SWIM_PACKET_H

#include "swim/swim.h"

#define SWIM_BUCKETS  64u
#define SWIM_ACCUSERS 4u /* as many as shorten a suspicion */

/* Incarnations and versions grow by one at a time; numbers from here on can only be forged, to
 * leave their victim nothing larger to answer with. They are refused. */
#define SWIM_NUMBER_END (UINT64_C(1) << 63)

enum swim_packet_type {
    SWIM_PING = 1,
    SWIM_ACK,
    SWIM_PING_REQ,
    SWIM_NACK,
    SWIM_GOSSIP,
    SWIM_JOIN, /* tell me everything */
    SWIM_WHO,  /* tell me who you are */
    SWIM_HASHES,
    SWIM_RECORDS,
};

struct swim_claim {
    uint8_t id[SH_NODE_ID_BYTES];
    enum swim_state state;
    uint64_t incarnation;
    struct swim_addr addr;
    uint64_t meta_version;
    uint32_t accusers; /* SUSPECT */
    uint64_t accuser[SWIM_ACCUSERS];
    uint32_t age_s; /* DEAD, LEFT */
    bool has_meta;
    struct sh_span meta;
};

struct swim_packet {
    enum swim_packet_type type;
    uint8_t claims;
    uint64_t incarnation;
    uint64_t fingerprint;
    uint32_t seq;                     /* PING, ACK, PING_REQ, NACK */
    uint8_t target[SH_NODE_ID_BYTES]; /* PING, PING_REQ */
    struct swim_addr addr;            /* PING_REQ */
    uint64_t want;                    /* RECORDS */
    uint64_t bucket[SWIM_BUCKETS];    /* HASHES */
};

/* Header and body; claims are appended with swim_claim_put and counted with swim_packet_count. */
void swim_packet_put(struct sh_writer *w, const struct swim_packet *packet);
void swim_packet_count(struct sh_writer *w, uint8_t claims);
/* False, and nothing written, when it does not fit. */
bool swim_claim_put(struct sh_writer *w, const struct swim_claim *claim);

/* Reads header and body and walks over all claims: OK means that claims calls of swim_claim_get on
 * r (left at the first claim) will succeed. CORRUPT or VERSION otherwise. */
SH_MUST_USE enum sh_err swim_packet_get(struct sh_reader *r, struct swim_packet *packet);
/* meta borrows from the reader's buffer. On damage the reader turns bad. */
void swim_claim_get(struct sh_reader *r, struct swim_claim *claim);

#endif
