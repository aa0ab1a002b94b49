/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/spec: the lists of words of an exec section, in its one store of text. */
#ifndef SPEC_EXEC_WORDS_H
#define SPEC_EXEC_WORDS_H

#include "spec/decode.h"

/* Appends a word to the newest list; false with an error noted at the node where it does not fit.
 * A list that got a word is the newest until another one gets its first. */
bool spec_words_add(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                    struct spec_words *words, const char *text);

/* A list of texts, each of 1 to SPEC_PATH_MAX bytes, or one text. */
void spec_take_words(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                     struct spec_words *words, uint32_t max);
/* A list of commands, each a list of words or one text for the shell. */
void spec_take_commands(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                        struct spec_words *commands, uint32_t *count);
/* A map NAME: TEXT, as "NAME=TEXT", sorted by name. good judges the name; right says what would
 * be right. */
void spec_take_pairs(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                     struct spec_words *words, uint32_t max, bool (*good)(const char *name),
                     const char *right);

#endif
