/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/check.h"
#include "base/rng.h"

static uint32_t slot_count(uint32_t capacity)
{
    SH_CHECK(capacity > 0);
    SH_CHECK_CMP(capacity, <=, UINT32_C(1) << 29);
    uint32_t slots = 2;
    while (slots < 2 * capacity) {
        slots *= 2;
    }
    return slots;
}

size_t sh_map_bytes(uint32_t capacity)
{
    return slot_count(capacity) * sizeof(struct sh_map_slot) + _Alignof(struct sh_map_slot);
}

void sh_map_init(struct sh_map *map, struct sh_arena *arena, uint32_t capacity)
{
    uint32_t slots = slot_count(capacity);
    map->slots = SH_ARENA_TAKE(arena, struct sh_map_slot, slots);
    map->mask = slots - 1;
    map->capacity = capacity;
    map->count = 0;
}

/* The slot that holds key, or the empty slot where it would go. */
static uint32_t find(const struct sh_map *map, uint64_t key)
{
    SH_CHECK(key != 0);
    uint32_t at = (uint32_t)sh_mix64(key) & map->mask;
    while (map->slots[at].key != 0 && map->slots[at].key != key) {
        at = (at + 1) & map->mask;
    }
    return at;
}

bool sh_map_get(const struct sh_map *map, uint64_t key, uint64_t *value)
{
    const struct sh_map_slot *slot = &map->slots[find(map, key)];
    if (slot->key == 0) {
        return false;
    }
    *value = slot->value;
    return true;
}

enum sh_err sh_map_put(struct sh_map *map, uint64_t key, uint64_t value)
{
    struct sh_map_slot *slot = &map->slots[find(map, key)];
    if (slot->key == 0) {
        if (map->count == map->capacity) {
            return SH_ERR_FULL;
        }
        map->count++;
        slot->key = key;
    }
    slot->value = value;
    return SH_OK;
}

bool sh_map_del(struct sh_map *map, uint64_t key)
{
    uint32_t hole = find(map, key);
    if (map->slots[hole].key == 0) {
        return false;
    }
    map->count--;
    uint32_t at = hole;
    for (;;) {
        at = (at + 1) & map->mask;
        if (map->slots[at].key == 0) {
            break;
        }
        uint32_t home = (uint32_t)sh_mix64(map->slots[at].key) & map->mask;
        /* Move back only what would be cut off from its home by the hole. */
        if (((at - home) & map->mask) >= ((at - hole) & map->mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole] = (struct sh_map_slot){0};
    return true;
}
