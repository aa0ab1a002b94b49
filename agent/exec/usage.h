/* SPDX-License-Identifier: Apache-2.0
 *
 * What a folder takes of a disk. */
#ifndef EXEC_USAGE_H
#define EXEC_USAGE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXEC_USAGE_FILES_MAX 1048576u /* entries of one folder, all levels */

struct exec_usage {
    uint64_t bytes; /* as allocated; a file with several names counts once a name */
    uint64_t files;
    bool cut; /* more than EXEC_USAGE_FILES_MAX entries, or deeper than a path can be */
};

/* Walks path without following links or leaving its file system. What vanishes meanwhile, or may
 * not be read, counts as nothing. IO where path itself cannot be read, NO_MEMORY. */
SH_MUST_USE enum sh_err exec_usage_of(const char *path, struct exec_usage *out);
/* Bytes that this user can still write to the file system of path; UINT64_MAX where it is not
 * told. */
uint64_t exec_usage_free(const char *path);

#endif
