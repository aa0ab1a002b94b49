/* SPDX-License-Identifier: Apache-2.0
 *
 * Directories that people have: scripts on their way to the agents that run them, outputs on their
 * way back. Both are file sets (spec/fileset.h) in which no two names of one folder differ by case
 * alone, so their digest is that of the blob.
 *
 * What cannot be packed refuses the whole, with the entry named as "PATH: what is wrong"; nothing
 * is left half-written. Refused are devices, sockets, pipes, programs with set-user-id or
 * set-group-id, links that leave the tree, names that fileset.h rules out, names that differ by
 * case alone, more than SPEC_FILESET_ENTRIES_MAX entries, more than the byte limit. Links are
 * packed as links and never followed, also where somebody changes the tree meanwhile; a file whose
 * size or time of change is another after it was read is IO.
 *
 * Every blob is in memory, given to the caller (free); packing an archive takes up to twice its
 * unpacked bytes meanwhile. All calls read and write disks: for no thread that keeps time. why may
 * need 600 bytes; it is cut to why_size. No call keeps state; all are safe from any thread. */
#ifndef SPEC_PACKAGE_H
#define SPEC_PACKAGE_H

#include "spec/fileset.h"
#include "spec/glob.h"

#define SPEC_PACKAGE_RATIO_MAX    200u                 /* unpacked to packed bytes of an archive, */
#define SPEC_PACKAGE_RATIO_BYTES  (UINT64_C(64) << 20) /* from so many unpacked bytes on */
#define SPEC_PACKAGE_PATTERNS_MAX 64u                  /* of declared outputs */
#define SPEC_PACKAGE_TAKES        4u                   /* of outputs that change meanwhile */

/* Packs the directory dir as a package: all of it but `models` and `evaluation` at its root and
 * what its .shoalignore says (spec/ignore.h). NOT_FOUND: no such directory. INVALID, LIMIT, IO,
 * NO_MEMORY. O(bytes + n log n). */
SH_MUST_USE enum sh_err spec_package_pack(const char *dir, uint8_t **bytes, size_t *size, char *why,
                                          size_t why_size);

/* Packs what a .tar, .tar.gz or .zip holds, to the same blob as the directory it was made of. Hard
 * links and encrypted entries are refused, too, and what unpacks to more than
 * SPEC_PACKAGE_RATIO_MAX times its size. CORRUPT: no such archive, or a damaged one. INVALID,
 * LIMIT, NO_MEMORY. */
SH_MUST_USE enum sh_err spec_package_pack_archive(struct sh_span archive, uint8_t **bytes,
                                                  size_t *size, char *why, size_t why_size);

struct spec_outputs {
    const char *dir;             /* the working directory */
    const char *const *patterns; /* spec/glob.h; one that matches a folder takes all below it */
    size_t pattern_count;        /* 0: what is new or changed against package */
    const char *const *leave; /* folders that are not looked into, NULL-terminated; may be NULL */
    struct sh_span package;   /* a blob of spec_package_pack, used where there is no pattern */
    uint64_t bytes_max;       /* 0: SPEC_FILESET_BYTES_MAX */
};
/* Packs the outputs in a working directory: files and links, no empty folders. What no pattern
 * takes is not looked at. Where they change meanwhile they are taken again, SPEC_PACKAGE_TAKES
 * times in all; then IO. What is given stood there together at one moment. INVALID: also a pattern
 * that is none. NOT_FOUND: a pattern took nothing (why names it), or no such directory. LIMIT, IO,
 * NO_MEMORY. */
SH_MUST_USE enum sh_err spec_package_collect(const struct spec_outputs *outputs, uint8_t **bytes,
                                             size_t *size, char *why, size_t why_size);

/* The manifest of a checked blob: one line an entry, in path order,
 * "file|program|folder|link SIZE BLAKE2B-256 PATH\n"; a digest of the target for a link, no path
 * has a line break. *text is given (free), NUL-terminated. NO_MEMORY, CORRUPT. */
SH_MUST_USE enum sh_err spec_package_manifest(struct sh_span blob, char **text, size_t *size);

#endif
