/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/fileset.h"

#include "base/host/host.h"
#include "kernels/data/data.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC        UINT32_C(0x31464853) /* "SHF1" */
#define PATH_BYTES   4096u
#define ENTRY_BYTES  20u /* of an index record without its path */
#define HEADER_BYTES (12u + SPEC_FILESET_PATH_MAX)

struct pack_file {
    char path[SPEC_FILESET_PATH_MAX + 1]; /* below the root */
    uint64_t size;
};

struct pack {
    char root[PATH_BYTES]; /* folder that the paths are below, with its '/' */
    struct pack_file *files;
    size_t count;
    size_t capacity;
    uint64_t bytes; /* of all files */
    enum sh_err err;
    char *why;
    size_t why_size;
};

static enum kn_err stop(struct pack *p, enum sh_err err, const char *file, const char *what)
{
    p->err = err;
    (void)snprintf(p->why, p->why_size, "%s: %s", file, what);
    return KN_ERR_IO;
}

static bool grow(struct pack *p)
{
    if (p->count < p->capacity) {
        return true;
    }
    size_t wanted = p->capacity == 0 ? 16 : 2 * p->capacity;
    struct pack_file *files = realloc(p->files, wanted * sizeof *files);
    if (files == NULL) {
        return false;
    }
    p->files = files;
    p->capacity = wanted;
    return true;
}

static enum kn_err add_file(void *context, const char *file)
{
    struct pack *p = context;
    size_t root = strlen(p->root);
    struct stat st;
    if (strncmp(file, p->root, root) != 0 || strlen(file + root) > SPEC_FILESET_PATH_MAX) {
        return stop(p, SH_ERR_LIMIT, file, "its path is too long");
    }
    if (stat(file, &st) != 0) {
        return stop(p, sh_err_from_errno(errno), file, strerror(errno));
    }
    if (p->count == SPEC_FILESET_FILES_MAX) {
        return stop(p, SH_ERR_LIMIT, file, "the data set has more than 131072 files");
    }
    p->bytes += (uint64_t)st.st_size;
    if (p->bytes > SPEC_FILESET_BYTES_MAX) {
        return stop(p, SH_ERR_LIMIT, file,
                    "the data set is larger than 1 GiB; declare it on the agents that have it with "
                    "shoal dataset add");
    }
    if (!grow(p)) {
        return stop(p, SH_ERR_NO_MEMORY, file, "out of memory");
    }
    struct pack_file *f = &p->files[p->count];
    f->size = (uint64_t)st.st_size;
    (void)snprintf(f->path, sizeof f->path, "%s", file + root);
    p->count++;
    return KN_OK;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct pack_file *)a)->path, ((const struct pack_file *)b)->path);
}

static enum sh_err read_file(struct pack *p, const struct pack_file *f, uint8_t *out)
{
    char path[PATH_BYTES + SPEC_FILESET_PATH_MAX + 1];
    (void)snprintf(path, sizeof path, "%s%s", p->root, f->path);
    FILE *file = fopen(path, "rb");
    size_t got = file != NULL ? fread(out, 1, f->size, file) : 0;
    if (file == NULL || got != f->size || fgetc(file) != EOF) {
        (void)stop(p, SH_ERR_IO, path, file == NULL ? strerror(errno) : "changed while being read");
    }
    if (file != NULL) {
        (void)fclose(file); /* was read only */
    }
    return p->err;
}

static size_t index_bytes(const struct pack *p, const char *root)
{
    size_t size = 12 + strlen(root);
    for (size_t i = 0; i < p->count; i++) {
        size += ENTRY_BYTES + strlen(p->files[i].path);
    }
    return size;
}

