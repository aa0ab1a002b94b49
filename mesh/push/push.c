/* SPDX-License-Identifier: Apache-2.0 */
#include "push/state.h"

#include "base/limits.h"

static uint32_t chunks_of(uint64_t elements, uint32_t chunk_elements)
{
    return (uint32_t)((elements - 1) / chunk_elements + 1);
}

static size_t words_of(const struct push_config *c)
{
    return (chunks_of(c->elements_max, c->chunk_elements) - 1) / 64 + 1;
}

size_t push_bytes(const struct push_config *c)
{
    return sizeof(struct push) + c->members_max * (sizeof(struct push_peer) + sizeof(uint32_t)) +
           c->in_max * words_of(c) * sizeof(uint64_t) + (size_t)(3 + c->in_max) * 64;
}

struct push *push_init(const struct push_config *c, struct sh_arena *arena)
{
    SH_CHECK(c->members_max > 0 && c->members_max <= PUSH_MEMBERS_MAX);
    SH_CHECK(c->chunk_elements > 0);
    SH_CHECK_CMP(c->chunk_elements, <=, SH_BULK_CHUNK_BYTES / PUSH_ELEMENT_BYTES);
    SH_CHECK(c->elements_max > 0);
    SH_CHECK_CMP(c->elements_max / c->chunk_elements, <, UINT32_MAX);
    SH_CHECK(c->window > 0 && c->window <= PUSH_WINDOW_MAX);
    SH_CHECK(c->out_max > 0 && c->out_max <= PUSH_BUFFERS_MAX);
    SH_CHECK(c->in_max > 0 && c->in_max <= PUSH_BUFFERS_MAX);
    SH_CHECK(c->retry_us > 0 && c->retry_us < c->patience_us);
    SH_CHECK_CMP(c->patience_us, <, UINT64_MAX / 2);
    struct push *p = SH_ARENA_TAKE(arena, struct push, 1);
    p->config = *c;
    p->chunks_max = chunks_of(c->elements_max, c->chunk_elements);
    p->shares = SH_ARENA_TAKE(arena, uint32_t, c->members_max);
    p->peers = SH_ARENA_TAKE(arena, struct push_peer, c->members_max);
    for (uint32_t i = 0; i < c->in_max; i++) {
        p->in[i].have = SH_ARENA_TAKE(arena, uint64_t, words_of(c));
    }
    return p;
}

/* ---- for both sides ---- */

struct push_action *push_act(struct push *p, struct push_update *u, enum push_action_kind kind,
                             uint32_t buffer)
{
    SH_CHECK_CMP(u->count, <, PUSH_ACTIONS_MAX);
    struct push_action *a = &u->actions[u->count++];
    *a = (struct push_action){.kind = kind, .buffer = buffer};
    p->counters.sends += kind == PUSH_SEND ? 1 : 0;
    return a;
}

struct push_frame *push_say(struct push *p, struct push_update *u, enum push_frame_kind kind,
                            uint16_t to, uint64_t transfer)
{
    struct push_action *a = push_act(p, u, PUSH_SEND, 0);
    a->to = to;
    a->header = (struct push_frame){
        .kind = kind, .from = (uint16_t)p->me, .generation = p->generation, .transfer = transfer};
    return &a->header;
}

uint32_t push_chunk_count(const struct push *p, uint32_t chunk)
{
    uint64_t offset = (uint64_t)chunk * p->config.chunk_elements;
    uint64_t rest = p->elements - offset;
    return rest < p->config.chunk_elements ? (uint32_t)rest : p->config.chunk_elements;
}

/* ---- generations ---- */

static void mint(struct push *p)
{
    if (!p->minted) {
        p->minted = true;
        p->weight += p->shares[p->me] * PUSH_UNIT;
    }
}

static void start(struct push *p, const struct push_generation *g)
{
    SH_CHECK_CMP(g->generation, >, p->generation);
    SH_CHECK(g->members > 0 && g->members <= p->config.members_max);
    SH_CHECK_CMP(g->me, <, g->members);
    SH_CHECK(g->elements > 0 && g->elements <= p->config.elements_max);
    p->active = true;
    p->generation = g->generation;
    p->members = g->members;
    p->me = g->me;
    p->elements = g->elements;
    p->chunks = chunks_of(g->elements, p->config.chunk_elements);
    p->minted = false;
    p->closed = false;
    p->weight = 0;
    p->absorbed = 0;
    p->given = 0;
    p->next = 1;
    uint64_t shares = 0;
    for (uint32_t i = 0; i < g->members; i++) {
        SH_CHECK_CMP(g->shares[i], >=, 1);
        SH_CHECK_CMP(g->shares[i], <=, PUSH_SHARES_MAX);
        shares += g->shares[i];
        p->shares[i] = g->shares[i];
        p->peers[i] = (struct push_peer){.reachable = true};
    }
    SH_CHECK_CMP(shares, <=, PUSH_SHARES_MAX);
    p->total = shares * PUSH_UNIT;
    for (uint32_t i = 0; i < PUSH_BUFFERS_MAX; i++) {
        p->out[i].stage = PUSH_OUT_FREE;
        p->in[i].stage = PUSH_IN_FREE;
    }
    if (g->has_state) {
        mint(p);
    }
}

