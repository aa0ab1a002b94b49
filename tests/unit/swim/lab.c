/* SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"
#include "tst.h"

#include <string.h>

enum { LAB_CAPACITY = 64, LAB_BYTES = 1 << 19 };

static struct lab the_lab;

void lab_id(uint32_t peer, uint8_t *id)
{
    memset(id, 0, SH_NODE_ID_BYTES);
    id[0] = (uint8_t)peer;
    id[SH_NODE_ID_BYTES - 1] = (uint8_t)peer;
}

struct swim_addr lab_addr(uint32_t peer)
{
    return (struct swim_addr){.size = 1, .at = {(uint8_t)peer}};
}

static uint32_t peer_of(const uint8_t *id)
{
    return id[0];
}

struct lab *lab_with(const struct swim_config *config, uint32_t capacity)
{
    _Alignas(64) static uint8_t memory[LAB_BYTES];
    struct swim_self self = {.addr = lab_addr(LAB_ME),
                             .epoch = LAB_EPOCH,
                             .capacity = capacity == 0 ? LAB_CAPACITY : capacity,
                             .seed = tst_seed()};
    lab_id(LAB_ME, self.id);
    struct sh_arena arena;
    EXPECT(swim_bytes(&self) <= sizeof memory);
    sh_arena_init(&arena, memory, swim_bytes(&self));
    the_lab.now_us = LAB_START;
    the_lab.swim = swim_init(config, &self, LAB_START, &arena);
    return &the_lab;
}

struct lab *lab_new(uint32_t capacity)
{
    struct swim_config config = swim_preset(SWIM_LAN);
    return lab_with(&config, capacity);
}

static void record_sends(struct lab *lab)
{
    for (uint32_t i = 0; i < lab->update.send_count; i++) {
        const struct swim_send *send = &lab->update.sends[i];
        struct lab_sent *sent = &lab->sent[lab->sent_count++];
        EXPECT(lab->sent_count < LAB_SENT_MAX);
        *sent = (struct lab_sent){.at_us = lab->now_us, .to = send->to.at[0]};
        struct sh_reader r = sh_reader_over(send->bytes, send->size);
        EXPECT_EQ(swim_packet_get(&r, &sent->packet), SH_OK);
        sent->claims = sent->packet.claims;
        for (uint32_t k = 0; k < sent->claims; k++) {
            struct swim_claim claim;
            swim_claim_get(&r, &claim);
            claim.meta.at = NULL;
            if (k < LAB_CLAIMS_MAX) {
                sent->claim[k] = claim;
            }
        }
        EXPECT_EQ(sh_reader_left(&r), 0);
    }
}

void lab_step(struct lab *lab, struct swim_event event)
{
    event.now_us = lab->now_us;
    swim_step(lab->swim, &event, &lab->update);
    swim_check(lab->swim);
    record_sends(lab);
    for (uint32_t i = 0; i < lab->update.change_count; i++) {
        EXPECT(lab->change_count < LAB_CHANGES_MAX);
        lab->change[lab->change_count++] = lab->update.changes[i];
    }
    for (uint32_t i = 0; i < lab->update.control_count; i++) {
        lab->control = lab->update.control[i];
        lab->control_count++;
    }
}

void lab_run(struct lab *lab, uint64_t for_us)
{
    uint64_t end = lab->now_us + for_us;
    while (swim_deadline_us(lab->swim) <= end) {
        uint64_t due = swim_deadline_us(lab->swim);
        lab->now_us = due > lab->now_us ? due : lab->now_us;
        lab_step(lab, (struct swim_event){.kind = SWIM_EV_TICK});
    }
    lab->now_us = end;
}

void lab_jump(struct lab *lab, uint64_t for_us)
{
    lab->now_us += for_us;
}

void lab_clear(struct lab *lab)
{
    lab->sent_count = 0;
    lab->change_count = 0;
    lab->control_count = 0;
}

struct swim_claim lab_claim(uint32_t peer, enum swim_state state, uint64_t incarnation)
{
    struct swim_claim claim = {.state = state, .incarnation = incarnation, .addr = lab_addr(peer)};
    lab_id(peer, claim.id);
    return claim;
}

struct swim_claim lab_accused(uint32_t peer, uint64_t incarnation, uint32_t by)
{
    struct swim_claim claim = lab_claim(peer, SWIM_SUSPECT, incarnation);
    claim.accusers = 1;
    claim.accuser[0] = by;
    return claim;
}

void lab_receive(struct lab *lab, uint32_t from, struct swim_packet packet,
                 const struct swim_claim *claims, uint32_t count)
{
    uint8_t bytes[SWIM_PACKET_BYTES_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    if (packet.fingerprint == 0) {
        packet.fingerprint = swim_fingerprint(lab->swim);
    }
    swim_packet_put(&w, &packet);
    for (uint32_t i = 0; i < count; i++) {
        EXPECT(swim_claim_put(&w, &claims[i]));
    }
    swim_packet_count(&w, (uint8_t)count);
    struct swim_event event = {.kind = SWIM_EV_PACKET};
    lab_id(from, event.packet.node);
    event.packet.from = lab_addr(from);
    event.packet.bytes = (struct sh_span){.at = bytes, .size = w.used};
    lab_step(lab, event);
}

void lab_tell(struct lab *lab, uint32_t from, struct swim_claim claim)
{
    lab_receive(lab, from, (struct swim_packet){.type = SWIM_GOSSIP}, &claim, 1);
}

void lab_ack(struct lab *lab, uint32_t from, uint32_t seq)
{
    lab_receive(lab, from, (struct swim_packet){.type = SWIM_ACK, .seq = seq}, NULL, 0);
}

struct lab *lab_among(uint32_t count)
{
    struct lab *lab = lab_new(0);
    for (uint32_t i = 1; i <= count; i++) {
        lab_tell(lab, i, lab_claim(i, SWIM_ALIVE, 0));
    }
    for (uint32_t i = 0; i < 40; i++) { /* lets the rumours of the beginning die out */
        const struct lab_sent *ping = lab_next_probe(lab);
        lab_ack(lab, ping->to, ping->packet.seq);
        lab_clear(lab);
    }
    EXPECT_EQ(swim_counts(lab->swim).alive, count + 1);
    return lab;
}

