/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/spec: entries that are found in any order, on their way to a file set. First all
 * are added by path, kind and size; then the blob is made, in order, and each entry's bytes are
 * asked for once. */
#ifndef SPEC_BUNDLE_H
#define SPEC_BUNDLE_H

#include "spec/fileset.h"

struct spec_item {
    uint32_t path; /* offset in paths */
    uint16_t length;
    uint16_t kind; /* enum spec_fileset_kind; a SPEC_FOLDER that turns out not to be empty goes */
    uint64_t size;
    uint64_t from; /* the adder's, for its own fill */
};

struct spec_bundle {
    struct spec_item *items;
    size_t count;
    size_t capacity;
    char *paths; /* each with its NUL */
    size_t paths_used;
    size_t paths_capacity;
    uint64_t bytes;     /* of all entries */
    uint64_t bytes_max; /* of them, at most SPEC_FILESET_BYTES_MAX */
    char *why;          /* names the entry that was refused */
    size_t why_size;
};

/* Writes the size bytes of an entry, no folder; on an error it has told why. */
typedef enum sh_err (*spec_bundle_fill)(void *context, const char *path,
                                        const struct spec_item *item, uint8_t *out);

/* bytes_max 0: SPEC_FILESET_BYTES_MAX. */
void spec_bundle_open(struct spec_bundle *b, uint64_t bytes_max, char *why, size_t why_size);
void spec_bundle_close(struct spec_bundle *b);
/* Tells "PATH: WHAT" and returns err. */
enum sh_err spec_bundle_refuse(struct spec_bundle *b, enum sh_err err, struct sh_span path,
                               const char *what);
/* INVALID: no good path. LIMIT: too many entries or bytes. NO_MEMORY. */
SH_MUST_USE enum sh_err spec_bundle_add(struct spec_bundle *b, struct sh_span path,
                                        enum spec_fileset_kind kind, uint64_t size, uint64_t from);
const char *spec_bundle_path(const struct spec_bundle *b, const struct spec_item *item);
/* Sorts by path and drops folders that are not empty. INVALID: two entries of one path that are not
 * both folders. Called by seal too. */
SH_MUST_USE enum sh_err spec_bundle_sort(struct spec_bundle *b);
/* The blob, checked; given (free). What fill and spec_fileset_check say; CORRUPT of the latter is
 * INVALID here. */
SH_MUST_USE enum sh_err spec_bundle_seal(struct spec_bundle *b, const char *root, bool one_case,
                                         spec_bundle_fill fill, void *context, uint8_t **bytes,
                                         size_t *size);

#endif
