/* SPDX-License-Identifier: Apache-2.0
 *
 * The table, read in two passes: the first counts rows, the second reads them. */
#include "kernels/score/results.h"

#include "kernels/data/csv_cells.h"
#include "kernels/score/number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = 10 };

static const char *const columns[CELLS] = {
    "sequence id",  "sequence length", "prefix",      "completion",        "prediction",
    "ground truth", "planned",         "instance id", "prefix activities", "suffix activities"};

struct table {
    const char *name;
    struct kn_diag *diag;
};

static enum kn_err quote_fail(const struct table *t, uint32_t line)
{
    return kn_fail(t->diag, KN_ERR_CORRUPT, "%s:%u: a quote that is not closed", t->name, line);
}

static enum kn_err cell_fail(const struct table *t, uint32_t line, uint32_t column,
                             const char *wanted)
{
    return kn_fail(t->diag, KN_ERR_CORRUPT, "%s:%u: column %u (%s) is not %s", t->name, line,
                   column + 1, columns[column], wanted);
}

/* One line into at most CELLS cells; *cells counts all of it. False at a broken quote. */
static bool line_read(struct kn_csv_cursor *c, struct kn_csv_cell cell[CELLS], uint32_t *cells)
{
    struct kn_csv_cell one;
    enum kn_csv_next next = KN_CSV_MORE;
    *cells = 0;
    while (next == KN_CSV_MORE) {
        next = kn_csv_cell(c, &one);
        if (*cells < CELLS) {
            cell[*cells] = one;
        }
        (*cells)++;
    }
    return next == KN_CSV_LAST;
}

static enum kn_err rows_count(const struct table *t, struct kn_csv_cursor c, size_t *count)
{
    struct kn_csv_cell cell[CELLS];
    *count = 0;
    while (kn_csv_line(&c)) {
        const uint32_t line = c.line;
        uint32_t cells;
        if (!line_read(&c, cell, &cells)) {
            return quote_fail(t, line);
        }
        if (*count == KN_RESULTS_ROWS_MAX) {
            return kn_fail(t->diag, KN_ERR_LIMIT, "%s:%u: more than %u rows", t->name, line,
                           KN_RESULTS_ROWS_MAX);
        }
        (*count)++;
    }
    return *count > 0 ? KN_OK : kn_fail(t->diag, KN_ERR_CORRUPT, "%s: no rows", t->name);
}

static bool value_read(const struct kn_csv_cell *cell, double *out)
{
    return kn_number_parse(cell->at, cell->size, out) && fabs(*out) <= KN_SCORE_VALUE_MAX;
}

/* Position of activity "13" among words with blanks between, counted on from *position. */
static bool half_find(const struct kn_csv_cell *cell, int32_t *position)
{
    size_t at = 0;
    while (at < cell->size) {
        const size_t start = at;
        while (at < cell->size && cell->at[at] != ' ') {
            at++;
        }
        if (at - start == 2 && memcmp(cell->at + start, "13", 2) == 0) {
            return true;
        }
        *position += at > start ? 1 : 0;
        at++;
    }
    return false;
}

static enum kn_err row_read(const struct table *t, const struct kn_csv_cell cell[CELLS],
                            uint32_t line, struct kn_results_row *row)
{
    int64_t whole[3];
    for (uint32_t i = 0; i < 3; i++) {
        const int64_t low = i == 0 ? INT64_MIN : 0;
        const int64_t high = i == 0 ? INT64_MAX : INT32_MAX;
        if (!kn_integer_parse(cell[i].at, cell[i].size, low, high, &whole[i])) {
            return cell_fail(t, line, i, i == 0 ? "a whole number" : "a whole number from 0 up");
        }
    }
    double value[4];
    for (uint32_t i = 0; i < 4; i++) {
        if (!value_read(&cell[3 + i], &value[i])) {
            return cell_fail(t, line, 3 + i, "a number");
        }
    }
    int32_t half = 0;
    const bool there = half_find(&cell[8], &half) || half_find(&cell[9], &half);
    *row = (struct kn_results_row){.completion = value[0],
                                   .prediction = value[1],
                                   .truth = value[2],
                                   .planned = value[3],
                                   .length = (int32_t)whole[1],
                                   .prefix = (int32_t)whole[2],
                                   .half = there ? half : -1,
                                   .line = line};
    return KN_OK;
}

static enum kn_err rows_read(const struct table *t, struct kn_csv_cursor c, struct kn_results *r)
{
    struct kn_csv_cell cell[CELLS];
    enum kn_err err = KN_OK;
    for (size_t i = 0; i < r->count && err == KN_OK; i++) {
        uint32_t cells;
        (void)kn_csv_line(&c); /* the same lines as rows_count has seen */
        const uint32_t line = c.line;
        (void)line_read(&c, cell, &cells);
        if (cells < CELLS) {
            err = kn_fail(t->diag, KN_ERR_CORRUPT, "%s:%u: %u cells, expected %d", t->name, line,
                          cells, CELLS);
        } else {
            err = row_read(t, cell, line, &r->row[i]);
        }
    }
    return err;
}

enum kn_err kn_results_decode(struct kn_results *r, const uint8_t *text, size_t size,
                              const char *name, struct kn_diag *diag)
{
    const struct table t = {.name = name, .diag = diag};
    struct kn_csv_cursor c;
    struct kn_csv_cell cell[CELLS];
    uint32_t cells;
    *r = (struct kn_results){0};
    kn_csv_begin(&c, text, size);
    if (kn_csv_line(&c) && !line_read(&c, cell, &cells)) {
        return quote_fail(&t, 1);
    }
    enum kn_err err = rows_count(&t, c, &r->count);
    if (err == KN_OK) {
        r->row = calloc(r->count, sizeof *r->row);
        err = r->row != NULL ? rows_read(&t, c, r)
                             : kn_fail(diag, KN_ERR_MEMORY, "%s: no memory for its rows", name);
    }
    if (err != KN_OK) {
        kn_results_close(r);
    }
    return err;
}

void kn_results_close(struct kn_results *r)
{
    free(r->row);
    *r = (struct kn_results){0};
}
