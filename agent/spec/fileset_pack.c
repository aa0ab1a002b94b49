/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/bundle.h"
#include "spec/dataset.h"
#include "spec/package.h"

#include "base/host/host.h"
#include "kernels/data/data.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 4096u

struct pack {
    char root[PATH_BYTES]; /* folder that the paths are below, with its '/' */
    struct spec_bundle bundle;
    enum sh_err err;
};

static enum sh_err stop(struct pack *p, enum sh_err err, const char *file, const char *what)
{
    p->err = err;
    (void)snprintf(p->bundle.why, p->bundle.why_size, "%s: %s", file, what);
    return err;
}

static enum kn_err add_file(void *context, const char *file)
{
    struct pack *p = context;
    size_t root = strlen(p->root);
    struct stat st;
    if (strncmp(file, p->root, root) != 0) {
        (void)stop(p, SH_ERR_LIMIT, file, "its path is too long");
    } else if (stat(file, &st) != 0) {
        (void)stop(p, sh_err_from_errno(errno), file, strerror(errno));
    } else if ((uint64_t)st.st_size > SPEC_FILESET_BYTES_MAX - p->bundle.bytes) {
        (void)stop(p, SH_ERR_LIMIT, file,
                   "the data set is larger than 1 GiB; declare it on the agents that have it with "
                   "shoal dataset add");
    } else {
        struct sh_span path = {.at = (const uint8_t *)file + root, .size = strlen(file + root)};
        p->err = spec_bundle_add(&p->bundle, path, SPEC_FILE, (uint64_t)st.st_size, 0);
    }
    return p->err == SH_OK ? KN_OK : KN_ERR_IO;
}

static enum sh_err read_file(void *context, const char *below, const struct spec_item *item,
                             uint8_t *out)
{
    struct pack *p = context;
    char path[PATH_BYTES + SPEC_FILESET_PATH_MAX + 1];
    (void)snprintf(path, sizeof path, "%s%s", p->root, below);
    FILE *file = fopen(path, "rb");
    size_t got = file != NULL ? fread(out, 1, item->size, file) : 0;
    enum sh_err err = SH_OK;
    if (file == NULL || got != item->size || fgetc(file) != EOF) {
        err = stop(p, SH_ERR_IO, path, file == NULL ? strerror(errno) : "changed while being read");
    }
    if (file != NULL) {
        (void)fclose(file); /* was read only */
    }
    return err;
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

static enum sh_err pack_files(struct pack *p, const char *path, enum spec_pack use,
                              const char *name, uint8_t **bytes, size_t *size)
{
    struct kn_open options = {.part = use == SPEC_PACK_TEST ? KN_PART_TEST : KN_PART_TRAIN,
                              .unlabelled = use == SPEC_PACK_INPUT};
    struct kn_diag reason = {.text = ""};
    enum kn_err err = kn_dataset_files(path, &options, add_file, p, &reason);
    if (err != KN_OK && p->err == SH_OK) {
        p->err = spec_dataset_err(err);
        (void)snprintf(p->bundle.why, p->bundle.why_size, "%s", reason.text);
    }
    if (p->err == SH_OK && p->bundle.count == 0) {
        (void)stop(p, SH_ERR_NOT_FOUND, path, "no files to read");
    }
    /* Classes may be folders "a" and "A". */
    return p->err == SH_OK ? spec_bundle_seal(&p->bundle, name, false, read_file, p, bytes, size)
                           : p->err;
}

/* Whatever a folder holds: a script may be asked about it too. */
static enum sh_err pack_folder(const char *path, uint8_t **bytes, size_t *size, char *why,
                               size_t why_size)
{
    static const char *const all[] = {"**"};
    struct spec_outputs everything = {.dir = path, .patterns = all, .pattern_count = 1};
    return spec_package_collect(&everything, bytes, size, why, why_size);
}

enum sh_err spec_fileset_pack(const char *given, enum spec_pack use, uint8_t **bytes, size_t *size,
                              char *why, size_t why_size)
{
    struct pack p = {.err = SH_OK};
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
    if (use == SPEC_PACK_INPUT && name[0] == '\0') {
        return pack_folder(path, bytes, size, why, why_size);
    }
    spec_bundle_open(&p.bundle, SPEC_FILESET_BYTES_MAX, why, why_size);
    enum sh_err err = pack_files(&p, path, use, name, bytes, size);
    spec_bundle_close(&p.bundle);
    return err;
}
