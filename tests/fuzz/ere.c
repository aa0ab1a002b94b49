/* SPDX-License-Identifier: Apache-2.0
 *
 * The first line as a pattern, the rest as the text it looks at. */
#include "base/ere.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sh_ere ere;
    const char *text = (const char *)data;
    const char *why = NULL;
    struct sh_ere_found found;
    if (size == 0) {
        return 0;
    }
    const char *end = memchr(text, '\n', size);
    const size_t length = end != NULL ? (size_t)(end - text) : size;
    const size_t rest = end != NULL ? size - length - 1 : 0;
    const enum sh_err err = sh_ere_compile(&ere, text, length, &why);
    SH_CHECK((err == SH_OK) == (why == NULL));
    SH_CHECK_CMP(ere.count, <=, SH_ERE_STEPS_MAX);
    if (err == SH_OK && sh_ere_search(&ere, text + size - rest, rest, &found)) {
        SH_CHECK_CMP(found.begin, <=, found.end);
        SH_CHECK_CMP(found.end, <=, rest);
        SH_CHECK(SH_IMPLIES(found.grouped, found.begin <= found.group_begin &&
                                               found.group_begin <= found.group_end &&
                                               found.group_end <= found.end));
    }
    return 0;
}
