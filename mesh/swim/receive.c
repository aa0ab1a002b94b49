/* SPDX-License-Identifier: Apache-2.0 */
#include "swim/state.h"

static const uint64_t NOTICE_US = 1000000; /* YOU ARE DEAD at most this often to one member */

enum { WHO_BURST = 20, WHO_EVERY_US = 50000 };

static void answer(struct swim *s, enum swim_packet_type type, uint32_t seq, uint32_t sender,
                   const struct swim_addr *from)
{
    struct swim_out out = swim_out_at(type, from, sender);
    out.seq = seq;
    swim_out_push(s, &out);
}

static void tell_self(struct swim *s, uint32_t sender, const struct swim_addr *from)
{
    struct swim_out out = swim_out_at(SWIM_GOSSIP, from, sender);
    out.about = 0;
    out.with_meta = true;
    swim_out_push(s, &out);
}

/* One that sends is not dead: it has to hear what is said of it, to refute. */
static void notify_dead(struct swim *s, uint32_t sender, uint64_t incarnation,
                        const struct swim_addr *from)
{
    struct swim_row *row = &s->row[sender];
    bool buried = (row->state == SWIM_DEAD && row->incarnation >= incarnation) ||
                  (row->state == SWIM_LEFT && row->incarnation > incarnation);
    if (buried && s->now_us - row->notice_us >= NOTICE_US) {
        row->notice_us = s->now_us;
        struct swim_out out = swim_out_at(SWIM_GOSSIP, from, sender);
        out.about = sender;
        swim_out_push(s, &out);
    }
}

static void dispatch(struct swim *s, const struct swim_packet *packet, uint32_t sender,
                     const struct swim_addr *from)
{
    switch (packet->type) {
    case SWIM_PING:
        if (memcmp(packet->target, s->row[0].id, SH_NODE_ID_BYTES) == 0) {
            answer(s, SWIM_ACK, packet->seq, sender, from);
        } else {
            s->stats.misrouted++; /* somebody else lived at this address */
        }
        break;
    case SWIM_ACK:
        swim_probe_ack(s, packet->seq, from);
        break;
    case SWIM_PING_REQ:
        swim_probe_relay(s, packet, from);
        break;
    case SWIM_NACK:
        swim_probe_nack(s, packet->seq);
        break;
    case SWIM_GOSSIP:
        break;
    case SWIM_JOIN:
        swim_sync_add(s, from, UINT64_MAX, 0);
        break;
    case SWIM_WHO:
        tell_self(s, sender, from);
        break;
    case SWIM_HASHES:
        swim_sync_compare(s, packet, from);
        break;
    case SWIM_RECORDS:
        if (packet->want != 0) {
            swim_sync_add(s, from, packet->want, 0);
        }
        break;
    }
}

/* Rumours make tables differ for moments; only a difference that stays is worth a comparison. */
static void watch_fingerprint(struct swim *s, uint64_t fingerprint, const struct swim_addr *from)
{
    if (fingerprint == s->fingerprint) {
        s->differs = false;
    } else if (!s->differs) {
        s->differs = true;
        s->differs_us = s->now_us;
    } else if (s->now_us - s->differs_us >= s->config.sync_after_us) {
        s->differs_us = s->now_us;
        swim_sync_begin(s, from);
    }
}

void swim_receive(struct swim *s, const uint8_t *node, const struct swim_addr *from,
                  struct sh_span bytes)
{
    SH_CHECK(from->size > 0 && from->size <= SWIM_ADDR_BYTES_MAX);
    struct swim_packet packet;
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    s->stats.packets_in++;
    if (swim_packet_get(&r, &packet) != SH_OK) {
        s->stats.invalid++;
        return;
    }
    if (memcmp(node, s->row[0].id, SH_NODE_ID_BYTES) == 0) {
        s->stats.misrouted++; /* a seed address turned out to be this member's own */
        return;
    }
    for (uint32_t i = 0; i < packet.claims; i++) {
        struct swim_claim claim;
        swim_claim_get(&r, &claim);
        SH_CHECK(!r.bad);
        swim_claim_apply(s, &claim, packet.type == SWIM_RECORDS, swim_row_find(s, node), from);
    }
    uint32_t sender = swim_row_find(s, node);
    bool unknown = sender == SWIM_NONE || packet.incarnation > s->row[sender].incarnation;
    if (unknown && swim_tokens_take(&s->who_tokens, s->now_us, WHO_EVERY_US, WHO_BURST)) {
        answer(s, SWIM_WHO, 0, sender, from);
    }
    if (sender != SWIM_NONE) {
        notify_dead(s, sender, packet.incarnation, from);
        if (s->row[sender].state <= SWIM_SUSPECT && !s->leaving) {
            watch_fingerprint(s, packet.fingerprint, from);
        }
    }
    dispatch(s, &packet, sender, from);
}
