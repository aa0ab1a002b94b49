/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader of one JSON object (RFC 8259) from foreign bytes: never goes back, allocates nothing,
 * and keeps no more of what is nested than its closing brackets. Beyond the standard it takes NaN
 * and Infinity, because Python's json module writes them. */
#include "exec/facts.h"

#include <string.h>

#define STRING_BYTES EXEC_PATH_BYTES /* a longer one is read to its end and then dropped */

struct string {
    char text[STRING_BYTES];
    size_t used;
    bool cut;
};

static void blanks(struct exec_text *t)
{
    while (t->size > 0 && strchr(" \t\r\n", t->at[0]) != NULL && t->at[0] != 0) {
        t->at++;
        t->size--;
    }
}

static bool next_is(struct exec_text *t, const char *word)
{
    blanks(t);
    return exec_text_take(t, word);
}

static void append(struct string *s, unsigned char byte)
{
    if (s->used + 1 < STRING_BYTES && byte != 0) {
        s->text[s->used++] = (char)byte;
    } else {
        s->cut = true; /* a NUL inside is no name and no path either */
    }
}

static void append_character(struct string *s, uint32_t c)
{
    if (c < 0x80) {
        append(s, (unsigned char)c);
        return;
    }
    if (c >= 0x10000) {
        append(s, (unsigned char)(0xf0 | c >> 18));
        append(s, (unsigned char)(0x80 | (c >> 12 & 0x3f)));
    } else if (c >= 0x800) {
        append(s, (unsigned char)(0xe0 | c >> 12));
    } else {
        append(s, (unsigned char)(0xc0 | c >> 6));
    }
    if (c >= 0x800) {
        append(s, (unsigned char)(0x80 | (c >> 6 & 0x3f)));
    }
    append(s, (unsigned char)(0x80 | (c & 0x3f)));
}

static bool hexadecimal(struct exec_text *t, uint32_t *out)
{
    *out = 0;
    if (t->size < 4) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        static const char DIGITS[] = "0123456789abcdef";
        const char c = t->at[0] >= 'A' && t->at[0] <= 'F' ? (char)(t->at[0] + 32) : t->at[0];
        const char *digit = memchr(DIGITS, c, 16);
        if (digit == NULL) {
            return false;
        }
        *out = *out * 16 + (uint32_t)(digit - DIGITS);
        t->at++;
        t->size--;
    }
    return true;
}

