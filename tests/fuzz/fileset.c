/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a file set: refused with a reason of one line, or entries that lie inside, in order,
 * under safe paths, and that give the same bytes again. */
#include "spec/bundle.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct refill {
    const uint8_t *data;
    struct spec_bundle bundle;
};

static enum sh_err fill(void *context, const char *path, const struct spec_item *item, uint8_t *out)
{
    (void)path;
    const struct refill *r = context;
    memcpy(out, r->data + item->from, item->size);
    return SH_OK;
}

static void check_again(const uint8_t *data, size_t size)
{
    char why[600];
    uint8_t *bytes = NULL;
    size_t length = 0;
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    struct refill r = {.data = data};
    spec_bundle_open(&r.bundle, 0, why, sizeof why);
    SH_CHECK(spec_fileset_open(&set, (struct sh_span){.at = data, .size = size}) == SH_OK);
    while (spec_fileset_next(&set, &entry) == SH_OK) {
        SH_CHECK(entry.path[0] != '/');
        SH_CHECK(strncmp(entry.path, "../", 3) != 0);
        SH_CHECK(strstr(entry.path, "/../") == NULL);
        SH_CHECK(strpbrk(entry.path, "\n\\\x7f") == NULL);
        SH_CHECK(entry.bytes.at >= data);
        SH_CHECK(spec_bundle_add(&r.bundle, set.name, entry.kind, entry.bytes.size,
                                 (uint64_t)(entry.bytes.at - data)) == SH_OK);
    }
    SH_CHECK_CMP(r.bundle.count, ==, set.count);
    SH_CHECK(spec_bundle_seal(&r.bundle, set.root, true, fill, &r, &bytes, &length) == SH_OK);
    SH_CHECK_CMP(length, ==, size);
    SH_CHECK(memcmp(bytes, data, size) == 0);
    spec_bundle_close(&r.bundle);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[600] = "";
    struct sh_span blob = {.at = data, .size = size};
    if (spec_fileset_check(blob, true, why, sizeof why) != SH_OK) {
        SH_CHECK(why[0] != '\0');
        SH_CHECK(strchr(why, '\n') == NULL);
        return 0;
    }
    check_again(data, size);
    return 0;
}
