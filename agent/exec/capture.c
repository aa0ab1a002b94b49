/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/capture.h"

#include "exec/facts.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct exec_capture {
    const struct exec_pattern *patterns;
    regex_t compiled[EXEC_PATTERNS_MAX]; /* those that are not literal */
    size_t count;
    unsigned presets;
    struct exec_place place;
};

enum sh_err exec_preset_parse(const char *name, unsigned *out)
{
    static const struct {
        const char *name;
        unsigned preset;
    } NAMES[] = {{"keras", EXEC_PRESET_KERAS},
                 {"sofe4790u", EXEC_PRESET_SOFE},
                 {"mlagents", EXEC_PRESET_MLAGENTS},
                 {"conductor", EXEC_PRESET_CONDUCTOR},
                 {"all", EXEC_PRESET_ALL}};
    for (size_t i = 0; i < SH_COUNT(NAMES); i++) {
        if (strcmp(name, NAMES[i].name) == 0) {
            *out = NAMES[i].preset;
            return SH_OK;
        }
    }
    return SH_ERR_INVALID;
}

/* Largest bound of "{m,n}" behind the brace; 1 where it is no interval. */
static unsigned long interval(const char *at)
{
    char *end;
    if (*at < '0' || *at > '9') {
        return 1;
    }
    const unsigned long low = strtoul(at, &end, 10);
    const unsigned long high = *end == ',' ? strtoul(end + 1, NULL, 10) : low;
    const unsigned long most = high > low ? high : low;
    return most > 0 ? most : 1;
}

/* Repetitions are written out by the compiler, nested ones multiplied: a few characters would ask
 * for gigabytes. Back-references, which glibc takes for an extension, cost exponential time. */
static enum sh_err harmless(const char *text)
{
    unsigned long repeats = 1;
    bool bracket = false;
    for (size_t i = 0; text[i] != 0; i++) {
        if (text[i] == '\\' && text[i + 1] != 0) {
            i++;
            if (!bracket && text[i] >= '1' && text[i] <= '9') {
                return SH_ERR_INVALID;
            }
        } else if (text[i] == '[') {
            bracket = true;
        } else if (text[i] == ']') {
            bracket = false;
        } else if (text[i] == '{') {
            const unsigned long bound = interval(text + i + 1);
            if (bound > EXEC_REPEATS_MAX || repeats * bound > EXEC_REPEATS_MAX) {
                return SH_ERR_LIMIT;
            }
            repeats *= bound;
        }
    }
    return SH_OK;
}

static enum sh_err compile(const struct exec_pattern *pattern, regex_t *out, char *why, size_t size)
{
    char told[128];
    const char *name = pattern->name;
    if (pattern->kind == EXEC_PATTERN_METRIC &&
        (name == NULL || name[0] == 0 || strlen(name) >= EXEC_NAME_BYTES)) {
        (void)snprintf(why, size, "the pattern \"%.80s\" needs a name of at most %u bytes",
                       pattern->text, EXEC_NAME_BYTES - 1);
        return SH_ERR_INVALID;
    }
    if (pattern->text[0] == 0 || strlen(pattern->text) > EXEC_PATTERN_BYTES_MAX) {
        (void)snprintf(why, size, "a pattern has 1 to %u bytes", EXEC_PATTERN_BYTES_MAX);
        return SH_ERR_LIMIT;
    }
    if (pattern->literal) {
        return SH_OK;
    }
    const enum sh_err err = harmless(pattern->text);
    if (err != SH_OK) {
        (void)snprintf(why, size, "the pattern \"%.80s\" has %s", pattern->text,
                       err == SH_ERR_LIMIT ? "too many repetitions" : "a back-reference");
        return err;
    }
    const int rc = regcomp(out, pattern->text, REG_EXTENDED);
    if (rc != 0) {
        (void)regerror(rc, out, told, sizeof told);
        (void)snprintf(why, size, "the pattern \"%.80s\" is not well-formed: %s", pattern->text,
                       told);
        return rc == REG_ESPACE ? SH_ERR_NO_MEMORY : SH_ERR_INVALID;
    }
    return SH_OK;
}

