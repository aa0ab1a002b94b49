/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON: jansson judges the whole text (syntax, UTF-8, duplicate keys, numbers), then one pass over
 * the text that is now known to be good finds where every value stands, which jansson does not
 * tell. Strings with an escape in them are decoded by jansson, one at a time. */
#include "spec/tree.h"

#include <jansson.h>
#include <string.h>

struct scan {
    const char *text;
    size_t size;
    size_t at;
    uint32_t line;
    size_t line_start;
};

static struct spec_place place_of(const struct scan *s)
{
    return (struct spec_place){.line = s->line, .column = (uint32_t)(s->at - s->line_start) + 1};
}

static bool is_gap(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',' || c == ':';
}

static void skip_gap(struct scan *s)
{
    while (s->at < s->size && is_gap(s->text[s->at])) {
        if (s->text[s->at] == '\n') {
            s->line++;
            s->line_start = s->at + 1;
        }
        s->at++;
    }
}

static bool take_escaped(struct scan *s, struct spec_builder *b, size_t end)
{
    json_t *string = json_loadb(s->text + s->at, end - s->at, JSON_DECODE_ANY, NULL);
    if (string == NULL) {
        spec_note(b->errors, place_of(s), "", NULL,
                  "text must be one line without control characters");
        return false;
    }
    bool good = spec_build_scalar(b, json_string_value(string), json_string_length(string), false,
                                  place_of(s));
    json_decref(string);
    return good;
}

static bool take_string(struct scan *s, struct spec_builder *b)
{
    size_t end = s->at + 1;
    bool escaped = false;
    while (s->text[end] != '"') {
        escaped = escaped || s->text[end] == '\\';
        end += s->text[end] == '\\' ? 2 : 1;
    }
    end++;
    bool good =
        escaped ? take_escaped(s, b, end)
                : spec_build_scalar(b, s->text + s->at + 1, end - s->at - 2, false, place_of(s));
    s->at = end;
    return good;
}

static bool take_word(struct scan *s, struct spec_builder *b)
{
    size_t end = s->at;
    while (end < s->size && !is_gap(s->text[end]) && s->text[end] != '}' && s->text[end] != ']') {
        end++;
    }
    bool good = spec_build_scalar(b, s->text + s->at, end - s->at, true, place_of(s));
    s->at = end;
    return good;
}

static bool take_value(struct scan *s, struct spec_builder *b)
{
    switch (s->text[s->at]) {
    case '{':
    case '[': {
        enum spec_node_kind kind = s->text[s->at] == '{' ? SPEC_NODE_MAP : SPEC_NODE_LIST;
        bool good = spec_build_open(b, kind, place_of(s));
        s->at++;
        return good;
    }
    case '}':
    case ']':
        spec_build_close(b);
        s->at++;
        return true;
    case '"':
        return take_string(s, b);
    default:
        return take_word(s, b);
    }
}

bool spec_read_json(const char *text, size_t size, struct spec_builder *b)
{
    json_error_t error;
    json_t *whole = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (whole == NULL) {
        struct spec_place at = {.line = error.line > 0 ? (uint32_t)error.line : 0,
                                .column = error.column > 0 ? (uint32_t)error.column : 0};
        spec_note(b->errors, at, "", NULL, "not JSON: %s", error.text);
        return false;
    }
    json_decref(whole);
    struct scan s = {.text = text, .size = size, .line = 1};
    bool good = true;
    for (skip_gap(&s); good && s.at < s.size; skip_gap(&s)) {
        good = take_value(&s, b);
    }
    return good;
}
