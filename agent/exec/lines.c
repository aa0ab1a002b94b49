/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/lines.h"

#include "base/text.h"

#define BACKSPACE 0x08

void exec_lines_init(struct exec_lines *lines, char *buffer)
{
    *lines = (struct exec_lines){.text = buffer};
}

static void tell(struct exec_lines *lines, unsigned flags, exec_line_fn *line, void *context)
{
    const size_t whole = lines->cut ? sh_text_fit(lines->text, lines->used) : lines->used;
    const size_t size = sh_text_clean(lines->text, whole);
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
