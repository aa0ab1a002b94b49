/* SPDX-License-Identifier: Apache-2.0 */
#include "swim/scale.h"
#include "base/check.h"

/* log(c + 1) / log(4) in thousandths, c confirmations beyond the first accuser. */
static const uint32_t CONFIRMED_MILLI[] = {0, 500, 792, 1000};

uint32_t swim_log2_milli(uint64_t n)
{
    SH_CHECK(n > 0);
    uint32_t whole = 0;
    while (n >> whole > 1) {
        whole++;
    }
    /* Squaring x in [1, 2) doubles its logarithm: each carry past 2 is one binary digit. */
    uint64_t x = whole > 31 ? n >> (whole - 31) : n << (31 - whole);
    uint32_t fraction = 0;
    for (uint32_t i = 0; i < 10; i++) {
        x = x * x >> 31;
        fraction = fraction * 2 + (uint32_t)(x >> 32);
        x >>= x >> 32;
    }
    return whole * 1000 + fraction * 1000 / 1024;
}

uint32_t swim_log10_milli(uint64_t n)
{
    return (uint32_t)((uint64_t)swim_log2_milli(n) * 30103 / 100000);
}

uint32_t swim_retransmits(uint32_t members)
{
    uint32_t digits = 1; /* ceil(log10(members + 1)): decimal digits of members */
    for (uint32_t left = members / 10; left > 0; left /= 10) {
        digits++;
    }
    return digits < 3 ? 8 : 3 * digits;
}

uint64_t swim_suspicion_us(uint64_t shortest_us, uint32_t span, uint32_t members, uint32_t accusers)
{
    SH_CHECK(accusers >= 1 && accusers <= SH_COUNT(CONFIRMED_MILLI));
    SH_CHECK(span >= 1);
    if (members < 5) { /* members - 2 others cannot give three confirmations */
        return shortest_us;
    }
    uint64_t extra_us = shortest_us * (span - 1);
    return shortest_us + extra_us - extra_us * CONFIRMED_MILLI[accusers - 1] / 1000;
}
