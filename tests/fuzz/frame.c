/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a frame: never more payload than there is, and encoding gives the bytes back. */
#include "wire/frame.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_header header;
    struct sh_span payload;
    enum sh_err err = frame_decode((struct sh_span){.at = data, .size = size}, &header, &payload);
    if (err == SH_ERR_CORRUPT) {
        SH_CHECK(payload.size == 0);
        return 0;
    }
    SH_CHECK_CMP(payload.size + FRAME_HEADER_BYTES, ==, size);
    (void)frame_type_name(header.type);
    if (err == SH_OK && header.flags == 0) {
        uint8_t again[FRAME_HEADER_BYTES];
        frame_encode(again, header.type, header.length, header.cluster);
        SH_CHECK(memcmp(again, data, sizeof again) == 0);
    }
    return 0;
}
