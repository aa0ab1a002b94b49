/* SPDX-License-Identifier: Apache-2.0
 *
 * Exponential decay in whole numbers: the same on every machine. */
#ifndef SH_BASE_DECAY_H
#define SH_BASE_DECAY_H

#include <stdint.h>

/* value * 2^(-age / half_life) to one in 2^15, rounded down to a whole number. age and half_life
 * have the same unit; half_life is 1 to 2^62. */
uint64_t sh_decay(uint64_t value, uint64_t age, uint64_t half_life);

#endif
