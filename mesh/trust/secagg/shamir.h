/* SPDX-License-Identifier: Apache-2.0
 *
 * A secret of 32 bytes in shares of which any t give it and t - 1 tell nothing: Shamir, "How to
 * share a secret", 1979, byte by byte in GF(2^8) with the polynomial of AES. No table, no branch
 * and no address depends on a secret. */
#ifndef SECAGG_SHAMIR_H
#define SECAGG_SHAMIR_H

#include "secagg/plan.h"

#define SECAGG_SHARE_BYTES SECAGG_KEY_BYTES

/* share[i], for i < shares <= SECAGG_NEIGHBOURS_MAX, lies at point i + 1. `random` has
 * (threshold - 1) * SECAGG_SHARE_BYTES bytes, uniform, used for this secret alone.
 * O(shares * threshold). */
void secagg_split(const uint8_t secret[static SECAGG_KEY_BYTES], uint32_t threshold,
                  const uint8_t *random, uint32_t shares, uint8_t (*share)[SECAGG_SHARE_BYTES]);
/* The secret that `threshold` shares at distinct points >= 1 give; of fewer than it was split for,
 * or of false ones, another one. O(threshold^2). */
void secagg_combine(uint32_t threshold, const uint8_t *point,
                    const uint8_t (*share)[SECAGG_SHARE_BYTES],
                    uint8_t secret[static SECAGG_KEY_BYTES]);

#endif
