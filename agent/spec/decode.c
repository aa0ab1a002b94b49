/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/decode.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX    48u /* keys of one map */
#define SUGGEST_MAX  32u /* characters that a suggestion compares */
#define SUGGEST_FAR  2u  /* edits at which two words are no longer alike */
#define INTEGER_BITS 53  /* what JSON readers keep exactly */

/* Cut where it does not fit. */
static void add_to_path(struct spec_decode *d, const char *text)
{
    size_t n = strnlen(text, sizeof d->path - 1 - d->path_length);
    memcpy(d->path + d->path_length, text, n);
    d->path_length += n;
    d->path[d->path_length] = '\0';
}

size_t spec_decode_enter(struct spec_decode *d, const char *key, uint32_t index)
{
    size_t mark = d->path_length;
    char word[16];
    if (key == NULL) {
        (void)snprintf(word, sizeof word, "[%u]", index);
    } else if (mark > 0) {
        add_to_path(d, ".");
    }
    add_to_path(d, key != NULL ? key : word);
    return mark;
}

void spec_decode_leave(struct spec_decode *d, size_t mark)
{
    SH_CHECK_CMP(mark, <=, d->path_length);
    d->path[mark] = '\0';
    d->path_length = mark;
}

static void value_text(const struct spec_node *node, char *out, size_t size)
{
    switch (node->kind) {
    case SPEC_NODE_MAP:
        (void)snprintf(out, size, "a map");
        break;
    case SPEC_NODE_LIST:
        (void)snprintf(out, size, "a list");
        break;
    case SPEC_NODE_SCALAR:
        if (node->plain && node->text[0] == '\0') {
            (void)snprintf(out, size, "nothing");
        } else {
            (void)snprintf(out, size, node->plain ? "%s" : "\"%s\"", node->text);
        }
        break;
    }
}

void spec_decode_wrong(struct spec_decode *d, const struct spec_node *node, const char *format, ...)
{
    char value[96];
    char message[256];
    value_text(node, value, sizeof value);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    spec_note(d->errors, node->at, d->path, value, "%s", message);
}

/* Levenshtein distance of two words, compared up to SUGGEST_MAX characters. */
static unsigned distance(const char *a, const char *b)
{
    size_t n = strnlen(a, SUGGEST_MAX);
    size_t m = strnlen(b, SUGGEST_MAX);
    unsigned row[SUGGEST_MAX + 1];
    for (size_t j = 0; j <= m; j++) {
        row[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned replaced = diagonal + (a[i - 1] != b[j - 1] ? 1 : 0);
            unsigned shifted = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replaced < shifted ? replaced : shifted;
        }
    }
    return row[m];
}

void spec_decode_unknown(struct spec_decode *d, const struct spec_node *node,
                         const char *const *names, size_t count, const char *what)
{
    const char *word = node->key != NULL ? node->key : node->text;
    struct spec_place at = node->key != NULL ? node->key_at : node->at;
    const char *best = NULL;
    unsigned best_distance = SUGGEST_FAR + 1;
    char all[160] = "";
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned far = distance(word, names[i]);
        if (far < best_distance && far < strlen(names[i])) {
            best_distance = far;
            best = names[i];
        }
        int n = snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? ", " : "", names[i]);
        used = n > 0 && used + (size_t)n < sizeof all ? used + (size_t)n : used;
        all[used] = '\0';
    }
    if (best != NULL) {
        spec_note(d->errors, at, d->path, word, "unknown %s; did you mean %s?", what, best);
    } else {
        spec_note(d->errors, at, d->path, word, "unknown %s; there are: %s", what, all);
    }
}

