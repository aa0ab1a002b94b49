/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the rows of one generation: a kv state (the present one or a snapshot) under an overlay
 * of writes that are not committed yet. Private to store/fsm. */
#ifndef SH_STORE_FSM_ROWS_H
#define SH_STORE_FSM_ROWS_H

#include "store/fsm/fsm.h"
#include "store/fsm/map.h"

#define FSM_PREFIX_BYTES 5u /* generation (big-endian), kind */

enum fsm_kind { FSM_KIND_RECORD = 0, FSM_KIND_ROW = 1, FSM_KIND_END = 2 };

struct fsm_key { /* room for a bound just past the longest key */
    uint8_t bytes[FSM_PREFIX_BYTES + SH_TABLE_KEY_MAX + 1];
    size_t size;
};

/* What is remembered at most; then all is forgotten. */
#define FSM_READ_MAX   4096u /* rows */
#define FSM_READ_BYTES (8u << 20)

struct fsm_rows {
    struct kv *kv;
    const struct kv_snap *snap; /* NULL: the present state */
    uint32_t cf;
    uint32_t generation;
    struct fsm_fault fault;
    struct fsm_map overlay;
    /* Committed rows that get was asked for, and those it did not find: whoever writes the tables
     * alone (remembers) need not read them again. */
    bool remembers;
    struct fsm_map read;
    struct kv_iter *iter;  /* over the committed rows, opened by the first seek */
    bool stands;           /* iter is on a row */
    struct kv_value value; /* what the last get lent */
};

/* Where the tables lie, with generation and all that is open left out. */
void fsm_place(const struct fsm *fsm, struct fsm_rows *rows);

/* key.size <= SH_TABLE_KEY_MAX + 1, CHECKed. */
void fsm_key_make(struct fsm_key *out, uint32_t generation, enum fsm_kind kind, struct sh_span key);
struct sh_span fsm_key_span(const struct fsm_key *key);
struct sh_span fsm_key_name(const struct fsm_key *key); /* without its prefix */

/* Drops the overlay and whatever is lent or open. */
void fsm_rows_reset(struct fsm_rows *rows);
/* And gives all memory back. */
void fsm_rows_fini(struct fsm_rows *rows);
/* The overlay has been committed: what is remembered of its rows follows. Before the reset. */
void fsm_rows_settle(struct fsm_rows *rows);
/* Forgets what was read: somebody else wrote the tables. */
void fsm_rows_forget(struct fsm_rows *rows);
/* As in base/table.h; key, low and high may borrow from what an earlier call gave. */
bool fsm_rows_get(struct fsm_rows *rows, struct sh_span key, struct sh_span *value);
/* Into the overlay; gone: the key is deleted there. */
void fsm_rows_put(struct fsm_rows *rows, struct sh_span key, struct sh_span value, bool gone);
bool fsm_rows_seek(struct fsm_rows *rows, struct sh_span low, struct sh_span high, bool reverse,
                   struct sh_span *key, struct sh_span *value);

#endif
