/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdbool.h>
#include <string.h>

#define ESCAPE 0x1b
#define BELL   0x07

size_t sh_text_fit(const char *text, size_t size)
{
    size_t n = 0; /* bytes of the last character that are there */
    while (n < 3 && n < size && ((unsigned char)text[size - n - 1] & 0xc0) == 0x80) {
        n++;
    }
    if (n == size) {
        return size;
    }
    const unsigned char first = (unsigned char)text[size - ++n];
    const size_t whole = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    return n < whole ? size - n : size;
}

/* Bytes of an escape sequence that begins at text[0] (ECMA-48): CSI up to its final byte, OSC, DCS
 * and their like up to BEL or ST, else
 * intermediate bytes and a final one. One that does not end takes everything. */
static size_t escape_size(const unsigned char *text, size_t size)
{
    if (size < 2) {
        return size;
    }
    size_t at = 2;
    if (text[1] == '[') {
        while (at < size && (text[at] < 0x40 || text[at] > 0x7e)) {
            at++;
        }
        return at < size ? at + 1 : size;
    }
    if (memchr("]PX^_", text[1], 5) != NULL) {
        while (at < size && text[at] != BELL && text[at] != ESCAPE) {
            at++;
        }
        if (at + 1 < size && text[at] == ESCAPE && text[at + 1] == '\\') {
            at++;
        }
        return at < size ? at + 1 : size;
    }
    at = 1;
    while (at < size && text[at] >= 0x20 && text[at] <= 0x2f) {
        at++;
    }
    return at < size ? at + 1 : size;
}

/* Bytes of the well-formed character at text[0] (RFC 3629), 0 where there is none. */
static size_t utf8_size(const unsigned char *text, size_t size)
{
    static const struct {
        unsigned char first, last, low, high, size;
    } FORMS[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < SH_COUNT(FORMS); i++) {
        if (text[0] < FORMS[i].first || text[0] > FORMS[i].last) {
            continue;
        }
        if (FORMS[i].size > size ||
            (FORMS[i].size > 1 && (text[1] < FORMS[i].low || text[1] > FORMS[i].high))) {
            return 0;
        }
        for (size_t k = 2; k < FORMS[i].size; k++) {
            if ((text[k] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return FORMS[i].size;
    }
    return 0;
}

/* C0 but tab, DEL, and C1 as two bytes of UTF-8. */
static bool harmful(const unsigned char *text, size_t size)
{
    return (size == 1 && text[0] < 0x20 && text[0] != '\t') || text[0] == 0x7f ||
           (size == 2 && text[0] == 0xc2 && text[1] < 0xa0);
}

size_t sh_text_clean(char *text, size_t size)
{
    const unsigned char *in = (const unsigned char *)text;
    size_t used = 0;
    for (size_t at = 0; at < size;) {
        if (in[at] == ESCAPE) {
            at += escape_size(in + at, size - at);
            continue;
        }
        const size_t width = utf8_size(in + at, size - at);
        if (width == 0 || harmful(in + at, width)) {
            text[used++] = '?';
            at += width == 0 ? 1 : width;
            continue;
        }
        memmove(text + used, text + at, width);
        used += width;
        at += width;
    }
    SH_CHECK_CMP(used, <=, size);
    text[used] = 0;
    return used;
}

size_t sh_text_copy(char *out, size_t size, const char *text)
{
    SH_CHECK(size > 0);
    const size_t whole = sh_text_fit(text, strnlen(text, size - 1));
    memcpy(out, text, whole);
    return sh_text_clean(out, whole);
}
