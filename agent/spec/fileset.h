/* SPDX-License-Identifier: Apache-2.0
 *
 * A data set as one blob: the files of a submitter's path, in the layout its format asks for
 * (enum spec_format), behind an index. Equal files give equal bytes, so the digest of the blob
 * identifies the data.
 *
 *   u32 magic "SHF1" | u32 count | count x {u64 offset, u64 size, str path} | file bytes
 *
 * little-endian, entries sorted by path (bytes), offsets from the start of the blob, no gaps.
 * Paths are relative, '/'-separated, without "." and ".." parts. */
#ifndef SPEC_FILESET_H
#define SPEC_FILESET_H

#include "base/bytes.h"
#include "spec/spec.h"

#define SPEC_FILESET_FILES_MAX 131072u
#define SPEC_FILESET_PATH_MAX  255u
#define SPEC_FILESET_BYTES_MAX (UINT64_C(1) << 30)

/* Which half of a directory that holds all four MNIST files is meant. */
enum spec_part { SPEC_PART_TRAIN, SPEC_PART_TEST };

/* Reads path (a CSV file, a directory with an IDX pair of that part under MNIST's names, an IDX
 * images file with its labels file beside it, or a directory of class directories of images) and
 * packs it; *bytes is given to the caller (free). why names the file and what was expected there.
 * NOT_FOUND, INVALID, LIMIT (SPEC_FILESET_BYTES_MAX), IO, NO_MEMORY. */
SH_MUST_USE enum sh_err spec_fileset_pack(const char *path, enum spec_part part, uint8_t **bytes,
                                          size_t *size, enum spec_format *format, char *why,
                                          size_t why_size);

struct spec_fileset_entry {
    char path[SPEC_FILESET_PATH_MAX + 1];
    struct sh_span bytes; /* borrows the blob */
};

struct spec_fileset {
    struct sh_span blob; /* borrowed */
    uint32_t count;
    size_t index_at; /* where the next entry's index record starts */
    uint32_t next;
    uint64_t data_at; /* where the next file must start */
    char previous[SPEC_FILESET_PATH_MAX + 1];
};

/* CORRUPT where the header is not one of a file set. */
SH_MUST_USE enum sh_err spec_fileset_open(struct spec_fileset *set, struct sh_span blob);
/* The next entry in path order; NOT_FOUND after the last, CORRUPT at the first bad one. */
SH_MUST_USE enum sh_err spec_fileset_next(struct spec_fileset *set,
                                          struct spec_fileset_entry *entry);

#endif
