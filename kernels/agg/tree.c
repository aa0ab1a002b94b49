/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/agg/cover.h"

#include <string.h>

enum { BLOCK_FLOATS = 256 };

void kn_tree_begin(struct kn_tree_sum *sum, uint32_t level, size_t size, float *const *slot)
{
    *sum = (struct kn_tree_sum){.size = size, .level = level};
    for (uint32_t i = 0; i <= level; i++) {
        sum->slot[i] = slot[i];
    }
}

float *kn_tree_next(const struct kn_tree_sum *sum)
{
    return sum->count < (1U << sum->level) ? sum->slot[sum->depth] : NULL;
}

void kn_tree_push(struct kn_tree_sum *sum)
{
    sum->depth++;
    sum->count++;
    for (uint32_t carry = sum->count; (carry & 1) == 0; carry >>= 1) {
        sum->depth--;
        kn_tree_add(sum->slot[sum->depth - 1], sum->slot[sum->depth], sum->size);
    }
}

const float *kn_tree_done(const struct kn_tree_sum *sum)
{
    return sum->count == (1U << sum->level) ? sum->slot[0] : NULL;
}

void kn_tree_add(float *restrict left, const float *restrict right, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        left[i] += right[i];
    }
}

static void block_add(float *restrict out, const float *restrict left, const float *restrict right,
                      size_t size)
{
    for (size_t i = 0; i < size; i++) {
        out[i] = left[i] + right[i];
    }
}

struct partial {
    const float *sum; /* a caller's vector or block[k] of the same depth k */
    uint32_t end;     /* ranks [end - 2^level, end) are in it */
    uint32_t level;
};

/* One block of the root. The two topmost partial sums are siblings exactly when their levels are
 * equal and the pair ends on a boundary of the level above. */
static void block_root(const struct kn_subtree *subtrees, const float *const *sum,
                       const uint16_t *first, uint32_t ranks, size_t at, size_t size, float *out)
{
    float block[KN_TREE_DEPTH_MAX][BLOCK_FLOATS];
    struct partial stack[KN_TREE_DEPTH_MAX];
    uint32_t depth = 0;
    uint32_t r = 0;
    while (r < ranks) {
        uint32_t i = first[r];
        r += 1U << subtrees[i].level;
        struct partial top = {.sum = sum[i] + at, .end = r, .level = subtrees[i].level};
        while (depth > 0 && stack[depth - 1].level == top.level &&
               (top.end & ((2U << top.level) - 1)) == 0) {
            depth--;
            /* block[depth] is free or holds the left sum itself, element by element the same */
            if (stack[depth].sum == block[depth]) {
                kn_tree_add(block[depth], top.sum, size);
            } else {
                block_add(block[depth], stack[depth].sum, top.sum, size);
            }
            top.sum = block[depth];
            top.level++;
        }
        stack[depth] = top;
        depth++;
    }
    memmove(out, stack[0].sum, size * sizeof *out);
}

bool kn_tree_root(const struct kn_subtree *subtrees, const float *const *sum, uint32_t count,
                  uint32_t ranks, size_t size, float *out)
{
    uint16_t first[KN_TREE_RANKS_MAX];
    if (!kn_tree_arrange(subtrees, count, ranks, first)) {
        return false;
    }
    for (size_t at = 0; at < size; at += BLOCK_FLOATS) {
        size_t n = size - at < BLOCK_FLOATS ? size - at : BLOCK_FLOATS;
        block_root(subtrees, sum, first, ranks, at, n, out + at);
    }
    return true;
}
