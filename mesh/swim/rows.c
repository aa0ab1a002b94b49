/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of members and what is derived from it. Every list in here can be computed from the
 * rows alone; swim_check does so and compares. */
#include "swim/scale.h"
#include "swim/state.h"

uint64_t swim_key(const uint8_t *id)
{
    uint64_t key = sh_hash64(1, id, SH_NODE_ID_BYTES);
    return key == 0 ? 1 : key;
}

uint32_t swim_bucket_of(const uint8_t *id)
{
    return id[SH_NODE_ID_BYTES - 1] % SWIM_BUCKETS;
}

uint32_t swim_row_find(const struct swim *s, const uint8_t *id)
{
    uint64_t at = 0;
    if (!sh_map_get(&s->map, swim_key(id), &at)) {
        return SWIM_NONE;
    }
    /* Two ids with one key: the second stays unknown. */
    return memcmp(s->row[at].id, id, SH_NODE_ID_BYTES) == 0 ? (uint32_t)at : SWIM_NONE;
}

static void order_add(struct swim *s, uint32_t at)
{
    uint32_t place = (uint32_t)sh_rng_below(&s->rng, (uint64_t)s->order_count + 1);
    s->order[s->order_count] = s->order[place];
    if (place < s->order_count) {
        s->row[s->order[place]].order_at = s->order_count;
    }
    s->order[place] = at;
    s->row[at].order_at = place;
    s->order_count++;
}

static void order_del(struct swim *s, uint32_t at)
{
    uint32_t place = s->row[at].order_at;
    SH_CHECK_CMP(s->order[place], ==, at);
    s->order_count--;
    s->order[place] = s->order[s->order_count];
    s->row[s->order[place]].order_at = place;
    s->row[at].order_at = SWIM_NONE;
}

static void hot_add(struct swim *s, uint32_t at)
{
    if (s->row[at].hot_at == SWIM_NONE) {
        SH_CHECK_CMP(s->hot_count, <, s->capacity);
        s->row[at].hot_at = s->hot_count;
        s->hot[s->hot_count++] = at;
    }
}

static void hot_del(struct swim *s, uint32_t at)
{
    uint32_t place = s->row[at].hot_at;
    SH_CHECK_CMP(s->hot[place], ==, at);
    s->hot_count--;
    s->hot[place] = s->hot[s->hot_count];
    s->row[s->hot[place]].hot_at = place;
    s->row[at].hot_at = SWIM_NONE;
}

void swim_row_claim_hot(struct swim *s, uint32_t at)
{
    s->row[at].claim_hot = true;
    s->row[at].claim_sent = 0;
    hot_add(s, at);
}

void swim_row_meta_hot(struct swim *s, uint32_t at)
{
    s->row[at].meta_hot = true;
    s->row[at].meta_sent = 0;
    hot_add(s, at);
}

void swim_row_cool(struct swim *s, uint32_t at)
{
    struct swim_row *row = &s->row[at];
    uint32_t limit = swim_retransmits(swim_members(s));
    row->claim_hot = row->claim_hot && row->claim_sent < limit;
    row->meta_hot = row->meta_hot && row->meta_sent < limit;
    if (!row->claim_hot && !row->meta_hot && row->hot_at != SWIM_NONE) {
        hot_del(s, at);
    }
}

/* The tombstone that will be missed least: one that left before one that may come back, then the
 * oldest. */
static uint32_t oldest_tombstone(const struct swim *s)
{
    uint32_t best = SWIM_NONE;
    for (uint32_t i = 1; i < s->capacity; i++) {
        const struct swim_row *row = &s->row[i];
        if (!row->used || (row->state != SWIM_LEFT && row->state != SWIM_DEAD)) {
            continue;
        }
        if (best == SWIM_NONE || row->state > s->row[best].state ||
            (row->state == s->row[best].state && row->since_us < s->row[best].since_us)) {
            best = i;
        }
    }
    return best;
}

uint32_t swim_row_add(struct swim *s, const uint8_t *id)
{
    uint64_t other = 0;
    if (sh_map_get(&s->map, swim_key(id), &other)) {
        s->stats.full++;
        return SWIM_NONE;
    }
    if (s->free_count == 0) {
        uint32_t victim = oldest_tombstone(s);
        s->stats.full++;
        if (victim == SWIM_NONE) {
            return SWIM_NONE;
        }
        swim_row_forget(s, victim);
    }
    s->free_count--;
    uint32_t at = s->free[s->free_count];
    struct swim_row *row = &s->row[at];
    *row = (struct swim_row){.used = true, .order_at = SWIM_NONE, .hot_at = SWIM_NONE};
    memcpy(row->id, id, SH_NODE_ID_BYTES);
    enum sh_err err = sh_map_put(&s->map, swim_key(id), at);
    SH_CHECK_CMP(err, ==, SH_OK);
    s->count[SWIM_ABSENT]++;
    return at;
}

