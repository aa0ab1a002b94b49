/* SPDX-License-Identifier: Apache-2.0
 *
 * What of a script directory is no part of its package: the folders `models` and `evaluation` at
 * its root, and what the patterns of a `.shoalignore` file there say. A line is a pattern of
 * spec/glob.h; blank lines and lines that begin with `#` say nothing. As in a .gitignore: a pattern
 * with a '/' before its end counts from the root, another matches a name at any depth; one that
 * ends in '/' matches folders only; `!` in front takes back what earlier lines left out; the last
 * line that matches decides; and nothing below a folder that is left out comes back. */
#ifndef SPEC_IGNORE_H
#define SPEC_IGNORE_H

#include "spec/glob.h"

#define SPEC_IGNORE_FILE      ".shoalignore"
#define SPEC_IGNORE_BYTES_MAX 65536u /* of the file */
#define SPEC_IGNORE_MAX       256u   /* patterns */

struct spec_ignore_rule {
    struct spec_glob glob;
    bool folders;  /* matches folders only */
    bool anywhere; /* matches names, not paths */
    bool back;     /* takes back */
};

struct spec_ignore {
    struct spec_ignore_rule *rules; /* owned */
    size_t count;
};

/* Reads size bytes of a .shoalignore (none: only models/ and evaluation/ are left out); why names
 * the line. INVALID, LIMIT, NO_MEMORY; *ignore is to be closed in any case. */
SH_MUST_USE enum sh_err spec_ignore_open(struct spec_ignore *ignore, const char *text, size_t size,
                                         char *why, size_t why_size);
void spec_ignore_close(struct spec_ignore *ignore);
/* Is this entry left out, or a folder that it lies in? O(length of path x length of patterns). */
bool spec_ignore_drops(const struct spec_ignore *ignore, const char *path, bool folder);

#endif