/* Behind a backslash. */
static bool escape(struct exec_text *t, struct string *s)
{
    static const char FROM[] = "\"\\/bfnrt";
    static const char TO[] = "\"\\/\b\f\n\r\t";
    if (t->size == 0) {
        return false;
    }
    const char c = t->at[0];
    t->at++;
    t->size--;
    const char *simple = memchr(FROM, c, sizeof FROM - 1);
    if (simple != NULL) {
        const char byte = TO[simple - FROM];
        append(s, (unsigned char)((unsigned char)byte < 0x20 ? '?' : byte));
        return true;
    }
    uint32_t code;
    uint32_t low;
    if (c != 'u' || !hexadecimal(t, &code)) {
        return false;
    }
    if (code >= 0xd800 && code <= 0xdbff) {
        if (!exec_text_take(t, "\\u") || !hexadecimal(t, &low) || low < 0xdc00 || low > 0xdfff) {
            return false;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code <= 0xdfff) {
        return false;
    }
    append_character(s, code < 0x20 || (code >= 0x7f && code < 0xa0) ? '?' : code);
    return true;
}

/* The lines are well-formed UTF-8 already (exec/lines.h). */
static bool string(struct exec_text *t, struct string *s)
{
    s->used = 0;
    s->cut = false;
    if (!next_is(t, "\"")) {
        return false;
    }
    while (t->size > 0 && t->at[0] != '"') {
        const unsigned char byte = (unsigned char)t->at[0];
        t->at++;
        t->size--;
        if (byte < 0x20 && byte != '\t') {
            return false;
        }
        if (byte != '\\') {
            append(s, byte);
        } else if (!escape(t, s)) {
            return false;
        }
    }
    s->text[s->used] = 0;
    return exec_text_take(t, "\"");
}

static bool word(struct exec_text *t)
{
    return next_is(t, "true") || next_is(t, "false") || next_is(t, "null");
}

static bool number(struct exec_text *t, double *out)
{
    blanks(t);
    return t->size > 0 && t->at[0] != '+' && t->at[0] != '.' && exec_text_number(t, out);
}

static bool scalar(struct exec_text *t, struct string *scratch)
{
    double value;
    return number(t, &value) || word(t) || string(t, scratch);
}

/* A value that is left alone. closing: the brackets that are open, outermost first. */
static bool ignore(struct exec_text *t, struct string *scratch)
{
    char closing[EXEC_NESTING_MAX];
    size_t depth = 0;
    for (;;) {
        const bool object = next_is(t, "{");
        if (object || next_is(t, "[")) {
            if (depth == EXEC_NESTING_MAX) {
                return false;
            }
            closing[depth++] = object ? '}' : ']';
            const char end[2] = {closing[depth - 1], 0};
            if (!next_is(t, end)) {
                if (object && (!string(t, scratch) || !next_is(t, ":"))) {
                    return false;
                }
                continue;
            }
            depth--;
        } else if (!scalar(t, scratch)) {
            return false;
        }
        /* A value has ended: close what ends with it. */
        while (depth > 0 && !next_is(t, ",")) {
            const char end[2] = {closing[depth - 1], 0};
            if (!next_is(t, end)) {
                return false;
            }
            depth--;
        }
        if (depth == 0) {
            return true;
        }
        if (closing[depth - 1] == '}' && (!string(t, scratch) || !next_is(t, ":"))) {
            return false;
        }
    }
}

static bool progress(struct exec_text *t, struct exec_facts *out)
{
    struct string name;
    double done = -1;
    double total = -1;
    if (!next_is(t, "{")) {
        return ignore(t, &name);
    }
    if (next_is(t, "}")) {
        return true;
    }
    do {
        if (!string(t, &name) || !next_is(t, ":")) {
            return false;
        }
        double *place = strcmp(name.text, "done") == 0    ? &done
                        : strcmp(name.text, "total") == 0 ? &total
                                                          : NULL;
        if ((place == NULL || !number(t, place)) && !ignore(t, &name)) {
            return false;
        }
    } while (next_is(t, ","));
    exec_facts_progress(out, done, total);
    return next_is(t, "}");
}

static bool checkpoint(struct exec_text *t, struct exec_facts *out)
{
    struct string path;
    blanks(t);
    if (t->size == 0 || t->at[0] != '"') {
        return ignore(t, &path);
    }
    if (!string(t, &path)) {
        return false;
    }
    if (path.cut) {
        out->dropped++;
    } else {
        exec_facts_checkpoint(out, path.text);
    }
    return true;
}

/* "step" alone may come after the metrics that it is about. */
static bool step(struct exec_text *t, struct exec_place *place)
{
    struct string scratch;
    blanks(t);
    struct exec_text whole = *t;
    uint64_t value;
    double as_number;
    if (!number(t, &as_number)) {
        return ignore(t, &scratch);
    }
    /* 12.0 is a step too, 12.5 is none. */
    if (exec_text_u64(&whole, &value) &&
        (whole.at == t->at || (exec_text_take(&whole, ".0") && whole.at == t->at))) {
        place->known = true;
        place->epoch = value;
    }
    return true;
}

static bool member(struct exec_text *t, struct exec_facts *out, struct exec_place *place)
{
    static const struct exec_place NOWHERE = {0};
    struct string name;
    struct string scratch;
    double value;
    if (!string(t, &name) || !next_is(t, ":")) {
        return false;
    }
    if (strcmp(name.text, "step") == 0) {
        return step(t, place);
    }
    if (strcmp(name.text, "progress") == 0) {
        return progress(t, out);
    }
    if (strcmp(name.text, "checkpoint") == 0) {
        return checkpoint(t, out);
    }
    if (strcmp(name.text, "ready") == 0 && next_is(t, "true")) {
        exec_facts_ready(out);
        return true;
    }
    if (!number(t, &value)) {
        return ignore(t, &scratch);
    }
    if (strcmp(name.text, "prediction") == 0) {
        exec_facts_prediction(out, value);
    } else {
        exec_facts_metric(out, name.text, name.cut ? 0 : name.used, value, &NOWHERE);
    }
    return true;
}

static bool object(struct exec_text *t, struct exec_facts *out, struct exec_place *place)
{
    if (!next_is(t, "{")) {
        return false;
    }
    if (!next_is(t, "}")) {
        do {
            if (!member(t, out, place)) {
                return false;
            }
        } while (next_is(t, ","));
        if (!next_is(t, "}")) {
            return false;
        }
    }
    blanks(t);
    return t->size == 0;
}

void exec_record_read(struct exec_text text, struct exec_facts *out)
{
    struct exec_place place = {0};
    if (!object(&text, out, &place)) {
        out->count = 0;
        out->checkpoint[0] = 0;
        out->malformed = true;
        return;
    }
    for (size_t i = 0; place.known && i < out->count; i++) {
        if (out->at[i].kind == EXEC_FACT_METRIC || out->at[i].kind == EXEC_FACT_CHECKPOINT) {
            out->at[i].stepped = true;
            out->at[i].step = place.epoch;
        }
    }
}
