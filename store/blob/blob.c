/* SPDX-License-Identifier: Apache-2.0 */
#include "store/blob/blob.h"

#include "store/blob/rows.h"

#include <stdlib.h>

struct blob_key blob_key_named(char row, const struct blob_id *id)
{
    struct blob_key key = {.size = 1 + sizeof id->digest};
    key.bytes[0] = (uint8_t)row;
    memcpy(key.bytes + 1, id->digest, sizeof id->digest);
    return key;
}

struct blob_key blob_key_numbered(char row, uint64_t storage)
{
    struct blob_key key = {.size = 9};
    key.bytes[0] = (uint8_t)row;
    sh_key_u64(key.bytes + 1, storage);
    return key;
}

struct blob_key blob_key_chunk(uint64_t storage, uint32_t i)
{
    struct blob_key key = blob_key_numbered(BLOB_ROW_CHUNK, storage);
    for (uint32_t byte = 0; byte < 4; byte++) {
        key.bytes[key.size++] = (uint8_t)(i >> (24 - 8 * byte));
    }
    return key;
}

struct sh_span blob_key_span(const struct blob_key *key)
{
    return KV_SPAN(key->bytes, key->size);
}

void blob_lock(pthread_mutex_t *lock)
{
    SH_CHECK(pthread_mutex_lock(lock) == 0);
}

void blob_unlock(pthread_mutex_t *lock)
{
    SH_CHECK(pthread_mutex_unlock(lock) == 0);
}

void blob_drop_chunks(struct kv_batch *batch, uint32_t cf, uint64_t storage)
{
    struct blob_key low = blob_key_numbered(BLOB_ROW_CHUNK, storage);
    struct blob_key high = blob_key_numbered(BLOB_ROW_CHUNK, storage + 1);
    kv_batch_del_range(batch, cf, blob_key_span(&low), blob_key_span(&high));
}

enum sh_err blob_get_number(struct blob *blob, const struct blob_key *key, uint64_t *number)
{
    uint8_t bytes[8];
    size_t used = 0;
    *number = 0;
    enum sh_err err =
        kv_get_into(blob->kv, NULL, blob->cf, blob_key_span(key), bytes, sizeof bytes, &used);
    if (err == SH_ERR_LIMIT || (err == SH_OK && used != sizeof bytes)) {
        return SH_ERR_CORRUPT;
    }
    if (err == SH_OK) {
        *number = sh_key_u64_get(bytes);
    }
    return err;
}

void blob_put_number(struct kv_batch *batch, uint32_t cf, const struct blob_key *key,
                     uint64_t number)
{
    uint8_t bytes[8];
    sh_key_u64(bytes, number);
    kv_batch_put(batch, cf, blob_key_span(key), KV_SPAN(bytes, sizeof bytes));
}

enum sh_err blob_get_manifest(struct blob *blob, const struct blob_id *id, struct kv_value *value,
                              struct blob_manifest *manifest)
{
    struct blob_key key = blob_key_named(BLOB_ROW_MANIFEST, id);
    enum sh_err err = kv_get(blob->kv, NULL, blob->cf, blob_key_span(&key), value);
    if (err == SH_OK) {
        err = blob_manifest_decode(id, value->bytes, manifest);
    }
    if (err != SH_OK) {
        kv_value_free(value);
    }
    return err;
}

bool blob_is_claimed(const struct blob *blob, const struct blob_id *id)
{
    for (uint32_t i = 0; i < BLOB_WRITERS_MAX; i++) {
        const struct blob_claim *claim = &blob->claims[i];
        if (claim->used && claim->named && memcmp(&claim->id, id, sizeof *id) == 0) {
            return true;
        }
    }
    return false;
}

/* Removes the uploads without a name: nobody can continue them. */
static enum sh_err sweep(struct blob *blob, struct kv_batch *batch)
{
    struct kv_iter *iter = NULL;
    struct blob_key low = {.bytes = {BLOB_ROW_UNNAMED}, .size = 1};
    struct blob_key high = {.bytes = {BLOB_ROW_UNNAMED + 1}, .size = 1};
    enum sh_err err =
        kv_iter_open(blob->kv, NULL, blob->cf, blob_key_span(&low), blob_key_span(&high), &iter);
    if (err != SH_OK) {
        return err;
    }
    for (bool more = kv_iter_first(iter); more; more = kv_iter_next(iter)) {
        struct sh_span key = kv_iter_key(iter);
        if (key.size == 9) {
            blob_drop_chunks(batch, blob->cf, sh_key_u64_get(key.at + 1));
        }
        kv_batch_del(batch, blob->cf, key);
    }
    err = kv_iter_error(iter);
    kv_iter_close(iter);
    return err == SH_OK && batch->count > 0 ? kv_write(blob->kv, batch, false) : err;
}

