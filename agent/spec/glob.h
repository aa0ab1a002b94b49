/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns over paths ('/'-separated, relative): `?` is one character of a name, `*` any number of
 * them, `**` as a whole part any number of parts ("**" + "/x": x at any depth, "logs/" + "**":
 * everything below logs), anything else is itself. Characters are code points of UTF-8; case
 * counts.
 *
 * Matching steps a set of states once a character, so it takes at most length of path times length
 * of pattern, whatever the pattern. No call keeps state; all are safe from any thread. */
#ifndef SPEC_GLOB_H
#define SPEC_GLOB_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPEC_GLOB_MAX 255u /* bytes of a pattern */

struct spec_glob {
    uint32_t parts[SPEC_GLOB_MAX]; /* code points and the wild cards of glob.c */
    uint32_t count;
};

/* size bytes of text. INVALID, with *why a text of static storage: empty, absolute, a part that is
 * empty, "." or "..", not UTF-8, a control character, a backslash or a bracket. LIMIT: longer than
 * SPEC_GLOB_MAX. */
SH_MUST_USE enum sh_err spec_glob_compile(struct spec_glob *glob, const char *text, size_t size,
                                          const char **why);
/* Does it match all of the first size bytes of path? Bytes that are not UTF-8 match `?`, `*` and
 * `**` only. */
bool spec_glob_match(const struct spec_glob *glob, const char *path, size_t size);

/* The code point at text, of which size > 0 bytes are left; *used bytes long. A byte that begins no
 * well-formed UTF-8 is 0xdc00 + byte, which no text can contain, one byte long. */
uint32_t spec_glob_decode(const char *text, size_t size, size_t *used);

#endif
