/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tar.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

#define NAME_BYTES   100u
#define OCTAL_SIZE   (UINT64_C(1) << 33) /* eleven octal digits */
#define RECORDS_MAX  (8u * API_TAR_BLOCK)
#define NUMBER_BYTES 12u

size_t api_tar_padding(uint64_t size)
{
    return (size_t)((API_TAR_BLOCK - size % API_TAR_BLOCK) % API_TAR_BLOCK);
}

static void put_octal(uint8_t *at, size_t width, uint64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%0*llo", (int)width - 1, (unsigned long long)value);
    SH_CHECK_CMP(n, ==, (int)width - 1);
    memcpy(at, text, width);
}

/* One ustar block; what does not fit is cut, records said it whole. */
static void put_block(uint8_t *out, char type, const char *path, const char *target, unsigned mode,
                      uint64_t size, uint64_t time_s)
{
    size_t length = strlen(path);
    memset(out, 0, API_TAR_BLOCK);
    memcpy(out, path, length < NAME_BYTES ? length : NAME_BYTES);
    put_octal(out + 100, 8, mode);
    put_octal(out + 108, 8, 0);
    put_octal(out + 116, 8, 0);
    put_octal(out + 124, NUMBER_BYTES, size < OCTAL_SIZE ? size : 0);
    put_octal(out + 136, NUMBER_BYTES, time_s);
    memset(out + 148, ' ', 8);
    out[156] = (uint8_t)type;
    if (target != NULL) {
        size_t n = strlen(target);
        memcpy(out + 157, target, n < NAME_BYTES ? n : NAME_BYTES);
    }
    memcpy(out + 257,
           "ustar\0"
           "00",
           8);
    unsigned sum = 0;
    for (size_t i = 0; i < API_TAR_BLOCK; i++) {
        sum += out[i];
    }
    put_octal(out + 148, 7, sum);
}

/* "LENGTH KEY=VALUE\n", whose length counts itself. */
static size_t put_record(char *out, size_t room, const char *key, const char *value)
{
    size_t rest = strlen(key) + strlen(value) + 3;
    size_t length = rest + 1;
    for (size_t digits = 1; digits < 8; digits++) {
        char text[24];
        length = rest + digits;
        if ((size_t)snprintf(text, sizeof text, "%zu", length) == digits) {
            break;
        }
    }
    int n = snprintf(out, room, "%zu %s=%s\n", length, key, value);
    SH_CHECK_CMP((size_t)n, ==, length);
    SH_CHECK_CMP(length, <, room);
    return length;
}

/* What the block has no room for. */
static size_t put_records(const struct api_tar_entry *e, char out[static RECORDS_MAX])
{
    size_t used = 0;
    char number[24];
    if (strlen(e->path) > NAME_BYTES) {
        used += put_record(out + used, RECORDS_MAX - used, "path", e->path);
    }
    if (e->target != NULL && strlen(e->target) > NAME_BYTES) {
        used += put_record(out + used, RECORDS_MAX - used, "linkpath", e->target);
    }
    if (e->size >= OCTAL_SIZE) {
        (void)snprintf(number, sizeof number, "%llu", (unsigned long long)e->size);
        used += put_record(out + used, RECORDS_MAX - used, "size", number);
    }
    return used;
}

size_t api_tar_head(const struct api_tar_entry *entry, uint8_t out[static API_TAR_HEAD_MAX])
{
    char records[RECORDS_MAX];
    size_t used = 0;
    SH_CHECK_CMP(strlen(entry->path), <=, API_TAR_PATH_MAX);
    SH_CHECK(entry->target == NULL || strlen(entry->target) <= API_TAR_PATH_MAX);
    size_t size = put_records(entry, records);
    if (size > 0) {
        put_block(out, 'x', "pax_header", NULL, 0644, size, entry->time_s);
        used = API_TAR_BLOCK;
        memcpy(out + used, records, size);
        memset(out + used + size, 0, api_tar_padding(size));
        used += size + api_tar_padding(size);
    }
    put_block(out + used, (char)entry->type, entry->path, entry->target, entry->mode, entry->size,
              entry->time_s);
    return used + API_TAR_BLOCK;
}
