/* SPDX-License-Identifier: Apache-2.0
 *
 * A snapshot of the tables as a stream of chunks, from one store into another.
 *
 * Going out: one consistent state, scanned in key order while the owner goes on committing. Coming
 * in: the rows of a new generation, written beside the live one, which stays what it is until one
 * batch of the caller's makes the new one live and drops the old one. What an installation that did
 * not get there has written is deleted by the next one, or by fsm_open.
 *
 *   chunk  u8 version, u8 kind, u64 snapshot, u32 number (0, 1, ...), u64 hash of what is before
 *          and after it, then by kind
 *          HEAD  u32 schema, u64 index, u64 term, u64 conf_index, blob configuration
 *          ROWS  blob first key, then rows as fsm_view_scan gives them
 *          END   u64 rows, u64 bytes of all chunks before, their BLAKE2b-256
 *
 * Threads: fsm_out and fsm_in have one owner each, any thread; struct fsm may be in use by its own
 * meanwhile, until fsm_switch. */
#ifndef SH_STORE_FSM_SNAPSHOT_H
#define SH_STORE_FSM_SNAPSHOT_H

#include "store/fsm/fsm.h"

#define FSM_SNAPSHOT_CHUNK_MAX (1u << 20) /* bytes of a chunk */

struct fsm_out;
struct fsm_in;

/* id tells the chunks of this stream from others'; schema is that of the rows, as the reader must
 * know it. Pins one state of the store until fsm_out_close. Errors: kv's, CORRUPT, VERSION. */
SH_MUST_USE enum sh_err fsm_out_open(struct fsm *fsm, uint64_t id, uint32_t schema,
                                     struct fsm_out **out);
void fsm_out_close(struct fsm_out *out);
/* Chunks end with the row that brings them to so many bytes; unless given, as many as fit. */
void fsm_out_pace(struct fsm_out *out, size_t bytes);
/* The next chunk into bytes (FSM_SNAPSHOT_CHUNK_MAX of them); its size, 0 when END was given. */
size_t fsm_out_next(struct fsm_out *out, uint8_t *bytes);
const struct fsm_applied *fsm_out_applied(const struct fsm_out *out);

/* Begins an installation; one at a time in one store. schema: the only one this program takes. */
SH_MUST_USE enum sh_err fsm_in_open(struct fsm *fsm, uint32_t schema, struct fsm_in **out);
/* Deletes what was written, but for a generation that was given away. */
void fsm_in_close(struct fsm_in *in);
/* The chunks in order. CORRUPT: not the next chunk of this stream, or damaged; VERSION: of another
 * format or schema; kv's errors. After an error only fsm_in_close. Nothing is synced. */
SH_MUST_USE enum sh_err fsm_in_take(struct fsm_in *in, struct sh_span chunk);
bool fsm_in_complete(const struct fsm_in *in); /* END has passed its digest */
uint32_t fsm_in_next(const struct fsm_in *in); /* number of the chunk that is expected */
uint64_t fsm_in_rows(const struct fsm_in *in);
uint64_t fsm_in_bytes(const struct fsm_in *in);
/* The state that it holds; zeros before HEAD. */
const struct fsm_applied *fsm_in_applied(const struct fsm_in *in);
/* Adds to batch what makes it live and drops the generation that was (complete, CHECKed). Before
 * such a batch is written: fsm_in_give, so that nothing deletes what may be live; when it has been
 * written with sync: fsm_switch by the owner of struct fsm. */
void fsm_in_flip(const struct fsm_in *in, struct kv_batch *batch);
void fsm_in_give(struct fsm_in *in);

#endif
