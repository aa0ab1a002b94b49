/* SPDX-License-Identifier: Apache-2.0 */
#include "place/order.h"

static void swap(uint32_t *a, uint32_t *b)
{
    uint32_t kept = *a;
    *a = *b;
    *b = kept;
}

/* Restores the heap (the last in order on top) below root. */
static void sift(uint32_t *at, uint32_t root, uint32_t count,
                 bool (*before)(const void *, uint32_t, uint32_t), const void *ctx)
{
    uint32_t child = 2 * root + 1;
    while (child < count) {
        if (child + 1 < count && before(ctx, at[child], at[child + 1])) {
            child++;
        }
        if (!before(ctx, at[root], at[child])) {
            return;
        }
        swap(&at[root], &at[child]);
        root = child;
        child = 2 * root + 1;
    }
}

void place_sort(uint32_t *at, uint32_t count, bool (*before)(const void *, uint32_t, uint32_t),
                const void *ctx)
{
    for (uint32_t root = count / 2; root > 0; root--) {
        sift(at, root - 1, count, before, ctx);
    }
    for (uint32_t end = count; end > 1; end--) {
        swap(&at[0], &at[end - 1]);
        sift(at, 0, end - 1, before, ctx);
    }
}
