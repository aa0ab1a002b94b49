/* SPDX-License-Identifier: Apache-2.0
 *
 * What the pure part of base leaves to its host: clocks, entropy, content hashes, panics. Included
 * by agent, sim, store, trust, link and tests; never by a core. */
#ifndef SH_BASE_HOST_H
#define SH_BASE_HOST_H

#include "base/err.h"
#include "base/limits.h"

#include <stddef.h>
#include <stdint.h>

/* Microseconds of CLOCK_BOOTTIME: never steps, counts while the machine sleeps. */
uint64_t sh_now_us(void);
/* Microseconds since 1970, for people only: never compared, never a timeout. */
uint64_t sh_wall_us(void);

/* Names the calling thread for `top -H` and the like; what is beyond 15 bytes is cut. */
void sh_thread_name(const char *format, ...) SH_PRINTF(1, 2);

/* Once, before any other call below and any other thread: starts libsodium, or panics, and says how
 * much freed memory stays with the process. */
void sh_host_init(void);
void sh_random_bytes(void *out, size_t size);
uint64_t sh_random_u64(void);

/* BLAKE2b (RFC 7693) with an output of out_size 16 or 32 bytes. */
void sh_blake2b(uint8_t *out, size_t out_size, const void *bytes, size_t size);

#define SH_BLAKE2B_STATE_BYTES 512u
struct sh_blake2b {
    _Alignas(64) uint8_t state[SH_BLAKE2B_STATE_BYTES];
};
void sh_blake2b_start(struct sh_blake2b *h, size_t out_size);
void sh_blake2b_add(struct sh_blake2b *h, const void *bytes, size_t size);
void sh_blake2b_end(struct sh_blake2b *h, uint8_t *out, size_t out_size);

/* Lower-case hexadecimal and a NUL: out has 2 * size + 1 bytes. */
void sh_hex(char *out, const void *bytes, size_t size);
/* Exactly 2 * size hexadecimal digits, else INVALID. */
SH_MUST_USE enum sh_err sh_unhex(void *out, size_t size, const char *text);

/* errno of a failed system call as one of ours (ENOSPC -> NO_SPACE, EADDRINUSE -> IN_USE, ...). */
enum sh_err sh_err_from_errno(int number);

#endif
