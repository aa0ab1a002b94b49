/* SPDX-License-Identifier: Apache-2.0
 *
 * Reader of data-driven test scripts (the format of github.com/cockroachdb/datadriven): comments
 * and blank lines; a directive "command arg key=value key=(v1, v2)"; lines of input; "----"; the
 * expected output up to a blank line. Runs every directive and compares byte by byte. */
#ifndef DATADRIVEN_H
#define DATADRIVEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DD_ARGS_MAX   32u
#define DD_VALUES_MAX 32u

struct dd_text { /* grows as needed */
    char *at;
    size_t used;
    size_t size;
};
void dd_printf(struct dd_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void dd_free(struct dd_text *text);

struct dd_arg {
    const char *key;
    const char *values[DD_VALUES_MAX];
    uint32_t count; /* 0: a bare word */
};

struct dd_case {
    const char *path;
    unsigned line; /* of the directive */
    const char *command;
    struct dd_arg args[DD_ARGS_MAX];
    uint32_t arg_count;
    const char *input; /* lines before ----, each with its newline */
};

/* NULL when it is not given. */
const struct dd_arg *dd_arg(const struct dd_case *c, const char *key);
/* First value of key, or otherwise. */
const char *dd_value(const struct dd_case *c, const char *key, const char *otherwise);
uint64_t dd_number(const char *text); /* exits on anything else */

/* Writes what the directive answers. */
typedef void dd_handler(void *ctx, const struct dd_case *c, struct dd_text *out);

struct dd_stats {
    unsigned passed;
    unsigned failed;
};
/* Runs a whole file; prints each difference to stderr. False: the file cannot be read. */
bool dd_run(const char *path, dd_handler *handler, void *ctx, struct dd_stats *stats);

#endif
