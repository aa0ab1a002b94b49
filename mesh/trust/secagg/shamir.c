/* SPDX-License-Identifier: Apache-2.0 */
#include "secagg/shamir.h"

#include <string.h>

/* Product modulo x^8 + x^4 + x^3 + x + 1. */
static uint8_t times(uint8_t a, uint8_t b)
{
    uint32_t product = 0;
    uint32_t left = a;
    const uint32_t right = b;
    for (uint32_t bit = 0; bit < 8; bit++) {
        product ^= left & (0u - (right >> bit & 1u));
        left = left << 1 ^ (0x11bu & (0u - (left >> 7 & 1u)));
    }
    return (uint8_t)product;
}

/* a^254: the inverse, 0 of 0. */
static uint8_t inverse(uint8_t a)
{
    uint8_t power = a;
    uint8_t result = 1;
    for (uint32_t bit = 1; bit < 8; bit++) { /* 254 = 11111110b */
        power = times(power, power);
        result = times(result, power);
    }
    return result;
}

void secagg_split(const uint8_t secret[static SECAGG_KEY_BYTES], uint32_t threshold,
                  const uint8_t *random, uint32_t shares, uint8_t (*share)[SECAGG_SHARE_BYTES])
{
    SH_CHECK_CMP(threshold, >=, 2);
    SH_CHECK_CMP(shares, >=, threshold);
    SH_CHECK_CMP(shares, <=, SECAGG_NEIGHBOURS_MAX);
    for (uint32_t i = 0; i < shares; i++) {
        const uint8_t x = (uint8_t)(i + 1);
        for (uint32_t byte = 0; byte < SECAGG_SHARE_BYTES; byte++) {
            uint8_t y = 0; /* Horner, from the highest coefficient down */
            for (uint32_t c = threshold - 1; c > 0; c--) {
                y = times(y ^ random[(size_t)(c - 1) * SECAGG_SHARE_BYTES + byte], x);
            }
            share[i][byte] = y ^ secret[byte];
        }
    }
}

void secagg_combine(uint32_t threshold, const uint8_t *point,
                    const uint8_t (*share)[SECAGG_SHARE_BYTES],
                    uint8_t secret[static SECAGG_KEY_BYTES])
{
    memset(secret, 0, SECAGG_KEY_BYTES);
    for (uint32_t i = 0; i < threshold; i++) {
        uint8_t above = 1; /* Lagrange's coefficient at 0: product of x_j / (x_j - x_i) */
        uint8_t beneath = 1;
        SH_CHECK(point[i] != 0);
        for (uint32_t j = 0; j < threshold; j++) {
            if (j != i) {
                SH_CHECK(point[j] != point[i]);
                above = times(above, point[j]);
                beneath = times(beneath, point[j] ^ point[i]);
            }
        }
        const uint8_t factor = times(above, inverse(beneath));
        for (uint32_t byte = 0; byte < SECAGG_SHARE_BYTES; byte++) {
            secret[byte] ^= times(factor, share[i][byte]);
        }
    }
}
