/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/exec_words.h"

#include <stdio.h>
#include <string.h>

const char *spec_word(const struct spec_exec *exec, struct spec_words words, uint32_t i)
{
    SH_CHECK_CMP(i, <, words.count);
    const char *at = exec->text + words.at;
    for (; i > 0; i--) {
        at += strlen(at) + 1;
    }
    return at;
}

bool spec_words_add(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                    struct spec_words *words, const char *text)
{
    size_t size = strlen(text) + 1;
    if (words->count == SPEC_WORDS_MAX) {
        spec_decode_wrong(d, node, "there may be at most %u words", SPEC_WORDS_MAX);
        return false;
    }
    if (size > SPEC_TEXT_MAX - exec->text_used) {
        spec_decode_wrong(d, node, "commands, names and patterns may have %u bytes together",
                          SPEC_TEXT_MAX);
        return false;
    }
    if (words->count == 0) {
        words->at = exec->text_used;
    }
    memcpy(exec->text + exec->text_used, text, size);
    exec->text_used += (uint32_t)size;
    words->count++;
    return true;
}

static bool take_word(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                      struct spec_words *words, uint32_t max)
{
    size_t size = node->kind == SPEC_NODE_SCALAR ? strlen(node->text) : 0;
    if (size == 0 || size > SPEC_PATH_MAX) {
        spec_decode_wrong(d, node, "must be text of 1 to %u bytes", SPEC_PATH_MAX);
        return false;
    }
    if (words->count >= max) {
        spec_decode_wrong(d, node, "there may be at most %u", max);
        return false;
    }
    return spec_words_add(d, node, exec, words, node->text);
}

void spec_take_words(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                     struct spec_words *words, uint32_t max)
{
    *words = (struct spec_words){0};
    if (node->kind == SPEC_NODE_MAP) {
        spec_decode_wrong(d, node, "must be a list of texts");
        return;
    }
    if (node->kind == SPEC_NODE_SCALAR) {
        (void)take_word(d, node, exec, words, max);
        return;
    }
    bool good = true;
    uint32_t i = 0;
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL && good;
         n = spec_tree_next(d->tree, n)) {
        size_t mark = spec_decode_enter(d, NULL, i++);
        good = take_word(d, n, exec, words, max);
        spec_decode_leave(d, mark);
    }
}

static bool take_command(struct spec_decode *d, const struct spec_node *node,
                         struct spec_exec *exec, struct spec_words *words)
{
    *words = (struct spec_words){0};
    if (node->kind == SPEC_NODE_SCALAR && node->text[0] != '\0') {
        return spec_words_add(d, node, exec, words, "/bin/sh") &&
               spec_words_add(d, node, exec, words, "-c") &&
               spec_words_add(d, node, exec, words, node->text);
    }
    if (node->kind != SPEC_NODE_LIST || node->count == 0) {
        spec_decode_wrong(d, node,
                          "must be a command: a list of words such as [python3, "
                          "train.py], or one text for the shell");
        return false;
    }
    uint32_t i = 0;
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        size_t mark = spec_decode_enter(d, NULL, i++);
        bool good = n->kind == SPEC_NODE_SCALAR && (i > 1 || n->text[0] != '\0');
        if (!good) {
            spec_decode_wrong(d, n, "must be text");
        }
        good = good && spec_words_add(d, n, exec, words, n->text);
        spec_decode_leave(d, mark);
        if (!good) {
            return false;
        }
    }
    return true;
}

void spec_take_commands(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                        struct spec_words *commands, uint32_t *count)
{
    *count = 0;
    if (node->kind != SPEC_NODE_LIST) {
        spec_decode_wrong(d, node, "must be a list of commands, such as [[python3, train.py]]");
        return;
    }
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        size_t mark = spec_decode_enter(d, NULL, *count);
        bool good = *count < SPEC_COMMANDS_MAX;
        if (!good) {
            spec_decode_wrong(d, n, "there may be at most %u commands", SPEC_COMMANDS_MAX);
        }
        good = good && take_command(d, n, exec, &commands[*count]);
        spec_decode_leave(d, mark);
        if (!good) {
            return;
        }
        (*count)++;
    }
}

static bool take_pair(struct spec_decode *d, const struct spec_node *n, struct spec_exec *exec,
                      struct spec_words *words, bool (*good)(const char *name), const char *right)
{
    char pair[SPEC_PATH_MAX + SPEC_PATH_MAX + 2];
    if (!good(n->key)) {
        spec_note(d->errors, n->key_at, d->path, n->key, "%s", right);
        return false;
    }
    if (n->kind != SPEC_NODE_SCALAR || strlen(n->text) > SPEC_PATH_MAX ||
        strlen(n->key) > SPEC_PATH_MAX) {
        spec_decode_wrong(d, n, "must be text of at most %u bytes", SPEC_PATH_MAX);
        return false;
    }
    (void)snprintf(pair, sizeof pair, "%s=%s", n->key, n->text);
    return spec_words_add(d, n, exec, words, pair);
}

/* The member with the least name behind `after` (NULL: of all), or NULL. */
static const struct spec_node *next_by_name(const struct spec_tree *tree,
                                            const struct spec_node *map, const char *after)
{
    const struct spec_node *best = NULL;
    for (const struct spec_node *n = spec_tree_first(tree, map); n != NULL;
         n = spec_tree_next(tree, n)) {
        bool behind = after == NULL || strcmp(n->key, after) > 0;
        if (behind && (best == NULL || strcmp(n->key, best->key) < 0)) {
            best = n;
        }
    }
    return best;
}

void spec_take_pairs(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                     struct spec_words *words, uint32_t max, bool (*good)(const char *name),
                     const char *right)
{
    *words = (struct spec_words){0};
    if (node->kind != SPEC_NODE_MAP) {
        spec_decode_wrong(d, node, "must be a map of names and texts");
        return;
    }
    if (node->count > max) {
        spec_decode_wrong(d, node, "there may be at most %u", max);
        return;
    }
    bool fine = true;
    const struct spec_node *n = next_by_name(d->tree, node, NULL);
    while (n != NULL && fine) {
        size_t mark = spec_decode_enter(d, n->key, 0);
        fine = take_pair(d, n, exec, words, good, right);
        spec_decode_leave(d, mark);
        n = next_by_name(d->tree, node, n->key);
    }
}
