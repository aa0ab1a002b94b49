/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/fileset.h"

#include "spec/glob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {    /* an entry, or a folder that leads to some */
    uint32_t at; /* its path in the blob */
    uint16_t size;
    uint16_t entry; /* 1: an entry itself */
};

struct check {
    const uint8_t *blob;
    bool one_case;
    struct node *nodes;
    size_t count;
    size_t capacity;
    char *why;
    size_t why_size;
};

/* Lower case of the alphabets that have one and that people name files in: Latin, Greek, Cyrillic,
 * Armenian. Names that differ otherwise are different. */
static uint32_t lower(uint32_t c)
{
    if (c < 0x80) {
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    bool latin1 = c >= 0xc0 && c <= 0xde && c != 0xd7;
    bool greek = c >= 0x391 && c <= 0x3a9 && c != 0x3a2;
    if (latin1 || greek || (c >= 0x410 && c <= 0x42f)) {
        return c + 32;
    }
    if ((c >= 0x100 && c <= 0x137) || (c >= 0x14a && c <= 0x177) || (c >= 0x1e00 && c <= 0x1e95) ||
        (c >= 0x1ea0 && c <= 0x1eff) || (c >= 0x460 && c <= 0x481) || (c >= 0x48a && c <= 0x4bf) ||
        (c >= 0x4d0 && c <= 0x52f)) {
        return c | 1u;
    }
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e)) {
        return (c & 1u) != 0 ? c + 1 : c;
    }
    if (c >= 0x400 && c <= 0x40f) {
        return c + 80;
    }
    if (c >= 0x531 && c <= 0x556) {
        return c + 48;
    }
    return c;
}

/* Order of two good paths with case left out. */
static int compare_lower(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t i = 0;
    size_t k = 0;
    while (i < a_size && k < b_size) {
        size_t a_used = 1;
        size_t b_used = 1;
        uint32_t x = spec_glob_decode(a + i, a_size - i, &a_used);
        uint32_t y = spec_glob_decode(b + k, b_size - k, &b_used);
        x = lower(x);
        y = lower(y);
        if (x != y) {
            return x < y ? -1 : 1;
        }
        i += a_used;
        k += b_used;
    }
    return (i < a_size) - (k < b_size);
}

static int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static int by_path(const void *left, const void *right, void *context)
{
    const struct node *a = left;
    const struct node *b = right;
    const struct check *c = context;
    const char *text = (const char *)c->blob;
    int order = c->one_case ? compare_lower(text + a->at, a->size, text + b->at, b->size) : 0;
    return order != 0 ? order : compare_bytes(text + a->at, a->size, text + b->at, b->size);
}

static enum sh_err refuse(const struct check *c, enum sh_err err, struct sh_span path,
                          const char *what)
{
    char shown[SPEC_FILESET_SHOWN_BYTES];
    spec_fileset_show(path, shown);
    (void)snprintf(c->why, c->why_size, "%s: %s", shown, what);
    return err;
}

static struct sh_span path_of(const struct check *c, const struct node *node)
{
    return (struct sh_span){.at = c->blob + node->at, .size = node->size};
}

static enum sh_err add_node(struct check *c, struct sh_span path, bool entry)
{
    if (c->count == SPEC_FILESET_ENTRIES_MAX) {
        return refuse(c, SH_ERR_LIMIT, path, "more than 1,000,000 entries and folders");
    }
    if (c->count == c->capacity) {
        size_t wanted = c->capacity == 0 ? 64 : 2 * c->capacity;
        struct node *nodes = realloc(c->nodes, wanted * sizeof *nodes);
        if (nodes == NULL) {
            return refuse(c, SH_ERR_NO_MEMORY, path, "out of memory");
        }
        c->nodes = nodes;
        c->capacity = wanted;
    }
    c->nodes[c->count++] = (struct node){
        .at = (uint32_t)(path.at - c->blob), .size = (uint16_t)path.size, .entry = entry ? 1 : 0};
    return SH_OK;
}

