/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kv_rocks_parts.h"

#include "base/host/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

struct kv_snap {
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *read;
};

struct rocks_iter {
    struct kv_iter base;
    struct rocks *rocks;
    rocksdb_iterator_t *it;
    rocksdb_readoptions_t *read;
    struct sh_span low;
    struct sh_span high;
    uint8_t bounds[]; /* RocksDB keeps pointers to its bounds */
};

static const char *chars(struct sh_span span)
{
    return span.size > 0 ? (const char *)span.at : "";
}

/* The one place where RocksDB's words become our errors. */
static enum sh_err err_of_text(const char *text)
{
    if (strstr(text, "No space left on device") != NULL ||
        strstr(text, "Disk quota exceeded") != NULL) {
        return SH_ERR_NO_SPACE;
    }
    if (strstr(text, "lock hold by current process") != NULL ||
        strstr(text, "While lock file") != NULL) {
        return SH_ERR_IN_USE;
    }
    if (strstr(text, "Permission denied") != NULL ||
        strstr(text, "Read-only file system") != NULL) {
        return SH_ERR_DENIED;
    }
    if (strncmp(text, "Corruption", strlen("Corruption")) == 0) {
        return SH_ERR_CORRUPT;
    }
    return SH_ERR_IO;
}

enum sh_err kv_rocks_take_error(struct rocks *rocks, char *error)
{
    if (error == NULL) {
        return SH_OK;
    }
    enum sh_err err = err_of_text(error);
    kv_base_say(&rocks->base, error);
    rocksdb_free(error);
    return err;
}

/* RocksDB counts what each thread does in variables of that thread, which nobody reads here. */
static void count_nothing(void)
{
    static _Thread_local bool told;
    if (!told) {
        rocksdb_set_perf_level(rocksdb_disable);
        told = true;
    }
}

static void release_slice(void *owner)
{
    rocksdb_pinnableslice_destroy(owner);
}

static enum sh_err rocks_get(struct kv *kv, const struct kv_snap *snap, uint32_t cf,
                             struct sh_span key, struct kv_value *value)
{
    struct rocks *rocks = rocks_of(kv);
    char *error = NULL;
    count_nothing();
    rocksdb_readoptions_t *read = snap != NULL ? snap->read : rocks->read;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned_cf(rocks->db, read, rocks->cfs[cf], chars(key), key.size, &error);
    if (error != NULL) {
        return kv_rocks_take_error(rocks, error);
    }
    if (slice == NULL) {
        return SH_ERR_NOT_FOUND;
    }
    size_t size = 0;
    const char *at = rocksdb_pinnableslice_value(slice, &size);
    *value =
        (struct kv_value){.bytes = KV_SPAN(at, size), .owner = slice, .release = release_slice};
    return SH_OK;
}

