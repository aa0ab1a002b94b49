/* SPDX-License-Identifier: Apache-2.0
 *
 * The interface of kernels/agg/tree.h with the sums taken in the order in which vectors arrive:
 * what the product must not do. Linked into negative tests in place of kernels/agg/tree.c, so that
 * a bar which cannot tell the two apart is known to be blind. */
#include "kernels/agg/cover.h"

#include <string.h>

void kn_tree_begin(struct kn_tree_sum *sum, uint32_t level, size_t size, float *const *slot)
{
    *sum = (struct kn_tree_sum){.size = size, .level = level};
    for (uint32_t i = 0; i <= level; i++) {
        sum->slot[i] = slot[i];
    }
}

float *kn_tree_next(const struct kn_tree_sum *sum)
{
    return sum->count < (1U << sum->level) ? sum->slot[sum->count > 0 ? 1 : 0] : NULL;
}

void kn_tree_push(struct kn_tree_sum *sum)
{
    if (sum->count > 0) {
        kn_tree_add(sum->slot[0], sum->slot[1], sum->size);
    }
    sum->count++;
}

const float *kn_tree_done(const struct kn_tree_sum *sum)
{
    return sum->count == (1U << sum->level) ? sum->slot[0] : NULL;
}

void kn_tree_add(float *left, const float *right, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        left[i] += right[i];
    }
}

bool kn_tree_root(const struct kn_subtree *subtrees, const float *const *sum, uint32_t count,
                  uint32_t ranks, size_t size, float *out)
{
    if (!kn_tree_covers(subtrees, count, ranks)) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        float total = sum[0][i];
        for (uint32_t k = 1; k < count; k++) {
            total += sum[k][i];
        }
        out[i] = total;
    }
    return true;
}
