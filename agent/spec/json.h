/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON for the edges: the one place that names jansson. Whatever is sent, replicated or hashed is
 * printed by spec_json_print: sorted keys, no blanks, numbers with 15 significant digits. */
#ifndef SPEC_JSON_H
#define SPEC_JSON_H

#include "base/bytes.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
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

/* An object as text without a tree, for what is printed often. Members stand in the order of the
 * calls; key is a literal without anything to escape, NULL: no member, the bare value. w->full
 * where it did not fit or there was no memory. */
#define SPEC_JSON_HEX_MAX 64u /* bytes */
void spec_json_open(struct sh_writer *w, const char *key);
void spec_json_close(struct sh_writer *w);
void spec_json_put_int(struct sh_writer *w, const char *key, int64_t value);
void spec_json_put_bool(struct sh_writer *w, const char *key, bool value);
/* null where text is not UTF-8. */
void spec_json_put_str(struct sh_writer *w, const char *key, const char *text);
void spec_json_put_hex(struct sh_writer *w, const char *key, const void *bytes, size_t size);
/* Takes value; NULL gives null. */
void spec_json_put_tree(struct sh_writer *w, const char *key, json_t *value);

#endif
