/* SPDX-License-Identifier: Apache-2.0
 *
 * The last entries of a log as they were written, for those who read them a moment later: to open
 * an iterator of the store costs as much as to apply some entries. Private to store/wal.
 *
 * Threads: any may read; one owner calls the rest. */
#ifndef SH_STORE_WAL_TAIL_H
#define SH_STORE_WAL_TAIL_H

#include "store/wal/wal.h"

#define WAL_TAIL_ENTRIES     2048u
#define WAL_TAIL_ENTRY_BYTES 512u /* payload; a larger one is left to the store */

struct wal_tail;

struct wal_tail *wal_tail_open(void); /* NULL: no memory */
void wal_tail_close(struct wal_tail *tail);

/* The log has these entries now, and none behind the last of them. */
void wal_tail_put(struct wal_tail *tail, const struct wal_entry *entries, uint32_t count);
/* Entries up to and including upto are forgotten. */
void wal_tail_compact(struct wal_tail *tail, uint64_t upto);
/* And all others: the log goes on behind index. */
void wal_tail_install(struct wal_tail *tail, uint64_t index);
/* As wal_read, of one state of the log; 0: read the store. */
uint32_t wal_tail_read(struct wal_tail *tail, uint64_t low, uint64_t high, struct wal_entry *out,
                       uint32_t capacity, void *buffer, size_t size);

#endif
