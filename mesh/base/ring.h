/* SPDX-License-Identifier: Apache-2.0
 *
 * Index arithmetic of a bounded FIFO over a caller's array. Single owner, no atomics. The array has
 * capacity elements; push gives the index to fill, pop the index that was oldest. */
#ifndef SH_BASE_RING_H
#define SH_BASE_RING_H

#include "base/check.h"

#include <stdbool.h>
#include <stdint.h>

struct sh_ring {
    uint32_t capacity;
    uint32_t first;
    uint32_t count;
};

static inline struct sh_ring sh_ring_of(uint32_t capacity)
{
    return (struct sh_ring){.capacity = capacity};
}

static inline bool sh_ring_full(const struct sh_ring *r)
{
    return r->count == r->capacity;
}

/* Index of the i-th oldest element. */
static inline uint32_t sh_ring_at(const struct sh_ring *r, uint32_t i)
{
    SH_CHECK_CMP(i, <, r->count);
    return (uint32_t)(((uint64_t)r->first + i) % r->capacity);
}

static inline uint32_t sh_ring_push(struct sh_ring *r)
{
    SH_CHECK(!sh_ring_full(r));
    r->count++;
    return sh_ring_at(r, r->count - 1);
}

static inline uint32_t sh_ring_pop(struct sh_ring *r)
{
    uint32_t at = sh_ring_at(r, 0);
    r->first = (uint32_t)(((uint64_t)r->first + 1) % r->capacity);
    r->count--;
    return at;
}

#endif