enum sh_err blob_open(struct kv *kv, uint32_t cf, struct blob **out)
{
    struct blob_key next = {.bytes = {BLOB_ROW_NEXT}, .size = 1};
    struct kv_batch batch;
    *out = NULL;
    struct blob *blob = calloc(1, sizeof *blob);
    if (blob == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    blob->kv = kv;
    blob->cf = cf;
    SH_CHECK(pthread_mutex_init(&blob->lock, NULL) == 0);
    SH_CHECK(pthread_mutex_init(&blob->names, NULL) == 0);
    kv_batch_init(&batch);
    enum sh_err err = blob_get_number(blob, &next, &blob->next);
    if (err == SH_ERR_NOT_FOUND) {
        blob->next = 1;
        err = SH_OK;
    }
    if (err == SH_OK) {
        err = sweep(blob, &batch);
    }
    kv_batch_fini(&batch);
    if (err != SH_OK) {
        blob_close(blob);
        return err;
    }
    *out = blob;
    return SH_OK;
}

void blob_close(struct blob *blob)
{
    if (blob == NULL) {
        return;
    }
    for (uint32_t i = 0; i < BLOB_WRITERS_MAX; i++) {
        SH_CHECK(!blob->claims[i].used);
    }
    SH_CHECK(pthread_mutex_destroy(&blob->lock) == 0);
    SH_CHECK(pthread_mutex_destroy(&blob->names) == 0);
    free(blob);
}

enum sh_err blob_has(struct blob *blob, const struct blob_id *id, bool *has)
{
    struct kv_value value;
    struct blob_key key = blob_key_named(BLOB_ROW_MANIFEST, id);
    enum sh_err err = kv_get(blob->kv, NULL, blob->cf, blob_key_span(&key), &value);
    *has = err == SH_OK;
    kv_value_free(&value);
    return err == SH_ERR_NOT_FOUND ? SH_OK : err;
}

enum sh_err blob_size(struct blob *blob, const struct blob_id *id, uint64_t *size)
{
    struct kv_value value;
    struct blob_manifest manifest;
    *size = 0;
    enum sh_err err = blob_get_manifest(blob, id, &value, &manifest);
    if (err == SH_OK) {
        *size = manifest.size;
        kv_value_free(&value);
    }
    return err;
}

enum sh_err blob_list(struct blob *blob, const struct blob_id *after, struct blob_id *out,
                      uint32_t capacity, uint32_t *count)
{
    struct blob_key low = {.bytes = {BLOB_ROW_MANIFEST}, .size = 1};
    struct blob_key high = {.bytes = {BLOB_ROW_MANIFEST + 1}, .size = 1};
    struct kv_iter *iter = NULL;
    *count = 0;
    if (after != NULL) {
        low = blob_key_named(BLOB_ROW_MANIFEST, after);
    }
    enum sh_err err =
        kv_iter_open(blob->kv, NULL, blob->cf, blob_key_span(&low), blob_key_span(&high), &iter);
    if (err != SH_OK) {
        return err;
    }
    for (bool more = kv_iter_first(iter); more && *count < capacity; more = kv_iter_next(iter)) {
        struct sh_span key = kv_iter_key(iter);
        bool given = after != NULL && kv_compare(key, blob_key_span(&low)) == 0;
        if (key.size == 1 + SH_DIGEST_BYTES && !given) {
            memcpy(out[*count].digest, key.at + 1, SH_DIGEST_BYTES);
            (*count)++;
        }
    }
    err = kv_iter_error(iter);
    kv_iter_close(iter);
    return err;
}

enum sh_err blob_delete_named(struct blob *blob, const struct blob_id *id, uint64_t *size)
{
    struct kv_value value;
    struct blob_manifest manifest;
    struct kv_batch batch;
    struct blob_key key = blob_key_named(BLOB_ROW_MANIFEST, id);
    struct blob_key lease = blob_key_named(BLOB_ROW_LEASE, id);
    kv_batch_init(&batch);
    enum sh_err err = blob_get_manifest(blob, id, &value, &manifest);
    if (err == SH_OK) {
        blob_drop_chunks(&batch, blob->cf, manifest.storage);
        if (size != NULL) {
            *size = manifest.size;
        }
        kv_value_free(&value);
    }
    if (err == SH_OK || err == SH_ERR_CORRUPT || err == SH_ERR_VERSION) {
        kv_batch_del(&batch, blob->cf, blob_key_span(&key));
        kv_batch_del(&batch, blob->cf, blob_key_span(&lease));
        err = kv_write(blob->kv, &batch, false);
    }
    kv_batch_fini(&batch);
    return err;
}

enum sh_err blob_delete(struct blob *blob, const struct blob_id *id)
{
    blob_lock(&blob->names);
    enum sh_err err = blob_delete_named(blob, id, NULL);
    blob_unlock(&blob->names);
    return err;
}
