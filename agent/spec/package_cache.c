/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/package.h"

#include "base/host/host.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 4096u

static bool is_digest(const char *name)
{
    uint8_t digest[SH_DIGEST_BYTES];
    return sh_unhex(digest, sizeof digest, name) == SH_OK;
}

enum sh_err spec_package_cache_open(const char *cache)
{
    if (mkdir(cache, 0700) != 0 && errno != EEXIST) {
        return sh_err_from_errno(errno);
    }
    DIR *dir = opendir(cache);
    if (dir == NULL) {
        return sh_err_from_errno(errno);
    }
    enum sh_err err = SH_OK;
    for (;;) {
        char path[PATH_BYTES];
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            err = errno != 0 ? sh_err_from_errno(errno) : err;
            break;
        }
        bool own = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (own || is_digest(entry->d_name)) {
            continue;
        }
        int n = snprintf(path, sizeof path, "%s/%s", cache, entry->d_name);
        if (n >= (int)sizeof path || !spec_fileset_remove(path)) {
            err = SH_ERR_IO;
        }
    }
    (void)closedir(dir); /* was read only */
    return err;
}

static enum sh_err place(const char *cache, const uint8_t digest[static SH_DIGEST_BYTES],
                         char *path, size_t path_size)
{
    char hex[2 * SH_DIGEST_BYTES + 1];
    sh_hex(hex, digest, SH_DIGEST_BYTES);
    int n = snprintf(path, path_size, "%s/%s", cache, hex);
    return n >= 0 && (size_t)n < path_size ? SH_OK : SH_ERR_LIMIT;
}

enum sh_err spec_package_cache_find(const char *cache, const uint8_t digest[static SH_DIGEST_BYTES],
                                    char *path, size_t path_size)
{
    struct stat st;
    enum sh_err err = place(cache, digest, path, path_size);
    if (err != SH_OK) {
        return err;
    }
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? SH_OK : SH_ERR_NOT_FOUND;
}

enum sh_err spec_package_cache_add(const char *cache, const uint8_t digest[static SH_DIGEST_BYTES],
                                   struct sh_span blob, char *path, size_t path_size, char *why,
                                   size_t why_size)
{
    uint8_t own[SH_DIGEST_BYTES];
    char dir[PATH_BYTES];
    sh_blake2b(own, sizeof own, blob.at, blob.size);
    if (memcmp(own, digest, sizeof own) != 0) {
        (void)snprintf(why, why_size, "the package has another digest than was asked for");
        return SH_ERR_CORRUPT;
    }
    enum sh_err err = place(cache, digest, dir, sizeof dir);
    if (err != SH_OK) {
        (void)snprintf(why, why_size, "%s: its path is too long", cache);
        return err;
    }
    return spec_fileset_extract(blob, SPEC_FILESET_ONE_CASE | SPEC_FILESET_DURABLE, dir, path,
                                path_size, why, why_size);
}

enum sh_err spec_package_cache_drop(const char *cache, const uint8_t digest[static SH_DIGEST_BYTES])
{
    char path[PATH_BYTES];
    char away[PATH_BYTES];
    enum sh_err err = place(cache, digest, path, sizeof path);
    int n = snprintf(away, sizeof away, "%s.gone", path);
    if (err != SH_OK || n >= (int)sizeof away) {
        return SH_ERR_LIMIT;
    }
    if (rename(path, away) != 0) { /* at once: half of a package is never found */
        return errno == ENOENT ? SH_OK : sh_err_from_errno(errno);
    }
    return spec_fileset_remove(away) ? SH_OK : SH_ERR_IO;
}
