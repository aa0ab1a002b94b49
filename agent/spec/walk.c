/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/walk.h"

#include "base/host/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct level { /* an open folder */
    DIR *dir;
    size_t length; /* of its path, with the '/' */
    bool inside;   /* taken, with all below it */
};

struct descent {
    struct spec_walk *walk;
    struct level levels[SPEC_FILESET_DEPTH_MAX + 1];
    uint32_t count;
    char path[SPEC_FILESET_PATH_MAX + SPEC_FILESET_NAME_MAX + 2]; /* of the entry looked at */
};

static struct sh_span span_of(const char *path)
{
    return (struct sh_span){.at = (const uint8_t *)path, .size = strlen(path)};
}

static enum sh_err refuse(struct spec_walk *walk, enum sh_err err, const char *path,
                          const char *what)
{
    return spec_bundle_refuse(walk->bundle, err, span_of(path), what);
}

static enum sh_err refuse_changed(struct spec_walk *walk, const char *path, const char *what)
{
    walk->changed = true;
    return refuse(walk, SH_ERR_IO, path, what);
}

/* Of the last change, in nanoseconds. */
static uint64_t stamp_of(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * UINT64_C(1000000000) + (uint64_t)st->st_mtim.tv_nsec;
}

static bool is_item(const struct stat *st, const struct spec_item *item)
{
    return (uint64_t)st->st_size == item->size && stamp_of(st) == item->from;
}

static enum sh_err refuse_errno(struct spec_walk *walk, const char *path, int error)
{
    return refuse(walk, sh_err_from_errno(error), path, strerror(error));
}

void spec_walk_start(struct spec_walk *walk, int root)
{
    spec_beneath_start(&walk->beneath, root);
}

void spec_walk_end(struct spec_walk *walk)
{
    spec_beneath_end(&walk->beneath);
}

/* Opens the folder at name in `above` and puts it on top, unless it has vanished. */
static enum sh_err push(struct descent *d, int above, const char *name, bool inside)
{
    int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int error = errno;
        if (fd >= 0) {
            (void)close(fd); /* was only opened */
        }
        return error == ENOENT ? SH_OK : refuse_errno(d->walk, d->path, error);
    }
    size_t length = strlen(d->path);
    if (length > 0) {
        d->path[length++] = '/';
    }
    d->levels[d->count++] = (struct level){.dir = dir, .length = length, .inside = inside};
    return SH_OK;
}

static void pop(struct descent *d)
{
    (void)closedir(d->levels[--d->count].dir); /* was read only */
}

static enum sh_err take(struct descent *d, const struct stat *st)
{
    struct spec_walk *walk = d->walk;
    mode_t mode = st->st_mode;
    if (S_ISDIR(mode)) {
        return walk->folders ? spec_bundle_add(walk->bundle, span_of(d->path), SPEC_FOLDER, 0, 0)
                             : SH_OK;
    }
    if (!S_ISREG(mode) && !S_ISLNK(mode)) {
        const char *what = S_ISFIFO(mode)   ? "a pipe; only files, folders and links are packed"
                           : S_ISSOCK(mode) ? "a socket; only files, folders and links are packed"
                                            : "a device; only files, folders and links are packed";
        return refuse(walk, SH_ERR_INVALID, d->path, what);
    }
    if (S_ISREG(mode) && (mode & (S_ISUID | S_ISGID)) != 0) {
        return refuse(walk, SH_ERR_INVALID, d->path, "a program with set-user-id or set-group-id");
    }
    enum spec_fileset_kind kind = S_ISLNK(mode)           ? SPEC_LINK
                                  : (mode & S_IXUSR) != 0 ? SPEC_PROGRAM
                                                          : SPEC_FILE;
    return spec_bundle_add(walk->bundle, span_of(d->path), kind, (uint64_t)st->st_size,
                           stamp_of(st));
}

