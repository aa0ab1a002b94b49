/* SPDX-License-Identifier: Apache-2.0 */
#include "place/label.h"

#include <string.h>

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '/' || c == '-';
}

static size_t word_at(const char *text)
{
    size_t size = 0;
    while (size <= PLACE_LABEL_MAX && is_word(text[size])) {
        size++;
    }
    return size;
}

/* FNV-1a, then mixed so that all bits depend on all characters. */
static uint64_t hash_of(const char *text, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    }
    hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
    return hash ^ hash >> 33;
}

/* True for an optional minus and 1 to 18 digits. */
static bool number_of(const char *text, size_t size, int64_t *out)
{
    size_t at = size > 0 && text[0] == '-' ? 1 : 0;
    bool ok = size > at && size - at <= 18;
    int64_t number = 0;
    for (size_t i = at; i < size && ok; i++) {
        ok = text[i] >= '0' && text[i] <= '9';
        number = ok ? 10 * number + (text[i] - '0') : 0;
    }
    *out = at == 1 ? -number : number;
    return ok;
}

/* Instruction sets have an order, and people call them by what the newest one brought. */
static int64_t isa_level(const char *text, size_t size)
{
    static const struct {
        const char *name;
        int64_t level;
    } LEVELS[] = {{"base", 1}, {"v1", 1},   {"v2", 2}, {"sse4.2", 2},
                  {"v3", 3},   {"avx2", 3}, {"v4", 4}, {"avx512", 4}};
    int64_t level = 0;
    for (size_t i = 0; i < SH_COUNT(LEVELS) && level == 0; i++) {
        bool same = strlen(LEVELS[i].name) == size && memcmp(LEVELS[i].name, text, size) == 0;
        level = same ? LEVELS[i].level : 0;
    }
    return level;
}

struct word {
    uint64_t hash;
    bool numeric;
    int64_t number;
};

/* A value of that key. */
static struct word word_of(uint64_t key, const char *text, size_t size)
{
    struct word word = {.hash = hash_of(text, size)};
    bool isa = key == hash_of("isa", 3);
    int64_t level = isa ? isa_level(text, size) : 0;
    word.numeric = isa ? level > 0 : number_of(text, size, &word.number);
    if (level > 0) {
        word.number = level;
        word.hash = hash_of(&"1234"[level - 1], 1);
    }
    return word;
}

enum sh_err place_label_parse(const char *text, struct place_label *out)
{
    size_t key = word_at(text);
    bool alone = text[key] == '\0';
    const char *value = alone ? text + key : text + key + 1;
    size_t size = word_at(value);
    if (key == 0 || key > PLACE_LABEL_MAX || size > PLACE_LABEL_MAX ||
        (!alone && text[key] != '=') || value[size] != '\0') {
        return SH_ERR_INVALID;
    }
    *out = (struct place_label){.key = hash_of(text, key)};
    struct word word = word_of(out->key, value, size);
    out->value = word.hash;
    out->numeric = word.numeric;
    out->number = word.number;
    return SH_OK;
}

static const char *skip(const char *text)
{
    while (*text == ' ') {
        text++;
    }
    return text;
}

/* One value; NULL where none stands. */
static const char *take_value(const char *text, struct place_condition *out)
{
    size_t size = word_at(text);
    bool counts = out->op == PLACE_OP_GE || out->op == PLACE_OP_LE;
    struct word word = word_of(out->key, text, size <= PLACE_LABEL_MAX ? size : 0);
    if (size == 0 || size > PLACE_LABEL_MAX || out->value_count == PLACE_VALUES_MAX ||
        (counts && !word.numeric)) {
        return NULL;
    }
    if (counts) {
        out->number = word.number;
    } else {
        out->values[out->value_count++] = word.hash;
    }
    return skip(text + size);
}

/* The values in parentheses, with commas between. */
static const char *take_list(const char *text, struct place_condition *out)
{
    const char *at = *text == '(' ? skip(text + 1) : NULL;
    bool more = at != NULL;
    while (more) {
        at = take_value(at, out);
        more = at != NULL && *at == ',';
        at = more ? skip(at + 1) : at;
    }
    return at != NULL && *at == ')' ? skip(at + 1) : NULL;
}

static const struct {
    const char *text;
    enum place_op op;
} operators[] = {{"!=", PLACE_OP_NE},        {">=", PLACE_OP_GE}, {"<=", PLACE_OP_LE},
                 {"notin", PLACE_OP_NOT_IN}, {"in", PLACE_OP_IN}, {"=", PLACE_OP_EQ}};

enum sh_err place_condition_parse(const char *text, struct place_condition *out)
{
    const char *at = skip(text);
    bool absent = *at == '!';
    at = absent ? skip(at + 1) : at;
    size_t key = word_at(at);
    if (key == 0 || key > PLACE_LABEL_MAX) {
        return SH_ERR_INVALID;
    }
    *out = (struct place_condition){.key = hash_of(at, key),
                                    .op = absent ? PLACE_OP_ABSENT : PLACE_OP_EXISTS};
    at = skip(at + key);
    for (size_t i = 0; i < SH_COUNT(operators) && !absent && out->op == PLACE_OP_EXISTS; i++) {
        size_t size = strlen(operators[i].text);
        if (strncmp(at, operators[i].text, size) == 0) {
            out->op = (uint8_t)operators[i].op;
            at = skip(at + size);
        }
    }
    if (out->op == PLACE_OP_IN || out->op == PLACE_OP_NOT_IN) {
        at = take_list(at, out);
    } else if (out->op != PLACE_OP_EXISTS && out->op != PLACE_OP_ABSENT) {
        at = take_value(at, out);
    }
    return at != NULL && *at == '\0' ? SH_OK : SH_ERR_INVALID;
}

bool place_condition_equal(const struct place_condition *a, const struct place_condition *b)
{
    bool equal = a->key == b->key && a->number == b->number && a->op == b->op &&
                 a->value_count == b->value_count;
    for (uint32_t i = 0; i < a->value_count && equal; i++) {
        equal = a->values[i] == b->values[i];
    }
    return equal;
}

bool place_condition_holds(const struct place_condition *condition,
                           const struct place_label *labels, uint32_t count)
{
    const struct place_label *label = NULL;
    for (uint32_t i = 0; i < count && label == NULL; i++) {
        label = labels[i].key == condition->key ? &labels[i] : NULL;
    }
    bool named = false;
    for (uint32_t i = 0; i < condition->value_count && label != NULL; i++) {
        named = named || condition->values[i] == label->value;
    }
    bool counts = label != NULL && label->numeric;
    switch ((enum place_op)condition->op) {
    case PLACE_OP_EQ:
    case PLACE_OP_IN:
        return named;
    case PLACE_OP_NE:
    case PLACE_OP_NOT_IN:
        return !named;
    case PLACE_OP_EXISTS:
        return label != NULL;
    case PLACE_OP_ABSENT:
        return label == NULL;
    case PLACE_OP_GE:
        return counts && label->number >= condition->number;
    case PLACE_OP_LE:
        return counts && label->number <= condition->number;
    }
    SH_UNREACHABLE();
}
