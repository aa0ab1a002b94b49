/* SPDX-License-Identifier: Apache-2.0
 *
 * What lying members send instead of their vectors, as the papers on rules against them have it. */
#ifndef SIM_ATTACK_H
#define SIM_ATTACK_H

#include <stddef.h>
#include <stdint.h>

enum attack {
    ATTACK_SIGN_FLIP = 0,     /* -8 times the own vector */
    ATTACK_SCALE = 1,         /* 100 times it */
    ATTACK_GAUSSIAN = 2,      /* noise, 200 times as long as an honest vector */
    ATTACK_ALIE = 3,          /* mean - 1.5 deviations of the honest, in every coordinate: Baruch et
                                 al., "A little is enough", 2019 */
    ATTACK_INNER_PRODUCT = 4, /* -10 times the mean of the honest: Xie et al., "Fall of empires",
                                 2019 */
    ATTACK_NAN = 5,           /* one value of the own vector is no number */
    ATTACKS = 6
};

const char *attack_name(enum attack kind);
/* x[0, liars) are replaced; x[liars, members) are honest and read. Same seed, same bits. */
void attack_apply(enum attack kind, float *const *x, uint32_t members, uint32_t liars, size_t count,
                  uint64_t seed);
/* Of mean 0 and deviation 1; number `i` of a sequence. */
float attack_normal(uint64_t seed, uint64_t sequence, uint32_t i);

#endif
