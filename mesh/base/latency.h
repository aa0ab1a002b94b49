/* SPDX-License-Identifier: Apache-2.0
 *
 * The 99th percentile of the newest few hundred measurements of a time, in constant space: a
 * histogram of four buckets to the power of two that is halved whenever it holds
 * SH_LATENCY_HELD_MAX of them. Answers are at most a quarter too high. A value; zeroed it is empty.
 */
#ifndef SH_LATENCY_H
#define SH_LATENCY_H

#include <stdint.h>

#define SH_LATENCY_BUCKETS  112u /* up to 2^28 us; what is longer counts there */
#define SH_LATENCY_HELD_MAX 512u

struct sh_latency {
    uint32_t held;
    uint16_t count[SH_LATENCY_BUCKETS];
};

void sh_latency_add(struct sh_latency *l, uint64_t us);
/* 0: nothing was measured. Of less than a hundred, the longest. O(buckets). */
uint32_t sh_latency_p99(const struct sh_latency *l);
/* The same, but one measurement alone never decides: of less than two hundred, the longest but one,
 * and 0 where there is no other. */
uint32_t sh_latency_usual_p99(const struct sh_latency *l);

#endif
