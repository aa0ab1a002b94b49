/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/frame.h"

void frame_encode(uint8_t out[static FRAME_HEADER_BYTES], uint16_t type, uint32_t length,
                  const uint8_t cluster[static SH_CLUSTER_ID_BYTES])
{
    struct sh_writer w = sh_writer_over(out, FRAME_HEADER_BYTES);
    sh_put_u32(&w, FRAME_MAGIC);
    sh_put_u16(&w, FRAME_MAJOR);
    sh_put_u16(&w, type);
    sh_put_u32(&w, 0);
    sh_put_u32(&w, length);
    sh_put_bytes(&w, cluster, SH_CLUSTER_ID_BYTES);
    SH_CHECK(!w.full);
    SH_CHECK_CMP(w.used, ==, FRAME_HEADER_BYTES);
}

enum sh_err frame_decode(struct sh_span bytes, struct frame_header *header, struct sh_span *payload)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    uint32_t magic = sh_get_u32(&r);
    *header = (struct frame_header){0};
    *payload = (struct sh_span){0};
    header->major = sh_get_u16(&r);
    header->type = sh_get_u16(&r);
    header->flags = sh_get_u32(&r);
    header->length = sh_get_u32(&r);
    sh_get_bytes(&r, header->cluster, sizeof header->cluster);
    if (r.bad || magic != FRAME_MAGIC || sh_reader_left(&r) != header->length) {
        return SH_ERR_CORRUPT;
    }
    *payload = (struct sh_span){.at = bytes.at + r.used, .size = header->length};
    return header->major == FRAME_MAJOR ? SH_OK : SH_ERR_VERSION;
}

static uint32_t planes_of(uint16_t type)
{
    switch (type) {
#define X(number, name, planes)                                                                    \
    case number:                                                                                   \
        return (planes);
        FRAME_TYPE_MAP(X)
#undef X
    default:
        return 0;
    }
}

const char *frame_type_name(uint16_t type)
{
    switch (type) {
#define X(number, name, planes)                                                                    \
    case number:                                                                                   \
        return #name;
        FRAME_TYPE_MAP(X)
#undef X
    default:
        return "UNKNOWN";
    }
}

bool frame_type_on(uint16_t type, uint32_t plane)
{
    return (planes_of(type) & plane) != 0;
}
