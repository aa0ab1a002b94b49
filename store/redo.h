/* SPDX-License-Identifier: Apache-2.0
 *
 * Redo log of a store: batches of bytes in a ring of files that are created full of zeros and
 * overwritten for ever, so that making a batch durable writes data only. (A log that grows commits
 * the file system's journal with each fdatasync: twice the time, and thirty times at the 99th
 * percentile.)
 *
 * A sector has REDO_SECTOR_BYTES, is written whole, and is never rewritten once it may be durable:
 *
 *   number u64   place in the endless stream of sectors; number mod (sectors of all slots) is its
 *                place in the files "redo-0" .. "redo-3"
 *   hash u64     over everything else in it
 *   durable u64  sectors with smaller numbers were known to be synced when this was written
 *   link u32     of the sector before: the low half of its hash
 *   life u32     drawn when the log was opened: equal batches of two lives have unequal hashes
 *   used u16     bytes of payload
 *   flags u16    FIRST, LAST of a batch
 *   payload
 *
 * Numbers are little-endian. A batch begins in a sector of its own; its first byte is the caller's
 * "kind".
 *
 * What redo_open makes of what it finds; n is the number that comes next, at first options.from's.
 * The log ends at n where the ring has
 *
 *   - zeros or a smaller number there: an older round;
 *   - n with another link: left by a life that crashed, never acknowledged;
 *   - a batch whose LAST sector is not there: it is dropped as a whole.
 *
 * CORRUPT are
 *
 *   - a wrong hash anywhere in the ring (a sector is written whole), or a sector in a place that is
 *     not its number's;
 *   - a larger number in n's place, or one that is a whole round ahead of options.from: the tables
 *     are older than those that this log was written with;
 *   - a number from the end on that says that more than that was durable: what was acknowledged is
 *     gone;
 *   - a file that is not there though it had been written, or has another size (slot k + 1 exists
 *     before slot k is written, so that the loss of the last one is noticed);
 *   - fields that nobody writes.
 *
 * Not noticed: the loss of the last synced batch where nothing was written after it.
 *
 * Threads: one at a time calls redo_room, redo_floor and redo_append (the caller's lock); redo_sync
 * may be called by any at any time. After an error of redo_append or redo_sync, or redo_fail,
 * nothing is written and nothing acknowledged any more. */
#ifndef SH_STORE_REDO_H
#define SH_STORE_REDO_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define REDO_SLOTS         4u
#define REDO_SLOT_BYTES    (8u << 20) /* one file */
#define REDO_SECTOR_BYTES  512u
#define REDO_HEAD_BYTES    36u
#define REDO_PAYLOAD_BYTES (REDO_SECTOR_BYTES - REDO_HEAD_BYTES)
#define REDO_TEXT_BYTES    512u

enum { REDO_FIRST = 1, REDO_LAST = 2 };

struct redo;

/* Behind a batch: the number of the next sector and what its link must be. Zeros: the beginning. */
struct redo_place {
    uint64_t number;
    uint32_t link;
};

struct redo_options {
    const char *path;       /* directory, it exists */
    uint32_t slot_bytes;    /* REDO_SLOT_BYTES; tests take less. A multiple of the sector, >= 2 */
    struct redo_place from; /* everything before is elsewhere: the log is read from here */
    bool known;             /* there was a log here: no file at all is CORRUPT */
    uint32_t life;          /* random */
};

/* Finds the end of the log and judges the whole ring; creates the files that a new log begins with.
 * why (REDO_TEXT_BYTES) receives one line on failure. Errors: CORRUPT, NO_SPACE, DENIED, IO. What
 * was there stays as it was. */
SH_MUST_USE enum sh_err redo_open(const struct redo_options *options, struct redo **out, char *why);
void redo_close(struct redo *redo); /* syncs nothing */

/* Hands over the batches from options.from to the end, in order; bytes are borrowed for the call.
 * Ends with the first error of each. Before the first redo_append. */
SH_MUST_USE enum sh_err redo_replay(struct redo *redo,
                                    enum sh_err (*each)(void *ctx, uint8_t kind,
                                                        struct sh_span bytes,
                                                        const struct redo_place *behind),
                                    void *ctx, char *why);

/* Whether a batch of that many bytes fits at all; the caller needs another way for larger ones. */
bool redo_fits(const struct redo *redo, size_t bytes);
/* Creates the files that such a batch needs. NO_SPACE and other errors break nothing. */
SH_MUST_USE enum sh_err redo_room(struct redo *redo, size_t bytes);
/* Such a batch overwrites sectors with smaller numbers than this: all batches that begin before it
 * must be safe elsewhere. */
uint64_t redo_floor(const struct redo *redo, size_t bytes);
/* Written, not synced: it survives the end of this process. CHECKs redo_fits. */
SH_MUST_USE enum sh_err redo_append(struct redo *redo, uint8_t kind, struct sh_span bytes,
                                    struct redo_place *behind);
/* All sectors with smaller numbers than upto are durable when it returns OK. */
SH_MUST_USE enum sh_err redo_sync(struct redo *redo, uint64_t upto);
/* The caller's own write failed: this log answers err from now on. */
void redo_fail(struct redo *redo, enum sh_err err);

struct redo_place redo_end(const struct redo *redo); /* as redo_append, the caller's lock */
/* Bytes on the disk that the log will still take for files it has not created. Any thread. */
uint64_t redo_missing_bytes(struct redo *redo);
/* Words of the last failure. out has REDO_TEXT_BYTES. Any thread. */
void redo_error_text(struct redo *redo, char *out);

/* ---- a directory whose tables came without their log: a copy ---- */

/* Marks it: the log begins anew there. Durable. */
SH_MUST_USE enum sh_err redo_mark(const char *path, char *why);
/* Whether it is marked; then what files of a log are there are removed. */
SH_MUST_USE enum sh_err redo_wipe_marked(const char *path, bool *marked, char *why);
/* When the new log is there and the tables know it. Durable. */
SH_MUST_USE enum sh_err redo_unmark(const char *path, char *why);
/* Whether files of a log lie there. */
bool redo_present(const char *path);

/* ---- for tests ---- */

/* Puts the right hash into a sector. */
void redo_seal(uint8_t sector[static REDO_SECTOR_BYTES]);

#endif
