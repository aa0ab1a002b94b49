/* SPDX-License-Identifier: Apache-2.0
 *
 * Cells of a table of text (RFC 4180: quotes, doubled quotes, line ends inside quotes): internal to
 * data/ and score/. Blank lines are skipped, blanks round a cell are not part of it. */
#ifndef KN_DATA_CSV_CELLS_H
#define KN_DATA_CSV_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kn_csv_cursor {
    const uint8_t *text;
    size_t size;
    size_t at;
    uint32_t line; /* from 1 */
    uint8_t separator;
};

/* A cell's bytes in the text, without its outer quotes; doubled quotes inside still are. */
struct kn_csv_cell {
    const char *at;
    size_t size;
    bool quoted;
};

enum kn_csv_next {
    KN_CSV_MORE, /* another cell follows on this line */
    KN_CSV_LAST, /* the last of its line */
    KN_CSV_BAD   /* a quote that never closes, or text after a closing quote */
};

/* Separator: whichever of ',' ';' tab occurs most often in the first line that is not blank,
 * outside quotes. */
void kn_csv_begin(struct kn_csv_cursor *c, const uint8_t *text, size_t size);
/* Skips blank lines; true when a line with cells follows. Only between lines. */
bool kn_csv_line(struct kn_csv_cursor *c);
enum kn_csv_next kn_csv_cell(struct kn_csv_cursor *c, struct kn_csv_cell *cell);

/* A finite decimal number that fits a float; anything else (also nan, inf, hexadecimal) is false.
 */
bool kn_csv_number(const struct kn_csv_cell *cell, float *out);
/* Copies the cell, doubled quotes made single, cut at room - 1 bytes; answers its full length. */
size_t kn_csv_text(const struct kn_csv_cell *cell, char *out, size_t room);
bool kn_csv_equal(const struct kn_csv_cell *cell, const char *text);

#endif
