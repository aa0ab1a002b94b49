/* SPDX-License-Identifier: Apache-2.0
 *
 * One membership core on a bench: its packets are recorded, its peers are the test. Peer n has id
 * and address n; the core under test is 0, at epoch 3. */
#ifndef SWIM_LAB_H
#define SWIM_LAB_H

#include "swim/packet.h"

enum { LAB_SENT_MAX = 1024, LAB_CLAIMS_MAX = 24, LAB_CHANGES_MAX = 512, LAB_ME = 0 };

#define LAB_EPOCH UINT64_C(3)
#define LAB_START UINT64_C(100000000) /* us */
#define LAB_MS    UINT64_C(1000)
#define LAB_ANY   UINT32_MAX

struct lab_sent {
    uint64_t at_us;
    uint32_t to;
    struct swim_packet packet;
    uint32_t claims;
    struct swim_claim claim[LAB_CLAIMS_MAX]; /* meta is not kept, only its size */
};

struct lab {
    struct swim *swim;
    uint64_t now_us;
    struct swim_update update;
    uint32_t sent_count;
    struct lab_sent sent[LAB_SENT_MAX];
    uint32_t change_count;
    struct swim_change change[LAB_CHANGES_MAX];
    uint32_t control_count;
    struct swim_control control; /* the last one */
};

/* One per test process. capacity 0: 64. */
struct lab *lab_new(uint32_t capacity);
struct lab *lab_with(const struct swim_config *config, uint32_t capacity);
/* Learns peers 1..count, ALIVE at incarnation 0; then forgets what was recorded. */
struct lab *lab_among(uint32_t count);
void lab_step(struct lab *lab, struct swim_event event);
void lab_run(struct lab *lab, uint64_t for_us);  /* TICK at every deadline on the way */
void lab_jump(struct lab *lab, uint64_t for_us); /* time passes, nobody calls the core */
void lab_clear(struct lab *lab);

void lab_id(uint32_t peer, uint8_t *id);
struct swim_addr lab_addr(uint32_t peer);
struct swim_claim lab_claim(uint32_t peer, enum swim_state state, uint64_t incarnation);
struct swim_claim lab_accused(uint32_t peer, uint64_t incarnation, uint32_t by);
/* A packet from a peer, its header without fault: incarnation 0, fingerprint equal. */
void lab_receive(struct lab *lab, uint32_t from, struct swim_packet packet,
                 const struct swim_claim *claims, uint32_t count);
void lab_tell(struct lab *lab, uint32_t from, struct swim_claim claim); /* in a GOSSIP */
void lab_ack(struct lab *lab, uint32_t from, uint32_t seq);

enum swim_state lab_state(const struct lab *lab, uint32_t peer);
uint64_t lab_incarnation(const struct lab *lab, uint32_t peer);
uint32_t lab_count(const struct lab *lab, enum swim_packet_type type, uint32_t to);
/* The i-th of this type to this peer; fails the test when there is none. */
const struct lab_sent *lab_get(const struct lab *lab, enum swim_packet_type type, uint32_t to,
                               uint32_t i);
/* Packets that carry a claim about peer in this state. */
uint32_t lab_told(const struct lab *lab, uint32_t to, uint32_t about, enum swim_state state);
/* Runs until the core pings somebody and gives that packet. */
const struct lab_sent *lab_next_probe(struct lab *lab);

#endif
