/* SPDX-License-Identifier: Apache-2.0
 *
 * Who answers: ping at 0, r and 2r; at 3r ask k others and the control plane; at the end of the
 * (stretched) period without any answer, accuse. */
#include "swim/state.h"

void swim_health_add(struct swim *s, int32_t change)
{
    int64_t health = (int64_t)s->health + change;
    health = health < 0 ? 0 : health;
    s->health = health > (int64_t)SWIM_HEALTH_MAX ? SWIM_HEALTH_MAX : (uint32_t)health;
}

static uint64_t period(const struct swim *s)
{
    return s->config.period_us * (s->health + 1);
}

static void ping(struct swim *s, uint32_t row, uint32_t seq)
{
    struct swim_out out = swim_out_to(s, SWIM_PING, row);
    out.seq = seq;
    memcpy(out.target, s->row[row].id, SH_NODE_ID_BYTES);
    swim_out_push(s, &out);
}

static void probe_ping(struct swim *s, struct swim_probe *p)
{
    p->pings++;
    p->next_us = s->now_us + (p->fast ? s->config.fast_us : s->config.retransmit_us);
    ping(s, p->row, p->seq);
}

static struct swim_probe *probe_of(struct swim *s, uint32_t row)
{
    for (uint32_t i = 0; i < SWIM_PROBES; i++) {
        if (s->probe[i].used && s->probe[i].row == row) {
            return &s->probe[i];
        }
    }
    return NULL;
}

static void probe_begin(struct swim *s, uint32_t row, bool fast)
{
    for (uint32_t i = 0; i < SWIM_PROBES; i++) {
        struct swim_probe *p = &s->probe[i];
        if (!p->used) {
            *p = (struct swim_probe){.used = true, .fast = fast, .row = row};
            p->seq = swim_seq(s);
            p->start_us = s->now_us;
            p->deadline_us = s->now_us + period(s) * 96 / 100;
            s->stats.probes++;
            probe_ping(s, p);
            return;
        }
    }
}

static void ask_others(struct swim *s, struct swim_probe *p)
{
    uint32_t helper[16];
    uint32_t want = s->config.helpers < SH_COUNT(helper) ? s->config.helpers : SH_COUNT(helper);
    uint32_t count = swim_pick(s, want, p->row, helper);
    for (uint32_t i = 0; i < count; i++) {
        if (s->row[helper[i]].state != SWIM_ALIVE) {
            continue;
        }
        struct swim_out out = swim_out_to(s, SWIM_PING_REQ, helper[i]);
        out.seq = p->seq;
        out.addr = s->row[p->row].addr;
        memcpy(out.target, s->row[p->row].id, SH_NODE_ID_BYTES);
        swim_out_push(s, &out);
        p->nacks_expected++;
    }
    if (s->control_count < SH_COUNT(s->control)) {
        struct swim_control *control = &s->control[s->control_count++];
        memcpy(control->node, s->row[p->row].id, SH_NODE_ID_BYTES);
        control->number = p->seq;
    }
    p->asked = true;
    p->next_us = p->deadline_us;
}

static void probe_failed(struct swim *s, struct swim_probe *p)
{
    uint32_t row = p->row;
    p->used = false;
    s->stats.probes_failed++;
    if (!p->fast) {
        /* Helpers that heard the question and got no answer either speak for this machine. */
        int32_t missed = (int32_t)p->nacks_expected - (int32_t)p->nacks;
        swim_health_add(s, p->nacks_expected > 0 ? missed : 1);
    }
    swim_accuse(s, row);
}

static void probe_advance(struct swim *s, struct swim_probe *p)
{
    while (p->used && s->now_us >= p->next_us) {
        if (p->pings < (p->fast ? 2u : 3u)) {
            probe_ping(s, p);
        } else if (p->fast || p->asked) {
            probe_failed(s, p);
        } else {
            ask_others(s, p);
        }
    }
}

/* Every member once, then in another order. */
static uint32_t next_in_order(struct swim *s)
{
    if (s->order_next >= s->order_count) {
        s->order_next = 0;
        for (uint32_t i = s->order_count; i > 1; i--) {
            uint32_t k = (uint32_t)sh_rng_below(&s->rng, i);
            uint32_t moved = s->order[i - 1];
            s->order[i - 1] = s->order[k];
            s->order[k] = moved;
        }
        for (uint32_t i = 0; i < s->order_count; i++) {
            s->row[s->order[i]].order_at = i;
        }
    }
    return s->order[s->order_next++];
}

static void relay_tick(struct swim *s)
{
    for (uint32_t i = 0; i < SWIM_RELAYS; i++) {
        struct swim_relay *relay = &s->relay[i];
        if (relay->used && !relay->nacked && s->now_us >= relay->nack_us) {
            struct swim_out out = swim_out_at(SWIM_NACK, &relay->asker, SWIM_NONE);
            out.seq = relay->asker_seq;
            swim_out_push(s, &out);
            relay->nacked = true;
        }
        relay->used = relay->used && s->now_us < relay->end_us;
    }
}

