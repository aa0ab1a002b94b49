/* SPDX-License-Identifier: Apache-2.0
 *
 * Input: first as one packet for the decoder; then as a script of orders for one member with a
 * small table: raw packets, packets that decode, hints, time. */
#include "swim/packet.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ORDER_BYTES = 10, CAPACITY = 12, PEERS = 20 };

struct host {
    struct swim *swim;
    struct swim_update update;
    uint64_t now_us;
};

static void try_decoder(const uint8_t *data, size_t size)
{
    struct swim_packet packet;
    struct sh_reader r = sh_reader_over(data, size);
    if (swim_packet_get(&r, &packet) != SH_OK) {
        return;
    }
    for (uint32_t i = 0; i < packet.claims; i++) {
        struct swim_claim claim;
        swim_claim_get(&r, &claim);
        SH_CHECK(!r.bad);
        uint8_t again[SWIM_PACKET_BYTES_MAX];
        struct sh_writer w = sh_writer_over(again, sizeof again);
        SH_CHECK(swim_claim_put(&w, &claim));
    }
}

static void step(struct host *h, struct swim_event event)
{
    event.now_us = h->now_us;
    swim_step(h->swim, &event, &h->update);
    swim_check(h->swim);
    for (uint32_t i = 0; i < h->update.send_count; i++) {
        struct swim_packet packet;
        struct sh_reader r = sh_reader_over(h->update.sends[i].bytes, h->update.sends[i].size);
        enum sh_err err = swim_packet_get(&r, &packet);
        SH_CHECK_CMP(err, ==, SH_OK);
    }
}

static void peer_id(uint32_t peer, uint8_t *id)
{
    memset(id, (int)(peer % PEERS), SH_NODE_ID_BYTES);
}

static struct swim_addr peer_addr(uint32_t peer)
{
    return (struct swim_addr){.size = 1, .at = {(uint8_t)(peer % PEERS)}};
}

static void packet(struct host *h, uint32_t peer, const uint8_t *bytes, size_t size)
{
    struct swim_event event = {.kind = SWIM_EV_PACKET};
    peer_id(peer, event.packet.node);
    event.packet.from = peer_addr(peer);
    event.packet.bytes = (struct sh_span){.at = bytes, .size = size};
    step(h, event);
}

static void wellformed(struct host *h, const uint8_t *o)
{
    uint8_t bytes[SWIM_PACKET_BYTES_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    struct swim_packet p = {.type = (enum swim_packet_type)(SWIM_PING + o[2] % 9),
                            .incarnation = o[3],
                            .fingerprint = o[3] > 128 ? swim_fingerprint(h->swim) : o[3],
                            .seq = o[4],
                            .addr = peer_addr(o[4]),
                            .want = o[4]};
    peer_id(o[4], p.target);
    struct swim_claim claim = {.state = (enum swim_state)(SWIM_ALIVE + o[5] % 4),
                               .incarnation = ((uint64_t)(o[6] / 64) << 32) + o[6] % 64,
                               .addr = peer_addr(o[7]),
                               .meta_version = o[8],
                               .accusers = o[5] % 4 == 1 ? 1u + o[8] % 4u : 0,
                               .age_s = o[8] * 50u,
                               .has_meta = o[9] > 128,
                               .meta = {.at = o, .size = o[9] % ORDER_BYTES}};
    for (uint32_t i = 0; i < SWIM_ACCUSERS; i++) {
        claim.accuser[i] = o[9] + i;
    }
    peer_id(o[7], claim.id);
    swim_packet_put(&w, &p);
    SH_CHECK(swim_claim_put(&w, &claim));
    swim_packet_count(&w, 1);
    packet(h, o[1], bytes, w.used);
}

static size_t order(struct host *h, const uint8_t *o, size_t size)
{
    struct swim_event event = {.kind = SWIM_EV_TICK};
    size_t raw = o[2] % 64u;
    struct swim_addr seed = peer_addr(o[1]);
    switch (o[0] % 8) {
    case 0:
        raw = raw < size - ORDER_BYTES ? raw : size - ORDER_BYTES;
        packet(h, o[1], o + ORDER_BYTES, raw);
        return ORDER_BYTES + raw;
    case 1:
        event.kind = SWIM_EV_HINT;
        peer_id(o[1], event.hint.node);
        event.hint.hint = o[2] % 2 == 0 ? SWIM_HINT_LOST : SWIM_HINT_REFUSED;
        break;
    case 2:
        h->now_us += o[1] * UINT64_C(20000);
        break;
    case 3:
        h->now_us = swim_deadline_us(h->swim) > h->now_us ? swim_deadline_us(h->swim) : h->now_us;
        break;
    case 4:
        event.kind = o[1] < 250 ? SWIM_EV_SET_META : SWIM_EV_LEAVE;
        event.meta = (struct sh_span){.at = o, .size = o[2] % ORDER_BYTES};
        break;
    case 5:
        event.kind = SWIM_EV_JOIN;
        event.join.addrs = &seed;
        event.join.count = 1;
        break;
    default:
        wellformed(h, o);
        return ORDER_BYTES;
    }
    step(h, event);
    return ORDER_BYTES;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_decoder(data, size);
    struct swim_config config = swim_preset(size % 2 == 0 ? SWIM_LAN : SWIM_LOCAL);
    config.share_dead_us = 5000000;
    config.forget_dead_us = 9000000;
    struct swim_self self = {.addr = peer_addr(0), .epoch = 1, .capacity = CAPACITY, .seed = 1};
    peer_id(0, self.id);
    size_t bytes = (swim_bytes(&self) + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes);
    struct host *h = calloc(1, sizeof *h);
    if (memory == NULL || h == NULL) {
        abort();
    }
    struct sh_arena arena;
    sh_arena_init(&arena, memory, bytes);
    h->now_us = 50000000;
    h->swim = swim_init(&config, &self, h->now_us, &arena);
    while (size >= ORDER_BYTES) {
        size_t used = order(h, data, size);
        data += used;
        size -= used;
    }
    free(h);
    free(memory);
    return 0;
}
