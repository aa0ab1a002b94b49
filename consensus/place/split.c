/* SPDX-License-Identifier: Apache-2.0 */
#include "place/place.h"

static uint64_t speed_of(const uint16_t *speeds, uint32_t at)
{
    return speeds[at] == 0 ? PLACE_SPEED_USUAL : speeds[at];
}

/* Rounds down, but gives each at least one; returns how many ranks that hands out. */
static uint32_t share_out(uint32_t *sizes, const uint16_t *speeds, uint32_t count, uint32_t ranks,
                          uint64_t total)
{
    uint32_t given = 0;
    for (uint32_t i = 0; i < count; i++) {
        sizes[i] = (uint32_t)(ranks * speed_of(speeds, i) / total);
        sizes[i] = sizes[i] > 0 ? sizes[i] : 1;
        given += sizes[i];
    }
    return given;
}

/* Index whose size is the furthest below (or, with over, above) its share among those that may
 * change; the first of equals. Shares are compared as size * total against ranks * speed. */
static uint32_t furthest(const uint32_t *sizes, const uint16_t *speeds, uint32_t count,
                         uint32_t ranks, uint64_t total, bool over)
{
    uint32_t best = count;
    int64_t best_gap = 0;
    for (uint32_t i = 0; i < count; i++) {
        int64_t gap = (int64_t)(ranks * speed_of(speeds, i)) - (int64_t)(sizes[i] * total);
        gap = over ? -gap : gap;
        bool may = !over || sizes[i] > 1;
        if (may && (best == count || gap > best_gap)) {
            best = i;
            best_gap = gap;
        }
    }
    SH_CHECK_CMP(best, <, count);
    return best;
}

void place_split(struct wire_member *members, const uint16_t *speeds, uint32_t count,
                 uint32_t ranks)
{
    SH_CHECK_CMP(count, >=, 1);
    SH_CHECK_CMP(count, <=, ranks);
    SH_CHECK_CMP(count, <=, WIRE_MEMBERS_MAX);
    SH_CHECK_CMP(ranks, <=, SH_RANKS_MAX);
    uint32_t sizes[WIRE_MEMBERS_MAX];
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        total += speed_of(speeds, i);
    }
    uint32_t given = share_out(sizes, speeds, count, ranks, total);
    while (given < ranks) {
        sizes[furthest(sizes, speeds, count, ranks, total, false)]++;
        given++;
    }
    while (given > ranks) {
        sizes[furthest(sizes, speeds, count, ranks, total, true)]--;
        given--;
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        members[i].rank_lo = (uint16_t)at;
        at += sizes[i];
        members[i].rank_hi = (uint16_t)at;
    }
    SH_CHECK(wire_members_cover(members, count, ranks));
}
