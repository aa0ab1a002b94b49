/* SPDX-License-Identifier: Apache-2.0
 *
 * The one home of expat. */
#include "spec/conductor.h"

#include "spec/tree.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 4u /* Version, list, command, text; the status is skipped at any depth */

enum element {
    OUTSIDE,
    VERSION,
    CREATED,
    UPDATED,
    NAME,
    DATASET,
    STATUS,
    TRAINING,
    PREDICTION,
    TARGET,
    COMMAND,
    FILE_NAME,
    ARGUMENTS,
    PARAMETERS,
};

/* What may stand where. The first name of an element is the one that errors tell. */
static const struct known {
    enum element within;
    enum element element;
    const char *name;
} KNOWN[] = {
    {OUTSIDE, VERSION, "Version"},           {VERSION, CREATED, "Created"},
    {VERSION, UPDATED, "LastUpdated"},       {VERSION, NAME, "Name"},
    {VERSION, DATASET, "DatasetType"},       {VERSION, STATUS, "Status"},
    {VERSION, STATUS, "VersionStatus"}, /* as the project's own example has it */
    {VERSION, TRAINING, "TrainingCommands"}, {VERSION, PREDICTION, "PredictionCommands"},
    {VERSION, TARGET, "TargetModels"},       {TRAINING, COMMAND, "VersionCommand"},
    {TRAINING, COMMAND, "Command"},          {PREDICTION, COMMAND, "VersionCommand"},
    {PREDICTION, COMMAND, "Command"},        {COMMAND, FILE_NAME, "FileName"},
    {COMMAND, ARGUMENTS, "Arguments"},       {COMMAND, PARAMETERS, "Parameters"},
};

struct level {
    enum element element;
    struct spec_place at;
    uint32_t seen; /* a bit for each element inside that may come once */
    size_t path;   /* length of path before it */
};

struct reading {
    XML_Parser parser;
    struct spec_conductor *conductor;
    struct spec_errors *errors;
    struct level levels[DEPTH_MAX + 1]; /* [0]: outside */
    uint32_t depth;
    uint32_t skipped; /* open elements inside of what is skipped */
    char path[128];   /* "Version.TrainingCommands.VersionCommand[0]" */
    char text[SPEC_CONDUCTOR_TEXT_MAX + 1];
    size_t text_size;
    bool stopped;
};

static struct spec_place place(const struct reading *r)
{
    return (struct spec_place){.line = (uint32_t)XML_GetCurrentLineNumber(r->parser),
                               .column = (uint32_t)XML_GetCurrentColumnNumber(r->parser) + 1};
}

static bool holds_text(enum element e)
{
    return e == CREATED || e == UPDATED || e == NAME || e == DATASET || e == TARGET ||
           e == FILE_NAME || e == ARGUMENTS || e == PARAMETERS;
}

/* ---- start ---- */

/* Tells what would be right inside the element that is open. */
static void refuse_element(struct reading *r, const char *name)
{
    char names[160] = "";
    size_t used = 0;
    enum element within = r->levels[r->depth].element;
    for (size_t i = 0; i < SH_COUNT(KNOWN); i++) {
        bool again = i > 0 && KNOWN[i - 1].element == KNOWN[i].element;
        if (KNOWN[i].within == within && !again) {
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                     used > 0 ? ", " : "", KNOWN[i].name);
            SH_CHECK_CMP(used, <, sizeof names);
        }
    }
    spec_note(r->errors, place(r), r->path, name, "no such element; %s%s",
              used > 0 ? "there are: " : "only text stands here", names);
}

static const struct known *find(enum element within, const char *name)
{
    for (size_t i = 0; i < SH_COUNT(KNOWN); i++) {
        if (KNOWN[i].within == within && strcmp(KNOWN[i].name, name) == 0) {
            return &KNOWN[i];
        }
    }
    return NULL;
}

static struct spec_conductor_command *command_of(struct reading *r, enum element list,
                                                 uint32_t **count)
{
    struct spec_conductor *c = r->conductor;
    *count = list == TRAINING ? &c->training_count : &c->prediction_count;
    return list == TRAINING ? c->training : c->prediction;
}

/* Opens the element; its path is told in every error about it. */
static void open_element(struct reading *r, const struct known *known, const char *name)
{
    size_t length = strlen(r->path);
    char number[16] = "";
    if (known->element == COMMAND) {
        uint32_t *count = NULL;
        (void)command_of(r, r->levels[r->depth].element, &count);
        (void)snprintf(number, sizeof number, "[%u]", *count);
    }
    int n = snprintf(r->path + length, sizeof r->path - length, "%s%s%s", length > 0 ? "." : "",
                     name, number);
    SH_CHECK_CMP((size_t)n, <, sizeof r->path - length); /* four known names */
    r->depth++;
    r->levels[r->depth] = (struct level){.element = known->element, .at = place(r), .path = length};
    r->text_size = 0;
}

