/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a placement and as a need. What decodes must encode to the bytes it came from. */
#include "wire/job.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[2048];
    struct wire_placement placement;
    struct sh_reader r = sh_reader_over(data, size);
    wire_placement_get(&r, &placement);
    if (sh_reader_end(&r) == SH_OK) {
        struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
        wire_placement_put(&w, &placement);
        SH_CHECK_CMP(w.used, ==, r.used);
        SH_CHECK_CMP(memcmp(bytes, data, w.used), ==, 0);
    }
    struct wire_need need;
    struct sh_reader s = sh_reader_over(data, size);
    wire_need_get(&s, &need);
    if (sh_reader_end(&s) == SH_OK && wire_need_ok(&need)) {
        struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
        wire_need_put(&w, &need);
        SH_CHECK_CMP(w.used, ==, s.used);
        SH_CHECK_CMP(memcmp(bytes, data, w.used), ==, 0);
    }
    return 0;
}
