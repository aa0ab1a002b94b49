/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/format/json.h"

#include <string.h>

static void skip_blanks(struct kn_json *j)
{
    while (j->at < j->size && (j->text[j->at] == ' ' || j->text[j->at] == '\n' ||
                               j->text[j->at] == '\r' || j->text[j->at] == '\t')) {
        j->at++;
    }
}

bool kn_json_take(struct kn_json *j, char punctuation)
{
    skip_blanks(j);
    if (j->at == j->size || j->text[j->at] != (uint8_t)punctuation) {
        return false;
    }
    j->at++;
    return true;
}

bool kn_json_end(struct kn_json *j)
{
    skip_blanks(j);
    return j->at == j->size;
}

bool kn_json_u64(struct kn_json *j, uint64_t *out)
{
    skip_blanks(j);
    size_t first = j->at;
    uint64_t value = 0;
    while (j->at < j->size && j->text[j->at] >= '0' && j->text[j->at] <= '9') {
        uint64_t digit = (uint64_t)(j->text[j->at] - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = 10 * value + digit;
        j->at++;
    }
    *out = value;
    return j->at > first && (j->text[first] != '0' || j->at == first + 1);
}

/* Length of the UTF-8 sequence at the front of `size` bytes, or 0 (RFC 3629, section 4). */
static size_t utf8_length(const uint8_t *b, size_t size)
{
    uint8_t low = 0x80; /* bounds of the second byte */
    uint8_t high = 0xbf;
    size_t length = b[0] < 0x80 ? 1 : (b[0] < 0xe0 ? 2 : (b[0] < 0xf0 ? 3 : 4));
    if ((b[0] >= 0x80 && b[0] < 0xc2) || b[0] > 0xf4 || length > size) {
        return 0;
    }
    low = b[0] == 0xe0 ? 0xa0 : (b[0] == 0xf0 ? 0x90 : low);
    high = b[0] == 0xed ? 0x9f : (b[0] == 0xf4 ? 0x8f : high);
    for (size_t i = 1; i < length; i++) {
        if (b[i] < low || b[i] > high) {
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

bool kn_utf8_valid(const char *text)
{
    size_t size = strlen(text);
    size_t at = 0;
    while (at < size) {
        size_t length = utf8_length((const uint8_t *)text + at, size - at);
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}

static bool hex4(struct kn_json *j, uint32_t *code)
{
    *code = 0;
    for (uint32_t i = 0; i < 4; i++) {
        if (j->at == j->size) {
            return false;
        }
        uint8_t c = j->text[j->at];
        uint8_t lower = c | 0x20;
        uint32_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            digit = (uint32_t)(lower - 'a') + 10;
        } else {
            return false;
        }
        *code = *code << 4 | digit;
        j->at++;
    }
    return true;
}

/* After "\u": one code point, of two escapes for a surrogate pair. */
static bool escaped_code(struct kn_json *j, uint32_t *code)
{
    uint32_t low = 0;
    if (!hex4(j, code) || *code == 0 || (*code >= 0xdc00 && *code <= 0xdfff)) {
        return false;
    }
    if (*code < 0xd800 || *code > 0xdbff) {
        return true;
    }
    if (j->size - j->at < 2 || j->text[j->at] != '\\' || j->text[j->at + 1] != 'u') {
        return false;
    }
    j->at += 2;
    if (!hex4(j, &low) || low < 0xdc00 || low > 0xdfff) {
        return false;
    }
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

static size_t utf8_put(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : (code < 0x10000 ? 3 : 4);
    static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char)(lead[length] | code);
    return length;
}

/* After a backslash: the bytes it stands for, or 0. */
static size_t escape(struct kn_json *j, char out[4])
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    if (j->at == j->size) {
        return 0;
    }
    char name = (char)j->text[j->at];
    j->at++;
    if (name == 'u') {
        uint32_t code = 0;
        return escaped_code(j, &code) ? utf8_put(code, out) : 0;
    }
    const char *found = name != '\0' ? strchr(names, name) : NULL;
    if (found == NULL) {
        return 0;
    }
    out[0] = values[found - names];
    return 1;
}

bool kn_json_string(struct kn_json *j, char *out, size_t room)
{
    size_t made = 0;
    if (!kn_json_take(j, '"')) {
        return false;
    }
    while (j->at < j->size && j->text[j->at] != '"') {
        char piece[4];
        size_t length;
        if (j->text[j->at] == '\\') {
            j->at++;
            length = escape(j, piece);
        } else {
            length = j->text[j->at] >= 0x20 ? utf8_length(j->text + j->at, j->size - j->at) : 0;
            memcpy(piece, j->text + j->at, length);
            j->at += length;
        }
        if (length == 0 || made + length >= room) {
            return false;
        }
        memcpy(out + made, piece, length);
        made += length;
    }
    if (j->at == j->size) {
        return false;
    }
    j->at++;
    out[made] = '\0';
    return true;
}

size_t kn_json_quote(const char *text, char *out)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;
    out[n++] = '"';
    for (size_t i = 0; text[i] != '\0'; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20) {
            memcpy(out + n, "\\u00", 4);
            out[n + 4] = digits[c >> 4];
            out[n + 5] = digits[c & 15];
            n += 6;
        } else {
            out[n++] = (char)c;
        }
    }
    out[n++] = '"';
    return n;
}
