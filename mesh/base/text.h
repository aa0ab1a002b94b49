/* SPDX-License-Identifier: Apache-2.0
 *
 * Text from elsewhere (what commands say, names of files) as UTF-8 that is safe to store and to
 * show. JSON has no way to say anything else: one damaged byte would lose all that stands with it.
 */
#ifndef SH_BASE_TEXT_H
#define SH_BASE_TEXT_H

#include "base/check.h"

#include <stddef.h>

/* How many of size bytes are left without the front of a character at their end, whose rest is
 * behind them or lost. O(1). */
size_t sh_text_fit(const char *text, size_t size);
/* Makes bytes harmless in place and NUL-terminates them (text has size + 1 bytes); answers the new
 * size, at most the old. Escape sequences go; control characters but tab, and what is not
 * well-formed UTF-8, become "?". O(size). */
size_t sh_text_clean(char *text, size_t size);
/* As much of text as fits size bytes with a NUL, whole characters, clean. Answers its bytes. */
size_t sh_text_copy(char *out, size_t size, const char *text);

#endif
