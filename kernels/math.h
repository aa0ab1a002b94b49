/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementary functions of our own, so that training gives the same bits whatever libm is installed.
 *
 * Only +, -, *, /, comparisons and bit moves, never a fused multiply-add: with -ffp-contract=off a
 * result depends on the argument alone, not on compiler, vector width or CPU. The float functions
 * are branch-free so that loops over them vectorise. Errors stated are the largest found by
 * tests/unit/kernels/math_test.c against libm in double. Not-a-number in, not-a-number out. */
#ifndef KN_MATH_H
#define KN_MATH_H

#include "kernels/inline.h"

#include <stdint.h>
#include <string.h>

/* double: for the reference implementation and for schedules; error below 2e-15 relative (erf,
 * tanh, sin, cos: below 2e-15 absolute). kn_cos takes |x| <= 1e5. */
double kn_exp64(double x);
double kn_log64(double x); /* x > 0; -infinity at 0; not-a-number below */
double kn_erf64(double x);
double kn_tanh64(double x);
double kn_cos64(double x);
/* base^exponent by squaring. */
double kn_power64(double base, uint64_t exponent);

static KN_BOTH inline float kn_f32_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static KN_BOTH inline uint32_t kn_f32_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* e^x. Cody-Waite reduction by ln 2 in two parts, degree 6, scaled in two steps so that denormal
 * results are right. 0 below -104, infinity above 89. Error 1.1 ulp. */
static KN_BOTH inline float kn_exp(float x)
{
    const float magic = 0x1.8p23f; /* adding it rounds to an integer in the low bits */
    float c = x > 89.0f ? 89.0f : x;
    c = c < -104.0f ? -104.0f : c;
    float t = c * 0x1.715476p0f + magic;
    uint32_t n = kn_f32_bits(t) - 0x4B400000u;
    float k = t - magic;
    float r = c - k * 0x1.62ep-1f;
    r = r - k * 0x1.0bfbe8p-15f;
    float p = 0x1.6d7534p-10f;
    p = p * r + 0x1.120b66p-7f;
    p = p * r + 0x1.5554b8p-5f;
    p = p * r + 0x1.5554dcp-3f;
    p = p * r + 0.5f;
    p = p * (r * r) + r;
    p = p + 1.0f;
    uint32_t half = (uint32_t)((int32_t)n / 2);
    float a = kn_f32_from_bits((half + 127u) << 23);
    float b = kn_f32_from_bits((n - half + 127u) << 23);
    return p * a * b;
}

/* Natural logarithm: m in [sqrt(1/2), sqrt(2)), series of atanh. -infinity at 0, not-a-number
 * below. Error 1.6 ulp. */
static KN_BOTH inline float kn_log(float x)
{
    float scaled = x < 0x1p-126f ? x * 0x1p23f : x;
    float shift = x < 0x1p-126f ? -23.0f : 0.0f;
    uint32_t bits = kn_f32_bits(scaled);
    uint32_t e = (bits - 0x3F3504F3u) >> 23; /* modulo 512: the exponent from sqrt(1/2) up */
    e = e > 255u ? e - 512u : e;
    float m = kn_f32_from_bits(bits - (e << 23));
    float k = (float)(int32_t)e + shift;
    float f = m - 1.0f;
    float s = f / (2.0f + f);
    float z = s * s;
    float p = 0x1.c71c72p-3f; /* 2/9, 2/7, 2/5, 2/3 */
    p = p * z + 0x1.249248p-2f;
    p = p * z + 0x1.99999ap-2f;
    p = p * z + 0x1.555556p-1f;
    float h = 0.5f * f * f;
    float r = f - (h - (s * (h + z * p) + k * 0x1.7f7d1cp-20f));
    r = r + k * 0x1.62e4p-1f;
    r = scaled > 0x1.fffffep127f ? scaled : r;
    r = x > 0.0f ? r : kn_f32_from_bits(0x7FC00000u);
    float low = x < 0.0f ? r : kn_f32_from_bits(0xFF800000u);
    return x <= 0.0f ? low : (x > 0.0f ? r : x);
}

/* Error function: odd polynomial below 1, 1 - exp(-polynomial) above. Error 1.5 ulp. */
static KN_BOTH inline float kn_erf(float x)
{
    float a = x < 0.0f ? -x : x;
    float z = a * a;
    float p = 0x1.4ae4c6p-14f;
    p = p * z + -0x1.a485e8p-11f;
    p = p * z + 0x1.5419f4p-8f;
    p = p * z + -0x1.b7fbb4p-6f;
    p = p * z + 0x1.ce2d20p-4f;
    p = p * z + -0x1.81273ep-2f;
    p = p * z + 0x1.06eba8p-3f; /* 2 / sqrt(pi) - 1 */
    float near = a + a * p;
    float c = a > 4.0f ? 4.0f : a;
    float q = -0x1.852dc4p-13f;
    q = q * c + 0x1.814d24p-9f;
    q = q * c + -0x1.654246p-6f;
    q = q * c + 0x1.a60a96p-4f;
    q = q * c + 0x1.46c582p-1f;
    q = q * c + 0x1.2085b2p0f;
    q = q * c + 0x1.72e404p-12f;
    float far = 1.0f - kn_exp(-q);
    float y = a < 1.0f ? near : far;
    return x < 0.0f ? -y : y;
}

/* Odd polynomial below 0.62, 1 - 2 / (e^2x + 1) above. Error 1.7 ulp. */
static KN_BOTH inline float kn_tanh(float x)
{
    float a = x < 0.0f ? -x : x;
    float z = a * a;
    float p = -0x1.90db9cp-8f;
    p = p * z + 0x1.584466p-6f;
    p = p * z + -0x1.b92d2ep-5f;
    p = p * z + 0x1.110e42p-3f;
    p = p * z + -0x1.555552p-2f;
    float near = a + a * z * p;
    float far = 1.0f - 2.0f / (kn_exp(2.0f * a) + 1.0f);
    float y = a < 0.62f ? near : far;
    return x < 0.0f ? -y : y;
}

#endif