static enum sh_err write_blob(struct pack *p, const char *root, uint8_t **bytes, size_t *size)
{
    size_t index = index_bytes(p, root);
    size_t total = index + (size_t)p->bytes;
    uint8_t *blob = malloc(total);
    if (blob == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    struct sh_writer w = sh_writer_over(blob, index);
    sh_put_u32(&w, MAGIC);
    sh_put_str(&w, root);
    sh_put_u32(&w, (uint32_t)p->count);
    uint64_t offset = index;
    for (size_t i = 0; i < p->count && p->err == SH_OK; i++) {
        sh_put_u64(&w, offset);
        sh_put_u64(&w, p->files[i].size);
        sh_put_str(&w, p->files[i].path);
        p->err = read_file(p, &p->files[i], blob + offset);
        offset += p->files[i].size;
    }
    if (p->err != SH_OK) {
        free(blob);
        return p->err;
    }
    SH_CHECK(!w.full);
    SH_CHECK_CMP(w.used, ==, index);
    *bytes = blob;
    *size = total;
    return SH_OK;
}

static enum sh_err err_of(enum kn_err err)
{
    switch (err) {
    case KN_OK:
        return SH_OK;
    case KN_ERR_NOT_FOUND:
        return SH_ERR_NOT_FOUND;
    case KN_ERR_LIMIT:
        return SH_ERR_LIMIT;
    case KN_ERR_MEMORY:
        return SH_ERR_NO_MEMORY;
    case KN_ERR_IO:
    case KN_ERR_DEVICE:
        return SH_ERR_IO;
    case KN_ERR_INVALID:
    case KN_ERR_NOT_FINITE:
    case KN_ERR_CORRUPT:
    case KN_ERR_UNSUPPORTED:
    case KN_ERR_COUNT:
        break;
    }
    return SH_ERR_INVALID;
}

/* Splits path into the folder (with '/') and, for a file, its name. */
static enum sh_err split(struct pack *p, const char *path, char *name, size_t name_size)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        bool slash = path[0] != '\0' && path[strlen(path) - 1] == '/';
        int n = snprintf(p->root, sizeof p->root, "%s%s", path, slash ? "" : "/");
        name[0] = '\0';
        return n < (int)sizeof p->root ? SH_OK : SH_ERR_LIMIT;
    }
    const char *slash = strrchr(path, '/');
    size_t folder = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    if (folder >= sizeof p->root || strlen(path + folder) >= name_size) {
        return SH_ERR_LIMIT;
    }
    memcpy(p->root, path, folder);
    p->root[folder] = '\0';
    memcpy(name, path + folder, strlen(path + folder) + 1);
    return SH_OK;
}

enum sh_err spec_fileset_pack(const char *given, bool test, uint8_t **bytes, size_t *size,
                              char *why, size_t why_size)
{
    struct pack p = {.err = SH_OK, .why = why, .why_size = why_size};
    char name[SPEC_FILESET_PATH_MAX + 1];
    char path[PATH_BYTES];
    size_t length = strlen(given);
    while (length > 1 && given[length - 1] == '/') {
        length--; /* "folder/" is "folder" */
    }
    if (snprintf(path, sizeof path, "%.*s", (int)length, given) >= (int)sizeof path ||
        split(&p, path, name, sizeof name) != SH_OK) {
        (void)snprintf(why, why_size, "%s: its path is too long", given);
        return SH_ERR_LIMIT;
    }
    struct kn_open options = {.part = test ? KN_PART_TEST : KN_PART_TRAIN};
    struct kn_diag reason = {.text = ""};
    enum kn_err err = kn_dataset_files(path, &options, add_file, &p, &reason);
    if (err != KN_OK && p.err == SH_OK) {
        p.err = err_of(err);
        (void)snprintf(why, why_size, "%s", reason.text);
    }
    if (p.err == SH_OK && p.count == 0) {
        p.err = SH_ERR_NOT_FOUND;
        (void)snprintf(why, why_size, "%s: no files to read", path);
    }
    if (p.err == SH_OK) {
        qsort(p.files, p.count, sizeof p.files[0], by_path);
        p.err = write_blob(&p, name, bytes, size);
    }
    free(p.files);
    return p.err;
}

/* Relative, no empty, "." or ".." part. */
static bool is_safe(const char *path)
{
    const char *at = path;
    for (;;) {
        size_t n = strcspn(at, "/");
        if (n == 0 || (n == 1 && at[0] == '.') || (n == 2 && at[0] == '.' && at[1] == '.')) {
            return false;
        }
        if (at[n] == '\0') {
            return true;
        }
        at += n + 1;
    }
}

