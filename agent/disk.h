/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread that writes Raft's log. What waits while one fsync runs leaves together with the next
 * (group commit): at most DISK_BATCH_ENTRIES entries and DISK_BATCH_BYTES of payload a write.
 * Installing a snapshot and compacting the log are writes of their own, in the same order. After
 * an error, told once, nothing is written any more; the loop must stop the agent. */
#ifndef AGENT_DISK_H
#define AGENT_DISK_H

#include "queue.h"
#include "store/wal/wal.h"

#define DISK_QUEUE_MAX     8192u /* above what a core has unwritten: raft_limits.tail_entries */
#define DISK_BATCH_ENTRIES 1024u
#define DISK_BATCH_BYTES   (4u << 20)

struct disk;

/* A snapshot whose rows are in the store already, beside the live ones. */
struct disk_install {
    uint64_t index;
    uint64_t term;
    struct kv_batch flip; /* makes the rows live */
    /* On the disk thread, before the write: waits until nobody writes tables any more. False: the
     * agent is ending, and nothing is written. */
    bool (*quiet)(void *ctx);
    void *ctx;
};

/* One update of the core. memory holds entries and payloads in one block and is given to the disk
 * thread, which frees it. */
struct disk_write {
    uint64_t token; /* 0: nobody waits for it */
    bool sync;
    bool has_hard;
    struct wal_hard hard;
    uint32_t count;
    struct wal_entry *entries;
    void *memory;
    struct disk_install *install; /* given too; then hard is that of its index, and no entries */
    uint64_t compact_to;          /* not 0: forget the log up to there; hard is set, no entries */
};

struct disk_done {
    uint64_t token; /* everything up to it is durable; 0 with an error */
    enum sh_err err;
    uint32_t batched; /* writes that this fsync covered */
};

/* wal is borrowed and must not be written by anyone else until disk_stop. */
SH_MUST_USE enum sh_err disk_open(struct disk **out, struct wal *wal);
/* Writes what is queued, then ends the thread. */
void disk_stop(struct disk *disk);
void disk_close(struct disk *disk);

/* FULL: DISK_QUEUE_MAX writes wait; memory and install stay the caller's. */
SH_MUST_USE enum sh_err disk_submit(struct disk *disk, const struct disk_write *write);
void disk_install_free(struct disk_install *install); /* one that was not given */
/* Writes that wait now; what need not be written can be left out while there are many. */
uint32_t disk_waiting(struct disk *disk);
/* 99th percentile of how long a synced write took of late; 0: none yet. */
uint32_t disk_fsync_p99_us(struct disk *disk);
/* Of struct disk_done. */
struct queue *disk_done_queue(struct disk *disk);

#endif
