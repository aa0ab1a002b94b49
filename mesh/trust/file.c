/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/file.h"

#include "base/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum sh_err trust_file_failed(char why[static TRUST_WHY_MAX], const char *path, const char *what)
{
    int number = errno;
    char text[128];
    (void)snprintf(why, TRUST_WHY_MAX, "%s: cannot %s: %s", path, what,
                   strerror_r(number, text, sizeof text));
    enum sh_err err = sh_err_from_errno(number);
    return err != SH_OK ? err : SH_ERR_IO;
}

enum sh_err trust_file_say(char why[static TRUST_WHY_MAX], enum sh_err err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, TRUST_WHY_MAX, format, args);
    va_end(args);
    return err;
}

static enum sh_err check_private(int fd, const char *path, char why[static TRUST_WHY_MAX])
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return trust_file_failed(why, path, "look at it");
    }
    if ((st.st_mode & 077) != 0) {
        return trust_file_say(why, SH_ERR_DENIED,
                              "%s: holds a secret but others may read or change it (mode %03o): "
                              "run chmod 600 on it",
                              path, (unsigned)(st.st_mode & 0777));
    }
    return SH_OK;
}

enum sh_err trust_file_read(const char *path, bool private_only, char out[static TRUST_FILE_MAX],
                            size_t *size, char why[static TRUST_WHY_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *size = 0;
    if (fd < 0) {
        return trust_file_failed(why, path, "open it");
    }
    enum sh_err err = private_only ? check_private(fd, path, why) : SH_OK;
    while (err == SH_OK && *size < TRUST_FILE_MAX) {
        ssize_t got = read(fd, out + *size, TRUST_FILE_MAX - *size);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            err = trust_file_failed(why, path, "read it");
        }
        *size += got > 0 ? (size_t)got : 0;
    }
    (void)close(fd); /* opened for reading: nothing can be lost */
    if (err == SH_OK && *size == TRUST_FILE_MAX) {
        err =
            trust_file_say(why, SH_ERR_CORRUPT, "%s: too long, not written by this program", path);
    }
    out[err == SH_OK ? *size : 0] = '\0';
    return err;
}

/* Makes a new name in the folder of path durable. */
static enum sh_err sync_folder(const char *path, char why[static TRUST_WHY_MAX])
{
    char copy[PATH_MAX];
    if (strlen(path) >= sizeof copy) {
        return trust_file_say(why, SH_ERR_LIMIT, "%s: path too long", path);
    }
    memcpy(copy, path, strlen(path) + 1);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return trust_file_failed(why, path, "open its folder");
    }
    enum sh_err err = fsync(fd) == 0 ? SH_OK : trust_file_failed(why, path, "sync its folder");
    (void)close(fd);
    return err;
}

static enum sh_err write_all(int fd, const char *path, struct sh_span text,
                             char why[static TRUST_WHY_MAX])
{
    size_t done = 0;
    while (done < text.size) {
        ssize_t wrote = write(fd, text.at + done, text.size - done);
        if (wrote < 0 && errno != EINTR) {
            return trust_file_failed(why, path, "write it");
        }
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return fsync(fd) == 0 ? SH_OK : trust_file_failed(why, path, "sync it");
}

enum sh_err trust_file_create(const char *path, struct sh_span text, char why[static TRUST_WHY_MAX])
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return trust_file_failed(why, path, "create it");
    }
    enum sh_err err = write_all(fd, path, text, why);
    if (close(fd) != 0 && err == SH_OK) {
        err = trust_file_failed(why, path, "close it");
    }
    if (err == SH_OK) {
        err = sync_folder(path, why);
    }
    if (err != SH_OK) {
        (void)unlink(path); /* the first failure is the one to tell */
    }
    return err;
}

enum sh_err trust_file_replace(const char *path, struct sh_span text,
                               char why[static TRUST_WHY_MAX])
{
    char temporary[PATH_MAX];
    int length = snprintf(temporary, sizeof temporary, "%s.new", path);
    if (length < 0 || (size_t)length >= sizeof temporary) {
        return trust_file_say(why, SH_ERR_LIMIT, "%s: path too long", path);
    }
    if (unlink(temporary) != 0 && errno != ENOENT) { /* left by a crash */
        return trust_file_failed(why, temporary, "remove it");
    }
    enum sh_err err = trust_file_create(temporary, text, why);
    if (err != SH_OK) {
        return err;
    }
    if (rename(temporary, path) != 0) {
        err = trust_file_failed(why, path, "replace it");
        (void)unlink(temporary);
        return err;
    }
    return sync_folder(path, why);
}
