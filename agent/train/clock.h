/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting on a condition variable until a time on the clock of sh_now_us. */
#ifndef TRAIN_CLOCK_H
#define TRAIN_CLOCK_H

#include <pthread.h>
#include <stdint.h>

#define TRAIN_CLOCK_WAIT_MAX_US UINT64_C(1000000) /* one wait; the caller looks again */

void train_clock_cond(pthread_cond_t *cond); /* pthread_cond_init for train_clock_wait */
/* Returns when signalled, when until_us has come, after TRAIN_CLOCK_WAIT_MAX_US, or spuriously. */
void train_clock_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_us);

#endif
