/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of the replicated state machine: binds base/table.h to one column family of the state
 * store. Rows and the position in Raft's log that they are the result of change in one batch.
 *
 *   fsm   00000000 00 "g"        live generation (u32)
 *         <generation> 00 "a"    applied index and term, hash
 *         <generation> 00 "c"    index and bytes of Raft's configuration, hash
 *         <generation> 01 KEY    a row
 *
 * generation is a big-endian u32 >= 1: a snapshot is installed beside the live rows and then made
 * live by one write (snapshot.h).
 *
 * Threads: one owner for struct fsm and its table; each struct fsm_view has an owner of its own and
 * may be opened by any thread. */
#ifndef SH_STORE_FSM_H
#define SH_STORE_FSM_H

#include "base/table.h"
#include "store/kv.h"

#define FSM_CONF_BYTES_MAX  65536u
#define FSM_CHUNK_BYTES_MIN (SH_TABLE_VALUE_MAX + SH_TABLE_KEY_MAX + 8u) /* one row always fits */

/* A disk that fails a read below sh_table's calls, which cannot fail. stop says so to the operator
 * and ends the process; it must not return. NULL: panic with the same words. */
struct fsm_fault {
    void (*stop)(void *ctx, enum sh_err err, const char *text);
    void *ctx;
};

struct fsm_applied {
    uint64_t index; /* 0: nothing yet */
    uint64_t term;
    uint64_t conf_index; /* log index that conf comes from */
    size_t conf_size;
    uint8_t conf[FSM_CONF_BYTES_MAX]; /* opaque */
};

struct fsm;
struct fsm_view;

/* applied may be NULL. Rows of an installation that was not finished are deleted. Errors: CORRUPT,
 * VERSION, kv's. kv is borrowed until fsm_close. */
SH_MUST_USE enum sh_err fsm_open(struct kv *kv, uint32_t cf, const struct fsm_fault *fault,
                                 struct fsm **out, struct fsm_applied *applied);
void fsm_close(struct fsm *fsm); /* an open transaction is dropped */
/* Goes on with the generation that a snapshot's installation has made live; not within a
 * transaction, CHECKed. applied may be NULL. */
SH_MUST_USE enum sh_err fsm_switch(struct fsm *fsm, struct fsm_applied *applied);

/* Begins a transaction and gives its table: reads see the rows committed before and the writes of
 * this transaction. The table is valid until commit or abort. One transaction at a time, CHECKed.
 */
const struct sh_table *fsm_begin(struct fsm *fsm);
/* Writes the rows and applied {index, term} (index >= the last one, CHECKed) atomically; conf as
 * the configuration of conf_index, or unchanged with conf.size 0. Without sync a crash may take
 * back whole commits, newest first; Raft's log then repeats them, so keep the log until a later
 * synced write (wal_compact is one). */
SH_MUST_USE enum sh_err fsm_commit(struct fsm *fsm, uint64_t index, uint64_t term,
                                   uint64_t conf_index, struct sh_span conf, bool sync);
void fsm_abort(struct fsm *fsm);
uint64_t fsm_applied_index(const struct fsm *fsm); /* owner only */
/* Not OK: a write to the store has failed, whosever it was, and it takes no more. Any thread. */
enum sh_err fsm_health(const struct fsm *fsm);

/* ---- one consistent state, read-only, for any thread ---- */

/* Sees all commits that had returned before; put and del of its table panic. Hold it briefly. */
SH_MUST_USE enum sh_err fsm_view_open(struct fsm *fsm, struct fsm_view **out);
void fsm_view_close(struct fsm_view *view);
const struct sh_table *fsm_view_table(struct fsm_view *view);
uint64_t fsm_view_index(const struct fsm_view *view); /* applied index that it shows */
/* The applied record that it shows. */
SH_MUST_USE enum sh_err fsm_view_applied(struct fsm_view *view, struct fsm_applied *out);

/* Rows in key order as a stream of chunks: the body of a snapshot. Fills out (size >=
 * FSM_CHUNK_BYTES_MIN) with whole rows, beginning after the rows given before, until enough bytes
 * are used or the next row does not fit; returns the bytes used, 0 when all rows have been given. A
 * row: u32 key size, u32 value size, key, value. */
size_t fsm_view_scan(struct fsm_view *view, uint8_t *out, size_t size, size_t enough);

/* Takes the next row of a chunk; the spans borrow it. False at its end; where the bytes are damaged
 * chunk->bad is set then (sh_reader_end answers CORRUPT). */
bool fsm_chunk_row(struct sh_reader *chunk, struct sh_span *key, struct sh_span *value);

#endif
