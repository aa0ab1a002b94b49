/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of text to numbers. Two passes over the lines: the first finds the columns and counts the
 * rows, the second reads the cells. */
#include "kernels/data/csv_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 65536 };

#define ROLE_IGNORED UINT32_MAX
#define ROLE_LABEL   (UINT32_MAX - 1)

struct csv {
    const char *name;
    const struct kn_open *options;
    struct kn_diag *diag;
    struct kn_csv_cell *head; /* the cells of the first line */
    uint32_t *role;           /* per column: which feature it is, label, or ignored */
    uint32_t columns;
    uint32_t features;
    uint32_t rows;
    bool header; /* the first line names the columns */
    struct kn_csv_cursor body;
};

static enum kn_err memory_fail(const struct csv *t)
{
    return kn_fail(t->diag, KN_ERR_MEMORY, "%s: no memory for its table", kn_path_tail(t->name));
}

/* `"name"` of a column for a message, or nothing where the file names none. */
static struct kn_quote column_quote(const struct csv *t, uint32_t column)
{
    struct kn_quote quote = {{0}};
    if (t->header) {
        struct kn_quote name = kn_quote_make(t->head[column].at, t->head[column].size);
        (void)snprintf(quote.text, sizeof quote.text, " \"%.38s\"", name.text);
    }
    return quote;
}

static enum kn_err cell_fail(const struct csv *t, uint32_t line, uint32_t column,
                             const struct kn_csv_cell *cell)
{
    struct kn_quote title = column_quote(t, column);
    struct kn_quote value = kn_quote_make(cell->at, cell->size);
    if (cell->size == 0) {
        return kn_fail(t->diag, KN_ERR_CORRUPT,
                       "%s:%u: column %u%s: the cell is empty, a number "
                       "is expected",
                       kn_path_tail(t->name), line, column + 1, title.text);
    }
    return kn_fail(t->diag, KN_ERR_CORRUPT, "%s:%u: column %u%s: \"%s\" is no number",
                   kn_path_tail(t->name), line, column + 1, title.text, value.text);
}

static enum kn_err quote_fail(const struct csv *t, uint32_t line)
{
    return kn_fail(t->diag, KN_ERR_CORRUPT,
                   "%s:%u: a quote that is not closed at the end of its cell",
                   kn_path_tail(t->name), line);
}

/* The cells of the first line. */
static enum kn_err head_read(struct csv *t, struct kn_csv_cursor *c)
{
    struct kn_csv_cursor count = *c;
    struct kn_csv_cell cell;
    enum kn_csv_next next = KN_CSV_MORE;
    while (next == KN_CSV_MORE && t->columns <= COLUMNS_MAX) {
        next = kn_csv_cell(&count, &cell);
        t->columns++;
    }
    if (next == KN_CSV_BAD) {
        return quote_fail(t, c->line);
    }
    if (t->columns > COLUMNS_MAX) {
        return kn_fail(t->diag, KN_ERR_LIMIT, "%s: more than %d columns", kn_path_tail(t->name),
                       COLUMNS_MAX);
    }
    t->head = calloc(t->columns, sizeof *t->head);
    t->role = calloc(t->columns, sizeof *t->role);
    if (t->head == NULL || t->role == NULL) {
        return memory_fail(t);
    }
    for (uint32_t i = 0; i < t->columns; i++) {
        (void)kn_csv_cell(c, &t->head[i]); /* the same cells as above */
    }
    return KN_OK;
}

/* The column of that name, or -1. */
static int64_t column_find(const struct csv *t, const char *name)
{
    for (uint32_t i = 0; t->header && i < t->columns; i++) {
        if (kn_csv_equal(&t->head[i], name)) {
            return i;
        }
    }
    return -1;
}

static enum kn_err column_missing(const struct csv *t, const char *name)
{
    char there[80] = "";
    size_t length = 0;
    for (uint32_t i = 0; t->header && i < t->columns && length + 3 < sizeof there; i++) {
        struct kn_quote quote = kn_quote_make(t->head[i].at, t->head[i].size);
        int n =
            snprintf(there + length, sizeof there - length, "%s%s", i > 0 ? ", " : "", quote.text);
        length += n > 0 ? (size_t)n : 0;
    }
    struct kn_quote quote = kn_quote_make(name, strlen(name));
    if (!t->header) {
        return kn_fail(t->diag, KN_ERR_NOT_FOUND,
                       "%s: no column \"%s\": the first line holds numbers, no names",
                       kn_path_tail(t->name), quote.text);
    }
    return kn_fail(t->diag, KN_ERR_NOT_FOUND, "%s: no column \"%s\"; there are: %s",
                   kn_path_tail(t->name), quote.text, there);
}

