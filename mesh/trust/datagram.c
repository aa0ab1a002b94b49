/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/datagram.h"

#include "base/host/host.h"

#include <sodium.h>

#include <string.h>

#define MAGIC        0x4853u /* "SH" */
#define VERSION      1u
#define HEADER_BYTES 44u
#define NONCE_AT     20u
#define TAG_BYTES    crypto_aead_xchacha20poly1305_ietf_ABYTES

_Static_assert(HEADER_BYTES + TAG_BYTES == TRUST_DATAGRAM_OVERHEAD, "overhead");
_Static_assert(HEADER_BYTES - NONCE_AT == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(TRUST_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");

static void sender_key(const struct trust *t, const uint8_t node[static SH_NODE_ID_BYTES],
                       uint8_t out[static TRUST_KEY_BYTES])
{
    SH_CHECK(crypto_generichash(out, TRUST_KEY_BYTES, node, SH_NODE_ID_BYTES, t->gossip_key,
                                sizeof t->gossip_key) == 0);
}

struct trust_sealer trust_sealer_new(void)
{
    return (struct trust_sealer){.salt = sh_random_u64()};
}

size_t trust_seal(const struct trust *t, struct trust_sealer *sealer, struct sh_span payload,
                  uint8_t *out, size_t out_size)
{
    uint8_t key[TRUST_KEY_BYTES];
    unsigned long long sealed = 0;
    SH_CHECK_CMP(payload.size, <=, UINT16_MAX);
    SH_CHECK_CMP(payload.size + TRUST_DATAGRAM_OVERHEAD, <=, out_size);
    sealer->counter++;
    struct sh_writer w = sh_writer_over(out, HEADER_BYTES);
    sh_put_u16(&w, MAGIC);
    sh_put_u8(&w, VERSION);
    sh_put_u8(&w, 0);
    sh_put_bytes(&w, t->node, sizeof t->node);
    sh_put_u64(&w, t->boot_epoch);
    sh_put_u64(&w, sealer->salt);
    sh_put_u64(&w, sealer->counter);
    SH_CHECK_CMP(w.used, ==, HEADER_BYTES);
    sender_key(t, t->node, key);
    SH_CHECK(crypto_aead_xchacha20poly1305_ietf_encrypt(out + HEADER_BYTES, &sealed, payload.at,
                                                        payload.size, out, HEADER_BYTES, NULL,
                                                        out + NONCE_AT, key) == 0);
    sodium_memzero(key, sizeof key);
    return HEADER_BYTES + (size_t)sealed;
}

enum sh_err trust_unseal(const struct trust *t, struct trust_replay *replay, struct sh_span bytes,
                         struct trust_sender *sender, uint8_t *out, size_t out_size,
                         size_t *payload_size)
{
    uint8_t key[TRUST_KEY_BYTES];
    unsigned long long opened = 0;
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    *payload_size = 0;
    uint16_t magic = sh_get_u16(&r);
    uint8_t version = sh_get_u8(&r);
    (void)sh_get_u8(&r);
    sh_get_bytes(&r, sender->node, sizeof sender->node);
    sender->boot_epoch = sh_get_u64(&r);
    uint64_t salt = sh_get_u64(&r);
    uint64_t counter = sh_get_u64(&r);
    if (r.bad || magic != MAGIC || sh_reader_left(&r) < TAG_BYTES ||
        sh_reader_left(&r) - TAG_BYTES > out_size) {
        return SH_ERR_CORRUPT;
    }
    if (version != VERSION) {
        return SH_ERR_VERSION;
    }
    sender_key(t, sender->node, key);
    int opens = crypto_aead_xchacha20poly1305_ietf_decrypt(
        out, &opened, NULL, bytes.at + HEADER_BYTES, bytes.size - HEADER_BYTES, bytes.at,
        HEADER_BYTES, bytes.at + NONCE_AT, key);
    sodium_memzero(key, sizeof key);
    if (opens != 0) {
        return SH_ERR_DENIED;
    }
    *payload_size = (size_t)opened;
    return trust_replay_take(replay, sender->node, sender->boot_epoch, salt, counter);
}

/* The sender's window, else a free one, else the one unused for longest. Windows are taken from the
 * front and never given back, so the first free one ends the search. */
static struct trust_window *window_of(struct trust_replay *replay,
                                      const uint8_t node[static SH_NODE_ID_BYTES])
{
    struct trust_window *best = &replay->windows[0];
    for (uint32_t i = 0; i < replay->capacity; i++) {
        struct trust_window *w = &replay->windows[i];
        if (w->used && memcmp(w->node, node, SH_NODE_ID_BYTES) == 0) {
            return w;
        }
        if (!w->used || w->touched < best->touched) {
            best = w;
        }
        if (!w->used) {
            break;
        }
    }
    *best = (struct trust_window){0};
    memcpy(best->node, node, SH_NODE_ID_BYTES);
    return best;
}

static void restart(struct trust_window *w, uint64_t epoch, uint64_t salt)
{
    w->used = true;
    w->epoch = epoch;
    w->salt = salt;
    w->newest = 0;
    memset(w->seen, 0, sizeof w->seen);
}

/* Moves the window so that counter is its newest; forgets what falls out. */
static void advance(struct trust_window *w, uint64_t counter)
{
    uint64_t steps = counter - w->newest;
    if (steps >= TRUST_WINDOW_BITS) {
        memset(w->seen, 0, sizeof w->seen);
    } else {
        for (uint64_t c = w->newest + 1; c <= counter; c++) {
            w->seen[c % TRUST_WINDOW_BITS / 64] &= ~(UINT64_C(1) << (c % 64));
        }
    }
    w->newest = counter;
}

enum sh_err trust_replay_take(struct trust_replay *replay,
                              const uint8_t node[static SH_NODE_ID_BYTES], uint64_t epoch,
                              uint64_t salt, uint64_t counter)
{
    SH_CHECK_CMP(replay->capacity, >, 0);
    struct trust_window *w = window_of(replay, node);
    if (!w->used || epoch > w->epoch) {
        restart(w, epoch, salt);
    }
    if (epoch != w->epoch || salt != w->salt || counter == 0) {
        return SH_ERR_STALE;
    }
    if (counter > w->newest) {
        advance(w, counter);
    } else if (w->newest - counter >= TRUST_WINDOW_BITS) {
        return SH_ERR_STALE;
    }
    uint64_t *word = &w->seen[counter % TRUST_WINDOW_BITS / 64];
    uint64_t bit = UINT64_C(1) << (counter % 64);
    if ((*word & bit) != 0) {
        return SH_ERR_STALE;
    }
    *word |= bit;
    w->touched = ++replay->turn;
    return SH_OK;
}
