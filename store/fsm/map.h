/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows in memory: what a batch has written, or what has been read. A row is found by its key in
 * O(1); an order is made only where somebody asks for one, which few batches do, and then kept as a
 * treap (Seidel and Aragon, "Randomized search trees", 1996) whose priorities are the hashes of the
 * keys. Rows lie in blocks that are given back together. Private to store/fsm.
 *
 * Running out of memory panics. One owner. What a call gives is borrowed until fsm_map_clear, a
 * value until the next put of its key. */
#ifndef SH_STORE_FSM_MAP_H
#define SH_STORE_FSM_MAP_H

#include "store/kv.h"

struct fsm_row {
    struct fsm_row *next; /* put first after this one */
    struct fsm_row *left; /* of the order */
    struct fsm_row *right;
    uint64_t hash;
    uint8_t *value;
    uint32_t value_size;
    uint32_t value_room;
    uint32_t key_size;
    bool gone; /* "this key is deleted" */
    uint8_t key[];
};

struct fsm_block;

struct fsm_map { /* {0} is empty */
    struct fsm_row **slots;
    uint32_t slot_count; /* a power of two, more than twice count; or 0 */
    uint32_t count;
    struct fsm_row *first; /* in the order of their first puts */
    struct fsm_row *last;
    struct fsm_row *ordered; /* the last one that the order has */
    struct fsm_row *root;
    struct fsm_block *blocks; /* the newest first */
    size_t bytes;             /* of rows and values */
};

static inline struct sh_span fsm_row_key(const struct fsm_row *row)
{
    return KV_SPAN(row->key, row->key_size);
}

static inline struct sh_span fsm_row_value(const struct fsm_row *row)
{
    return KV_SPAN(row->value, row->value_size);
}

uint64_t fsm_map_hash(struct sh_span key);
/* NULL when there is none; hash is that of key. */
struct fsm_row *fsm_map_find(const struct fsm_map *map, struct sh_span key, uint64_t hash);
/* The row with a new value, which is copied and may lie in this map. */
void fsm_map_put(struct fsm_map *map, struct sh_span key, uint64_t hash, struct sh_span value,
                 bool gone);
/* The nearest row in order: the first one >= key, or > key, or the last one < key. An empty key
 * is before all others; for fsm_map_before it is behind them. O(log n) and what was put since the
 * last such call. */
const struct fsm_row *fsm_map_from(struct fsm_map *map, struct sh_span key);
const struct fsm_row *fsm_map_after(struct fsm_map *map, struct sh_span key);
const struct fsm_row *fsm_map_before(struct fsm_map *map, struct sh_span key);
/* All rows by their keys, in memory of the map. O(count log count). */
struct fsm_row **fsm_map_sorted(struct fsm_map *map);
void fsm_map_clear(struct fsm_map *map); /* keeps a little memory for the next rows */
void fsm_map_fini(struct fsm_map *map);

#endif
