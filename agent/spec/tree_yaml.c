/* SPDX-License-Identifier: Apache-2.0
 *
 * YAML by libyaml's events. Anchors, aliases, tags and second documents are refused: a job file
 * needs none of them, and an alias can make a small text huge. libyaml's scanner is quadratic in
 * the nesting of flow collections, so the builder's depth bound is what keeps a hostile text cheap.
 */
#include "spec/tree.h"

#include <yaml.h>

static struct spec_place place_of(yaml_mark_t mark)
{
    return (struct spec_place){.line = (uint32_t)mark.line + 1,
                               .column = (uint32_t)mark.column + 1};
}

static bool refuse(struct spec_builder *b, const yaml_event_t *event, const char *what)
{
    spec_note(b->errors, place_of(event->start_mark), "", NULL, "%s are not used in job files",
              what);
    return false;
}

static bool take_scalar(struct spec_builder *b, const yaml_event_t *event)
{
    if (event->data.scalar.anchor != NULL) {
        return refuse(b, event, "anchors");
    }
    if (event->data.scalar.tag != NULL) {
        return refuse(b, event, "tags");
    }
    return spec_build_scalar(b, (const char *)event->data.scalar.value, event->data.scalar.length,
                             event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE,
                             place_of(event->start_mark));
}

static bool take_open(struct spec_builder *b, const yaml_event_t *event, enum spec_node_kind kind,
                      const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor != NULL) {
        return refuse(b, event, "anchors");
    }
    if (tag != NULL) {
        return refuse(b, event, "tags");
    }
    return spec_build_open(b, kind, place_of(event->start_mark));
}

static bool take(struct spec_builder *b, const yaml_event_t *event, unsigned *documents)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(b, event);
    case YAML_MAPPING_START_EVENT:
        return take_open(b, event, SPEC_NODE_MAP, event->data.mapping_start.anchor,
                         event->data.mapping_start.tag);
    case YAML_SEQUENCE_START_EVENT:
        return take_open(b, event, SPEC_NODE_LIST, event->data.sequence_start.anchor,
                         event->data.sequence_start.tag);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        spec_build_close(b);
        return true;
    case YAML_ALIAS_EVENT:
        return refuse(b, event, "aliases");
    case YAML_DOCUMENT_START_EVENT:
        return ++*documents == 1 || refuse(b, event, "further documents");
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return true;
    }
    return true;
}

static struct spec_place place_at(const char *text, size_t offset)
{
    struct spec_place at = {.line = 1, .column = 1};
    for (size_t i = 0; i < offset; i++) {
        at.line += text[i] == '\n' ? 1 : 0;
        at.column = text[i] == '\n' ? 1 : at.column + 1;
    }
    return at;
}

static void note_syntax(struct spec_builder *b, const yaml_parser_t *parser, const char *text,
                        size_t size)
{
    const char *problem = parser->problem != NULL ? parser->problem : "no reason given";
    if (parser->error == YAML_READER_ERROR) {
        /* The reader knows an offset only, and fails on bytes that are not UTF-8 text. */
        size_t offset = parser->problem_offset < size ? parser->problem_offset : size;
        spec_note(b->errors, place_at(text, offset), "", NULL, "not UTF-8 text: %s", problem);
    } else {
        spec_note(b->errors, place_of(parser->problem_mark), "", NULL, "not YAML: %s", problem);
    }
}

bool spec_read_yaml(const char *text, size_t size, struct spec_builder *b)
{
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) {
        spec_note(b->errors, (struct spec_place){0}, "", NULL, "out of memory");
        return false;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    unsigned documents = 0;
    bool good = true;
    bool end = false;
    while (good && !end) {
        yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) == 0) {
            note_syntax(b, &parser, text, size);
            good = false;
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        good = take(b, &event, &documents);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return good;
}
