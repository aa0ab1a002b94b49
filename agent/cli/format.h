/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers for people. */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define CLI_FORMAT_BYTES 32u

/* "42s", "4m12s", "3h05m", "2d04h". */
void cli_format_duration(uint64_t us, char out[static CLI_FORMAT_BYTES]);
/* "512 B", "62.8 GiB". */
void cli_format_bytes(uint64_t bytes, char out[static CLI_FORMAT_BYTES]);
/* "812", "41.2k", "5.1M". */
void cli_format_count(double count, char out[static CLI_FORMAT_BYTES]);
/* "98.93 %", "-" for NaN. */
void cli_format_percent(double part, char out[static CLI_FORMAT_BYTES]);
/* Four significant digits, "-" for NaN. */
void cli_format_number(double value, char out[static CLI_FORMAT_BYTES]);
/* Columns that UTF-8 text takes in a terminal, each character one. */
size_t cli_format_width(const char *text);

#endif