/* The entry, and the folders leading to it that the one before was not in: with paths in order all
 * that is below one folder stands together, so each folder comes once. */
static enum sh_err add_entry(struct check *c, struct sh_span path, struct sh_span before)
{
    size_t common = 0;
    while (common < path.size && common < before.size && path.at[common] == before.at[common]) {
        common++;
    }
    enum sh_err err = SH_OK;
    for (size_t i = common; i < path.size && err == SH_OK; i++) {
        if (path.at[i] == '/') {
            err = add_node(c, (struct sh_span){.at = path.at, .size = i}, false);
        }
    }
    return err == SH_OK ? add_node(c, path, true) : err;
}

static enum sh_err compare_neighbours(struct check *c)
{
    if (c->count == 0) {
        return SH_OK; /* and no array to sort */
    }
    qsort_r(c->nodes, c->count, sizeof c->nodes[0], by_path, c);
    for (size_t i = 1; i < c->count; i++) {
        struct sh_span a = path_of(c, &c->nodes[i - 1]);
        struct sh_span b = path_of(c, &c->nodes[i]);
        const char *x = (const char *)a.at;
        const char *y = (const char *)b.at;
        if (compare_bytes(x, a.size, y, b.size) == 0) {
            return refuse(c, SH_ERR_CORRUPT, b, "both an entry and a folder of others");
        }
        if (c->one_case && compare_lower(x, a.size, y, b.size) == 0) {
            char shown[SPEC_FILESET_SHOWN_BYTES];
            char what[SPEC_FILESET_SHOWN_BYTES + 32];
            spec_fileset_show(a, shown);
            (void)snprintf(what, sizeof what, "differs from %s by case alone", shown);
            return refuse(c, SH_ERR_CORRUPT, b, what);
        }
    }
    return SH_OK;
}

static enum sh_err check_entries(struct check *c, struct spec_fileset *set)
{
    struct spec_fileset_entry entry;
    struct sh_span before = {.at = NULL};
    uint64_t first = 0;
    enum sh_err err = spec_fileset_next(set, &entry);
    while (err == SH_OK) {
        first = set->next == 1 ? (uint64_t)(entry.bytes.at - c->blob) : first;
        err = add_entry(c, set->name, before);
        if (err != SH_OK) {
            return err;
        }
        before = set->name;
        err = spec_fileset_next(set, &entry);
    }
    if (err != SH_ERR_NOT_FOUND) {
        char number[32]; /* where it has no name */
        (void)snprintf(number, sizeof number, "entry %u", set->entry);
        struct sh_span name = {.at = (const uint8_t *)number, .size = strlen(number)};
        return refuse(c, err, set->name.size > 0 ? set->name : name, set->wrong);
    }
    uint64_t index = set->reader.used;
    uint64_t end = set->count > 0 ? set->data_at : index;
    if (end != set->reader.size || (set->count > 0 && first != index)) {
        (void)snprintf(c->why, c->why_size, "the file set has bytes that no entry accounts for");
        return SH_ERR_CORRUPT;
    }
    return compare_neighbours(c);
}

enum sh_err spec_fileset_check(struct sh_span blob, bool one_case, char *why, size_t why_size)
{
    struct spec_fileset set;
    struct check c = {.blob = blob.at, .one_case = one_case, .why = why, .why_size = why_size};
    if (blob.size > SPEC_FILESET_BYTES_MAX) {
        (void)snprintf(why, why_size, "the file set is larger than 1 GiB");
        return SH_ERR_LIMIT;
    }
    enum sh_err err = spec_fileset_open(&set, blob);
    if (err != SH_OK) {
        (void)snprintf(why, why_size, "%s",
                       err == SH_ERR_LIMIT ? "the file set has more than 1,000,000 entries"
                                           : "the bytes are not a file set");
        return err;
    }
    err = check_entries(&c, &set);
    free(c.nodes);
    return err;
}
