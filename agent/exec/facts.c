/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/facts.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NUMBER_BYTES 64u /* a longer one is no number */

static bool skip(struct exec_text *text, size_t size)
{
    SH_CHECK_CMP(size, <=, text->size);
    text->at += size;
    text->size -= size;
    return true;
}

bool exec_text_take(struct exec_text *text, const char *prefix)
{
    const size_t size = strlen(prefix);
    return text->size >= size && memcmp(text->at, prefix, size) == 0 && skip(text, size);
}

bool exec_text_find(struct exec_text *text, const char *word)
{
    const size_t size = strlen(word);
    const char *at = text->size >= size ? memmem(text->at, text->size, word, size) : NULL;
    return at != NULL && skip(text, (size_t)(at - text->at) + size);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static size_t digits(const struct exec_text *text, size_t at)
{
    size_t end = at;
    while (end < text->size && is_digit(text->at[end])) {
        end++;
    }
    return end;
}

bool exec_text_u64(struct exec_text *text, uint64_t *out)
{
    const size_t end = digits(text, 0);
    if (end == 0 || end > 19) { /* 19 digits always fit */
        return false;
    }
    *out = 0;
    for (size_t i = 0; i < end; i++) {
        *out = *out * 10 + (uint64_t)(text->at[i] - '0');
    }
    return skip(text, end);
}

/* End of a number that begins at 0; 0: none does. */
static size_t number_end(const struct exec_text *text)
{
    size_t at = text->size > 0 && strchr("+-", text->at[0]) != NULL && text->at[0] != 0 ? 1 : 0;
    const size_t whole = digits(text, at);
    size_t end = whole;
    size_t count = whole - at;
    if (end < text->size && text->at[end] == '.') {
        const size_t fraction = digits(text, end + 1);
        count += fraction - (end + 1);
        /* "0.5." ends a sentence, "5." before a blank does too: the point is taken either way. */
        end = fraction;
    }
    if (count == 0) {
        static const char *const WORDS[] = {"infinity", "inf", "nan"};
        for (size_t i = 0; i < SH_COUNT(WORDS); i++) {
            const size_t size = strlen(WORDS[i]);
            if (text->size - at >= size && strncasecmp(text->at + at, WORDS[i], size) == 0) {
                return at + size;
            }
        }
        return 0;
    }
    if (end < text->size && (text->at[end] == 'e' || text->at[end] == 'E')) {
        size_t power = end + 1;
        power += power < text->size && (text->at[power] == '+' || text->at[power] == '-') ? 1 : 0;
        const size_t power_end = digits(text, power);
        end = power_end > power ? power_end : end;
    }
    return end;
}

bool exec_text_number(struct exec_text *text, double *out)
{
    char copy[NUMBER_BYTES];
    const size_t end = number_end(text);
    if (end == 0 || end >= sizeof copy || (end < text->size && is_word(text->at[end]))) {
        return false;
    }
    memcpy(copy, text->at, end);
    copy[end] = 0;
    *out = strtod(copy, NULL);
    return skip(text, end);
}

static struct exec_fact *add(struct exec_facts *facts, enum exec_fact_kind kind)
{
    if (facts->count == EXEC_FACTS_MAX) {
        facts->dropped++;
        return NULL;
    }
    struct exec_fact *fact = &facts->at[facts->count++];
    *fact = (struct exec_fact){.kind = kind};
    return fact;
}

void exec_facts_metric(struct exec_facts *facts, const char *name, size_t name_size, double value,
                       const struct exec_place *place)
{
    if (!isfinite(value)) {
        facts->not_finite++;
        return;
    }
    if (name_size == 0 || name_size >= EXEC_NAME_BYTES) {
        facts->dropped++;
        return;
    }
    struct exec_fact *fact = add(facts, EXEC_FACT_METRIC);
    if (fact != NULL) {
        memcpy(fact->name, name, name_size);
        fact->name[name_size] = 0;
        fact->value = value;
        fact->stepped = place->known;
        fact->step = place->known ? place->epoch : 0;
    }
}

void exec_facts_prediction(struct exec_facts *facts, double value)
{
    if (!isfinite(value)) {
        facts->not_finite++;
        return;
    }
    struct exec_fact *fact = add(facts, EXEC_FACT_PREDICTION);
    if (fact != NULL) {
        fact->value = value;
    }
}

void exec_facts_progress(struct exec_facts *facts, double done, double total)
{
    if (!isfinite(done) || !isfinite(total) || done < 0 || total <= 0 || done > total) {
        return;
    }
    struct exec_fact *fact = add(facts, EXEC_FACT_PROGRESS);
    if (fact != NULL) {
        fact->value = done;
        fact->total = total;
    }
}

void exec_facts_checkpoint(struct exec_facts *facts, const char *path)
{
    const size_t size = strlen(path);
    if (size == 0 || size >= sizeof facts->checkpoint) {
        facts->dropped++;
        return;
    }
    if (facts->checkpoint[0] != 0 || add(facts, EXEC_FACT_CHECKPOINT) != NULL) {
        memcpy(facts->checkpoint, path, size + 1);
    }
}

void exec_facts_ready(struct exec_facts *facts)
{
    (void)add(facts, EXEC_FACT_READY); /* what did not fit is counted */
}
