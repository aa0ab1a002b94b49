/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/lines.h"

#include <string.h>

#define ESCAPE    0x1b
#define BELL      0x07
#define BACKSPACE 0x08

void exec_lines_init(struct exec_lines *lines, char *buffer)
{
    *lines = (struct exec_lines){.text = buffer};
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
    if (strchr("]PX^_", text[1]) != NULL) {
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

size_t exec_lines_clean(char *text, size_t size)
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

static void tell(struct exec_lines *lines, unsigned flags, exec_line_fn *line, void *context)
{
    const size_t size = exec_lines_clean(lines->text, lines->used);
    flags |= lines->cut ? EXEC_LINE_CUT : 0u;
    lines->used = 0;
    lines->cut = false;
    line(context, flags, lines->text, size);
}

static void redraw(struct exec_lines *lines, exec_line_fn *line, void *context)
{
    if (lines->used > 0) {
        tell(lines, EXEC_LINE_REDRAW, line, context);
    }
}

void exec_lines_push(struct exec_lines *lines, const char *bytes, size_t size, exec_line_fn *line,
                     void *context)
{
    for (size_t i = 0; i < size; i++) {
        const char c = bytes[i];
        if (c == '\n') {
            lines->returned = false;
            tell(lines, 0, line, context);
            continue;
        }
        if (lines->returned && c != '\r') {
            lines->returned = false;
            redraw(lines, line, context);
        }
        if (c == '\r') {
            lines->returned = true;
        } else if (c == BACKSPACE) {
            redraw(lines, line, context);
        } else if (lines->used < EXEC_LINE_BYTES_MAX) {
            lines->text[lines->used++] = c;
        } else {
            lines->cut = true;
        }
    }
    SH_CHECK_CMP(lines->used, <=, EXEC_LINE_BYTES_MAX);
}

void exec_lines_end(struct exec_lines *lines, exec_line_fn *line, void *context)
{
    if (lines->used > 0) {
        tell(lines, EXEC_LINE_LAST, line, context);
    }
}
