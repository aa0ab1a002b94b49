/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fsm/fsm.h"

#include "store/fsm/record.h"

#include <stdlib.h>

struct fsm {
    struct fsm_rows rows; /* of the open transaction */
    struct sh_table table;
    bool open;
    uint64_t index;
    uint64_t term;
    struct kv_batch batch;
};

struct fsm_view {
    struct fsm_rows rows;
    struct sh_table table;
    struct kv_snap *snap;
    uint64_t index;
    struct fsm_key next; /* scan: where it goes on, a zero byte past the last key given */
};

/* ---- the table of a transaction ---- */

static struct fsm *fsm_of(void *ctx)
{
    struct fsm *fsm = ctx;
    SH_CHECK(fsm->open);
    return fsm;
}

static bool table_get(void *ctx, struct sh_span key, struct sh_span *value)
{
    return fsm_rows_get(&fsm_of(ctx)->rows, key, value);
}

static void table_put(void *ctx, struct sh_span key, struct sh_span value)
{
    SH_CHECK_CMP(key.size, <=, SH_TABLE_KEY_MAX);
    SH_CHECK_CMP(value.size, <=, SH_TABLE_VALUE_MAX);
    fsm_rows_put(&fsm_of(ctx)->rows, key, value, false);
}

static void table_del(void *ctx, struct sh_span key)
{
    SH_CHECK_CMP(key.size, <=, SH_TABLE_KEY_MAX);
    fsm_rows_put(&fsm_of(ctx)->rows, key, KV_ALL, true);
}

static bool table_seek(void *ctx, struct sh_span low, struct sh_span high, bool reverse,
                       struct sh_span *key, struct sh_span *value)
{
    return fsm_rows_seek(&fsm_of(ctx)->rows, low, high, reverse, key, value);
}

static enum sh_err read_state(struct fsm *fsm, struct fsm_applied *applied)
{
    enum sh_err err = fsm_record_generation(&fsm->rows, &fsm->rows.generation);
    if (err == SH_OK) {
        err = fsm_record_applied(&fsm->rows, &fsm->index, &fsm->term);
    }
    if (err == SH_OK && applied != NULL) {
        applied->index = fsm->index;
        applied->term = fsm->term;
        err = fsm_record_conf(&fsm->rows, applied);
    }
    return err;
}

/* What an installation that did not finish left behind. */
static enum sh_err drop_leftovers(struct fsm *fsm)
{
    struct kv_iter *iter = NULL;
    struct fsm_key low;
    uint32_t beyond = fsm->rows.generation + 1;
    fsm_key_make(&low, beyond, FSM_KIND_RECORD, KV_ALL);
    enum sh_err err =
        kv_iter_open(fsm->rows.kv, NULL, fsm->rows.cf, fsm_key_span(&low), KV_ALL, &iter);
    if (err != SH_OK) {
        return err;
    }
    bool found = kv_iter_first(iter);
    err = kv_iter_error(iter);
    kv_iter_close(iter);
    if (err == SH_OK && found) {
        kv_batch_clear(&fsm->batch);
        fsm_record_del(&fsm->batch, fsm->rows.cf, beyond, 0);
        err = kv_write(fsm->rows.kv, &fsm->batch, false);
    }
    return err;
}

enum sh_err fsm_switch(struct fsm *fsm, struct fsm_applied *applied)
{
    SH_CHECK(!fsm->open);
    uint64_t before = fsm->index;
    fsm_rows_forget(&fsm->rows);
    fsm_rows_reset(&fsm->rows);
    enum sh_err err = read_state(fsm, applied);
    SH_CHECK(SH_IMPLIES(err == SH_OK, fsm->index >= before));
    return err;
}

