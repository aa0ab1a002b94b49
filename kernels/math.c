/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/math.h"

#include "kernels/err.h"

#define LN2_HIGH 0x1.62e42fefa0000p-1 /* 33 bits: times an exponent it is exact */
#define LN2_LOW  0x1.cf79abc9e3b3ap-40
#define PI_2_A   0x1.921fb54400000p0 /* pi / 2 in three parts of 33 bits */
#define PI_2_B   0x1.0b4611a600000p-34
#define PI_2_C   0x1.3198a2e037073p-69

static double f64_from_bits(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static uint64_t f64_bits(double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return bits;
}

double kn_exp64(double x)
{
    if (x > 710.0) {
        return f64_from_bits(0x7FF0000000000000u);
    }
    if (x < -746.0) {
        return 0.0;
    }
    if (!(x <= 710.0)) {
        return x;
    }
    const double magic = 0x1.8p52;
    double k = x * 0x1.71547652b82fep0 + magic - magic;
    double r = x - k * LN2_HIGH - k * LN2_LOW;
    double sum = 1.0;
    for (int i = 14; i >= 1; i--) {
        sum = 1.0 + sum * r / (double)i;
    }
    int64_t n = (int64_t)k;
    int64_t half = n / 2;
    double a = f64_from_bits((uint64_t)(half + 1023) << 52);
    double b = f64_from_bits((uint64_t)(n - half + 1023) << 52);
    return sum * a * b;
}

double kn_log64(double x)
{
    if (!(x > 0.0)) {
        return x < 0.0 || x > 0.0 ? f64_from_bits(0x7FF8000000000000u)
                                  : (x <= 0.0 ? f64_from_bits(0xFFF0000000000000u) : x);
    }
    if (x > 0x1.fffffffffffffp1023) {
        return x;
    }
    double k = 0.0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54.0;
    }
    uint64_t bits = f64_bits(x);
    int64_t e = (int64_t)(bits >> 52) - 1023;
    double m = f64_from_bits((bits & 0x000FFFFFFFFFFFFFu) | 0x3FF0000000000000u);
    if (m > 0x1.6a09e667f3bcdp0) {
        m *= 0.5;
        e += 1;
    }
    k += (double)e;
    double f = m - 1.0;
    double s = f / (2.0 + f);
    double z = s * s;
    double p = 0.0;
    for (int i = 12; i >= 1; i--) {
        p = z * (2.0 / (2.0 * i + 1.0) + p);
    }
    double h = 0.5 * f * f;
    return k * LN2_HIGH + (f - (h - (s * (h + p) + k * LN2_LOW)));
}

/* Below 2.5 the series 2/sqrt(pi) e^-x^2 sum 2^i x^(2i+1) / (1 3 5 ... (2i+1)), all terms positive;
 * above, the continued fraction of the complement (Abramowitz and Stegun 7.1.6 and 7.1.14). */
double kn_erf64(double x)
{
    double a = x < 0.0 ? -x : x;
    double y = 1.0;
    if (!(a >= 0.0)) {
        return x;
    }
    if (a < 2.5) {
        double term = a;
        double sum = a;
        for (int i = 1; i < 60; i++) {
            term *= 2.0 * a * a / (2.0 * i + 1.0);
            sum += term;
        }
        y = 0x1.20dd750429b6dp0 * kn_exp64(-a * a) * sum;
    } else if (a < 6.0) {
        double tail = a;
        for (int i = 120; i >= 1; i--) {
            tail = a + 0.5 * i / tail;
        }
        y = 1.0 - 0x1.20dd750429b6dp-1 * kn_exp64(-a * a) / tail;
    }
    return x < 0.0 ? -y : y;
}

/* Lambert's continued fraction below 1. */
double kn_tanh64(double x)
{
    double a = x < 0.0 ? -x : x;
    double y;
    if (a < 1.0) {
        double tail = 31.0;
        for (int i = 29; i >= 1; i -= 2) {
            tail = (double)i + a * a / tail;
        }
        y = a / tail;
    } else {
        y = 1.0 - 2.0 / (kn_exp64(2.0 * a) + 1.0);
    }
    return x < 0.0 ? -y : y;
}

/* Taylor series of cos (odd = 0) or sin (odd = 1) for |r| <= pi / 4. */
static double quadrant_series(double r, int odd)
{
    double sum = 1.0;
    for (int i = 20; i >= 2; i -= 2) {
        double d = (double)(i + odd);
        sum = 1.0 - sum * r * r / (d * (d - 1.0));
    }
    return odd ? sum * r : sum;
}

double kn_cos64(double x)
{
    KN_CHECK(x >= -1e5 && x <= 1e5);
    const double magic = 0x1.8p52;
    double k = x * 0x1.45f306dc9c883p-1 + magic - magic;
    double r = x - k * PI_2_A - k * PI_2_B - k * PI_2_C;
    switch ((uint32_t)(int32_t)k & 3u) {
    case 0:
        return quadrant_series(r, 0);
    case 1:
        return -quadrant_series(r, 1);
    case 2:
        return -quadrant_series(r, 0);
    default:
        return quadrant_series(r, 1);
    }
}

double kn_power64(double base, uint64_t exponent)
{
    double result = 1.0;
    double square = base;
    for (uint64_t left = exponent; left != 0; left >>= 1) {
        if ((left & 1) != 0) {
            result *= square;
        }
        square *= square;
    }
    return result;
}
