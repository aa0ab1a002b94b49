/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/agg/cover.h"

#include <string.h>

bool kn_tree_ranks_valid(uint32_t ranks)
{
    return ranks > 0 && ranks <= KN_TREE_RANKS_MAX && (ranks & (ranks - 1)) == 0;
}

uint32_t kn_tree_cover(uint32_t lo, uint32_t hi, struct kn_subtree out[KN_TREE_COVER_MAX])
{
    uint32_t count = 0;
    if (hi > KN_TREE_RANKS_MAX) {
        return 0;
    }
    while (lo < hi) {
        uint32_t level = 0;
        while ((lo & ((2U << level) - 1)) == 0 && lo + (2U << level) <= hi) {
            level++;
        }
        out[count] = (struct kn_subtree){.lo = lo, .level = level};
        count++;
        lo += 1U << level;
    }
    return count;
}

static bool subtree_valid(struct kn_subtree t, uint32_t ranks)
{
    return t.level < KN_TREE_DEPTH_MAX && t.lo < ranks && (1U << t.level) <= ranks - t.lo &&
           (t.lo & ((1U << t.level) - 1)) == 0;
}

bool kn_tree_arrange(const struct kn_subtree *subtrees, uint32_t count, uint32_t ranks,
                     uint16_t first[KN_TREE_RANKS_MAX])
{
    if (!kn_tree_ranks_valid(ranks) || count > ranks) {
        return false;
    }
    memset(first, 0xff, KN_TREE_RANKS_MAX * sizeof first[0]);
    for (uint32_t i = 0; i < count; i++) {
        if (!subtree_valid(subtrees[i], ranks) || first[subtrees[i].lo] != UINT16_MAX) {
            return false;
        }
        first[subtrees[i].lo] = (uint16_t)i;
    }
    uint32_t used = 0;
    uint32_t r = 0;
    while (r < ranks && first[r] != UINT16_MAX) {
        r += 1U << subtrees[first[r]].level;
        used++;
    }
    return r == ranks && used == count;
}

bool kn_tree_covers(const struct kn_subtree *subtrees, uint32_t count, uint32_t ranks)
{
    uint16_t first[KN_TREE_RANKS_MAX];
    return kn_tree_arrange(subtrees, count, ranks, first);
}
