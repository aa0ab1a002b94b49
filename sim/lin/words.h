/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to sim/lin: texts as numbers. A text is a path in a tree of bytes and its number that of
 * the last node: equal texts have equal numbers, however they came to be, and appending is walking
 * on. */
#ifndef LIN_WORDS_H
#define LIN_WORDS_H

#include "sim/ledger.h"

#include <stddef.h>

#define LIN_EMPTY 0u /* number of the empty text */

struct lin_words {
    struct sim_ledger nodes; /* (node, byte) -> node */
    uint64_t count;
};

void lin_words_init(struct lin_words *words);
void lin_words_fini(struct lin_words *words);
/* The text of node `from` with these bytes behind it. O(size). */
uint64_t lin_words_add(struct lin_words *words, uint64_t from, const char *bytes, size_t size);

#endif
