/* SPDX-License-Identifier: Apache-2.0
 *
 * Fixed-capacity open-addressing map from a non-zero u64 to a u64. Linear probing with back-shift
 * deletion; the table has at least twice as many slots as its capacity, so probes stay short. */
#ifndef SH_BASE_MAP_H
#define SH_BASE_MAP_H

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct sh_map_slot {
    uint64_t key; /* 0: empty */
    uint64_t value;
};

struct sh_map {
    struct sh_map_slot *slots;
    uint32_t mask; /* slots - 1, slots a power of two */
    uint32_t capacity;
    uint32_t count;
};

void sh_map_init(struct sh_map *map, struct sh_arena *arena, uint32_t capacity);
size_t sh_map_bytes(uint32_t capacity); /* what init takes from an arena, alignment included */
/* False when absent. Expected O(1). */
bool sh_map_get(const struct sh_map *map, uint64_t key, uint64_t *value);
/* Inserts or overwrites; FULL when capacity keys are held. */
SH_MUST_USE enum sh_err sh_map_put(struct sh_map *map, uint64_t key, uint64_t value);
bool sh_map_del(struct sh_map *map, uint64_t key);

#endif
