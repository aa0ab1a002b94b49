/* SPDX-License-Identifier: Apache-2.0 */
#include "store/dir.h"

#include "base/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODE_DIR = 0700, MODE_PASS = 0711, MODE_FILE = 0600, QUARANTINES_MAX = 1000 };

#define LOCK_NAME "lock"

struct dir {
    int fd;
    int lock_fd;
    char path[DIR_PATH_MAX + 1];
};

/* One line for the operator, and the error it is. */
static enum sh_err say_errno(char *why, int number, const char *what, const char *path)
{
    (void)snprintf(why, DIR_TEXT_BYTES, "%s %s: %s", what, path, strerror(number));
    if (number == ENOTDIR || number == EROFS) {
        return SH_ERR_DENIED;
    }
    return sh_err_from_errno(number);
}

static enum sh_err make_parents(const char *path, char *why)
{
    char part[DIR_PATH_MAX + 1];
    size_t size = strlen(path);
    memcpy(part, path, size + 1);
    for (size_t i = 1; i <= size; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        part[i] = '\0';
        if (mkdir(part, i < size ? MODE_PASS : MODE_DIR) != 0 && errno != EEXIST) {
            return say_errno(why, errno, "cannot create", part);
        }
        part[i] = path[i];
    }
    return SH_OK;
}

static enum sh_err say_in_use(const struct dir *dir, char *why)
{
    char pid[32];
    ssize_t n = pread(dir->lock_fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? n : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    (void)snprintf(why, DIR_TEXT_BYTES, "%s is in use by another agent (process %s)", dir->path,
                   pid[0] != '\0' ? pid : "unknown");
    return SH_ERR_IN_USE;
}

/* The lock goes with the descriptor: it ends with this process, however that ends. */
static enum sh_err take_lock(struct dir *dir, char *why)
{
    char pid[32];
    dir->lock_fd = openat(dir->fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC, MODE_FILE);
    if (dir->lock_fd < 0) {
        return say_errno(why, errno, "cannot write in", dir->path);
    }
    if (flock(dir->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? say_in_use(dir, why)
                                    : say_errno(why, errno, "cannot lock", dir->path);
    }
    int size = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(dir->lock_fd, 0) != 0 ||
        pwrite(dir->lock_fd, pid, (size_t)size, 0) != (ssize_t)size || fsync(dir->lock_fd) != 0) {
        return say_errno(why, errno, "cannot write in", dir->path);
    }
    return SH_OK;
}

static enum sh_err sync_dir(const struct dir *dir, char *why)
{
    return fsync(dir->fd) == 0 ? SH_OK : say_errno(why, errno, "cannot write in", dir->path);
}

static enum sh_err prepare(struct dir *dir, char *why)
{
    static const char *const places[] = {"state", "bulk"};
    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir->fd < 0) {
        return say_errno(why, errno, "cannot use", dir->path);
    }
    enum sh_err err = take_lock(dir, why);
    for (size_t i = 0; i < SH_COUNT(places) && err == SH_OK; i++) {
        if (mkdirat(dir->fd, places[i], MODE_DIR) != 0 && errno != EEXIST) {
            err = say_errno(why, errno, "cannot write in", dir->path);
        }
    }
    return err == SH_OK ? sync_dir(dir, why) : err;
}

enum sh_err dir_open(const char *path, struct dir **out, char *why)
{
    size_t size = strlen(path);
    *out = NULL;
    why[0] = '\0';
    if (size == 0 || size > DIR_PATH_MAX - DIR_NAME_MAX - 16) {
        (void)snprintf(why, DIR_TEXT_BYTES, "the path of the data directory has %zu characters",
                       size);
        return SH_ERR_LIMIT;
    }
    enum sh_err err = make_parents(path, why);
    if (err != SH_OK) {
        return err;
    }
    struct dir *dir = calloc(1, sizeof *dir);
    if (dir == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    memcpy(dir->path, path, size + 1);
    dir->fd = -1;
    dir->lock_fd = -1;
    err = prepare(dir, why);
    if (err != SH_OK) {
        dir_close(dir);
        return err;
    }
    *out = dir;
    return SH_OK;
}

enum sh_err dir_let_pass(const struct dir *dir, char *why)
{
    return fchmod(dir->fd, MODE_PASS) == 0
               ? SH_OK
               : say_errno(why, errno, "cannot open to other users", dir->path);
}

void dir_close(struct dir *dir)
{
    if (dir == NULL) {
        return;
    }
    if (dir->lock_fd >= 0) {
        SH_CHECK(close(dir->lock_fd) == 0);
    }
    if (dir->fd >= 0) {
        SH_CHECK(close(dir->fd) == 0);
    }
    free(dir);
}

const char *dir_path(const struct dir *dir)
{
    return dir->path;
}

static void check_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-_.";
    size_t size = strlen(name);
    SH_CHECK_CMP(size, >, 0);
    SH_CHECK_CMP(size, <=, DIR_NAME_MAX);
    SH_CHECK_CMP(strspn(name, allowed), ==, size);
    SH_CHECK(name[0] != '.');
}

