/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/beneath.h"

#include "base/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void spec_beneath_start(struct spec_beneath *b, int root)
{
    b->depth = 0;
    b->path[0] = '\0';
    b->folders[0] = root;
    b->ends[0] = 0;
}

static void leave(struct spec_beneath *b, uint32_t depth)
{
    while (b->depth > depth) {
        (void)close(b->folders[b->depth]); /* nothing was written through it */
        b->depth--;
    }
}

void spec_beneath_end(struct spec_beneath *b)
{
    leave(b, 0);
    (void)close(b->folders[0]);
}

/* One part: size bytes of path up to the end of its name, which begins at start. */
static enum sh_err enter(struct spec_beneath *b, const char *path, size_t start, size_t size,
                         bool create)
{
    char name[SPEC_FILESET_NAME_MAX + 1];
    SH_CHECK_CMP(size - start, <=, SPEC_FILESET_NAME_MAX);
    SH_CHECK_CMP(b->depth, <, SPEC_FILESET_DEPTH_MAX);
    memcpy(name, path + start, size - start);
    name[size - start] = '\0';
    int above = b->folders[b->depth];
    bool made = create && mkdirat(above, name, 0755) == 0;
    if (create && !made && errno != EEXIST) {
        return sh_err_from_errno(errno);
    }
    int folder = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0) {
        return errno == ENOTDIR || errno == ELOOP ? SH_ERR_CONFLICT : sh_err_from_errno(errno);
    }
    if (made && fchmod(folder, 0755) != 0) { /* whatever the umask is */
        int error = errno;
        (void)close(folder);
        return sh_err_from_errno(error);
    }
    memcpy(b->path + start, path + start, size - start);
    b->path[size] = '/';
    b->depth++;
    b->folders[b->depth] = folder;
    b->ends[b->depth] = size + 1;
    return SH_OK;
}

enum sh_err spec_beneath_folder(struct spec_beneath *b, const char *path, bool create, int *folder,
                                const char **name)
{
    size_t length = strlen(path);
    SH_CHECK_CMP(length, <=, SPEC_FILESET_PATH_MAX);
    while (b->depth > 0 &&
           (b->ends[b->depth] > length || memcmp(b->path, path, b->ends[b->depth]) != 0)) {
        leave(b, b->depth - 1);
    }
    size_t start = b->ends[b->depth];
    for (const char *slash = strchr(path + start, '/'); slash != NULL;
         slash = strchr(path + start, '/')) {
        size_t size = (size_t)(slash - path);
        enum sh_err err = enter(b, path, start, size, create);
        if (err != SH_OK) {
            return err;
        }
        start = size + 1;
    }
    *folder = b->folders[b->depth];
    *name = path + start;
    return SH_OK;
}