/* A column by its number from 1, or -1. */
static int64_t column_number(const struct csv *t, const char *text)
{
    uint64_t number = 0;
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (text[i] < '0' || text[i] > '9' || number > t->columns) {
            return -1;
        }
        number = 10 * number + (uint64_t)(text[i] - '0');
    }
    return number >= 1 && number <= t->columns ? (int64_t)number - 1 : -1;
}

/* Whether the first line is a header, and which column is the label (-1: none). */
static enum kn_err head_judge(struct csv *t, int64_t *label)
{
    const struct kn_open *o = t->options;
    t->header = o->header != KN_HEADER_NO; /* so that a name can be looked for in the first line */
    bool named = false;
    *label = -1;
    if (!o->unlabelled && o->label == NULL) {
        *label = (int64_t)t->columns - 1;
    } else if (!o->unlabelled) {
        *label = column_find(t, o->label);
        named = *label >= 0;
        *label = named ? *label : column_number(t, o->label);
    }
    bool words = false;
    for (uint32_t i = 0; i < t->columns; i++) {
        float number;
        bool judged = (int64_t)i != *label || o->regression;
        words = words || (judged && !kn_csv_number(&t->head[i], &number));
    }
    t->header = o->header == KN_HEADER_YES || (o->header == KN_HEADER_AUTO && (words || named));
    return o->unlabelled || *label >= 0 ? KN_OK : column_missing(t, o->label);
}

/* The features in the order that the options name them. */
static enum kn_err roles_by_name(struct csv *t, int64_t label)
{
    const struct kn_open *o = t->options;
    for (uint32_t f = 0; f < o->column_count; f++) {
        int64_t at = column_find(t, o->columns[f]);
        if (at < 0 || at == label) {
            return at < 0 ? column_missing(t, o->columns[f])
                          : kn_fail(t->diag, KN_ERR_INVALID,
                                    "%s: column %u is the label and cannot be a feature too",
                                    kn_path_tail(t->name), (uint32_t)at + 1);
        }
        if (t->role[at] != ROLE_IGNORED) {
            return kn_fail(t->diag, KN_ERR_INVALID, "%s: column %u is named twice",
                           kn_path_tail(t->name), (uint32_t)at + 1);
        }
        t->role[at] = f;
    }
    t->features = o->column_count;
    return KN_OK;
}

static enum kn_err roles_assign(struct csv *t)
{
    int64_t label = -1;
    enum kn_err err = head_judge(t, &label);
    if (err != KN_OK) {
        return err;
    }
    bool by_name = t->options->columns != NULL && t->header;
    for (uint32_t i = 0; i < t->columns; i++) {
        t->role[i] = ROLE_IGNORED;
        if ((int64_t)i == label) {
            t->role[i] = ROLE_LABEL;
        } else if (!by_name) {
            t->role[i] = t->features;
            t->features++;
        }
    }
    if (by_name) {
        err = roles_by_name(t, label);
    } else if (t->options->columns != NULL && t->features != t->options->column_count) {
        err = kn_fail(t->diag, KN_ERR_CORRUPT,
                      "%s: %u columns of features without names, the model takes %u",
                      kn_path_tail(t->name), t->features, t->options->column_count);
    }
    if (err == KN_OK && t->features == 0) {
        err = kn_fail(t->diag, KN_ERR_CORRUPT, "%s: no column beside the label",
                      kn_path_tail(t->name));
    }
    return err;
}

/* Counts the rows and verifies that each has as many cells as the first line. */
static enum kn_err rows_count(struct csv *t)
{
    struct kn_csv_cursor c = t->body;
    struct kn_csv_cell cell;
    while (kn_csv_line(&c)) {
        uint32_t line = c.line;
        uint32_t cells = 0;
        enum kn_csv_next next = KN_CSV_MORE;
        while (next == KN_CSV_MORE) {
            next = kn_csv_cell(&c, &cell);
            cells++;
        }
        if (next == KN_CSV_BAD) {
            return quote_fail(t, line);
        }
        if (cells != t->columns) {
            return kn_fail(t->diag, KN_ERR_CORRUPT, "%s:%u: %u cells, the first line has %u",
                           kn_path_tail(t->name), line, cells, t->columns);
        }
        if (t->rows == KN_DATA_SAMPLES_MAX) {
            return kn_fail(t->diag, KN_ERR_LIMIT, "%s:%u: more than %u rows", kn_path_tail(t->name),
                           line, KN_DATA_SAMPLES_MAX);
        }
        t->rows++;
    }
    return t->rows > 0 ? KN_OK
                       : kn_fail(t->diag, KN_ERR_CORRUPT, "%s: no rows", kn_path_tail(t->name));
}

