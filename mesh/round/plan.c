/* SPDX-License-Identifier: Apache-2.0 */
#include "round/plan.h"
#include "base/check.h"

uint32_t round_subtrees_of(uint32_t low, uint32_t high, uint32_t ranks, uint16_t member,
                           struct round_subtree *out)
{
    SH_CHECK(ranks > 0 && (ranks & (ranks - 1)) == 0);
    SH_CHECK_CMP(ranks, <=, ROUND_RANKS_MAX);
    SH_CHECK_CMP(low, <, high);
    SH_CHECK_CMP(high, <=, ranks);
    uint32_t count = 0;
    while (low < high) {
        uint32_t size = low == 0 ? ranks : low & (0 - low); /* largest node that can start here */
        while (low + size > high) {
            size /= 2;
        }
        SH_CHECK_CMP(count, <, ROUND_MINE_MAX);
        out[count++] = (struct round_subtree){
            .low = (uint16_t)low, .high = (uint16_t)(low + size), .member = member};
        low += size;
    }
    return count;
}

static uint32_t owners_of(uint64_t elements, uint32_t members)
{
    uint64_t worth = elements / ROUND_SEGMENT_ELEMENTS;
    if (worth < 1) {
        return 1;
    }
    return worth < members ? (uint32_t)worth : members;
}

void round_plan_init(struct round_plan *plan, uint64_t elements, uint32_t members,
                     uint32_t chunk_elements)
{
    SH_CHECK(elements > 0);
    SH_CHECK(members > 0 && members <= ROUND_MEMBERS_MAX);
    SH_CHECK(chunk_elements > 0 && chunk_elements % ROUND_ALIGN_ELEMENTS == 0);
    *plan = (struct round_plan){.elements = elements,
                                .members = members,
                                .owners = owners_of(elements, members),
                                .chunk_elements = chunk_elements};
    uint64_t pages = (elements - 1) / ROUND_PAGE_ELEMENTS + 1;
    uint64_t whole = pages / plan->owners;
    uint64_t spare = pages % plan->owners;
    uint64_t page = 0;
    for (uint32_t i = 0; i < plan->owners; i++) {
        uint64_t next = page + whole + (i < spare ? 1 : 0);
        uint64_t end = next * ROUND_PAGE_ELEMENTS;
        end = end < elements ? end : elements;
        plan->offset[i] = page * ROUND_PAGE_ELEMENTS;
        plan->first[i] = plan->chunks;
        plan->chunks += (uint32_t)((end - plan->offset[i] - 1) / chunk_elements + 1);
        page = next;
    }
    plan->first[plan->owners] = plan->chunks;
    plan->offset[plan->owners] = elements;
    SH_CHECK_CMP(page, ==, pages);
}

uint64_t round_plan_segment_max(uint64_t elements, uint32_t members)
{
    SH_CHECK(elements > 0);
    SH_CHECK(members > 0 && members <= ROUND_MEMBERS_MAX);
    /* Fewer than members owners: each has less than two minimal segments. */
    uint64_t few = UINT64_C(2) * ROUND_SEGMENT_ELEMENTS + ROUND_PAGE_ELEMENTS;
    uint64_t all = elements / members + UINT64_C(2) * ROUND_PAGE_ELEMENTS;
    uint64_t most = few > all ? few : all;
    return most < elements ? most : elements;
}

uint32_t round_plan_chunks_max(uint64_t elements, uint32_t members, uint32_t chunk_elements)
{
    SH_CHECK(chunk_elements > 0);
    SH_CHECK_CMP(elements / chunk_elements, <, UINT32_C(1) << 24);
    return (uint32_t)(elements / chunk_elements) + members + 1; /* one short chunk a segment */
}

uint32_t round_plan_owner(const struct round_plan *plan, uint32_t chunk)
{
    SH_CHECK_CMP(chunk, <, plan->chunks);
    uint32_t low = 0;
    uint32_t high = plan->owners; /* first[low] <= chunk < first[high] */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (plan->first[middle] <= chunk) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

struct round_slice round_plan_chunk(const struct round_plan *plan, uint32_t chunk)
{
    uint32_t owner = round_plan_owner(plan, chunk);
    uint64_t start =
        plan->offset[owner] + (uint64_t)(chunk - plan->first[owner]) * plan->chunk_elements;
    uint64_t left = plan->offset[owner + 1] - start;
    return (struct round_slice){.offset = start,
                                .count = left < plan->chunk_elements ? (uint32_t)left
                                                                     : plan->chunk_elements};
}

uint64_t round_plan_segment_count(const struct round_plan *plan, uint32_t member)
{
    SH_CHECK_CMP(member, <, plan->members);
    return member < plan->owners ? plan->offset[member + 1] - plan->offset[member] : 0;
}
