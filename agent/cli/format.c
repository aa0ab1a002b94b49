/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/format.h"

#include <math.h>
#include <stdio.h>

void cli_format_duration(uint64_t us, char out[static CLI_FORMAT_BYTES])
{
    unsigned long long s = us / 1000000;
    if (s < 60) {
        (void)snprintf(out, CLI_FORMAT_BYTES, "%llus", s);
    } else if (s < 3600) {
        (void)snprintf(out, CLI_FORMAT_BYTES, "%llum%02llus", s / 60, s % 60);
    } else if (s < 86400) {
        (void)snprintf(out, CLI_FORMAT_BYTES, "%lluh%02llum", s / 3600, s / 60 % 60);
    } else {
        (void)snprintf(out, CLI_FORMAT_BYTES, "%llud%02lluh", s / 86400, s / 3600 % 24);
    }
}

void cli_format_bytes(uint64_t bytes, char out[static CLI_FORMAT_BYTES])
{
    static const char *const UNITS[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit < 5) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(out, CLI_FORMAT_BYTES, unit == 0 ? "%.0f %s" : "%.1f %s", value, UNITS[unit]);
}

void cli_format_count(double count, char out[static CLI_FORMAT_BYTES])
{
    if (isnan(count)) {
        (void)snprintf(out, CLI_FORMAT_BYTES, "-");
    } else if (count < 1000) {
        (void)snprintf(out, CLI_FORMAT_BYTES, "%.0f", count);
    } else if (count < 1000000) {
        (void)snprintf(out, CLI_FORMAT_BYTES, "%.1fk", count / 1000);
    } else {
        (void)snprintf(out, CLI_FORMAT_BYTES, "%.1fM", count / 1000000);
    }
}

void cli_format_percent(double part, char out[static CLI_FORMAT_BYTES])
{
    if (isnan(part)) {
        (void)snprintf(out, CLI_FORMAT_BYTES, "-");
    } else {
        (void)snprintf(out, CLI_FORMAT_BYTES, "%.2f %%", 100 * part);
    }
}

void cli_format_number(double value, char out[static CLI_FORMAT_BYTES])
{
    (void)snprintf(out, CLI_FORMAT_BYTES, isnan(value) ? "-" : "%.4g", value);
}

size_t cli_format_width(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80 ? 1 : 0;
    }
    return width;
}
