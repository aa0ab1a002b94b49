/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/ether.h"

#include "sim/scenario.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *zeroed(size_t count, size_t size)
{
    void *out = calloc(count, size);
    SH_CHECK(out != NULL);
    return out;
}

void sim_ether_init(struct sim_ether *e, uint64_t seed, uint32_t nodes, uint32_t hubs)
{
    SH_CHECK(hubs > 0 && hubs <= nodes);
    *e = (struct sim_ether){.count = nodes, .hubs = hubs, .trace = seed};
    e->net = (struct sim_net_options){.latency_us = 300, .jitter_us = 200, .capacity = 1000};
    sh_rng_init(&e->rng, seed);
    sim_queue_init(&e->queue);
    e->out = zeroed((size_t)hubs * nodes, sizeof *e->out);
    e->in = zeroed((size_t)hubs * nodes, sizeof *e->in);
    e->nodes = zeroed(nodes, sizeof *e->nodes);
}

void sim_ether_fini(struct sim_ether *e)
{
    for (uint32_t i = 0; i < e->count; i++) {
        for (uint32_t k = 0; k < e->nodes[i].held_count; k++) {
            free(e->nodes[i].held[k].body);
        }
        free(e->nodes[i].held);
    }
    sim_queue_fini(&e->queue);
    free(e->out);
    free(e->in);
    free(e->nodes);
    *e = (struct sim_ether){0};
}

void sim_ether_break(struct sim_ether *e, const char *format, ...)
{
    va_list args;
    if (e->broken) {
        return;
    }
    e->broken = true;
    va_start(args, format);
    (void)vsnprintf(e->why, sizeof e->why, format, args);
    va_end(args);
}

void sim_ether_mix(struct sim_ether *e, uint64_t value)
{
    e->trace = sh_mix64(e->trace ^ value);
}

void sim_ether_tell(const struct sim_ether *e, struct sim_verdict *v)
{
    *v = (struct sim_verdict){.held = !e->broken, .time_us = e->now_us, .agents = e->count};
    v->counts.events = e->events;
    v->counts.messages = e->messages;
    v->counts.lost = e->lost;
    v->counts.trace = e->trace;
    memcpy(v->why, e->why, sizeof e->why);
}

/* ---- links ---- */

struct sim_link *sim_ether_link(struct sim_ether *e, uint32_t from, uint32_t to)
{
    SH_CHECK(from != to && from < e->count && to < e->count);
    SH_CHECK(from < e->hubs || to < e->hubs);
    return from < e->hubs ? &e->out[(size_t)from * e->count + to]
                          : &e->in[(size_t)to * e->count + from];
}

bool sim_ether_send(struct sim_ether *e, uint32_t from, uint32_t to, const void *bytes, size_t size)
{
    struct sim_link *link = sim_ether_link(e, from, to);
    struct sim_passage way = sim_link_send(link, &e->net, &e->rng, e->now_us);
    e->messages++;
    e->lost += way.copies == 0;
    for (uint32_t i = 0; i < way.copies; i++) {
        struct sim_parcel *p = malloc(sizeof *p + size);
        SH_CHECK(p != NULL);
        *p = (struct sim_parcel){.from = from, .to = to, .size = (uint32_t)size};
        memcpy(p->bytes, bytes, size);
        sim_queue_push(&e->queue, (struct sim_event){.at = way.at_us[i],
                                                     .who = to,
                                                     .life = e->nodes[to].life,
                                                     .kind = SIM_EV_MESSAGE,
                                                     .body = p});
    }
    return !way.refused;
}

void sim_ether_split(struct sim_ether *e, const bool *side, bool one_way)
{
    for (uint32_t a = 0; a < e->hubs; a++) {
        for (uint32_t b = 0; b < e->count; b++) {
            if (a == b || side[a] == side[b]) {
                continue;
            }
            sim_ether_link(e, a, b)->cut = side[a] || !one_way;
            sim_ether_link(e, b, a)->cut = side[b] || !one_way;
        }
    }
}

static void mend_link(struct sim_link *link)
{
    link->cut = false;
    link->extra_us = 0;
    link->clogged_us = 0;
}

void sim_ether_mend(struct sim_ether *e)
{
    for (size_t i = 0; i < (size_t)e->hubs * e->count; i++) {
        mend_link(&e->out[i]);
        mend_link(&e->in[i]);
    }
}

/* ---- nodes ---- */

