/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fsm/map.h"

#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 1 << 16, SLOTS_FIRST = 1024, ALIGN = 8 };

struct fsm_block {
    struct fsm_block *older;
    size_t size;
    size_t used;
    _Alignas(ALIGN) uint8_t bytes[];
};

static void *take_memory(size_t size)
{
    void *at = malloc(size);
    SH_CHECK(at != NULL);
    return at;
}

static void *take(struct fsm_map *map, size_t size)
{
    size_t rounded = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct fsm_block *block = map->blocks;
    if (block == NULL || rounded > block->size - block->used) {
        size_t bytes = rounded > BLOCK_BYTES ? rounded : BLOCK_BYTES;
        block = take_memory(sizeof *block + bytes);
        *block = (struct fsm_block){.older = map->blocks, .size = bytes};
        map->blocks = block;
    }
    void *at = block->bytes + block->used;
    block->used += rounded;
    map->bytes += rounded;
    return at;
}

uint64_t fsm_map_hash(struct sh_span key)
{
    return sh_words64(0, key.at, key.size);
}

/* The slot of the row with this key, or the empty one where it belongs. */
static struct fsm_row **slot_of(const struct fsm_map *map, struct sh_span key, uint64_t hash)
{
    uint32_t mask = map->slot_count - 1;
    uint32_t at = (uint32_t)hash & mask;
    for (;;) {
        struct fsm_row *row = map->slots[at];
        if (row == NULL || (row->hash == hash && kv_compare(fsm_row_key(row), key) == 0)) {
            return &map->slots[at];
        }
        at = (at + 1) & mask;
    }
}

struct fsm_row *fsm_map_find(const struct fsm_map *map, struct sh_span key, uint64_t hash)
{
    return map->count > 0 ? *slot_of(map, key, hash) : NULL;
}

static void make_slots(struct fsm_map *map)
{
    if (2 * (map->count + 1) < map->slot_count) {
        return;
    }
    free(map->slots);
    map->slot_count = map->slot_count > 0 ? 2 * map->slot_count : SLOTS_FIRST;
    map->slots = calloc(map->slot_count, sizeof *map->slots);
    SH_CHECK(map->slots != NULL);
    for (struct fsm_row *row = map->first; row != NULL; row = row->next) {
        *slot_of(map, fsm_row_key(row), row->hash) = row;
    }
}

static struct fsm_row *add(struct fsm_map *map, struct sh_span key, uint64_t hash)
{
    struct fsm_row *row = take(map, sizeof *row + key.size);
    *row = (struct fsm_row){.hash = hash, .key_size = (uint32_t)key.size};
    if (key.size > 0) {
        memcpy(row->key, key.at, key.size);
    }
    if (map->last != NULL) {
        map->last->next = row;
    } else {
        map->first = row;
    }
    map->last = row;
    map->count++;
    return row;
}

void fsm_map_put(struct fsm_map *map, struct sh_span key, uint64_t hash, struct sh_span value,
                 bool gone)
{
    SH_CHECK_CMP(value.size, <=, UINT32_MAX);
    make_slots(map);
    struct fsm_row **slot = slot_of(map, key, hash);
    if (*slot == NULL) {
        *slot = add(map, key, hash);
    }
    struct fsm_row *row = *slot;
    if (value.size > row->value_room) {
        row->value = take(map, value.size);
        row->value_room = (uint32_t)value.size;
    }
    if (value.size > 0) {
        memmove(row->value, value.at, value.size);
    }
    row->value_size = (uint32_t)value.size;
    row->gone = gone;
}

/* ---- order ---- */

static bool stands_above(const struct fsm_row *a, const struct fsm_row *b)
{
    return a->hash != b->hash ? a->hash > b->hash : kv_compare(fsm_row_key(a), fsm_row_key(b)) < 0;
}

static void order_row(struct fsm_map *map, struct fsm_row *row)
{
    struct sh_span key = fsm_row_key(row);
    struct fsm_row **slot = &map->root;
    while (*slot != NULL && stands_above(*slot, row)) {
        bool below = kv_compare(fsm_row_key(*slot), key) > 0;
        slot = below ? &(*slot)->left : &(*slot)->right;
    }
    struct fsm_row *rest = *slot; /* is parted at the key */
    struct fsm_row **low = &row->left;
    struct fsm_row **high = &row->right;
    *slot = row;
    while (rest != NULL) {
        if (kv_compare(fsm_row_key(rest), key) < 0) {
            *low = rest;
            low = &rest->right;
            rest = rest->right;
        } else {
            *high = rest;
            high = &rest->left;
            rest = rest->left;
        }
    }
    *low = NULL;
    *high = NULL;
}

