/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/spec: maps of a tree into structs by tables of fields. A table names every key
 * that is allowed; each error carries the place, the path of the field, the value and what would be
 * right, and decoding goes on, so that one pass finds them all. Fields that are absent keep the
 * value the struct had: the defaults. */
#ifndef SPEC_DECODE_H
#define SPEC_DECODE_H

#include "spec/tree.h"

struct spec_decode {
    const struct spec_tree *tree;
    struct spec_errors *errors;
    char path[128]; /* of the value at hand: "model.layers[3].conv2d" */
    size_t path_length;
};

struct spec_choice {
    const char *name;
    int value;
};

enum spec_field_type {
    SPEC_FIELD_NAME,   /* char[SH_NAME_MAX + 1]: spec_is_name */
    SPEC_FIELD_TEXT,   /* char[SH_NAME_MAX + 1]: any text */
    SPEC_FIELD_U32,    /* uint32_t in [low, high] */
    SPEC_FIELD_U64,    /* uint64_t in [low, high], at most 2^53 - 1 */
    SPEC_FIELD_NUMBER, /* double in the interval */
    SPEC_FIELD_BOOL,   /* bool */
    SPEC_FIELD_CHOICE, /* an enum; choices ends with a NULL name */
    SPEC_FIELD_CUSTOM  /* take(d, node, base) */
};

struct spec_field {
    const char *key;
    enum spec_field_type type;
    size_t offset; /* in the struct that the table describes */
    double low;
    double high;
    bool low_open;
    bool high_open;
    const struct spec_choice *choices;
    void (*take)(struct spec_decode *d, const struct spec_node *node, void *base);
    bool required;
};

/* Every key of the map into base; an unknown key, a missing required one and a node that is no map
 * are errors. */
void spec_decode_map(struct spec_decode *d, const struct spec_node *map,
                     const struct spec_field *fields, size_t count, void *base);
/* One value as the field says. */
void spec_decode_field(struct spec_decode *d, const struct spec_node *node,
                       const struct spec_field *field, void *base);

/* Enter a member ("." and the key, or "[index]" where key is NULL); leave with what it returned. */
size_t spec_decode_enter(struct spec_decode *d, const char *key, uint32_t index);
void spec_decode_leave(struct spec_decode *d, size_t mark);

/* Notes an error about the node at the present path. */
void spec_decode_wrong(struct spec_decode *d, const struct spec_node *node, const char *format, ...)
    SH_PRINTF(3, 4);
/* Notes an error about a key that is not one of the names, with the nearest of them or all. */
void spec_decode_unknown(struct spec_decode *d, const struct spec_node *node,
                         const char *const *names, size_t count, const char *what);

bool spec_is_name(const char *text); /* 1..SH_NAME_MAX of [A-Za-z0-9._-], first a letter or digit */
/* A plain scalar that is a finite decimal number; rounded to 15 significant digits, so that
 * printing it with as many gives the same digits back. */
bool spec_scalar_number(const struct spec_node *node, double *out);

#endif
