/* SPDX-License-Identifier: Apache-2.0 */
#include "lin/models.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char LIN_HISTORY_HELP[] =
    "A history is text, one call a line; '#' begins a comment.\n"
    "\n"
    "  history 1                    first of all: the version of this format\n"
    "  model NAME                   register, registers, mutex, text or job\n"
    "  init WORD...                 first state: of register a VALUE (else nil), of registers\n"
    "                               NAME=VALUE...\n"
    "  CALL DONE CLIENT KEY VERB ARGUMENT... [= ANSWER]\n"
    "\n"
    "CALL and DONE are when the call began and when its answer came: numbers, any unit, one "
    "clock.\n"
    "DONE is '-' for a call whose outcome is unknown; it has no answer. A call that is known not "
    "to\n"
    "have happened is left out. CLIENT is for the reader. Calls with different KEYs are judged\n"
    "apart. Words are separated by spaces and mean their bytes.\n"
    "\n"
    "  register    read = VALUE     write VALUE     cas OLD NEW = yes|no\n"
    "  registers   txn NAME=VALUE|NAME?VALUE...     writes and reads in one; at most 8 names\n"
    "  mutex       acquire          release\n"
    "  text        get = 'TEXT      put 'TEXT       append 'TEXT      first of all empty\n"
    "  job         submit = JOB     read JOB = absent|PROGRESS        KEY is the idempotency key;\n"
    "              progress never goes back\n";

struct decoder {
    struct lin_history *history;
    struct lin_world *world;
    const struct lin_model *model;
    char *error;
    uint32_t line;
    uint32_t capacity;
    bool versioned;
    uint32_t word_count;
    struct lin_word words[LIN_WORDS_MAX];
};