static void order_rows(struct fsm_map *map)
{
    struct fsm_row *row = map->ordered != NULL ? map->ordered->next : map->first;
    for (; row != NULL; row = row->next) {
        order_row(map, row);
        map->ordered = row;
    }
}

/* The least row whose key compares with key at or above bound (0: >=, 1: >). */
static const struct fsm_row *least(struct fsm_map *map, struct sh_span key, int bound)
{
    const struct fsm_row *best = NULL;
    order_rows(map);
    const struct fsm_row *row = map->root;
    while (row != NULL) {
        if (kv_compare(fsm_row_key(row), key) >= bound) {
            best = row;
            row = row->left;
        } else {
            row = row->right;
        }
    }
    return best;
}

const struct fsm_row *fsm_map_from(struct fsm_map *map, struct sh_span key)
{
    return least(map, key, 0);
}

const struct fsm_row *fsm_map_after(struct fsm_map *map, struct sh_span key)
{
    return least(map, key, 1);
}

const struct fsm_row *fsm_map_before(struct fsm_map *map, struct sh_span key)
{
    const struct fsm_row *best = NULL;
    order_rows(map);
    const struct fsm_row *row = map->root;
    while (row != NULL) {
        if (key.size == 0 || kv_compare(fsm_row_key(row), key) < 0) {
            best = row;
            row = row->right;
        } else {
            row = row->left;
        }
    }
    return best;
}

/* ---- the end of a batch ---- */

struct place { /* the first bytes of a key as numbers that order as they do; most differ there */
    uint64_t first;
    uint64_t second;
    struct fsm_row *row;
};

static struct place place_of(struct fsm_row *row)
{
    uint8_t head[16] = {0};
    memcpy(head, row->key, row->key_size < sizeof head ? row->key_size : sizeof head);
    return (struct place){
        .first = sh_key_u64_get(head), .second = sh_key_u64_get(head + 8), .row = row};
}

static int compare_places(const void *left, const void *right)
{
    const struct place *a = left;
    const struct place *b = right;
    if (a->first != b->first) {
        return a->first < b->first ? -1 : 1;
    }
    if (a->second != b->second) {
        return a->second < b->second ? -1 : 1;
    }
    return kv_compare(fsm_row_key(a->row), fsm_row_key(b->row));
}

struct fsm_row **fsm_map_sorted(struct fsm_map *map)
{
    struct place *places = take(map, map->count * sizeof *places);
    struct fsm_row **rows = take(map, map->count * sizeof(struct fsm_row *));
    uint32_t count = 0;
    for (struct fsm_row *row = map->first; row != NULL; row = row->next) {
        places[count++] = place_of(row);
    }
    SH_CHECK_CMP(count, ==, map->count);
    qsort(places, count, sizeof *places, compare_places);
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = places[i].row;
    }
    return rows;
}

static void free_blocks(struct fsm_block *block)
{
    while (block != NULL) {
        struct fsm_block *older = block->older;
        free(block);
        block = older;
    }
}

void fsm_map_clear(struct fsm_map *map)
{
    struct fsm_map kept = {.slots = map->slots, .slot_count = map->slot_count};
    if (map->slot_count > SLOTS_FIRST) { /* to empty many costs each batch after a large one */
        free(map->slots);
        kept = (struct fsm_map){0};
    } else if (map->count > 0) {
        memset(map->slots, 0, map->slot_count * sizeof *map->slots);
    }
    struct fsm_block *block = map->blocks;
    if (block != NULL && block->size == BLOCK_BYTES) {
        free_blocks(block->older);
        block->older = NULL;
        block->used = 0;
        kept.blocks = block;
    } else {
        free_blocks(block);
    }
    *map = kept;
}

void fsm_map_fini(struct fsm_map *map)
{
    free(map->slots);
    free_blocks(map->blocks);
    *map = (struct fsm_map){0};
}
