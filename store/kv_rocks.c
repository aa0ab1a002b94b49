/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kv_rocks.h"

#include "store/kv_ops.h"

#include <rocksdb/c.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* Sizes in bytes. An idle agent has two stores and must stay small beside the training job. */
enum {
    BLOCK_CACHE = 8 << 20,
    WRITE_BUFFER = 4 << 20,
    WRITE_BUFFERS = 2,
    WAL_TOTAL = 32 << 20,
    LARGE_VALUE = 64 << 10,
    LARGE_FILE = 64 << 20,
    INFO_LOG = 1 << 20,
    INFO_LOGS = 2,
    INFO_LEVEL_WARN = 2,
    OPEN_FILES = 128,
    BACKGROUND_JOBS = 2
};

/* DBOptions::WALRecoveryMode::kTolerateCorruptedTailRecords; the C API takes the number. */
enum { RECOVER_TORN_TAIL = 0 };

/* A column family named "default" exists in every RocksDB; it stays empty. */
#define DEFAULT_CF "default"

struct rocks {
    struct kv base;
    char *path;
    uint64_t reserve;
    rocksdb_t *db;
    rocksdb_cache_t *cache;
    rocksdb_options_t *options;
    rocksdb_options_t *cf_options[KV_CFS_MAX + 1];
    rocksdb_column_family_handle_t *cfs[KV_CFS_MAX + 1]; /* last: the default one */
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write_sync;
    rocksdb_writeoptions_t *write_async;
};

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

static struct rocks *rocks_of(struct kv *kv)
{
    return (struct rocks *)(void *)kv;
}

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