static void stop(struct push *p)
{
    p->active = false;
    for (uint32_t i = 0; i < PUSH_BUFFERS_MAX; i++) {
        p->out[i].stage = PUSH_OUT_FREE;
        p->in[i].stage = PUSH_IN_FREE;
    }
}

/* ---- ticks ---- */

static bool is_target(const struct push *p, uint32_t member)
{
    const struct push_peer *peer = &p->peers[member];
    return member == p->me || (peer->reachable && !peer->closed && !peer->gone);
}

/* One without a state, which waits for it. The member itself: there is none. */
static uint32_t find_empty(const struct push *p)
{
    for (uint32_t i = 0; i < p->members; i++) {
        if (i != p->me && is_target(p, i) && p->peers[i].empty && !push_gives_to(p, i)) {
            return i;
        }
    }
    return p->me;
}

/* The member itself: there is nobody. */
static uint32_t find_target(const struct push *p, uint64_t tick)
{
    uint32_t count = 0;
    uint32_t place = 0; /* of this member among those */
    for (uint32_t i = 0; i < p->members; i++) {
        place += i < p->me && is_target(p, i) ? 1 : 0;
        count += is_target(p, i) ? 1 : 0;
    }
    if (count < 2) {
        return p->me;
    }
    uint32_t hops = 1;
    while ((UINT32_C(1) << hops) < count) {
        hops++;
    }
    uint32_t wanted = (place + (UINT32_C(1) << (tick % hops))) % count;
    uint32_t i = 0;
    for (;; i++) {
        if (is_target(p, i) && wanted-- == 0) {
            return i;
        }
    }
}

static enum push_tick tick(struct push *p, uint64_t number, uint64_t mark, struct push_update *u)
{
    if (!p->minted) {
        return PUSH_TICK_EMPTY;
    }
    uint32_t to = find_empty(p);
    bool hands_in = to == p->me && p->closed;
    if (hands_in) {
        to = p->heir;
    } else if (to == p->me) {
        to = find_target(p, number);
    }
    if (to == p->me || !is_target(p, to)) {
        return PUSH_TICK_ALONE;
    }
    if (push_gives_to(p, to)) {
        return PUSH_TICK_BUSY;
    }
    uint64_t part = hands_in ? p->weight : p->weight / 2;
    uint64_t least = p->shares[p->me] * PUSH_UNIT / PUSH_LEAST;
    if (part == 0 || (!hands_in && p->weight < least)) {
        return PUSH_TICK_LIGHT;
    }
    return push_give(p, to, part, mark, u);
}

/* ---- frames ---- */

static enum push_verdict hear(struct push *p, uint16_t from, const struct push_frame *f,
                              struct push_update *u)
{
    if (from >= p->members || from == p->me || f->from != from || f->transfer == 0) {
        return PUSH_INVALID;
    }
    if (p->peers[from].gone) {
        return PUSH_OLD;
    }
    switch (f->kind) {
    case PUSH_FRAME_OFFER:
    case PUSH_FRAME_DATA:
    case PUSH_FRAME_GIVE:
    case PUSH_FRAME_VOID:
        return push_hear_giver(p, from, f, u);
    case PUSH_FRAME_ASK:
    case PUSH_FRAME_TAKE:
    case PUSH_FRAME_TAKEN:
    case PUSH_FRAME_RETURN:
        return push_hear_taker(p, from, f, u);
    }
    return PUSH_INVALID;
}

static enum push_verdict judge(struct push *p, uint16_t from, const struct push_frame *f,
                               struct push_update *u)
{
    if (f->generation > p->generation) {
        return PUSH_EARLY;
    }
    return p->active && f->generation == p->generation ? hear(p, from, f, u) : PUSH_OLD;
}

/* ---- what the host did ---- */

static void absorbed(struct push *p, uint32_t buffer)
{
    SH_CHECK_CMP(buffer, <, p->config.in_max);
    struct push_in *in = &p->in[buffer];
    SH_CHECK(in->stage == PUSH_IN_HELD);
    in->stage = PUSH_IN_FREE;
    p->weight += in->weight;
    p->absorbed += in->weight;
    p->counters.absorbed++;
    mint(p);
}

static void restored(struct push *p, uint32_t buffer)
{
    SH_CHECK_CMP(buffer, <, p->config.out_max);
    struct push_out *out = &p->out[buffer];
    SH_CHECK(out->stage == PUSH_OUT_BACK);
    out->stage = PUSH_OUT_FREE;
    p->weight += out->weight;
    p->counters.restored++;
}

/* ---- what the host knows of others ---- */

