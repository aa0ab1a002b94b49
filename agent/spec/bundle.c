/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 12u /* without the root */
#define ENTRY_BYTES  21u /* of an index record without its path */

void spec_bundle_open(struct spec_bundle *b, uint64_t bytes_max, char *why, size_t why_size)
{
    bool bounded = bytes_max > 0 && bytes_max < SPEC_FILESET_BYTES_MAX;
    *b = (struct spec_bundle){.bytes_max = bounded ? bytes_max : SPEC_FILESET_BYTES_MAX,
                              .why = why,
                              .why_size = why_size};
}

void spec_bundle_close(struct spec_bundle *b)
{
    free(b->items);
    free(b->paths);
    b->items = NULL;
    b->paths = NULL;
}

enum sh_err spec_bundle_refuse(struct spec_bundle *b, enum sh_err err, struct sh_span path,
                               const char *what)
{
    char shown[SPEC_FILESET_SHOWN_BYTES];
    spec_fileset_show(path, shown);
    (void)snprintf(b->why, b->why_size, "%s: %s", shown, what);
    return err;
}

static bool grow(struct spec_bundle *b, size_t path_size)
{
    if (b->count == b->capacity) {
        size_t wanted = b->capacity == 0 ? 64 : 2 * b->capacity;
        struct spec_item *items = realloc(b->items, wanted * sizeof *items);
        if (items == NULL) {
            return false;
        }
        b->items = items;
        b->capacity = wanted;
    }
    if (b->paths_capacity - b->paths_used < path_size + 1) {
        size_t wanted = 2 * (b->paths_capacity + path_size + 1);
        char *paths = realloc(b->paths, wanted);
        if (paths == NULL) {
            return false;
        }
        b->paths = paths;
        b->paths_capacity = wanted;
    }
    return true;
}

enum sh_err spec_bundle_add(struct spec_bundle *b, struct sh_span path, enum spec_fileset_kind kind,
                            uint64_t size, uint64_t from)
{
    const char *wrong = spec_fileset_path_wrong(path);
    if (wrong != NULL) {
        return spec_bundle_refuse(b, SH_ERR_INVALID, path, wrong);
    }
    if (b->count == SPEC_FILESET_ENTRIES_MAX) {
        return spec_bundle_refuse(b, SH_ERR_LIMIT, path, "more than 1,000,000 entries and folders");
    }
    if (size > b->bytes_max - b->bytes) {
        char what[96];
        (void)snprintf(what, sizeof what, "with it there are more than %llu bytes",
                       (unsigned long long)b->bytes_max);
        return spec_bundle_refuse(b, SH_ERR_LIMIT, path, what);
    }
    if (!grow(b, path.size)) {
        return spec_bundle_refuse(b, SH_ERR_NO_MEMORY, path, "out of memory");
    }
    SH_CHECK_CMP(b->paths_used, <=, UINT32_MAX);
    b->items[b->count++] = (struct spec_item){.path = (uint32_t)b->paths_used,
                                              .length = (uint16_t)path.size,
                                              .kind = (uint16_t)kind,
                                              .size = size,
                                              .from = from};
    memcpy(b->paths + b->paths_used, path.at, path.size);
    b->paths[b->paths_used + path.size] = '\0';
    b->paths_used += path.size + 1;
    b->bytes += size;
    return SH_OK;
}

const char *spec_bundle_path(const struct spec_bundle *b, const struct spec_item *item)
{
    return b->paths + item->path;
}

static int by_path(const void *left, const void *right, void *context)
{
    const struct spec_bundle *b = context;
    return strcmp(spec_bundle_path(b, left), spec_bundle_path(b, right));
}

/* Does item lie in the folder at path? */
static bool lies_in(const struct spec_bundle *b, const struct spec_item *item,
                    const struct spec_item *folder)
{
    const char *path = spec_bundle_path(b, item);
    return item->length > folder->length && path[folder->length] == '/' &&
           memcmp(path, spec_bundle_path(b, folder), folder->length) == 0;
}

