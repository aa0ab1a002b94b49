/* SPDX-License-Identifier: Apache-2.0 */
#include "net.h"
#include "base/rng.h"
#include "tst.h"

#include <stdlib.h>
#include <string.h>

enum { NET_EVENTS_MAX = 1 << 18, NET_CAPACITY = NET_NODES_MAX + 32 };

static const uint64_t START_US = 100000000;

enum net_kind { NET_PACKET, NET_PONG, NET_TICK }; /* the socket is drained before a tick */

struct net_event {
    uint64_t at_us;
    enum net_kind kind;
    uint64_t order;
    uint32_t node;
    uint32_t life; /* of node: events of an earlier life are lost with it */
    uint32_t from;
    uint32_t number;
    uint32_t size;
    uint8_t *bytes;
};

struct net_node {
    void *memory;
    struct swim *swim;
    uint32_t epoch;
    bool up;
    uint32_t side;
    bool deaf;
    uint64_t paused_until_us;
    uint64_t tick_us; /* of the tick in the heap; 0: none */
};

struct net {
    struct net_config config;
    struct sh_rng rng;
    uint64_t now_us;
    uint64_t order;
    uint64_t digest;
    uint64_t packets;
    uint64_t bytes;
    uint32_t false_deaths;
    uint64_t first_us[SWIM_LEFT + 1][NET_NODES_MAX];
    struct net_node node[NET_NODES_MAX];
    struct net_event *heap;
    uint32_t count;
    struct swim_update update;
};

static bool is_before(const struct net_event *a, const struct net_event *b)
{
    if (a->at_us != b->at_us) {
        return a->at_us < b->at_us;
    }
    bool a_tick = a->kind == NET_TICK;
    bool b_tick = b->kind == NET_TICK;
    return a_tick != b_tick ? b_tick : a->order < b->order;
}