bool spec_is_name(const char *text)
{
    size_t n = strlen(text);
    if (n == 0 || n > SH_NAME_MAX || strchr("._-", text[0]) != NULL) {
        return false;
    }
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

/* [+-] digits [. digits] [e [+-] digits], at least one digit before the exponent. */
static bool is_decimal(const char *text)
{
    const char *at = text + (text[0] == '-' || text[0] == '+' ? 1 : 0);
    size_t whole = strspn(at, "0123456789");
    at += whole;
    size_t part = 0;
    if (*at == '.') {
        at++;
        part = strspn(at, "0123456789");
        at += part;
    }
    if (whole + part == 0) {
        return false;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '-' || *at == '+' ? 1 : 0;
        size_t power = strspn(at, "0123456789");
        at += power;
        if (power == 0) {
            return false;
        }
    }
    return *at == '\0';
}

bool spec_scalar_number(const struct spec_node *node, double *out)
{
    if (node->kind != SPEC_NODE_SCALAR || !node->plain || !is_decimal(node->text)) {
        return false;
    }
    char digits[40];
    (void)snprintf(digits, sizeof digits, "%.*g", DBL_DIG, strtod(node->text, NULL));
    *out = strtod(digits, NULL);
    return isfinite(*out);
}

static void interval_text(const struct spec_field *f, const char *kind, char *out, size_t size)
{
    if (!f->low_open && !f->high_open) {
        (void)snprintf(out, size, "must be a %s from %.16g to %.16g", kind, f->low, f->high);
    } else {
        (void)snprintf(out, size, "must be a %s %s %.16g and %s %.16g", kind,
                       f->low_open ? "above" : "at least", f->low,
                       f->high_open ? "below" : "at most", f->high);
    }
}

static bool inside(const struct spec_field *f, double value)
{
    bool low = f->low_open ? value > f->low : value >= f->low;
    bool high = f->high_open ? value < f->high : value <= f->high;
    return low && high;
}

static void take_integer(struct spec_decode *d, const struct spec_node *node,
                         const struct spec_field *f, void *at)
{
    bool scalar = node->kind == SPEC_NODE_SCALAR && node->plain;
    size_t digits = scalar ? strspn(node->text, "0123456789") : 0;
    bool whole = digits > 0 && digits <= 16 && node->text[digits] == '\0';
    uint64_t value = whole ? strtoull(node->text, NULL, 10) : 0;
    if (!whole || value >> INTEGER_BITS != 0 || !inside(f, (double)value)) {
        char right[128];
        interval_text(f, "whole number", right, sizeof right);
        spec_decode_wrong(d, node, "%s", right);
    } else if (f->type == SPEC_FIELD_U32) {
        *(uint32_t *)at = (uint32_t)value;
    } else {
        *(uint64_t *)at = value;
    }
}

static void take_number(struct spec_decode *d, const struct spec_node *node,
                        const struct spec_field *f, void *at)
{
    double value = 0;
    if (!spec_scalar_number(node, &value) || !inside(f, value)) {
        char right[128];
        interval_text(f, "number", right, sizeof right);
        spec_decode_wrong(d, node, "%s", right);
        return;
    }
    *(double *)at = value;
}

static void take_text(struct spec_decode *d, const struct spec_node *node,
                      const struct spec_field *f, void *at)
{
    if (node->kind != SPEC_NODE_SCALAR || strlen(node->text) > SH_NAME_MAX ||
        node->text[0] == '\0') {
        spec_decode_wrong(d, node, "must be text of 1 to %u bytes", SH_NAME_MAX);
    } else if (f->type == SPEC_FIELD_NAME && !spec_is_name(node->text)) {
        spec_decode_wrong(d, node,
                          "must be a name: up to %u letters, digits, '.', '_' and '-', the first "
                          "a letter or digit",
                          SH_NAME_MAX);
    } else {
        memcpy(at, node->text, strlen(node->text) + 1);
    }
}

static void take_bool(struct spec_decode *d, const struct spec_node *node, void *at)
{
    bool plain = node->kind == SPEC_NODE_SCALAR && node->plain;
    if (plain && strcmp(node->text, "true") == 0) {
        *(bool *)at = true;
    } else if (plain && strcmp(node->text, "false") == 0) {
        *(bool *)at = false;
    } else {
        spec_decode_wrong(d, node, "must be true or false");
    }
}

static void take_choice(struct spec_decode *d, const struct spec_node *node,
                        const struct spec_field *f, void *at)
{
    char all[128] = "";
    size_t used = 0;
    for (const struct spec_choice *c = f->choices; c->name != NULL; c++) {
        if (node->kind == SPEC_NODE_SCALAR && strcmp(node->text, c->name) == 0) {
            *(int *)at = c->value;
            return;
        }
        int n = snprintf(all + used, sizeof all - used, "%s%s", used > 0 ? ", " : "", c->name);
        used = n > 0 && used + (size_t)n < sizeof all ? used + (size_t)n : used;
    }
    spec_decode_wrong(d, node, "must be one of: %s", all);
}

void spec_decode_field(struct spec_decode *d, const struct spec_node *node,
                       const struct spec_field *field, void *base)
{
    void *at = (char *)base + field->offset;
    switch (field->type) {
    case SPEC_FIELD_NAME:
    case SPEC_FIELD_TEXT:
        take_text(d, node, field, at);
        break;
    case SPEC_FIELD_U32:
    case SPEC_FIELD_U64:
        take_integer(d, node, field, at);
        break;
    case SPEC_FIELD_NUMBER:
        take_number(d, node, field, at);
        break;
    case SPEC_FIELD_BOOL:
        take_bool(d, node, at);
        break;
    case SPEC_FIELD_CHOICE:
        take_choice(d, node, field, at);
        break;
    case SPEC_FIELD_CUSTOM:
        field->take(d, node, base);
        break;
    }
}

static void note_missing(struct spec_decode *d, const struct spec_node *map, const char *key)
{
    size_t mark = spec_decode_enter(d, key, 0);
    spec_note(d->errors, map->at, d->path, NULL, "is missing");
    spec_decode_leave(d, mark);
}

void spec_decode_map(struct spec_decode *d, const struct spec_node *map,
                     const struct spec_field *fields, size_t count, void *base)
{
    SH_CHECK_CMP(count, <=, NAMES_MAX);
    const char *names[NAMES_MAX];
    for (size_t i = 0; i < count; i++) {
        names[i] = fields[i].key;
    }
    if (map->kind != SPEC_NODE_MAP) {
        spec_decode_wrong(d, map, "must be a map, such as {%s: ...}", names[0]);
        return;
    }
    for (const struct spec_node *n = spec_tree_first(d->tree, map); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        size_t i = 0;
        while (i < count && strcmp(n->key, fields[i].key) != 0) {
            i++;
        }
        if (i == count) {
            spec_decode_unknown(d, n, names, count, "key");
            continue;
        }
        size_t mark = spec_decode_enter(d, n->key, 0);
        spec_decode_field(d, n, &fields[i], base);
        spec_decode_leave(d, mark);
    }
    for (size_t i = 0; i < count; i++) {
        if (fields[i].required && spec_tree_member(d->tree, map, fields[i].key) == NULL) {
            note_missing(d, map, fields[i].key);
        }
    }
}
