/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host/host.h"
#include "spec/json.h"

#include <stdbool.h>
#include <string.h>

static void put(struct sh_writer *w, const char *text)
{
    sh_put_bytes(w, text, strlen(text));
}

static void put_key(struct sh_writer *w, const char *key)
{
    if (key == NULL) {
        return;
    }
    put(w, w->used > 0 && w->at[w->used - 1] != '{' ? ",\"" : "\"");
    put(w, key);
    put(w, "\":");
}

void spec_json_open(struct sh_writer *w, const char *key)
{
    put_key(w, key);
    put(w, "{");
}

void spec_json_close(struct sh_writer *w)
{
    put(w, "}");
}

void spec_json_put_int(struct sh_writer *w, const char *key, int64_t value)
{
    char digits[24];
    size_t at = sizeof digits;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0) {
        digits[--at] = '-';
    }
    put_key(w, key);
    sh_put_bytes(w, digits + at, sizeof digits - at);
}

void spec_json_put_bool(struct sh_writer *w, const char *key, bool value)
{
    put_key(w, key);
    put(w, value ? "true" : "false");
}

static bool is_plain(const char *text, size_t size)
{
    bool plain = true;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        plain = plain && c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
    }
    return plain;
}

void spec_json_put_str(struct sh_writer *w, const char *key, const char *text)
{
    size_t size = strlen(text);
    if (!is_plain(text, size)) {
        spec_json_put_tree(w, key, json_string(text));
        return;
    }
    put_key(w, key);
    put(w, "\"");
    sh_put_bytes(w, text, size);
    put(w, "\"");
}

void spec_json_put_hex(struct sh_writer *w, const char *key, const void *bytes, size_t size)
{
    char hex[2 * SPEC_JSON_HEX_MAX + 1];
    SH_CHECK_CMP(size, <=, SPEC_JSON_HEX_MAX);
    sh_hex(hex, bytes, size);
    spec_json_put_str(w, key, hex);
}

static int put_part(const char *text, size_t size, void *ctx)
{
    struct sh_writer *w = ctx;
    sh_put_bytes(w, text, size);
    return w->full ? -1 : 0;
}

void spec_json_put_tree(struct sh_writer *w, const char *key, json_t *value)
{
    put_key(w, key);
    if (value == NULL) {
        put(w, "null");
    } else if (json_dump_callback(value, put_part, w, SPEC_JSON_PRINT | JSON_ENCODE_ANY) != 0) {
        w->full = true; /* also where jansson has no memory: what is there cannot be used */
    }
    json_decref(value);
}
