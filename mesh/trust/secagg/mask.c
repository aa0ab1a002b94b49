/* SPDX-License-Identifier: Apache-2.0 */
#include "secagg/mask.h"

#include <sodium.h>

#include <string.h>

_Static_assert(SECAGG_KEY_BYTES == crypto_scalarmult_BYTES, "X25519");
_Static_assert(SECAGG_KEY_BYTES == crypto_stream_chacha20_ietf_KEYBYTES, "ChaCha20");

enum { BLOCK_BYTES = 64, CHUNK_BYTES = 8192 };

void secagg_derive(uint8_t out[static SECAGG_KEY_BYTES], const uint8_t key[static SECAGG_KEY_BYTES],
                   const char *label, const uint8_t digest[static SECAGG_DIGEST_BYTES],
                   uint32_t from, uint32_t to)
{
    uint8_t text[128];
    struct sh_writer w = sh_writer_over(text, sizeof text);
    sh_put_str(&w, "shoal secagg 1");
    sh_put_str(&w, label);
    sh_put_bytes(&w, digest, SECAGG_DIGEST_BYTES);
    sh_put_u32(&w, from);
    sh_put_u32(&w, to);
    SH_CHECK(!w.full);
    SH_CHECK(crypto_generichash(out, SECAGG_KEY_BYTES, text, w.used, key, SECAGG_KEY_BYTES) == 0);
}

enum sh_err secagg_agree(uint8_t out[static SECAGG_KEY_BYTES],
                         const uint8_t secret[static SECAGG_KEY_BYTES],
                         const uint8_t public_key[static SECAGG_KEY_BYTES], const char *label,
                         const uint8_t digest[static SECAGG_DIGEST_BYTES], uint32_t from,
                         uint32_t to)
{
    uint8_t shared[SECAGG_KEY_BYTES];
    if (crypto_scalarmult(shared, secret, public_key) != 0) {
        return SH_ERR_DENIED;
    }
    secagg_derive(out, shared, label, digest, from, to);
    sodium_memzero(shared, sizeof shared);
    return SH_OK;
}

void secagg_public(uint8_t out[static SECAGG_KEY_BYTES],
                   const uint8_t secret[static SECAGG_KEY_BYTES])
{
    SH_CHECK(crypto_scalarmult_base(out, secret) == 0);
}

/* Bytes [offset, offset + size) of the stream; offset is a multiple of 64. */
static void stream_at(uint8_t *out, const uint8_t key[static SECAGG_KEY_BYTES], uint64_t offset,
                      size_t size)
{
    static const uint8_t nonce[crypto_stream_chacha20_ietf_NONCEBYTES];
    const uint64_t last = (offset + size) / BLOCK_BYTES;
    SH_CHECK_CMP(last, <=, UINT32_MAX);
    memset(out, 0, size);
    SH_CHECK(crypto_stream_chacha20_ietf_xor_ic(out, out, size, nonce,
                                                (uint32_t)(offset / BLOCK_BYTES), key) == 0);
}

void secagg_mask32(uint32_t *value, const uint8_t key[static SECAGG_KEY_BYTES], uint64_t offset,
                   size_t count, bool subtract)
{
    uint8_t bytes[CHUNK_BYTES];
    for (size_t done = 0; done < count;) {
        const uint64_t at = (offset + done) * sizeof value[0];
        const size_t skip = (size_t)(at % BLOCK_BYTES);
        size_t n = (sizeof bytes - skip) / sizeof value[0];
        n = n < count - done ? n : count - done;
        stream_at(bytes, key, at - skip, skip + n * sizeof value[0]);
        struct sh_reader r = sh_reader_over(bytes + skip, n * sizeof value[0]);
        for (size_t i = 0; i < n; i++) {
            uint32_t word = sh_get_u32(&r);
            value[done + i] += subtract ? 0u - word : word;
        }
        done += n;
    }
    sodium_memzero(bytes, sizeof bytes);
}

void secagg_mask64(uint64_t *value, const uint8_t key[static SECAGG_KEY_BYTES], uint64_t offset,
                   size_t count, bool subtract)
{
    uint8_t bytes[CHUNK_BYTES];
    for (size_t done = 0; done < count;) {
        const uint64_t at = (offset + done) * sizeof value[0];
        const size_t skip = (size_t)(at % BLOCK_BYTES);
        size_t n = (sizeof bytes - skip) / sizeof value[0];
        n = n < count - done ? n : count - done;
        stream_at(bytes, key, at - skip, skip + n * sizeof value[0]);
        struct sh_reader r = sh_reader_over(bytes + skip, n * sizeof value[0]);
        for (size_t i = 0; i < n; i++) {
            uint64_t word = sh_get_u64(&r);
            value[done + i] += subtract ? 0u - word : word;
        }
        done += n;
    }
    sodium_memzero(bytes, sizeof bytes);
}

void secagg_mask(const struct secagg_round *round, struct secagg_slice slice,
                 const uint8_t key[static SECAGG_KEY_BYTES], bool subtract)
{
    if (round->bits == 32) {
        secagg_mask32(slice.at, key, slice.offset, slice.count, subtract);
    } else {
        SH_CHECK(round->bits == 64);
        secagg_mask64(slice.at, key, slice.offset, slice.count, subtract);
    }
}

void secagg_stream_fill(void *context, uint8_t *bytes, size_t size)
{
    struct secagg_stream *s = context;
    stream_at(bytes, s->key, s->used * BLOCK_BYTES, size);
    s->used += (size + BLOCK_BYTES - 1) / BLOCK_BYTES;
}

void secagg_stream_end(struct secagg_stream *s)
{
    sodium_memzero(s, sizeof *s);
}
