/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/package.h"

#include "base/host/host.h"
#include "spec/ignore.h"
#include "spec/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum sh_err open_root(const char *dir, int *root, char *why, size_t why_size)
{
    *root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*root >= 0) {
        return SH_OK;
    }
    int error = errno;
    (void)snprintf(why, why_size, "%s: %s", dir,
                   error == ENOTDIR ? "not a directory" : strerror(error));
    return error == ENOTDIR ? SH_ERR_INVALID : sh_err_from_errno(error);
}

/* ---- a package ---- */

static enum spec_choice_of choose_kept(void *context, const char *path, bool folder, bool inside)
{
    (void)inside; /* all that is reached is taken */
    return spec_ignore_drops(context, path, folder) ? SPEC_LEAVE : SPEC_TAKE;
}

/* The .shoalignore at the root, where there is one: *size bytes at text, which holds one byte more
 * than the largest file. */
static enum sh_err read_ignore(int root, char *text, size_t *size, char *why, size_t why_size)
{
    *size = 0;
    int fd = openat(root, SPEC_IGNORE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        return SH_OK;
    }
    ssize_t n = 1;
    while (fd >= 0 && n > 0 && *size <= SPEC_IGNORE_BYTES_MAX) {
        n = read(fd, text + *size, SPEC_IGNORE_BYTES_MAX + 1 - *size);
        *size += n > 0 ? (size_t)n : 0;
    }
    enum sh_err err = fd < 0 || n < 0 ? sh_err_from_errno(errno) : SH_OK;
    if (err != SH_OK) {
        (void)snprintf(why, why_size, SPEC_IGNORE_FILE ": %s", strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd); /* was read only */
    }
    return err;
}