static void begin_command(struct reading *r)
{
    uint32_t *count = NULL;
    struct spec_conductor_command *list = command_of(r, r->levels[r->depth - 1].element, &count);
    if (*count == SPEC_CONDUCTOR_COMMANDS_MAX) {
        spec_note(r->errors, r->levels[r->depth].at, r->path, NULL,
                  "there may be at most %u commands", SPEC_CONDUCTOR_COMMANDS_MAX);
        *count -= 1; /* the last one is overwritten; the file is refused */
    }
    list[*count] = (struct spec_conductor_command){.file = ""};
    *count += 1;
}

static void check_attributes(struct reading *r, const char **attributes)
{
    for (size_t i = 0; attributes[i] != NULL; i += 2) {
        bool schema =
            strncmp(attributes[i], "xmlns", 5) == 0 || strncmp(attributes[i], "xsi:", 4) == 0;
        if (!schema) {
            spec_note(
                r->errors, place(r), r->path, attributes[i],
                "no such attribute; values are elements, such as <FileName>python3</FileName>");
        }
    }
}

static void on_start(void *context, const char *name, const char **attributes)
{
    struct reading *r = context;
    struct level *within = &r->levels[r->depth];
    if (r->skipped > 0 || within->element == STATUS) {
        r->skipped++;
        return;
    }
    const struct known *known = find(within->element, name);
    if (known == NULL) {
        refuse_element(r, name);
        r->skipped++;
        return;
    }
    open_element(r, known, name);
    check_attributes(r, attributes);
    if (known->element == COMMAND) {
        begin_command(r);
        return;
    }
    uint32_t bit = UINT32_C(1) << known->element;
    if ((within->seen & bit) != 0) {
        spec_note(r->errors, place(r), r->path, NULL, "is there twice; keep one");
    }
    within->seen |= bit;
}

static void on_text(void *context, const char *text, int size)
{
    struct reading *r = context;
    enum element element = r->levels[r->depth].element;
    if (r->skipped > 0 || element == STATUS) {
        return;
    }
    size_t length = (size_t)size;
    if (!holds_text(element)) {
        for (size_t i = 0; i < length; i++) {
            if (strchr(" \t\r\n", text[i]) == NULL) {
                char value[64];
                (void)snprintf(value, sizeof value, "%.*s", size > 60 ? 60 : size, text);
                spec_note(r->errors, place(r), r->path, value,
                          "elements only, no text, stand here");
                return;
            }
        }
        return;
    }
    if (r->text_size + length > SPEC_CONDUCTOR_TEXT_MAX) {
        if (r->text_size <= SPEC_CONDUCTOR_TEXT_MAX) {
            spec_note(r->errors, r->levels[r->depth].at, r->path, NULL, "must be at most %u bytes",
                      SPEC_CONDUCTOR_TEXT_MAX);
        }
        r->text_size = SPEC_CONDUCTOR_TEXT_MAX + 1; /* told once */
        return;
    }
    memcpy(r->text + r->text_size, text, length);
    r->text_size += length;
}

/* ---- end ---- */

static void take_number(struct reading *r, struct spec_place at, const char *text)
{
    uint64_t value = 0;
    size_t digits = strspn(text, "0123456789");
    for (size_t i = 0; i < digits && value <= SPEC_UNITS_MAX; i++) {
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    if (digits == 0 || text[digits] != '\0' || value == 0 || value > SPEC_UNITS_MAX) {
        spec_note(r->errors, at, r->path, text, "must be a whole number of models, 1 to %u",
                  SPEC_UNITS_MAX);
        return;
    }
    r->conductor->target_models = (uint32_t)value;
}

static void take_dataset(struct reading *r, struct spec_place at, const char *text)
{
    if (strcmp(text, "Generic") == 0) {
        r->conductor->dataset = SPEC_CONDUCTOR_GENERIC;
    } else if (strcmp(text, "Cargo2000") == 0) {
        r->conductor->dataset = SPEC_CONDUCTOR_CARGO2000;
    } else {
        spec_note(r->errors, at, r->path, text, "must be Generic or Cargo2000");
    }
}

/* The text collected, without blanks around it. */
static const char *trimmed(struct reading *r)
{
    if (r->text_size > SPEC_CONDUCTOR_TEXT_MAX) {
        r->text_size = 0; /* was told */
    }
    while (r->text_size > 0 && strchr(" \t\r\n", r->text[r->text_size - 1]) != NULL) {
        r->text_size--;
    }
    r->text[r->text_size] = '\0';
    return r->text + strspn(r->text, " \t\r\n");
}

static void take_text(struct reading *r, enum element element, struct spec_place at)
{
    const char *text = trimmed(r);
    struct spec_conductor *c = r->conductor;
    if (element == NAME) {
        (void)snprintf(c->name, sizeof c->name, "%s", text);
    } else if (element == DATASET) {
        take_dataset(r, at, text);
    } else if (element == TARGET) {
        take_number(r, at, text);
    } else if (element == FILE_NAME || element == ARGUMENTS || element == PARAMETERS) {
        uint32_t *count = NULL;
        struct spec_conductor_command *list =
            command_of(r, r->levels[r->depth - 2].element, &count);
        struct spec_conductor_command *command = &list[*count - 1];
        char *out = element == FILE_NAME   ? command->file
                    : element == ARGUMENTS ? command->arguments
                                           : command->parameters;
        (void)snprintf(out, SPEC_CONDUCTOR_TEXT_MAX + 1, "%s", text);
    } /* Created and LastUpdated say nothing about the work */
}

static void check_one_line(struct reading *r, struct spec_place at, const char *field,
                           const char *text)
{
    char path[160];
    for (size_t i = 0; text[i] != '\0'; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            (void)snprintf(path, sizeof path, "%s.%s", r->path, field);
            spec_note(r->errors, at, path, text,
                      "a word has a line break or control character; put such a text into a file");
            return;
        }
    }
}

