/* SPDX-License-Identifier: Apache-2.0 */
#include "store/blob/blob.h"

#include "store/blob/rows.h"

#include "base/host/host.h"

#include <stdio.h>
#include <stdlib.h>

struct blob_reader {
    struct blob *blob;
    struct blob_id id;
    struct kv_value row; /* what manifest borrows */
    struct blob_manifest manifest;
    struct kv_value chunk; /* the chunk read last, checked */
    bool has_chunk;
    uint32_t chunk_index;
    char why[KV_TEXT_BYTES];
};

static enum sh_err fail(struct blob_reader *reader, uint32_t i, enum sh_err err)
{
    char name[2 * SH_DIGEST_BYTES + 1];
    sh_hex(name, reader->id.digest, SH_DIGEST_BYTES);
    (void)snprintf(reader->why, sizeof reader->why, "blob %s, chunk %u of %u: %s", name, i + 1,
                   reader->manifest.chunk_count, sh_err_text(err));
    return err;
}

enum sh_err blob_read_open(struct blob *blob, const struct blob_id *id, struct blob_reader **out)
{
    *out = NULL;
    struct blob_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    reader->blob = blob;
    reader->id = *id;
    enum sh_err err = blob_get_manifest(blob, id, &reader->row, &reader->manifest);
    if (err != SH_OK) {
        free(reader);
        return err;
    }
    *out = reader;
    return SH_OK;
}

uint64_t blob_read_size(const struct blob_reader *reader)
{
    return reader->manifest.size;
}

static size_t chunk_size(const struct blob_reader *reader, uint32_t i)
{
    uint64_t left = reader->manifest.size - (uint64_t)i * BLOB_CHUNK_BYTES;
    return left < BLOB_CHUNK_BYTES ? (size_t)left : BLOB_CHUNK_BYTES;
}

static bool is_sound(const struct blob_reader *reader, uint32_t i, struct sh_span bytes)
{
    uint8_t digest[BLOB_CHUNK_DIGEST_SIZE];
    if (bytes.size != chunk_size(reader, i)) {
        return false;
    }
    sh_blake2b(digest, sizeof digest, bytes.at, bytes.size);
    return memcmp(digest, reader->manifest.chunks + (size_t)i * BLOB_CHUNK_DIGEST_SIZE,
                  sizeof digest) == 0;
}

/* Makes chunk i the one at hand, checked. */
static enum sh_err load_chunk(struct blob_reader *reader, uint32_t i)
{
    if (reader->has_chunk && reader->chunk_index == i) {
        return SH_OK;
    }
    kv_value_free(&reader->chunk);
    reader->has_chunk = false;
    struct blob_key key = blob_key_chunk(reader->manifest.storage, i);
    struct blob *blob = reader->blob;
    enum sh_err err = kv_get(blob->kv, NULL, blob->cf, blob_key_span(&key), &reader->chunk);
    if (err == SH_ERR_NOT_FOUND) {
        bool has = false;
        enum sh_err look = blob_has(blob, &reader->id, &has);
        err = look == SH_OK && has ? SH_ERR_CORRUPT : err; /* listed, so the chunk got lost */
    } else if (err == SH_OK && !is_sound(reader, i, reader->chunk.bytes)) {
        err = SH_ERR_CORRUPT;
    }
    if (err != SH_OK) {
        kv_value_free(&reader->chunk);
        return fail(reader, i, err);
    }
    reader->has_chunk = true;
    reader->chunk_index = i;
    return SH_OK;
}

enum sh_err blob_read(struct blob_reader *reader, uint64_t offset, void *out, size_t size,
                      size_t *got)
{
    uint64_t end = reader->manifest.size;
    uint8_t *at = out;
    size_t done = 0;
    *got = 0;
    while (done < size && offset < end) {
        uint32_t i = (uint32_t)(offset / BLOB_CHUNK_BYTES);
        size_t skip = (size_t)(offset % BLOB_CHUNK_BYTES);
        enum sh_err err = load_chunk(reader, i);
        if (err != SH_OK) {
            return err;
        }
        size_t part = reader->chunk.bytes.size - skip;
        part = part < size - done ? part : size - done;
        memcpy(at + done, reader->chunk.bytes.at + skip, part);
        done += part;
        offset += part;
    }
    *got = done;
    return SH_OK;
}

void blob_read_why(const struct blob_reader *reader, char *out)
{
    memcpy(out, reader->why, sizeof reader->why);
}

void blob_read_close(struct blob_reader *reader)
{
    if (reader != NULL) {
        kv_value_free(&reader->chunk);
        kv_value_free(&reader->row);
        free(reader);
    }
}
