/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns of a job file, and what they may cost: one rule for those who take job files and for
 * those who run them. */
#ifndef EXEC_PATTERN_H
#define EXEC_PATTERN_H

#include "base/ere.h"

#define EXEC_PATTERNS_MAX      64u /* of one capture */
#define EXEC_PATTERN_BYTES_MAX 512u
#define EXEC_STEPS_MAX         2048u /* of all patterns of a capture: cost of a byte of a line */
#define EXEC_NAME_BYTES        64u   /* of a metric, with its NUL */

enum exec_pattern_kind {
    EXEC_PATTERN_METRIC,     /* the first group, else the whole match, is a number */
    EXEC_PATTERN_PREDICTION, /* likewise */
    EXEC_PATTERN_ABORT
};

struct exec_pattern { /* borrowed until exec_capture_close */
    enum exec_pattern_kind kind;
    bool literal;     /* ABORT: these very characters, anywhere in the line */
    const char *text; /* else a POSIX extended regular expression, of bytes (base/ere.h) */
    const char *name; /* METRIC */
};

/* *steps: of the patterns that look at the same lines; it grows by what this one costs. INVALID,
 * LIMIT: why (size bytes) goes on a sentence that begins with the pattern. */
SH_MUST_USE enum sh_err exec_pattern_compile(const struct exec_pattern *pattern, struct sh_ere *out,
                                             uint32_t *steps, char *why, size_t size);

#endif
