/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kv_rocks_parts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Sizes in bytes. An idle agent has two stores and must stay small beside the training job. */
enum {
    BLOCK_CACHE = 8 << 20,
    WRITE_BUFFER = 4 << 20,
    WRITE_BUFFERS = 2,
    WAL_TOTAL = 32 << 20,
    FILTER_BITS = 10, /* a key */
    LARGE_VALUE = 64 << 10,
    LARGE_FILE = 64 << 20,
    INFO_LOG = 1 << 20,
    INFO_LOGS = 2,
    INFO_LEVEL_WARN = 2,
    OPEN_FILES = 128,
    BACKGROUND_JOBS = 2
};

/* With a redo log, all families are flushed together, when their buffers have REDO_BUFFERS or when
 * about 12,000 batches have put their mark into the default family. What was written to the log
 * meanwhile, 512 bytes a batch and the bytes themselves, is less than three of its four files: the
 * tables have the fourth before it is overwritten, and nobody waits. */
enum {
    REDO_BLOCK_CACHE = 128 << 20, /* rows of some 100,000 jobs */
    REDO_BUFFERS = 6 << 20,
    REDO_BUFFER_COUNT = 4,
    REDO_READAHEAD = 256 << 10, /* of compaction, which else reads block by block */
    REDO_ARENA_BLOCK = 256 << 10,
    REDO_MARK_BUFFER = 512 << 10,
    REDO_MARK_ARENA_BLOCK = 64 << 10
};

/* A buffer keeps, for each KV_RUN_BYTES that keys begin with, the place where the last one went:
 * the next one is not searched for. */
#define ROWS_HINTS "memtable_insert_with_hint_prefix_extractor=fixed:6"
_Static_assert(KV_RUN_BYTES == 6, "as in ROWS_HINTS");

/* DBOptions::WALRecoveryMode::kTolerateCorruptedTailRecords and ReadTier::kPersistedTier; the C API
 * takes the numbers. */
enum { RECOVER_TORN_TAIL = 0, READ_TIER_PERSISTED = 2 };

#define DEFAULT_CF "default"

void kv_rocks_close(struct kv *kv)
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
    rocksdb_writeoptions_destroy(rocks->write_bare);
    rocksdb_readoptions_destroy(rocks->read);
    rocksdb_readoptions_destroy(rocks->read_tables);
    rocksdb_options_destroy(rocks->options);
    rocksdb_cache_destroy(rocks->cache);
    redo_close(rocks->redo);
    SH_CHECK(pthread_mutex_destroy(&rocks->redo_lock) == 0);
    kv_base_fini(kv);
    free(rocks->path);
    free(rocks);
}

/* Takes the options; gives them with those that the C interface has no function for. */
static rocksdb_options_t *settle(rocksdb_options_t *o, const char *rest)
{
    rocksdb_options_t *settled = rocksdb_options_create();
    char *err = NULL;
    rocksdb_get_options_from_string(o, rest, settled, &err);
    SH_CHECK(err == NULL);
    rocksdb_options_destroy(o);
    return settled;
}

static rocksdb_options_t *make_db_options(bool redo)
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
    const char *rest = "max_bgerror_resume_count=0";
    if (redo) {
        rocksdb_options_set_atomic_flush(o, 1);
        rocksdb_options_set_db_write_buffer_size(o, REDO_BUFFERS);
        rocksdb_options_compaction_readahead_size(o, REDO_READAHEAD);
        rest = "max_bgerror_resume_count=0;avoid_flush_during_shutdown=1";
    }
    return settle(o, rest);
}

static rocksdb_options_t *make_cf_options(const struct rocks *rocks, enum kv_cf_kind kind,
                                          bool redo)
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
    if (redo) {
        rocksdb_options_set_write_buffer_size(o, REDO_BUFFERS);
        rocksdb_options_set_max_write_buffer_number(o, REDO_BUFFER_COUNT);
        rocksdb_options_set_arena_block_size(o, REDO_ARENA_BLOCK);
    }
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, rocks->cache);
    rocksdb_block_based_options_set_data_block_index_type(
        table, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
    if (kind == KV_CF_SMALL ||
        kind == KV_CF_ROWS) { /* most table files do not have the row that is looked for */
        rocksdb_block_based_options_set_filter_policy(
            table, rocksdb_filterpolicy_create_bloom_full(FILTER_BITS));
    }
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_block_based_options_destroy(table);
    return kind == KV_CF_ROWS ? settle(o, ROWS_HINTS) : o;
}

static struct rocks *make_rocks(const struct kv_rocks_options *options)
{
    struct rocks *rocks = calloc(1, sizeof *rocks);
    SH_CHECK(rocks != NULL);
    kv_base_init(&rocks->base, &kv_rocks_ops, options->cf_count);
    rocks->path = strdup(options->path);
    SH_CHECK(rocks->path != NULL);
    rocks->reserve = options->yields ? KV_ROCKS_YIELD_BYTES : KV_ROCKS_RESERVE_BYTES;
    atomic_init(&rocks->ample_until_us, 0);
    rocks->cache = rocksdb_cache_create_lru(options->redo ? REDO_BLOCK_CACHE : BLOCK_CACHE);
    rocks->options = make_db_options(options->redo);
    for (uint32_t i = 0; i < options->cf_count; i++) {
        rocks->kinds[i] = options->cfs[i].kind;
        rocks->cf_options[i] = make_cf_options(rocks, options->cfs[i].kind, options->redo);
    }
    rocksdb_options_t *last = make_cf_options(rocks, KV_CF_SMALL, options->redo);
    if (options->redo) {
        rocksdb_options_set_write_buffer_size(last, REDO_MARK_BUFFER);
        rocksdb_options_set_arena_block_size(last, REDO_MARK_ARENA_BLOCK);
    }
    rocks->cf_options[options->cf_count] = last;
    rocks->read = rocksdb_readoptions_create();
    rocks->write_sync = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(rocks->write_sync, 1);
    rocks->write_async = rocksdb_writeoptions_create();
    rocks->write_bare = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(rocks->write_bare, 1);
    rocks->read_tables = rocksdb_readoptions_create();
    rocksdb_readoptions_set_read_tier(rocks->read_tables, READ_TIER_PERSISTED);
    SH_CHECK(pthread_mutex_init(&rocks->redo_lock, NULL) == 0);
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
                ends_with(e->d_name, ".blob") || strcmp(e->d_name, "redo-0") == 0;
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
    if (*exists && !options->redo && redo_present(options->path)) {
        (void)snprintf(why, KV_TEXT_BYTES, "%.400s has a redo log, which must be read too",
                       options->path);
        return SH_ERR_VERSION;
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
    enum sh_err err = kv_rocks_take_error(rocks, error);
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
    enum sh_err err = kv_rocks_take_error(rocks, error);
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
    if (err == SH_OK && options->redo) {
        err = kv_rocks_redo_open(rocks, why);
    }
    if (err != SH_OK) {
        kv_rocks_close(&rocks->base);
        return err;
    }
    *out = &rocks->base;
    return SH_OK;
}