/* First item from `from` on that sorts at or after "folder/": what lies in it stands together. */
static size_t first_below(const struct spec_bundle *b, const struct spec_item *folder, size_t from)
{
    const char *path = spec_bundle_path(b, folder);
    size_t low = from;
    size_t high = b->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *other = spec_bundle_path(b, &b->items[middle]);
        int order = strncmp(other, path, folder->length);
        if (order < 0 || (order == 0 && (unsigned char)other[folder->length] < '/')) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

enum sh_err spec_bundle_sort(struct spec_bundle *b)
{
    if (b->count == 0) {
        return SH_OK;
    }
    qsort_r(b->items, b->count, sizeof b->items[0], by_path, b);
    for (size_t i = 1; i < b->count; i++) {
        struct spec_item *item = &b->items[i];
        const char *path = spec_bundle_path(b, item);
        bool folders = item->kind == SPEC_FOLDER && item[-1].kind == SPEC_FOLDER;
        if (strcmp(path, spec_bundle_path(b, item - 1)) == 0 && !folders) {
            struct sh_span name = {.at = (const uint8_t *)path, .size = item->length};
            return spec_bundle_refuse(b, SH_ERR_INVALID, name, "is there twice");
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < b->count; i++) {
        const struct spec_item *item = &b->items[i];
        size_t below = item->kind == SPEC_FOLDER ? first_below(b, item, i + 1) : b->count;
        bool again = item->kind == SPEC_FOLDER && i + 1 < b->count &&
                     strcmp(spec_bundle_path(b, item), spec_bundle_path(b, item + 1)) == 0;
        if (!again && (below == b->count || !lies_in(b, &b->items[below], item))) {
            b->items[kept++] = *item;
        }
    }
    b->count = kept;
    return SH_OK;
}

static size_t index_bytes(const struct spec_bundle *b, const char *root)
{
    size_t size = HEADER_BYTES + strlen(root);
    for (size_t i = 0; i < b->count; i++) {
        size += ENTRY_BYTES + b->items[i].length;
    }
    return size;
}

static enum sh_err write_blob(struct spec_bundle *b, const char *root, size_t index,
                              spec_bundle_fill fill, void *context, uint8_t *blob)
{
    struct sh_writer w = sh_writer_over(blob, index);
    sh_put_u32(&w, SPEC_FILESET_MAGIC);
    sh_put_str(&w, root);
    sh_put_u32(&w, (uint32_t)b->count);
    uint64_t offset = index;
    for (size_t i = 0; i < b->count; i++) {
        const struct spec_item *item = &b->items[i];
        sh_put_u8(&w, (uint8_t)item->kind);
        sh_put_u64(&w, offset);
        sh_put_u64(&w, item->size);
        sh_put_str(&w, spec_bundle_path(b, item));
        enum sh_err err = item->kind != SPEC_FOLDER
                              ? fill(context, spec_bundle_path(b, item), item, blob + offset)
                              : SH_OK;
        if (err != SH_OK) {
            return err;
        }
        offset += item->size;
    }
    SH_CHECK(!w.full);
    SH_CHECK_CMP(w.used, ==, index);
    return SH_OK;
}

enum sh_err spec_bundle_seal(struct spec_bundle *b, const char *root, bool one_case,
                             spec_bundle_fill fill, void *context, uint8_t **bytes, size_t *size)
{
    enum sh_err err = spec_bundle_sort(b);
    if (err != SH_OK) {
        return err;
    }
    size_t index = index_bytes(b, root);
    size_t total = index + (size_t)b->bytes;
    if (total > SPEC_FILESET_BYTES_MAX) {
        (void)snprintf(b->why, b->why_size, "with its index the file set is larger than 1 GiB");
        return SH_ERR_LIMIT;
    }
    uint8_t *blob = malloc(total);
    if (blob == NULL) {
        (void)snprintf(b->why, b->why_size, "out of memory");
        return SH_ERR_NO_MEMORY;
    }
    err = write_blob(b, root, index, fill, context, blob);
    if (err == SH_OK) {
        err = spec_fileset_check((struct sh_span){.at = blob, .size = total}, one_case, b->why,
                                 b->why_size);
        err = err == SH_ERR_CORRUPT ? SH_ERR_INVALID : err;
    }
    if (err != SH_OK) {
        free(blob);
        return err;
    }
    *bytes = blob;
    *size = total;
    return SH_OK;
}
