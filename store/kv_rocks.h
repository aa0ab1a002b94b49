/* SPDX-License-Identifier: Apache-2.0
 *
 * kv on RocksDB, one directory per store. Tuned for an agent beside a training job: two background
 * threads for all stores of the process, at most 8 MiB of blocks cached (with "redo" 32 MiB) and
 * about 8 MiB of write buffers each.
 *
 * The write-ahead log is recovered with kTolerateCorruptedTailRecords: a record cut off at the very
 * end (a power cut) is dropped, any other damage refuses the store with CORRUPT. RocksDB's default
 * would open such a store silently without all that follows the damage.
 *
 * With "redo" the log is store/redo.h instead, in the same directory, for a store whose writes are
 * small, synced and waited for: RocksDB's log grows with each of them, and the file system's
 * journal is committed with it. What lies in the tables names the place in the log behind it, so
 * that both change together: all column families are flushed as one. A store of large values keeps
 * RocksDB's log, for it would come round the ring all the time. A store that has a redo log is
 * opened with one; one that has none yet gets it.
 *
 * A batch that is larger than a file of the ring goes to the table files at once. */
#ifndef SH_STORE_KV_ROCKS_H
#define SH_STORE_KV_ROCKS_H

#include "store/kv.h"

/* Free space that a write leaves to RocksDB's own flushes: below it kv_write answers NO_SPACE. That
 * is no failure of the store; writes go on once there is room again. */
#define KV_ROCKS_RESERVE_BYTES (32u << 20)
#define KV_ROCKS_YIELD_BYTES   (96u << 20) /* the same for a store that yields */
/* Where that much more is free, batches of up to KV_ROCKS_UNSEEN_BYTES do not look at the disk
 * again for that long: looking costs as much as a small batch does. */
#define KV_ROCKS_AMPLE_BYTES  (1u << 30)
#define KV_ROCKS_AMPLE_US     50000u
#define KV_ROCKS_UNSEEN_BYTES (1u << 20)

struct kv_rocks_options {
    const char *path; /* directory; its parent must exist */
    const struct kv_cf *cfs;
    uint32_t cf_count;
    bool create; /* false: a directory without a store is NOT_FOUND */
    bool redo;   /* a log of its own instead of RocksDB's, see above */
    bool yields; /* stops earlier, so that another store on the same disk can go on */
};

/* why (KV_TEXT_BYTES) receives one line for the operator on failure. Errors: NOT_FOUND; CORRUPT
 * (damaged, or files of a store without its head: never created anew over them); VERSION (it has a
 * column family that this program does not know); IN_USE (open elsewhere); DENIED; NO_SPACE; IO. On
 * failure the files are as they were. */
SH_MUST_USE enum sh_err kv_rocks_open(const struct kv_rocks_options *options, struct kv **out,
                                      char *why);

#endif
