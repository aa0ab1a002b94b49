/* SPDX-License-Identifier: Apache-2.0
 *
 * Who adds what: the maximal complete subtrees of the fixed binary tree over the ranks [0, V), and
 * the cut of a vector into segments (one owner each) and chunks (one frame each). Pure integer
 * code; every member computes the same plan from the same membership. */
#ifndef ROUND_PLAN_H
#define ROUND_PLAN_H

#include "base/limits.h"

#include <stdint.h>

#define ROUND_MEMBERS_MAX      64u
#define ROUND_RANKS_MAX        SH_RANKS_MAX
#define ROUND_MINE_MAX         16u   /* subtrees of one contiguous range: 2 log2(V) - 2 at most */
#define ROUND_ELEMENT_BYTES    4u    /* f32 */
#define ROUND_ALIGN_ELEMENTS   16u   /* chunk boundaries: one cache line */
#define ROUND_PAGE_ELEMENTS    1024u /* segment boundaries: one page, which another can map */
#define ROUND_SEGMENT_ELEMENTS 4096u /* a shorter segment is not worth its frames: fewer owners */

/* Ranks [low, high): high - low is a power of two that divides low. */
struct round_subtree {
    uint16_t low;
    uint16_t high;
    uint16_t member;
};

/* The maximal complete subtrees of [low, high) in rank order, high <= ranks, ranks a power of two.
 * Returns their number; out has ROUND_MINE_MAX places. O(log ranks). */
uint32_t round_subtrees_of(uint32_t low, uint32_t high, uint32_t ranks, uint16_t member,
                           struct round_subtree *out);

/* The cut of one vector. Segment i belongs to member i; members from owners on own nothing. Chunks
 * are numbered through the whole vector, in element order. */
struct round_plan {
    uint64_t elements;
    uint32_t members;
    uint32_t owners;
    uint32_t chunk_elements; /* a multiple of ROUND_ALIGN_ELEMENTS */
    uint32_t chunks;
    uint32_t first[ROUND_MEMBERS_MAX + 1];  /* first chunk of segment i; [owners] = chunks */
    uint64_t offset[ROUND_MEMBERS_MAX + 1]; /* first element of segment i; [owners] = elements */
};

struct round_slice {
    uint64_t offset; /* elements from the start of the vector */
    uint32_t count;  /* elements */
};

/* elements >= 1. O(members). */
void round_plan_init(struct round_plan *plan, uint64_t elements, uint32_t members,
                     uint32_t chunk_elements);
/* Elements that one segment of any vector of up to elements has at most: size of a part buffer. Not
 * monotone in the vector's length (a shorter one may have fewer owners), hence this bound. */
uint64_t round_plan_segment_max(uint64_t elements, uint32_t members);
/* Chunks that any plan of up to elements and members has at most. */
uint32_t round_plan_chunks_max(uint64_t elements, uint32_t members, uint32_t chunk_elements);
uint32_t round_plan_owner(const struct round_plan *plan, uint32_t chunk); /* O(log owners) */
struct round_slice round_plan_chunk(const struct round_plan *plan, uint32_t chunk);
uint64_t round_plan_segment_count(const struct round_plan *plan, uint32_t member); /* elements */

#endif
