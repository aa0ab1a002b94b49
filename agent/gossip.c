/* SPDX-License-Identifier: Apache-2.0 */
#include "gossip.h"

#include "bulk.h"
#include "journal.h"
#include "parts.h"
#include "planner.h"

#include "base/host/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum gossip_op { OP_PING = 1, OP_PONG = 2 };
enum { PACKETS_A_TURN = 512 };

struct gossip {
    struct service *s;
    struct link_gossip *socket;
    void *memory;
    struct swim *swim;
    struct swim_update *update;
    struct swim_addr seeds[SWIM_SEEDS_MAX];
    uint32_t seed_count;
};

static struct swim_addr to_swim(const struct link_addr *addr)
{
    struct swim_addr out = {.size = LINK_ADDR_WIRE_BYTES};
    struct sh_writer w = sh_writer_over(out.at, sizeof out.at);
    link_addr_put(&w, addr);
    return out;
}

static struct link_addr from_swim(const struct swim_addr *addr)
{
    struct sh_reader r = sh_reader_over(addr->at, addr->size);
    return link_addr_get(&r);
}

static enum service_liveness liveness_of(enum swim_state state)
{
    switch (state) {
    case SWIM_ALIVE:
        return SERVICE_ALIVE;
    case SWIM_SUSPECT:
        return SERVICE_SUSPECT;
    case SWIM_LEFT:
        return SERVICE_LEFT;
    case SWIM_DEAD:
    case SWIM_ABSENT:
        return SERVICE_DEAD;
    }
    SH_UNREACHABLE();
}

/* Where the planes find this node from now on. */
static void set_addresses(struct gossip *g, const struct wire_node *node)
{
    struct link_addr addr;
    if (link_addr_parse(node->addr, 0, &addr) != SH_OK) {
        return;
    }
    struct link_plane *control = link_plane_of(g->s->link, LINK_CONTROL);
    enum sh_err err = link_set_addr(control, node->id, &addr);
    if (err != SH_OK) {
        journal_warn("control plane: no place for agent %s: %s", node->name, sh_err_text(err));
    }
    char text[SH_ADDR_MAX + 1];
    addr.port = node->bulk_port;
    link_addr_format(&addr, text);
    bulk_set_addr(g->s->bulk, node->id, text);
}

