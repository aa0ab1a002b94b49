/* SPDX-License-Identifier: Apache-2.0
 *
 * Line plots of Braille characters: 2 x 4 dots a cell. */
#ifndef CLI_PLOT_H
#define CLI_PLOT_H

#include <stddef.h>
#include <stdio.h>

#define CLI_PLOT_COLUMNS_MAX 200u
#define CLI_PLOT_ROWS_MAX    40u
#define CLI_PLOT_LABEL       9u /* columns of the numbers at the left, blank included */

struct cli_curve {
    const double *x; /* rising; borrowed */
    const double *y; /* NaN: a gap */
    size_t count;
};

/* Draws all curves into one frame of columns x rows cells with the highest and lowest y at the left
 * and the first and last x below: rows + 2 lines, the title first. Points that share a column of
 * dots are joined from the lowest to the highest. Nothing to draw: an empty frame. */
void cli_plot_draw(FILE *out, const char *title, const struct cli_curve *curves, size_t curve_count,
                   unsigned columns, unsigned rows);

#endif
