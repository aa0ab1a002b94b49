/* SPDX-License-Identifier: Apache-2.0
 *
 * Whoever made the tree may have meant to make it hard to remove: folders in folders far beyond
 * PATH_MAX, folders that their owner may not enter. So nothing here goes by a path. LEVELS folders
 * are open at most; one that lies deeper is moved up into the root of the tree and is met there
 * again. Each pass over the root thus needs the same little memory, and takes LEVELS - 1 of the
 * depth away. */
#include "spec/fileset.h"

#include "base/host/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEVELS     16u
#define PASSES_MAX 8u /* over a folder in which something appears meanwhile */

struct level { /* an open folder */
    DIR *dir;
    char name[SPEC_FILESET_NAME_MAX + 1]; /* in the one above */
    uint32_t passes;
    bool kept; /* something in it cannot be removed */
};

struct removal {
    struct level levels[LEVELS];
    uint32_t count;
    bool moved;         /* a folder into the root, in this pass over it */
    int error;          /* the first one, 0: none */
    uint32_t device[2]; /* of the tree */
    char *why;
    size_t why_size;
};

/* errno says what is wrong with the entry. */
static void keep(struct removal *r, const char *name)
{
    int error = errno;
    if (r->count > 0) {
        r->levels[r->count - 1].kept = true;
    }
    if (r->error == 0) {
        char shown[SPEC_FILESET_SHOWN_BYTES];
        spec_fileset_show((struct sh_span){.at = (const uint8_t *)name, .size = strlen(name)},
                          shown);
        r->error = error;
        (void)snprintf(r->why, r->why_size, "%s: %s", shown, strerror(error));
    }
}

/* Its owner may do all in the folder. */
static void open_up(int fd, mode_t mode)
{
    char path[64]; /* a descriptor of O_PATH has no other way to its mode */
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if ((mode & S_IRWXU) != S_IRWXU) {
        SH_MAY_FAIL(chmod(path, (mode & 07777) | S_IRWXU) == 0); /* what cannot be removed tells */
    }
}

/* Where the kernel does not tell of mounts, another device shows most of them. */
static bool crosses_mount(const struct removal *r, const struct statx *about)
{
    if ((about->stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0) {
        return (about->stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    }
    return about->stx_dev_major != r->device[0] || about->stx_dev_minor != r->device[1];
}

/* A folder of the same mount as the tree, no link, or -1. */
static int open_folder(struct removal *r, int above, const char *name)
{
    struct statx about;
    int fd = openat(above, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    int folder = -1;
    if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_MODE, &about) == 0) {
        if (above == AT_FDCWD) {
            r->device[0] = about.stx_dev_major;
            r->device[1] = about.stx_dev_minor;
        }
        if (above != AT_FDCWD && crosses_mount(r, &about)) {
            errno = EBUSY;
        } else {
            open_up(fd, about.stx_mode);
            folder = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
    }
    int error = errno;
    (void)close(fd); /* was only looked at */
    errno = error;
    return folder;
}

/* The folder at name in the innermost one, out of its depth. False: errno says why. */
static bool move_up(struct removal *r, int above, const char *name)
{
    char fresh[32];
    (void)snprintf(fresh, sizeof fresh, ".shoal-%016" PRIx64, sh_random_u64());
    int fd = open_folder(r, above, name); /* it must be writable to be moved */
    if (fd < 0) {
        return false;
    }
    (void)close(fd); /* was only looked at */
    r->moved = true;
    return renameat(above, name, dirfd(r->levels[0].dir), fresh) == 0;
}

static bool enter(struct removal *r, int above, const char *name)
{
    int fd = open_folder(r, above, name);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int error = errno;
        if (fd >= 0) {
            (void)close(fd); /* was only opened */
        }
        errno = error;
        return false;
    }
    struct level *level = &r->levels[r->count++];
    *level = (struct level){.dir = dir};
    (void)snprintf(level->name, sizeof level->name, "%s", name);
    return true;
}

/* An entry of the innermost folder. */
static void remove_entry(struct removal *r, const char *name)
{
    int above = dirfd(r->levels[r->count - 1].dir);
    if (unlinkat(above, name, 0) == 0 || errno == ENOENT) {
        return;
    }
    int error = errno;
    if (error != EISDIR && error != EPERM) { /* POSIX has the other for a folder */
        keep(r, name);
        return;
    }
    if (r->count < LEVELS ? enter(r, above, name) : move_up(r, above, name)) {
        return;
    }
    if (errno == ENOTDIR) { /* so it was not for being a folder */
        errno = error;
    }
    if (errno != ENOENT) {
        keep(r, name);
    }
}

/* The innermost folder was read to its end: it goes, or is read again. */
static void finish(struct removal *r, const char *path)
{
    struct level *level = &r->levels[r->count - 1];
    bool root = r->count == 1;
    int above = root ? AT_FDCWD : dirfd(level[-1].dir);
    const char *name = root ? path : level->name;
    bool gone = unlinkat(above, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
    bool full = !gone && (errno == ENOTEMPTY || errno == EEXIST);
    bool again = full && ((root && r->moved) || (!level->kept && level->passes++ < PASSES_MAX));
    if (again) {
        r->moved = root ? false : r->moved;
        level->kept = false;
        rewinddir(level->dir);
        return;
    }
    int error = errno;
    (void)closedir(level->dir); /* was read only */
    r->count--;
    errno = error;
    if (!gone) {
        keep(r, name); /* after what is in it, where that is why */
    }
}

bool spec_fileset_remove(const char *dir, char *why, size_t why_size)
{
    struct removal r = {.count = 0, .why = why, .why_size = why_size};
    if (unlinkat(AT_FDCWD, dir, 0) == 0 || errno == ENOENT) {
        return true;
    }
    if (!enter(&r, AT_FDCWD, dir)) {
        keep(&r, dir);
    }
    while (r.count > 0) {
        errno = 0;
        const struct dirent *entry = readdir(r.levels[r.count - 1].dir);
        if (entry == NULL && errno != 0) {
            keep(&r, r.levels[r.count - 1].name);
        }
        if (entry == NULL) {
            finish(&r, dir);
        } else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            remove_entry(&r, entry->d_name);
        }
    }
    errno = r.error;
    return r.error == 0;
}

enum sh_err spec_fileset_fresh(const char *dir, mode_t mode,
                               char aside[static SPEC_FILESET_ASIDE_BYTES], char *why,
                               size_t why_size)
{
    char left[SPEC_FILESET_ASIDE_BYTES];
    aside[0] = '\0';
    if (!spec_fileset_remove(dir, why, why_size)) {
        int n = snprintf(left, sizeof left, "%s.left.XXXXXX", dir);
        if (n >= (int)sizeof left) {
            return SH_ERR_LIMIT;
        }
        if (mkdtemp(left) == NULL || rename(dir, left) != 0) {
            return sh_err_from_errno(errno);
        }
        memcpy(aside, left, (size_t)n + 1);
    }
    if (mkdir(dir, mode) != 0 || chmod(dir, mode) != 0) { /* whatever the umask is */
        (void)snprintf(why, why_size, "%s: %s", dir, strerror(errno));
        return sh_err_from_errno(errno);
    }
    return SH_OK;
}
