/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/csv_cells.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES_MAX = 63 };

static bool blank(const struct kn_csv_cursor *c, uint8_t byte)
{
    return byte == ' ' || byte == '\r' || (byte == '\t' && c->separator != '\t');
}

void kn_csv_begin(struct kn_csv_cursor *c, const uint8_t *text, size_t size)
{
    static const uint8_t mark[3] = {0xef, 0xbb, 0xbf};
    *c = (struct kn_csv_cursor){.text = text, .size = size, .line = 1, .separator = ','};
    if (size >= sizeof mark && memcmp(text, mark, sizeof mark) == 0) {
        c->at = sizeof mark;
    }
    size_t commas = 0;
    size_t semicolons = 0;
    size_t tabs = 0;
    bool quoted = false;
    size_t first = c->at;
    while (first < size && (text[first] == '\n' || blank(c, text[first]))) {
        first++;
    }
    for (size_t i = first; i < size && (quoted || text[i] != '\n'); i++) {
        quoted = quoted != (text[i] == '"');
        commas += !quoted && text[i] == ',' ? 1 : 0;
        semicolons += !quoted && text[i] == ';' ? 1 : 0;
        tabs += !quoted && text[i] == '\t' ? 1 : 0;
    }
    if (semicolons > commas && semicolons >= tabs) {
        c->separator = ';';
    } else if (tabs > commas) {
        c->separator = '\t';
    }
}

bool kn_csv_line(struct kn_csv_cursor *c)
{
    size_t i = c->at;
    while (i < c->size && (blank(c, c->text[i]) || c->text[i] == '\n')) {
        if (c->text[i] == '\n') {
            c->line++;
            c->at = i + 1;
        }
        i++;
    }
    return i < c->size;
}

/* After an opening quote: to just past the closing one. */
static bool quoted_cell(struct kn_csv_cursor *c, struct kn_csv_cell *cell)
{
    size_t start = c->at;
    while (c->at < c->size) {
        if (c->text[c->at] == '"') {
            if (c->at + 1 < c->size && c->text[c->at + 1] == '"') {
                c->at += 2;
                continue;
            }
            cell->at = (const char *)c->text + start;
            cell->size = c->at - start;
            cell->quoted = true;
            c->at++;
            while (c->at < c->size && blank(c, c->text[c->at])) {
                c->at++;
            }
            return true;
        }
        c->line += c->text[c->at] == '\n' ? 1 : 0;
        c->at++;
    }
    return false;
}

static void plain_cell(struct kn_csv_cursor *c, struct kn_csv_cell *cell)
{
    size_t start = c->at;
    while (c->at < c->size && c->text[c->at] != '\n' && c->text[c->at] != c->separator) {
        c->at++;
    }
    size_t end = c->at;
    while (end > start && blank(c, c->text[end - 1])) {
        end--;
    }
    cell->at = (const char *)c->text + start;
    cell->size = end - start;
    cell->quoted = false;
}

enum kn_csv_next kn_csv_cell(struct kn_csv_cursor *c, struct kn_csv_cell *cell)
{
    while (c->at < c->size && blank(c, c->text[c->at])) {
        c->at++;
    }
    if (c->at < c->size && c->text[c->at] == '"') {
        c->at++;
        if (!quoted_cell(c, cell)) {
            return KN_CSV_BAD;
        }
    } else {
        plain_cell(c, cell);
    }
    if (c->at == c->size) {
        return KN_CSV_LAST;
    }
    uint8_t end = c->text[c->at];
    c->at++;
    if (end == '\n') {
        c->line++;
        return KN_CSV_LAST;
    }
    return end == c->separator ? KN_CSV_MORE : KN_CSV_BAD;
}

bool kn_csv_number(const struct kn_csv_cell *cell, float *out)
{
    char text[NUMBER_BYTES_MAX + 1];
    if (cell->size == 0 || cell->size > NUMBER_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < cell->size; i++) {
        if (cell->at[i] == '\0' || strchr("0123456789+-.eE", cell->at[i]) == NULL) {
            return false;
        }
    }
    memcpy(text, cell->at, cell->size);
    text[cell->size] = '\0';
    char *end = NULL;
    *out = strtof(text, &end);
    return end == text + cell->size && isfinite(*out) != 0;
}

size_t kn_csv_text(const struct kn_csv_cell *cell, char *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < cell->size; i++) {
        if (n + 1 < room) {
            out[n] = cell->at[i];
        }
        n++;
        i += cell->quoted && cell->at[i] == '"' ? 1 : 0;
    }
    out[n < room ? n : room - 1] = '\0';
    return n;
}

bool kn_csv_equal(const struct kn_csv_cell *cell, const char *text)
{
    size_t n = 0;
    for (size_t i = 0; i < cell->size; i++) {
        if (text[n] == '\0' || text[n] != cell->at[i]) {
            return false;
        }
        n++;
        i += cell->quoted && cell->at[i] == '"' ? 1 : 0;
    }
    return text[n] == '\0';
}