enum sh_err exec_capture_open(struct exec_capture **out, const struct exec_pattern *patterns,
                              size_t count, unsigned presets, char *why, size_t size)
{
    if (count > EXEC_PATTERNS_MAX) {
        (void)snprintf(why, size, "%zu patterns, at most %u", count, EXEC_PATTERNS_MAX);
        return SH_ERR_LIMIT;
    }
    struct exec_capture *capture = calloc(1, sizeof *capture);
    if (capture == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    capture->patterns = patterns;
    capture->presets = presets;
    for (size_t i = 0; i < count; i++) {
        const enum sh_err err = compile(&patterns[i], &capture->compiled[i], why, size);
        if (err != SH_OK) {
            exec_capture_close(capture);
            return err;
        }
        capture->count = i + 1;
    }
    *out = capture;
    return SH_OK;
}

void exec_capture_close(struct exec_capture *capture)
{
    if (capture == NULL) {
        return;
    }
    for (size_t i = 0; i < capture->count; i++) {
        if (!capture->patterns[i].literal) {
            regfree(&capture->compiled[i]);
        }
    }
    free(capture);
}

/* Whether it is there, and its first group, else all of it. */
static bool matches(const struct exec_capture *capture, size_t index, struct exec_text line,
                    struct exec_text *found)
{
    const struct exec_pattern *pattern = &capture->patterns[index];
    if (pattern->literal) {
        return exec_text_find(&line, pattern->text);
    }
    const size_t size = line.size < EXEC_MATCH_BYTES_MAX ? line.size : EXEC_MATCH_BYTES_MAX;
    regmatch_t groups[2] = {{.rm_so = 0, .rm_eo = (regoff_t)size}, {.rm_so = -1, .rm_eo = -1}};
    if (regexec(&capture->compiled[index], line.at, SH_COUNT(groups), groups, REG_STARTEND) != 0) {
        return false;
    }
    const regmatch_t *group = groups[1].rm_so >= 0 ? &groups[1] : &groups[0];
    SH_CHECK(group->rm_so >= 0);
    SH_CHECK_CMP(group->rm_eo, <=, size);
    *found = (struct exec_text){.at = line.at + group->rm_so,
                                .size = (size_t)(group->rm_eo - group->rm_so)};
    return true;
}

static void match_all(const struct exec_capture *capture, struct exec_text line, bool redraw,
                      struct exec_facts *out)
{
    for (size_t i = 0; i < capture->count; i++) {
        const struct exec_pattern *pattern = &capture->patterns[i];
        struct exec_text found = {0};
        double value;
        if ((redraw && pattern->kind != EXEC_PATTERN_ABORT) || !matches(capture, i, line, &found)) {
            continue;
        }
        if (pattern->kind == EXEC_PATTERN_ABORT) {
            out->aborted = out->aborted != NULL ? out->aborted : pattern->text;
        } else if (exec_text_number(&found, &value)) {
            if (pattern->kind == EXEC_PATTERN_PREDICTION) {
                exec_facts_prediction(out, value);
            } else {
                exec_facts_metric(out, pattern->name, strlen(pattern->name), value,
                                  &capture->place);
            }
        }
    }
}

void exec_capture_line(struct exec_capture *capture, enum exec_channel channel, unsigned flags,
                       const char *text, size_t size, struct exec_facts *out)
{
    struct exec_text line = {.at = text, .size = size};
    const bool redraw = (flags & EXEC_LINE_REDRAW) != 0;
    out->count = 0;
    out->checkpoint[0] = 0;
    out->dropped = 0;
    out->not_finite = 0;
    out->malformed = false;
    out->aborted = NULL;
    if (channel == EXEC_METRICS) {
        if (size > 0) {
            exec_record_read(line, out);
        }
        return;
    }
    struct exec_text record = line;
    if (channel == EXEC_STDOUT && exec_text_take(&record, "SHOAL ")) {
        exec_record_read(record, out);
        return;
    }
    exec_programs_read(line, capture->presets, redraw, &capture->place, out);
    match_all(capture, line, redraw, out);
}
