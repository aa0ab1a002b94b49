/* SPDX-License-Identifier: Apache-2.0
 *
 * A data set as one blob: the files that kn_dataset_open(path) would read, behind an index. Equal
 * files under equal names give equal bytes, so the digest of the blob identifies the data.
 *
 *   u32 magic "SHF1" | str root | u32 count | count x {u64 offset, u64 size, str path} | file bytes
 *
 * little-endian, entries sorted by path (bytes), offsets from the start of the blob, no gaps. Paths
 * are relative, '/'-separated, without empty, "." and ".." parts. root is the entry to open, or ""
 * for the folder that holds them all. */
#ifndef SPEC_FILESET_H
#define SPEC_FILESET_H

#include "base/bytes.h"
#include "base/limits.h"

#include <stdbool.h>

#define SPEC_FILESET_FILES_MAX 131072u
#define SPEC_FILESET_PATH_MAX  255u
#define SPEC_FILESET_BYTES_MAX (UINT64_C(1) << 30)

/* Packs what path stands for. test: the test half of an MNIST folder, else the training half.
 * *bytes is given to the caller (free). why names the file and what was expected there. NOT_FOUND,
 * INVALID, LIMIT (SPEC_FILESET_BYTES_MAX), IO, NO_MEMORY. */
SH_MUST_USE enum sh_err spec_fileset_pack(const char *path, bool test, uint8_t **bytes,
                                          size_t *size, char *why, size_t why_size);

struct spec_fileset_entry {
    char path[SPEC_FILESET_PATH_MAX + 1];
    struct sh_span bytes; /* borrows the blob */
};

struct spec_fileset {
    struct sh_reader reader; /* over the blob, at the next index record */
    char root[SPEC_FILESET_PATH_MAX + 1];
    uint32_t count;
    uint32_t next;
    uint64_t data_at; /* where the next file must start; 0: not known before the first */
    char previous[SPEC_FILESET_PATH_MAX + 1];
};

/* Borrows blob. CORRUPT where the header is not one of a file set. */
SH_MUST_USE enum sh_err spec_fileset_open(struct spec_fileset *set, struct sh_span blob);
/* The next entry in path order; NOT_FOUND after the last, CORRUPT at the first bad one. */
SH_MUST_USE enum sh_err spec_fileset_next(struct spec_fileset *set,
                                          struct spec_fileset_entry *entry);

/* Unpacks into the folder dir, which appears complete or not at all (written beside it, then
 * renamed); where it exists already nothing is written. path receives what kn_dataset_open takes.
 * CORRUPT, IO, NO_SPACE, LIMIT (path does not fit). */
SH_MUST_USE enum sh_err spec_fileset_extract(struct sh_span blob, const char *dir, char *path,
                                             size_t path_size);

#endif
