/* SPDX-License-Identifier: Apache-2.0
 *
 * Text tables: columns as wide as their widest cell, two blanks between them. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CLI_TABLE_COLUMNS_MAX 16u

struct cli_table {
    size_t columns;
    bool right[CLI_TABLE_COLUMNS_MAX]; /* numbers */
    size_t width[CLI_TABLE_COLUMNS_MAX];
    char **cells; /* row after row; owned */
    size_t count;
    size_t capacity;
    bool failed; /* out of memory: nothing is printed */
};

/* names: the heading, one a column, ending with NULL; a name that begins with '>' is right-aligned.
 */
void cli_table_init(struct cli_table *t, const char *const *names);
/* The next cell; text is copied. */
void cli_table_put(struct cli_table *t, const char *text);
/* Prints all rows (the last must be full) and frees them; out NULL: frees them. */
void cli_table_print(struct cli_table *t, FILE *out);

#endif
