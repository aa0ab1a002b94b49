/* SPDX-License-Identifier: Apache-2.0
 *
 * The one home of libarchive. It reads; what may be packed is decided here and in bundle.c. */
#include "spec/package.h"

#include "spec/bundle.h"
#include "spec/ignore.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES 65536u

struct unpack {
    struct sh_span packed;
    struct archive *archive;
    uint64_t unpacked; /* bytes in this pass, of what is left out too */
    uint32_t entries;  /* in this pass */
    struct spec_bundle bundle;
    struct spec_ignore ignore;
    uint8_t *data; /* bytes of the entries taken; item->from says where */
    size_t used;
    size_t capacity;
    uint8_t block[READ_BYTES];
};

struct entry {           /* of an archive; borrows from it until the next one */
    struct sh_span path; /* without "./" in front and '/' behind */
    struct archive_entry *header;
    bool folder;
};

typedef enum sh_err (*visit)(struct unpack *u, const struct entry *entry);

static struct sh_span span_of(const char *text)
{
    return (struct sh_span){.at = (const uint8_t *)text, .size = text != NULL ? strlen(text) : 0};
}

/* What libarchive says, in one line: it may quote what it read. */
static void show_error(struct unpack *u, char shown[static SPEC_FILESET_SHOWN_BYTES])
{
    const char *text = archive_error_string(u->archive);
    spec_fileset_show(span_of(text != NULL ? text : "it does not say why"), shown);
}

static enum sh_err open_archive(struct unpack *u)
{
    u->archive = archive_read_new();
    u->unpacked = 0;
    u->entries = 0;
    if (u->archive == NULL) {
        (void)snprintf(u->bundle.why, u->bundle.why_size, "out of memory");
        return SH_ERR_NO_MEMORY;
    }
    bool opened = archive_read_support_filter_gzip(u->archive) == ARCHIVE_OK &&
                  archive_read_support_format_tar(u->archive) == ARCHIVE_OK &&
                  archive_read_support_format_zip(u->archive) == ARCHIVE_OK &&
                  archive_read_open_memory(u->archive, u->packed.at, u->packed.size) == ARCHIVE_OK;
    if (!opened) {
        char shown[SPEC_FILESET_SHOWN_BYTES];
        show_error(u, shown);
        (void)snprintf(u->bundle.why, u->bundle.why_size,
                       "not a whole tar, tar.gz or zip archive: %s", shown);
        return SH_ERR_CORRUPT;
    }
    return SH_OK;
}

static void close_archive(struct unpack *u)
{
    (void)archive_read_free(u->archive); /* was read only */
    u->archive = NULL;
}

static enum sh_err refuse_damage(struct unpack *u, struct sh_span path)
{
    char shown[SPEC_FILESET_SHOWN_BYTES];
    char what[SPEC_FILESET_SHOWN_BYTES + 16];
    show_error(u, shown);
    (void)snprintf(what, sizeof what, "damaged: %s", shown);
    return spec_bundle_refuse(&u->bundle, SH_ERR_CORRUPT, path, what);
}

/* The next part of an entry's bytes in u->block: *got of them, 0 at its end. */
static enum sh_err read_block(struct unpack *u, const struct entry *entry, size_t *got)
{
    la_ssize_t n = archive_read_data(u->archive, u->block, sizeof u->block);
    if (n < 0) {
        return refuse_damage(u, entry->path);
    }
    *got = (size_t)n;
    u->unpacked += (uint64_t)n;
    if (u->unpacked > SPEC_PACKAGE_RATIO_BYTES &&
        u->unpacked / SPEC_PACKAGE_RATIO_MAX > u->packed.size) {
        return spec_bundle_refuse(&u->bundle, SH_ERR_LIMIT, entry->path,
                                  "with it the archive unpacks to more than 200 times its size");
    }
    return SH_OK;
}

