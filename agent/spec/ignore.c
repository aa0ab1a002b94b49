/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/ignore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum sh_err refuse(enum sh_err err, size_t line, const char *what, char *why,
                          size_t why_size)
{
    (void)snprintf(why, why_size, SPEC_IGNORE_FILE ":%zu: %s", line, what);
    return err;
}

/* One line that is neither blank nor a remark. */
static enum sh_err add_rule(struct spec_ignore *ignore, const char *text, size_t size,
                            const char **what)
{
    struct spec_ignore_rule *rule = &ignore->rules[ignore->count];
    *rule = (struct spec_ignore_rule){.back = text[0] == '!'};
    text += rule->back ? 1 : 0;
    size -= rule->back ? 1 : 0;
    if (size > 0 && text[size - 1] == '/') {
        rule->folders = true;
        size--;
    }
    rule->anywhere = memchr(text, '/', size) == NULL;
    bool rooted = size > 0 && text[0] == '/';
    enum sh_err err =
        spec_glob_compile(&rule->glob, text + (rooted ? 1 : 0), size - (rooted ? 1 : 0), what);
    if (err == SH_OK) {
        ignore->count++;
    }
    return err;
}

enum sh_err spec_ignore_open(struct spec_ignore *ignore, const char *text, size_t size, char *why,
                             size_t why_size)
{
    *ignore = (struct spec_ignore){.rules = NULL};
    if (size > SPEC_IGNORE_BYTES_MAX) {
        return refuse(SH_ERR_LIMIT, 1, "the file is larger than 64 KiB", why, why_size);
    }
    ignore->rules = calloc(SPEC_IGNORE_MAX, sizeof ignore->rules[0]);
    if (ignore->rules == NULL) {
        return refuse(SH_ERR_NO_MEMORY, 1, "out of memory", why, why_size);
    }
    size_t line = 0;
    for (size_t next, at = 0; at < size; at = next) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end != NULL ? (size_t)(end - text) - at : size - at;
        next = at + length + 1;
        line++;
        while (length > 0 && (text[at + length - 1] == ' ' || text[at + length - 1] == '\r')) {
            length--;
        }
        if (length == 0 || text[at] == '#') {
            continue;
        }
        if (ignore->count == SPEC_IGNORE_MAX) {
            return refuse(SH_ERR_LIMIT, line, "more than 256 patterns", why, why_size);
        }
        const char *what = NULL;
        enum sh_err err = add_rule(ignore, text + at, length, &what);
        if (err != SH_OK) {
            return refuse(err, line, what, why, why_size);
        }
    }
    return SH_OK;
}

void spec_ignore_close(struct spec_ignore *ignore)
{
    free(ignore->rules);
    *ignore = (struct spec_ignore){.rules = NULL};
}

/* The first size bytes of path as they stand, whatever they lie in. */
static bool drops_itself(const struct spec_ignore *ignore, const char *path, size_t size,
                         bool folder)
{
    static const char *const ROOTS[] = {"models", "evaluation"};
    bool dropped = false;
    for (size_t i = 0; i < SH_COUNT(ROOTS); i++) {
        dropped |= folder && size == strlen(ROOTS[i]) && memcmp(path, ROOTS[i], size) == 0;
    }
    size_t name = size;
    while (name > 0 && path[name - 1] != '/') {
        name--;
    }
    for (size_t i = 0; i < ignore->count; i++) {
        const struct spec_ignore_rule *rule = &ignore->rules[i];
        size_t from = rule->anywhere ? name : 0;
        if ((folder || !rule->folders) && spec_glob_match(&rule->glob, path + from, size - from)) {
            dropped = !rule->back;
        }
    }
    return dropped;
}

bool spec_ignore_drops(const struct spec_ignore *ignore, const char *path, bool folder)
{
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        if (drops_itself(ignore, path, (size_t)(slash - path), true)) {
            return true;
        }
    }
    return drops_itself(ignore, path, strlen(path), folder);
}
