/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as an archive: refused with a reason of one line, or a good package. */
#include "spec/package.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[600] = "";
    uint8_t *bytes = NULL;
    size_t length = 0;
    struct sh_span archive = {.at = data, .size = size};
    if (spec_package_pack_archive(archive, &bytes, &length, why, sizeof why) != SH_OK) {
        SH_CHECK(bytes == NULL);
        SH_CHECK(why[0] != '\0');
        SH_CHECK(strchr(why, '\n') == NULL);
        return 0;
    }
    struct sh_span blob = {.at = bytes, .size = length};
    SH_CHECK(spec_fileset_check(blob, true, why, sizeof why) == SH_OK);
    free(bytes);
    return 0;
}
