/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/dataset_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BYTES = 256,
    CODES = 0x110000, /* of Unicode */
    NAME_BYTES = 12,
    DELETE = 0x7F,
    CONTROLS_END = 0xA0 /* C1 controls and the space that does not break lie below */
};

struct reading {
    const uint8_t *bytes;
    size_t size;
    const char *name;
    struct kn_diag *diag;
    int32_t *token_of; /* [codes]: of each code, -1: none */
    uint32_t codes;    /* that there are: all of Unicode, or of a byte */
    uint32_t *code_of; /* of each token */
    uint32_t tokens;
};

/* The code at *at, which moves on; false: no UTF-8 (RFC 3629). */
static bool next_code(const struct reading *r, size_t *at, uint32_t *code)
{
    static const uint32_t LEAST[] = {0, 0x80, 0x800, 0x10000};
    const uint8_t lead = r->bytes[*at];
    const uint32_t more = lead < 0x80 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || r->size - *at <= more) {
        return false;
    }
    uint32_t value = more == 0 ? lead : lead & (0x3Fu >> more);
    for (uint32_t i = 1; i <= more; i++) {
        const uint8_t byte = r->bytes[*at + i];
        if ((byte & 0xC0u) != 0x80u) {
            return false;
        }
        value = value << 6 | (byte & 0x3Fu);
    }
    if (value < LEAST[more] || value >= CODES || (value >= 0xD800 && value < 0xE000)) {
        return false;
    }
    *code = value;
    *at += more + 1;
    return true;
}

/* UTF-8 of a code, its bytes. */
static void put_code(char out[NAME_BYTES], uint32_t code)
{
    const uint32_t more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint32_t LEAD[] = {0, 0xC0, 0xE0, 0xF0};
    for (uint32_t i = 0; i <= more; i++) {
        const uint32_t bits = code >> (6 * (more - i));
        out[i] = (char)(uint8_t)(i == 0 ? LEAD[more] | bits : 0x80u | (bits & 0x3Fu));
    }
    out[more + 1] = '\0';
}

/* How a token is called. */
static void name_of(char out[NAME_BYTES], uint32_t code, enum kn_tokens tokens)
{
    const bool plain = code >= ' ' && code < DELETE;
    if (!plain && tokens == KN_TOKENS_BYTES) {
        (void)snprintf(out, NAME_BYTES, "0x%02x", code & 0xFFu);
    } else if (!plain && code <= CONTROLS_END) {
        (void)snprintf(out, NAME_BYTES, "U+%04X", code);
    } else {
        put_code(out, code);
    }
}

static enum kn_err token_add(struct reading *r, uint32_t code)
{
    if (r->tokens == KN_CLASSES_MAX) {
        return kn_fail(r->diag, KN_ERR_LIMIT, "%s: more than %d different characters",
                       kn_path_tail(r->name), KN_CLASSES_MAX);
    }
    r->token_of[code] = (int32_t)r->tokens;
    r->code_of[r->tokens++] = code;
    return KN_OK;
}

/* What a class of the model stands for; CORRUPT: it is no name that name_of gives. */
static enum kn_err class_take(struct reading *r, const char *class, enum kn_tokens tokens)
{
    const struct reading one = {.bytes = (const uint8_t *)class, .size = strlen(class)};
    unsigned value = 0;
    uint32_t code = CODES;
    size_t at = 0;
    char name[NAME_BYTES];
    if (sscanf(class, tokens == KN_TOKENS_BYTES ? "0x%2x" : "U+%6x", &value) == 1) {
        code = value;
    } else if (one.size > 0 && !next_code(&one, &at, &code)) {
        code = CODES;
    }
    if (code < r->codes) {
        name_of(name, code, tokens);
    }
    if (code >= r->codes || strcmp(name, class) != 0 || r->token_of[code] >= 0) {
        struct kn_quote quote = kn_quote_make(class, strlen(class));
        return kn_fail(r->diag, KN_ERR_CORRUPT, "%s: class %u, \"%s\", is no %s of its own",
                       kn_path_tail(r->name), r->tokens, quote.text,
                       tokens == KN_TOKENS_BYTES ? "byte" : "character");
    }
    return token_add(r, code);
}

static enum kn_err no_text(const struct reading *r, size_t at)
{
    return kn_fail(r->diag, KN_ERR_CORRUPT,
                   "%s: byte %zu, 0x%02x, is no UTF-8; tokens: bytes takes any file",
                   kn_path_tail(r->name), at, r->bytes[at]);
}

/* Every character that occurs, by rising code. */
static enum kn_err characters_find(struct reading *r)
{
    uint32_t most = 0;
    for (size_t at = 0; at < r->size;) {
        uint32_t code = 0;
        if (!next_code(r, &at, &code)) {
            return no_text(r, at);
        }
        r->token_of[code] = 0;
        most = code > most ? code : most;
    }
    enum kn_err err = KN_OK;
    for (uint32_t code = 0; code <= most && err == KN_OK; code++) {
        err = r->token_of[code] == 0 ? token_add(r, code) : KN_OK;
    }
    return err;
}