void sim_ether_start(struct sim_ether *e, uint32_t node)
{
    struct sim_ether_node *n = &e->nodes[node];
    if (!n->up) {
        n->up = true;
        n->life++;
    }
}

void sim_ether_kill(struct sim_ether *e, uint32_t node)
{
    struct sim_ether_node *n = &e->nodes[node];
    if (!n->up) {
        return;
    }
    for (uint32_t i = 0; i < n->held_count; i++) {
        free(n->held[i].body);
    }
    n->held_count = 0;
    n->up = false;
    n->frozen = false;
    n->life++;
}

void sim_ether_freeze(struct sim_ether *e, uint32_t node)
{
    e->nodes[node].frozen = e->nodes[node].up;
}

void sim_ether_thaw(struct sim_ether *e, uint32_t node)
{
    struct sim_ether_node *n = &e->nodes[node];
    n->frozen = false;
    for (uint32_t i = 0; i < n->held_count; i++) {
        n->held[i].at = e->now_us;
        sim_queue_push(&e->queue, n->held[i]);
    }
    n->held_count = 0;
}

bool sim_ether_runs(const struct sim_ether *e, uint32_t node)
{
    return e->nodes[node].up && !e->nodes[node].frozen;
}

bool sim_ether_reach(struct sim_ether *e, uint32_t a, uint32_t b)
{
    return sim_ether_runs(e, a) && sim_ether_runs(e, b) &&
           (a == b || (!sim_ether_link(e, a, b)->cut && !sim_ether_link(e, b, a)->cut));
}

/* ---- events ---- */

void sim_ether_after(struct sim_ether *e, uint32_t who, uint64_t after_us, uint64_t arg,
                     uint32_t number)
{
    uint32_t life = who == SIM_NOBODY ? 0 : e->nodes[who].life;
    sim_queue_push(&e->queue, (struct sim_event){.at = e->now_us + after_us,
                                                 .who = who,
                                                 .life = life,
                                                 .kind = SIM_EV_WORK,
                                                 .arg = arg,
                                                 .attempt = number});
}

void sim_ether_repeat(struct sim_ether *e, const struct sim_event *event, uint64_t after_us)
{
    const struct sim_parcel *p = event->body;
    struct sim_event again = *event;
    SH_CHECK(event->kind == SIM_EV_MESSAGE);
    again.at = e->now_us + after_us;
    again.body = malloc(sizeof *p + p->size);
    SH_CHECK(again.body != NULL);
    memcpy(again.body, p, sizeof *p + p->size);
    sim_queue_push(&e->queue, again);
}

static void hold(struct sim_ether_node *n, struct sim_event *event)
{
    if (n->held_count == SIM_FROZEN_MAX && event->kind == SIM_EV_MESSAGE) {
        free(event->body); /* its socket buffers are full */
        return;
    }
    if (n->held_count == n->held_room) {
        n->held_room = n->held_room == 0 ? 16 : 2 * n->held_room;
        n->held = realloc(n->held, n->held_room * sizeof *n->held);
        SH_CHECK(n->held != NULL);
    }
    n->held[n->held_count++] = *event;
}

/* False: nothing came of it. */
static bool arrives(struct sim_ether *e, struct sim_event *event)
{
    if (event->who == SIM_NOBODY) {
        return true;
    }
    struct sim_ether_node *n = &e->nodes[event->who];
    if (event->kind == SIM_EV_MESSAGE && event->arg == 0) {
        const struct sim_parcel *p = event->body;
        struct sim_link *link = sim_ether_link(e, p->from, p->to);
        link->on_the_way--;
        event->arg = 1; /* it is off the link, even if it is held here */
        if (link->cut) {
            e->lost++;
            free(event->body);
            return false;
        }
    }
    if (event->life != n->life || !n->up) {
        free(event->body);
        return false;
    }
    if (n->frozen) {
        hold(n, event);
        return false;
    }
    return true;
}

bool sim_ether_next(struct sim_ether *e, struct sim_event *event)
{
    while (!e->broken && sim_queue_pop(&e->queue, event)) {
        SH_CHECK_CMP(event->at, >=, e->now_us);
        e->now_us = event->at;
        if (arrives(e, event)) {
            e->events++;
            sim_ether_mix(e, event->at << 20 ^ (uint64_t)event->who << 8 ^ (uint64_t)event->kind);
            return true;
        }
    }
    return false;
}
