/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kv_rocks_parts.h"

#include "base/host/host.h"

#include <stdlib.h>
#include <string.h>

/* In the default column family: version u8, then struct rocks_mark. */
#define MARK_KEY     "redo"
#define MARK_VERSION 1u

enum { MARK_BYTES = 1 + 8 + 4 + 8 };

static void lock_it(struct rocks *rocks)
{
    SH_CHECK(pthread_mutex_lock(&rocks->redo_lock) == 0);
}

static void unlock_it(struct rocks *rocks)
{
    SH_CHECK(pthread_mutex_unlock(&rocks->redo_lock) == 0);
}

static rocksdb_column_family_handle_t *mark_cf(const struct rocks *rocks)
{
    return rocks->cfs[rocks->base.cf_count];
}

static void put_mark(const struct rocks *rocks, const struct rocks_mark *mark,
                     rocksdb_writebatch_t *to)
{
    uint8_t bytes[MARK_BYTES];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    sh_put_u8(&w, MARK_VERSION);
    sh_put_u64(&w, mark->place.number);
    sh_put_u32(&w, mark->place.link);
    sh_put_u64(&w, mark->large);
    rocksdb_writebatch_put_cf(to, mark_cf(rocks), MARK_KEY, strlen(MARK_KEY), (const char *)bytes,
                              w.used);
}

/* The mark that is in the table files. */
static enum sh_err read_mark(struct rocks *rocks, struct rocks_mark *mark, bool *found)
{
    char *error = NULL;
    size_t size = 0;
    *mark = (struct rocks_mark){0};
    char *value = rocksdb_get_cf(rocks->db, rocks->read_tables, mark_cf(rocks), MARK_KEY,
                                 strlen(MARK_KEY), &size, &error);
    *found = value != NULL;
    if (error != NULL || value == NULL) {
        return kv_rocks_take_error(rocks, error);
    }
    struct sh_reader r = sh_reader_over(value, size);
    uint8_t version = sh_get_u8(&r);
    mark->place.number = sh_get_u64(&r);
    mark->place.link = sh_get_u32(&r);
    mark->large = sh_get_u64(&r);
    enum sh_err err = sh_reader_end(&r);
    free(value);
    if (err == SH_OK && version != MARK_VERSION) {
        err = SH_ERR_VERSION;
    }
    if (err != SH_OK) {
        kv_base_say(&rocks->base, "the tables do not say where the redo log continues them");
    }
    return err;
}

static enum sh_err say_redo(struct rocks *rocks, enum sh_err err)
{
    char text[REDO_TEXT_BYTES];
    if (err != SH_OK) {
        redo_error_text(rocks->redo, text);
        kv_base_say(&rocks->base, text);
    }
    return err;
}

/* ---- flushing ---- */

/* The call that compacts a range tells nothing, and a failed flush is what the next write says. */
static enum sh_err why_not_flushed(struct rocks *rocks)
{
    char *error = NULL;
    rocksdb_writebatch_t *empty = rocksdb_writebatch_create();
    rocksdb_write(rocks->db, rocks->write_bare, empty, &error);
    rocksdb_writebatch_destroy(empty);
    if (error == NULL) {
        kv_base_say(&rocks->base, "the table files were not written");
        return SH_ERR_IO;
    }
    return kv_rocks_take_error(rocks, error);
}

/* All families in one step, with the lock held. rocksdb_flush_cf would flush the one it is given
 * only. A range of which something is in memory is flushed before it is compacted, and then all
 * families are, where they are flushed atomically. Every batch leaves its mark in memory. RocksDB
 * chooses the families before it stops the writers: the lock keeps a batch from coming between. */
static enum sh_err flush_locked(struct rocks *rocks)
{
    struct rocks_mark mark;
    bool found;
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
    rocksdb_compact_range_cf_opt(rocks->db, mark_cf(rocks), options, MARK_KEY, strlen(MARK_KEY),
                                 MARK_KEY, strlen(MARK_KEY));
    rocksdb_compactoptions_destroy(options);
    enum sh_err err = read_mark(rocks, &mark, &found);
    if (err == SH_OK &&
        (mark.place.number != rocks->mark.place.number || mark.large != rocks->mark.large)) {
        err = why_not_flushed(rocks);
    }
    if (err == SH_OK) {
        rocks->persisted = mark.place.number;
    }
    return err;
}

enum sh_err kv_rocks_redo_flush(struct rocks *rocks)
{
    lock_it(rocks);
    enum sh_err err = flush_locked(rocks);
    unlock_it(rocks);
    return err;
}

/* Before the log overwrites a batch the tables must have it. They are flushed in time by themselves
 * (REDO_BUFFERS); this waits where they were not. */
static enum sh_err make_safe(struct rocks *rocks, uint64_t floor)
{
    struct rocks_mark mark;
    bool found;
    if (rocks->persisted >= floor) {
        return SH_OK;
    }
    enum sh_err err = read_mark(rocks, &mark, &found);
    if (err == SH_OK && mark.place.number >= floor) {
        rocks->persisted = mark.place.number;
        return SH_OK;
    }
    return err != SH_OK ? err : flush_locked(rocks);
}

/* ---- writing ---- */

static enum sh_err write_tables(struct rocks *rocks, const struct rocks_mark *mark,
                                rocksdb_writebatch_t *to)
{
    char *error = NULL;
    put_mark(rocks, mark, to);
    rocksdb_write(rocks->db, rocks->write_bare, to, &error);
    enum sh_err err = kv_rocks_take_error(rocks, error);
    if (err == SH_OK) {
        rocks->mark = *mark;
    }
    return err;
}

