/* SPDX-License-Identifier: Apache-2.0 */
#include "train/shelf.h"

#include "base/host/host.h"
#include "kernels/kn.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

_Static_assert(TRAIN_SHELF_FIRST % KN_ALIGN == 0, "vectors on a shelf are aligned");

/* ---- the owner's ---- */

static bool commits_strictly(void)
{
    FILE *file = fopen("/proc/sys/vm/overcommit_memory", "re");
    int mode = file != NULL ? fgetc(file) : EOF;
    if (file != NULL) {
        SH_MAY_FAIL(fclose(file) == 0); /* nothing was written */
    }
    return mode != '0' && mode != '1';
}

/* Sealed once it is mapped: later mappings can only read. */
static bool share(struct train_shelf *shelf, size_t size)
{
    int fd = commits_strictly() ? -1 : memfd_create("shoal-shelf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return false;
    }
    void *at = MAP_FAILED;
    if (ftruncate(fd, (off_t)size) == 0) {
        at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (at != MAP_FAILED && fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
        SH_CHECK(munmap(at, size) == 0);
        at = MAP_FAILED;
    }
    if (at == MAP_FAILED) {
        SH_MAY_FAIL(close(fd) == 0);
        return false;
    }
    *shelf = (struct train_shelf){.at = at, .size = size, .number = sh_random_u64() | 1, .fd = fd};
    return true;
}

enum sh_err train_shelf_open(struct train_shelf *shelf, size_t size, bool shared)
{
    size = (size + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN;
    *shelf = (struct train_shelf){.fd = -1};
    if (shared && share(shelf, size)) {
        return SH_OK;
    }
    shelf->at = aligned_alloc(KN_ALIGN, size);
    shelf->size = shelf->at != NULL ? size : 0;
    return shelf->at != NULL ? SH_OK : SH_ERR_NO_MEMORY;
}

void train_shelf_close(struct train_shelf *shelf)
{
    if (shelf->number != 0) {
        SH_CHECK(munmap(shelf->at, shelf->size) == 0);
        SH_MAY_FAIL(close(shelf->fd) == 0); /* nothing to lose */
    } else {
        free(shelf->at);
    }
    *shelf = (struct train_shelf){.fd = -1};
}

/* ---- a reader's ---- */

/* On tmpfs: a page that is missing reads as zero. One of hugetlbfs might not be to be had. */
static bool is_shelf(int fd, size_t *size)
{
    struct statfs system;
    struct stat file;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstatfs(fd, &system) != 0 ||
        system.f_type != TMPFS_MAGIC || fstat(fd, &file) != 0 || file.st_size <= 0) {
        return false;
    }
    *size = (size_t)file.st_size;
    return true;
}

enum sh_err train_view_open(struct train_view *view, int fd, uint64_t number, size_t size_max)
{
    size_t size = 0;
    *view = (struct train_view){.at = NULL};
    if (number == 0 || !is_shelf(fd, &size) || size > size_max) {
        return SH_ERR_INVALID;
    }
    void *at = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        return SH_ERR_NO_MEMORY;
    }
    *view = (struct train_view){.at = at, .size = size, .number = number};
    return SH_OK;
}

void train_view_close(struct train_view *view)
{
    if (view->at != NULL) {
        SH_CHECK(munmap((void *)(uintptr_t)view->at, view->size) == 0);
    }
    *view = (struct train_view){.at = NULL};
}

bool train_shelf_lay(struct train_shelf *shelf, const struct train_view *view, uint64_t place,
                     size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    bool inside = view->at != NULL && size > 0 && place <= view->size &&
                  size <= view->size - place && place <= shelf->size && size <= shelf->size - place;
    if (!inside || place % page != 0 || size % page != 0) {
        return false;
    }
    /* An old size of 0 makes a second mapping of the same pages (mremap(2)). */
    void *at = mremap((void *)(uintptr_t)(view->at + place), 0, size, MREMAP_MAYMOVE);
    if (at == MAP_FAILED) {
        return false;
    }
    /* Near the limit of mappings this fails before anything is unmapped. */
    if (mremap(at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, shelf->at + place) == MAP_FAILED) {
        SH_CHECK(munmap(at, size) == 0);
        return false;
    }
    return true;
}

struct sh_span train_view_span(const struct train_view *view, uint64_t number, uint64_t place,
                               size_t size)
{
    bool inside = view->at != NULL && number == view->number && place <= view->size &&
                  size <= view->size - place;
    return inside ? (struct sh_span){.at = view->at + place, .size = size} : (struct sh_span){0};
}
