/* SPDX-License-Identifier: Apache-2.0
 *
 * What is told to whom. Packets wait as orders and are filled when they leave, so that each carries
 * the newest claims: first what the receiver itself must hear, then the least told. */
#include "swim/scale.h"
#include "swim/state.h"

enum {
    CLAIM_BYTES_MIN = 35, /* no claim is shorter: stop looking for one that fits */
    CLAIMS_MAX = 255,
    EAGER_BURST = 10,
    EAGER_EVERY_US = 200000,
};

bool swim_addr_equal(const struct swim_addr *a, const struct swim_addr *b)
{
    return a->size == b->size && memcmp(a->at, b->at, a->size) == 0;
}

uint32_t swim_seq(struct swim *s)
{
    s->next_seq++;
    s->next_seq += s->next_seq == 0 ? 1 : 0;
    return s->next_seq;
}

bool swim_tokens_take(struct swim_tokens *t, uint64_t now_us, uint64_t every_us, uint32_t burst)
{
    uint64_t gained = (now_us - t->us) / every_us;
    t->us += gained * every_us;
    t->count = gained > burst - t->count ? burst : t->count + (uint32_t)gained;
    if (t->count == 0) {
        return false;
    }
    t->count--;
    return true;
}

struct swim_out swim_out_at(enum swim_packet_type type, const struct swim_addr *to, uint32_t row)
{
    return (struct swim_out){.type = type, .to = *to, .row = row, .about = SWIM_NONE};
}

struct swim_out swim_out_to(const struct swim *s, enum swim_packet_type type, uint32_t row)
{
    SH_CHECK(s->row[row].used);
    return swim_out_at(type, &s->row[row].addr, row);
}

void swim_out_push(struct swim *s, const struct swim_out *out)
{
    if (sh_ring_full(&s->out_ring)) {
        s->stats.dropped++;
        return;
    }
    s->out[sh_ring_push(&s->out_ring)] = *out;
}

void swim_gossip_to(struct swim *s, uint32_t fanout)
{
    uint32_t to[16];
    fanout = fanout < SH_COUNT(to) ? fanout : SH_COUNT(to);
    uint32_t count = swim_pick(s, fanout, SWIM_NONE, to);
    for (uint32_t i = 0; i < count; i++) {
        struct swim_out out = swim_out_to(s, SWIM_GOSSIP, to[i]);
        swim_out_push(s, &out);
    }
}

void swim_gossip_tick(struct swim *s)
{
    if (s->hot_count > 0 && s->now_us >= s->gossip_us) {
        s->gossip_us = s->now_us + s->config.gossip_us;
        swim_gossip_to(s, s->config.gossip_fanout);
    }
}

void swim_eager(struct swim *s)
{
    if (s->eager && swim_tokens_take(&s->eager_tokens, s->now_us, EAGER_EVERY_US, EAGER_BURST)) {
        swim_gossip_to(s, s->config.eager_fanout);
    }
    s->eager = false;
}

struct swim_claim swim_claim_of(const struct swim *s, uint32_t at, bool with_meta)
{
    const struct swim_row *row = &s->row[at];
    SH_CHECK(row->used && row->state != SWIM_ABSENT);
    struct swim_claim claim = {.state = row->state,
                               .incarnation = row->incarnation,
                               .addr = row->addr,
                               .meta_version = row->meta_version,
                               .accusers = row->accusers,
                               .has_meta = with_meta && row->meta_version > 0};
    memcpy(claim.id, row->id, SH_NODE_ID_BYTES);
    memcpy(claim.accuser, row->accuser, sizeof claim.accuser);
    if (row->state == SWIM_DEAD || row->state == SWIM_LEFT) {
        uint64_t age_s = (s->now_us - row->since_us) / 1000000;
        claim.age_s = age_s < UINT32_MAX ? (uint32_t)age_s : UINT32_MAX;
    }
    claim.meta = (struct sh_span){.at = row->meta, .size = row->meta_size};
    return claim;
}

bool swim_send_begin(struct swim *s, struct swim_update *update, const struct swim_addr *to,
                     struct swim_packet *packet, struct sh_writer *w)
{
    if (update->send_count == SWIM_SENDS_MAX) {
        return false;
    }
    struct swim_send *send = &update->sends[update->send_count];
    send->to = *to;
    *w = sh_writer_over(send->bytes, sizeof send->bytes);
    packet->incarnation = s->row[0].incarnation;
    packet->fingerprint = s->fingerprint;
    swim_packet_put(w, packet);
    s->packet++;
    return true;
}

void swim_send_end(struct swim *s, struct swim_update *update, struct sh_writer *w, uint32_t claims)
{
    SH_CHECK_CMP(claims, <=, CLAIMS_MAX);
    SH_CHECK(!w->full);
    swim_packet_count(w, (uint8_t)claims);
    update->sends[update->send_count++].size = (uint32_t)w->used;
    s->stats.packets_out++;
    s->stats.bytes_out += w->used;
}

