/* SPDX-License-Identifier: Apache-2.0
 *
 * The little JSON that a safetensors header needs, read strictly from foreign bytes: internal to
 * format/. Strings, unsigned integers and punctuation; the reader never goes back, keeps no stack
 * and stops at the first byte that is wrong. */
#ifndef KN_FORMAT_JSON_H
#define KN_FORMAT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kn_json {
    const uint8_t *text;
    size_t size;
    size_t at; /* also: where it went wrong */
};

/* Skips white space; true, and consumed, when the next byte is `punctuation`. */
bool kn_json_take(struct kn_json *j, char punctuation);
/* True when nothing but white space is left. */
bool kn_json_end(struct kn_json *j);
/* A number without sign, fraction, exponent or leading zero, below 2^64. */
bool kn_json_u64(struct kn_json *j, uint64_t *out);
/* A string of well-formed UTF-8 without U+0000, unescaped to out (room bytes), NUL-terminated. */
bool kn_json_string(struct kn_json *j, char *out, size_t room);

/* Whether text is well-formed UTF-8 (RFC 3629: shortest form, no surrogates). */
bool kn_utf8_valid(const char *text);
/* Writes text as a JSON string with its quotes, escaping quotes, backslashes and control bytes;
 * answers the bytes written. out has room for 6 * strlen(text) + 2. */
size_t kn_json_quote(const char *text, char *out);

#endif
