/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/agg/noise.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

__extension__ typedef unsigned __int128 kn_u128;

/* What random bytes exceed with probability below 2^-100. */
enum { TRIES_MAX = 400, TERMS_MAX = 60, STEPS_MAX = 80 };

/* A number in [0, 1], or more, as num / den; den < 2^121, so that den * TERMS_MAX fits. */
struct ratio {
    kn_u128 num;
    kn_u128 den;
};

/* Everything below answers through *bad when the bytes cannot be random, and then with anything. */

static kn_u128 take(struct kn_noise *n, uint32_t bytes)
{
    kn_u128 value = 0;
    if (n->left < bytes) {
        n->entropy.fill(n->entropy.context, n->buffer, sizeof n->buffer);
        n->left = sizeof n->buffer;
    }
    const uint8_t *at = n->buffer + (sizeof n->buffer - n->left);
    for (uint32_t i = 0; i < bytes; i++) {
        value = value << 8 | at[i];
    }
    n->left -= bytes;
    return value;
}

/* Uniform in [0, bound). */
static kn_u128 below(struct kn_noise *n, kn_u128 bound, bool *bad)
{
    const uint64_t high = (uint64_t)((bound - 1) >> 64);
    const uint64_t low = (uint64_t)(bound - 1);
    uint32_t bits = 0;
    if (high != 0) {
        bits = 128 - (uint32_t)__builtin_clzll(high);
    } else if (low != 0) {
        bits = 64 - (uint32_t)__builtin_clzll(low);
    }
    if (bits == 0) {
        return 0;
    }
    const uint32_t bytes = (bits + 7) / 8;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        kn_u128 value = take(n, bytes) >> (8 * bytes - bits);
        if (value < bound) {
            return value;
        }
    }
    *bad = true;
    return 0;
}

/* True with probability num / den <= 1. */
static bool chance(struct kn_noise *n, kn_u128 num, kn_u128 den, bool *bad)
{
    return below(n, den, bad) < num;
}

/* True with probability exp(-product of the ratios), each of them <= 1: algorithm 1, first case.
 * Number k of a sequence of coins shows heads with probability product / k; true when the first
 * tails has an odd number. */
static bool chance_exp_product(struct kn_noise *n, const struct ratio *r, uint32_t count, bool *bad)
{
    for (uint32_t k = 1; k <= TERMS_MAX; k++) {
        bool heads = chance(n, r[0].num, r[0].den * k, bad);
        for (uint32_t i = 1; heads && i < count; i++) {
            heads = chance(n, r[i].num, r[i].den, bad);
        }
        if (!heads) {
            return k % 2 == 1;
        }
    }
    *bad = true;
    return false;
}

/* True with probability exp(-num / den), of any size. */
static bool chance_exp(struct kn_noise *n, struct ratio r, bool *bad)
{
    static const struct ratio one = {1, 1};
    const kn_u128 whole = r.num / r.den;
    for (kn_u128 i = 0; i < whole; i++) {
        if (!chance_exp_product(n, &one, 1, bad)) {
            return false; /* after 1.6 turns on average */
        }
        if (i >= STEPS_MAX) {
            *bad = true;
            return false;
        }
    }
    const struct ratio rest = {r.num % r.den, r.den};
    return rest.num == 0 || chance_exp_product(n, &rest, 1, bad);
}

/* The size of a number of the discrete Laplace distribution with this scale: algorithm 2. A zero
 * comes half as often as the other sizes would have it, as -0 is 0. */
static kn_u128 laplace_size(struct kn_noise *n, bool *negative, bool *bad)
{
    static const struct ratio one = {1, 1};
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        kn_u128 low = below(n, n->scale, bad);
        const struct ratio r = {low, n->scale};
        if (low != 0 && !chance_exp_product(n, &r, 1, bad)) {
            continue;
        }
        uint32_t high = 0;
        while (high < STEPS_MAX && chance_exp_product(n, &one, 1, bad)) {
            high++;
        }
        *bad = *bad || high == STEPS_MAX;
        *negative = chance(n, 1, 2, bad);
        kn_u128 size = low + (kn_u128)high * n->scale;
        if (size != 0 || !*negative) {
            return size;
        }
    }
    *bad = true;
    return 0;
}

/* True with probability exp(-(size - variance / scale)^2 / (2 variance)). With d = |size scale -
 * variance| = i scale + r the exponent is i^2 / (2 v) + i r / (v s) + r^2 / (2 v s^2). */
static bool accept(struct kn_noise *n, kn_u128 size, kn_u128 variance, bool *bad)
{
    const kn_u128 s = n->scale;
    const kn_u128 left = size * s;
    const kn_u128 d = left > variance ? left - variance : variance - left;
    const kn_u128 i = d / s;
    const kn_u128 r = d % s;
    const struct ratio square = {i * i, 2 * variance};
    const struct ratio mixed = {i * r, variance * s};
    const struct ratio rest[3] = {{1, 2 * variance}, {r, s}, {r, s}};
    return chance_exp(n, square, bad) && chance_exp(n, mixed, bad) &&
           (r == 0 || chance_exp_product(n, rest, 3, bad));
}

enum kn_err kn_noise_open(struct kn_noise *noise, struct kn_entropy entropy, double deviation,
                          struct kn_diag *diag)
{
    if (!(deviation > 0.0 && deviation <= KN_NOISE_DEVIATION_MAX)) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "noise of deviation %g steps of the grid: more than 0, at most %g",
                       deviation, KN_NOISE_DEVIATION_MAX);
    }
    const kn_u128 variance = (kn_u128)ceil(deviation * deviation);
    *noise = (struct kn_noise){.entropy = entropy,
                               .variance = {(uint64_t)variance, (uint64_t)(variance >> 64)},
                               .scale = (uint64_t)sqrt((double)variance) + 1};
    return KN_OK;
}

static kn_u128 variance_of(const struct kn_noise *noise)
{
    return (kn_u128)noise->variance[1] << 64 | noise->variance[0];
}

double kn_noise_variance(const struct kn_noise *noise)
{
    return (double)variance_of(noise);
}

enum kn_err kn_noise_draw(struct kn_noise *noise, int64_t *out, size_t count, struct kn_diag *diag)
{
    const kn_u128 variance = variance_of(noise);
    bool bad = false;
    KN_CHECK(variance != 0);
    for (size_t i = 0; i < count && !bad; i++) {
        bool negative = false;
        bool taken = false;
        for (int tries = 0; !taken && !bad && tries < TRIES_MAX; tries++) {
            kn_u128 size = laplace_size(noise, &negative, &bad);
            taken = accept(noise, size, variance, &bad);
            out[i] = negative ? -(int64_t)size : (int64_t)size;
        }
        bad = bad || !taken;
    }
    return bad ? kn_fail(diag, KN_ERR_INVALID, "the source of noise is not random") : KN_OK;
}

void kn_noise_close(struct kn_noise *noise)
{
    memset(noise, 0, sizeof *noise);
    __asm__ volatile("" : : "r"(noise) : "memory"); /* the wipe is not left out */
}