static void reach(struct push *p, uint32_t member, bool reachable, bool empty,
                  struct push_update *u)
{
    SH_CHECK_CMP(member, <, p->members);
    SH_CHECK_CMP(member, !=, p->me);
    struct push_peer *peer = &p->peers[member];
    peer->empty = empty;
    if (peer->reachable && !reachable) {
        push_recall(p, member, false, u);
    }
    peer->reachable = reachable;
}

static void gone(struct push *p, uint32_t member, struct push_update *u)
{
    SH_CHECK_CMP(member, <, p->members);
    SH_CHECK_CMP(member, !=, p->me);
    p->peers[member].gone = true;
    push_recall(p, member, true, u);
    push_drop(p, member);
}

static void run_timers(struct push *p, struct push_update *u)
{
    for (uint32_t i = 0; i < PUSH_BUFFERS_MAX; i++) {
        push_out_timer(p, i, u);
        push_in_timer(p, i, u);
    }
}

static void close_to(struct push *p, uint32_t heir, struct push_update *u)
{
    SH_CHECK_CMP(heir, <, p->members);
    p->closed = true;
    p->heir = heir;
    if (heir != p->me) {
        push_refuse(p, u);
    }
}

void push_step(struct push *p, const struct push_event *e, struct push_update *u)
{
    SH_CHECK_CMP(e->now_us, >=, p->now_us);
    p->now_us = e->now_us;
    u->verdict = PUSH_NONE;
    u->tick = PUSH_TICK_NONE;
    u->count = 0;
    if (e->kind == PUSH_EV_START) {
        start(p, &e->start);
        return;
    }
    if (e->kind == PUSH_EV_FRAME) {
        u->verdict = judge(p, e->frame.from, &e->frame.header, u);
        p->counters.frames[u->verdict]++;
        return;
    }
    if (!p->active) {
        return;
    }
    switch (e->kind) {
    case PUSH_EV_START:
    case PUSH_EV_FRAME:
        break;
    case PUSH_EV_LOADED:
        mint(p);
        break;
    case PUSH_EV_TICK:
        u->tick = tick(p, e->tick.number, e->tick.mark, u);
        p->counters.ticks[u->tick]++;
        break;
    case PUSH_EV_CLOSE:
        close_to(p, e->close, u);
        break;
    case PUSH_EV_ABSORBED:
        absorbed(p, e->buffer);
        break;
    case PUSH_EV_RESTORED:
        restored(p, e->buffer);
        break;
    case PUSH_EV_REACH:
        reach(p, e->reach.member, e->reach.reachable, e->reach.empty, u);
        break;
    case PUSH_EV_GONE:
        gone(p, e->gone, u);
        break;
    case PUSH_EV_STOP:
        stop(p);
        break;
    case PUSH_EV_TIMER:
        run_timers(p, u);
        break;
    }
}

/* ---- looking ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t push_deadline_us(const struct push *p)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t i = 0; i < PUSH_BUFFERS_MAX; i++) {
        const struct push_out *out = &p->out[i];
        const struct push_in *in = &p->in[i];
        if (out->stage == PUSH_OUT_OFFERED) {
            at = earlier(at, earlier(out->retry_us, out->until_us));
        } else if (out->stage == PUSH_OUT_GIVEN) {
            at = earlier(at, out->retry_us);
        }
        if (in->stage == PUSH_IN_FILLING || in->stage == PUSH_IN_WHOLE) {
            at = earlier(at, earlier(in->retry_us, in->until_us));
        }
    }
    return at;
}

uint64_t push_weight(const struct push *p)
{
    return p->weight;
}

uint64_t push_total(const struct push *p)
{
    return p->total;
}

bool push_has_state(const struct push *p)
{
    return p->minted;
}

bool push_is_giving(const struct push *p, uint32_t buffer, uint64_t transfer)
{
    return buffer < PUSH_BUFFERS_MAX && p->out[buffer].stage == PUSH_OUT_OFFERED &&
           p->out[buffer].transfer == transfer;
}

uint32_t push_open(const struct push *p)
{
    uint32_t open = 0;
    for (uint32_t i = 0; i < PUSH_BUFFERS_MAX; i++) {
        open += p->out[i].stage != PUSH_OUT_FREE ? 1 : 0;
    }
    return open;
}

struct push_spread push_spread(const struct push *p)
{
    struct push_spread s = {.least_ppm = UINT64_MAX};
    for (uint32_t i = 0; i < p->members; i++) {
        const struct push_peer *peer = &p->peers[i];
        bool told = i == p->me ? p->minted : peer->has_told && !peer->gone;
        if (told) {
            uint64_t weight = i == p->me ? p->weight : peer->told;
            uint64_t ppm = weight / p->shares[i] / (PUSH_UNIT / 1000000);
            s.members++;
            s.least_ppm = earlier(s.least_ppm, ppm);
            s.most_ppm = ppm > s.most_ppm ? ppm : s.most_ppm;
        }
    }
    return s;
}

struct push_counters push_counters(const struct push *p)
{
    return p->counters;
}
