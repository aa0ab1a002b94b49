/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables that differ. Two members whose fingerprints differ for a while compare 64 bucket hashes
 * and exchange the records of those that differ. The dead and the seeds are redialled, so that the
 * two halves of a healed partition find each other. */
#include "swim/scale.h"
#include "swim/state.h"

static const uint64_t PACE_US = 10000; /* between bursts of records to one receiver */
static const uint64_t SWEEP_US = 1000000;
static const uint64_t RECENT_US = 60000000; /* a death this young is redialled at the faster pace */

enum { BURST = 4 };

void swim_sync_begin(struct swim *s, const struct swim_addr *to)
{
    struct swim_out out = swim_out_at(SWIM_HASHES, to, SWIM_NONE);
    swim_out_push(s, &out);
    s->stats.syncs++;
}

void swim_sync_add(struct swim *s, const struct swim_addr *to, uint64_t mask, uint64_t want)
{
    struct swim_sync *chosen = NULL;
    for (uint32_t i = 0; i < SWIM_SYNCS; i++) {
        struct swim_sync *sync = &s->sync[i];
        if (sync->used && swim_addr_equal(&sync->to, to)) {
            mask |= sync->mask;
            want |= sync->begun ? 0 : sync->want;
            chosen = sync;
            break;
        }
        if (!sync->used && chosen == NULL) {
            chosen = sync;
        }
    }
    if (chosen != NULL) { /* else the other side asks again when its next contact differs */
        uint64_t next_us = chosen->used ? chosen->next_us : s->now_us;
        *chosen = (struct swim_sync){
            .used = true, .to = *to, .mask = mask, .want = want, .next_us = next_us};
    }
}

/* One packet of records; false when nothing is left. */
static bool send_records(struct swim *s, struct swim_sync *sync, struct swim_update *update)
{
    struct swim_packet packet = {.type = SWIM_RECORDS, .want = sync->begun ? 0 : sync->want};
    struct sh_writer w;
    if (!swim_send_begin(s, update, &sync->to, &packet, &w)) {
        return true;
    }
    uint32_t claims = 0;
    for (; sync->at < s->capacity && claims < UINT8_MAX; sync->at++) {
        const struct swim_row *row = &s->row[sync->at];
        bool wanted = row->used && row->shared && (sync->mask >> swim_bucket_of(row->id) & 1) != 0;
        if (!wanted) {
            continue;
        }
        bool dead = row->state == SWIM_DEAD || row->state == SWIM_LEFT;
        struct swim_claim claim = swim_claim_of(s, sync->at, !dead);
        if (!swim_claim_put(&w, &claim)) {
            break;
        }
        claims++;
    }
    if (claims > 0 || packet.want != 0) {
        swim_send_end(s, update, &w, claims);
    }
    sync->begun = true;
    return sync->at < s->capacity;
}

void swim_sync_drain(struct swim *s, struct swim_update *update)
{
    for (uint32_t i = 0; i < SWIM_SYNCS; i++) {
        struct swim_sync *sync = &s->sync[i];
        if (!sync->used || s->now_us < sync->next_us) {
            continue;
        }
        for (uint32_t k = 0; k < BURST && sync->used; k++) {
            sync->used = send_records(s, sync, update);
        }
        sync->next_us = s->now_us + PACE_US;
    }
}

void swim_sync_compare(struct swim *s, const struct swim_packet *packet,
                       const struct swim_addr *from)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < SWIM_BUCKETS; i++) {
        mask |= packet->bucket[i] == s->bucket[i] ? 0 : UINT64_C(1) << i;
    }
    if (mask != 0) {
        swim_sync_add(s, from, mask, mask);
    }
}

static void say_join(struct swim *s, const struct swim_addr *to)
{
    struct swim_out out = swim_out_at(SWIM_JOIN, to, SWIM_NONE);
    out.about = 0;
    out.with_meta = true;
    swim_out_push(s, &out);
}

static void join_all(struct swim *s)
{
    s->join_us = s->now_us + s->config.join_retry_us;
    for (uint32_t i = 0; i < s->seed_count; i++) {
        say_join(s, &s->seed[i]);
    }
}

