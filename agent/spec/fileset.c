/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/fileset.h"

#include "spec/glob.h"

#include <stdio.h>
#include <string.h>

_Static_assert(SPEC_FILESET_BYTES_MAX <= UINT32_MAX, "an offset of the index fits 32 bits");

static const char *name_wrong(const uint8_t *at, size_t size)
{
    if (size == 0) {
        return "an absolute path, or one with an empty part";
    }
    if (size > SPEC_FILESET_NAME_MAX) {
        return "a name of more than 255 bytes";
    }
    if (size == 1 && at[0] == '.') {
        return "a path with a \".\" part";
    }
    if (size == 2 && at[0] == '.' && at[1] == '.') {
        return "a path with a \"..\" part";
    }
    for (size_t used, i = 0; i < size; i += used) {
        uint32_t c = spec_glob_decode((const char *)at + i, size - i, &used);
        if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
            return "a name with a control character";
        }
        if (c >= 0xdc00 && c <= 0xdcff) {
            return "a name that is not UTF-8";
        }
        if (c == '\\') {
            return "a name with a backslash";
        }
    }
    return NULL;
}

const char *spec_fileset_path_wrong(struct sh_span path)
{
    if (path.size > SPEC_FILESET_PATH_MAX) {
        return "a path of more than 1023 bytes";
    }
    if (path.size == 0) {
        return name_wrong(path.at, 0);
    }
    uint32_t depth = 0;
    for (size_t at = 0;;) {
        const uint8_t *slash = at < path.size ? memchr(path.at + at, '/', path.size - at) : NULL;
        size_t size = slash != NULL ? (size_t)(slash - path.at) - at : path.size - at;
        const char *wrong = name_wrong(path.at + at, size);
        if (wrong != NULL) {
            return wrong;
        }
        if (++depth > SPEC_FILESET_DEPTH_MAX) {
            return "more than 64 folders deep";
        }
        if (slash == NULL) {
            return NULL;
        }
        at += size + 1;
    }
}

const char *spec_fileset_target_wrong(struct sh_span target, const char *link)
{
    if (target.size == 0 || target.size > SPEC_FILESET_PATH_MAX) {
        return "a link to nothing, or to more than 1023 bytes";
    }
    if (target.at[0] == '/') {
        return "a link to an absolute path";
    }
    size_t folders = 0;
    for (const char *at = strchr(link, '/'); at != NULL; at = strchr(at + 1, '/')) {
        folders++;
    }
    size_t ups = 0;
    bool named = false;
    for (size_t at = 0; at <= target.size;) {
        const uint8_t *slash =
            at < target.size ? memchr(target.at + at, '/', target.size - at) : NULL;
        size_t size = slash != NULL ? (size_t)(slash - target.at) - at : target.size - at;
        const uint8_t *part = target.at + at;
        at += size + 1;
        if (size == 0 || (size == 1 && part[0] == '.')) {
            continue; /* "./a" and "a/" are common */
        }
        if (size == 2 && part[0] == '.' && part[1] == '.') {
            ups++;
            if (ups > folders) {
                return "a link that leaves the tree";
            }
            if (named) { /* the name may be a link to somewhere else: ".." of what, then? */
                return "a link with \"..\" after a name";
            }
            continue;
        }
        named = true;
        const char *wrong = name_wrong(part, size);
        if (wrong != NULL) {
            return "a link to a name that no entry can have";
        }
    }
    return NULL;
}

