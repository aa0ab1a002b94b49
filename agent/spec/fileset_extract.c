/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/beneath.h"

#include "base/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096u

static enum sh_err write_bytes(int fd, struct sh_span bytes)
{
    size_t done = 0;
    while (done < bytes.size) {
        ssize_t n = write(fd, bytes.at + done, bytes.size - done);
        if (n < 0 && errno != EINTR) {
            return sh_err_from_errno(errno);
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return SH_OK;
}

static enum sh_err write_file(int folder, const char *name, struct sh_span bytes, mode_t mode)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) {
        return sh_err_from_errno(errno);
    }
    enum sh_err err = write_bytes(fd, bytes);
    if (err == SH_OK && fchmod(fd, mode) != 0) { /* whatever the umask is */
        err = sh_err_from_errno(errno);
    }
    if (close(fd) != 0 && err == SH_OK) {
        err = sh_err_from_errno(errno);
    }
    return err;
}

static enum sh_err write_link(int folder, const char *name, struct sh_span target)
{
    char text[SPEC_FILESET_PATH_MAX + 1];
    SH_CHECK_CMP(target.size, <, sizeof text);
    memcpy(text, target.at, target.size);
    text[target.size] = '\0';
    return symlinkat(text, folder, name) == 0 ? SH_OK : sh_err_from_errno(errno);
}

static enum sh_err write_folder(int folder, const char *name)
{
    bool made = mkdirat(folder, name, 0755) == 0 && fchmodat(folder, name, 0755, 0) == 0;
    return made ? SH_OK : sh_err_from_errno(errno);
}

static enum sh_err write_entry(struct spec_beneath *b, const struct spec_fileset_entry *entry)
{
    int folder = -1;
    const char *name = NULL;
    enum sh_err err = spec_beneath_folder(b, entry->path, true, &folder, &name);
    if (err != SH_OK) {
        return err;
    }
    switch (entry->kind) {
    case SPEC_FILE:
        return write_file(folder, name, entry->bytes, 0644);
    case SPEC_PROGRAM:
        return write_file(folder, name, entry->bytes, 0755);
    case SPEC_FOLDER:
        return write_folder(folder, name);
    case SPEC_LINK:
        return write_link(folder, name, entry->bytes);
    }
    SH_UNREACHABLE(); /* the check before refused it */
}

static enum sh_err tell(enum sh_err err, const char *name, char *why, size_t why_size)
{
    (void)snprintf(why, why_size, "%s: %s", name, sh_err_text(err));
    return err;
}

/* All entries of a checked blob into an empty folder. */
static enum sh_err write_all(struct sh_span blob, const char *fresh, char *why, size_t why_size)
{
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    struct spec_beneath b;
    int root = open(fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0) {
        return tell(sh_err_from_errno(errno), fresh, why, why_size);
    }
    spec_beneath_start(&b, root);
    enum sh_err err = spec_fileset_open(&set, blob);
    SH_CHECK(err == SH_OK);
    while (err == SH_OK && (err = spec_fileset_next(&set, &entry)) == SH_OK) {
        err = write_entry(&b, &entry);
        if (err != SH_OK) {
            (void)tell(err, entry.path, why, why_size);
        }
    }
    if (err == SH_ERR_NOT_FOUND && set.next == set.count) {
        err = SH_OK;
    }
    if (err == SH_OK && fchmod(root, 0755) != 0) {
        err = tell(sh_err_from_errno(errno), fresh, why, why_size);
    }
    spec_beneath_end(&b);
    return err;
}

/* fresh, complete, becomes dir; where another did that first, theirs has the same bytes. */
static enum sh_err publish(const char *fresh, const char *dir, char *why, size_t why_size)
{
    if (rename(fresh, dir) == 0) {
        return SH_OK;
    }
    int error = errno;
    (void)spec_fileset_remove(fresh, NULL, 0); /* what stays is nobody's */
    bool raced = error == EEXIST || error == ENOTEMPTY;
    return raced ? SH_OK : tell(sh_err_from_errno(error), dir, why, why_size);
}

enum sh_err spec_fileset_extract(struct sh_span blob, bool one_case, const char *dir, char *path,
                                 size_t path_size, char *why, size_t why_size)
{
    struct spec_fileset set;
    enum sh_err err = spec_fileset_check(blob, one_case, why, why_size);
    if (err != SH_OK) {
        return err;
    }
    err = spec_fileset_open(&set, blob);
    SH_CHECK(err == SH_OK); /* was checked */
    int n = snprintf(path, path_size, "%s%s%s", dir, set.root[0] != '\0' ? "/" : "", set.root);
    char fresh[PATH_BYTES];
    int m = snprintf(fresh, sizeof fresh, "%s.XXXXXX", dir);
    if (n >= (int)path_size || m >= (int)sizeof fresh) {
        return tell(SH_ERR_LIMIT, dir, why, why_size);
    }
    struct stat st;
    if (lstat(dir, &st) == 0) {
        return SH_OK;
    }
    if (mkdtemp(fresh) == NULL) {
        return tell(sh_err_from_errno(errno), dir, why, why_size);
    }
    err = write_all(blob, fresh, why, why_size);
    if (err != SH_OK) {
        (void)spec_fileset_remove(fresh, NULL, 0); /* what stays is nobody's */
        return err;
    }
    return publish(fresh, dir, why, why_size);
}