enum sh_err spec_fileset_open(struct spec_fileset *set, struct sh_span blob)
{
    *set = (struct spec_fileset){.reader = sh_reader_over(blob.at, blob.size)};
    uint32_t magic = sh_get_u32(&set->reader);
    sh_get_str(&set->reader, set->root, sizeof set->root);
    set->count = sh_get_u32(&set->reader);
    bool root = set->root[0] == '\0' || is_safe(set->root);
    if (sh_reader_end(&set->reader) != SH_OK || magic != MAGIC || !root ||
        set->count > SPEC_FILESET_FILES_MAX) {
        return SH_ERR_CORRUPT;
    }
    return SH_OK;
}

enum sh_err spec_fileset_next(struct spec_fileset *set, struct spec_fileset_entry *entry)
{
    if (set->next == set->count) {
        return SH_ERR_NOT_FOUND;
    }
    uint64_t offset = sh_get_u64(&set->reader);
    uint64_t size = sh_get_u64(&set->reader);
    sh_get_str(&set->reader, entry->path, sizeof entry->path);
    uint64_t total = set->reader.size;
    bool placed = set->next == 0 ? offset <= total : offset == set->data_at;
    if (sh_reader_end(&set->reader) != SH_OK || !placed || size > total - offset ||
        offset < set->reader.used || !is_safe(entry->path) ||
        strcmp(set->previous, entry->path) >= 0) {
        set->next = set->count; /* nothing after it can be trusted */
        return SH_ERR_CORRUPT;
    }
    entry->bytes = (struct sh_span){.at = set->reader.at + offset, .size = (size_t)size};
    set->data_at = offset + size;
    set->next++;
    (void)snprintf(set->previous, sizeof set->previous, "%s", entry->path);
    return SH_OK;
}

static enum sh_err make_folders(char *path, size_t base)
{
    for (char *at = strchr(path + base, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        int made = mkdir(path, 0755);
        int error = errno;
        *at = '/';
        if (made != 0 && error != EEXIST) {
            return sh_err_from_errno(error);
        }
    }
    return SH_OK;
}

static enum sh_err write_file(const char *path, struct sh_span bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return sh_err_from_errno(errno);
    }
    enum sh_err err = SH_OK;
    size_t done = 0;
    while (err == SH_OK && done < bytes.size) {
        ssize_t n = write(fd, bytes.at + done, bytes.size - done);
        if (n < 0 && errno != EINTR) {
            err = sh_err_from_errno(errno);
        }
        done += n > 0 ? (size_t)n : 0;
    }
    if (close(fd) != 0 && err == SH_OK) {
        err = sh_err_from_errno(errno);
    }
    return err;
}

static enum sh_err write_all(struct spec_fileset *set, const char *folder)
{
    struct spec_fileset_entry entry;
    enum sh_err err = spec_fileset_next(set, &entry);
    while (err == SH_OK) {
        char path[PATH_BYTES];
        int n = snprintf(path, sizeof path, "%s/%s", folder, entry.path);
        if (n >= (int)sizeof path) {
            return SH_ERR_LIMIT;
        }
        err = make_folders(path, strlen(folder) + 1);
        if (err == SH_OK) {
            err = write_file(path, entry.bytes);
        }
        if (err == SH_OK) {
            err = spec_fileset_next(set, &entry);
        }
    }
    return err == SH_ERR_NOT_FOUND ? SH_OK : err;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

enum sh_err spec_fileset_extract(struct sh_span blob, const char *dir, char *path, size_t path_size)
{
    struct spec_fileset set;
    enum sh_err err = spec_fileset_open(&set, blob);
    if (err != SH_OK) {
        return err;
    }
    int n = snprintf(path, path_size, "%s%s%s", dir, set.root[0] != '\0' ? "/" : "", set.root);
    char fresh[PATH_BYTES];
    int m = snprintf(fresh, sizeof fresh, "%s.XXXXXX", dir);
    if (n >= (int)path_size || m >= (int)sizeof fresh) {
        return SH_ERR_LIMIT;
    }
    struct stat st;
    if (stat(dir, &st) == 0) {
        return SH_OK;
    }
    if (mkdtemp(fresh) == NULL) {
        return sh_err_from_errno(errno);
    }
    err = write_all(&set, fresh);
    if (err == SH_OK && rename(fresh, dir) == 0) {
        return SH_OK;
    }
    bool raced = err == SH_OK && (errno == EEXIST || errno == ENOTEMPTY);
    if (err == SH_OK && !raced) {
        err = sh_err_from_errno(errno);
    }
    (void)nftw(fresh, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return err;
}