enum sh_err fsm_open(struct kv *kv, uint32_t cf, const struct fsm_fault *fault, struct fsm **out,
                     struct fsm_applied *applied)
{
    *out = NULL;
    struct fsm *fsm = calloc(1, sizeof *fsm);
    if (fsm == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    fsm->rows.kv = kv;
    fsm->rows.cf = cf;
    fsm->rows.remembers = true;
    fsm->rows.fault = fault != NULL ? *fault : (struct fsm_fault){0};
    kv_batch_init(&fsm->batch);
    fsm->table = (struct sh_table){
        .ctx = fsm, .get = table_get, .put = table_put, .del = table_del, .seek = table_seek};
    enum sh_err err = read_state(fsm, applied);
    if (err == SH_OK) {
        err = drop_leftovers(fsm);
    }
    if (err != SH_OK) {
        fsm_close(fsm);
        return err;
    }
    *out = fsm;
    return SH_OK;
}

void fsm_close(struct fsm *fsm)
{
    if (fsm != NULL) {
        fsm_rows_fini(&fsm->rows);
        kv_batch_fini(&fsm->batch);
        free(fsm);
    }
}

const struct sh_table *fsm_begin(struct fsm *fsm)
{
    SH_CHECK(!fsm->open);
    fsm->open = true;
    return &fsm->table;
}

/* In the order of their keys: RocksDB finds the place of a row from that of the one before. */
static void put_rows(struct fsm *fsm)
{
    struct fsm_map *map = &fsm->rows.overlay;
    struct fsm_row **rows = fsm_map_sorted(map);
    for (uint32_t i = 0; i < map->count; i++) {
        struct fsm_key key;
        fsm_key_make(&key, fsm->rows.generation, FSM_KIND_ROW, fsm_row_key(rows[i]));
        if (rows[i]->gone) {
            kv_batch_del(&fsm->batch, fsm->rows.cf, fsm_key_span(&key));
        } else {
            kv_batch_put(&fsm->batch, fsm->rows.cf, fsm_key_span(&key), fsm_row_value(rows[i]));
        }
    }
}

enum sh_err fsm_commit(struct fsm *fsm, uint64_t index, uint64_t term, uint64_t conf_index,
                       struct sh_span conf, bool sync)
{
    SH_CHECK(fsm->open);
    SH_CHECK_CMP(index, >=, fsm->index);
    SH_CHECK_CMP(term, >=, fsm->term);
    SH_CHECK_CMP(conf.size, <=, FSM_CONF_BYTES_MAX);
    SH_CHECK_CMP(conf_index, <=, index);
    kv_batch_clear(&fsm->batch);
    put_rows(fsm);
    uint32_t cf = fsm->rows.cf;
    uint32_t generation = fsm->rows.generation;
    fsm_record_put_applied(&fsm->batch, cf, generation, index, term);
    enum sh_err err = SH_OK;
    if (conf.size > 0) {
        err = fsm_record_put_conf(&fsm->batch, cf, generation, conf_index, conf);
    }
    if (err == SH_OK) {
        err = kv_write(fsm->rows.kv, &fsm->batch, sync);
    }
    if (err == SH_OK) {
        fsm_rows_settle(&fsm->rows);
    } else {
        fsm_rows_forget(&fsm->rows);
    }
    fsm_abort(fsm);
    if (err == SH_OK) {
        fsm->index = index;
        fsm->term = term;
    }
    return err;
}

void fsm_abort(struct fsm *fsm)
{
    SH_CHECK(fsm->open);
    fsm_rows_reset(&fsm->rows);
    fsm->open = false;
}

void fsm_place(const struct fsm *fsm, struct fsm_rows *rows)
{
    *rows = (struct fsm_rows){.kv = fsm->rows.kv, .cf = fsm->rows.cf, .fault = fsm->rows.fault};
}

uint64_t fsm_applied_index(const struct fsm *fsm)
{
    return fsm->index;
}

enum sh_err fsm_health(const struct fsm *fsm)
{
    return kv_health(fsm->rows.kv);
}

/* ---- views ---- */

static bool view_get(void *ctx, struct sh_span key, struct sh_span *value)
{
    struct fsm_view *view = ctx;
    return fsm_rows_get(&view->rows, key, value);
}

static void view_put(void *ctx, struct sh_span key, struct sh_span value)
{
    (void)ctx;
    (void)key;
    (void)value;
    sh_panic(__FILE__, __LINE__, "a view is read-only");
}

static void view_del(void *ctx, struct sh_span key)
{
    view_put(ctx, key, KV_ALL);
}

static bool view_seek(void *ctx, struct sh_span low, struct sh_span high, bool reverse,
                      struct sh_span *key, struct sh_span *value)
{
    struct fsm_view *view = ctx;
    return fsm_rows_seek(&view->rows, low, high, reverse, key, value);
}

enum sh_err fsm_view_open(struct fsm *fsm, struct fsm_view **out)
{
    uint64_t term = 0;
    *out = NULL;
    struct fsm_view *view = calloc(1, sizeof *view);
    if (view == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    fsm_place(fsm, &view->rows);
    view->table = (struct sh_table){
        .ctx = view, .get = view_get, .put = view_put, .del = view_del, .seek = view_seek};
    enum sh_err err = kv_snap_open(fsm->rows.kv, &view->snap);
    view->rows.snap = view->snap;
    if (err == SH_OK) { /* the owner may be switching to another one meanwhile */
        err = fsm_record_generation(&view->rows, &view->rows.generation);
    }
    if (err == SH_OK) {
        fsm_key_make(&view->next, view->rows.generation, FSM_KIND_ROW, KV_ALL);
        err = fsm_record_applied(&view->rows, &view->index, &term);
    }
    if (err != SH_OK) {
        fsm_view_close(view);
        return err;
    }
    *out = view;
    return SH_OK;
}

void fsm_view_close(struct fsm_view *view)
{
    if (view != NULL) {
        fsm_rows_fini(&view->rows);
        kv_snap_close(view->rows.kv, view->snap);
        free(view);
    }
}

const struct sh_table *fsm_view_table(struct fsm_view *view)
{
    return &view->table;
}

uint64_t fsm_view_index(const struct fsm_view *view)
{
    return view->index;
}

enum sh_err fsm_view_applied(struct fsm_view *view, struct fsm_applied *out)
{
    enum sh_err err = fsm_record_applied(&view->rows, &out->index, &out->term);
    return err == SH_OK ? fsm_record_conf(&view->rows, out) : err;
}

size_t fsm_view_scan(struct fsm_view *view, uint8_t *out, size_t size, size_t enough)
{
    struct sh_writer w = sh_writer_over(out, size);
    struct sh_span key;
    struct sh_span value;
    SH_CHECK_CMP(size, >=, FSM_CHUNK_BYTES_MIN);
    struct sh_span from = fsm_key_name(&view->next);
    bool more = fsm_rows_seek(&view->rows, from, KV_ALL, false, &key, &value);
    while (more && w.used < enough && 8 + key.size + value.size <= w.size - w.used) {
        sh_put_u32(&w, (uint32_t)key.size);
        sh_put_u32(&w, (uint32_t)value.size);
        sh_put_bytes(&w, key.at, key.size);
        sh_put_bytes(&w, value.at, value.size);
        fsm_key_make(&view->next, view->rows.generation, FSM_KIND_ROW, key);
        view->next.bytes[view->next.size++] = 0;
        from = fsm_key_name(&view->next);
        more = fsm_rows_seek(&view->rows, from, KV_ALL, false, &key, &value);
    }
    SH_CHECK(!w.full);
    return w.used;
}

bool fsm_chunk_row(struct sh_reader *chunk, struct sh_span *key, struct sh_span *value)
{
    *key = KV_ALL;
    *value = KV_ALL;
    if (chunk->bad || sh_reader_left(chunk) == 0) {
        return false;
    }
    uint32_t key_size = sh_get_u32(chunk);
    uint32_t value_size = sh_get_u32(chunk);
    size_t left = sh_reader_left(chunk);
    if (chunk->bad || key_size > SH_TABLE_KEY_MAX || value_size > SH_TABLE_VALUE_MAX ||
        key_size > left || value_size > left - key_size) {
        chunk->bad = true;
        return false;
    }
    const uint8_t *at = chunk->at + chunk->used;
    *key = KV_SPAN(at, key_size);
    *value = KV_SPAN(at + key_size, value_size);
    chunk->used += (size_t)key_size + value_size;
    return true;
}
