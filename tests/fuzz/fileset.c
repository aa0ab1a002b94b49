/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a file set: entries lie inside, in order, without overlap, under safe paths. */
#include "spec/fileset.h"

#include "base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    if (spec_fileset_open(&set, (struct sh_span){.at = data, .size = size}) != SH_OK) {
        return 0;
    }
    const uint8_t *end = data;
    char previous[SPEC_FILESET_PATH_MAX + 1] = "";
    while (spec_fileset_next(&set, &entry) == SH_OK) {
        SH_CHECK(entry.bytes.at >= end);
        SH_CHECK(entry.bytes.size <= size - (size_t)(entry.bytes.at - data));
        SH_CHECK(strcmp(previous, entry.path) < 0);
        SH_CHECK(entry.path[0] != '/');
        SH_CHECK(strstr(entry.path, "../") == NULL);
        end = entry.bytes.at + entry.bytes.size;
        memcpy(previous, entry.path, sizeof previous);
    }
    return 0;
}
