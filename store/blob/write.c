/* SPDX-License-Identifier: Apache-2.0 */
#include "store/blob/blob.h"

#include "store/blob/rows.h"

#include "base/host/host.h"

#include <stdlib.h>

struct blob_writer {
    struct blob *blob;
    struct blob_claim *claim;
    bool named;
    struct blob_id id; /* expected, where named */
    uint64_t storage;
    uint64_t size;
    struct sh_blake2b hash; /* of all bytes so far */
    uint8_t *digests;       /* of the whole chunks */
    uint32_t digest_capacity;
    uint32_t chunk_count;
    struct kv_batch batch;
    size_t filled;
    uint8_t chunk[BLOB_CHUNK_BYTES];
};

static struct blob_key staging_key(const struct blob_writer *w)
{
    return w->named ? blob_key_named(BLOB_ROW_PARTIAL, &w->id)
                    : blob_key_numbered(BLOB_ROW_UNNAMED, w->storage);
}

static void free_writer(struct blob_writer *w)
{
    blob_lock(&w->blob->lock);
    w->claim->used = false;
    blob_unlock(&w->blob->lock);
    kv_batch_fini(&w->batch);
    free(w->digests);
    free(w);
}

/* Removes the chunks and the staging row. */
static enum sh_err drop_upload(struct blob_writer *w, bool sync)
{
    struct blob_key key = staging_key(w);
    kv_batch_clear(&w->batch);
    blob_drop_chunks(&w->batch, w->blob->cf, w->storage);
    kv_batch_del(&w->batch, w->blob->cf, blob_key_span(&key));
    if (w->named) {
        struct blob_key lease = blob_key_named(BLOB_ROW_LEASE, &w->id);
        kv_batch_del(&w->batch, w->blob->cf, blob_key_span(&lease));
    }
    return kv_write(w->blob->kv, &w->batch, sync);
}