static enum kn_err tokens_find(struct reading *r, const struct kn_open *options)
{
    enum kn_err err = KN_OK;
    memset(r->token_of, 0xFF, r->codes * sizeof *r->token_of); /* -1 */
    if (options->classes != NULL) {
        for (uint32_t i = 0; i < options->class_count && err == KN_OK; i++) {
            err = class_take(r, options->classes[i], options->text->tokens);
        }
        return err;
    }
    if (options->text->tokens == KN_TOKENS_CHARACTERS) {
        return characters_find(r);
    }
    for (uint32_t code = 0; code < r->codes; code++) {
        err = err == KN_OK ? token_add(r, code) : err;
    }
    return err;
}

/* The text as tokens, *count of them; out has room for one a byte. */
static enum kn_err tokens_read(const struct reading *r, enum kn_tokens tokens, int32_t *out,
                               size_t *count)
{
    *count = 0;
    for (size_t at = 0; at < r->size;) {
        const size_t place = at;
        uint32_t code = r->bytes[at];
        if (tokens == KN_TOKENS_BYTES) {
            at++;
        } else if (!next_code(r, &at, &code)) {
            return no_text(r, place);
        }
        if (r->token_of[code] < 0) {
            char name[NAME_BYTES];
            name_of(name, code, tokens);
            return kn_fail(r->diag, KN_ERR_CORRUPT,
                           "%s: byte %zu: \"%s\" is none of the %u characters that the model knows",
                           kn_path_tail(r->name), place, name, r->tokens);
        }
        out[(*count)++] = r->token_of[code];
    }
    return KN_OK;
}

/* One sample of the end of the text; token has room for a window more. */
static void tail_keep(struct kn_dataset *set, int32_t *token, size_t count, uint32_t context)
{
    const size_t kept = count < context ? count : context;
    memmove(token, token + (count - kept), kept * sizeof *token);
    memset(token + kept, 0, (context + 1 - kept) * sizeof *token);
    set->count = 1;
    set->given = (uint32_t)kept;
}

static enum kn_err windows_make(struct kn_dataset *set, const struct reading *r,
                                const struct kn_open *options, size_t count)
{
    const uint32_t context = options->text->context;
    set->shape[0] = context;
    set->shape[1] = 1;
    set->shape[2] = 1;
    set->features = context;
    set->places = context;
    set->kind = KN_SAMPLE_TOKEN;
    set->scale = 1.0f;
    set->mean = calloc(context, sizeof *set->mean);
    set->deviation = calloc(context, sizeof *set->deviation);
    if (set->mean == NULL || set->deviation == NULL) {
        return kn_fail(r->diag, KN_ERR_MEMORY, "%s: no memory for a window of %u tokens",
                       kn_path_tail(r->name), context);
    }
    for (uint32_t i = 0; i < context; i++) {
        set->deviation[i] = 1.0f;
    }
    if (options->unlabelled && count > 0) {
        tail_keep(set, set->label, count, context);
        return KN_OK;
    }
    if (count <= context || count > KN_DATA_SAMPLES_MAX) {
        return kn_fail(r->diag, count > context ? KN_ERR_LIMIT : KN_ERR_CORRUPT,
                       "%s: %zu tokens; at least %u are due, a window and one, and at most %u",
                       kn_path_tail(r->name), count, options->unlabelled ? 1 : context + 1,
                       KN_DATA_SAMPLES_MAX);
    }
    set->count = (uint32_t)((count - 1) / context);
    return KN_OK;
}

static enum kn_err decode(struct kn_dataset *set, struct reading *r, const struct kn_open *options)
{
    const uint32_t shape[3] = {options->text->context, 1, 1};
    enum kn_err err = kn_dataset_shape_verify(shape, options, r->name, r->diag);
    err = err == KN_OK ? tokens_find(r, options) : err;
    size_t count = 0;
    if (err == KN_OK) {
        set->label = malloc((r->size + options->text->context + 1) * sizeof *set->label);
        err = set->label != NULL ? tokens_read(r, options->text->tokens, set->label, &count)
                                 : kn_fail(r->diag, KN_ERR_MEMORY, "%s: no memory for %zu tokens",
                                           kn_path_tail(r->name), r->size);
    }
    err = err == KN_OK ? windows_make(set, r, options, count) : err;
    for (uint32_t i = 0; err == KN_OK && i < r->tokens; i++) {
        char name[NAME_BYTES];
        name_of(name, r->code_of[i], options->text->tokens);
        err = kn_dataset_class_add(set, name, r->diag);
    }
    return err;
}

enum kn_err kn_text_decode(struct kn_dataset *set, const uint8_t *bytes, size_t size,
                           const char *name, const struct kn_open *options, struct kn_diag *diag)
{
    struct reading r = {.bytes = bytes,
                        .size = size,
                        .name = name,
                        .diag = diag,
                        .codes = options->text->tokens == KN_TOKENS_BYTES ? BYTES : CODES,
                        .code_of = malloc(KN_CLASSES_MAX * sizeof(uint32_t))};
    KN_CHECK(options->text->context >= 1 && options->text->context <= KN_CONTEXT_MAX);
    r.token_of = malloc(r.codes * sizeof *r.token_of);
    *set = (struct kn_dataset){0};
    enum kn_err err = r.token_of != NULL && r.code_of != NULL
                          ? decode(set, &r, options)
                          : kn_fail(diag, KN_ERR_MEMORY, "%s: no memory for a table of characters",
                                    kn_path_tail(name));
    free(r.token_of);
    free(r.code_of);
    if (err != KN_OK) {
        kn_dataset_close(set);
    }
    return err;
}
