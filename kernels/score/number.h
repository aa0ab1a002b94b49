/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers as people and scripts write them: 7, -3, .5, 2., 1e-3, +4.25E+10. Not nan, inf,
 * hexadecimal, digit groups or a decimal comma. Bytes are foreign: nothing here ends the program.
 */
#ifndef KN_SCORE_NUMBER_H
#define KN_SCORE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KN_NUMBER_BYTES_MAX 64u /* of one number; a longer one is none */

/* Bytes of the longest number that text[0, size) begins with, 0 where it begins with none. */
size_t kn_number_length(const char *text, size_t size);

/* True where the whole text is one number and finite; then *out is the nearest double. Expects the
 * numeric locale "C", as every program has that does not call setlocale. */
bool kn_number_parse(const char *text, size_t size, double *out);

/* The same for a whole number in [low, high]: digits with an optional sign, no point or exponent.
 */
bool kn_integer_parse(const char *text, size_t size, int64_t low, int64_t high, int64_t *out);

#endif