static void push(struct net *net, struct net_event e)
{
    EXPECT(net->count < NET_EVENTS_MAX);
    e.order = net->order++;
    uint32_t at = net->count++;
    while (at > 0 && is_before(&e, &net->heap[(at - 1) / 2])) {
        net->heap[at] = net->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    net->heap[at] = e;
}

static struct net_event pop(struct net *net)
{
    struct net_event top = net->heap[0];
    struct net_event last = net->heap[--net->count];
    uint32_t at = 0;
    for (uint32_t child = 1; child < net->count; child = 2 * at + 1) {
        if (child + 1 < net->count && is_before(&net->heap[child + 1], &net->heap[child])) {
            child++;
        }
        if (!is_before(&net->heap[child], &last)) {
            break;
        }
        net->heap[at] = net->heap[child];
        at = child;
    }
    net->heap[at] = last;
    return top;
}

static void id_of(uint32_t node, uint8_t *id)
{
    for (uint32_t i = 0; i < SH_NODE_ID_BYTES; i++) {
        id[i] = (uint8_t)sh_mix64(node * 100ul + i);
    }
}

static uint32_t node_of(const struct net *net, const uint8_t *id)
{
    for (uint32_t i = 0; i < net->config.nodes; i++) {
        uint8_t other[SH_NODE_ID_BYTES];
        id_of(i, other);
        if (memcmp(other, id, sizeof other) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

static struct swim_addr addr_of(uint32_t node)
{
    return (struct swim_addr){.size = 2, .at = {(uint8_t)node, (uint8_t)(node >> 8)}};
}

static bool can_hear(const struct net *net, uint32_t from, uint32_t to)
{
    const struct net_node *a = &net->node[from];
    const struct net_node *b = &net->node[to];
    return to < net->config.nodes && b->up && !b->deaf && a->side == b->side;
}

static uint64_t trip(struct net *net)
{
    return 250 + sh_rng_below(&net->rng, net->config.jitter_us + 1);
}

static void post(struct net *net, uint32_t from, const struct swim_send *send)
{
    uint32_t to = send->to.at[0] | (uint32_t)send->to.at[1] << 8;
    uint32_t copies = sh_rng_chance(&net->rng, net->config.repeat_permille, 1000) ? 2 : 1;
    net->packets++;
    net->bytes += send->size;
    net->digest = sh_mix64(net->digest ^ sh_hash64(from, send->bytes, send->size));
    for (uint32_t i = 0; i < copies; i++) {
        bool lost = sh_rng_chance(&net->rng, net->config.loss_permille, 1000);
        if (lost || !can_hear(net, from, to)) {
            continue;
        }
        struct net_event e = {.kind = NET_PACKET, .node = to, .from = from, .size = send->size};
        e.at_us = net->now_us + trip(net);
        e.life = net->node[to].epoch;
        e.bytes = malloc(send->size);
        EXPECT(e.bytes != NULL);
        memcpy(e.bytes, send->bytes, send->size);
        push(net, e);
    }
}

static void note_change(struct net *net, const struct swim_change *change)
{
    uint32_t about = node_of(net, change->id);
    EXPECT(about < net->config.nodes);
    EXPECT(change->now != SWIM_ABSENT);
    net->digest = sh_mix64(net->digest ^ (uint64_t)change->now << 32 ^ about ^ net->now_us << 8);
    if (net->first_us[change->now][about] == 0) {
        net->first_us[change->now][about] = net->now_us;
    }
    const struct net_node *node = &net->node[about];
    if (change->now == SWIM_DEAD && node->up && net->now_us >= node->paused_until_us) {
        net->false_deaths++;
    }
}

static void arm(struct net *net, uint32_t at)
{
    struct net_node *node = &net->node[at];
    uint64_t due = swim_deadline_us(node->swim);
    EXPECT(due != UINT64_MAX);
    due = due < net->now_us ? net->now_us : due;
    if (node->tick_us == 0 || due < node->tick_us) {
        node->tick_us = due;
        push(net,
             (struct net_event){.kind = NET_TICK, .at_us = due, .node = at, .life = node->epoch});
    }
}

static void step(struct net *net, uint32_t at, struct swim_event event)
{
    struct net_node *node = &net->node[at];
    struct swim_update *update = &net->update;
    event.now_us = net->now_us;
    swim_step(node->swim, &event, update);
    if (net->order % 64 == 0) {
        swim_check(node->swim);
    }
    EXPECT_EQ(update->err, SH_OK);
    for (uint32_t i = 0; i < update->change_count; i++) {
        note_change(net, &update->changes[i]);
    }
    for (uint32_t i = 0; i < update->send_count; i++) {
        post(net, at, &update->sends[i]);
    }
    for (uint32_t i = 0; i < update->control_count; i++) {
        uint32_t about = node_of(net, update->control[i].node);
        if (net->config.control && can_hear(net, at, about) && can_hear(net, about, at)) {
            uint64_t resume = net->node[about].paused_until_us;
            uint64_t from = resume > net->now_us ? resume : net->now_us;
            push(net, (struct net_event){.kind = NET_PONG,
                                         .at_us = from + 1000,
                                         .node = at,
                                         .life = node->epoch,
                                         .from = about,
                                         .number = update->control[i].number});
        }
    }
    arm(net, at);
}

struct net *net_new(const struct net_config *config)
{
    struct net *net = calloc(1, sizeof *net);
    EXPECT(net != NULL);
    EXPECT(config->nodes <= NET_NODES_MAX);
    net->config = *config;
    net->now_us = START_US;
    net->heap = calloc(NET_EVENTS_MAX, sizeof *net->heap);
    EXPECT(net->heap != NULL);
    sh_rng_init(&net->rng, config->seed);
    return net;
}

void net_free(struct net *net)
{
    while (net->count > 0) {
        struct net_event e = pop(net);
        free(e.bytes);
    }
    for (uint32_t i = 0; i < net->config.nodes; i++) {
        free(net->node[i].memory);
    }
    free(net->heap);
    free(net);
}

void net_start(struct net *net, uint32_t at, uint32_t seed)
{
    struct net_node *node = &net->node[at];
    EXPECT(!node->up);
    free(node->memory);
    node->epoch++;
    node->up = true;
    node->paused_until_us = 0;
    node->tick_us = 0;
    struct swim_self self = {.addr = addr_of(at),
                             .epoch = node->epoch,
                             .capacity = NET_CAPACITY,
                             .seed = sh_rng_u64(&net->rng)};
    id_of(at, self.id);
    struct sh_arena arena;
    size_t bytes = (swim_bytes(&self) + 63) / 64 * 64;
    node->memory = aligned_alloc(64, bytes);
    EXPECT(node->memory != NULL);
    sh_arena_init(&arena, node->memory, bytes);
    node->swim = swim_init(&net->config.swim, &self, net->now_us, &arena);
    struct swim_addr addr = addr_of(seed);
    struct swim_event join = {.kind = SWIM_EV_JOIN};
    join.join.addrs = &addr;
    join.join.count = seed == UINT32_MAX ? 0 : 1;
    step(net, at, join);
}

void net_crash(struct net *net, uint32_t node)
{
    EXPECT(net->node[node].up);
    net->node[node].up = false;
}

void net_pause(struct net *net, uint32_t node, uint64_t for_us)
{
    net->node[node].paused_until_us = net->now_us + for_us;
}

void net_leave(struct net *net, uint32_t node)
{
    step(net, node, (struct swim_event){.kind = SWIM_EV_LEAVE});
}

void net_hint(struct net *net, uint32_t at, uint32_t about, enum swim_hint hint)
{
    struct swim_event event = {.kind = SWIM_EV_HINT};
    id_of(about, event.hint.node);
    event.hint.hint = hint;
    step(net, at, event);
}

void net_set_meta(struct net *net, uint32_t node, const char *text)
{
    struct swim_event event = {.kind = SWIM_EV_SET_META};
    event.meta = (struct sh_span){.at = (const uint8_t *)text, .size = strlen(text)};
    step(net, node, event);
}

void net_set_side(struct net *net, uint32_t node, uint32_t side)
{
    net->node[node].side = side;
}

void net_set_deaf(struct net *net, uint32_t node, bool deaf)
{
    net->node[node].deaf = deaf;
}

static void deliver(struct net *net, const struct net_event *e)
{
    struct swim_event event = {.kind = SWIM_EV_PACKET};
    if (e->kind == NET_PACKET) {
        id_of(e->from, event.packet.node);
        event.packet.from = addr_of(e->from);
        event.packet.bytes = (struct sh_span){.at = e->bytes, .size = e->size};
    } else {
        event.kind = SWIM_EV_CONTROL_PONG;
        id_of(e->from, event.pong.node);
        event.pong.number = e->number;
    }
    step(net, e->node, event);
}

static void one_event(struct net *net)
{
    struct net_event e = pop(net);
    struct net_node *node = &net->node[e.node];
    net->now_us = e.at_us;
    bool lost = !node->up || e.life != node->epoch;
    if (!lost &&
        node->paused_until_us > net->now_us) { /* waits in the socket of a stopped process */
        e.at_us = node->paused_until_us;
        push(net, e);
        return;
    }
    if (!lost && e.kind == NET_TICK) {
        if (e.at_us >= node->tick_us) { /* else an earlier one took its place */
            node->tick_us = 0;
            step(net, e.node, (struct swim_event){.kind = SWIM_EV_TICK});
        }
    } else if (!lost) {
        deliver(net, &e);
    }
    free(e.bytes);
}

void net_run(struct net *net, uint64_t for_us)
{
    uint64_t end = net->now_us + for_us;
    while (net->count > 0 && net->heap[0].at_us <= end) {
        one_event(net);
    }
    net->now_us = end;
}

bool net_run_until(struct net *net, bool (*want)(struct net *net), uint64_t limit_us)
{
    uint64_t end = net->now_us + limit_us;
    while (net->now_us < end) {
        if (want(net)) {
            return true;
        }
        net_run(net, 10000);
    }
    return false;
}

uint64_t net_now_us(const struct net *net)
{
    return net->now_us;
}

const struct swim *net_swim(const struct net *net, uint32_t node)
{
    return net->node[node].swim;
}

bool net_is_up(const struct net *net, uint32_t node)
{
    return net->node[node].up;
}

uint32_t net_nodes(const struct net *net)
{
    return net->config.nodes;
}

enum swim_state net_view(const struct net *net, uint32_t at, uint32_t about)
{
    uint8_t id[SH_NODE_ID_BYTES];
    struct swim_member member;
    id_of(about, id);
    return swim_find(net->node[at].swim, id, &member) ? member.state : SWIM_ABSENT;
}

bool net_is_equal(struct net *net)
{
    const struct swim *first = NULL;
    for (uint32_t i = 0; i < net->config.nodes; i++) {
        const struct net_node *node = &net->node[i];
        if (!node->up) {
            continue;
        }
        first = first == NULL ? node->swim : first;
        if (swim_fingerprint(node->swim) != swim_fingerprint(first)) {
            return false;
        }
    }
    return true;
}

bool net_is_converged(struct net *net)
{
    uint32_t up = 0;
    for (uint32_t i = 0; i < net->config.nodes; i++) {
        up += net->node[i].up ? 1 : 0;
    }
    for (uint32_t i = 0; i < net->config.nodes; i++) {
        if (!net->node[i].up) {
            continue;
        }
        struct swim_counts counts = swim_counts(net->node[i].swim);
        if (counts.alive != up || counts.suspect != 0) {
            return false;
        }
    }
    return net_is_equal(net);
}

uint32_t net_false_deaths(struct net *net)
{
    uint32_t count = net->false_deaths;
    net->false_deaths = 0;
    return count;
}

uint64_t net_first_us(const struct net *net, enum swim_state state, uint32_t about)
{
    return net->first_us[state][about];
}

uint64_t net_packets(const struct net *net)
{
    return net->packets;
}

uint64_t net_bytes(const struct net *net)
{
    return net->bytes;
}

uint64_t net_digest(const struct net *net)
{
    return net->digest;
}
