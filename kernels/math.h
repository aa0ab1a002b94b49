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

#include <stdint.h>
#include <string.h>

/* double: for the reference implementation and for schedules; error below 2e-15 relative (erf,
 * tanh, sin, cos: below 2e-15 absolute). kn_cos takes |x| <= 1e5. */
double kn_exp64(double x);
double kn_log64(double x); /* x > 0; -infinity at 0; not-a-number below */
double kn_erf64(double x);
double kn_tanh64(double x);
double kn_cos64(double x);

static inline float kn_f32_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t kn_f32_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

float kn_exp(float x);
float kn_log(float x);
float kn_erf(float x);
float kn_tanh(float x);

#endif
