/* SPDX-License-Identifier: Apache-2.0
 *
 * Labels of agents and conditions on them. Texts are compared by hash, so that a pass can try some
 * conditions on thousands of nodes; whoever shows a condition keeps its text.
 *
 * The label isa is an instruction set; those of x86-64 are numbers: base (1), v2 (also sse4.2), v3
 * (avx2), v4 (avx512). */
#ifndef SH_PLACE_LABEL_H
#define SH_PLACE_LABEL_H

#include "base/check.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLACE_LABEL_MAX      127u /* characters of a label, and of a key or value in a condition */
#define PLACE_VALUES_MAX     8u   /* values of one condition */
#define PLACE_CONDITIONS_MAX 16u  /* conditions of one job */

/* "zone=lab", or "fast" alone, whose value is "". */
struct place_label {
    uint64_t key;
    uint64_t value;
    bool numeric; /* the value is a whole number */
    int64_t number;
};

/* The kinds of conditions; of one that names several values one is enough. NE and NOT_IN hold as
 * well where the label is missing; GE and LE only where it is there and a number. */
enum place_op {
    PLACE_OP_EQ = 1,
    PLACE_OP_NE = 2,
    PLACE_OP_IN = 3,
    PLACE_OP_NOT_IN = 4,
    PLACE_OP_EXISTS = 5,
    PLACE_OP_ABSENT = 6,
    PLACE_OP_GE = 7,
    PLACE_OP_LE = 8
};

struct place_condition {
    uint64_t key;
    int64_t number; /* of GE and LE */
    uint64_t values[PLACE_VALUES_MAX];
    uint8_t value_count;
    uint8_t op;
};

/* KEY=VALUE or KEY. INVALID: a key is 1 to PLACE_LABEL_MAX of [A-Za-z0-9._/-], a value the same and
 * may be empty. */
SH_MUST_USE enum sh_err place_label_parse(const char *text, struct place_label *out);
/* KEY=V, KEY!=V, KEY>=N, KEY<=N, KEY in (V, V), KEY notin (V, V), KEY (it exists), !KEY (it does
 * not). Blanks around the parts are allowed. INVALID: anything else. */
SH_MUST_USE enum sh_err place_condition_parse(const char *text, struct place_condition *out);
bool place_condition_equal(const struct place_condition *a, const struct place_condition *b);
/* O(count). A key stands once among the labels; of several the first counts. */
bool place_condition_holds(const struct place_condition *condition,
                           const struct place_label *labels, uint32_t count);

#endif
