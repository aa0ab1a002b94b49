/* SPDX-License-Identifier: Apache-2.0 */
#include "swim/swim.h"
#include "swim/state.h"

static const char *const STATE_NAMES[] = {"absent", "alive", "suspect", "dead", "left"};

enum { LEAVE_FANOUT = 8 };

static void *take(struct sh_arena *arena, size_t count, size_t size)
{
    return sh_arena_take(arena, count, size, 64);
}

size_t swim_bytes(const struct swim_self *self)
{
    size_t row = sizeof(struct swim_row) + 3 * sizeof(uint32_t);
    return sizeof(struct swim) + self->capacity * row + sh_map_bytes(self->capacity) +
           SWIM_OUTBOX * sizeof(struct swim_out) + UINT64_C(8) * 64;
}

static void carve(struct swim *s, struct sh_arena *arena)
{
    s->row = take(arena, s->capacity, sizeof *s->row);
    s->free = take(arena, s->capacity, sizeof *s->free);
    s->order = take(arena, s->capacity, sizeof *s->order);
    s->hot = take(arena, s->capacity, sizeof *s->hot);
    s->out = take(arena, SWIM_OUTBOX, sizeof *s->out);
    s->out_ring = sh_ring_of(SWIM_OUTBOX);
    sh_map_init(&s->map, arena, s->capacity);
    for (uint32_t i = s->capacity; i > 0; i--) { /* place 0 is taken first */
        s->free[s->free_count++] = i - 1;
    }
}

static void check_config(const struct swim_config *c)
{
    SH_CHECK(c->period_us >= 1000 && c->gossip_us >= 1000);
    SH_CHECK(c->retransmit_us > 0 && c->nack_us > 0 && c->fast_us > 0);
    SH_CHECK_CMP(3 * c->retransmit_us, <, c->period_us * 96 / 100);
    SH_CHECK(c->suspicion_mult > 0 && c->suspicion_span > 0);
    SH_CHECK(c->redial_us > 0 && c->redial_slow_us > 0 && c->sync_every_us > 0);
    SH_CHECK(c->join_retry_us > 0 && c->stall_us > 0);
    SH_CHECK_CMP(c->share_dead_us, <=, c->forget_dead_us);
}

static uint64_t deadline(const struct swim *s)
{
    uint64_t next = swim_probe_deadline(s);
    uint64_t sync = swim_sync_deadline(s);
    next = sync < next ? sync : next;
    if (s->hot_count > 0 && s->order_count > 0 && s->gossip_us < next) {
        next = s->gossip_us;
    }
    for (uint32_t i = 0; i < s->order_count && s->count[SWIM_SUSPECT] > 0; i++) {
        if (s->row[s->order[i]].state == SWIM_SUSPECT) {
            uint64_t end = swim_suspect_end(s, s->order[i]);
            next = end < next ? end : next;
        }
    }
    if (s->leaving && s->now_us < s->leave_end_us && s->leave_end_us < next) {
        next = s->leave_end_us;
    }
    return next == UINT64_MAX ? next : next + s->skew_us;
}

struct swim *swim_init(const struct swim_config *config, const struct swim_self *self,
                       uint64_t now_us, struct sh_arena *arena)
{
    check_config(config);
    SH_CHECK(self->epoch >= 1 && self->epoch <= SWIM_EPOCH_MAX);
    SH_CHECK(self->capacity >= 2 && self->capacity <= SH_NODES_MAX * 4);
    SH_CHECK(self->addr.size > 0 && self->addr.size <= SWIM_ADDR_BYTES_MAX);
    struct swim *s = take(arena, 1, sizeof *s);
    s->config = *config;
    s->epoch = self->epoch;
    s->capacity = self->capacity;
    s->now_us = now_us;
    s->host_us = now_us;
    sh_rng_init(&s->rng, self->seed);
    carve(s, arena);
    uint32_t at = swim_row_add(s, self->id);
    SH_CHECK_CMP(at, ==, 0);
    s->row[0].addr = self->addr;
    s->row[0].incarnation = (uint64_t)self->epoch << 32;
    s->row[0].since_us = now_us;
    swim_row_set_state(s, 0, SWIM_ALIVE);
    swim_announce(s);
    s->next_seq = (uint32_t)sh_rng_u64(&s->rng);
    s->eager_tokens.us = now_us;
    s->who_tokens.us = now_us;
    s->probe_us = now_us + sh_rng_below(&s->rng, config->period_us);
    s->gossip_us = now_us;
    s->redial_us = now_us + config->redial_us;
    s->sync_us = now_us + sh_rng_between(&s->rng, config->sync_every_us / 2, config->sync_every_us);
    s->sweep_us = now_us;
    s->promised_us = deadline(s);
    return s;
}

static void set_meta(struct swim *s, struct sh_span meta, struct swim_update *update)
{
    if (meta.size > SWIM_META_BYTES_MAX) {
        update->err = SH_ERR_LIMIT;
        return;
    }
    uint64_t first = (uint64_t)s->epoch << 32 | 1;
    uint64_t next = s->row[0].meta_version + 1;
    swim_row_set_meta(s, 0, next > first ? next : first, meta);
}

static void leave(struct swim *s)
{
    if (s->leaving) {
        return;
    }
    s->leaving = true;
    for (uint32_t i = 0; i < SWIM_PROBES; i++) {
        s->probe[i].used = false;
    }
    s->row[0].incarnation++;
    s->row[0].since_us = s->now_us;
    swim_row_set_state(s, 0, SWIM_LEFT);
    swim_row_rehash(s, 0);
    swim_row_claim_hot(s, 0);
    uint32_t to[LEAVE_FANOUT];
    uint32_t count = swim_pick(s, LEAVE_FANOUT, SWIM_NONE, to);
    for (uint32_t i = 0; i < count; i++) {
        struct swim_out out = swim_out_to(s, SWIM_GOSSIP, to[i]);
        out.about = 0;
        swim_out_push(s, &out);
    }
    bool alone = s->order_count == 0;
    s->leave_end_us = s->now_us + (alone ? 0 : s->config.leave_linger_us);
}

