/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream of foreign bytes as lines that are safe to store and to show. Pure. */
#ifndef EXEC_LINES_H
#define EXEC_LINES_H

#include "exec/process.h"

struct exec_lines {
    char *text;    /* borrowed from the caller of init: EXEC_LINE_BYTES_MAX + 1 bytes */
    size_t used;   /* of the line that is not finished */
    bool cut;      /* bytes beyond the end were dropped */
    bool returned; /* a CR came last: LF makes it a line end, anything else a redraw */
};

/* As the line hook of exec/process.h; text may be changed by the callee. */
typedef void exec_line_fn(void *context, unsigned flags, char *text, size_t size);

void exec_lines_init(struct exec_lines *lines, char *buffer);
/* LF and CR LF end a line. CR or BS alone, as progress bars use them, end a REDRAW; empty redraws
 * are not told. O(size). */
void exec_lines_push(struct exec_lines *lines, const char *bytes, size_t size, exec_line_fn *line,
                     void *context);
/* What is left without a newline is a line too (LAST). */
void exec_lines_end(struct exec_lines *lines, exec_line_fn *line, void *context);

#endif
