/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plot.h"

#include "base/check.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct frame {
    unsigned columns;
    unsigned rows;
    double x_low;
    double x_high;
    double y_low;
    double y_high;
    bool empty;
    uint8_t dots[CLI_PLOT_ROWS_MAX][CLI_PLOT_COLUMNS_MAX];
};

static void measure(struct frame *f, const struct cli_curve *curve)
{
    for (size_t i = 0; i < curve->count; i++) {
        if (!isfinite(curve->y[i])) {
            continue;
        }
        if (f->empty) {
            f->x_low = f->x_high = curve->x[i];
            f->y_low = f->y_high = curve->y[i];
            f->empty = false;
        }
        f->x_low = fmin(f->x_low, curve->x[i]);
        f->x_high = fmax(f->x_high, curve->x[i]);
        f->y_low = fmin(f->y_low, curve->y[i]);
        f->y_high = fmax(f->y_high, curve->y[i]);
    }
}

/* Unicode numbers the dots of a cell down the left column, then the right, then the last row. */
static void set_dot(struct frame *f, unsigned x, unsigned y)
{
    static const uint8_t BITS[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    SH_CHECK_CMP(x, <, 2 * f->columns);
    SH_CHECK_CMP(y, <, 4 * f->rows);
    f->dots[y / 4][x / 2] |= BITS[y % 4][x % 2];
}

static unsigned scale(double value, double low, double high, unsigned dots)
{
    double span = high - low;
    double part = span > 0 ? (value - low) / span : 0.5;
    double at = floor(part * (double)(dots - 1) + 0.5);
    return (unsigned)fmin(fmax(at, 0), (double)(dots - 1));
}

static void draw_line(struct frame *f, unsigned x0, unsigned y0, unsigned x1, unsigned y1)
{
    unsigned dx = x1 - x0; /* curves run to the right */
    unsigned dy = y1 > y0 ? y1 - y0 : y0 - y1;
    unsigned steps = dx > dy ? dx : dy;
    for (unsigned i = 0; i <= steps; i++) {
        double part = steps > 0 ? (double)i / (double)steps : 0;
        double y = (double)y0 + part * ((double)y1 - (double)y0);
        set_dot(f, x0 + (unsigned)(part * (double)dx + 0.5), (unsigned)(y + 0.5));
    }
}

static void draw_curve(struct frame *f, const struct cli_curve *curve)
{
    bool joined = false;
    unsigned last_x = 0;
    unsigned last_y = 0;
    for (size_t i = 0; i < curve->count; i++) {
        if (!isfinite(curve->y[i])) {
            joined = false;
            continue;
        }
        unsigned x = scale(curve->x[i], f->x_low, f->x_high, 2 * f->columns);
        unsigned y = 4 * f->rows - 1 - scale(curve->y[i], f->y_low, f->y_high, 4 * f->rows);
        if (joined && x >= last_x) {
            draw_line(f, last_x, last_y, x, y);
        } else {
            set_dot(f, x, y);
        }
        joined = true;
        last_x = x;
        last_y = y;
    }
}

static void print_row(FILE *out, const struct frame *f, unsigned row)
{
    char label[32] = "";
    if (!f->empty && (row == 0 || row + 1 == f->rows)) {
        (void)snprintf(label, sizeof label, "%.4g", row == 0 ? f->y_high : f->y_low);
        if (strlen(label) > CLI_PLOT_LABEL - 1) { /* a digit left out beats an exponent cut off */
            (void)snprintf(label, sizeof label, "%.2g", row == 0 ? f->y_high : f->y_low);
        }
    }
    (void)fprintf(out, "%*.*s ", (int)CLI_PLOT_LABEL - 1, (int)CLI_PLOT_LABEL - 1, label);
    for (unsigned x = 0; x < f->columns; x++) {
        uint8_t d = f->dots[row][x];
        char cell[4] = {(char)0xe2, (char)(0xa0 + (d >> 6)), (char)(0x80 + (d & 0x3f)), '\0'};
        (void)fputs(cell, out);
    }
    (void)fputc('\n', out);
}

void cli_plot_draw(FILE *out, const char *title, const struct cli_curve *curves, size_t curve_count,
                   unsigned columns, unsigned rows)
{
    struct frame f;
    memset(&f, 0, sizeof f);
    f.columns = columns < CLI_PLOT_COLUMNS_MAX ? columns : CLI_PLOT_COLUMNS_MAX;
    f.rows = rows < CLI_PLOT_ROWS_MAX ? rows : CLI_PLOT_ROWS_MAX;
    f.empty = true;
    for (size_t i = 0; i < curve_count; i++) {
        measure(&f, &curves[i]);
    }
    for (size_t i = 0; i < curve_count; i++) {
        draw_curve(&f, &curves[i]);
    }
    (void)fprintf(out, "%*s %s\n", (int)CLI_PLOT_LABEL - 1, "", title);
    for (unsigned row = 0; row < f.rows; row++) {
        print_row(out, &f, row);
    }
    char low[32] = "";
    char high[32] = "";
    if (!f.empty) {
        (void)snprintf(low, sizeof low, "%.6g", f.x_low);
        (void)snprintf(high, sizeof high, "%.6g", f.x_high);
    }
    (void)fprintf(out, "%*s %s%*s\n", (int)CLI_PLOT_LABEL - 1, "", low,
                  (int)f.columns - (int)strlen(low), high);
}