static enum sh_err next_entry(struct unpack *u, struct entry *entry, bool *end)
{
    int got = archive_read_next_header(u->archive, &entry->header);
    *end = got == ARCHIVE_EOF;
    if (*end) {
        return SH_OK;
    }
    if (got != ARCHIVE_OK &&
        got != ARCHIVE_WARN) { /* WARN: it has oddities that do not matter here */
        char after[48];
        (void)snprintf(after, sizeof after, "entry %u of the archive", u->entries + 1);
        return refuse_damage(u, span_of(after));
    }
    const char *path = archive_entry_pathname_utf8(entry->header);
    entry->path = span_of(path != NULL ? path : archive_entry_pathname(entry->header));
    entry->folder = archive_entry_filetype(entry->header) == AE_IFDIR;
    while (entry->path.size >= 2 && memcmp(entry->path.at, "./", 2) == 0) {
        entry->path.at += 2;
        entry->path.size -= 2;
    }
    while (entry->folder && entry->path.size > 0 && entry->path.at[entry->path.size - 1] == '/' &&
           entry->path.size > 1) {
        entry->path.size--;
    }
    if (entry->folder && entry->path.size == 1 && entry->path.at[0] == '.') {
        entry->path.size = 0; /* "." is the root, as "./" is */
    }
    u->entries++;
    if (u->entries > SPEC_FILESET_ENTRIES_MAX) {
        return spec_bundle_refuse(&u->bundle, SH_ERR_LIMIT, entry->path,
                                  "more than 1,000,000 entries");
    }
    return SH_OK;
}

/* All entries from the first on, with what the visitor left of each read past. */
static enum sh_err each_entry(struct unpack *u, visit visitor)
{
    enum sh_err err = open_archive(u);
    bool end = false;
    while (err == SH_OK) {
        struct entry entry;
        err = next_entry(u, &entry, &end);
        if (err != SH_OK || end) {
            break;
        }
        err = visitor(u, &entry);
        for (size_t got = 1; err == SH_OK && got > 0;) {
            err = read_block(u, &entry, &got);
        }
    }
    close_archive(u);
    return err;
}

static enum sh_err append(struct unpack *u, const struct entry *entry, size_t size)
{
    if (size == 0) {
        return SH_OK; /* there may be no array yet */
    }
    if (u->capacity - u->used < size) {
        size_t wanted = 2 * (u->capacity + size);
        uint8_t *data = realloc(u->data, wanted);
        if (data == NULL) {
            return spec_bundle_refuse(&u->bundle, SH_ERR_NO_MEMORY, entry->path, "out of memory");
        }
        u->data = data;
        u->capacity = wanted;
    }
    memcpy(u->data + u->used, u->block, size);
    u->used += size;
    return SH_OK;
}

/* The rest of an entry's bytes onto u->data, at most limit. */
static enum sh_err take_bytes(struct unpack *u, const struct entry *entry, uint64_t limit)
{
    size_t start = u->used;
    size_t got = 1;
    while (got > 0) {
        enum sh_err err = read_block(u, entry, &got);
        if (err == SH_OK && u->used + got - start > limit) {
            err = spec_bundle_refuse(&u->bundle, SH_ERR_LIMIT, entry->path,
                                     "with it there are too many bytes");
        }
        if (err == SH_OK) {
            err = append(u, entry, got);
        }
        if (err != SH_OK) {
            return err;
        }
    }
    return SH_OK;
}

static bool is_ignore_file(const struct entry *entry)
{
    return entry->path.size == strlen(SPEC_IGNORE_FILE) &&
           memcmp(entry->path.at, SPEC_IGNORE_FILE, entry->path.size) == 0 &&
           archive_entry_filetype(entry->header) == AE_IFREG;
}

static enum sh_err find_ignore(struct unpack *u, const struct entry *entry)
{
    if (!is_ignore_file(entry) || u->used > 0) {
        return SH_OK;
    }
    return take_bytes(u, entry, SPEC_IGNORE_BYTES_MAX);
}

/* What no file system of ours should get, or NULL. */
static const char *header_wrong(struct archive_entry *header)
{
    if (archive_entry_hardlink(header) != NULL || archive_entry_hardlink_utf8(header) != NULL) {
        return "a hard link; archive the file itself twice (tar --hard-dereference)";
    }
    if (archive_entry_is_encrypted(header)) {
        return "encrypted";
    }
    unsigned type = archive_entry_filetype(header);
    if (type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK) {
        return type == AE_IFIFO    ? "a pipe; only files, folders and links are packed"
               : type == AE_IFSOCK ? "a socket; only files, folders and links are packed"
                                   : "a device; only files, folders and links are packed";
    }
    if (type == AE_IFREG && (archive_entry_perm(header) & 06000) != 0) {
        return "a program with set-user-id or set-group-id";
    }
    return NULL;
}