/* One row of numbers and its label; the cells are there, as rows_count has seen. */
static enum kn_err row_read(const struct csv *t, struct kn_csv_cursor *c, struct kn_dataset *set,
                            uint32_t row, struct kn_csv_label *label)
{
    float *numbers = set->numbers + (size_t)row * set->features;
    for (uint32_t i = 0; i < t->columns; i++) {
        struct kn_csv_cell cell;
        uint32_t line = c->line;
        (void)kn_csv_cell(c, &cell);
        bool target = t->role[i] == ROLE_LABEL && t->options->regression;
        if (t->role[i] == ROLE_LABEL && !target) {
            *label = (struct kn_csv_label){.cell = cell, .line = line, .row = row};
        } else if (t->role[i] != ROLE_IGNORED &&
                   !kn_csv_number(&cell, target ? &set->target[row] : &numbers[t->role[i]])) {
            return cell_fail(t, line, i, &cell);
        }
    }
    return KN_OK;
}

static enum kn_err rows_read(const struct csv *t, struct kn_dataset *set)
{
    const struct kn_open *o = t->options;
    struct kn_csv_label *labels = NULL;
    if (!o->unlabelled && o->regression) {
        set->target = calloc(t->rows, sizeof *set->target);
    } else if (!o->unlabelled) {
        labels = calloc(t->rows, sizeof *labels);
    }
    if (!o->unlabelled && set->target == NULL && labels == NULL) {
        return memory_fail(t);
    }
    struct kn_csv_label none;
    struct kn_csv_cursor c = t->body;
    enum kn_err err = KN_OK;
    for (uint32_t row = 0; row < t->rows && err == KN_OK; row++) {
        (void)kn_csv_line(&c);
        err = row_read(t, &c, set, row, labels != NULL ? &labels[row] : &none);
    }
    if (err == KN_OK && labels != NULL) {
        err = kn_csv_classify(set, labels, t->name, o, t->diag);
    }
    free(labels);
    return err;
}

static enum kn_err columns_name(const struct csv *t, struct kn_dataset *set)
{
    set->column = (char **)calloc(t->features, sizeof *set->column);
    if (set->column == NULL) {
        return memory_fail(t);
    }
    for (uint32_t i = 0; i < t->columns; i++) {
        if (t->role[i] >= t->features) {
            continue;
        }
        char *text = calloc(1, KN_CLASS_NAME_BYTES_MAX);
        if (text == NULL) {
            return memory_fail(t);
        }
        set->column[t->role[i]] = text;
        if (!t->header) {
            (void)snprintf(text, KN_CLASS_NAME_BYTES_MAX, "%u", i + 1);
        } else if (kn_csv_text(&t->head[i], text, KN_CLASS_NAME_BYTES_MAX) >=
                   KN_CLASS_NAME_BYTES_MAX) {
            return kn_fail(t->diag, KN_ERR_LIMIT,
                           "%s: the name of column %u is longer than %d bytes",
                           kn_path_tail(t->name), i + 1, KN_CLASS_NAME_BYTES_MAX - 1);
        }
    }
    return KN_OK;
}

static enum kn_err table_read(struct csv *t, struct kn_dataset *set, const uint8_t *text,
                              size_t size)
{
    struct kn_csv_cursor c;
    kn_csv_begin(&c, text, size);
    if (!kn_csv_line(&c)) {
        return kn_fail(t->diag, KN_ERR_CORRUPT, "%s: an empty table", kn_path_tail(t->name));
    }
    struct kn_csv_cursor first = c;
    enum kn_err err = head_read(t, &c);
    if (err == KN_OK) {
        err = roles_assign(t);
    }
    t->body = t->header ? c : first;
    if (err == KN_OK) {
        err = rows_count(t);
    }
    const uint32_t shape[3] = {t->features, 1, 1};
    if (err == KN_OK) {
        err = kn_dataset_shape_verify(shape, t->options, t->name, t->diag);
    }
    if (err == KN_OK) {
        err = kn_dataset_prepare(set, KN_SAMPLE_F32, shape, t->rows, t->name, t->diag);
    }
    if (err == KN_OK) {
        err = rows_read(t, set);
    }
    return err == KN_OK ? columns_name(t, set) : err;
}

enum kn_err kn_csv_decode(struct kn_dataset *set, const uint8_t *text, size_t size,
                          const char *name, const struct kn_open *options, struct kn_diag *diag)
{
    struct csv t = {.name = name, .options = options, .diag = diag};
    *set = (struct kn_dataset){0};
    enum kn_err err = table_read(&t, set, text, size);
    free(t.head);
    free(t.role);
    if (err != KN_OK) {
        kn_dataset_close(set);
    }
    return err;
}
