/* SPDX-License-Identifier: Apache-2.0
 *
 * POSIX extended regular expressions, of bytes, for patterns that anybody may hand in: compiling
 * takes no memory of its own, and a search takes O(bytes x steps), whatever pattern and text are.
 * The C library promises neither: "[ab]*a[ab]{20}c" costs it seconds and 50 MB on a line of 4 KiB,
 * nested '+' gigabytes to compile.
 *
 *   x . [a-z] [^x] [[:digit:]]    \w \W \s \S    ^ $ \< \> \b \B    (x) x|y    x* x+ x? x{m,n}
 *
 * A backslash before anything else but a letter or digit takes it for itself. There are no
 * back-references. Found is the leftmost match, and the longest of those. Where the first group
 * could take more or less of it, repetitions take as much as they can, then the first alternative
 * that fits counts. */
#ifndef SH_BASE_ERE_H
#define SH_BASE_ERE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SH_ERE_STEPS_MAX 512u /* about one a character; x{m,n} counts n times */
#define SH_ERE_SETS_MAX  64u  /* different brackets */
#define SH_ERE_DEPTH_MAX 64u  /* groups in groups */

struct sh_ere_step {
    uint8_t op;  /* of ere.c */
    uint8_t arg; /* a byte, or the number of a set */
    int16_t to;  /* where else it goes on, counted from here */
};

struct sh_ere {
    struct sh_ere_step steps[SH_ERE_STEPS_MAX];
    uint32_t count;
    uint32_t groups;
    uint8_t sets[SH_ERE_SETS_MAX][32];
    uint32_t set_count;
};

struct sh_ere_found { /* offsets; end is behind the last byte */
    size_t begin, end;
    bool grouped; /* the first group takes part */
    size_t group_begin, group_end;
};

/* INVALID and LIMIT: *why, of static storage, says what is wrong with the text and what would be
 * right. O(size + steps). */
SH_MUST_USE enum sh_err sh_ere_compile(struct sh_ere *ere, const char *text, size_t size,
                                       const char **why);
/* Is it anywhere in text? found is set where it is. O(size x ere->count), 30 KiB of stack. */
bool sh_ere_search(const struct sh_ere *ere, const char *text, size_t size,
                   struct sh_ere_found *found);

#endif
