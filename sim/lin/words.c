/* SPDX-License-Identifier: Apache-2.0 */
#include "lin/words.h"

void lin_words_init(struct lin_words *words)
{
    sim_ledger_init(&words->nodes);
    words->count = 0;
}

void lin_words_fini(struct lin_words *words)
{
    sim_ledger_fini(&words->nodes);
}

uint64_t lin_words_add(struct lin_words *words, uint64_t from, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint64_t *to = sim_ledger_at(&words->nodes, (from << 8 | (uint8_t)bytes[i]) + 1);
        if (*to == 0) {
            *to = ++words->count;
        }
        from = *to;
    }
    return from;
}