void spec_fileset_show(struct sh_span path, char out[static SPEC_FILESET_SHOWN_BYTES])
{
    size_t used = 0;
    size_t half = SPEC_FILESET_SHOWN_BYTES / 2;
    for (size_t length, i = 0; i < path.size; i += length) {
        uint32_t c = spec_glob_decode((const char *)path.at + i, path.size - i, &length);
        bool plain =
            c >= 0x20 && c != '\\' && !(c >= 0x7f && c < 0xa0) && !(c >= 0xdc00 && c <= 0xdcff);
        if (used >= half && path.size - i > 30) { /* four bytes each at most, and the dots */
            used += (size_t)snprintf(out + used, SPEC_FILESET_SHOWN_BYTES - used, "...");
            size_t left = 24;
            while (left > 0 && (path.at[path.size - left] & 0xc0) == 0x80) {
                left--; /* never from inside a character */
            }
            i = path.size - left;
            length = 0;
            half = SPEC_FILESET_SHOWN_BYTES;
            continue;
        }
        if (plain) {
            memcpy(out + used, path.at + i, length);
            used += length;
            continue;
        }
        for (size_t k = 0; k < length; k++) {
            uint8_t byte = path.at[i + k];
            const char *named = byte == '\n' ? "\\n" : byte == '\t' ? "\\t" : NULL;
            char hex[8];
            (void)snprintf(hex, sizeof hex, "\\x%02x", byte);
            used += (size_t)snprintf(out + used, SPEC_FILESET_SHOWN_BYTES - used, "%s",
                                     byte == '\\'    ? "\\"
                                     : named != NULL ? named
                                                     : hex);
        }
    }
    SH_CHECK_CMP(used, <, SPEC_FILESET_SHOWN_BYTES);
    out[used] = '\0';
}

static struct sh_span span_of(const char *text)
{
    return (struct sh_span){.at = (const uint8_t *)text, .size = strlen(text)};
}

enum sh_err spec_fileset_open(struct spec_fileset *set, struct sh_span blob)
{
    *set = (struct spec_fileset){.reader = sh_reader_over(blob.at, blob.size)};
    uint32_t magic = sh_get_u32(&set->reader);
    sh_get_str(&set->reader, set->root, sizeof set->root);
    set->count = sh_get_u32(&set->reader);
    bool root = set->root[0] == '\0' || spec_fileset_path_wrong(span_of(set->root)) == NULL;
    if (sh_reader_end(&set->reader) != SH_OK || magic != SPEC_FILESET_MAGIC || !root) {
        return SH_ERR_CORRUPT;
    }
    return set->count <= SPEC_FILESET_ENTRIES_MAX ? SH_OK : SH_ERR_LIMIT;
}

static enum sh_err bad(struct spec_fileset *set, const char *wrong)
{
    set->wrong = wrong;
    set->next = set->count; /* nothing after it can be trusted */
    return SH_ERR_CORRUPT;
}

static const char *kind_wrong(const struct spec_fileset_entry *entry)
{
    switch (entry->kind) {
    case SPEC_FILE:
    case SPEC_PROGRAM:
        return NULL;
    case SPEC_FOLDER:
        return entry->bytes.size == 0 ? NULL : "a folder with bytes";
    case SPEC_LINK:
        return spec_fileset_target_wrong(entry->bytes, entry->path);
    }
    return "neither a file, a program, an empty folder nor a link";
}

enum sh_err spec_fileset_next(struct spec_fileset *set, struct spec_fileset_entry *entry)
{
    if (set->next == set->count) {
        return SH_ERR_NOT_FOUND;
    }
    set->entry = set->next + 1;
    uint32_t kind = sh_get_u8(&set->reader);
    uint64_t offset = sh_get_u64(&set->reader);
    uint64_t size = sh_get_u64(&set->reader);
    set->name = sh_get_blob(&set->reader, SPEC_FILESET_PATH_MAX);
    if (sh_reader_end(&set->reader) != SH_OK) {
        return bad(set, "the index ends too early, or a path is longer than 1023 bytes");
    }
    const char *wrong = spec_fileset_path_wrong(set->name);
    if (wrong != NULL) {
        return bad(set, wrong);
    }
    memcpy(entry->path, set->name.at, set->name.size);
    entry->path[set->name.size] = '\0';
    uint64_t total = set->reader.size;
    bool placed = set->next == 0 ? offset <= total : offset == set->data_at;
    if (!placed || size > total - offset || offset < set->reader.used) {
        return bad(set, "its bytes are not where the index says, or more than there are");
    }
    if (strcmp(set->previous, entry->path) >= 0) {
        return bad(set, "twice in the index, or not in its order");
    }
    entry->kind = (enum spec_fileset_kind)kind;
    entry->bytes = (struct sh_span){.at = set->reader.at + offset, .size = (size_t)size};
    wrong = kind_wrong(entry);
    if (wrong != NULL) {
        return bad(set, wrong);
    }
    set->data_at = offset + size;
    set->next++;
    (void)snprintf(set->previous, sizeof set->previous, "%s", entry->path);
    return SH_OK;
}
