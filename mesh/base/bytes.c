/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"

struct sh_writer sh_writer_over(void *buffer, size_t size)
{
    return (struct sh_writer){.at = buffer, .size = size};
}

static uint8_t *claim(struct sh_writer *w, size_t size)
{
    if (w->full || size > w->size - w->used) {
        w->full = true;
        return NULL;
    }
    uint8_t *at = w->at + w->used;
    w->used += size;
    return at;
}

static inline void put_le(struct sh_writer *w, uint64_t value, size_t size)
{
    uint8_t *at = claim(w, size);
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++) { /* of a fixed number: one store for a compiler */
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    if (at != NULL) {
        memcpy(at, bytes, size);
    }
}

void sh_put_u8(struct sh_writer *w, uint8_t value)
{
    put_le(w, value, 1);
}

void sh_put_u16(struct sh_writer *w, uint16_t value)
{
    put_le(w, value, 2);
}

void sh_put_u32(struct sh_writer *w, uint32_t value)
{
    put_le(w, value, 4);
}

void sh_put_u64(struct sh_writer *w, uint64_t value)
{
    put_le(w, value, 8);
}

void sh_put_f32(struct sh_writer *w, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_le(w, bits, 4);
}

void sh_put_f64(struct sh_writer *w, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_le(w, bits, 8);
}

void sh_put_bytes(struct sh_writer *w, const void *bytes, size_t size)
{
    uint8_t *at = claim(w, size);
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

struct sh_reader sh_reader_over(const void *bytes, size_t size)
{
    return (struct sh_reader){.at = bytes, .size = size};
}

static const uint8_t *take(struct sh_reader *r, size_t size)
{
    if (r->bad || size > r->size - r->used) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *at = r->at + r->used;
    r->used += size;
    return at;
}

static inline uint64_t get_le(struct sh_reader *r, size_t size)
{
    const uint8_t *at = take(r, size);
    uint8_t bytes[8] = {0};
    uint64_t value = 0;
    if (at != NULL) {
        memcpy(bytes, at, size);
    }
    for (size_t i = 0; i < sizeof bytes; i++) { /* of a fixed number: one load for a compiler */
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

uint8_t sh_get_u8(struct sh_reader *r)
{
    return (uint8_t)get_le(r, 1);
}

uint16_t sh_get_u16(struct sh_reader *r)
{
    return (uint16_t)get_le(r, 2);
}

uint32_t sh_get_u32(struct sh_reader *r)
{
    return (uint32_t)get_le(r, 4);
}

uint64_t sh_get_u64(struct sh_reader *r)
{
    return get_le(r, 8);
}

float sh_get_f32(struct sh_reader *r)
{
    uint32_t bits = (uint32_t)get_le(r, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double sh_get_f64(struct sh_reader *r)
{
    uint64_t bits = get_le(r, 8);
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
    const uint8_t *at = take(r, size);
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
    const uint8_t *at = take(r, size);
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
