/* SPDX-License-Identifier: Apache-2.0
 *
 * Ordered byte-string store in column families, with atomic batches. Two implementations behind one
 * contract: kv_rocks (RocksDB) and kv_mem (simulator, tests), examined by one suite
 * (tests/contract/kv_contract.c).
 *
 * Column families are fixed when a store is opened and addressed by their position in that list.
 * Keys have 1..KV_KEY_BYTES_MAX bytes and compare as unsigned bytes. A span with size 0 stands for
 * "no bound" where a bound is asked for.
 *
 * Threads: every function may be called from any thread, except that one batch, iterator or value
 * belongs to one thread at a time. Batches take effect one after the other; after kv_write returned
 * OK every later read sees the batch, and a batch is never seen in part. What a kv_write with sync
 * returned OK for survives any crash, together with every batch written before it; without sync it
 * survives the end of this process but not a power cut.
 * NO_SPACE may also mean that nothing was tried (kv_rocks keeps a reserve); kv_health is then OK.
 *
 * Failure: after a write or flush has failed, every later write and flush answers that same error
 * until the store is opened again (a failed fsync tells nothing about what is on the disk, so it is
 * never repeated); reads go on. Errors of every function: IO, NO_SPACE, CORRUPT, NO_MEMORY, and
 * what is named beside it. kv_error_text has the original words. */
#ifndef SH_STORE_KV_H
#define SH_STORE_KV_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define KV_CFS_MAX         8u
#define KV_KEY_BYTES_MAX   1024u       /* CHECKed: keys are made by this program */
#define KV_BATCH_BYTES_MAX (64u << 20) /* beyond it kv_write answers LIMIT and writes nothing */
#define KV_TEXT_BYTES      512u        /* an error text with its NUL */
#define KV_RUN_BYTES       6u          /* see KV_CF_ROWS */

enum kv_cf_kind {
    KV_CF_SMALL, /* small values, many of them read again: not compressed */
    KV_CF_ROWS, /* the same, where most keys follow the last one with the same KV_RUN_BYTES; where a
                   range is deleted, its low bound is shorter than that, CHECKed by kv_rocks */
    KV_CF_TEXT, /* rows that compress well */
    KV_CF_LARGE /* values of 64 KiB and more, kept out of compaction */
};

struct kv_cf {
    const char *name;
    enum kv_cf_kind kind; /* a hint for kv_rocks */
};

struct kv;      /* given by kv_mem_open or kv_rocks_open, taken by kv_close */
struct kv_snap; /* one consistent state of all column families */
struct kv_iter;

/* Every batch, iterator, value and snapshot must be released before. Nothing is flushed: what was
 * not synced has the fate described above. A store on disk whose write failed stays locked until
 * this process ends. */
void kv_close(struct kv *kv);
/* The words of the last failure, empty when there was none. out has KV_TEXT_BYTES bytes. */
void kv_error_text(struct kv *kv, char *out);
/* OK, or the error that every write answers since. */
enum sh_err kv_health(const struct kv *kv);

/* The order of keys: as memcmp; a shorter key sorts before its extensions. */
int kv_compare(struct sh_span a, struct sh_span b);

/* ---- reading; snap NULL reads the present state ---- */

struct kv_value { /* at is borrowed from the value until kv_value_free */
    struct sh_span bytes;
    void *owner;
    void (*release)(void *owner);
};

/* NOT_FOUND leaves *value empty (freeing an empty value is allowed). O(log n). */
SH_MUST_USE enum sh_err kv_get(struct kv *kv, const struct kv_snap *snap, uint32_t cf,
                               struct sh_span key, struct kv_value *value);
void kv_value_free(struct kv_value *value);
/* The same, copied into the caller's buffer; LIMIT when it does not fit. *used is the value's size
 * in both cases, 0 with NOT_FOUND. */
SH_MUST_USE enum sh_err kv_get_into(struct kv *kv, const struct kv_snap *snap, uint32_t cf,
                                    struct sh_span key, void *out, size_t size, size_t *used);

