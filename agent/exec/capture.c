/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/capture.h"

#include "exec/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct exec_capture {
    const struct exec_pattern *patterns;
    unsigned presets;
    struct exec_place place;
    size_t count;
    struct sh_ere compiled[]; /* count; none of those that are literal */
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

enum sh_err exec_capture_open(struct exec_capture **out, const struct exec_pattern *patterns,
                              size_t count, unsigned presets, char *why, size_t size)
{
    if (count > EXEC_PATTERNS_MAX) {
        (void)snprintf(why, size, "%zu patterns, at most %u", count, EXEC_PATTERNS_MAX);
        return SH_ERR_LIMIT;
    }
    struct exec_capture *capture = calloc(1, sizeof *capture + count * sizeof(struct sh_ere));
    if (capture == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    capture->patterns = patterns;
    capture->presets = presets;
    capture->count = count;
    uint32_t steps = 0;
    for (size_t i = 0; i < count; i++) {
        char told[EXEC_TEXT_BYTES];
        const enum sh_err err =
            exec_pattern_compile(&patterns[i], &capture->compiled[i], &steps, told, sizeof told);
        if (err != SH_OK) {
            (void)snprintf(why, size, "the pattern \"%.80s\" %s", patterns[i].text, told);
            free(capture);
            return err;
        }
    }
    *out = capture;
    return SH_OK;
}

void exec_capture_close(struct exec_capture *capture)
{
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
    struct sh_ere_found at;
    if (!sh_ere_search(&capture->compiled[index], line.at, size, &at)) {
        return false;
    }
    const size_t begin = at.grouped ? at.group_begin : at.begin;
    *found = (struct exec_text){.at = line.at + begin,
                                .size = (at.grouped ? at.group_end : at.end) - begin};
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
