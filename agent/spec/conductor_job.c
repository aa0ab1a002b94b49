/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/conductor.h"

#include "spec/json.h"
#include "spec/tree.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- words ---- */

struct scan {
    const char *at;
    char *out;
    size_t used;
    bool quoted;
};

static void put(struct scan *s, char c)
{
    s->out[s->used++] = c;
}

/* Backslashes, and a quote behind them: two are one there, an odd one makes the quote text. */
static void take_backslashes(struct scan *s)
{
    size_t count = strspn(s->at, "\\");
    s->at += count;
    bool before_quote = *s->at == '"';
    for (size_t i = 0; i < (before_quote ? count / 2 : count); i++) {
        put(s, '\\');
    }
    if (before_quote && count % 2 == 1) {
        put(s, '"');
        s->at++;
    }
}

static void take_quote(struct scan *s)
{
    if (s->quoted && s->at[1] == '"') {
        put(s, '"');
        s->at++;
    } else {
        s->quoted = !s->quoted;
    }
    s->at++;
}

size_t spec_conductor_words(const char *arguments, char *out, size_t size)
{
    static const char BLANKS[] = " \t\r\n";
    SH_CHECK_CMP(size, >,
                 strlen(arguments)); /* a word has a blank, a quote or the end for its NUL */
    size_t words = 0;
    struct scan s = {.at = arguments, .out = out};
    for (s.at += strspn(s.at, BLANKS); *s.at != '\0'; s.at += strspn(s.at, BLANKS)) {
        s.quoted = false;
        while (*s.at != '\0' && (s.quoted || strchr(BLANKS, *s.at) == NULL)) {
            if (*s.at == '\\') {
                take_backslashes(&s);
            } else if (*s.at == '"') {
                take_quote(&s);
            } else {
                put(&s, *s.at);
                s.at++;
            }
        }
        put(&s, '\0');
        words++;
    }
    return words;
}

/* ---- the job file ---- */

/* As JSON, which YAML reads as what it is. */
static void print_text(FILE *out, const char *text)
{
    json_t *value = json_string(text);
    char *quoted = value != NULL ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    (void)fputs(quoted != NULL ? quoted : "", out);
    free(quoted);
    json_decref(value);
}

static void print_commands(FILE *out, const char *key,
                           const struct spec_conductor_command *commands, uint32_t count)
{
    char words[SPEC_CONDUCTOR_TEXT_MAX + 1];
    if (count == 0) {
        return;
    }
    (void)fprintf(out, "%s:\n", key);
    for (uint32_t i = 0; i < count; i++) {
        size_t n = spec_conductor_words(commands[i].arguments, words, sizeof words);
        const char *word = words;
        if (commands[i].parameters[0] != '\0') {
            (void)fputs("  # ", out);
            print_text(out, commands[i].parameters); /* one line, whatever is in it */
            (void)fputs("\n", out);
        }
        (void)fputs("  - [", out);
        print_text(out, commands[i].file);
        for (size_t k = 0; k < n; k++) {
            (void)fputs(", ", out);
            print_text(out, word);
            word += strlen(word) + 1;
        }
        (void)fputs("]\n", out);
    }
}

/* A name of a job; false where nothing is left of it. */
static bool make_name(const char *wanted, char name[static SH_NAME_MAX + 1])
{
    size_t used = 0;
    for (size_t i = 0; wanted[i] != '\0' && used < SH_NAME_MAX; i++) {
        unsigned char c = (unsigned char)wanted[i];
        bool plain = c < 0x80 && isalnum(c) != 0;
        if (!plain && used == 0) {
            continue;
        }
        name[used++] = plain || c == '.' || c == '_' ? (char)c : '-';
    }
    while (used > 0 && name[used - 1] == '-') {
        used--;
    }
    name[used] = '\0';
    return used > 0;
}

static void print_job(FILE *out, const struct spec_conductor *c, const char *name)
{
    (void)fputs("# Made of a version.xml of Conductor. ", out);
    (void)fputs(c->dataset == SPEC_CONDUCTOR_CARGO2000 ? "DatasetType was Cargo2000.\n"
                                                       : "DatasetType was Generic.\n",
                out);
    (void)fputs("api: shoal/v1\nkind: exec\nname: ", out);
    print_text(out, name);
    (void)fprintf(out, "\npackage: .\nreplicas: %u\n", c->target_models);
    print_commands(out, "run", c->training, c->training_count);
    print_commands(out, "predict", c->prediction, c->prediction_count);
    (void)fputs(
        "# What Conductor did by itself:\n"
        "timeout: 84h\n"
        "metrics: {extract: [keras, conductor]}\n"
        "abort: [\"loss: nan - val_loss: nan\", \"utility[.]exceptions[.]ConductorError\"]\n",
        out);
}

enum sh_err spec_conductor_print(const struct spec_conductor *conductor, const char *folder,
                                 char **text, struct spec_errors *errors)
{
    char name[SH_NAME_MAX + 1];
    size_t size = 0;
    bool named = folder != NULL && folder[0] != '\0';
    *errors = (struct spec_errors){.count = 0};
    if (!make_name(named ? folder : conductor->name, name)) {
        spec_note(errors, (struct spec_place){0}, "Version.Name", named ? folder : conductor->name,
                  "must have a letter or digit to make a job's name of, such as rnn-1");
        return SH_ERR_INVALID;
    }
    FILE *out = open_memstream(text, &size);
    if (out == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    print_job(out, conductor, name);
    bool whole = ferror(out) == 0;
    if (fclose(out) != 0 || !whole) {
        free(*text);
        *text = NULL;
        return SH_ERR_NO_MEMORY;
    }
    return SH_OK;
}
