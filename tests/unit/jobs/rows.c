/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"
#include "tst.h"

#include <stdlib.h>

static int compare(struct sh_span a, struct sh_span b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.at, b.at, common);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static struct sh_span key_of(const struct rows_row *row)
{
    return (struct sh_span){.at = row->bytes, .size = row->key_size};
}

static size_t lower(const struct rows *rows, struct sh_span key)
{
    size_t low = 0;
    size_t high = rows->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(key_of(&rows->at[middle]), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void *grown(void *at, size_t size)
{
    void *more = realloc(at, size);
    EXPECT(more != NULL);
    return more;
}

static void lend(struct rows *rows, const struct rows_row *row, struct sh_span *key,
                 struct sh_span *value)
{
    size_t size = (size_t)row->key_size + row->value_size;
    free(rows->lent); /* a new block each time: a sanitizer sees uses of the old one */
    rows->lent = grown(NULL, size + 1);
    rows->lent_size = size;
    memcpy(rows->lent, row->bytes, size);
    if (key != NULL) {
        *key = (struct sh_span){.at = rows->lent, .size = row->key_size};
    }
    *value = (struct sh_span){.at = rows->lent + row->key_size, .size = row->value_size};
}

static void recall(struct rows *rows)
{
    if (rows->lent != NULL) {
        memset(rows->lent, 0xdb, rows->lent_size);
    }
}

static bool rows_get(void *ctx, struct sh_span key, struct sh_span *value)
{
    struct rows *rows = ctx;
    size_t at = lower(rows, key);
    bool found = at < rows->count && compare(key_of(&rows->at[at]), key) == 0;
    recall(rows);
    if (found) {
        lend(rows, &rows->at[at], NULL, value);
    }
    return found;
}

static struct rows_row row_of(struct sh_span key, struct sh_span value)
{
    struct rows_row row = {.bytes = grown(NULL, key.size + value.size + 1),
                           .key_size = (uint32_t)key.size,
                           .value_size = (uint32_t)value.size};
    memcpy(row.bytes, key.at, key.size);
    if (value.size > 0) {
        memcpy(row.bytes + key.size, value.at, value.size);
    }
    return row;
}

static void rows_put(void *ctx, struct sh_span key, struct sh_span value)
{
    struct rows *rows = ctx;
    EXPECT(key.size >= 1 && key.size <= SH_TABLE_KEY_MAX);
    EXPECT(value.size <= SH_TABLE_VALUE_MAX);
    struct rows_row row = row_of(key, value);
    size_t at = lower(rows, key);
    recall(rows);
    if (at < rows->count && compare(key_of(&rows->at[at]), key_of(&row)) == 0) {
        free(rows->at[at].bytes);
        rows->at[at] = row;
        return;
    }
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity * 2 + 64;
        rows->at = grown(rows->at, rows->capacity * sizeof *rows->at);
    }
    memmove(rows->at + at + 1, rows->at + at, (rows->count - at) * sizeof *rows->at);
    rows->at[at] = row;
    rows->count++;
}

static void rows_del(void *ctx, struct sh_span key)
{
    struct rows *rows = ctx;
    size_t at = lower(rows, key);
    bool found = at < rows->count && compare(key_of(&rows->at[at]), key) == 0;
    recall(rows);
    if (found) {
        free(rows->at[at].bytes);
        rows->count--;
        memmove(rows->at + at, rows->at + at + 1, (rows->count - at) * sizeof *rows->at);
    }
}

static bool rows_seek(void *ctx, struct sh_span low, struct sh_span high, bool reverse,
                      struct sh_span *key, struct sh_span *value)
{
    struct rows *rows = ctx;
    size_t first = lower(rows, low);
    size_t end = high.size == 0 ? rows->count : lower(rows, high);
    recall(rows);
    if (first >= end) {
        return false;
    }
    lend(rows, &rows->at[reverse ? end - 1 : first], key, value);
    return true;
}

void rows_init(struct rows *rows)
{
    *rows = (struct rows){.capacity = 0};
    rows->table = (struct sh_table){
        .ctx = rows, .get = rows_get, .put = rows_put, .del = rows_del, .seek = rows_seek};
}

void rows_free(struct rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        free(rows->at[i].bytes);
    }
    free(rows->at);
    free(rows->lent);
    *rows = (struct rows){.capacity = 0};
}

void rows_copy(struct rows *to, const struct rows *from)
{
    rows_init(to);
    for (size_t i = 0; i < from->count; i++) {
        const struct rows_row *row = &from->at[i];
        rows_put(to, key_of(row),
                 (struct sh_span){.at = row->bytes + row->key_size, .size = row->value_size});
    }
}

bool rows_equal(const struct rows *a, const struct rows *b)
{
    bool equal = a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++) {
        size_t size = (size_t)a->at[i].key_size + a->at[i].value_size;
        equal = a->at[i].key_size == b->at[i].key_size &&
                a->at[i].value_size == b->at[i].value_size &&
                memcmp(a->at[i].bytes, b->at[i].bytes, size) == 0;
    }
    return equal;
}
