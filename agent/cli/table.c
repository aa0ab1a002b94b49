/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include "base/check.h"
#include "cli/format.h"

#include <stdlib.h>
#include <string.h>

void cli_table_init(struct cli_table *t, const char *const *names)
{
    *t = (struct cli_table){0};
    for (; names[t->columns] != NULL; t->columns++) {
        SH_CHECK_CMP(t->columns, <, CLI_TABLE_COLUMNS_MAX);
        t->right[t->columns] = names[t->columns][0] == '>';
    }
    for (size_t i = 0; i < t->columns; i++) {
        cli_table_put(t, names[i] + (t->right[i] ? 1 : 0));
    }
}

void cli_table_put(struct cli_table *t, const char *text)
{
    if (t->count == t->capacity) {
        size_t capacity = t->capacity == 0 ? 64 : 2 * t->capacity;
        char **cells = realloc(t->cells, capacity * sizeof *cells);
        if (cells == NULL) {
            t->failed = true;
            return;
        }
        t->cells = cells;
        t->capacity = capacity;
    }
    char *copy = strdup(text);
    t->failed = t->failed || copy == NULL;
    size_t column = t->count % t->columns;
    size_t width = cli_format_width(text);
    t->width[column] = width > t->width[column] ? width : t->width[column];
    t->cells[t->count++] = copy;
}

static void print_cell(const struct cli_table *t, size_t index, FILE *out)
{
    size_t column = index % t->columns;
    bool last = column + 1 == t->columns;
    size_t width = cli_format_width(t->cells[index]);
    int pad = last && width == 0 ? 0 : (int)(t->width[column] - width);
    if (t->right[column]) {
        (void)fprintf(out, "%*s%s", pad, "", t->cells[index]);
    } else {
        (void)fprintf(out, "%s%*s", t->cells[index], last ? 0 : pad, "");
    }
    (void)fputs(last ? "\n" : "  ", out);
}

void cli_table_print(struct cli_table *t, FILE *out)
{
    SH_CHECK(t->failed || t->count % t->columns == 0);
    for (size_t i = 0; i < t->count; i++) {
        if (!t->failed && out != NULL) {
            print_cell(t, i, out);
        }
        free(t->cells[i]);
    }
    free(t->cells);
}
