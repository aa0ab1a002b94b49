/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a manifest; and the manifest made of any chunk digests, which decodes as it was
 * until one byte of it changes. */
#include "store/blob/blob.h"

#include "base/host/host.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct blob_id *id, const uint8_t *data, size_t size)
{
    uint32_t count = (uint32_t)(size / BLOB_CHUNK_DIGEST_SIZE);
    struct blob_manifest in = {.size = (uint64_t)count * BLOB_CHUNK_BYTES,
                               .storage = size,
                               .chunk_count = count,
                               .chunks = data};
    struct blob_manifest out;
    size_t bytes_size = blob_manifest_bytes(count);
    uint8_t *bytes = malloc(bytes_size);
    SH_CHECK(bytes != NULL);
    blob_manifest_encode(id, &in, bytes);
    SH_CHECK(blob_manifest_decode(id, KV_SPAN(bytes, bytes_size), &out) == SH_OK);
    SH_CHECK_CMP(out.size, ==, in.size);
    SH_CHECK_CMP(out.storage, ==, in.storage);
    SH_CHECK(count == 0 || memcmp(out.chunks, data, (size_t)count * BLOB_CHUNK_DIGEST_SIZE) == 0);
    bytes[(size * 31) % bytes_size] ^= 4;
    SH_CHECK(blob_manifest_decode(id, KV_SPAN(bytes, bytes_size), &out) == SH_ERR_CORRUPT);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct blob_id id = {{0}};
    struct blob_manifest manifest;
    sh_host_init();
    if (blob_manifest_decode(&id, KV_SPAN(data, size), &manifest) == SH_OK) {
        SH_CHECK_CMP(size, ==, blob_manifest_bytes(manifest.chunk_count));
    }
    if (size <= (size_t)BLOB_CHUNKS_MAX * BLOB_CHUNK_DIGEST_SIZE) {
        check_round_trip(&id, data, size);
    }
    return 0;
}
