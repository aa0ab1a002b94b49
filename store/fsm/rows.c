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
    kv_tree_drop(rows->overlay);
    rows->overlay = NULL;
    kv_iter_close(rows->iter);
    rows->iter = NULL;
    rows->stands = false;
    kv_value_free(&rows->value);
}

void fsm_rows_forget(struct fsm_rows *rows)
{
    kv_tree_drop(rows->read);
    rows->read = NULL;
    rows->read_count = 0;
}

void fsm_rows_settle(struct fsm_rows *rows)
{
    const struct kv_node *root = rows->overlay;
    const struct kv_pair *pair = kv_tree_from(root, KV_ALL);
    while (pair != NULL) {
        struct sh_span key = kv_pair_key(pair);
        if (kv_tree_find(rows->read, key) != NULL) {
            kv_tree_put(&rows->read, key, kv_pair_value(pair), pair->gone);
        }
        pair = kv_tree_after(root, key);
    }
}

static void remember(struct fsm_rows *rows, struct sh_span key, struct sh_span value, bool gone)
{
    if (rows->read_count == FSM_READ_MAX) {
        fsm_rows_forget(rows);
    }
    kv_tree_put(&rows->read, key, value, gone);
    rows->read_count++;
}

bool fsm_rows_get(struct fsm_rows *rows, struct sh_span key, struct sh_span *value)
{
    const struct kv_pair *pair = kv_tree_find(rows->overlay, key);
    pair = pair == NULL ? kv_tree_find(rows->read, key) : pair;
    *value = KV_ALL;
    if (pair != NULL) {
        *value = pair->gone ? KV_ALL : kv_pair_value(pair);
        return !pair->gone;
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
        remember(rows, fsm_key_name(&full), *value, err != SH_OK);
    }
    return err == SH_OK;
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
    while (more && kv_tree_find(rows->overlay, row_key(iter)) != NULL) {
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

static const struct kv_pair *seek_overlay(const struct fsm_rows *rows, struct sh_span bound,
                                          bool reverse)
{
    const struct kv_node *root = rows->overlay;
    const struct kv_pair *pair;
    if (reverse) {
        pair = bound.size > 0 ? kv_tree_before(root, bound) : kv_tree_last(root);
    } else {
        pair = kv_tree_from(root, bound);
    }
    while (pair != NULL && pair->gone) {
        struct sh_span key = kv_pair_key(pair);
        pair = reverse ? kv_tree_before(root, key) : kv_tree_after(root, key);
    }
    return pair;
}

bool fsm_rows_seek(struct fsm_rows *rows, struct sh_span low, struct sh_span high, bool reverse,
                   struct sh_span *key, struct sh_span *value)
{
    struct fsm_key from;
    struct fsm_key to;
    fsm_key_make(&from, rows->generation, FSM_KIND_ROW, reverse ? high : low);
    fsm_key_make(&to, rows->generation, FSM_KIND_ROW, reverse ? low : high);
    const struct kv_pair *pair = seek_overlay(rows, fsm_key_name(&from), reverse);
    bool found = seek_committed(rows, &from, reverse);
    *key = found ? row_key(rows->iter) : KV_ALL;
    *value = found ? kv_iter_value(rows->iter) : KV_ALL;
    if (pair != NULL && found) {
        int order = kv_compare(kv_pair_key(pair), *key);
        found = reverse ? order < 0 : order > 0; /* the committed row comes sooner */
    }
    if (pair != NULL && !found) {
        *key = kv_pair_key(pair);
        *value = kv_pair_value(pair);
        found = true;
    }
    int past = kv_compare(*key, fsm_key_name(&to));
    bool within = reverse ? past >= 0 : fsm_key_name(&to).size == 0 || past < 0;
    return found && within;
}
