/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/usage.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum sh_err exec_usage_of(const char *path, struct exec_usage *out)
{
    *out = (struct exec_usage){0};
    char *copy = strdup(path);
    if (copy == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    char *const roots[] = {copy, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
    enum sh_err err = walk != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    const FTSENT *entry;
    errno = 0;
    while (err == SH_OK && !out->cut && (entry = fts_read(walk)) != NULL) {
        switch (entry->fts_info) {
        case FTS_F:
        case FTS_D:
        case FTS_SL:
        case FTS_DEFAULT:
            out->bytes += (uint64_t)entry->fts_statp->st_blocks * 512u;
            out->files++;
            break;
        case FTS_NS:
        case FTS_DNR:
            out->cut = out->cut || entry->fts_errno == ENAMETOOLONG;
            err = entry->fts_level == FTS_ROOTLEVEL ? SH_ERR_IO : SH_OK;
            break;
        default:
            break;
        }
        out->cut = out->cut || out->files >= EXEC_USAGE_FILES_MAX;
        errno = 0;
    }
    out->cut = out->cut || errno == ENAMETOOLONG;
    if (walk != NULL) {
        SH_MAY_FAIL(fts_close(walk) == 0); /* only restores a folder that was not left */
    }
    free(copy);
    return err;
}

uint64_t exec_usage_free(const char *path)
{
    struct statvfs about;
    if (statvfs(path, &about) != 0) {
        return UINT64_MAX;
    }
    return (uint64_t)about.f_bavail * about.f_frsize;
}
