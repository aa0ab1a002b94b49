/* SPDX-License-Identifier: Apache-2.0
 *
 * A tree of files as one blob: what a data set is uploaded as (fileset_pack.c), a directory of
 * scripts or of outputs (spec/package.h). Equal trees give equal bytes, so the digest of the blob
 * identifies the tree: names, kinds and bytes count, times, owners and other mode bits do not.
 *
 *   u32 magic "SHF2" | str root | u32 count
 *   count x {u8 kind, u64 offset, u64 size, str path} | bytes of the entries
 *
 * little-endian, entries sorted by path (bytes), bytes in the same order without gaps, nothing
 * after them. root is the entry to open, or "" for the folder that holds them all. A folder is an
 * entry only where it is empty. So a tree has exactly one encoding.
 *
 * A path is relative, '/'-separated UTF-8 without empty, "." and ".." parts, control characters and
 * backslashes. Nothing lies below an entry. A link is relative and stays inside: ".." comes only
 * first, as often as folders lead to the link at most, so that it stays inside through other links
 * too. Any other kind of thing cannot be said. */
#ifndef SPEC_FILESET_H
#define SPEC_FILESET_H

#include "base/bytes.h"
#include "base/limits.h"

#include <stdbool.h>
#include <sys/types.h>

#define SPEC_FILESET_MAGIC       UINT32_C(0x32464853) /* "SHF2" */
#define SPEC_FILESET_ENTRIES_MAX 1000000u             /* and folders that lead to them */
#define SPEC_FILESET_PATH_MAX    1023u                /* bytes; of a link's target too */
#define SPEC_FILESET_NAME_MAX    255u                 /* bytes of one part of a path */
#define SPEC_FILESET_DEPTH_MAX   64u                  /* parts of a path */
#define SPEC_FILESET_BYTES_MAX   (UINT64_C(1) << 30)  /* the whole blob */

enum spec_fileset_kind {
    SPEC_FILE = 1,
    SPEC_PROGRAM = 2, /* a file that its owner may execute */
    SPEC_FOLDER = 3,  /* an empty one */
    SPEC_LINK = 4     /* symbolic; its bytes are the target */
};

/* What a data set is for: an MNIST folder has two halves, what a model is only asked about needs no
 * labels. */
enum spec_pack { SPEC_PACK_TRAIN, SPEC_PACK_TEST, SPEC_PACK_INPUT };
/* Packs the data set that path stands for: the files that kn_dataset_open(path) would read; as an
 * input a folder is packed whole. *bytes is given to the caller (free). why names the file and what
 * was expected there. NOT_FOUND, INVALID, LIMIT (SPEC_FILESET_BYTES_MAX), IO, NO_MEMORY. */
SH_MUST_USE enum sh_err spec_fileset_pack(const char *path, enum spec_pack use, uint8_t **bytes,
                                          size_t *size, char *why, size_t why_size);

struct spec_fileset_member { /* a file */
    const char *path;
    struct sh_span bytes;
};
/* Packs files that are in memory; root is the one to open, or "". *bytes is given (free). INVALID,
 * LIMIT, NO_MEMORY. */
SH_MUST_USE enum sh_err spec_fileset_make(const struct spec_fileset_member *members, size_t count,
                                          const char *root, uint8_t **bytes, size_t *size,
                                          char *why, size_t why_size);
/* The bytes of one file of a set, borrowed from the blob; NOT_FOUND, CORRUPT. */
SH_MUST_USE enum sh_err spec_fileset_find(struct sh_span blob, const char *path,
                                          struct sh_span *bytes);

struct spec_fileset_entry {
    enum spec_fileset_kind kind;
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
    struct sh_span name; /* path of the entry read last, good or not; borrows the blob */
    uint32_t entry;      /* its number, from 1 */
    const char *wrong;   /* what is wrong with it, after CORRUPT */
};

/* Borrows blob. CORRUPT where the header is not one of a file set. */
SH_MUST_USE enum sh_err spec_fileset_open(struct spec_fileset *set, struct sh_span blob);
/* The next entry in path order; NOT_FOUND after the last, CORRUPT at the first that breaks a rule
 * by itself. What takes two entries to break a rule, spec_fileset_check finds. */
SH_MUST_USE enum sh_err spec_fileset_next(struct spec_fileset *set,
                                          struct spec_fileset_entry *entry);

/* The whole blob against all of the above. one_case: no two names in one folder may differ by case
 * alone (such a tree has no place on every disk). CORRUPT or LIMIT, why names the entry; NO_MEMORY.
 * O(n log n) and some 16 bytes of memory an entry, bounded by what the blob holds. */
SH_MUST_USE enum sh_err spec_fileset_check(struct sh_span blob, bool one_case, char *why,
                                           size_t why_size);

/* Unpacks into the folder dir, which appears complete or not at all (written beside it as
 * dir.XXXXXX, then renamed). The blob is checked (spec_fileset_check) before anything is written;
 * links are never followed. Where dir exists already nothing is written. path receives what
 * kn_dataset_open takes: dir, or the root in it. CORRUPT, LIMIT, IO, NO_SPACE, NO_MEMORY, with why
 * naming the entry. */
SH_MUST_USE enum sh_err spec_fileset_extract(struct sh_span blob, bool one_case, const char *dir,
                                             char *path, size_t path_size, char *why,
                                             size_t why_size);
/* Removes dir and what is below it, however deep and whatever its modes, following no link and
 * crossing no mount. Goes on after what cannot be removed; false where something is left: errno and
 * why, "NAME: what is wrong", are of the first. why may be NULL with why_size 0. */
bool spec_fileset_remove(const char *dir, char *why, size_t why_size);
#define SPEC_FILESET_ASIDE_BYTES 4096u
/* An empty folder dir of that mode: what was there is removed. Where it cannot be, it is moved to
 * aside (beside dir, "": nothing was) and why says what is wrong with it. IO, DENIED and the like:
 * neither could be done; LIMIT: the name is too long. */
SH_MUST_USE enum sh_err spec_fileset_fresh(const char *dir, mode_t mode,
                                           char aside[static SPEC_FILESET_ASIDE_BYTES], char *why,
                                           size_t why_size);

/* What is wrong with a path, or with the target of a link at that path, of so many bytes: static
 * text, NULL where nothing is. */
const char *spec_fileset_path_wrong(struct sh_span path);
const char *spec_fileset_target_wrong(struct sh_span target, const char *link);
/* The path for a line of text: what is not printable as \n, \t or \xNN, the middle left out where
 * it is too long. NUL-terminated. */
#define SPEC_FILESET_SHOWN_BYTES 256u
void spec_fileset_show(struct sh_span path, char out[static SPEC_FILESET_SHOWN_BYTES]);

#endif
