/* SPDX-License-Identifier: Apache-2.0
 *
 * Raft's log, hard state and the identity of the voter, in two column families of the state store.
 *
 *   meta  "id"     version, cluster id, node id, handle, boots, hash
 *         "hard"   version, term, vote, commit, hash
 *         "first"  version, index and term of the last entry compacted away, hash
 *   log   big-endian u64 index -> version, type, term, hash, payload
 *
 * Every record carries a 64-bit hash seeded with its place, so that rot and misplaced rows answer
 * CORRUPT. What has been applied, and the configuration as of then, belong to store/fsm: they must
 * change in the batch that changes the tables.
 *
 * Threads: one owner calls everything; only wal_read may also be called by others meanwhile (a
 * range that is truncated or compacted under it answers NOT_FOUND or the old entries, never a
 * mixture of terms that did not exist). After an error of a write the wal must be closed
 * (store/kv.h). */
#ifndef SH_STORE_WAL_H
#define SH_STORE_WAL_H

#include "base/limits.h"
#include "store/kv.h"

#define WAL_ENTRY_BYTES_MAX (1u << 20) /* payload; CHECKed when written, CORRUPT when read */
#define WAL_SAVE_COUNT_MAX  4096u      /* entries of one wal_save */
#define WAL_RUNS_MAX        (1u << 20) /* terms in the log; wal_save answers FULL past it */

struct wal_entry {
    uint64_t index;
    uint64_t term;
    uint8_t type;
    struct sh_span bytes;
};

struct wal_hard {
    uint64_t term;
    uint64_t vote; /* 0: none */
    uint64_t commit;
};

struct wal_identity {
    uint8_t cluster[SH_CLUSTER_ID_BYTES];
    uint8_t node[SH_NODE_ID_BYTES];
    uint64_t handle; /* Raft's number of this node; 0: not admitted yet */
    uint64_t boots;  /* how often this directory has been started */
};

/* Entries of one term: from first up to the next run (or the last entry). */
struct wal_run {
    uint64_t first;
    uint64_t term;
};

struct wal_boot {
    bool has_identity;
    struct wal_identity identity;
    struct wal_hard hard;     /* zeros in a new store */
    uint64_t compacted_index; /* 0: the log starts at 1 */
    uint64_t compacted_term;
    uint64_t last_index; /* compacted_index when the log is empty */
    uint64_t last_term;
};

struct wal;

/* Reads and verifies the whole log: O(bytes of the log). Errors: CORRUPT (a hash, a gap, a term
 * that falls, a commit past the end), VERSION. kv is borrowed until wal_close. */
SH_MUST_USE enum sh_err wal_open(struct kv *kv, uint32_t cf_log, uint32_t cf_meta,
                                 struct wal_boot *boot, struct wal **out);
void wal_close(struct wal *wal);

/* Durable when it returns OK. */
SH_MUST_USE enum sh_err wal_put_identity(struct wal *wal, const struct wal_identity *identity);

/* One atomic batch. Entries have consecutive indexes; the first replaces whatever the log holds
 * from there on (compacted < index <= last + 1, CHECKed; terms never fall). hard NULL: unchanged.
 * With sync it is durable when it returns OK. Errors: FULL, and kv_write's. */
SH_MUST_USE enum sh_err wal_save(struct wal *wal, const struct wal_hard *hard,
                                 const struct wal_entry *entries, uint32_t count, bool sync);

/* Entries low <= index < high into out, payloads into buffer, until capacity, size or high is
 * reached: *count of them, at least one; fewer where some are at hand and the next one is not.
 * Errors: NOT_FOUND (low is compacted or past the end), LIMIT (buffer too small for the first
 * payload; WAL_ENTRY_BYTES_MAX always suffices), CORRUPT. */
SH_MUST_USE enum sh_err wal_read(struct wal *wal, uint64_t low, uint64_t high,
                                 struct wal_entry *out, uint32_t capacity, void *buffer,
                                 size_t size, uint32_t *count);

uint64_t wal_last_index(const struct wal *wal);
uint64_t wal_compacted_index(const struct wal *wal);
/* Term of an entry, also of the compacted one; NOT_FOUND outside. From memory, O(log terms). */
SH_MUST_USE enum sh_err wal_term(const struct wal *wal, uint64_t index, uint64_t *term);
/* Terms of the log, oldest first; borrowed until the next wal_save or wal_compact. */
const struct wal_run *wal_runs(const struct wal *wal, uint32_t *count);

/* Forgets entries up to and including upto (compacted <= upto <= commit, CHECKed). The caller makes
 * sure that they are applied. Durable, and so is every batch written to this store before. */
SH_MUST_USE enum sh_err wal_compact(struct wal *wal, uint64_t upto);

/* Replaces the log by a snapshot that ends with the entry {index, term} (commit < index, CHECKed):
 * no entry is left, index counts as compacted. with (NULL: nothing) holds what makes the tables
 * those of the snapshot; all of it is one durable batch, so a crash leaves the old log and tables
 * or the new ones. */
SH_MUST_USE enum sh_err wal_install(struct wal *wal, uint64_t index, uint64_t term,
                                    const struct wal_hard *hard, const struct kv_batch *with);

/* ---- records, for tests and tools: bytes from the disk never panic ---- */

#define WAL_ENTRY_HEAD_BYTES 18u /* version 1, type 1, term 8, hash 8 */

/* out has WAL_ENTRY_HEAD_BYTES + payload; returns the size. */
size_t wal_entry_encode(const struct wal_entry *entry, uint8_t *out);
/* entry->bytes borrows value. */
SH_MUST_USE enum sh_err wal_entry_decode(uint64_t index, struct sh_span value,
                                         struct wal_entry *entry);

#endif
