/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/pattern.h"

#include <stdio.h>
#include <string.h>

enum sh_err exec_pattern_compile(const struct exec_pattern *pattern, struct sh_ere *out,
                                 uint32_t *steps, char *why, size_t size)
{
    const char *name = pattern->name;
    const char *told = NULL;
    const size_t length = strlen(pattern->text);
    out->count = 0;
    if (pattern->kind == EXEC_PATTERN_METRIC &&
        (name == NULL || name[0] == 0 || strlen(name) >= EXEC_NAME_BYTES)) {
        (void)snprintf(why, size, "needs a name of at most %u bytes", EXEC_NAME_BYTES - 1);
        return SH_ERR_INVALID;
    }
    if (length == 0 || length > EXEC_PATTERN_BYTES_MAX) {
        (void)snprintf(why, size, "must have 1 to %u bytes", EXEC_PATTERN_BYTES_MAX);
        return SH_ERR_LIMIT;
    }
    if (pattern->literal) {
        return SH_OK;
    }
    const enum sh_err err = sh_ere_compile(out, pattern->text, length, &told);
    if (err != SH_OK) {
        (void)snprintf(why, size, "%s", told);
        return err;
    }
    if (out->count > EXEC_STEPS_MAX - *steps) {
        (void)snprintf(why, size,
                       "is too much: all patterns of a job together may have %u characters, where "
                       "x{m,n} counts n times",
                       EXEC_STEPS_MAX);
        return SH_ERR_LIMIT;
    }
    *steps += out->count;
    return SH_OK;
}
