/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to placement: sorting of index arrays (heap sort: in place, no recursion, O(n log n)). */
#ifndef SH_PLACE_ORDER_H
#define SH_PLACE_ORDER_H

#include <stdbool.h>
#include <stdint.h>

/* before is true when index a comes before index b; a total order, so that the result is unique. */
void place_sort(uint32_t *at, uint32_t count,
                bool (*before)(const void *ctx, uint32_t a, uint32_t b), const void *ctx);

#endif
