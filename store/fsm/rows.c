/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fsm/rows.h"

#include <stdio.h>

void fsm_key_make(struct fsm_key *out, uint32_t generation, enum fsm_kind kind, struct sh_span key)
{
    SH_CHECK_CMP(key.size, <=, SH_TABLE_KEY_MAX + 1);
    for (uint32_t i = 0; i < 4; i++) {
        out->bytes[i] = (uint8_t)(generation >> (24 - 8 * i));
    }
    out->bytes[4] = (uint8_t)kind;
    if (key.size > 0) {
        memcpy(out->bytes + FSM_PREFIX_BYTES, key.at, key.size);
    }
    out->size = FSM_PREFIX_BYTES + key.size;
}

struct sh_span fsm_key_span(const struct fsm_key *key)
{
    return KV_SPAN(key->bytes, key->size);
}

struct sh_span fsm_key_name(const struct fsm_key *key)
{
    return KV_SPAN(key->bytes + FSM_PREFIX_BYTES, key->size - FSM_PREFIX_BYTES);
}

/* A read failed below a call that cannot fail: the process ends here. */
static void stop(struct fsm_rows *rows, enum sh_err err)
{
    char text[KV_TEXT_BYTES];
    kv_error_text(rows->kv, text);
    if (rows->fault.stop != NULL) {
        rows->fault.stop(rows->fault.ctx, err, text);
    }
    (void)fprintf(stderr, "the state store cannot be read: %s (%s)\n", sh_err_text(err), text);
    SH_UNREACHABLE();
}

void fsm_rows_reset(struct fsm_rows *rows)
{
    fsm_map_clear(&rows->overlay);
    kv_iter_close(rows->iter);
    rows->iter = NULL;
    rows->stands = false;
    kv_value_free(&rows->value);
}

void fsm_rows_fini(struct fsm_rows *rows)
{
    fsm_rows_reset(rows);
    fsm_map_fini(&rows->overlay);
    fsm_map_fini(&rows->read);
}

void fsm_rows_forget(struct fsm_rows *rows)
{
    fsm_map_clear(&rows->read);
}

void fsm_rows_settle(struct fsm_rows *rows)
{
    for (const struct fsm_row *row = rows->overlay.first; row != NULL; row = row->next) {
        struct sh_span key = fsm_row_key(row);
        if (fsm_map_find(&rows->read, key, row->hash) != NULL) {
            fsm_map_put(&rows->read, key, row->hash, fsm_row_value(row), row->gone);
        }
    }
}

static void remember(struct fsm_rows *rows, struct sh_span key, uint64_t hash, struct sh_span value,
                     bool gone)
{
    if (rows->read.count == FSM_READ_MAX || rows->read.bytes > FSM_READ_BYTES) {
        fsm_rows_forget(rows);
    }
    fsm_map_put(&rows->read, key, hash, value, gone);
}

bool fsm_rows_get(struct fsm_rows *rows, struct sh_span key, struct sh_span *value)
{
    uint64_t hash = fsm_map_hash(key);
    const struct fsm_row *row = fsm_map_find(&rows->overlay, key, hash);
    row = row == NULL ? fsm_map_find(&rows->read, key, hash) : row;
    *value = KV_ALL;
    if (row != NULL) {
        *value = row->gone ? KV_ALL : fsm_row_value(row);
        return !row->gone;
    }
    struct fsm_key full;
    fsm_key_make(&full, rows->generation, FSM_KIND_ROW, key);
    kv_value_free(&rows->value); /* after the key was copied: it may lie in there */
    enum sh_err err = kv_get(rows->kv, rows->snap, rows->cf, fsm_key_span(&full), &rows->value);
    if (err != SH_OK && err != SH_ERR_NOT_FOUND) {
        stop(rows, err);
    }
    *value = rows->value.bytes;
    if (rows->remembers) {
        remember(rows, fsm_key_name(&full), hash, *value, err != SH_OK);
    }
    return err == SH_OK;
}

void fsm_rows_put(struct fsm_rows *rows, struct sh_span key, struct sh_span value, bool gone)
{
    fsm_map_put(&rows->overlay, key, fsm_map_hash(key), value, gone);
}