static void hint(struct swim *s, const uint8_t *node, enum swim_hint what)
{
    uint32_t at = swim_row_find(s, node);
    if (at != SWIM_NONE && at != 0) {
        swim_probe_hint(s, at, what);
    }
}

static void control_pong(struct swim *s, const uint8_t *node, uint32_t number)
{
    for (uint32_t i = 0; i < SWIM_PROBES; i++) {
        const struct swim_probe *p = &s->probe[i];
        if (p->used && p->seq == number && memcmp(s->row[p->row].id, node, SH_NODE_ID_BYTES) == 0) {
            swim_probe_ack(s, number, &s->row[p->row].addr);
            return;
        }
    }
}

static void tick(struct swim *s)
{
    swim_probe_tick(s);
    swim_expire_suspects(s);
    swim_sync_tick(s);
    swim_gossip_tick(s);
}

static void apply_event(struct swim *s, const struct swim_event *event, struct swim_update *update)
{
    switch (event->kind) {
    case SWIM_EV_TICK:
        tick(s);
        break;
    case SWIM_EV_PACKET:
        swim_receive(s, event->packet.node, &event->packet.from, event->packet.bytes);
        break;
    case SWIM_EV_JOIN:
        swim_sync_join(s, event->join.addrs, event->join.count);
        break;
    case SWIM_EV_SET_META:
        set_meta(s, event->meta, update);
        break;
    case SWIM_EV_LEAVE:
        leave(s);
        break;
    case SWIM_EV_HINT:
        hint(s, event->hint.node, event->hint.hint);
        break;
    case SWIM_EV_CONTROL_PONG:
        control_pong(s, event->pong.node, event->pong.number);
        break;
    }
}

/* A machine that slept has not waited: what it believes about others gets the time it missed. */
static void watch_clock(struct swim *s, uint64_t host_us)
{
    SH_CHECK_CMP(host_us, >=, s->host_us);
    uint64_t awake_us = s->promised_us > s->host_us ? s->promised_us : s->host_us;
    s->host_us = host_us;
    if (host_us > awake_us && host_us - awake_us >= s->config.stall_us) {
        s->skew_us += host_us - awake_us;
        s->stats.stalls++;
        swim_health_add(s, 1);
    }
    s->now_us = host_us - s->skew_us;
}

void swim_step(struct swim *s, const struct swim_event *event, struct swim_update *update)
{
    update->err = SH_OK;
    update->send_count = 0;
    update->change_count = 0;
    update->control_count = 0;
    watch_clock(s, event->now_us);
    apply_event(s, event, update);
    swim_eager(s);
    swim_drain(s, update);
    s->promised_us = s->backlog ? s->host_us : deadline(s);
}

uint64_t swim_deadline_us(const struct swim *s)
{
    return s->backlog ? 0 : s->promised_us;
}

/* The middle one of those that are kept; of two the lower one. 0: there is none. */
static uint64_t middle_rtt(const struct swim_row *row)
{
    uint32_t sorted[SWIM_RTTS];
    uint32_t count = 0;
    while (count < SWIM_RTTS && count < row->rtt_count) {
        uint32_t sample = row->rtt_last_us[count];
        uint32_t at = count++;
        for (; at > 0 && sorted[at - 1] > sample; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = sample;
    }
    return count == 0 ? 0 : sorted[(count - 1) / 2];
}

bool swim_at(const struct swim *s, uint32_t place, struct swim_member *out)
{
    SH_CHECK_CMP(place, <, s->capacity);
    const struct swim_row *row = &s->row[place];
    if (!row->used) {
        return false;
    }
    *out = (struct swim_member){.addr = row->addr,
                                .state = row->state,
                                .incarnation = row->incarnation,
                                .since_us = row->since_us + s->skew_us,
                                .rtt_us = row->rtt_us,
                                .rtt_high_us = row->rtt_us + 4 * row->rtt_dev_us,
                                .rtt_mid_us = middle_rtt(row),
                                .meta_version = row->meta_version,
                                .meta = {.at = row->meta, .size = row->meta_size}};
    memcpy(out->id, row->id, SH_NODE_ID_BYTES);
    return true;
}

bool swim_find(const struct swim *s, const uint8_t node[static SH_NODE_ID_BYTES],
               struct swim_member *out)
{
    uint32_t at = swim_row_find(s, node);
    return at != SWIM_NONE && swim_at(s, at, out);
}

uint32_t swim_places(const struct swim *s)
{
    return s->capacity;
}

struct swim_counts swim_counts(const struct swim *s)
{
    return (struct swim_counts){.alive = s->count[SWIM_ALIVE],
                                .suspect = s->count[SWIM_SUSPECT],
                                .dead = s->count[SWIM_DEAD],
                                .left = s->count[SWIM_LEFT]};
}

struct swim_stats swim_stats(const struct swim *s)
{
    return s->stats;
}

uint64_t swim_fingerprint(const struct swim *s)
{
    return s->fingerprint;
}

uint32_t swim_health(const struct swim *s)
{
    return s->health;
}

bool swim_has_left(const struct swim *s)
{
    return s->leaving && s->now_us >= s->leave_end_us;
}

const char *swim_state_name(enum swim_state state)
{
    SH_CHECK_CMP(state, <, SH_COUNT(STATE_NAMES));
    return STATE_NAMES[state];
}
