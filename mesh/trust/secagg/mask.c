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

/* value[first, first + n) += or -= the words in bytes. */
static void add_words(const struct secagg_slice *slice, uint32_t bits, size_t first, size_t n,
                      const uint8_t *bytes, bool subtract)
{
    struct sh_reader r = sh_reader_over(bytes, n * (bits / 8));
    if (bits == 32) {
        uint32_t *value = (uint32_t *)slice->at + first;
        for (size_t i = 0; i < n; i++) {
            uint32_t word = sh_get_u32(&r);
            value[i] += subtract ? 0u - word : word;
        }
    } else {
        uint64_t *value = (uint64_t *)slice->at + first;
        for (size_t i = 0; i < n; i++) {
            uint64_t word = sh_get_u64(&r);
            value[i] += subtract ? 0u - word : word;
        }
    }
}

void secagg_mask(uint32_t bits, struct secagg_slice slice,
                 const uint8_t key[static SECAGG_KEY_BYTES], bool subtract)
{
    uint8_t bytes[CHUNK_BYTES];
    const size_t width = bits / 8;
    SH_CHECK(bits == 32 || bits == 64);
    for (size_t done = 0; done < slice.count;) {
        const uint64_t at = (slice.offset + done) * width;
        const size_t skip = (size_t)(at % BLOCK_BYTES);
        size_t n = (sizeof bytes - skip) / width;
        n = n < slice.count - done ? n : slice.count - done;
        stream_at(bytes, key, at - skip, skip + n * width);
        add_words(&slice, bits, done, n, bytes + skip, subtract);
        done += n;
    }
    sodium_memzero(bytes, sizeof bytes);
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