/* Nothing may be appended before it is in table files: it would be found without it. */
static enum sh_err write_large(struct rocks *rocks, rocksdb_writebatch_t *to)
{
    struct rocks_mark mark = {.place = rocks->mark.place, .large = rocks->mark.large + 1};
    enum sh_err err = write_tables(rocks, &mark, to);
    return err != SH_OK ? err : flush_locked(rocks);
}

static enum sh_err write_locked(struct rocks *rocks, const struct kv_batch *batch,
                                rocksdb_writebatch_t *to)
{
    struct rocks_mark mark = rocks->mark;
    struct sh_span bytes = {.at = batch->at, .size = batch->used};
    if (!redo_fits(rocks->redo, batch->used)) {
        return write_large(rocks, to);
    }
    enum sh_err err = make_safe(rocks, redo_floor(rocks->redo, batch->used));
    if (err == SH_OK) {
        err = say_redo(rocks, redo_append(rocks->redo, KV_BATCH_VERSION, bytes, &mark.place));
    }
    return err != SH_OK ? err : write_tables(rocks, &mark, to);
}

enum sh_err kv_rocks_redo_room(struct rocks *rocks, size_t bytes)
{
    lock_it(rocks);
    enum sh_err err =
        redo_fits(rocks->redo, bytes) ? say_redo(rocks, redo_room(rocks->redo, bytes)) : SH_OK;
    unlock_it(rocks);
    return err;
}

enum sh_err kv_rocks_redo_write(struct rocks *rocks, const struct kv_batch *batch,
                                rocksdb_writebatch_t *to, bool sync)
{
    enum sh_err err = SH_OK;
    lock_it(rocks);
    if (batch->count > 0) {
        err = write_locked(rocks, batch, to);
        if (err != SH_OK) {
            redo_fail(rocks->redo, err); /* those that wait for the lock must not go on */
        }
    }
    uint64_t upto = rocks->mark.place.number;
    unlock_it(rocks);
    if (err == SH_OK && sync) {
        err = say_redo(rocks, redo_sync(rocks->redo, upto));
    }
    return err;
}

/* ---- opening ---- */

struct replay {
    struct rocks *rocks;
    struct kv_batch batch;
};

static bool takes_all(const struct rocks *rocks, const struct kv_batch *batch)
{
    struct kv_op op;
    size_t at = 0;
    bool takes = true;
    while (takes && kv_batch_next(batch, &at, &op)) {
        takes = kv_rocks_takes(rocks, &op);
    }
    return takes;
}

static enum sh_err replay_batch(void *ctx, uint8_t kind, struct sh_span bytes,
                                const struct redo_place *behind)
{
    struct replay *replay = ctx;
    struct rocks *rocks = replay->rocks;
    struct rocks_mark mark = {.place = *behind, .large = rocks->mark.large};
    enum sh_err err = kind == KV_BATCH_VERSION ? SH_OK : SH_ERR_VERSION;
    err = err != SH_OK ? err : kv_batch_load(&replay->batch, bytes, rocks->base.cf_count);
    if (err == SH_OK && !takes_all(rocks, &replay->batch)) {
        err = SH_ERR_CORRUPT;
    }
    if (err != SH_OK) {
        kv_base_say(&rocks->base, "a batch in the redo log is none that this program writes");
        return err;
    }
    rocksdb_writebatch_t *to = rocksdb_writebatch_create();
    kv_rocks_add_batch(rocks, to, &replay->batch);
    err = write_tables(rocks, &mark, to);
    rocksdb_writebatch_destroy(to);
    return err;
}

static enum sh_err replay_all(struct rocks *rocks, char *why)
{
    struct replay replay = {.rocks = rocks};
    kv_batch_init(&replay.batch);
    enum sh_err err = redo_replay(rocks->redo, replay_batch, &replay, why);
    kv_batch_fini(&replay.batch);
    return err;
}

/* A log that is known to the tables cannot get lost unnoticed. */
static enum sh_err introduce(struct rocks *rocks)
{
    struct rocks_mark mark = {.place = redo_end(rocks->redo)};
    rocksdb_writebatch_t *to = rocksdb_writebatch_create();
    enum sh_err err = write_tables(rocks, &mark, to);
    rocksdb_writebatch_destroy(to);
    return err != SH_OK ? err : flush_locked(rocks);
}

/* why has an error's words where they come from the log. */
static enum sh_err open_log(struct rocks *rocks, char *why)
{
    bool known = false;
    bool copied = false;
    enum sh_err err = read_mark(rocks, &rocks->mark, &known);
    err = err != SH_OK ? err : redo_wipe_marked(rocks->path, &copied, why);
    if (copied) {
        rocks->mark = (struct rocks_mark){0};
    }
    struct redo_options options = {.path = rocks->path,
                                   .slot_bytes = REDO_SLOT_BYTES,
                                   .from = rocks->mark.place,
                                   .known = known && !copied,
                                   .life = (uint32_t)sh_random_u64()};
    err = err != SH_OK ? err : redo_open(&options, &rocks->redo, why);
    rocks->persisted = options.from.number;
    err = err != SH_OK ? err : replay_all(rocks, why);
    if (err == SH_OK && !options.known) {
        err = introduce(rocks);
    }
    return err == SH_OK && copied ? redo_unmark(rocks->path, why) : err;
}

enum sh_err kv_rocks_redo_open(struct rocks *rocks, char *why)
{
    why[0] = '\0';
    enum sh_err err = open_log(rocks, why);
    if (err != SH_OK && why[0] == '\0') {
        kv_error_text(&rocks->base, why);
    }
    return err;
}
