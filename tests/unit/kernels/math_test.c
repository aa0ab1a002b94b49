/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/math.h"
#include "tst.h"

#include <math.h>
#include <stdio.h>

/* Units in the last place of float at the exact value. */
static double ulps(float got, double exact)
{
    float nearest = (float)exact;
    int exponent;
    (void)frexpf(nearest, &exponent);
    double unit = ldexp(1.0, exponent - 24);
    if (unit < ldexp(1.0, -149)) {
        unit = ldexp(1.0, -149);
    }
    return fabs((double)got - exact) / unit;
}

static double worst(float (*ours)(float), double (*theirs)(double), float from, float to)
{
    double most = 0;
    const int steps = 400000;
    for (int i = 0; i <= steps; i++) {
        float x = from + (to - from) * ((float)i / (float)steps);
        double u = ulps(ours(x), theirs((double)x));
        most = u > most ? u : most;
    }
    return most;
}

static float exp_float(float x)
{
    return kn_exp(x);
}

static float log_float(float x)
{
    return kn_log(x);
}

static float erf_float(float x)
{
    return kn_erf(x);
}

static float tanh_float(float x)
{
    return kn_tanh(x);
}

static const struct {
    const char *name;
    float (*ours)(float);
    double (*theirs)(double);
    float from, to;
    double limit;
} ranges[] = {
    {"exp", exp_float, exp, -103.0f, 88.7f, 1.1},   {"exp", exp_float, exp, -1.0f, 1.0f, 1.1},
    {"log", log_float, log, 1e-6f, 10.0f, 1.6},     {"log", log_float, log, 0.5f, 2.0f, 1.6},
    {"log", log_float, log, 1.0f, 1e30f, 1.6},      {"log", log_float, log, 1e-44f, 1e-38f, 1.6},
    {"erf", erf_float, erf, -1.0f, 1.0f, 1.5},      {"erf", erf_float, erf, 1.0f, 6.0f, 1.5},
    {"tanh", tanh_float, tanh, -0.62f, 0.62f, 1.7}, {"tanh", tanh_float, tanh, 0.6f, 20.0f, 1.7},
};

TEST_ROWS(float_functions_stay_within_their_stated_error, ranges)
{
    double most = worst(ranges[tst_row].ours, ranges[tst_row].theirs, ranges[tst_row].from,
                        ranges[tst_row].to);
    printf("# %s [%g, %g]: %.3f ulp\n", ranges[tst_row].name, (double)ranges[tst_row].from,
           (double)ranges[tst_row].to, most);
    EXPECT(most <= ranges[tst_row].limit);
}

TEST(double_functions_stay_within_their_stated_error)
{
    for (int i = -300000; i <= 300000; i++) {
        double x = i * 1e-4 * 1.0009;
        EXPECT(fabs(kn_exp64(x) - exp(x)) <= 2e-15 * exp(x));
        EXPECT(fabs(kn_erf64(x) - erf(x)) <= 2e-15);
        EXPECT(fabs(kn_tanh64(x) - tanh(x)) <= 2e-15);
        EXPECT(fabs(kn_cos64(x * 7) - cos(x * 7)) <= 2e-15);
        double p = exp(x);
        EXPECT(fabs(kn_log64(p) - log(p)) <= 2e-15 * (fabs(log(p)) + 1e-30) || fabs(x) < 1e-9);
    }
    EXPECT(fabs(kn_exp64(-740.0) - exp(-740.0)) <= 5e-324);
    EXPECT(fabs(kn_log64(5e-324) - log(5e-324)) <= 1e-12);
}

TEST(special_values_do_what_ieee_says)
{
    EXPECT(isinf(kn_exp(1000.0f)) && kn_exp(1000.0f) > 0);
    EXPECT(kn_exp(-1000.0f) <= 0.0f && kn_exp(0.0f) >= 1.0f && kn_exp(0.0f) <= 1.0f);
    EXPECT(isnan(kn_exp(NAN)) && isnan(kn_log(NAN)) && isnan(kn_erf(NAN)) && isnan(kn_tanh(NAN)));
    EXPECT(isinf(kn_log(0.0f)) && kn_log(0.0f) < 0);
    EXPECT(isinf(kn_log(INFINITY)) && kn_log(INFINITY) > 0);
    EXPECT(isnan(kn_log(-1.0f)));
    EXPECT(isinf(kn_exp(INFINITY)) && kn_exp(-INFINITY) <= 0.0f);
    EXPECT(kn_erf(INFINITY) >= 1.0f && kn_erf(-INFINITY) <= -1.0f);
    EXPECT(kn_tanh(50.0f) >= 1.0f && kn_tanh(-50.0f) <= -1.0f);
    EXPECT(isnan(kn_exp64(NAN)) && isnan(kn_log64(NAN)) && isnan(kn_log64(-1.0)));
    EXPECT(isinf(kn_log64(0.0)) && isinf(kn_exp64(1e6)) && kn_exp64(-1e6) <= 0.0);
    EXPECT(isnan(kn_erf64(NAN)) && isnan(kn_tanh64(NAN)));
}
