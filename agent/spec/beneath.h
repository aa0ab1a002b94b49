/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/spec: the folders below a root, entered one name at a time and never through a
 * link, whoever else changes the tree meanwhile. What RESOLVE_BENEATH, NO_SYMLINKS and
 * NO_MAGICLINKS of openat2 give for a path, O_NOFOLLOW gives for a name that is neither ".." nor
 * has a '/'; and it works where a container's filter knows no openat2. The folders entered last
 * stay open, so paths in order cost one system call a folder. */
#ifndef SPEC_BENEATH_H
#define SPEC_BENEATH_H

#include "spec/fileset.h"

struct spec_beneath {
    int folders[SPEC_FILESET_DEPTH_MAX + 1]; /* open; [0] is the root */
    size_t ends[SPEC_FILESET_DEPTH_MAX + 1]; /* bytes of path that lead to each */
    uint32_t depth;                          /* index of the innermost */
    char path[SPEC_FILESET_PATH_MAX + 1];
};

/* Takes root, an open folder. */
void spec_beneath_start(struct spec_beneath *b, int root);
void spec_beneath_end(struct spec_beneath *b);
/* The folder that path (a good one) lies in, borrowed until the next call, and the last part of
 * path, borrowed from path. create: makes what is missing, with mode 0755. IO and the like;
 * CONFLICT where a part is no folder. */
SH_MUST_USE enum sh_err spec_beneath_folder(struct spec_beneath *b, const char *path, bool create,
                                            int *folder, const char **name);

#endif