/* Takes error (NULL: none). */
static enum sh_err take_error(struct rocks *rocks, char *error)
{
    if (error == NULL) {
        return SH_OK;
    }
    enum sh_err err = err_of_text(error);
    kv_base_say(&rocks->base, error);
    rocksdb_free(error);
    return err;
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
    rocksdb_readoptions_t *read = snap != NULL ? snap->read : rocks->read;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned_cf(rocks->db, read, rocks->cfs[cf], chars(key), key.size, &error);
    if (error != NULL) {
        return take_error(rocks, error);
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
    return take_error(iter->rocks, error);
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
static enum sh_err rocks_room(struct kv *kv, size_t bytes)
{
    struct rocks *rocks = rocks_of(kv);
    struct statvfs disk;
    char text[KV_TEXT_BYTES];
    if (statvfs(rocks->path, &disk) != 0) {
        (void)snprintf(text, sizeof text, "%s: %s", rocks->path, strerror(errno));
        kv_base_say(kv, text);
        return SH_ERR_IO;
    }
    uint64_t available = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (available >= rocks->reserve + 2 * (uint64_t)bytes) {
        return SH_OK;
    }
    (void)snprintf(text, sizeof text,
                   "%.300s: No space left: %llu MiB free, %llu MiB are kept in reserve",
                   rocks->path, (unsigned long long)(available >> 20),
                   (unsigned long long)(rocks->reserve >> 20));
    kv_base_say(kv, text);
    return SH_ERR_NO_SPACE;
}

static enum sh_err rocks_write(struct kv *kv, const struct kv_batch *batch, bool sync)
{
    struct rocks *rocks = rocks_of(kv);
    rocksdb_writebatch_t *to = rocksdb_writebatch_create();
    struct kv_op op;
    size_t at = 0;
    while (kv_batch_next(batch, &at, &op)) {
        SH_CHECK_CMP(op.cf, <, rocks->base.cf_count);
        add_op(rocks, to, &op);
    }
    char *error = NULL;
    if (batch->count > 0) {
        rocksdb_write(rocks->db, sync ? rocks->write_sync : rocks->write_async, to, &error);
    } else if (sync) {
        rocksdb_flush_wal(rocks->db, 1, &error);
    }
    rocksdb_writebatch_destroy(to);
    return take_error(rocks, error);
}

static enum sh_err rocks_flush(struct kv *kv)
{
    struct rocks *rocks = rocks_of(kv);
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    enum sh_err err = SH_OK;
    for (uint32_t cf = 0; cf < kv->cf_count && err == SH_OK; cf++) {
        char *error = NULL;
        rocksdb_flush_cf(rocks->db, options, rocks->cfs[cf], &error);
        err = take_error(rocks, error);
    }
    rocksdb_flushoptions_destroy(options);
    return err;
}

/* A failed one breaks nothing: it only reads, links and copies. */
static enum sh_err rocks_checkpoint(struct kv *kv, const char *path)
{
    struct rocks *rocks = rocks_of(kv);
    struct stat st;
    char *error = NULL;
    if (stat(path, &st) == 0) {
        return SH_ERR_EXISTS;
    }
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(rocks->db, &error);
    if (error == NULL) {
        rocksdb_checkpoint_create(checkpoint, path, 0, &error); /* 0: no log is copied */
    }
    rocksdb_checkpoint_object_destroy(checkpoint);
    return take_error(rocks, error);
}

static void rocks_close(struct kv *kv)
{
    struct rocks *rocks = rocks_of(kv);
    for (uint32_t i = 0; i <= kv->cf_count; i++) {
        if (rocks->cfs[i] != NULL) {
            rocksdb_column_family_handle_destroy(rocks->cfs[i]);
        }
        rocksdb_options_destroy(rocks->cf_options[i]);
    }
    /* RocksDB asserts when it closes a log whose last write failed (an incomplete record lies in
     * its buffer). Such a store is left as it is: what was acknowledged is on the disk, and the
     * process that got the error is ending. Its lock is held until then. */
    if (rocks->db != NULL && kv_health(kv) == SH_OK) {
        rocksdb_close(rocks->db);
    }
    rocksdb_writeoptions_destroy(rocks->write_sync);
    rocksdb_writeoptions_destroy(rocks->write_async);
    rocksdb_readoptions_destroy(rocks->read);
    rocksdb_options_destroy(rocks->options);
    rocksdb_cache_destroy(rocks->cache);
    kv_base_fini(kv);
    free(rocks->path);
    free(rocks);
}

static const struct kv_ops rocks_ops = {.close = rocks_close,
                                        .get = rocks_get,
                                        .snap_open = rocks_snap_open,
                                        .snap_close = rocks_snap_close,
                                        .iter_open = rocks_iter_open,
                                        .room = rocks_room,
                                        .write = rocks_write,
                                        .flush = rocks_flush,
                                        .checkpoint = rocks_checkpoint};

static rocksdb_options_t *make_db_options(void)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_create_missing_column_families(o, 1);
    rocksdb_options_set_wal_recovery_mode(o, RECOVER_TORN_TAIL);
    rocksdb_options_set_max_total_wal_size(o, WAL_TOTAL);
    rocksdb_options_set_max_open_files(o, OPEN_FILES);
    rocksdb_options_set_max_background_jobs(o, BACKGROUND_JOBS);
    rocksdb_options_set_info_log_level(o, INFO_LEVEL_WARN);
    rocksdb_options_set_max_log_file_size(o, INFO_LOG);
    rocksdb_options_set_keep_log_file_num(o, INFO_LOGS);
    /* Nobody reads the statistics, and their timers would wake an idle agent. */
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_stats_persist_period_sec(o, 0);
    /* After a failed write this store answers errors until it is opened again (kv.h). RocksDB must
     * not try to mend it by itself meanwhile: it asserts when it meets its half-written log. */
    rocksdb_options_t *settled = rocksdb_options_create();
    char *err = NULL;
    rocksdb_get_options_from_string(o, "max_bgerror_resume_count=0", settled, &err);
    SH_CHECK(err == NULL);
    rocksdb_options_destroy(o);
    return settled;
}

static rocksdb_options_t *make_cf_options(const struct rocks *rocks, enum kv_cf_kind kind)
{
    rocksdb_options_t *o = rocksdb_options_create_copy(rocks->options);
    rocksdb_options_set_write_buffer_size(o, WRITE_BUFFER);
    rocksdb_options_set_max_write_buffer_number(o, WRITE_BUFFERS);
    rocksdb_options_set_compression(o, kind == KV_CF_TEXT ? rocksdb_lz4_compression
                                                          : rocksdb_no_compression);
    if (kind == KV_CF_LARGE) {
        rocksdb_options_set_write_buffer_size(o, 2 * WRITE_BUFFER);
        rocksdb_options_set_enable_blob_files(o, 1);
        rocksdb_options_set_min_blob_size(o, LARGE_VALUE);
        rocksdb_options_set_blob_file_size(o, LARGE_FILE);
        rocksdb_options_set_enable_blob_gc(o, 1);
    }
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, rocks->cache);
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_block_based_options_destroy(table);
    return o;
}

static struct rocks *make_rocks(const struct kv_rocks_options *options)
{
    struct rocks *rocks = calloc(1, sizeof *rocks);
    SH_CHECK(rocks != NULL);
    kv_base_init(&rocks->base, &rocks_ops, options->cf_count);
    rocks->path = strdup(options->path);
    SH_CHECK(rocks->path != NULL);
    rocks->reserve = options->yields ? KV_ROCKS_YIELD_BYTES : KV_ROCKS_RESERVE_BYTES;
    rocks->cache = rocksdb_cache_create_lru(BLOCK_CACHE);
    rocks->options = make_db_options();
    for (uint32_t i = 0; i < options->cf_count; i++) {
        rocks->cf_options[i] = make_cf_options(rocks, options->cfs[i].kind);
    }
    rocks->cf_options[options->cf_count] = make_cf_options(rocks, KV_CF_SMALL);
    rocks->read = rocksdb_readoptions_create();
    rocks->write_sync = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(rocks->write_sync, 1);
    rocks->write_async = rocksdb_writeoptions_create();
    return rocks;
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text);
    size_t b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

