/* SPDX-License-Identifier: Apache-2.0 */
#include "datadriven.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory)
{
    if (memory == NULL) {
        perror("datadriven");
        exit(2);
    }
    return memory;
}

void dd_printf(struct dd_text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (need < 0) {
        exit(2);
    }
    if (text->used + (size_t)need + 1 > text->size) {
        text->size = 2 * text->size + (size_t)need + 1;
        text->at = must(realloc(text->at, text->size));
    }
    va_start(args, format);
    (void)vsnprintf(text->at + text->used, (size_t)need + 1, format, args);
    va_end(args);
    text->used += (size_t)need;
}

void dd_free(struct dd_text *text)
{
    free(text->at);
    *text = (struct dd_text){0};
}

const struct dd_arg *dd_arg(const struct dd_case *c, const char *key)
{
    for (uint32_t i = 0; i < c->arg_count; i++) {
        if (strcmp(c->args[i].key, key) == 0) {
            return &c->args[i];
        }
    }
    return NULL;
}

const char *dd_value(const struct dd_case *c, const char *key, const char *otherwise)
{
    const struct dd_arg *arg = dd_arg(c, key);
    return arg != NULL && arg->count > 0 ? arg->values[0] : otherwise;
}

uint64_t dd_number(const char *text)
{
    char *end = NULL;
    unsigned long long number = strtoull(text, &end, 10);
    if (end == text || *end != '\0') {
        (void)fprintf(stderr, "datadriven: \"%s\" is no number\n", text);
        exit(2);
    }
    return number;
}

/* Cuts the list "v1, v2)" in place; returns what follows it. */
static char *cut_values(char *at, struct dd_arg *arg)
{
    char *end = strchr(at, ')');
    if (end == NULL) {
        (void)fprintf(stderr, "datadriven: unclosed list\n");
        exit(2);
    }
    *end = '\0';
    char *rest = NULL;
    for (char *word = strtok_r(at, ", ", &rest); word != NULL; word = strtok_r(NULL, ", ", &rest)) {
        if (arg->count < DD_VALUES_MAX) {
            arg->values[arg->count] = word;
            arg->count++;
        }
    }
    return end + 1;
}

/* Cuts a directive's line in place. */
static void cut_line(char *line, struct dd_case *c)
{
    char *at = line;
    c->command = at;
    at += strcspn(at, " ");
    while (*at != '\0') {
        *at = '\0';
        at++;
        at += strspn(at, " ");
        if (*at == '\0' || c->arg_count == DD_ARGS_MAX) {
            return;
        }
        struct dd_arg *arg = &c->args[c->arg_count];
        c->arg_count++;
        arg->key = at;
        at += strcspn(at, " =");
        if (*at != '=') {
            continue;
        }
        *at = '\0';
        at++;
        if (*at == '(') {
            at = cut_values(at + 1, arg);
        } else {
            arg->values[0] = at;
            arg->count = 1;
            at += strcspn(at, " ");
        }
    }
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    struct dd_text text = {0};
    char part[4096];
    for (;;) {
        size_t n = fread(part, 1, sizeof part - 1, file);
        if (n == 0) {
            break;
        }
        part[n] = '\0';
        dd_printf(&text, "%s", part);
    }
    (void)fclose(file);
    return text.at;
}

/* The next line, without its newline; NULL at the end. */
static char *next_line(char **at)
{
    char *line = *at;
    if (line == NULL || *line == '\0') {
        return NULL;
    }
    char *end = strchr(line, '\n');
    if (end == NULL) {
        *at = NULL;
    } else {
        *end = '\0';
        *at = end + 1;
    }
    return line;
}

static void judge(const struct dd_case *c, const struct dd_text *expected, struct dd_text *out,
                  struct dd_stats *stats)
{
    dd_printf(out, "%s", "");
    if (out->used > 0 && out->at[out->used - 1] != '\n') {
        dd_printf(out, "\n");
    }
    const char *wanted = expected->at != NULL ? expected->at : "";
    if (strcmp(out->at, wanted) == 0) {
        stats->passed++;
        return;
    }
    stats->failed++;
    (void)fprintf(stderr, "%s:%u: %s\n--- expected\n%s--- got\n%s---\n", c->path, c->line,
                  c->command, wanted, out->at);
}

bool dd_run(const char *path, dd_handler *handler, void *ctx, struct dd_stats *stats)
{
    char *bytes = read_file(path);
    if (bytes == NULL) {
        return false;
    }
    char *at = bytes;
    unsigned number = 0;
    for (char *line = next_line(&at); line != NULL; line = next_line(&at)) {
        number++;
        if (line[0] == '#' || line[strspn(line, " \t")] == '\0') {
            continue;
        }
        struct dd_case c = {.path = path, .line = number};
        struct dd_text input = {0};
        struct dd_text expected = {0};
        struct dd_text out = {0};
        cut_line(line, &c);
        for (line = next_line(&at); line != NULL && strcmp(line, "----") != 0;
             line = next_line(&at)) {
            number++;
            dd_printf(&input, "%s\n", line);
        }
        number++;
        for (line = next_line(&at); line != NULL && line[0] != '\0'; line = next_line(&at)) {
            number++;
            dd_printf(&expected, "%s\n", line);
        }
        number++;
        c.input = input.at != NULL ? input.at : "";
        handler(ctx, &c, &out);
        judge(&c, &expected, &out, stats);
        dd_free(&input);
        dd_free(&expected);
        dd_free(&out);
        if (line == NULL) {
            break;
        }
    }
    free(bytes);
    return true;
}