void swim_probe_tick(struct swim *s)
{
    for (uint32_t i = 0; i < SWIM_PROBES; i++) {
        probe_advance(s, &s->probe[i]);
    }
    relay_tick(s);
    if (s->now_us >= s->probe_us && !s->leaving && s->order_count > 0) {
        uint32_t row = next_in_order(s);
        if (probe_of(s, row) == NULL) {
            probe_begin(s, row, false);
        }
        s->probe_us = s->now_us + period(s);
    }
}

uint64_t swim_probe_deadline(const struct swim *s)
{
    uint64_t next = s->leaving || s->order_count == 0 ? UINT64_MAX : s->probe_us;
    for (uint32_t i = 0; i < SWIM_PROBES; i++) {
        const struct swim_probe *p = &s->probe[i];
        next = p->used && p->next_us < next ? p->next_us : next;
    }
    for (uint32_t i = 0; i < SWIM_RELAYS; i++) {
        const struct swim_relay *relay = &s->relay[i];
        if (relay->used) {
            uint64_t at = relay->nacked ? relay->end_us : relay->nack_us;
            next = at < next ? at : next;
        }
    }
    return next;
}

void swim_probe_hint(struct swim *s, uint32_t at, enum swim_hint hint)
{
    bool fast = hint == SWIM_HINT_REFUSED;
    if (s->leaving || s->row[at].state != SWIM_ALIVE) {
        return; /* suspected or buried already */
    }
    struct swim_probe *p = probe_of(s, at);
    if (p == NULL) {
        probe_begin(s, at, fast);
    } else if (fast && !p->fast) {
        p->fast = true;
        p->pings = 0;
        probe_ping(s, p);
    }
}

void swim_probe_cancel(struct swim *s, uint32_t at)
{
    struct swim_probe *p = probe_of(s, at);
    if (p != NULL) {
        p->used = false;
    }
}

static void probe_succeeded(struct swim *s, struct swim_probe *p)
{
    struct swim_row *row = &s->row[p->row];
    if (p->pings == 1) { /* an answer to a repeated ping says nothing about time */
        uint64_t sample = s->now_us - p->start_us + 1;
        uint64_t off = row->rtt_us > sample ? row->rtt_us - sample : sample - row->rtt_us;
        bool first = row->rtt_us == 0;
        row->rtt_dev_us = first ? sample / 2 : (3 * row->rtt_dev_us + off) / 4;
        row->rtt_us = first ? sample : (7 * row->rtt_us + sample) / 8;
        row->rtt_last_us[row->rtt_count++ % SWIM_RTTS] =
            sample < UINT32_MAX ? (uint32_t)sample : UINT32_MAX;
    }
    p->used = false;
    swim_health_add(s, -1);
}

void swim_probe_ack(struct swim *s, uint32_t seq, const struct swim_addr *from)
{
    for (uint32_t i = 0; i < SWIM_PROBES; i++) {
        if (s->probe[i].used && s->probe[i].seq == seq) {
            probe_succeeded(s, &s->probe[i]);
            return;
        }
    }
    for (uint32_t i = 0; i < SWIM_RELAYS; i++) {
        struct swim_relay *relay = &s->relay[i];
        if (relay->used && relay->seq == seq) {
            struct swim_out out = swim_out_at(SWIM_ACK, &relay->asker, SWIM_NONE);
            out.seq = relay->asker_seq;
            swim_out_push(s, &out);
            relay->used = false;
            return;
        }
    }
    if (seq == s->redial_seq) {
        s->redial_seq = 0;
        swim_sync_begin(s, from);
    }
}

void swim_probe_nack(struct swim *s, uint32_t seq)
{
    for (uint32_t i = 0; i < SWIM_PROBES; i++) {
        struct swim_probe *p = &s->probe[i];
        if (p->used && p->seq == seq && p->nacks < p->nacks_expected) {
            p->nacks++;
        }
    }
}

void swim_probe_relay(struct swim *s, const struct swim_packet *packet,
                      const struct swim_addr *asker)
{
    for (uint32_t i = 0; i < SWIM_RELAYS; i++) {
        struct swim_relay *relay = &s->relay[i];
        if (relay->used) {
            continue;
        }
        *relay = (struct swim_relay){.used = true, .asker = *asker, .asker_seq = packet->seq};
        relay->seq = swim_seq(s);
        relay->nack_us = s->now_us + s->config.nack_us;
        relay->end_us = relay->nack_us + s->config.period_us;
        uint32_t row = swim_row_find(s, packet->target);
        struct swim_out out = swim_out_at(SWIM_PING, &packet->addr, row);
        out.seq = relay->seq;
        memcpy(out.target, packet->target, SH_NODE_ID_BYTES);
        swim_out_push(s, &out);
        return;
    }
}