enum swim_state lab_state(const struct lab *lab, uint32_t peer)
{
    uint8_t id[SH_NODE_ID_BYTES];
    struct swim_member member;
    lab_id(peer, id);
    return swim_find(lab->swim, id, &member) ? member.state : SWIM_ABSENT;
}

uint64_t lab_incarnation(const struct lab *lab, uint32_t peer)
{
    uint8_t id[SH_NODE_ID_BYTES];
    struct swim_member member;
    lab_id(peer, id);
    EXPECT(swim_find(lab->swim, id, &member));
    return member.incarnation;
}

static bool matches(const struct lab_sent *sent, enum swim_packet_type type, uint32_t to)
{
    return sent->packet.type == type && (to == LAB_ANY || sent->to == to);
}

uint32_t lab_count(const struct lab *lab, enum swim_packet_type type, uint32_t to)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < lab->sent_count; i++) {
        count += matches(&lab->sent[i], type, to) ? 1 : 0;
    }
    return count;
}

const struct lab_sent *lab_get(const struct lab *lab, enum swim_packet_type type, uint32_t to,
                               uint32_t i)
{
    const struct lab_sent *found = NULL;
    for (uint32_t k = 0; k < lab->sent_count && found == NULL; k++) {
        if (matches(&lab->sent[k], type, to)) {
            found = i == 0 ? &lab->sent[k] : NULL;
            i -= i > 0 ? 1 : 0;
        }
    }
    EXPECT(found != NULL);
    return found;
}

uint32_t lab_told(const struct lab *lab, uint32_t to, uint32_t about, enum swim_state state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < lab->sent_count; i++) {
        const struct lab_sent *sent = &lab->sent[i];
        for (uint32_t k = 0; k < sent->claims && k < LAB_CLAIMS_MAX; k++) {
            bool about_it = peer_of(sent->claim[k].id) == about && sent->claim[k].state == state;
            count += about_it && (to == LAB_ANY || sent->to == to) ? 1 : 0;
        }
    }
    return count;
}

const struct lab_sent *lab_next_probe(struct lab *lab)
{
    uint32_t before = lab_count(lab, SWIM_PING, LAB_ANY);
    while (lab_count(lab, SWIM_PING, LAB_ANY) == before) {
        EXPECT(swim_deadline_us(lab->swim) != UINT64_MAX);
        uint64_t due = swim_deadline_us(lab->swim);
        lab_run(lab, due > lab->now_us ? due - lab->now_us : 0);
    }
    return lab_get(lab, SWIM_PING, LAB_ANY, before);
}
