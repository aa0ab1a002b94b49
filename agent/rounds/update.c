/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/update.h"

static const char MAGIC[4] = {'S', 'H', 'U', '1'};

size_t rounds_update_size(size_t floats, bool controls)
{
    return ROUNDS_UPDATE_HEAD + (controls ? 2 : 1) * floats * sizeof(float);
}

void rounds_update_encode(uint64_t round, const float *change, const float *controls, size_t floats,
                          uint8_t *out)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are copied as they lie");
    struct sh_writer w = sh_writer_over(out, rounds_update_size(floats, controls != NULL));
    sh_put_bytes(&w, MAGIC, sizeof MAGIC);
    sh_put_u32(&w, 1);
    sh_put_u64(&w, round);
    sh_put_u64(&w, floats);
    sh_put_u64(&w, controls != NULL ? floats : 0);
    SH_CHECK_CMP(w.used, ==, ROUNDS_UPDATE_HEAD);
    sh_put_bytes(&w, change, floats * sizeof *change);
    sh_put_bytes(&w, controls, controls != NULL ? floats * sizeof *controls : 0);
    SH_CHECK(!w.full);
}

enum sh_err rounds_update_decode(struct sh_span bytes, uint64_t round, float *change,
                                 float *controls, size_t floats)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    uint8_t magic[sizeof MAGIC];
    sh_get_bytes(&r, magic, sizeof magic);
    uint32_t version = sh_get_u32(&r);
    uint64_t of = sh_get_u64(&r);
    uint64_t count = sh_get_u64(&r);
    uint64_t varied = sh_get_u64(&r);
    if (r.bad || memcmp(magic, MAGIC, sizeof magic) != 0) {
        return SH_ERR_CORRUPT;
    }
    if (version != 1) {
        return SH_ERR_VERSION;
    }
    if (of != round || count != floats || varied != (controls != NULL ? floats : 0)) {
        return SH_ERR_CONFLICT;
    }
    if (bytes.size != rounds_update_size(floats, controls != NULL)) {
        return SH_ERR_CORRUPT;
    }
    sh_get_bytes(&r, change, floats * sizeof *change);
    sh_get_bytes(&r, controls, controls != NULL ? floats * sizeof *controls : 0);
    return sh_reader_end(&r);
}
