/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/bundle.h"

#include <string.h>

static enum sh_err fill(void *context, const char *path, const struct spec_item *item, uint8_t *out)
{
    const struct spec_fileset_member *members = context;
    (void)path;
    if (item->size > 0) {
        memcpy(out, members[item->from].bytes.at, item->size);
    }
    return SH_OK;
}

enum sh_err spec_fileset_make(const struct spec_fileset_member *members, size_t count,
                              const char *root, uint8_t **bytes, size_t *size, char *why,
                              size_t why_size)
{
    struct spec_bundle b;
    enum sh_err err = SH_OK;
    *bytes = NULL;
    spec_bundle_open(&b, 0, why, why_size);
    for (size_t i = 0; err == SH_OK && i < count; i++) {
        struct sh_span path = {.at = (const uint8_t *)members[i].path,
                               .size = strlen(members[i].path)};
        err = spec_bundle_add(&b, path, SPEC_FILE, members[i].bytes.size, i);
    }
    err = err == SH_OK
              ? spec_bundle_seal(&b, root, true, fill, (void *)(uintptr_t)members, bytes, size)
              : err;
    spec_bundle_close(&b);
    return err;
}

enum sh_err spec_fileset_find(struct sh_span blob, const char *path, struct sh_span *bytes)
{
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    enum sh_err err = spec_fileset_open(&set, blob);
    while (err == SH_OK) {
        err = spec_fileset_next(&set, &entry);
        bool file = err == SH_OK && (entry.kind == SPEC_FILE || entry.kind == SPEC_PROGRAM);
        if (file && strcmp(entry.path, path) == 0) {
            *bytes = entry.bytes;
            return SH_OK;
        }
    }
    return err;
}
