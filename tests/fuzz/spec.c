/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a job file: refused with at least one error, or a job whose canonical form is read
 * back to the same canonical form. */
#include "spec/spec.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct spec_job job;
    struct spec_errors errors;
    char first[SH_SPEC_BYTES_MAX];
    char second[SH_SPEC_BYTES_MAX];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = calloc(1, sizeof *w);
    SH_CHECK(w != NULL);
    if (spec_parse((const char *)data, size, &w->job, &w->errors) != SH_OK) {
        SH_CHECK(w->errors.count > 0);
        char line[512];
        (void)spec_error_text(&w->errors.at[0], "f", line, sizeof line);
        SH_CHECK(strchr(line, '\n') == NULL);
        free(w);
        return 0;
    }
    size_t first = 0;
    size_t second = 0;
    SH_CHECK(spec_canonical(&w->job, w->first, sizeof w->first, &first) == SH_OK);
    SH_CHECK(spec_parse(w->first, first, &w->job, &w->errors) == SH_OK);
    SH_CHECK(spec_canonical(&w->job, w->second, sizeof w->second, &second) == SH_OK);
    SH_CHECK_CMP(first, ==, second);
    SH_CHECK(memcmp(w->first, w->second, first) == 0);
    free(w);
    return 0;
}
