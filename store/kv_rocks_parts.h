/* SPDX-License-Identifier: Apache-2.0
 *
 * A store on RocksDB: what the files store/kv_rocks*.c share. Private to them. */
#ifndef SH_STORE_KV_ROCKS_PARTS_H
#define SH_STORE_KV_ROCKS_PARTS_H

#include "store/kv_ops.h"
#include "store/kv_rocks.h"
#include "store/redo.h"

#include <rocksdb/c.h>

/* Where the redo log stands, as a value in the tables: it changes with each batch. */
struct rocks_mark {
    struct redo_place place; /* behind the last batch that is in the tables */
    uint64_t large;          /* batches that were too large for the log */
};

struct rocks {
    struct kv base;
    char *path;
    uint64_t reserve;
    atomic_uint_least64_t ample_until_us; /* see KV_ROCKS_AMPLE_BYTES; 0: look at the disk */
    rocksdb_t *db;
    rocksdb_cache_t *cache;
    rocksdb_options_t *options;
    rocksdb_options_t *cf_options[KV_CFS_MAX + 1];
    /* Last: the one named "default", that every RocksDB has. It is empty without a redo log. */
    rocksdb_column_family_handle_t *cfs[KV_CFS_MAX + 1];
    enum kv_cf_kind kinds[KV_CFS_MAX];
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write_sync;
    rocksdb_writeoptions_t *write_async;

    struct redo *redo;         /* NULL: RocksDB's own log */
    pthread_mutex_t redo_lock; /* batches enter log and tables in one order */
    struct rocks_mark mark;    /* of the last batch */
    uint64_t persisted;        /* sectors whose batches are in table files, at least */
    rocksdb_writeoptions_t *write_bare;
    rocksdb_readoptions_t *read_tables;
};

static inline struct rocks *rocks_of(struct kv *kv)
{
    return (struct rocks *)(void *)kv;
}

extern const struct kv_ops kv_rocks_ops;

void kv_rocks_close(struct kv *kv);
/* Takes error (NULL: none), keeps its words. */
SH_MUST_USE enum sh_err kv_rocks_take_error(struct rocks *rocks, char *error);
/* Whether RocksDB may be given that operation, see KV_CF_ROWS. */
bool kv_rocks_takes(const struct rocks *rocks, const struct kv_op *op);
/* It takes all of the batch, CHECKed. */
void kv_rocks_add_batch(struct rocks *rocks, rocksdb_writebatch_t *to,
                        const struct kv_batch *batch);

/* ---- with a redo log (kv_rocks_redo.c) ---- */

/* Opens the log and brings the tables up to its end. */
SH_MUST_USE enum sh_err kv_rocks_redo_open(struct rocks *rocks, char *why);
/* NO_SPACE and others with nothing broken. */
SH_MUST_USE enum sh_err kv_rocks_redo_room(struct rocks *rocks, size_t bytes);
/* to holds the same as batch. */
SH_MUST_USE enum sh_err kv_rocks_redo_write(struct rocks *rocks, const struct kv_batch *batch,
                                            rocksdb_writebatch_t *to, bool sync);
/* Everything that was written before is in table files. */
SH_MUST_USE enum sh_err kv_rocks_redo_flush(struct rocks *rocks);

#endif