static enum sh_err wrong(struct decoder *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum sh_err wrong(struct decoder *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int used = snprintf(d->error, LIN_ERROR_MAX + 1, "line %" PRIu32 ": ", d->line);
    SH_CHECK(used > 0);
    (void)vsnprintf(d->error + used, (size_t)((int)LIN_ERROR_MAX + 1 - used), format, args);
    va_end(args);
    return SH_ERR_INVALID;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* False: more words than a line may have. */
static bool split(struct decoder *d, const char *at, size_t size)
{
    d->word_count = 0;
    size_t i = 0;
    for (;;) {
        while (i < size && is_space(at[i])) {
            i++;
        }
        if (i == size || at[i] == '#') {
            return true;
        }
        size_t first = i;
        while (i < size && !is_space(at[i])) {
            i++;
        }
        if (d->word_count == LIN_WORDS_MAX) {
            return false;
        }
        d->words[d->word_count++] = (struct lin_word){.at = at + first, .size = i - first};
    }
}

/* ---- lines ---- */

static enum sh_err take_version(struct decoder *d)
{
    uint64_t version = 0;
    if (d->word_count != 2 || !lin_word_is(d->words[0], "history") ||
        !lin_word_number(d->words[1], &version)) {
        return wrong(d, "a history begins with: history 1");
    }
    if (version != 1) {
        return wrong(d, "version %" PRIu64 " of the format is not known", version);
    }
    d->versioned = true;
    return SH_OK;
}

static enum sh_err take_init(struct decoder *d, const struct lin_word *words, uint32_t count)
{
    if (d->history->count > 0) {
        return wrong(d, "the first state comes before the first call");
    }
    for (uint32_t i = 0; i < count; i++) {
        const char *why = d->model->begin(d->world, words[i], &d->history->init);
        if (why != NULL) {
            return wrong(d, "%s", why);
        }
    }
    return SH_OK;
}

static enum sh_err take_model(struct decoder *d)
{
    if (d->model != NULL || d->word_count != 2) {
        return wrong(d, "there is one line: model NAME");
    }
    for (uint32_t i = 0; i < LIN_MODEL_COUNT; i++) {
        if (lin_word_is(d->words[1], LIN_MODELS[i].name)) {
            d->model = &LIN_MODELS[i];
        }
    }
    if (d->model == NULL) {
        return wrong(d, "models are: register, registers, mutex, text, job");
    }
    d->history->model = d->model->name;
    d->history->step = d->model->step;
    if (d->model->first != NULL) {
        struct lin_word first = {.at = d->model->first, .size = strlen(d->model->first)};
        return take_init(d, &first, 1);
    }
    return SH_OK;
}

static uint32_t key_of(struct lin_world *w, struct lin_word word)
{
    uint64_t text = lin_words_add(&w->words, LIN_EMPTY, word.at, word.size);
    uint64_t *number = sim_ledger_at(&w->key_numbers, text + 1);
    if (*number == 0) {
        if (w->key_count == w->key_capacity) {
            w->key_capacity = w->key_capacity == 0 ? 16 : 2 * w->key_capacity;
            w->keys = realloc(w->keys, w->key_capacity * sizeof *w->keys);
            SH_CHECK(w->keys != NULL);
        }
        w->keys[w->key_count++] = word;
        *number = w->key_count;
    }
    return (uint32_t)*number - 1;
}

static struct lin_op *place_op(struct decoder *d)
{
    struct lin_history *h = d->history;
    if (h->count == d->capacity) {
        d->capacity = d->capacity == 0 ? 256 : 2 * d->capacity;
        h->ops = realloc(h->ops, d->capacity * sizeof *h->ops);
        SH_CHECK(h->ops != NULL);
    }
    h->ops[h->count] = (struct lin_op){.line = d->line};
    return &h->ops[h->count];
}

static enum sh_err take_times(struct decoder *d, struct lin_op *op)
{
    if (!lin_word_number(d->words[0], &op->call)) {
        return wrong(d, "a call is: CALL DONE CLIENT KEY VERB ARGUMENT... [= ANSWER]");
    }
    if (lin_word_is(d->words[1], "-")) {
        op->done = LIN_NEVER;
        return SH_OK;
    }
    if (!lin_word_number(d->words[1], &op->done) || op->done < op->call) {
        return wrong(d, "DONE is a number not below CALL, or '-'");
    }
    return SH_OK;
}

static enum sh_err take_call(struct decoder *d)
{
    enum { FRONT = 5 };
    if (d->model == NULL) {
        return wrong(d, "the model comes before the first call");
    }
    if (d->history->count == LIN_OPS_MAX) {
        (void)wrong(d, "more than %u calls", LIN_OPS_MAX);
        return SH_ERR_LIMIT;
    }
    struct lin_op *op = place_op(d);
    if (d->word_count < FRONT) {
        return wrong(d, "a call is: CALL DONE CLIENT KEY VERB ARGUMENT... [= ANSWER]");
    }
    enum sh_err err = take_times(d, op);
    if (err != SH_OK) {
        return err;
    }
    uint32_t end = FRONT;
    while (end < d->word_count && !lin_word_is(d->words[end], "=")) {
        end++;
    }
    struct lin_call call = {.verb = d->words[FRONT - 1],
                            .args = &d->words[FRONT],
                            .arg_count = end - FRONT,
                            .open = op->done == LIN_NEVER};
    if (end < d->word_count) {
        call.answer = &d->words[end] + 1;
        call.answer_count = d->word_count - end - 1;
    }
    op->key = key_of(d->world, d->words[3]);
    const char *why = d->model->take(d->world, &call, op);
    if (why != NULL) {
        return wrong(d, "%s", why);
    }
    d->history->count++;
    return SH_OK;
}

static enum sh_err take_line(struct decoder *d, const char *at, size_t size)
{
    if (!split(d, at, size)) {
        (void)wrong(d, "more than %u words", LIN_WORDS_MAX);
        return SH_ERR_LIMIT;
    }
    if (d->word_count == 0) {
        return SH_OK;
    }
    if (!d->versioned) {
        return take_version(d);
    }
    if (lin_word_is(d->words[0], "model")) {
        return take_model(d);
    }
    if (lin_word_is(d->words[0], "init") && d->model != NULL) {
        d->history->init = 0;
        return take_init(d, &d->words[1], d->word_count - 1);
    }
    return take_call(d);
}

/* ---- whole ---- */

static struct lin_world *open_world(void)
{
    struct lin_world *w = calloc(1, sizeof *w);
    SH_CHECK(w != NULL);
    lin_words_init(&w->words);
    sim_ledger_init(&w->key_numbers);
    sim_ledger_init(&w->registers);
    sim_ledger_init(&w->values);
    return w;
}

enum sh_err lin_history_decode(struct lin_history *history, const char *bytes, size_t size,
                               char error[static LIN_ERROR_MAX + 1])
{
    *history = (struct lin_history){.ctx = open_world()};
    struct decoder d = {.history = history, .world = history->ctx, .error = error};
    enum sh_err err = SH_OK;
    error[0] = '\0';
    if (size > LIN_BYTES_MAX) {
        (void)wrong(&d, "more than %u bytes", LIN_BYTES_MAX);
        err = SH_ERR_LIMIT;
    }
    for (size_t first = 0; err == SH_OK && first < size;) {
        const char *newline = memchr(bytes + first, '\n', size - first);
        size_t end = newline == NULL ? size : (size_t)(newline - bytes);
        d.line++;
        err = take_line(&d, bytes + first, end - first);
        first = end + 1;
    }
    if (err == SH_OK && d.model == NULL) {
        err = wrong(&d, "the history ends before it names a model");
    }
    if (err != SH_OK) {
        lin_history_free(history);
    }
    return err;
}

void lin_history_free(struct lin_history *history)
{
    struct lin_world *w = history->ctx;
    if (w != NULL) {
        lin_words_fini(&w->words);
        sim_ledger_fini(&w->key_numbers);
        sim_ledger_fini(&w->registers);
        sim_ledger_fini(&w->values);
        free(w->keys);
        free(w->accesses);
        free(w);
    }
    free(history->ops);
    *history = (struct lin_history){0};
}

const char *lin_history_key(const struct lin_history *history, uint32_t key, size_t *size)
{
    const struct lin_world *w = history->ctx;
    SH_CHECK_CMP(key, <, w->key_count);
    *size = w->keys[key].size;
    return w->keys[key].at;
}