/* Whether files of a store lie there. A first opening that was cut short leaves neither kind. */
static bool holds_data(const char *path)
{
    DIR *dir = opendir(path);
    bool found = false;
    if (dir == NULL) {
        return false;
    }
    for (const struct dirent *e = readdir(dir); e != NULL && !found; e = readdir(dir)) {
        found = ends_with(e->d_name, ".sst") || ends_with(e->d_name, ".log") ||
                ends_with(e->d_name, ".blob");
    }
    (void)closedir(dir); /* opened for reading: nothing can be lost */
    return found;
}

/* A store is there when its head file CURRENT is. RocksDB would create a new one over the files of
 * a store that lost it, and a voter would forget its votes. */
static enum sh_err find_store(const struct kv_rocks_options *options, bool *exists, char *why)
{
    char head[4096];
    struct stat st;
    int n = snprintf(head, sizeof head, "%s/CURRENT", options->path);
    if (n < 0 || (size_t)n >= sizeof head) {
        (void)snprintf(why, KV_TEXT_BYTES, "the path of the store is too long");
        return SH_ERR_LIMIT;
    }
    *exists = stat(head, &st) == 0;
    if (!*exists && errno != ENOENT && errno != ENOTDIR) {
        (void)snprintf(why, KV_TEXT_BYTES, "%.300s: %s", head, strerror(errno));
        return errno == EACCES ? SH_ERR_DENIED : SH_ERR_IO;
    }
    if (!*exists && holds_data(options->path)) {
        (void)snprintf(why, KV_TEXT_BYTES, "%.400s has files of a store but no CURRENT",
                       options->path);
        return SH_ERR_CORRUPT;
    }
    if (!*exists && !options->create) {
        (void)snprintf(why, KV_TEXT_BYTES, "%.400s has no store", options->path);
        return SH_ERR_NOT_FOUND;
    }
    return SH_OK;
}

static bool is_known(const struct kv_rocks_options *options, const char *name)
{
    bool known = strcmp(name, DEFAULT_CF) == 0;
    for (uint32_t i = 0; i < options->cf_count && !known; i++) {
        known = strcmp(name, options->cfs[i].name) == 0;
    }
    return known;
}

/* RocksDB opens a store only with all its column families named. */
static enum sh_err check_families(const struct kv_rocks_options *options, struct rocks *rocks,
                                  char *why)
{
    char *error = NULL;
    size_t count = 0;
    char **names = rocksdb_list_column_families(rocks->options, options->path, &count, &error);
    enum sh_err err = take_error(rocks, error);
    if (err != SH_OK) {
        kv_error_text(&rocks->base, why);
        return err;
    }
    for (size_t i = 0; i < count && err == SH_OK; i++) {
        if (!is_known(options, names[i])) {
            (void)snprintf(why, KV_TEXT_BYTES, "%.300s has an unknown column family \"%.100s\"",
                           options->path, names[i]);
            err = SH_ERR_VERSION;
        }
    }
    rocksdb_list_column_families_destroy(names, count);
    return err;
}

static enum sh_err open_db(const struct kv_rocks_options *options, struct rocks *rocks, char *why)
{
    const char *names[KV_CFS_MAX + 1];
    uint32_t count = options->cf_count;
    for (uint32_t i = 0; i < count; i++) {
        names[i] = options->cfs[i].name;
    }
    names[count] = DEFAULT_CF;
    char *error = NULL;
    rocks->db = rocksdb_open_column_families(rocks->options, options->path, (int)count + 1, names,
                                             (const rocksdb_options_t *const *)rocks->cf_options,
                                             rocks->cfs, &error);
    enum sh_err err = take_error(rocks, error);
    if (err != SH_OK) {
        kv_error_text(&rocks->base, why);
    }
    return err;
}

enum sh_err kv_rocks_open(const struct kv_rocks_options *options, struct kv **out, char *why)
{
    SH_CHECK_CMP(options->cf_count, >, 0);
    SH_CHECK_CMP(options->cf_count, <=, KV_CFS_MAX);
    bool exists = false;
    *out = NULL;
    why[0] = '\0';
    enum sh_err err = find_store(options, &exists, why);
    if (err != SH_OK) {
        return err;
    }
    struct rocks *rocks = make_rocks(options);
    if (exists) {
        err = check_families(options, rocks, why);
    }
    if (err == SH_OK) {
        err = open_db(options, rocks, why);
    }
    if (err != SH_OK) {
        rocks_close(&rocks->base);
        return err;
    }
    *out = &rocks->base;
    return SH_OK;
}