/* Holds back the space of what is deleted meanwhile: release it soon. */
SH_MUST_USE enum sh_err kv_snap_open(struct kv *kv, struct kv_snap **out);
void kv_snap_close(struct kv *kv, struct kv_snap *snap);

/* Iterator over low <= key < high as the store is now (or as snap is); starts on no pair. The
 * bounds are copied; snap must outlive the iterator. */
SH_MUST_USE enum sh_err kv_iter_open(struct kv *kv, const struct kv_snap *snap, uint32_t cf,
                                     struct sh_span low, struct sh_span high, struct kv_iter **out);
void kv_iter_close(struct kv_iter *iter);
/* Each moves and answers whether there is a pair; after false look at kv_iter_error. O(log n). */
bool kv_iter_first(struct kv_iter *iter);
bool kv_iter_last(struct kv_iter *iter);
bool kv_iter_seek(struct kv_iter *iter, struct sh_span key);        /* the first >= key */
bool kv_iter_seek_before(struct kv_iter *iter, struct sh_span key); /* the last < key */
bool kv_iter_next(struct kv_iter *iter); /* CHECKs that it stands on a pair */
bool kv_iter_prev(struct kv_iter *iter);
/* Borrowed until the next move. Only while it stands on a pair. */
struct sh_span kv_iter_key(const struct kv_iter *iter);
struct sh_span kv_iter_value(const struct kv_iter *iter);
SH_MUST_USE enum sh_err kv_iter_error(struct kv_iter *iter);

/* ---- writing ---- */

/* Operations in order; a later one on the same key wins. Lives in the caller's struct; bytes are
 * copied into memory of its own that is kept between uses. Running out of memory or passing
 * KV_BATCH_BYTES_MAX makes the batch bad: kv_write then answers NO_MEMORY or LIMIT. */
struct kv_batch {
    uint8_t *at;
    size_t used;
    size_t capacity;
    uint32_t count;
    enum sh_err err;
};

void kv_batch_init(struct kv_batch *batch);
void kv_batch_fini(struct kv_batch *batch);
void kv_batch_clear(struct kv_batch *batch);
void kv_batch_put(struct kv_batch *batch, uint32_t cf, struct sh_span key, struct sh_span value);
void kv_batch_del(struct kv_batch *batch, uint32_t cf, struct sh_span key);
/* low <= key < high; both unbounded clears the column family. O(1) in kv_rocks. */
void kv_batch_del_range(struct kv_batch *batch, uint32_t cf, struct sh_span low,
                        struct sh_span high);

/* The operations of from after those that are there; a bad one makes the batch bad too. */
void kv_batch_add(struct kv_batch *batch, const struct kv_batch *from);

/* All or nothing. The batch is borrowed and stays as it is. An empty batch with sync is a barrier:
 * everything written before is durable after it. */
SH_MUST_USE enum sh_err kv_write(struct kv *kv, const struct kv_batch *batch, bool sync);
/* Moves everything written into table files, so that no log replay is left to do at open. */
SH_MUST_USE enum sh_err kv_flush(struct kv *kv);

/* Gives the space of what was deleted in a range back to the disk, as far as it can; low and high
 * as in kv_batch_del_range. Takes as long as reading what is left there. Changes nothing that is
 * read.
 */
SH_MUST_USE enum sh_err kv_compact(struct kv *kv, uint32_t cf, struct sh_span low,
                                   struct sh_span high);

/* A copy of the whole store in a new directory (its parent exists, it does not), as of one moment
 * during the call, synced; files that never change are linked where the file system allows it.
 * EXISTS; UNSUPPORTED in memory. */
SH_MUST_USE enum sh_err kv_checkpoint(struct kv *kv, const char *path);

#define KV_SPAN(bytes, length) ((struct sh_span){.at = (const uint8_t *)(bytes), .size = (length)})
#define KV_ALL                 ((struct sh_span){.at = NULL, .size = 0})

#endif