static enum sh_err rocks_snap_open(struct kv *kv, struct kv_snap **out)
{
    struct kv_snap *snap = malloc(sizeof *snap);
    if (snap == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    snap->snapshot = rocksdb_create_snapshot(rocks_of(kv)->db);
    snap->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(snap->read, snap->snapshot);
    *out = snap;
    return SH_OK;
}

static void rocks_snap_close(struct kv *kv, struct kv_snap *snap)
{
    rocksdb_readoptions_destroy(snap->read);
    rocksdb_release_snapshot(rocks_of(kv)->db, snap->snapshot);
    free(snap);
}

static struct rocks_iter *iter_of(struct kv_iter *iter)
{
    return (struct rocks_iter *)(void *)iter;
}

static const struct rocks_iter *iter_of_const(const struct kv_iter *iter)
{
    return (const struct rocks_iter *)(const void *)iter;
}

static void iter_close(struct kv_iter *base)
{
    struct rocks_iter *iter = iter_of(base);
    rocksdb_iter_destroy(iter->it);
    rocksdb_readoptions_destroy(iter->read);
    free(iter);
}

static bool iter_stands(struct rocks_iter *iter)
{
    return rocksdb_iter_valid(iter->it) != 0;
}

static bool iter_first(struct kv_iter *base)
{
    struct rocks_iter *iter = iter_of(base);
    rocksdb_iter_seek_to_first(iter->it);
    return iter_stands(iter);
}

static bool iter_last(struct kv_iter *base)
{
    struct rocks_iter *iter = iter_of(base);
    rocksdb_iter_seek_to_last(iter->it);
    return iter_stands(iter);
}

static bool iter_seek(struct kv_iter *base, struct sh_span key)
{
    struct rocks_iter *iter = iter_of(base);
    rocksdb_iter_seek(iter->it, chars(key), key.size);
    return iter_stands(iter);
}

static bool iter_seek_before(struct kv_iter *base, struct sh_span key)
{
    struct rocks_iter *iter = iter_of(base);
    rocksdb_iter_seek_for_prev(iter->it, chars(key), key.size);
    if (iter_stands(iter) && kv_compare(iter->base.ops->key(base), key) == 0) {
        rocksdb_iter_prev(iter->it);
    }
    return iter_stands(iter);
}

static bool iter_next(struct kv_iter *base)
{
    struct rocks_iter *iter = iter_of(base);
    rocksdb_iter_next(iter->it);
    return iter_stands(iter);
}

static bool iter_prev(struct kv_iter *base)
{
    struct rocks_iter *iter = iter_of(base);
    rocksdb_iter_prev(iter->it);
    return iter_stands(iter);
}

static struct sh_span iter_key(const struct kv_iter *base)
{
    size_t size = 0;
    const char *at = rocksdb_iter_key(iter_of_const(base)->it, &size);
    return KV_SPAN(at, size);
}

static struct sh_span iter_value(const struct kv_iter *base)
{
    size_t size = 0;
    const char *at = rocksdb_iter_value(iter_of_const(base)->it, &size);
    return KV_SPAN(at, size);
}

static enum sh_err iter_error(struct kv_iter *base)
{
    struct rocks_iter *iter = iter_of(base);
    char *error = NULL;
    rocksdb_iter_get_error(iter->it, &error);
    return kv_rocks_take_error(iter->rocks, error);
}

static const struct kv_iter_ops iter_ops = {.close = iter_close,
                                            .first = iter_first,
                                            .last = iter_last,
                                            .seek = iter_seek,
                                            .seek_before = iter_seek_before,
                                            .next = iter_next,
                                            .prev = iter_prev,
                                            .key = iter_key,
                                            .value = iter_value,
                                            .error = iter_error};

static enum sh_err rocks_iter_open(struct kv *kv, const struct kv_snap *snap, uint32_t cf,
                                   struct sh_span low, struct sh_span high, struct kv_iter **out)
{
    struct rocks *rocks = rocks_of(kv);
    struct rocks_iter *iter = malloc(sizeof *iter + low.size + high.size);
    if (iter == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    *iter = (struct rocks_iter){.base = {.ops = &iter_ops}, .rocks = rocks};
    iter->read = rocksdb_readoptions_create();
    if (snap != NULL) {
        rocksdb_readoptions_set_snapshot(iter->read, snap->snapshot);
    }
    if (low.size > 0) {
        memcpy(iter->bounds, low.at, low.size);
        rocksdb_readoptions_set_iterate_lower_bound(iter->read, (const char *)iter->bounds,
                                                    low.size);
    }
    if (high.size > 0) {
        memcpy(iter->bounds + low.size, high.at, high.size);
        rocksdb_readoptions_set_iterate_upper_bound(
            iter->read, (const char *)iter->bounds + low.size, high.size);
    }
    iter->it = rocksdb_create_iterator_cf(rocks->db, iter->read, rocks->cfs[cf]);
    *out = &iter->base;
    return SH_OK;
}

/* RocksDB has no "to the end": every key this interface allows sorts before this one. */
static struct sh_span past_all_keys(uint8_t buffer[static KV_KEY_BYTES_MAX + 1])
{
    memset(buffer, 0xff, KV_KEY_BYTES_MAX + 1);
    return KV_SPAN(buffer, KV_KEY_BYTES_MAX + 1);
}

static void add_op(struct rocks *rocks, rocksdb_writebatch_t *to, const struct kv_op *op)
{
    rocksdb_column_family_handle_t *cf = rocks->cfs[op->cf];
    uint8_t buffer[KV_KEY_BYTES_MAX + 1];
    struct sh_span high = op->value;
    switch (op->kind) {
    case KV_OP_PUT:
        rocksdb_writebatch_put_cf(to, cf, chars(op->key), op->key.size, chars(op->value),
                                  op->value.size);
        break;
    case KV_OP_DEL:
        rocksdb_writebatch_delete_cf(to, cf, chars(op->key), op->key.size);
        break;
    case KV_OP_DEL_RANGE:
        high = high.size > 0 ? high : past_all_keys(buffer);
        if (kv_compare(op->key, high) < 0) {
            rocksdb_writebatch_delete_range_cf(to, cf, chars(op->key), op->key.size, chars(high),
                                               high.size);
        }
        break;
    default:
        SH_UNREACHABLE();
    }
}

/* RocksDB must never meet a full disk: with the log half written, its background threads run into
 * assertions of their own. So a write is refused while what it and those threads may still need is
 * not free. */
static enum sh_err look_at_disk(struct rocks *rocks, size_t bytes, uint64_t now_us)
{
    struct statvfs disk;
    char text[KV_TEXT_BYTES];
    if (statvfs(rocks->path, &disk) != 0) {
        (void)snprintf(text, sizeof text, "%s: %s", rocks->path, strerror(errno));
        kv_base_say(&rocks->base, text);
        return SH_ERR_IO;
    }
    uint64_t available = (uint64_t)disk.f_bavail * disk.f_frsize;
    uint64_t reserve = rocks->reserve;
    reserve += rocks->redo != NULL ? redo_missing_bytes(rocks->redo) : 0;
    bool ample = available >= reserve + KV_ROCKS_AMPLE_BYTES;
    atomic_store(&rocks->ample_until_us, ample ? now_us + KV_ROCKS_AMPLE_US : 0);
    if (available >= reserve + 2 * (uint64_t)bytes) {
        return SH_OK;
    }
    (void)snprintf(
        text, sizeof text, "%.300s: No space left: %llu MiB free, %llu MiB are kept in reserve",
        rocks->path, (unsigned long long)(available >> 20), (unsigned long long)(reserve >> 20));
    kv_base_say(&rocks->base, text);
    return SH_ERR_NO_SPACE;
}

static enum sh_err rocks_room(struct kv *kv, size_t bytes)
{
    struct rocks *rocks = rocks_of(kv);
    uint64_t now_us = sh_now_us();
    bool ample = bytes <= KV_ROCKS_UNSEEN_BYTES && now_us < atomic_load(&rocks->ample_until_us);
    enum sh_err err = ample ? SH_OK : look_at_disk(rocks, bytes, now_us);
    return err == SH_OK && rocks->redo != NULL ? kv_rocks_redo_room(rocks, bytes) : err;
}

/* RocksDB 7.8.3 keeps the marks of deleted ranges in a list of their own, and takes a place in the
 * list of rows for one in that (mended by its change 12558) unless the key is too short to have
 * one. */
bool kv_rocks_takes(const struct rocks *rocks, const struct kv_op *op)
{
    return rocks->kinds[op->cf] != KV_CF_ROWS || op->kind != KV_OP_DEL_RANGE ||
           op->key.size < KV_RUN_BYTES;
}

void kv_rocks_add_batch(struct rocks *rocks, rocksdb_writebatch_t *to, const struct kv_batch *batch)
{
    struct kv_op op;
    size_t at = 0;
    while (kv_batch_next(batch, &at, &op)) {
        SH_CHECK_CMP(op.cf, <, rocks->base.cf_count);
        SH_CHECK(kv_rocks_takes(rocks, &op));
        add_op(rocks, to, &op);
    }
}

static enum sh_err write_logged(struct rocks *rocks, const struct kv_batch *batch,
                                rocksdb_writebatch_t *to, bool sync)
{
    char *error = NULL;
    if (batch->count > 0) {
        rocksdb_write(rocks->db, sync ? rocks->write_sync : rocks->write_async, to, &error);
    } else if (sync) {
        rocksdb_flush_wal(rocks->db, 1, &error);
    }
    return kv_rocks_take_error(rocks, error);
}

static enum sh_err rocks_write(struct kv *kv, const struct kv_batch *batch, bool sync)
{
    struct rocks *rocks = rocks_of(kv);
    rocksdb_writebatch_t *to = rocksdb_writebatch_create();
    count_nothing();
    kv_rocks_add_batch(rocks, to, batch);
    enum sh_err err = rocks->redo != NULL ? kv_rocks_redo_write(rocks, batch, to, sync)
                                          : write_logged(rocks, batch, to, sync);
    rocksdb_writebatch_destroy(to);
    return err;
}

static enum sh_err rocks_flush(struct kv *kv)
{
    struct rocks *rocks = rocks_of(kv);
    if (rocks->redo != NULL) {
        return kv_rocks_redo_flush(rocks);
    }
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    enum sh_err err = SH_OK;
    for (uint32_t cf = 0; cf < kv->cf_count && err == SH_OK; cf++) {
        char *error = NULL;
        rocksdb_flush_cf(rocks->db, options, rocks->cfs[cf], &error);
        err = kv_rocks_take_error(rocks, error);
    }
    rocksdb_flushoptions_destroy(options);
    return err;
}

/* The lowest level too, where else nothing is rewritten. */
enum { COMPACT_LOWEST = 2 };

static void rocks_compact(struct kv *kv, uint32_t cf, struct sh_span low, struct sh_span high)
{
    struct rocks *rocks = rocks_of(kv);
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
    rocksdb_compactoptions_set_bottommost_level_compaction(options, COMPACT_LOWEST);
    rocksdb_compact_range_cf_opt(rocks->db, rocks->cfs[cf], options, (const char *)low.at, low.size,
                                 (const char *)high.at, high.size);
    rocksdb_compactoptions_destroy(options);
}

/* A failed one breaks nothing: it only reads, links and copies. With a redo log it is the tables as
 * they are after a flush of ours: RocksDB's own would choose the families first and then lock them,
 * so that a batch in between could be copied in part. */
static enum sh_err rocks_checkpoint(struct kv *kv, const char *path)
{
    struct rocks *rocks = rocks_of(kv);
    struct stat st;
    char text[KV_TEXT_BYTES];
    char *error = NULL;
    if (stat(path, &st) == 0) {
        return SH_ERR_EXISTS;
    }
    enum sh_err err = rocks->redo != NULL ? kv_rocks_redo_flush(rocks) : SH_OK;
    if (err != SH_OK) {
        return err;
    }
    /* 0: flush, and copy no log; the largest: do not flush. */
    uint64_t unflushed = rocks->redo != NULL ? UINT64_MAX : 0;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(rocks->db, &error);
    if (error == NULL) {
        rocksdb_checkpoint_create(checkpoint, path, unflushed, &error);
    }
    rocksdb_checkpoint_object_destroy(checkpoint);
    err = kv_rocks_take_error(rocks, error);
    if (err == SH_OK && rocks->redo != NULL) {
        err = redo_mark(path, text);
        if (err != SH_OK) {
            kv_base_say(kv, text);
        }
    }
    return err;
}

const struct kv_ops kv_rocks_ops = {.close = kv_rocks_close,
                                    .get = rocks_get,
                                    .snap_open = rocks_snap_open,
                                    .snap_close = rocks_snap_close,
                                    .iter_open = rocks_iter_open,
                                    .room = rocks_room,
                                    .write = rocks_write,
                                    .flush = rocks_flush,
                                    .compact = rocks_compact,
                                    .checkpoint = rocks_checkpoint};