void dir_entry(const struct dir *dir, const char *name, char *out)
{
    check_name(name);
    int n = snprintf(out, DIR_PATH_MAX + 1, "%s/%s", dir->path, name);
    SH_CHECK(n > 0);
    SH_CHECK_CMP(n, <=, DIR_PATH_MAX);
}

static enum sh_err say_entry(const struct dir *dir, const char *name, const char *what, int number,
                             char *why)
{
    char path[DIR_PATH_MAX + 1];
    dir_entry(dir, name, path);
    return say_errno(why, number, what, path);
}

/* Reads until size bytes or the end. */
static bool read_all(int fd, uint8_t *out, size_t size, size_t *used)
{
    *used = 0;
    while (*used < size) {
        ssize_t n = read(fd, out + *used, size - *used);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0;
        }
        *used += (size_t)n;
    }
    return true;
}

enum sh_err dir_read(const struct dir *dir, const char *name, void *out, size_t size, size_t *used,
                     char *why)
{
    struct stat st;
    check_name(name);
    *used = 0;
    why[0] = '\0';
    int fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return say_entry(dir, name, "cannot read", errno, why);
    }
    enum sh_err err = SH_OK;
    if (fstat(fd, &st) != 0) {
        err = say_entry(dir, name, "cannot read", errno, why);
    } else if ((uint64_t)st.st_size > size) {
        *used = (size_t)st.st_size;
        (void)snprintf(why, DIR_TEXT_BYTES, "%s/%s is larger than %zu bytes", dir->path, name,
                       size);
        err = SH_ERR_LIMIT;
    } else if (!read_all(fd, out, size, used)) {
        err = say_entry(dir, name, "cannot read", errno, why);
    }
    SH_CHECK(close(fd) == 0);
    return err;
}

static bool write_all(int fd, const uint8_t *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = write(fd, bytes + done, size - done);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* The new contents under the temporary name, on the disk; else errno says why not. */
static bool write_temporary(const struct dir *dir, const char *temporary, const void *bytes,
                            size_t size)
{
    int fd = openat(dir->fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, MODE_FILE);
    if (fd < 0) {
        return false;
    }
    bool ok = write_all(fd, bytes, size) && fsync(fd) == 0;
    int number = errno;
    if (close(fd) != 0 && ok) {
        return false;
    }
    errno = number;
    return ok;
}

enum sh_err dir_write(const struct dir *dir, const char *name, const void *bytes, size_t size,
                      char *why)
{
    char temporary[DIR_NAME_MAX + 8];
    check_name(name);
    SH_CHECK(strcmp(name, LOCK_NAME) != 0);
    why[0] = '\0';
    if (size > DIR_FILE_BYTES_MAX) {
        (void)snprintf(why, DIR_TEXT_BYTES, "%s would have %zu bytes", name, size);
        return SH_ERR_LIMIT;
    }
    (void)snprintf(temporary, sizeof temporary, ".%s.new", name);
    if (!write_temporary(dir, temporary, bytes, size) ||
        renameat(dir->fd, temporary, dir->fd, name) != 0) {
        int number = errno;
        (void)unlinkat(dir->fd, temporary, 0); /* may not exist; the next write truncates it */
        return say_entry(dir, name, "cannot write", number, why);
    }
    return sync_dir(dir, why);
}

enum sh_err dir_remove(const struct dir *dir, const char *name, char *why)
{
    check_name(name);
    SH_CHECK(strcmp(name, LOCK_NAME) != 0);
    why[0] = '\0';
    if (unlinkat(dir->fd, name, 0) != 0 && errno != ENOENT) {
        return say_entry(dir, name, "cannot remove", errno, why);
    }
    return sync_dir(dir, why);
}

enum sh_err dir_quarantine(const struct dir *dir, const char *name, char *moved, char *why)
{
    char target[DIR_NAME_MAX + 1];
    struct stat st;
    check_name(name);
    why[0] = '\0';
    for (int i = 1; i <= QUARANTINES_MAX; i++) {
        int n = snprintf(target, sizeof target, "%s.damaged.%d", name, i);
        SH_CHECK(n > 0);
        SH_CHECK_CMP(n, <=, DIR_NAME_MAX);
        if (fstatat(dir->fd, target, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            continue;
        }
        if (renameat(dir->fd, name, dir->fd, target) != 0) {
            return say_entry(dir, name, "cannot move", errno, why);
        }
        dir_entry(dir, target, moved);
        return sync_dir(dir, why);
    }
    (void)snprintf(why, DIR_TEXT_BYTES, "%s has %d damaged copies of %s", dir->path,
                   QUARANTINES_MAX, name);
    return SH_ERR_LIMIT;
}
