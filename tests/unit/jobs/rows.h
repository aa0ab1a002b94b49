/* SPDX-License-Identifier: Apache-2.0
 *
 * A table of the jobs core in plain memory: a sorted array of rows. What it lends is overwritten at
 * the next call, so code that keeps a borrowed span too long fails its tests. */
#ifndef TEST_JOBS_ROWS_H
#define TEST_JOBS_ROWS_H

#include "base/table.h"

struct rows_row {
    uint8_t *bytes; /* key, then value */
    uint32_t key_size;
    uint32_t value_size;
};

struct rows {
    struct rows_row *at;
    size_t count;
    size_t capacity;
    uint8_t *lent;
    size_t lent_size;
    struct sh_table table;
};

void rows_init(struct rows *rows);
void rows_free(struct rows *rows);
void rows_copy(struct rows *to, const struct rows *from); /* to is initialised here */
bool rows_equal(const struct rows *a, const struct rows *b);

#endif
