/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifest: version 1, size 8, storage 8, chunk count 4, chunk digests 16 each, own digest 16
 * (BLAKE2b-128 over the blob's name and all bytes before). */
#include "store/blob/blob.h"

#include "base/host/host.h"

enum { VERSION = 1, HEAD_BYTES = 1 + 8 + 8 + 4, OWN_BYTES = 16 };

size_t blob_manifest_bytes(uint32_t chunk_count)
{
    return HEAD_BYTES + (size_t)chunk_count * BLOB_CHUNK_DIGEST_SIZE + OWN_BYTES;
}

static void own_digest(const struct blob_id *id, const uint8_t *bytes, size_t size,
                       uint8_t out[static OWN_BYTES])
{
    struct sh_blake2b h;
    sh_blake2b_start(&h, OWN_BYTES);
    sh_blake2b_add(&h, id->digest, sizeof id->digest);
    sh_blake2b_add(&h, bytes, size);
    sh_blake2b_end(&h, out, OWN_BYTES);
}

static uint64_t chunks_of(uint64_t size)
{
    return size / BLOB_CHUNK_BYTES + (size % BLOB_CHUNK_BYTES != 0 ? 1 : 0);
}

void blob_manifest_encode(const struct blob_id *id, const struct blob_manifest *manifest,
                          uint8_t *out)
{
    size_t size = blob_manifest_bytes(manifest->chunk_count);
    struct sh_writer w = sh_writer_over(out, size);
    uint8_t own[OWN_BYTES];
    SH_CHECK_CMP(manifest->chunk_count, ==, chunks_of(manifest->size));
    SH_CHECK_CMP(manifest->chunk_count, <=, BLOB_CHUNKS_MAX);
    sh_put_u8(&w, VERSION);
    sh_put_u64(&w, manifest->size);
    sh_put_u64(&w, manifest->storage);
    sh_put_u32(&w, manifest->chunk_count);
    sh_put_bytes(&w, manifest->chunks, (size_t)manifest->chunk_count * BLOB_CHUNK_DIGEST_SIZE);
    own_digest(id, out, w.used, own);
    sh_put_bytes(&w, own, sizeof own);
    SH_CHECK_CMP(w.used, ==, size);
}

enum sh_err blob_manifest_decode(const struct blob_id *id, struct sh_span bytes,
                                 struct blob_manifest *manifest)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    uint8_t own[OWN_BYTES];
    *manifest = (struct blob_manifest){0};
    uint8_t version = sh_get_u8(&r);
    uint64_t size = sh_get_u64(&r);
    uint64_t storage = sh_get_u64(&r);
    uint32_t count = sh_get_u32(&r);
    if (sh_reader_end(&r) != SH_OK || count > BLOB_CHUNKS_MAX || count != chunks_of(size) ||
        bytes.size != blob_manifest_bytes(count)) {
        return SH_ERR_CORRUPT;
    }
    own_digest(id, bytes.at, bytes.size - OWN_BYTES, own);
    if (memcmp(own, bytes.at + bytes.size - OWN_BYTES, OWN_BYTES) != 0) {
        return SH_ERR_CORRUPT;
    }
    if (version != VERSION) {
        return SH_ERR_VERSION;
    }
    *manifest = (struct blob_manifest){
        .size = size, .storage = storage, .chunk_count = count, .chunks = bytes.at + HEAD_BYTES};
    return SH_OK;
}
