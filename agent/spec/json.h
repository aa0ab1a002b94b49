/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON for the edges: the one place that names jansson. Whatever is sent, replicated or hashed is
 * printed by spec_json_print: sorted keys, no blanks, numbers with 15 significant digits. */
#ifndef SPEC_JSON_H
#define SPEC_JSON_H

#include "base/err.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define SPEC_JSON_PRINT (JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(15))

/* NUL-terminated into out; LIMIT where it does not fit. Takes value (also on an error). */
SH_MUST_USE enum sh_err spec_json_print(json_t *value, char *out, size_t size, size_t *length);
/* Lower-case hexadecimal digits as a JSON string; given. */
json_t *spec_json_hex(const void *bytes, size_t size);
struct spec_table;
/* The layer table of spec/graph.h: {layers: [...], input, params, macs, bytes_shared, bytes_rank}.
 */
json_t *spec_json_table(const struct spec_table *table);
/* A finite number, else null; given. */
json_t *spec_json_number(double value);

#endif
