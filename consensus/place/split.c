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

/* How many complete subtrees of the reduction tree make up the ranks [low, high). */
static uint32_t subtrees_in(uint32_t low, uint32_t high)
{
    uint32_t count = 0;
    while (low < high) {
        uint32_t size = 1;
        while (low % (2 * size) == 0 && low + 2 * size <= high) {
            size *= 2;
        }
        low += size;
        count++;
    }
    return count;
}

/* How many ranks each member may get: less than its share by less than two, or one more than the
 * rounded share unless that would make it slower than who is slowest now. */
struct leeway {
    uint32_t least[WIRE_MEMBERS_MAX];
    uint32_t most[WIRE_MEMBERS_MAX];
};

static void give_leeway(struct leeway *leeway, const uint32_t *sizes, const uint16_t *speeds,
                        uint32_t count, uint32_t ranks, uint64_t total)
{
    uint32_t slowest = 0;
    for (uint32_t i = 1; i < count; i++) {
        if (sizes[i] * speed_of(speeds, slowest) > sizes[slowest] * speed_of(speeds, i)) {
            slowest = i;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t share = (uint32_t)(ranks * speed_of(speeds, i) / total);
        uint32_t more = sizes[i] + 1;
        bool good = more * speed_of(speeds, slowest) <= sizes[slowest] * speed_of(speeds, i);
        leeway->most[i] = good ? more : sizes[i];
        leeway->least[i] = share > 1 ? share - 1 : 1;
        leeway->least[i] = leeway->least[i] < sizes[i] ? leeway->least[i] : sizes[i];
    }
}

/* Every subtree sum crosses the network once, so among the splits within the leeway the one with
 * the fewest is taken, the most even one of equals. cost[at] is that of the ranks [at, ranks) for
 * the members from i on. */
static void choose(uint32_t *sizes, const struct leeway *leeway, uint32_t count, uint32_t ranks)
{
    enum { NEVER = 1 << 30, SUBTREE = 1 << 17 }; /* above any sum of squares of sizes */
    uint32_t cost[2][SH_RANKS_MAX + 1];
    uint16_t choice[WIRE_MEMBERS_MAX][SH_RANKS_MAX + 1];
    uint32_t *after = cost[0];
    uint32_t *here = cost[1];
    for (uint32_t at = 0; at <= ranks; at++) {
        after[at] = at == ranks ? 0 : NEVER;
    }
    for (uint32_t i = count; i-- > 0;) {
        for (uint32_t at = 0; at <= ranks; at++) {
            here[at] = NEVER;
            for (uint32_t size = leeway->least[i]; size <= leeway->most[i] && at + size <= ranks;
                 size++) {
                uint32_t whole =
                    after[at + size] + size * size + SUBTREE * subtrees_in(at, at + size);
                if (after[at + size] < NEVER && whole < here[at]) {
                    here[at] = whole;
                    choice[i][at] = (uint16_t)size;
                }
            }
        }
        uint32_t *spare = after;
        after = here;
        here = spare;
    }
    SH_CHECK_CMP(after[0], <, NEVER);
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        sizes[i] = choice[i][at];
        at += sizes[i];
    }
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
    struct leeway leeway;
    give_leeway(&leeway, sizes, speeds, count, ranks, total);
    choose(sizes, &leeway, count, ranks);
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        members[i].rank_lo = (uint16_t)at;
        at += sizes[i];
        members[i].rank_hi = (uint16_t)at;
    }
    SH_CHECK(wire_members_cover(members, count, ranks));
}
