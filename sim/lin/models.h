/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to sim/lin: the machines, and how their calls are written. */
#ifndef LIN_MODELS_H
#define LIN_MODELS_H

#include "lin/history.h"
#include "lin/words.h"

struct lin_word { /* borrowed from the text; not terminated */
    const char *at;
    size_t size;
};

struct lin_call { /* a line behind its key: VERB ARGUMENT... [= ANSWER...] */
    struct lin_word verb;
    const struct lin_word *args;
    uint32_t arg_count;
    const struct lin_word *answer;
    uint32_t answer_count;
    bool open; /* there is no answer */
};

struct lin_access { /* part of a transaction */
    uint8_t reg;
    uint8_t value;
    bool write;
    bool any; /* read without an answer */
};

struct lin_world { /* ctx of every model */
    struct lin_words words;
    struct lin_word *keys; /* by number of the key */
    uint32_t key_count;
    uint32_t key_capacity;
    struct sim_ledger key_numbers; /* text -> number + 1 */
    struct sim_ledger registers;   /* likewise, names of registers */
    uint32_t register_count;
    struct sim_ledger values; /* likewise, values of registers */
    uint32_t value_count;
    struct lin_access *accesses;
    uint32_t access_count;
    uint32_t access_capacity;
};

struct lin_model {
    const char *name;
    const char *first; /* an init word that holds before any other; NULL: state 0 */
    /* Fills verb, arg and reads of op; NULL, or what is wrong. */
    const char *(*take)(struct lin_world *world, const struct lin_call *call, struct lin_op *op);
    /* Changes the first state by one word of an init line; NULL, or what is wrong. */
    const char *(*begin)(struct lin_world *world, struct lin_word word, uint64_t *init);
    lin_step *step;
};

extern const struct lin_model LIN_MODELS[];
extern const uint32_t LIN_MODEL_COUNT;

bool lin_word_is(struct lin_word word, const char *text);
bool lin_word_number(struct lin_word word, uint64_t *out); /* decimal */

#endif
