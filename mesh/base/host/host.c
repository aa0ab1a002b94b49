/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host/host.h"

#include <malloc.h>
#include <sodium.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void sh_panic(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "panic: %s:%d: %s\n", file, line, what);
    abort();
}

void sh_panic_cmp(const char *file, int line, const char *what, uint64_t left, uint64_t right)
{
    (void)fprintf(stderr, "panic: %s:%d: %s (%llu, %llu)\n", file, line, what,
                  (unsigned long long)left, (unsigned long long)right);
    abort();
}

void sh_thread_name(const char *format, ...)
{
    char name[16];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
    SH_CHECK(pthread_setname_np(pthread_self(), name) == 0);
}

static uint64_t read_clock_us(clockid_t id)
{
    struct timespec t;
    SH_CHECK(clock_gettime(id, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t sh_now_us(void)
{
    return read_clock_us(CLOCK_BOOTTIME);
}

uint64_t sh_wall_us(void)
{
    return read_clock_us(CLOCK_REALTIME);
}

/* A message of the bulk plane is larger than what glibc takes from its heap at first. Mapped by
 * itself each one costs a page fault for every 4 KiB, which is more than encrypting it. */
enum { FROM_HEAP_BYTES = 1 << 20, HEAP_KEPT_BYTES = 64 << 20 };

void sh_host_init(void)
{
    SH_CHECK(sodium_init() >= 0);
    /* The allocators of sanitizers know neither. */
    SH_MAY_FAIL(mallopt(M_MMAP_THRESHOLD, FROM_HEAP_BYTES) == 1);
    SH_MAY_FAIL(mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES) == 1);
}

void sh_random_bytes(void *out, size_t size)
{
    randombytes_buf(out, size);
}

uint64_t sh_random_u64(void)
{
    uint64_t x;
    randombytes_buf(&x, sizeof x);
    return x;
}

void sh_blake2b(uint8_t *out, size_t out_size, const void *bytes, size_t size)
{
    SH_CHECK(crypto_generichash(out, out_size, bytes, size, NULL, 0) == 0);
}

static crypto_generichash_state *state_of(struct sh_blake2b *h)
{
    _Static_assert(sizeof(crypto_generichash_state) <= SH_BLAKE2B_STATE_BYTES, "state fits");
    return (crypto_generichash_state *)(void *)h->state;
}

void sh_blake2b_start(struct sh_blake2b *h, size_t out_size)
{
    SH_CHECK(crypto_generichash_init(state_of(h), NULL, 0, out_size) == 0);
}

void sh_blake2b_add(struct sh_blake2b *h, const void *bytes, size_t size)
{
    SH_CHECK(crypto_generichash_update(state_of(h), bytes, size) == 0);
}

void sh_blake2b_end(struct sh_blake2b *h, uint8_t *out, size_t out_size)
{
    SH_CHECK(crypto_generichash_final(state_of(h), out, out_size) == 0);
}

void sh_hex(char *out, const void *bytes, size_t size)
{
    (void)sodium_bin2hex(out, 2 * size + 1, bytes, size);
}

enum sh_err sh_unhex(void *out, size_t size, const char *text)
{
    size_t written = 0;
    const char *end = NULL;
    if (strlen(text) != 2 * size ||
        sodium_hex2bin(out, size, text, 2 * size, NULL, &written, &end) != 0 || written != size ||
        *end != '\0') {
        return SH_ERR_INVALID;
    }
    return SH_OK;
}

enum sh_err sh_err_from_errno(int number)
{
    switch (number) {
    case 0:
        return SH_OK;
    case ENOSPC:
    case EDQUOT:
        return SH_ERR_NO_SPACE;
    case ENOENT:
        return SH_ERR_NOT_FOUND;
    case EEXIST:
        return SH_ERR_EXISTS;
    case EADDRINUSE:
    case EBUSY:
        return SH_ERR_IN_USE;
    case EACCES:
    case EPERM:
    case EROFS:
        return SH_ERR_DENIED;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return SH_ERR_UNREACHABLE;
    case ETIMEDOUT:
        return SH_ERR_TIMEOUT;
    case ENOMEM:
        return SH_ERR_NO_MEMORY;
    default:
        return SH_ERR_IO;
    }
}
