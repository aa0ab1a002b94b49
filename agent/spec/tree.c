/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/tree.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The last one that was closed, memory and no more: its half a megabyte is not asked for anew for
 * every small job file. */
static _Atomic(struct spec_tree *) spare;

const struct spec_node *spec_tree_first(const struct spec_tree *tree, const struct spec_node *node)
{
    return node->first == 0 ? NULL : &tree->nodes[node->first];
}

const struct spec_node *spec_tree_next(const struct spec_tree *tree, const struct spec_node *node)
{
    return node->next == 0 ? NULL : &tree->nodes[node->next];
}

const struct spec_node *spec_tree_member(const struct spec_tree *tree, const struct spec_node *map,
                                         const char *key)
{
    const struct spec_node *n = map->kind == SPEC_NODE_MAP ? spec_tree_first(tree, map) : NULL;
    while (n != NULL && strcmp(n->key, key) != 0) {
        n = spec_tree_next(tree, n);
    }
    return n;
}

static bool is_one_line(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Copies into the tree's text; NULL when it is full or the text has a control character. */
static const char *keep_text(struct spec_builder *b, const char *text, size_t size,
                             struct spec_place at)
{
    struct spec_tree *tree = b->tree;
    if (!is_one_line(text, size)) {
        spec_note(b->errors, at, "", NULL, "text must be one line without control characters");
        return NULL;
    }
    if (size >= SPEC_TEXT_BYTES - tree->text_used) {
        spec_note(b->errors, at, "", NULL, "more text than the %u bytes that are allowed",
                  SPEC_TEXT_BYTES);
        return NULL;
    }
    char *kept = tree->text + tree->text_used;
    memcpy(kept, text, size);
    kept[size] = '\0';
    tree->text_used += (uint32_t)size + 1;
    return kept;
}

static bool wants_key(const struct spec_builder *b)
{
    return b->depth > 0 && b->tree->nodes[b->open[b->depth - 1]].kind == SPEC_NODE_MAP &&
           b->key == NULL;
}

/* A new node, linked under the innermost open map or list. NULL when full. */
static struct spec_node *add(struct spec_builder *b, enum spec_node_kind kind, struct spec_place at)
{
    struct spec_tree *tree = b->tree;
    if (tree->count == SPEC_NODES_MAX) {
        spec_note(b->errors, at, "", NULL, "more than %u values", SPEC_NODES_MAX);
        return NULL;
    }
    uint32_t index = ++tree->count;
    struct spec_node *node = &tree->nodes[index];
    *node = (struct spec_node){.kind = kind, .at = at, .key = b->key, .key_at = b->key_at};
    if (b->depth > 0) {
        struct spec_node *parent = &tree->nodes[b->open[b->depth - 1]];
        uint32_t last = b->last[b->depth - 1];
        if (last == 0) {
            parent->first = index;
        } else {
            tree->nodes[last].next = index;
        }
        parent->count++;
        b->last[b->depth - 1] = index;
    }
    b->key = NULL;
    return node;
}

static bool take_key(struct spec_builder *b, const char *text, size_t size, struct spec_place at)
{
    b->key = keep_text(b, text, size, at);
    b->key_at = at;
    if (b->key == NULL) {
        return false;
    }
    const struct spec_node *map = &b->tree->nodes[b->open[b->depth - 1]];
    const struct spec_node *twin = spec_tree_member(b->tree, map, b->key);
    if (twin != NULL) {
        spec_note(b->errors, at, b->key, NULL, "the same key stands on line %u already",
                  twin->key_at.line);
        return false;
    }
    return true;
}

bool spec_build_scalar(struct spec_builder *b, const char *text, size_t size, bool plain,
                       struct spec_place at)
{
    if (wants_key(b)) {
        return take_key(b, text, size, at);
    }
    const char *kept = keep_text(b, text, size, at);
    struct spec_node *node = kept != NULL ? add(b, SPEC_NODE_SCALAR, at) : NULL;
    if (node == NULL) {
        return false;
    }
    node->text = kept;
    node->plain = plain;
    return true;
}

bool spec_build_open(struct spec_builder *b, enum spec_node_kind kind, struct spec_place at)
{
    if (wants_key(b)) {
        spec_note(b->errors, at, "", NULL, "a key must be text");
        return false;
    }
    if (b->depth == SPEC_DEPTH_MAX) {
        spec_note(b->errors, at, "", NULL, "nested deeper than %u levels", SPEC_DEPTH_MAX);
        return false;
    }
    const struct spec_node *node = add(b, kind, at);
    if (node == NULL) {
        return false;
    }
    b->open[b->depth] = (uint32_t)(node - b->tree->nodes);
    b->last[b->depth] = 0;
    b->depth++;
    return true;
}

void spec_build_close(struct spec_builder *b)
{
    SH_CHECK(b->depth > 0);
    SH_CHECK(b->key == NULL);
    b->depth--;
}

void spec_tree_close(struct spec_tree *tree)
{
    free(atomic_exchange(&spare, tree));
}

struct spec_tree *spec_tree_open(const char *text, size_t size, struct spec_errors *errors)
{
    /* Most files need a small part of it: nodes and text are filled in as they are taken. */
    struct spec_tree *tree = atomic_exchange(&spare, NULL);
    tree = tree != NULL ? tree : malloc(sizeof *tree);
    if (tree == NULL) {
        spec_note(errors, (struct spec_place){0}, "", NULL, "out of memory");
        return NULL;
    }
    tree->count = 0;
    tree->text_used = 0;
    struct spec_builder b = {.tree = tree, .errors = errors};
    text = text != NULL ? text : ""; /* no bytes, as an empty request body gives them */
    size_t first = 0;
    while (first < size && strchr(" \t\r\n", text[first]) != NULL && text[first] != '\0') {
        first++;
    }
    bool good = first < size && text[first] == '{' ? spec_read_json(text, size, &b)
                                                   : spec_read_yaml(text, size, &b);
    if (good && tree->count == 0) {
        spec_note(errors, (struct spec_place){0}, "", NULL, "the file is empty");
        good = false;
    }
    if (!good) {
        spec_tree_close(tree);
        return NULL;
    }
    return tree;
}
