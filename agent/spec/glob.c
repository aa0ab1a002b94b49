/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/glob.h"

#include <string.h>

/* Beyond Unicode, so that no character is one. */
enum {
    ONE = 0x200000, /* ?: one character of a name */
    SOME,           /* *: any number of them */
    PARTS,          /* **, then '/': any number of whole parts, each with its '/' */
    BELOW,          /* ** at the end: one character of anything; then REST */
    REST            /* any number of characters of anything */
};

#define WORD_BITS 64u
#define WORDS     (SPEC_GLOB_MAX / WORD_BITS + 1)

struct states { /* bit i: the parts before i are matched */
    uint64_t words[WORDS];
};

static bool has(const struct states *s, uint32_t i)
{
    return (s->words[i / WORD_BITS] >> (i % WORD_BITS) & 1) != 0;
}

/* Adds state i, and those that it can become without a character. */
static void enter(const struct spec_glob *glob, struct states *s, uint32_t i)
{
    for (;;) {
        s->words[i / WORD_BITS] |= UINT64_C(1) << (i % WORD_BITS);
        if (i == glob->count ||
            (glob->parts[i] != SOME && glob->parts[i] != PARTS && glob->parts[i] != REST)) {
            return;
        }
        i++;
    }
}

uint32_t spec_glob_decode(const char *text, size_t size, size_t *used)
{
    static const struct {
        uint8_t mask, lead, bits;
        uint32_t least;
    } FORMS[] = {{0x80, 0x00, 7, 0},
                 {0xe0, 0xc0, 5, 0x80},
                 {0xf0, 0xe0, 4, 0x800},
                 {0xf8, 0xf0, 3, 0x10000}};
    SH_CHECK(size > 0);
    const uint8_t *at = (const uint8_t *)text;
    *used = 1;
    for (size_t form = 0; form < SH_COUNT(FORMS); form++) {
        if ((at[0] & FORMS[form].mask) != FORMS[form].lead || form >= size) {
            continue;
        }
        uint32_t c = at[0] & ((1u << FORMS[form].bits) - 1);
        size_t n = 1;
        while (n <= form && (at[n] & 0xc0) == 0x80) {
            c = c << 6 | (at[n] & 0x3fu);
            n++;
        }
        bool surrogate = c >= 0xd800 && c <= 0xdfff;
        if (n == form + 1 && c >= FORMS[form].least && c <= 0x10ffff && !surrogate) {
            *used = n;
            return c;
        }
    }
    return UINT32_C(0xdc00) + at[0];
}

static const char *wrong_character(uint32_t c)
{
    if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
        return "a pattern has no control characters";
    }
    if (c >= 0xdc00 && c <= 0xdcff) {
        return "a pattern is UTF-8";
    }
    if (c == '\\' || c == '[' || c == ']') {
        return "only *, ** and ? are wild cards; write ? for a bracket or a backslash";
    }
    return NULL;
}

/* One part of the pattern, size bytes at text; last: no '/' follows. */
static const char *compile_part(struct spec_glob *glob, const char *text, size_t size, bool last)
{
    if (size == 0 || (size == 1 && text[0] == '.') ||
        (size == 2 && text[0] == '.' && text[1] == '.')) {
        return "a pattern is relative, without empty, \".\" and \"..\" parts";
    }
    if (size == 2 && text[0] == '*' && text[1] == '*') {
        glob->parts[glob->count++] = last ? BELOW : PARTS;
        if (last) {
            glob->parts[glob->count++] = REST;
        }
        return NULL;
    }
    for (size_t used, at = 0; at < size; at += used) {
        uint32_t c = spec_glob_decode(text + at, size - at, &used);
        const char *why = wrong_character(c);
        if (why != NULL) {
            return why;
        }
        bool again = glob->count > 0 && glob->parts[glob->count - 1] == SOME && c == '*';
        if (!again) {
            glob->parts[glob->count++] = c == '*' ? SOME : c == '?' ? ONE : c;
        }
    }
    if (!last) {
        glob->parts[glob->count++] = '/';
    }
    return NULL;
}

enum sh_err spec_glob_compile(struct spec_glob *glob, const char *text, size_t size,
                              const char **why)
{
    glob->count = 0;
    if (size > SPEC_GLOB_MAX) {
        *why = "a pattern has at most 255 bytes";
        return SH_ERR_LIMIT;
    }
    for (size_t at = 0;;) {
        const char *slash = at < size ? memchr(text + at, '/', size - at) : NULL;
        size_t length = slash != NULL ? (size_t)(slash - text) - at : size - at;
        *why = compile_part(glob, text + at, length, slash == NULL);
        if (*why != NULL) {
            return SH_ERR_INVALID;
        }
        at += length + 1;
        if (slash == NULL) {
            break;
        }
    }
    SH_CHECK_CMP(glob->count, <=, SPEC_GLOB_MAX); /* no part is longer than its text */
    return SH_OK;
}

static void step(const struct spec_glob *glob, const struct states *from, uint32_t c,
                 struct states *to)
{
    *to = (struct states){.words = {0}};
    for (uint32_t i = 0; i < glob->count; i++) {
        if (!has(from, i)) {
            continue;
        }
        switch (glob->parts[i]) {
        case ONE:
            if (c != '/') {
                enter(glob, to, i + 1);
            }
            break;
        case SOME:
            if (c != '/') {
                enter(glob, to, i);
            }
            break;
        case PARTS: /* what follows begins where a part does */
            to->words[i / WORD_BITS] |= UINT64_C(1) << (i % WORD_BITS);
            if (c == '/') {
                enter(glob, to, i + 1);
            }
            break;
        case BELOW:
            enter(glob, to, i + 1);
            break;
        case REST:
            enter(glob, to, i);
            break;
        default:
            if (c == glob->parts[i]) {
                enter(glob, to, i + 1);
            }
            break;
        }
    }
}

bool spec_glob_match(const struct spec_glob *glob, const char *path, size_t size)
{
    struct states now = {.words = {0}};
    struct states next;
    enter(glob, &now, 0);
    for (size_t used, at = 0; at < size; at += used) {
        uint32_t c = spec_glob_decode(path + at, size - at, &used);
        step(glob, &now, c, &next);
        now = next;
    }
    return has(&now, glob->count);
}
