/* SPDX-License-Identifier: Apache-2.0
 *
 * The reduction tree: V logical ranks (a power of two) are the leaves of one complete binary tree,
 * and every sum is taken in that tree's order, left + right. A subtree's sum depends only on its
 * leaves, so whoever computes which ranks, and in whatever order sums arrive, the root has the same
 * bits.
 *
 *     an agent with ranks [lo, hi)   kn_tree_cover   -> its maximal complete subtrees
 *     each of them                   kn_tree_next / kn_tree_push -> the subtree's sum
 *     the owner of a slice           kn_tree_root    -> the slice of the root
 *
 * Plain IEEE additions of floats, one per element and inner node, never reassociated or contracted.
 * Nothing here allocates or fails for another reason than a wrong argument. */
#ifndef KN_AGG_TREE_H
#define KN_AGG_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KN_TREE_RANKS_MAX = 256, /* V at most; V is a power of two */
    KN_TREE_DEPTH_MAX = 9, /* levels of nodes in a tree over KN_TREE_RANKS_MAX ranks, leaves too */
    KN_TREE_COVER_MAX = 14 /* complete subtrees in a contiguous range of ranks: < 2 log2 V */
};

/* The complete subtree over ranks [lo, lo + 2^level); lo is a multiple of 2^level. */
struct kn_subtree {
    uint32_t lo;
    uint32_t level;
};

/* True for 1, 2, 4, ... KN_TREE_RANKS_MAX. */
bool kn_tree_ranks_valid(uint32_t ranks);

/* Writes the maximal complete subtrees of the ranks [lo, hi), ascending, and returns how many. An
 * empty or impossible range (lo >= hi, hi > KN_TREE_RANKS_MAX) has none. */
uint32_t kn_tree_cover(uint32_t lo, uint32_t hi, struct kn_subtree out[KN_TREE_COVER_MAX]);

/* True when the subtrees, in any order, are well formed and cover [0, ranks) exactly once. For sets
 * named by a peer. O(count * ranks / 64). */
bool kn_tree_covers(const struct kn_subtree *subtrees, uint32_t count, uint32_t ranks);

/* The running sum of one complete subtree, a binary counter of partial sums. The caller lends
 * level + 1 vectors of `size` floats (slot[0] .. slot[level]) until the sum is read:
 *
 *     kn_tree_begin(&sum, subtree.level, size, slots);
 *     for (r = subtree.lo; r < subtree.lo + 2^level; r++) {
 *         compute the vector of rank r into kn_tree_next(&sum);
 *         kn_tree_push(&sum);
 *     }
 *     kn_tree_done(&sum): the subtree's sum, which lies in slot[0]
 */
struct kn_tree_sum {
    float *slot[KN_TREE_DEPTH_MAX];
    size_t size;    /* floats in a vector */
    uint32_t level; /* of the subtree */
    uint32_t depth; /* slots that hold partial sums */
    uint32_t count; /* vectors pushed */
};

/* level < KN_TREE_DEPTH_MAX; slot has level + 1 pointers, no two vectors overlap. */
void kn_tree_begin(struct kn_tree_sum *sum, uint32_t level, size_t size, float *const *slot);
/* Where the next rank's vector goes; its contents are whatever was there. NULL when complete. */
float *kn_tree_next(const struct kn_tree_sum *sum);
/* Adds what was written there: 1 addition of vectors per push on average. */
void kn_tree_push(struct kn_tree_sum *sum);
/* The sum of all 2^level vectors, or NULL while some are missing. */
const float *kn_tree_done(const struct kn_tree_sum *sum);

/* left[i] += right[i]: one inner node, for who sums two sibling subtrees on two threads. */
void kn_tree_add(float *left, const float *right, size_t size);

/* The root over [0, ranks): sum[i] is the sum of subtrees[i], or any slice [a, b) of it (then
 * size = b - a and every pointer points at element a). The subtrees may stand in any order, as they
 * arrived. `out` (size floats) is written, the sums are not, unless out is one of them; out may be
 * one of the sums but not overlap one partly. False, and out untouched, unless the subtrees cover
 * [0, ranks) exactly. Works through blocks that stay in the first-level cache: each sum is read
 * once. */
bool kn_tree_root(const struct kn_subtree *subtrees, const float *const *sum, uint32_t count,
                  uint32_t ranks, size_t size, float *out);

#endif
