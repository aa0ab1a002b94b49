/* SPDX-License-Identifier: Apache-2.0 */
#include "train/clock.h"

#include "base/host/host.h"

#include <errno.h>
#include <time.h>

void train_clock_cond(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_cond_init(cond, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
}

void train_clock_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_us)
{
    uint64_t now = sh_now_us();
    uint64_t us = until_us <= now ? 0 : until_us - now;
    struct timespec until;
    us = us < TRAIN_CLOCK_WAIT_MAX_US ? us : TRAIN_CLOCK_WAIT_MAX_US;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    uint64_t ns = (uint64_t)until.tv_nsec + us * 1000u;
    until.tv_sec += (time_t)(ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    int waited = pthread_cond_timedwait(cond, lock, &until);
    SH_CHECK(waited == 0 || waited == ETIMEDOUT);
}