static uint32_t at_most_u32(uint64_t us)
{
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

/* Publishes one member; its record may not have arrived yet. */
static void publish(struct gossip *g, const uint8_t *id, bool addresses)
{
    struct swim_member m;
    struct service_member out = {0};
    if (!swim_find(g->swim, id, &m)) {
        return;
    }
    out.rtt_us = at_most_u32(m.rtt_mid_us);
    out.rtt_p99_us = at_most_u32(m.rtt_high_us);
    struct sh_reader r = sh_reader_over(m.meta.at, m.meta.size);
    bool self = memcmp(id, g->s->trust.node, SH_NODE_ID_BYTES) == 0;
    if (self) {
        out.node = g->s->self;
    } else if (m.meta_version == 0 || wire_node_decode(&r, &out.node) != SH_OK ||
               memcmp(out.node.id, id, SH_NODE_ID_BYTES) != 0) {
        return;
    }
    out.liveness = liveness_of(m.state);
    enum sh_err err = members_put(g->s->members, &out);
    if (err != SH_OK) {
        journal_warn("agent %s is not listed: %s", out.node.name, sh_err_text(err));
    }
    if (addresses && !self && (m.state == SWIM_ALIVE || m.state == SWIM_SUSPECT)) {
        set_addresses(g, &out.node);
    }
}

static void note_change(struct gossip *g, const struct swim_change *c)
{
    struct service_member m;
    publish(g, c->id, c->meta || c->before == SWIM_ABSENT || c->restarted);
    if (c->before != c->now && (c->now == SWIM_DEAD || c->now == SWIM_LEFT)) {
        /* Connections of a frozen machine stay open: who waits for it need not wait longer. */
        calls_peer_down(g->s->calls, CALLS_CONTROL, c->id);
        calls_peer_down(g->s->calls, CALLS_BULK, c->id);
    }
    if (c->before != c->now && members_get(g->s->members, c->id, &m)) {
        journal_info("agent %s is %s", m.node.name, swim_state_name(c->now));
    }
}

static enum sh_err send_control(struct gossip *g, uint64_t now_us, const uint8_t *node,
                                const uint8_t *bytes, size_t size)
{
    return link_send(link_plane_of(g->s->link, LINK_CONTROL), now_us, node, FRAME_SWIM,
                     (struct sh_span){0}, (struct sh_span){.at = bytes, .size = size});
}

static void ping_over_control(struct gossip *g, uint64_t now_us, const struct swim_control *c)
{
    uint8_t bytes[5];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    sh_put_u8(&w, OP_PING);
    sh_put_u32(&w, c->number);
    /* Not sent: no pong will come, which is the answer. */
    SH_MAY_FAIL(send_control(g, now_us, c->node, bytes, w.used));
}

static void step(struct gossip *g, const struct swim_event *event)
{
    struct swim_update *u = g->update;
    swim_step(g->swim, event, u);
    for (uint32_t i = 0; i < u->send_count; i++) {
        struct link_addr to = from_swim(&u->sends[i].to);
        struct sh_span bytes = {.at = u->sends[i].bytes, .size = u->sends[i].size};
        /* Lost datagrams are part of the protocol. */
        SH_MAY_FAIL(link_gossip_send(g->socket, &to, bytes));
    }
    for (uint32_t i = 0; i < u->control_count; i++) {
        ping_over_control(g, event->now_us, &u->control[i]);
    }
    for (uint32_t i = 0; i < u->change_count; i++) {
        note_change(g, &u->changes[i]);
    }
    if (u->change_count > 0) {
        planner_wake(g->s->planner);
    }
}

enum sh_err gossip_open(struct gossip **out, struct service *s,
                        const struct gossip_options *options, uint64_t now_us, char *why)
{
    struct gossip *g = calloc(1, sizeof *g);
    struct swim_self self = {.addr = to_swim(&options->self),
                             .epoch = (uint32_t)(s->trust.boot_epoch % SWIM_EPOCH_MAX + 1),
                             .capacity = SH_NODES_MAX,
                             .seed = sh_random_u64()};
    memcpy(self.id, s->trust.node, SH_NODE_ID_BYTES);
    size_t size = (swim_bytes(&self) + 63) & ~(size_t)63;
    (void)snprintf(why, LINK_TEXT_MAX + 1, "out of memory");
    if (g == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    g->s = s;
    g->update = malloc(sizeof *g->update);
    g->memory = aligned_alloc(64, size);
    enum sh_err err = g->update == NULL || g->memory == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    if (err == SH_OK) {
        struct link_gossip_options link = {.trust = &s->trust, .listen = options->listen};
        err = link_gossip_open(&link, &g->socket, why);
    }
    if (err != SH_OK) {
        gossip_close(g);
        return err;
    }
    struct sh_arena arena;
    sh_arena_init(&arena, g->memory, size);
    struct swim_config config =
        swim_preset(link_addr_is_loopback(&options->self) ? SWIM_LOCAL : SWIM_LAN);
    g->swim = swim_init(&config, &self, now_us, &arena);
    *out = g;
    return SH_OK;
}

void gossip_close(struct gossip *g)
{
    if (g == NULL) {
        return;
    }
    if (g->socket != NULL) {
        link_gossip_close(g->socket);
    }
    free(g->update);
    free(g->memory);
    free(g);
}

int gossip_fd(const struct gossip *g)
{
    return link_gossip_fd(g->socket);
}

/* ICMP says that nobody listens at an address: whoever we know there is worth a quick look. */
static void closed_port(struct gossip *g, uint64_t now_us, const struct link_addr *addr)
{
    struct swim_addr wanted = to_swim(addr);
    struct swim_member m;
    for (uint32_t place = 0; place < swim_places(g->swim); place++) {
        if (swim_at(g->swim, place, &m) && m.addr.size == wanted.size &&
            memcmp(m.addr.at, wanted.at, wanted.size) == 0 && m.state != SWIM_LEFT) {
            gossip_hint(g, now_us, m.id, SWIM_HINT_REFUSED);
            return;
        }
    }
}

void gossip_turn(struct gossip *g, uint64_t now_us, bool input)
{
    struct link_gossip_event e;
    for (unsigned i = 0; input && i < PACKETS_A_TURN && link_gossip_next(g->socket, now_us, &e);
         i++) {
        if (e.kind == LINK_GOSSIP_DATA) {
            struct swim_event event = {.kind = SWIM_EV_PACKET, .now_us = now_us};
            memcpy(event.packet.node, e.node, SH_NODE_ID_BYTES);
            event.packet.from = to_swim(&e.from);
            event.packet.bytes = e.bytes;
            step(g, &event);
        } else if (e.kind == LINK_GOSSIP_CLOSED) {
            closed_port(g, now_us, &e.from);
        } else {
            char text[SH_ADDR_MAX + 1];
            link_addr_format(&e.from, text);
            journal_warn("gossip plane: %s sends under another cluster secret", text);
        }
    }
    for (unsigned i = 0; i < PACKETS_A_TURN && swim_deadline_us(g->swim) <= now_us; i++) {
        struct swim_event event = {.kind = SWIM_EV_TICK, .now_us = now_us};
        step(g, &event);
    }
}

uint64_t gossip_deadline_us(const struct gossip *g)
{
    return swim_deadline_us(g->swim);
}

void gossip_seed(struct gossip *g, uint64_t now_us, const struct link_addr *addr)
{
    struct swim_addr seed = to_swim(addr);
    for (uint32_t i = 0; i < g->seed_count; i++) {
        if (memcmp(g->seeds[i].at, seed.at, seed.size) == 0) {
            return;
        }
    }
    if (g->seed_count == SWIM_SEEDS_MAX) {
        return; /* enough places to find the cluster at */
    }
    g->seeds[g->seed_count++] = seed;
    struct swim_event event = {.kind = SWIM_EV_JOIN, .now_us = now_us};
    event.join.addrs = g->seeds;
    event.join.count = g->seed_count;
    step(g, &event);
}

void gossip_tell_self(struct gossip *g, uint64_t now_us)
{
    uint8_t bytes[WIRE_NODE_BYTES_MAX];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    wire_node_encode(&g->s->self, &w);
    SH_CHECK(!w.full);
    struct swim_event event = {.kind = SWIM_EV_SET_META, .now_us = now_us};
    event.meta = (struct sh_span){.at = bytes, .size = w.used};
    step(g, &event);
    SH_CHECK(g->update->err == SH_OK);
    publish(g, g->s->trust.node, false);
}

void gossip_tell_rtt(struct gossip *g)
{
    struct swim_member m;
    for (uint32_t place = 1; place < swim_places(g->swim); place++) {
        if (swim_at(g->swim, place, &m) && m.rtt_us != 0) {
            members_set_rtt(g->s->members, m.id, at_most_u32(m.rtt_mid_us),
                            at_most_u32(m.rtt_high_us));
        }
    }
}

void gossip_hint(struct gossip *g, uint64_t now_us, const uint8_t node[SH_NODE_ID_BYTES],
                 enum swim_hint hint)
{
    struct swim_event event = {.kind = SWIM_EV_HINT, .now_us = now_us};
    memcpy(event.hint.node, node, SH_NODE_ID_BYTES);
    event.hint.hint = hint;
    step(g, &event);
}

void gossip_control(struct gossip *g, uint64_t now_us, const uint8_t node[SH_NODE_ID_BYTES],
                    struct sh_span bytes)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    uint8_t op = sh_get_u8(&r);
    uint32_t number = sh_get_u32(&r);
    if (r.bad) {
        return;
    }
    if (op == OP_PING) {
        uint8_t reply[5];
        struct sh_writer w = sh_writer_over(reply, sizeof reply);
        sh_put_u8(&w, OP_PONG);
        sh_put_u32(&w, number);
        SH_MAY_FAIL(send_control(g, now_us, node, reply, w.used)); /* the asker has a deadline */
    } else if (op == OP_PONG) {
        struct swim_event event = {.kind = SWIM_EV_CONTROL_PONG, .now_us = now_us};
        memcpy(event.pong.node, node, SH_NODE_ID_BYTES);
        event.pong.number = number;
        step(g, &event);
    }
}

void gossip_leave(struct gossip *g, uint64_t now_us)
{
    struct swim_event event = {.kind = SWIM_EV_LEAVE, .now_us = now_us};
    step(g, &event);
}

bool gossip_has_left(const struct gossip *g)
{
    return swim_has_left(g->swim);
}
