/* SPDX-License-Identifier: Apache-2.0 */
#include "swim/state.h"

static void check_row(const struct swim *s, uint32_t at)
{
    const struct swim_row *row = &s->row[at];
    bool probed = at != 0 && (row->state == SWIM_ALIVE || row->state == SWIM_SUSPECT);
    SH_CHECK(row->state != SWIM_ABSENT);
    SH_CHECK_CMP(swim_row_find(s, row->id), ==, at);
    SH_CHECK_CMP(row->order_at != SWIM_NONE, ==, probed);
    SH_CHECK(SH_IMPLIES(probed, s->order[row->order_at] == at));
    SH_CHECK_CMP(row->hot_at != SWIM_NONE, ==, row->claim_hot || row->meta_hot);
    SH_CHECK(SH_IMPLIES(row->hot_at != SWIM_NONE, s->hot[row->hot_at] == at));
    SH_CHECK_CMP(row->state == SWIM_SUSPECT, ==, row->accusers > 0);
    SH_CHECK_CMP(row->accusers, <=, SWIM_ACCUSERS);
    SH_CHECK_CMP(row->meta_size, <=, SWIM_META_BYTES_MAX);
    SH_CHECK(SH_IMPLIES(row->meta_version == 0, row->meta_size == 0));
    SH_CHECK_CMP(row->since_us, <=, s->now_us);
    bool differs = row->state != row->told_state || row->incarnation != row->told_incarnation ||
                   row->meta_version != row->told_meta;
    SH_CHECK(at == 0 || differs == row->dirty);
}

static void check_probes(const struct swim *s)
{
    for (uint32_t i = 0; i < SWIM_PROBES; i++) {
        const struct swim_probe *p = &s->probe[i];
        if (!p->used) {
            continue;
        }
        SH_CHECK(s->row[p->row].used);
        SH_CHECK_CMP(s->row[p->row].order_at, !=, SWIM_NONE);
        SH_CHECK(!s->leaving);
        for (uint32_t k = i + 1; k < SWIM_PROBES; k++) {
            SH_CHECK(!s->probe[k].used || s->probe[k].row != p->row);
        }
    }
}

void swim_check(const struct swim *s)
{
    uint32_t count[SWIM_LEFT + 1] = {0};
    uint64_t bucket[SWIM_BUCKETS] = {0};
    uint64_t fingerprint = 0;
    uint32_t used = 0;
    uint32_t dirty = 0;
    uint32_t hot = 0;
    for (uint32_t i = 0; i < s->capacity; i++) {
        const struct swim_row *row = &s->row[i];
        if (!row->used) {
            continue;
        }
        check_row(s, i);
        used++;
        count[row->state]++;
        dirty += row->dirty ? 1 : 0;
        hot += row->hot_at != SWIM_NONE ? 1 : 0;
        bucket[swim_bucket_of(row->id)] ^= row->shared ? row->hash : 0;
        fingerprint ^= row->shared ? row->hash : 0;
    }
    SH_CHECK_CMP(used + s->free_count, ==, s->capacity);
    SH_CHECK_CMP(s->map.count, ==, used);
    SH_CHECK_CMP(s->dirty_count, ==, dirty);
    SH_CHECK_CMP(s->hot_count, ==, hot);
    SH_CHECK_CMP(s->fingerprint, ==, fingerprint);
    SH_CHECK(memcmp(bucket, s->bucket, sizeof bucket) == 0);
    SH_CHECK(memcmp(count, s->count, sizeof count) == 0);
    uint32_t members = count[SWIM_ALIVE] + count[SWIM_SUSPECT];
    SH_CHECK_CMP(s->order_count + (s->leaving ? 0 : 1), ==, members);
    SH_CHECK(s->row[0].used);
    SH_CHECK_CMP(s->row[0].state, ==, s->leaving ? SWIM_LEFT : SWIM_ALIVE);
    SH_CHECK_CMP(s->health, <=, SWIM_HEALTH_MAX);
    check_probes(s);
}