static void open_iter(struct fsm_rows *rows)
{
    struct fsm_key low;
    struct fsm_key high;
    if (rows->iter != NULL) {
        return;
    }
    fsm_key_make(&low, rows->generation, FSM_KIND_ROW, KV_ALL);
    fsm_key_make(&high, rows->generation, FSM_KIND_END, KV_ALL);
    enum sh_err err = kv_iter_open(rows->kv, rows->snap, rows->cf, fsm_key_span(&low),
                                   fsm_key_span(&high), &rows->iter);
    if (err != SH_OK) {
        stop(rows, err);
    }
}

static struct sh_span row_key(const struct kv_iter *iter)
{
    struct sh_span key = kv_iter_key(iter);
    return KV_SPAN(key.at + FSM_PREFIX_BYTES, key.size - FSM_PREFIX_BYTES);
}

/* Whether bound is the key the iterator stands on with a zero byte more: how a scan goes on.
 * Stepping costs a tenth of seeking. */
static bool is_next(const struct fsm_rows *rows, const struct fsm_key *bound)
{
    if (!rows->stands) {
        return false;
    }
    struct sh_span key = kv_iter_key(rows->iter);
    return bound->size == key.size + 1 && bound->bytes[key.size] == 0 &&
           memcmp(bound->bytes, key.at, key.size) == 0;
}

static bool is_overlaid(const struct fsm_rows *rows, struct sh_span key)
{
    return rows->overlay.count > 0 && fsm_map_find(&rows->overlay, key, fsm_map_hash(key)) != NULL;
}

/* Moves the iterator to the nearest committed row that the overlay says nothing about. */
static bool seek_committed(struct fsm_rows *rows, const struct fsm_key *bound, bool reverse)
{
    bool unbounded = fsm_key_name(bound).size == 0;
    bool more;
    open_iter(rows);
    struct kv_iter *iter = rows->iter;
    if (reverse) {
        more = unbounded ? kv_iter_last(iter) : kv_iter_seek_before(iter, fsm_key_span(bound));
    } else if (is_next(rows, bound)) {
        more = kv_iter_next(iter);
    } else {
        more = kv_iter_seek(iter, fsm_key_span(bound));
    }
    while (more && is_overlaid(rows, row_key(iter))) {
        more = reverse ? kv_iter_prev(iter) : kv_iter_next(iter);
    }
    rows->stands = more;
    if (!more) {
        enum sh_err err = kv_iter_error(iter);
        if (err != SH_OK) {
            stop(rows, err);
        }
    }
    return more;
}

static const struct fsm_row *seek_overlay(struct fsm_rows *rows, struct sh_span bound, bool reverse)
{
    struct fsm_map *map = &rows->overlay;
    const struct fsm_row *row = reverse ? fsm_map_before(map, bound) : fsm_map_from(map, bound);
    while (row != NULL && row->gone) {
        struct sh_span key = fsm_row_key(row);
        row = reverse ? fsm_map_before(map, key) : fsm_map_after(map, key);
    }
    return row;
}

bool fsm_rows_seek(struct fsm_rows *rows, struct sh_span low, struct sh_span high, bool reverse,
                   struct sh_span *key, struct sh_span *value)
{
    struct fsm_key from;
    struct fsm_key to;
    fsm_key_make(&from, rows->generation, FSM_KIND_ROW, reverse ? high : low);
    fsm_key_make(&to, rows->generation, FSM_KIND_ROW, reverse ? low : high);
    const struct fsm_row *row = seek_overlay(rows, fsm_key_name(&from), reverse);
    bool found = seek_committed(rows, &from, reverse);
    *key = found ? row_key(rows->iter) : KV_ALL;
    *value = found ? kv_iter_value(rows->iter) : KV_ALL;
    if (row != NULL && found) {
        int order = kv_compare(fsm_row_key(row), *key);
        found = reverse ? order < 0 : order > 0; /* the committed row comes sooner */
    }
    if (row != NULL && !found) {
        *key = fsm_row_key(row);
        *value = fsm_row_value(row);
        found = true;
    }
    int past = kv_compare(*key, fsm_key_name(&to));
    bool within = reverse ? past >= 0 : fsm_key_name(&to).size == 0 || past < 0;
    return found && within;
}