/* Counts a claim that went out; returns 1, or 0 when it did not fit. */
static uint32_t put_claim(struct swim *s, struct sh_writer *w, uint32_t at, bool with_meta)
{
    struct swim_row *row = &s->row[at];
    if (row->packed == s->packet) {
        return 0;
    }
    struct swim_claim claim = swim_claim_of(s, at, with_meta);
    if (!swim_claim_put(w, &claim)) {
        claim.has_meta = false;
        if (!row->claim_hot || !swim_claim_put(w, &claim)) {
            return 0;
        }
    }
    row->packed = s->packet;
    row->claim_sent++;
    row->meta_sent += claim.has_meta ? 1 : 0;
    swim_row_cool(s, at);
    return 1;
}

static uint32_t times_told(const struct swim_row *row)
{
    if (row->claim_hot && row->meta_hot) {
        return row->claim_sent < row->meta_sent ? row->claim_sent : row->meta_sent;
    }
    return row->claim_hot ? row->claim_sent : row->meta_sent;
}

static uint32_t put_hot(struct swim *s, struct sh_writer *w, uint32_t receiver, uint32_t claims)
{
    uint32_t limit = swim_retransmits(swim_members(s));
    for (uint32_t told = 0; told < limit; told++) {
        for (uint32_t i = s->hot_count; i > 0;
             i--) { /* downwards: cooling moves the last one here */
            uint32_t at = s->hot[i - 1];
            const struct swim_row *row = &s->row[at];
            if (w->size - w->used < CLAIM_BYTES_MIN || claims == CLAIMS_MAX) {
                return claims;
            }
            bool known = at == receiver && row->state == SWIM_ALIVE;
            if (times_told(row) == told && !known) {
                claims += put_claim(s, w, at, row->meta_hot);
            }
        }
    }
    return claims;
}

static struct swim_packet packet_of(const struct swim *s, const struct swim_out *out)
{
    struct swim_packet packet = {.type = out->type, .seq = out->seq, .addr = out->addr};
    memcpy(packet.target, out->target, SH_NODE_ID_BYTES);
    if (out->type == SWIM_HASHES) {
        memcpy(packet.bucket, s->bucket, sizeof packet.bucket);
    }
    return packet;
}

static void fill(struct swim *s, const struct swim_out *out, struct swim_update *update)
{
    struct swim_packet packet = packet_of(s, out);
    struct sh_writer w;
    bool room = swim_send_begin(s, update, &out->to, &packet, &w);
    SH_CHECK(room);
    uint32_t claims = 0;
    if (out->about != SWIM_NONE && s->row[out->about].used) {
        claims += put_claim(s, &w, out->about, out->with_meta);
    }
    const struct swim_row *receiver = out->row == SWIM_NONE ? NULL : &s->row[out->row];
    if (receiver != NULL && receiver->used && receiver->state == SWIM_SUSPECT) {
        claims += put_claim(s, &w, out->row, false);
    }
    claims = put_hot(s, &w, out->row, claims);
    if (claims > 0 || out->type != SWIM_GOSSIP) {
        swim_send_end(s, update, &w, claims);
    }
}

static void drain_changes(struct swim *s, struct swim_update *update)
{
    for (uint32_t i = 1; i < s->capacity && s->dirty_count > 0; i++) {
        struct swim_row *row = &s->row[i];
        if (!row->used || !row->dirty) {
            continue;
        }
        if (update->change_count == SWIM_CHANGES_MAX) {
            return;
        }
        struct swim_change *change = &update->changes[update->change_count++];
        *change = (struct swim_change){.before = row->told_state,
                                       .now = row->state,
                                       .incarnation_before = row->told_incarnation,
                                       .incarnation = row->incarnation,
                                       .meta = row->meta_version != row->told_meta};
        change->restarted =
            row->told_state != SWIM_ABSENT && row->told_incarnation >> 32 != row->incarnation >> 32;
        memcpy(change->id, row->id, SH_NODE_ID_BYTES);
        row->told_state = row->state;
        row->told_incarnation = row->incarnation;
        row->told_meta = row->meta_version;
        row->dirty = false;
        s->dirty_count--;
    }
}

static void drain_control(struct swim *s, struct swim_update *update)
{
    uint32_t count = s->control_count < SWIM_CONTROL_MAX ? s->control_count : SWIM_CONTROL_MAX;
    memcpy(update->control, s->control, count * sizeof s->control[0]);
    memmove(s->control, s->control + count, (s->control_count - count) * sizeof s->control[0]);
    update->control_count = count;
    s->control_count -= count;
}

void swim_drain(struct swim *s, struct swim_update *update)
{
    while (s->out_ring.count > 0 && update->send_count < SWIM_SENDS_MAX) {
        fill(s, &s->out[sh_ring_pop(&s->out_ring)], update);
    }
    swim_sync_drain(s, update);
    drain_control(s, update);
    drain_changes(s, update);
    s->backlog = s->out_ring.count > 0 || s->control_count > 0 || s->dirty_count > 0;
}
