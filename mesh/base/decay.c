/* SPDX-License-Identifier: Apache-2.0 */
#include "base/decay.h"

#include "base/check.h"

enum { BITS = 16 };

/* 2^32 * 2^(-2^-k) for k from 1: a fraction of a half-life is a sum of these powers of two. */
static const uint32_t factors[BITS] = {0xb504f333u, 0xd744fccau, 0xeac0c6e7u, 0xf5257d15u,
                                       0xfa83b2dbu, 0xfd3e0c0cu, 0xfe9e115cu, 0xff4ecb59u,
                                       0xffa75652u, 0xffd3a751u, 0xffe9d2b2u, 0xfff4e91bu,
                                       0xfffa747eu, 0xfffd3a3bu, 0xfffe9d1cu, 0xffff4e8eu};

uint64_t sh_decay(uint64_t value, uint64_t age, uint64_t half_life)
{
    SH_CHECK_CMP(half_life, >, 0);
    SH_CHECK_CMP(half_life, <=, UINT64_C(1) << 62);
    uint64_t halvings = age / half_life;
    uint64_t rest = age % half_life;
    uint64_t factor = UINT64_C(1) << 32;
    if (halvings >= 64) {
        return 0;
    }
    for (int i = 0; i < BITS; i++) {
        rest *= 2;
        if (rest >= half_life) {
            rest -= half_life;
            factor = factor * factors[i] >> 32;
        }
    }
    value = (value >> 32) * factor + ((value & UINT32_MAX) * factor >> 32);
    return value >> halvings;
}
