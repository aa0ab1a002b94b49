/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a .shoalignore, and behind the first NUL a path: refused with the line named, or a
 * folder that is left out takes all below it along. */
#include "spec/ignore.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct spec_ignore ignore;
    char why[256] = "";
    char path[512];
    char below[520];
    const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
    size_t length = end != NULL ? (size_t)(end - data) : size;
    enum sh_err err = spec_ignore_open(&ignore, (const char *)data, length, why, sizeof why);
    if (err != SH_OK) {
        SH_CHECK(strstr(why, ".shoalignore:") == why);
        spec_ignore_close(&ignore);
        return 0;
    }
    (void)snprintf(path, sizeof path, "%.*s", end != NULL ? (int)(size - length - 1) : 0,
                   end != NULL ? (const char *)end + 1 : "");
    (void)snprintf(below, sizeof below, "%s/x", path);
    if (spec_ignore_drops(&ignore, path, true)) {
        SH_CHECK(spec_ignore_drops(&ignore, below, false));
    }
    spec_ignore_close(&ignore);
    return 0;
}
