/* SPDX-License-Identifier: Apache-2.0 */
#include "swim/packet.h"

enum { PACKET_VERSION = 1, CLAIMS_AT = 2, WITH_META = 0x80 };

static void addr_put(struct sh_writer *w, const struct swim_addr *addr)
{
    SH_CHECK(addr->size > 0 && addr->size <= SWIM_ADDR_BYTES_MAX);
    sh_put_u8(w, addr->size);
    sh_put_bytes(w, addr->at, addr->size);
}

static void addr_get(struct sh_reader *r, struct swim_addr *addr)
{
    *addr = (struct swim_addr){.size = sh_get_u8(r)};
    if (addr->size == 0 || addr->size > SWIM_ADDR_BYTES_MAX) {
        r->bad = true;
        return;
    }
    sh_get_bytes(r, addr->at, addr->size);
}

void swim_packet_put(struct sh_writer *w, const struct swim_packet *packet)
{
    sh_put_u8(w, PACKET_VERSION);
    sh_put_u8(w, (uint8_t)packet->type);
    sh_put_u8(w, packet->claims);
    sh_put_u8(w, 0);
    sh_put_u64(w, packet->incarnation);
    sh_put_u64(w, packet->fingerprint);
    switch (packet->type) {
    case SWIM_PING:
        sh_put_u32(w, packet->seq);
        sh_put_bytes(w, packet->target, SH_NODE_ID_BYTES);
        break;
    case SWIM_ACK:
    case SWIM_NACK:
        sh_put_u32(w, packet->seq);
        break;
    case SWIM_PING_REQ:
        sh_put_u32(w, packet->seq);
        sh_put_bytes(w, packet->target, SH_NODE_ID_BYTES);
        addr_put(w, &packet->addr);
        break;
    case SWIM_HASHES:
        for (uint32_t i = 0; i < SWIM_BUCKETS; i++) {
            sh_put_u64(w, packet->bucket[i]);
        }
        break;
    case SWIM_RECORDS:
        sh_put_u64(w, packet->want);
        break;
    case SWIM_GOSSIP:
    case SWIM_JOIN:
    case SWIM_WHO:
        break;
    }
    SH_CHECK(!w->full);
}

void swim_packet_count(struct sh_writer *w, uint8_t claims)
{
    SH_CHECK_CMP(w->used, >, CLAIMS_AT);
    w->at[CLAIMS_AT] = claims;
}

bool swim_claim_put(struct sh_writer *w, const struct swim_claim *claim)
{
    SH_CHECK(claim->state >= SWIM_ALIVE && claim->state <= SWIM_LEFT);
    SH_CHECK_CMP(claim->accusers, <=, SWIM_ACCUSERS);
    size_t start = w->used;
    sh_put_u8(w, (uint8_t)((uint32_t)claim->state | (claim->has_meta ? WITH_META : 0u)));
    sh_put_bytes(w, claim->id, SH_NODE_ID_BYTES);
    sh_put_u64(w, claim->incarnation);
    addr_put(w, &claim->addr);
    sh_put_u64(w, claim->meta_version);
    if (claim->state == SWIM_SUSPECT) {
        sh_put_u8(w, (uint8_t)claim->accusers);
        for (uint32_t i = 0; i < claim->accusers; i++) {
            sh_put_u64(w, claim->accuser[i]);
        }
    } else if (claim->state != SWIM_ALIVE) {
        sh_put_u32(w, claim->age_s);
    }
    if (claim->has_meta) {
        SH_CHECK_CMP(claim->meta.size, <=, SWIM_META_BYTES_MAX);
        sh_put_u16(w, (uint16_t)claim->meta.size);
        sh_put_bytes(w, claim->meta.at, claim->meta.size);
    }
    if (w->full) {
        w->used = start;
        w->full = false;
        return false;
    }
    return true;
}

void swim_claim_get(struct sh_reader *r, struct swim_claim *claim)
{
    *claim = (struct swim_claim){0};
    uint8_t first = sh_get_u8(r);
    uint8_t state = first & 0x7f;
    claim->has_meta = (first & WITH_META) != 0;
    claim->state = (enum swim_state)(state <= SWIM_LEFT ? state : SWIM_ABSENT);
    sh_get_bytes(r, claim->id, SH_NODE_ID_BYTES);
    claim->incarnation = sh_get_u64(r);
    addr_get(r, &claim->addr);
    claim->meta_version = sh_get_u64(r);
    if (claim->state == SWIM_ABSENT || claim->incarnation >= SWIM_NUMBER_END ||
        claim->meta_version >= SWIM_NUMBER_END) {
        r->bad = true;
        return;
    }
    if (claim->state == SWIM_SUSPECT) {
        claim->accusers = sh_get_u8(r);
        if (claim->accusers == 0 || claim->accusers > SWIM_ACCUSERS) {
            claim->accusers = 0;
            r->bad = true;
            return;
        }
        for (uint32_t i = 0; i < claim->accusers; i++) {
            claim->accuser[i] = sh_get_u64(r);
        }
    } else if (claim->state != SWIM_ALIVE) {
        claim->age_s = sh_get_u32(r);
    }
    if (claim->has_meta) {
        size_t size = sh_get_u16(r);
        if (size > SWIM_META_BYTES_MAX || size > sh_reader_left(r)) {
            r->bad = true;
            return;
        }
        claim->meta = (struct sh_span){.at = r->at + r->used, .size = size};
        r->used += size;
    }
}

static void body_get(struct sh_reader *r, struct swim_packet *packet)
{
    switch (packet->type) {
    case SWIM_PING:
        packet->seq = sh_get_u32(r);
        sh_get_bytes(r, packet->target, SH_NODE_ID_BYTES);
        break;
    case SWIM_ACK:
    case SWIM_NACK:
        packet->seq = sh_get_u32(r);
        break;
    case SWIM_PING_REQ:
        packet->seq = sh_get_u32(r);
        sh_get_bytes(r, packet->target, SH_NODE_ID_BYTES);
        addr_get(r, &packet->addr);
        break;
    case SWIM_HASHES:
        for (uint32_t i = 0; i < SWIM_BUCKETS; i++) {
            packet->bucket[i] = sh_get_u64(r);
        }
        break;
    case SWIM_RECORDS:
        packet->want = sh_get_u64(r);
        break;
    case SWIM_GOSSIP:
    case SWIM_JOIN:
    case SWIM_WHO:
        break;
    }
}

enum sh_err swim_packet_get(struct sh_reader *r, struct swim_packet *packet)
{
    *packet = (struct swim_packet){0};
    uint8_t version = sh_get_u8(r);
    if (!r->bad && version != PACKET_VERSION) {
        return SH_ERR_VERSION;
    }
    uint8_t type = sh_get_u8(r);
    packet->claims = sh_get_u8(r);
    (void)sh_get_u8(r);
    packet->incarnation = sh_get_u64(r);
    packet->fingerprint = sh_get_u64(r);
    if (type < SWIM_PING || type > SWIM_RECORDS || packet->incarnation >= SWIM_NUMBER_END) {
        return SH_ERR_CORRUPT;
    }
    packet->type = (enum swim_packet_type)type;
    body_get(r, packet);
    struct sh_reader ahead = *r;
    for (uint32_t i = 0; i < packet->claims && !ahead.bad; i++) {
        struct swim_claim claim;
        swim_claim_get(&ahead, &claim);
    }
    return sh_reader_end(&ahead);
}