static void end_command(struct reading *r, struct spec_place at)
{
    uint32_t *count = NULL;
    struct spec_conductor_command *list = command_of(r, r->levels[r->depth - 1].element, &count);
    const struct spec_conductor_command *command = &list[*count - 1];
    if (command->file[0] == '\0') {
        spec_note(r->errors, at, r->path, NULL,
                  "FileName is missing; it names the program, such as python3 or /bin/bash");
    }
    check_one_line(r, at, "FileName", command->file);
    char words[SPEC_CONDUCTOR_TEXT_MAX + 1];
    size_t n = spec_conductor_words(command->arguments, words, sizeof words);
    const char *word = words;
    for (size_t i = 0; i < n; i++) {
        check_one_line(r, at, "Arguments", word);
        word += strlen(word) + 1;
    }
}

static void end_version(struct reading *r, struct spec_place at)
{
    uint32_t seen = r->levels[r->depth].seen;
    if (r->conductor->training_count == 0) {
        spec_note(r->errors, at, "Version.TrainingCommands", NULL,
                  "is missing or empty; at least one VersionCommand trains a model");
    }
    if ((seen & UINT32_C(1) << TARGET) == 0) {
        spec_note(r->errors, at, "Version.TargetModels", NULL,
                  "is missing; it says how many models to train, 1 to %u", SPEC_UNITS_MAX);
    }
}

static void on_end(void *context, const char *name)
{
    (void)name; /* expat has matched it */
    struct reading *r = context;
    if (r->skipped > 0) {
        r->skipped--;
        return;
    }
    SH_CHECK_CMP(r->depth, >, 0);
    struct level level = r->levels[r->depth];
    if (holds_text(level.element)) {
        take_text(r, level.element, level.at);
    } else if (level.element == COMMAND) {
        end_command(r, level.at);
    } else if (level.element == VERSION) {
        end_version(r, level.at);
    }
    r->depth--;
    r->path[level.path] = '\0';
    r->text_size = 0;
}

/* ---- the document ---- */

static void on_doctype(void *context, const char *name, const char *system, const char *public,
                       int internal)
{
    (void)system;
    (void)public;
    (void)internal;
    struct reading *r = context;
    spec_note(r->errors, place(r), "", name, "a document type is refused; delete the line");
    r->stopped = true;
    (void)XML_StopParser(r->parser, XML_FALSE); /* fails only where it has stopped already */
}

enum sh_err spec_conductor_read(const char *text, size_t size, struct spec_conductor *conductor,
                                struct spec_errors *errors)
{
    *errors = (struct spec_errors){.count = 0};
    *conductor = (struct spec_conductor){.dataset = SPEC_CONDUCTOR_GENERIC};
    if (size > SH_SPEC_BYTES_MAX) {
        spec_note(errors, (struct spec_place){0}, "", NULL, "must be at most %u bytes",
                  SH_SPEC_BYTES_MAX);
        return SH_ERR_LIMIT;
    }
    struct reading *r = calloc(1, sizeof *r);
    XML_Parser parser = r != NULL ? XML_ParserCreate(NULL) : NULL;
    if (parser == NULL) {
        free(r);
        return SH_ERR_NO_MEMORY;
    }
    r->parser = parser;
    r->conductor = conductor;
    r->errors = errors;
    XML_SetUserData(parser, r);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    XML_SetStartDoctypeDeclHandler(parser, on_doctype);
    bool parsed = XML_Parse(parser, text, (int)size, XML_TRUE) == XML_STATUS_OK;
    if (!parsed && !r->stopped) {
        spec_note(errors, place(r), r->path, NULL, "not well-formed XML: %s",
                  XML_ErrorString(XML_GetErrorCode(parser)));
    }
    XML_ParserFree(parser);
    free(r);
    return errors->count == 0 ? SH_OK : SH_ERR_INVALID;
}