void swim_sync_join(struct swim *s, const struct swim_addr *addrs, uint32_t count)
{
    s->seed_count = 0;
    for (uint32_t i = 0; i < count && s->seed_count < SWIM_SEEDS_MAX; i++) {
        SH_CHECK(addrs[i].size > 0 && addrs[i].size <= SWIM_ADDR_BYTES_MAX);
        if (!swim_addr_equal(&addrs[i], &s->row[0].addr)) {
            s->seed[s->seed_count++] = addrs[i];
        }
    }
    join_all(s);
}

static uint32_t random_dead(struct swim *s, bool *recent)
{
    uint32_t chosen = SWIM_NONE;
    uint64_t seen = 0;
    for (uint32_t i = 1; i < s->capacity && s->count[SWIM_DEAD] > 0; i++) {
        const struct swim_row *row = &s->row[i];
        if (row->used && row->state == SWIM_DEAD) {
            seen++;
            *recent = *recent || s->now_us - row->since_us < RECENT_US;
            chosen = sh_rng_below(&s->rng, seen) == 0 ? i : chosen;
        }
    }
    return chosen;
}

static bool is_member_addr(const struct swim *s, const struct swim_addr *addr)
{
    for (uint32_t i = 0; i < s->order_count; i++) {
        if (swim_addr_equal(&s->row[s->order[i]].addr, addr)) {
            return true;
        }
    }
    return false;
}

static void redial(struct swim *s)
{
    bool recent = false;
    uint32_t dead = random_dead(s, &recent);
    if (dead != SWIM_NONE) {
        struct swim_out out = swim_out_to(s, SWIM_PING, dead);
        s->redial_seq = swim_seq(s);
        out.seq = s->redial_seq;
        out.about = dead; /* it refutes at once */
        memcpy(out.target, s->row[dead].id, SH_NODE_ID_BYTES);
        swim_out_push(s, &out);
    }
    if (s->seed_count > 0) {
        const struct swim_addr *seed = &s->seed[sh_rng_below(&s->rng, s->seed_count)];
        if (!is_member_addr(s, seed)) {
            say_join(s, seed);
        }
    }
    uint64_t pause = recent ? s->config.redial_us : s->config.redial_slow_us;
    s->redial_us = s->now_us + sh_rng_between(&s->rng, pause - pause / 5, pause + pause / 5);
}

/* Guards against rumours that died out and fingerprints that collide. */
static void compare_unasked(struct swim *s)
{
    uint32_t with = SWIM_NONE;
    if (swim_pick(s, 1, SWIM_NONE, &with) == 1) {
        swim_sync_begin(s, &s->row[with].addr);
    }
    uint32_t members = swim_members(s);
    uint32_t scale = members > 64 ? swim_log2_milli(members / 32) : 1000;
    uint64_t pause = s->config.sync_every_us * scale / 1000;
    s->sync_us = s->now_us + sh_rng_between(&s->rng, pause - pause / 5, pause + pause / 5);
}

void swim_sync_tick(struct swim *s)
{
    if (s->now_us >= s->sweep_us) {
        s->sweep_us = s->now_us + SWEEP_US;
        swim_sweep_dead(s);
    }
    if (s->leaving) {
        return;
    }
    if (s->order_count == 0 && s->seed_count > 0 && s->now_us >= s->join_us) {
        join_all(s);
    }
    if (s->now_us >= s->redial_us) {
        redial(s);
    }
    if (s->now_us >= s->sync_us) {
        compare_unasked(s);
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t swim_sync_deadline(const struct swim *s)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < SWIM_SYNCS; i++) {
        next = s->sync[i].used ? least(next, s->sync[i].next_us) : next;
    }
    if (s->count[SWIM_DEAD] + s->count[SWIM_LEFT] > 0) {
        next = least(next, s->sweep_us);
    }
    if (s->leaving) {
        return next;
    }
    if (s->order_count == 0 && s->seed_count > 0) {
        next = least(next, s->join_us);
    }
    return least(next, least(s->redial_us, s->sync_us));
}