/* Looked at only once it is chosen: all else may come and go as it likes. */
static enum sh_err visit(struct descent *d, const struct dirent *entry)
{
    struct level *level = &d->levels[d->count - 1];
    const char *name = entry->d_name;
    size_t size = strlen(name);
    SH_CHECK_CMP(size, <=, SPEC_FILESET_NAME_MAX); /* NAME_MAX of Linux */
    memcpy(d->path + level->length, name, size + 1);
    int above = dirfd(level->dir);
    struct stat st;
    bool folder = entry->d_type == DT_DIR;
    if (entry->d_type == DT_UNKNOWN) { /* a file system that does not tell */
        folder = fstatat(above, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
    }
    enum spec_choice_of choice = d->walk->choose(d->walk->context, d->path, folder, level->inside);
    if (choice == SPEC_LEAVE || (choice == SPEC_ENTER && !folder)) {
        return SH_OK;
    }
    if (folder &&
        (level->length + size >= SPEC_FILESET_PATH_MAX || d->count > SPEC_FILESET_DEPTH_MAX)) {
        return refuse(d->walk, SH_ERR_INVALID, d->path,
                      "more than 64 folders deep, or a path of more than 1023 bytes");
    }
    if (fstatat(above, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? SH_OK : refuse_errno(d->walk, d->path, errno);
    }
    if (S_ISDIR(st.st_mode) != folder) {
        return refuse_changed(d->walk, d->path, "changed while being read");
    }
    enum sh_err err = choice == SPEC_TAKE ? take(d, &st) : SH_OK;
    return err == SH_OK && folder ? push(d, above, name, choice == SPEC_TAKE) : err;
}

enum sh_err spec_walk_all(struct spec_walk *walk)
{
    struct descent d = {.walk = walk};
    enum sh_err err = push(&d, walk->beneath.folders[0], ".", false);
    while (err == SH_OK && d.count > 0) {
        errno = 0;
        const struct dirent *entry = readdir(d.levels[d.count - 1].dir);
        if (entry == NULL && errno != 0) {
            d.path[d.levels[d.count - 1].length] = '\0';
            err = refuse_errno(walk, d.path, errno);
        } else if (entry == NULL) {
            pop(&d);
        } else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            err = visit(&d, entry);
        }
    }
    while (d.count > 0) {
        pop(&d);
    }
    return err;
}

static enum sh_err read_link(struct spec_walk *walk, int folder, const char *name, const char *path,
                             const struct spec_item *item, uint8_t *out)
{
    char target[SPEC_FILESET_PATH_MAX + 2]; /* room to see that it grew */
    struct stat st;
    if (item->size > SPEC_FILESET_PATH_MAX) {
        return refuse(walk, SH_ERR_IO, path, "a link to more than 1023 bytes");
    }
    ssize_t n = readlinkat(folder, name, target, sizeof target);
    if (n < 0 || (uint64_t)n != item->size ||
        fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !is_item(&st, item)) {
        return refuse_changed(walk, path, "changed while being read");
    }
    memcpy(out, target, item->size);
    return SH_OK;
}

static bool still_is(int fd, const struct spec_item *item)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && is_item(&st, item);
}

static enum sh_err read_file(struct spec_walk *walk, int fd, const char *path,
                             const struct spec_item *item, uint8_t *out)
{
    uint64_t got = 0;
    bool same = still_is(fd, item);
    while (same && got < item->size) {
        ssize_t n = read(fd, out + got, item->size - got);
        if (n < 0 && errno != EINTR) {
            return refuse_errno(walk, path, errno);
        }
        same = n != 0;
        got += n > 0 ? (uint64_t)n : 0;
    }
    same = same && still_is(fd, item);
    return same ? SH_OK : refuse_changed(walk, path, "changed while being read");
}

enum sh_err spec_walk_fill(void *context, const char *path, const struct spec_item *item,
                           uint8_t *out)
{
    struct spec_walk *walk = context;
    int folder = -1;
    const char *name = NULL;
    enum sh_err err = spec_beneath_folder(&walk->beneath, path, false, &folder, &name);
    if (err != SH_OK) {
        return refuse_changed(walk, path, "its folder changed while being read");
    }
    if (item->kind == SPEC_LINK) {
        return read_link(walk, folder, name, path, item, out);
    }
    /* NONBLOCK: it may be a pipe by now. */
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        walk->changed = errno == ENOENT || errno == ELOOP || errno == ENXIO;
        return refuse_errno(walk, path, errno);
    }
    err = read_file(walk, fd, path, item, out);
    (void)close(fd); /* was read only */
    return err;
}