void swim_row_forget(struct swim *s, uint32_t at)
{
    struct swim_row *row = &s->row[at];
    SH_CHECK_CMP(at, !=, 0);
    SH_CHECK(row->state == SWIM_DEAD || row->state == SWIM_LEFT);
    SH_CHECK_CMP(row->order_at, ==, SWIM_NONE);
    if (row->hot_at != SWIM_NONE) {
        hot_del(s, at);
    }
    if (row->shared) {
        s->bucket[swim_bucket_of(row->id)] ^= row->hash;
        s->fingerprint ^= row->hash;
    }
    s->dirty_count -= row->dirty ? 1 : 0;
    bool known = sh_map_del(&s->map, swim_key(row->id));
    SH_CHECK(known);
    s->count[row->state]--;
    row->used = false;
    s->free[s->free_count++] = at;
}

void swim_row_set_state(struct swim *s, uint32_t at, enum swim_state state)
{
    struct swim_row *row = &s->row[at];
    SH_CHECK(row->used);
    s->count[row->state]--;
    s->count[state]++;
    row->state = state;
    bool probed = at != 0 && (state == SWIM_ALIVE || state == SWIM_SUSPECT);
    if (probed && row->order_at == SWIM_NONE) {
        order_add(s, at);
    } else if (!probed && row->order_at != SWIM_NONE) {
        order_del(s, at);
        swim_probe_cancel(s, at);
    }
    if (state != SWIM_SUSPECT) {
        row->accusers = 0;
    }
}

void swim_row_rehash(struct swim *s, uint32_t at)
{
    struct swim_row *row = &s->row[at];
    uint32_t bucket = swim_bucket_of(row->id);
    if (row->shared) {
        s->bucket[bucket] ^= row->hash;
        s->fingerprint ^= row->hash;
    }
    bool dead = row->state == SWIM_DEAD || row->state == SWIM_LEFT;
    uint8_t bytes[SH_NODE_ID_BYTES + 17];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    sh_put_bytes(&w, row->id, SH_NODE_ID_BYTES);
    sh_put_u64(&w, row->incarnation);
    sh_put_u8(&w, (uint8_t)row->state);
    sh_put_u64(&w, dead ? 0 : row->meta_version);
    row->hash = sh_hash64(2, bytes, w.used);
    row->shared = !dead || s->now_us - row->since_us < s->config.share_dead_us;
    if (row->shared) {
        s->bucket[bucket] ^= row->hash;
        s->fingerprint ^= row->hash;
    }
}

void swim_row_touch(struct swim *s, uint32_t at)
{
    struct swim_row *row = &s->row[at];
    if (at == 0) {
        return; /* its host knows what it told this member to be */
    }
    bool differs = row->state != row->told_state || row->incarnation != row->told_incarnation ||
                   row->meta_version != row->told_meta;
    if (differs != row->dirty) {
        row->dirty = differs;
        s->dirty_count += differs ? 1 : UINT32_MAX;
    }
}

void swim_row_set_meta(struct swim *s, uint32_t at, uint64_t version, struct sh_span meta)
{
    struct swim_row *row = &s->row[at];
    SH_CHECK_CMP(version, >, row->meta_version);
    SH_CHECK_CMP(meta.size, <=, SWIM_META_BYTES_MAX);
    row->meta_version = version;
    row->meta_size = (uint16_t)meta.size;
    if (meta.size > 0) {
        memcpy(row->meta, meta.at, meta.size);
    }
    swim_row_meta_hot(s, at);
    swim_row_rehash(s, at);
    swim_row_touch(s, at);
}

uint32_t swim_members(const struct swim *s)
{
    return s->count[SWIM_ALIVE] + s->count[SWIM_SUSPECT];
}

uint32_t swim_pick(struct swim *s, uint32_t count, uint32_t but, uint32_t *out)
{
    uint32_t found = 0;
    /* Enough draws that a pick from a large table rarely comes up short; gossip does not mind. */
    for (uint32_t draw = 0; draw < 4 * count + 4 && found < count && s->order_count > 0; draw++) {
        uint32_t at = s->order[sh_rng_below(&s->rng, s->order_count)];
        bool again = at == but;
        for (uint32_t i = 0; i < found; i++) {
            again = again || out[i] == at;
        }
        if (!again) {
            out[found++] = at;
        }
    }
    return found;
}