/* Room for one more chunk digest. */
static enum sh_err reserve_digest(struct blob_writer *w)
{
    if (w->chunk_count < w->digest_capacity) {
        return SH_OK;
    }
    if (w->chunk_count == BLOB_CHUNKS_MAX) {
        return SH_ERR_LIMIT;
    }
    uint32_t capacity = w->digest_capacity > 0 ? 2 * w->digest_capacity : 64;
    uint8_t *digests = realloc(w->digests, (size_t)capacity * BLOB_CHUNK_DIGEST_SIZE);
    if (digests == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    w->digests = digests;
    w->digest_capacity = capacity;
    return SH_OK;
}

static enum sh_err note_chunk(struct blob_writer *w, const uint8_t *bytes, size_t size)
{
    enum sh_err err = reserve_digest(w);
    if (err != SH_OK) {
        return err;
    }
    sh_blake2b(w->digests + (size_t)w->chunk_count * BLOB_CHUNK_DIGEST_SIZE, BLOB_CHUNK_DIGEST_SIZE,
               bytes, size);
    sh_blake2b_add(&w->hash, bytes, size);
    w->chunk_count++;
    w->size += size;
    return SH_OK;
}

static void add_chunk(struct blob_writer *w, uint32_t i, size_t size)
{
    struct blob_key key = blob_key_chunk(w->storage, i);
    kv_batch_put(&w->batch, w->blob->cf, blob_key_span(&key), KV_SPAN(w->chunk, size));
}

static enum sh_err store_chunk(struct blob_writer *w)
{
    enum sh_err err = note_chunk(w, w->chunk, w->filled);
    if (err != SH_OK) {
        return err;
    }
    kv_batch_clear(&w->batch);
    add_chunk(w, w->chunk_count - 1, w->filled);
    w->filled = 0;
    return kv_write(w->blob->kv, &w->batch, false);
}

/* Takes a place among the writers, under the name expected if there is one. */
static enum sh_err take_claim(struct blob *blob, const struct blob_id *expect,
                              struct blob_claim **out)
{
    enum sh_err err = SH_ERR_FULL;
    blob_lock(&blob->lock);
    if (expect != NULL && blob_is_claimed(blob, expect)) {
        blob_unlock(&blob->lock);
        return SH_ERR_IN_USE;
    }
    for (uint32_t i = 0; i < BLOB_WRITERS_MAX && err != SH_OK; i++) {
        struct blob_claim *claim = &blob->claims[i];
        if (!claim->used) {
            *claim = (struct blob_claim){.used = true, .named = expect != NULL};
            if (expect != NULL) {
                claim->id = *expect;
            }
            *out = claim;
            err = SH_OK;
        }
    }
    blob_unlock(&blob->lock);
    return err;
}

/* A new storage number and the staging row that owns it. The next number is written with it; a
 * later number may be on the disk before an earlier one, so the row always says one past the
 * largest. */
static enum sh_err begin_storage(struct blob_writer *w)
{
    struct blob *blob = w->blob;
    struct blob_key next = {.bytes = {BLOB_ROW_NEXT}, .size = 1};
    blob_lock(&blob->names);
    w->storage = blob->next++;
    struct blob_key key = staging_key(w);
    kv_batch_clear(&w->batch);
    blob_put_number(&w->batch, blob->cf, &next, blob->next);
    blob_put_number(&w->batch, blob->cf, &key, w->storage);
    enum sh_err err = w->named ? blob_lease_give(blob, &w->batch, &w->id, 0) : SH_OK;
    err = err == SH_OK ? kv_write(blob->kv, &w->batch, false) : err;
    blob_unlock(&blob->names);
    return err;
}

/* Reads back the chunks of an earlier upload: the hash over all bytes has to be gone through again.
 */
static enum sh_err resume_storage(struct blob_writer *w)
{
    for (uint32_t i = 0; i < BLOB_CHUNKS_MAX; i++) {
        struct kv_value value;
        struct blob_key key = blob_key_chunk(w->storage, i);
        enum sh_err err = kv_get(w->blob->kv, NULL, w->blob->cf, blob_key_span(&key), &value);
        if (err == SH_ERR_NOT_FOUND) {
            break;
        }
        if (err == SH_OK && value.bytes.size != BLOB_CHUNK_BYTES) {
            err = SH_ERR_CORRUPT;
        }
        if (err == SH_OK) {
            err = note_chunk(w, value.bytes.at, value.bytes.size);
        }
        kv_value_free(&value);
        if (err != SH_OK) {
            return err;
        }
    }
    return SH_OK;
}

static enum sh_err begin(struct blob_writer *w)
{
    if (!w->named) {
        return begin_storage(w);
    }
    enum sh_err err = blob_keep(w->blob, &w->id, 0);
    if (err != SH_ERR_NOT_FOUND) {
        return err != SH_OK ? err : SH_ERR_EXISTS;
    }
    struct blob_key key = staging_key(w);
    err = blob_get_number(w->blob, &key, &w->storage);
    if (err == SH_ERR_NOT_FOUND) {
        return begin_storage(w);
    }
    if (err == SH_OK) {
        err = resume_storage(w);
    }
    if (err == SH_ERR_CORRUPT) {
        enum sh_err dropped = drop_upload(w, false);
        err = dropped != SH_OK ? dropped : err;
    }
    return err;
}

enum sh_err blob_write_open(struct blob *blob, const struct blob_id *expect,
                            struct blob_writer **out, uint64_t *received)
{
    struct blob_claim *claim = NULL;
    *out = NULL;
    *received = 0;
    enum sh_err err = take_claim(blob, expect, &claim);
    if (err != SH_OK) {
        return err;
    }
    struct blob_writer *w = aligned_alloc(_Alignof(struct blob_writer), sizeof *w);
    SH_CHECK(w != NULL); /* the hash state wants 64-byte alignment */
    w->blob = blob;
    w->claim = claim;
    w->named = expect != NULL;
    w->id = expect != NULL ? *expect : (struct blob_id){{0}};
    w->storage = 0;
    w->size = 0;
    w->digests = NULL;
    w->digest_capacity = 0;
    w->chunk_count = 0;
    w->filled = 0;
    sh_blake2b_start(&w->hash, SH_DIGEST_BYTES);
    kv_batch_init(&w->batch);
    err = begin(w);
    if (err != SH_OK) {
        free_writer(w);
        return err;
    }
    *received = w->size;
    *out = w;
    return SH_OK;
}

enum sh_err blob_write(struct blob_writer *writer, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    size_t left = size;
    if (size > BLOB_BYTES_MAX - writer->size - writer->filled) {
        return SH_ERR_LIMIT;
    }
    while (left > 0) {
        size_t room = BLOB_CHUNK_BYTES - writer->filled;
        size_t part = left < room ? left : room;
        memcpy(writer->chunk + writer->filled, at, part);
        writer->filled += part;
        at += part;
        left -= part;
        if (writer->filled == BLOB_CHUNK_BYTES) {
            enum sh_err err = store_chunk(writer);
            if (err != SH_OK) {
                return err;
            }
        }
    }
    return SH_OK;
}

static enum sh_err add_manifest(struct blob_writer *w, const struct blob_id *id)
{
    struct blob_manifest manifest = {.size = w->size,
                                     .storage = w->storage,
                                     .chunk_count = w->chunk_count,
                                     .chunks = w->digests};
    size_t size = blob_manifest_bytes(w->chunk_count);
    struct blob_key key = blob_key_named(BLOB_ROW_MANIFEST, id);
    uint8_t *bytes = malloc(size);
    if (bytes == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    blob_manifest_encode(id, &manifest, bytes);
    kv_batch_put(&w->batch, w->blob->cf, blob_key_span(&key), KV_SPAN(bytes, size));
    free(bytes);
    return SH_OK;
}

/* Gives the upload its name: last chunk, manifest, end of staging, in one synced batch. */
static enum sh_err publish(struct blob_writer *w, const struct blob_id *id)
{
    struct blob_key key = staging_key(w);
    bool has = false;
    enum sh_err err = blob_has(w->blob, id, &has);
    if (err != SH_OK) {
        return err;
    }
    if (has) {
        err = drop_upload(w, true);
        kv_batch_clear(&w->batch);
        err = err == SH_OK ? blob_lease_give(w->blob, &w->batch, id, 0) : err;
        return err == SH_OK ? kv_write(w->blob->kv, &w->batch, false) : err;
    }
    kv_batch_clear(&w->batch);
    if (w->filled > 0) {
        add_chunk(w, w->chunk_count - 1, w->filled);
    }
    kv_batch_del(&w->batch, w->blob->cf, blob_key_span(&key));
    err = add_manifest(w, id);
    err = err == SH_OK ? blob_lease_give(w->blob, &w->batch, id, 0) : err;
    return err == SH_OK ? kv_write(w->blob->kv, &w->batch, true) : err;
}

enum sh_err blob_write_finish(struct blob_writer *writer, struct blob_id *id)
{
    struct blob_id found;
    enum sh_err err = SH_OK;
    if (writer->filled > 0) {
        err = note_chunk(writer, writer->chunk, writer->filled);
    }
    sh_blake2b_end(&writer->hash, found.digest, sizeof found.digest);
    if (err == SH_OK && writer->named && memcmp(&found, &writer->id, sizeof found) != 0) {
        err = drop_upload(writer, false);
        err = err == SH_OK ? SH_ERR_CORRUPT : err;
    } else if (err == SH_OK) {
        blob_lock(&writer->blob->names);
        err = publish(writer, &found);
        blob_unlock(&writer->blob->names);
    }
    if (id != NULL) {
        *id = found;
    }
    free_writer(writer);
    return err;
}

/* The rest of an upload may come later. Where this fails it has to come sooner. */
static void extend_lease(struct blob_writer *w)
{
    kv_batch_clear(&w->batch);
    blob_lock(&w->blob->names);
    enum sh_err err = blob_lease_give(w->blob, &w->batch, &w->id, 0);
    SH_MAY_FAIL(err == SH_OK ? kv_write(w->blob->kv, &w->batch, false) : err);
    blob_unlock(&w->blob->names);
}

enum sh_err blob_write_close(struct blob_writer *writer)
{
    enum sh_err err = SH_OK;
    if (!writer->named) {
        err = drop_upload(writer, false);
    } else {
        extend_lease(writer);
    }
    free_writer(writer);
    return err;
}

enum sh_err blob_received(struct blob *blob, const struct blob_id *id, uint64_t *received)
{
    struct blob_key key = blob_key_named(BLOB_ROW_PARTIAL, id);
    struct kv_iter *iter = NULL;
    uint64_t storage = 0;
    *received = 0;
    enum sh_err err = blob_get_number(blob, &key, &storage);
    if (err != SH_OK) {
        return err == SH_ERR_NOT_FOUND ? SH_OK : err;
    }
    struct blob_key low = blob_key_numbered(BLOB_ROW_CHUNK, storage);
    struct blob_key high = blob_key_numbered(BLOB_ROW_CHUNK, storage + 1);
    err = kv_iter_open(blob->kv, NULL, blob->cf, blob_key_span(&low), blob_key_span(&high), &iter);
    if (err != SH_OK) {
        return err;
    }
    if (kv_iter_last(iter)) {
        struct sh_span last = kv_iter_key(iter);
        struct blob_key first = blob_key_chunk(storage, 0);
        uint32_t i = 0;
        if (last.size != first.size) {
            err = SH_ERR_CORRUPT;
        }
        for (size_t byte = 9; byte < last.size && err == SH_OK; byte++) {
            i = i << 8 | last.at[byte];
        }
        *received = err == SH_OK ? ((uint64_t)i + 1) * BLOB_CHUNK_BYTES : 0;
    }
    if (err == SH_OK) {
        err = kv_iter_error(iter);
    }
    kv_iter_close(iter);
    return err;
}

enum sh_err blob_drop_partial(struct blob *blob, const struct blob_id *id)
{
    struct blob_claim *claim = NULL;
    struct blob_key key = blob_key_named(BLOB_ROW_PARTIAL, id);
    struct kv_batch batch;
    uint64_t storage = 0;
    enum sh_err err = take_claim(blob, id, &claim);
    if (err != SH_OK) {
        return err;
    }
    kv_batch_init(&batch);
    err = blob_get_number(blob, &key, &storage);
    if (err == SH_OK) {
        blob_drop_chunks(&batch, blob->cf, storage);
        kv_batch_del(&batch, blob->cf, blob_key_span(&key));
        key = blob_key_named(BLOB_ROW_LEASE, id);
        kv_batch_del(&batch, blob->cf, blob_key_span(&key));
        err = kv_write(blob->kv, &batch, false);
    }
    kv_batch_fini(&batch);
    blob_lock(&blob->lock);
    claim->used = false;
    blob_unlock(&blob->lock);
    return err;
}

enum sh_err blob_put(struct blob *blob, const void *bytes, size_t size, struct blob_id *id)
{
    struct blob_writer *writer = NULL;
    uint64_t received = 0;
    enum sh_err err = blob_write_open(blob, NULL, &writer, &received);
    if (err != SH_OK) {
        return err;
    }
    err = blob_write(writer, bytes, size);
    if (err == SH_OK) {
        return blob_write_finish(writer, id);
    }
    enum sh_err closed = blob_write_close(writer);
    return closed != SH_OK && err == SH_ERR_LIMIT ? closed : err;
}