static enum sh_err take_link(struct unpack *u, const struct entry *entry)
{
    const char *text = archive_entry_symlink_utf8(entry->header);
    struct sh_span target = span_of(text != NULL ? text : archive_entry_symlink(entry->header));
    char link[SPEC_FILESET_PATH_MAX + 1];
    SH_CHECK_CMP(entry->path.size, <, sizeof link);
    memcpy(link, entry->path.at, entry->path.size);
    link[entry->path.size] = '\0';
    const char *wrong = spec_fileset_target_wrong(target, link);
    if (wrong != NULL) {
        return spec_bundle_refuse(&u->bundle, SH_ERR_INVALID, entry->path, wrong);
    }
    size_t from = u->used;
    memcpy(u->block, target.at, target.size);
    enum sh_err err = append(u, entry, target.size);
    return err == SH_OK ? spec_bundle_add(&u->bundle, entry->path, SPEC_LINK, target.size, from)
                        : err;
}

static enum sh_err take_entry(struct unpack *u, const struct entry *entry)
{
    if (entry->folder && entry->path.size == 0) {
        return SH_OK; /* the root */
    }
    const char *wrong = spec_fileset_path_wrong(entry->path);
    char path[SPEC_FILESET_PATH_MAX + 1];
    if (wrong == NULL) {
        memcpy(path, entry->path.at, entry->path.size);
        path[entry->path.size] = '\0';
        if (spec_ignore_drops(&u->ignore, path, entry->folder)) {
            return SH_OK;
        }
        wrong = header_wrong(entry->header);
    }
    if (wrong != NULL) {
        return spec_bundle_refuse(&u->bundle, SH_ERR_INVALID, entry->path, wrong);
    }
    if (entry->folder) {
        return spec_bundle_add(&u->bundle, entry->path, SPEC_FOLDER, 0, 0);
    }
    if (archive_entry_filetype(entry->header) == AE_IFLNK) {
        return take_link(u, entry);
    }
    size_t from = u->used;
    enum sh_err err = take_bytes(u, entry, u->bundle.bytes_max - u->bundle.bytes);
    bool program = (archive_entry_perm(entry->header) & 0100) != 0;
    return err == SH_OK ? spec_bundle_add(&u->bundle, entry->path,
                                          program ? SPEC_PROGRAM : SPEC_FILE, u->used - from, from)
                        : err;
}

static enum sh_err fill(void *context, const char *path, const struct spec_item *item, uint8_t *out)
{
    (void)path;
    const struct unpack *u = context;
    SH_CHECK_CMP(item->from + item->size, <=, u->used);
    if (item->size > 0) {
        memcpy(out, u->data + item->from, item->size);
    }
    return SH_OK;
}

static enum sh_err pack(struct unpack *u, uint8_t **bytes, size_t *size)
{
    /* The .shoalignore may be the last entry, so there are two passes. */
    enum sh_err err = each_entry(u, find_ignore);
    if (err == SH_OK) {
        err = spec_ignore_open(&u->ignore, (const char *)u->data, u->used, u->bundle.why,
                               u->bundle.why_size);
    }
    u->used = 0;
    if (err == SH_OK) {
        err = each_entry(u, take_entry);
    }
    return err == SH_OK ? spec_bundle_seal(&u->bundle, "", true, fill, u, bytes, size) : err;
}

static enum sh_err pack_from(struct sh_span archive, uint8_t **bytes, size_t *size, char *why,
                             size_t why_size)
{
    struct unpack *u = calloc(1, sizeof *u);
    if (u == NULL) {
        (void)snprintf(why, why_size, "out of memory");
        return SH_ERR_NO_MEMORY;
    }
    u->packed = archive;
    spec_bundle_open(&u->bundle, SPEC_FILESET_BYTES_MAX, why, why_size);
    enum sh_err err = pack(u, bytes, size);
    spec_bundle_close(&u->bundle);
    spec_ignore_close(&u->ignore);
    free(u->data);
    free(u);
    return err;
}

/* libarchive loses names that the locale of the thread cannot say, so it gets one that can. */
enum sh_err spec_package_pack_archive(struct sh_span archive, uint8_t **bytes, size_t *size,
                                      char *why, size_t why_size)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (utf8 == (locale_t)0) {
        (void)snprintf(why, why_size, "this system lacks the locale C.UTF-8");
        return SH_ERR_UNSUPPORTED;
    }
    locale_t before = uselocale(utf8);
    enum sh_err err = pack_from(archive, bytes, size, why, why_size);
    (void)uselocale(before);
    freelocale(utf8);
    return err;
}