static enum sh_err open_ignore(int root, struct spec_ignore *ignore, char *why, size_t why_size)
{
    size_t size = 0;
    char *text = malloc(SPEC_IGNORE_BYTES_MAX + 1);
    if (text == NULL) {
        (void)snprintf(why, why_size, "out of memory");
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = read_ignore(root, text, &size, why, why_size);
    if (err == SH_OK) {
        err = spec_ignore_open(ignore, text, size, why, why_size);
    }
    free(text);
    return err;
}

enum sh_err spec_package_pack(const char *dir, uint8_t **bytes, size_t *size, char *why,
                              size_t why_size)
{
    struct spec_bundle bundle;
    struct spec_ignore ignore = {.rules = NULL};
    int root = -1;
    enum sh_err err = open_root(dir, &root, why, why_size);
    if (err != SH_OK) {
        return err;
    }
    struct spec_walk walk = {
        .bundle = &bundle, .choose = choose_kept, .context = &ignore, .folders = true};
    spec_walk_start(&walk, root);
    spec_bundle_open(&bundle, SPEC_FILESET_BYTES_MAX, why, why_size);
    err = open_ignore(root, &ignore, why, why_size);
    if (err == SH_OK) {
        err = spec_walk_all(&walk);
    }
    if (err == SH_OK) {
        err = spec_bundle_seal(&bundle, "", true, spec_walk_fill, &walk, bytes, size);
    }
    spec_bundle_close(&bundle);
    spec_ignore_close(&ignore);
    spec_walk_end(&walk);
    return err;
}

/* ---- outputs ---- */

struct collection {
    const struct spec_outputs *outputs;
    struct spec_glob *globs; /* one a pattern */
    bool *took;              /* a pattern something */
    struct spec_bundle bundle;
    struct spec_walk walk;
};

static enum spec_choice_of choose_output(void *context, const char *path, bool folder, bool inside)
{
    struct collection *c = context;
    const char *const *leave = c->outputs->leave;
    for (size_t i = 0; folder && leave != NULL && leave[i] != NULL; i++) {
        if (strcmp(path, leave[i]) == 0) {
            return SPEC_LEAVE;
        }
    }
    bool taken = inside || c->outputs->pattern_count == 0;
    for (size_t i = 0; i < c->outputs->pattern_count; i++) {
        if (spec_glob_match(&c->globs[i], path, strlen(path))) {
            c->took[i] = true;
            taken = true;
        }
    }
    return taken ? SPEC_TAKE : folder ? SPEC_ENTER : SPEC_LEAVE;
}

/* Does an item stand in the package with the same kind and bytes? */
static enum sh_err compare(struct collection *c, const struct spec_item *item,
                           const struct spec_fileset_entry *entry, bool *same)
{
    *same = item->kind == (uint16_t)entry->kind && item->size == entry->bytes.size;
    if (!*same || item->size == 0) {
        return SH_OK;
    }
    uint8_t *bytes = malloc(item->size);
    const char *path = spec_bundle_path(&c->bundle, item);
    enum sh_err err = bytes != NULL ? spec_walk_fill(&c->walk, path, item, bytes)
                                    : spec_bundle_refuse(&c->bundle, SH_ERR_NO_MEMORY, entry->bytes,
                                                         "out of memory");
    *same = err == SH_OK && memcmp(bytes, entry->bytes.at, item->size) == 0;
    free(bytes);
    return err;
}

/* Both are in order. */
static enum sh_err drop_unchanged(struct collection *c)
{
    struct spec_bundle *b = &c->bundle;
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    if (spec_bundle_sort(b) != SH_OK || spec_fileset_open(&set, c->outputs->package) != SH_OK) {
        (void)snprintf(b->why, b->why_size, "the package is not a file set");
        return SH_ERR_CORRUPT;
    }
    size_t kept = 0;
    enum sh_err more = spec_fileset_next(&set, &entry);
    for (size_t i = 0; i < b->count; i++) {
        const char *path = spec_bundle_path(b, &b->items[i]);
        while (more == SH_OK && strcmp(entry.path, path) < 0) {
            more = spec_fileset_next(&set, &entry);
        }
        bool same = false;
        enum sh_err err = more == SH_OK && strcmp(entry.path, path) == 0
                              ? compare(c, &b->items[i], &entry, &same)
                              : SH_OK;
        if (err != SH_OK) {
            return err;
        }
        b->bytes -= same ? b->items[i].size : 0;
        if (!same) {
            b->items[kept++] = b->items[i];
        }
    }
    b->count = kept;
    return SH_OK;
}

static enum sh_err compile_patterns(struct collection *c, char *why, size_t why_size)
{
    const struct spec_outputs *outputs = c->outputs;
    if (outputs->pattern_count > SPEC_PACKAGE_PATTERNS_MAX) {
        (void)snprintf(why, why_size, "more than 64 patterns of outputs");
        return SH_ERR_LIMIT;
    }
    c->globs = calloc(SPEC_PACKAGE_PATTERNS_MAX, sizeof c->globs[0]);
    c->took = calloc(SPEC_PACKAGE_PATTERNS_MAX, sizeof c->took[0]);
    if (c->globs == NULL || c->took == NULL) {
        (void)snprintf(why, why_size, "out of memory");
        return SH_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < outputs->pattern_count; i++) {
        const char *what = NULL;
        const char *pattern = outputs->patterns[i];
        if (spec_glob_compile(&c->globs[i], pattern, strlen(pattern), &what) != SH_OK) {
            return spec_bundle_refuse(
                &c->bundle, SH_ERR_INVALID,
                (struct sh_span){.at = (const uint8_t *)pattern, .size = strlen(pattern)}, what);
        }
    }
    return SH_OK;
}

/* Names the largest one. */
static enum sh_err refuse_bytes(struct spec_bundle *b, uint64_t limit)
{
    const struct spec_item *largest = &b->items[0];
    for (size_t i = 1; i < b->count; i++) {
        largest = b->items[i].size > largest->size ? &b->items[i] : largest;
    }
    char what[128];
    (void)snprintf(what, sizeof what, "the largest of the outputs, %llu bytes, more than %llu",
                   (unsigned long long)b->bytes, (unsigned long long)limit);
    struct sh_span path = {.at = (const uint8_t *)spec_bundle_path(b, largest),
                           .size = largest->length};
    return spec_bundle_refuse(b, SH_ERR_LIMIT, path, what);
}

static enum sh_err check_outputs(struct collection *c)
{
    struct spec_bundle *b = &c->bundle;
    for (size_t i = 0; i < c->outputs->pattern_count; i++) {
        if (!c->took[i]) {
            const char *pattern = c->outputs->patterns[i];
            return spec_bundle_refuse(
                b, SH_ERR_NOT_FOUND,
                (struct sh_span){.at = (const uint8_t *)pattern, .size = strlen(pattern)},
                "no file matches this pattern of outputs");
        }
    }
    uint64_t limit = c->outputs->bytes_max;
    if (limit == 0 || limit > SPEC_FILESET_BYTES_MAX) {
        limit = SPEC_FILESET_BYTES_MAX;
    }
    if (b->bytes > limit) {
        return refuse_bytes(b, limit);
    }
    return SH_OK;
}

static enum sh_err collect_once(struct collection *c, uint8_t **bytes, size_t *size)
{
    const struct spec_outputs *outputs = c->outputs;
    int root = -1;
    enum sh_err err = open_root(outputs->dir, &root, c->bundle.why, c->bundle.why_size);
    if (err != SH_OK) {
        return err;
    }
    c->walk = (struct spec_walk){.bundle = &c->bundle, .choose = choose_output, .context = c};
    spec_walk_start(&c->walk, root);
    err = spec_walk_all(&c->walk);
    if (err == SH_OK && outputs->pattern_count == 0) {
        err = drop_unchanged(c);
    }
    if (err == SH_OK) {
        err = check_outputs(c);
    }
    if (err == SH_OK) {
        err = spec_bundle_seal(&c->bundle, "", true, spec_walk_fill, &c->walk, bytes, size);
    }
    spec_walk_end(&c->walk);
    return err;
}

static enum sh_err collect(struct collection *c, uint8_t **bytes, size_t *size)
{
    enum sh_err err = collect_once(c, bytes, size);
    for (uint32_t take = 1; err != SH_OK && c->walk.changed && take < SPEC_PACKAGE_TAKES; take++) {
        c->bundle.count = 0;
        c->bundle.paths_used = 0;
        c->bundle.bytes = 0;
        memset(c->took, 0, SPEC_PACKAGE_PATTERNS_MAX * sizeof c->took[0]);
        err = collect_once(c, bytes, size);
    }
    return err;
}

enum sh_err spec_package_collect(const struct spec_outputs *outputs, uint8_t **bytes, size_t *size,
                                 char *why, size_t why_size)
{
    struct collection c = {.outputs = outputs};
    spec_bundle_open(&c.bundle, SPEC_FILESET_BYTES_MAX, why, why_size);
    c.bundle.bytes_max = UINT64_MAX; /* counted once the unchanged are gone */
    enum sh_err err = compile_patterns(&c, why, why_size);
    if (err == SH_OK) {
        err = collect(&c, bytes, size);
    }
    spec_bundle_close(&c.bundle);
    free(c.globs);
    free(c.took);
    return err;
}

/* ---- the manifest ---- */

static const char *kind_name(enum spec_fileset_kind kind)
{
    switch (kind) {
    case SPEC_FILE:
        return "file";
    case SPEC_PROGRAM:
        return "program";
    case SPEC_FOLDER:
        return "folder";
    case SPEC_LINK:
        return "link";
    }
    SH_UNREACHABLE(); /* spec_fileset_next refused it */
}

enum sh_err spec_package_manifest(struct sh_span blob, char **text, size_t *size)
{
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    if (spec_fileset_open(&set, blob) != SH_OK) {
        return SH_ERR_CORRUPT;
    }
    FILE *out = open_memstream(text, size);
    if (out == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = SH_OK;
    while ((err = spec_fileset_next(&set, &entry)) == SH_OK) {
        uint8_t digest[SH_DIGEST_BYTES];
        char hex[2 * SH_DIGEST_BYTES + 1];
        sh_blake2b(digest, sizeof digest, entry.bytes.at, entry.bytes.size);
        sh_hex(hex, digest, sizeof digest);
        (void)fprintf(out, "%s %zu %s %s\n", kind_name(entry.kind), entry.bytes.size, hex,
                      entry.path);
    }
    bool whole = ferror(out) == 0;
    bool closed = fclose(out) == 0;
    if (err == SH_ERR_NOT_FOUND && whole && closed) {
        return SH_OK;
    }
    free(*text);
    *text = NULL;
    return err == SH_ERR_NOT_FOUND ? SH_ERR_NO_MEMORY : SH_ERR_CORRUPT;
}
