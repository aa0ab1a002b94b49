/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"

void sh_put_f32(struct sh_writer *w, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    sh_put_le(w, bits, 4);
}

void sh_put_f64(struct sh_writer *w, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    sh_put_le(w, bits, 8);
}

void sh_put_bytes(struct sh_writer *w, const void *bytes, size_t size)
{
    uint8_t *at = sh_put_room(w, size);
    if (at != NULL && size > 0) {
        memcpy(at, bytes, size);
    }
}

void sh_put_blob(struct sh_writer *w, const void *bytes, size_t size)
{
    SH_CHECK_CMP(size, <=, UINT32_MAX);
    sh_put_u32(w, (uint32_t)size);
    sh_put_bytes(w, bytes, size);
}

void sh_put_str(struct sh_writer *w, const char *text)
{
    sh_put_blob(w, text, strlen(text));
}

float sh_get_f32(struct sh_reader *r)
{
    uint32_t bits = (uint32_t)sh_get_le(r, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double sh_get_f64(struct sh_reader *r)
{
    uint64_t bits = sh_get_le(r, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

bool sh_get_bool(struct sh_reader *r)
{
    uint8_t value = sh_get_u8(r);
    r->bad = r->bad || value > 1;
    return !r->bad && value == 1;
}

void sh_get_bytes(struct sh_reader *r, void *out, size_t size)
{
    const uint8_t *at = sh_get_room(r, size);
    if (at == NULL) {
        memset(out, 0, size);
    } else if (size > 0) {
        memcpy(out, at, size);
    }
}

struct sh_span sh_get_blob(struct sh_reader *r, size_t max)
{
    size_t size = sh_get_u32(r);
    r->bad = r->bad || size > max;
    const uint8_t *at = sh_get_room(r, size);
    return at == NULL ? (struct sh_span){0} : (struct sh_span){.at = at, .size = size};
}

void sh_get_str(struct sh_reader *r, char *out, size_t size)
{
    SH_CHECK(size > 0);
    struct sh_span text = sh_get_blob(r, size - 1);
    if (text.size > 0 && memchr(text.at, 0, text.size) != NULL) {
        r->bad = true;
        text.size = 0;
    }
    if (text.size > 0) {
        memcpy(out, text.at, text.size);
    }
    out[text.size] = '\0';
}

size_t sh_reader_left(const struct sh_reader *r)
{
    return r->bad ? 0 : r->size - r->used;
}

enum sh_err sh_reader_end(const struct sh_reader *r)
{
    return r->bad ? SH_ERR_CORRUPT : SH_OK;
}

void sh_key_u64(uint8_t out[static 8], uint64_t value)
{
    for (size_t i = 0; i < 8; i++) {
        out[i] = (uint8_t)(value >> (56 - 8 * i));
    }
}

uint64_t sh_key_u64_get(const uint8_t in[static 8])
{
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++) {
        value = value << 8 | in[i];
    }
    return value;
}
