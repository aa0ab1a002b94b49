/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/attack.h"

#include "kernels/math.h"
#include "kernels/philox.h"

#include <math.h>

const char *attack_name(enum attack kind)
{
    static const char *const names[ATTACKS] = {
        [ATTACK_SIGN_FLIP] = "sign flip",         [ATTACK_SCALE] = "scale x100",
        [ATTACK_GAUSSIAN] = "gaussian",           [ATTACK_ALIE] = "alie",
        [ATTACK_INNER_PRODUCT] = "inner product", [ATTACK_NAN] = "nan",
    };
    return names[kind];
}

float attack_normal(uint64_t seed, uint64_t sequence, uint32_t i)
{
    const double two_pi = 6.283185307179586;
    uint32_t word[4];
    kn_stream_block(word, kn_stream_make(seed, 77, 0, 0), sequence, i);
    double u = ((double)word[0] + 1.0) * 0x1p-32;
    double v = (double)word[1] * 0x1p-32;
    return (float)(sqrt(-2.0 * kn_log64(u)) * kn_cos64(two_pi * v));
}

static void moments(float *const *x, uint32_t first, uint32_t last, size_t at, double *mean,
                    double *deviation)
{
    double sum = 0;
    double squares = 0;
    for (uint32_t i = first; i < last; i++) {
        sum += (double)x[i][at];
    }
    *mean = sum / (double)(last - first);
    for (uint32_t i = first; i < last; i++) {
        double d = (double)x[i][at] - *mean;
        squares += d * d;
    }
    *deviation = sqrt(squares / (double)(last - first));
}

void attack_apply(enum attack kind, float *const *x, uint32_t members, uint32_t liars, size_t count,
                  uint64_t seed)
{
    double squares = 0;
    for (size_t at = 0; at < count; at++) {
        squares += (double)x[liars][at] * (double)x[liars][at];
    }
    const double rms = sqrt(squares / (double)count);
    for (size_t at = 0; at < count; at++) {
        double mean = 0;
        double deviation = 0;
        moments(x, liars, members, at, &mean, &deviation);
        for (uint32_t i = 0; i < liars; i++) {
            const double own = (double)x[i][at];
            const double sent[ATTACKS] = {
                [ATTACK_SIGN_FLIP] = -8.0 * own,
                [ATTACK_SCALE] = 100.0 * own,
                [ATTACK_GAUSSIAN] = 200.0 * rms * (double)attack_normal(seed, i, (uint32_t)at),
                [ATTACK_ALIE] = mean - 1.5 * deviation,
                [ATTACK_INNER_PRODUCT] = -10.0 * mean,
                [ATTACK_NAN] = at == count / 2 ? (double)NAN : own,
            };
            x[i][at] = (float)sent[kind];
        }
    }
}
