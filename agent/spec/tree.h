/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/spec: the text of a job file as a tree of scalars, maps and lists that remember
 * where they stood. Both notations feed the same builder, so both obey the same bounds: depth
 * SPEC_DEPTH_MAX, SPEC_NODES_MAX nodes, no duplicate keys, no
 * control characters in text. */
#ifndef SPEC_TREE_H
#define SPEC_TREE_H

#include "spec/spec.h"

enum spec_node_kind { SPEC_NODE_SCALAR, SPEC_NODE_MAP, SPEC_NODE_LIST };

struct spec_place {
    uint32_t line; /* 1-based */
    uint32_t column;
};

struct spec_node {
    enum spec_node_kind kind;
    bool plain; /* a scalar without quotes: may be a number, true, false or null */
    struct spec_place at;
    const char *text;         /* scalar */
    const char *key;          /* member of a map, else NULL */
    struct spec_place key_at; /* of the key */
    uint32_t first;           /* child, 0: none */
    uint32_t next;            /* sibling, 0: none */
    uint32_t count;           /* children */
};

#define SPEC_TEXT_BYTES (SH_SPEC_BYTES_MAX + 2u * SPEC_NODES_MAX)
#define SPEC_ROOT       1u

struct spec_tree {
    uint32_t count; /* nodes used; node 0 is "none" */
    uint32_t text_used;
    struct spec_node nodes[SPEC_NODES_MAX + 1];
    char text[SPEC_TEXT_BYTES];
};

struct spec_builder {
    struct spec_tree *tree;
    struct spec_errors *errors;
    uint32_t depth; /* open maps and lists */
    uint32_t open[SPEC_DEPTH_MAX];
    uint32_t last[SPEC_DEPTH_MAX]; /* newest child of each */
    const char *key;               /* waits for its value */
    struct spec_place key_at;
};

/* Each false when a bound or a rule is broken; an error was noted then. */
bool spec_build_scalar(struct spec_builder *b, const char *text, size_t size, bool plain,
                       struct spec_place at);
bool spec_build_open(struct spec_builder *b, enum spec_node_kind kind, struct spec_place at);
void spec_build_close(struct spec_builder *b);

/* Fill an empty tree; false when errors were noted. */
bool spec_read_yaml(const char *text, size_t size, struct spec_builder *b);
bool spec_read_json(const char *text, size_t size, struct spec_builder *b);

/* The whole text as a tree, in either notation. NULL with an error noted. The caller has bounded
 * size. text may be NULL where size is 0. */
struct spec_tree *spec_tree_open(const char *text, size_t size, struct spec_errors *errors);
void spec_tree_close(struct spec_tree *tree);

/* The member of a map, or NULL. */
const struct spec_node *spec_tree_member(const struct spec_tree *tree, const struct spec_node *map,
                                         const char *key);
/* First child and next sibling, or NULL. */
const struct spec_node *spec_tree_first(const struct spec_tree *tree, const struct spec_node *node);
const struct spec_node *spec_tree_next(const struct spec_tree *tree, const struct spec_node *node);

/* Notes one error unless the list is full. value may be NULL. */
void spec_note(struct spec_errors *errors, struct spec_place at, const char *field,
               const char *value, const char *format, ...) SH_PRINTF(5, 6);

#endif
