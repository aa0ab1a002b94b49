/* SPDX-License-Identifier: Apache-2.0
 *
 * Hosts the swim core, as agent/gossip.c does. An agent's address is its number. */
#include "sim/parts.h"

#include <stdlib.h>
#include <string.h>

enum { OP_PING = 1, OP_PONG = 2, SWIM_CAPACITY = 64 };

static struct swim_addr addr_of(uint32_t number)
{
    return (struct swim_addr){.size = 1, .at = {(uint8_t)number}};
}

static void send_control(struct sim *sim, struct sim_agent *a, uint32_t to, uint8_t op,
                         uint32_t number)
{
    uint8_t bytes[5];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    sh_put_u8(&w, op);
    sh_put_u32(&w, number);
    (void)sim_send(sim, a->number, to, SIM_SWIM_CONTROL, bytes, w.used); /* the asker waits */
}

void sim_gossip_step(struct sim *sim, struct sim_agent *a, const struct swim_event *event)
{
    struct swim_update *u = &sim->scratch->swim;
    if (a->doomed) {
        return;
    }
    swim_step(a->swim, event, u);
    for (uint32_t i = 0; i < u->send_count; i++) {
        uint32_t to = u->sends[i].to.at[0];
        if (to < sim->agent_count && to != a->number) {
            /* Lost datagrams are part of the protocol. */
            (void)sim_send(sim, a->number, to, SIM_SWIM, u->sends[i].bytes, u->sends[i].size);
        }
    }
    for (uint32_t i = 0; i < u->control_count; i++) {
        const struct sim_agent *to = sim_by_id(sim, u->control[i].node);
        if (to != NULL && to != a) {
            send_control(sim, a, to->number, OP_PING, u->control[i].number);
        }
    }
    if (u->change_count > 0) {
        sim_planner_wake(sim, a);
    }
}

void sim_gossip_open(struct sim *sim, struct sim_agent *a)
{
    struct swim_self self = {.addr = addr_of(a->number),
                             .epoch = (uint32_t)a->identity.boots,
                             .capacity = SWIM_CAPACITY,
                             .seed = sh_rng_u64(&sim->rng)};
    struct swim_config config = swim_preset(SWIM_LAN);
    memcpy(self.id, a->id, SH_NODE_ID_BYTES);
    size_t size = (swim_bytes(&self) + 63) & ~(size_t)63;
    if (a->swim_memory == NULL) {
        a->swim_memory = aligned_alloc(64, size);
        SH_CHECK(a->swim_memory != NULL);
    }
    struct sh_arena arena;
    sh_arena_init(&arena, a->swim_memory, size);
    a->swim = swim_init(&config, &self, sim_local(sim, a), &arena);
    uint8_t bytes[WIRE_NODE_BYTES_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    wire_node_encode(&a->node, &w);
    SH_CHECK(!w.full);
    struct swim_event meta = {.kind = SWIM_EV_SET_META, .now_us = sim_local(sim, a)};
    meta.meta = (struct sh_span){.at = bytes, .size = w.used};
    sim_gossip_step(sim, a, &meta);
    /* As with --join: one address, of any agent that was there before. Who comes back with a new
     * disk is given all others, lest two such have only each other's. */
    if (a->wipes == 0 && a->number > 0) {
        sim_gossip_seed(sim, a, (uint32_t)sh_rng_below(&sim->rng, a->number));
    }
    for (uint32_t i = 0; i < sim->agent_count && a->wipes > 0; i++) {
        sim_gossip_seed(sim, a, i);
    }
}

void sim_gossip_leave(struct sim *sim, struct sim_agent *a)
{
    struct swim_event event = {.kind = SWIM_EV_LEAVE, .now_us = sim_local(sim, a)};
    sim_gossip_step(sim, a, &event);
}

void sim_gossip_seed(struct sim *sim, struct sim_agent *a, uint32_t other)
{
    if (other == a->number || a->seed_count == SWIM_SEEDS_MAX) {
        return;
    }
    struct swim_addr seed = addr_of(other);
    for (uint32_t i = 0; i < a->seed_count; i++) {
        if (a->seeds[i].at[0] == seed.at[0]) {
            return;
        }
    }
    a->seeds[a->seed_count++] = seed;
    struct swim_event event = {.kind = SWIM_EV_JOIN, .now_us = sim_local(sim, a)};
    event.join.addrs = a->seeds;
    event.join.count = a->seed_count;
    sim_gossip_step(sim, a, &event);
}

static void take_control(struct sim *sim, struct sim_agent *a, const struct sim_msg *msg)
{
    struct sh_reader r = sh_reader_over(msg->bytes, msg->size);
    uint8_t op = sh_get_u8(&r);
    uint32_t number = sh_get_u32(&r);
    SH_CHECK(!r.bad);
    if (op == OP_PING) {
        send_control(sim, a, msg->from, OP_PONG, number);
        return;
    }
    struct swim_event event = {.kind = SWIM_EV_CONTROL_PONG, .now_us = sim_local(sim, a)};
    memcpy(event.pong.node, sim->agents[msg->from]->id, SH_NODE_ID_BYTES);
    event.pong.number = number;
    sim_gossip_step(sim, a, &event);
}

void sim_gossip_receive(struct sim *sim, struct sim_agent *a, const struct sim_msg *msg)
{
    if (msg->plane == SIM_SWIM_CONTROL) {
        take_control(sim, a, msg);
        return;
    }
    struct swim_event event = {.kind = SWIM_EV_PACKET, .now_us = sim_local(sim, a)};
    memcpy(event.packet.node, sim->agents[msg->from]->id, SH_NODE_ID_BYTES);
    event.packet.from = addr_of(msg->from);
    event.packet.bytes = (struct sh_span){.at = msg->bytes, .size = msg->size};
    sim_gossip_step(sim, a, &event);
}

enum swim_state sim_gossip_state(const struct sim_agent *a, const uint8_t *id)
{
    struct swim_member m;
    return swim_find(a->swim, id, &m) ? m.state : SWIM_ABSENT;
}
