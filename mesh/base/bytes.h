/* SPDX-License-Identifier: Apache-2.0
 *
 * Byte cursors: the only way numbers enter or leave wire and disk records. Little-endian.
 * Errors are sticky: write or read a whole record, then look once. A reader never reads past its
 * end, whatever the bytes say; after the first failure every read gives zero. Both borrow the
 * buffer they are given. All calls are O(bytes moved). */
#ifndef SH_BASE_BYTES_H
#define SH_BASE_BYTES_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sh_span { /* borrowed bytes */
    const uint8_t *at;
    size_t size;
};

struct sh_writer {
    uint8_t *at;
    size_t size; /* capacity */
    size_t used;
    bool full; /* a put did not fit; used stays where it was */
};

struct sh_reader {
    const uint8_t *at;
    size_t size;
    size_t used;
    bool bad; /* a get went past the end, or a value was refused by the caller */
};

static inline struct sh_writer sh_writer_over(void *buffer, size_t size)
{
    return (struct sh_writer){.at = (uint8_t *)buffer, .size = size};
}

/* Room for size bytes, or NULL when they do not fit. */
static inline uint8_t *sh_put_room(struct sh_writer *w, size_t size)
{
    if (w->full || size > w->size - w->used) {
        w->full = true;
        return NULL;
    }
    uint8_t *at = w->at + w->used;
    w->used += size;
    return at;
}

static inline void sh_put_le(struct sh_writer *w, uint64_t value, size_t size)
{
    uint8_t *at = sh_put_room(w, size);
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++) { /* of a fixed number: one store for a compiler */
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    if (at != NULL) {
        memcpy(at, bytes, size);
    }
}

static inline void sh_put_u8(struct sh_writer *w, uint8_t value)
{
    sh_put_le(w, value, 1);
}

static inline void sh_put_u16(struct sh_writer *w, uint16_t value)
{
    sh_put_le(w, value, 2);
}

static inline void sh_put_u32(struct sh_writer *w, uint32_t value)
{
    sh_put_le(w, value, 4);
}

static inline void sh_put_u64(struct sh_writer *w, uint64_t value)
{
    sh_put_le(w, value, 8);
}

void sh_put_f32(struct sh_writer *w, float value); /* IEEE-754 bits */
void sh_put_f64(struct sh_writer *w, double value);
void sh_put_bytes(struct sh_writer *w, const void *bytes, size_t size); /* no length prefix */
/* u32 length, then the bytes. */
void sh_put_blob(struct sh_writer *w, const void *bytes, size_t size);
void sh_put_str(struct sh_writer *w, const char *text);

static inline struct sh_reader sh_reader_over(const void *bytes, size_t size)
{
    return (struct sh_reader){.at = (const uint8_t *)bytes, .size = size};
}

/* The next size bytes, or NULL when there are not so many. */
static inline const uint8_t *sh_get_room(struct sh_reader *r, size_t size)
{
    if (r->bad || size > r->size - r->used) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *at = r->at + r->used;
    r->used += size;
    return at;
}

static inline uint64_t sh_get_le(struct sh_reader *r, size_t size)
{
    const uint8_t *at = sh_get_room(r, size);
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

static inline uint8_t sh_get_u8(struct sh_reader *r)
{
    return (uint8_t)sh_get_le(r, 1);
}

static inline uint16_t sh_get_u16(struct sh_reader *r)
{
    return (uint16_t)sh_get_le(r, 2);
}

static inline uint32_t sh_get_u32(struct sh_reader *r)
{
    return (uint32_t)sh_get_le(r, 4);
}

static inline uint64_t sh_get_u64(struct sh_reader *r)
{
    return sh_get_le(r, 8);
}

float sh_get_f32(struct sh_reader *r);
double sh_get_f64(struct sh_reader *r);
bool sh_get_bool(struct sh_reader *r);                          /* anything but 0 and 1 is bad */
void sh_get_bytes(struct sh_reader *r, void *out, size_t size); /* zero-filled when bad */
/* u32 length, then the bytes; longer than max is bad. The span borrows the reader's buffer. */
struct sh_span sh_get_blob(struct sh_reader *r, size_t max);
/* The same into a NUL-terminated array of size bytes; an embedded NUL is bad. */
void sh_get_str(struct sh_reader *r, char *out, size_t size);
size_t sh_reader_left(const struct sh_reader *r);
/* OK, or CORRUPT when anything failed. Excess bytes are allowed (fields are append-only). */
SH_MUST_USE enum sh_err sh_reader_end(const struct sh_reader *r);

/* Big-endian u64: keys whose byte order must be their numeric order. */
void sh_key_u64(uint8_t out[static 8], uint64_t value);
uint64_t sh_key_u64_get(const uint8_t in[static 8]);

#endif
