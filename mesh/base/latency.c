/* SPDX-License-Identifier: Apache-2.0 */
#include "base/latency.h"
#include "base/check.h"

/* Below 4 a bucket is a number; above, the two bits after the first say the quarter of its power.
 */
static uint32_t bucket_of(uint64_t us)
{
    uint32_t power = 0;
    while (us >= 8) {
        us /= 2;
        power++;
    }
    uint32_t bucket = us < 4 ? (uint32_t)us : 4 * (power + 1) + (uint32_t)us - 4;
    return bucket < SH_LATENCY_BUCKETS ? bucket : SH_LATENCY_BUCKETS - 1;
}

/* The largest number in it. */
static uint32_t end_of(uint32_t bucket)
{
    uint32_t power = bucket < 4 ? 0 : bucket / 4 - 1;
    uint32_t quarter = bucket < 4 ? bucket : 4 + bucket % 4;
    return ((quarter + 1) << power) - 1;
}

void sh_latency_add(struct sh_latency *l, uint64_t us)
{
    if (l->held == SH_LATENCY_HELD_MAX) {
        l->held = 0;
        for (uint32_t i = 0; i < SH_LATENCY_BUCKETS; i++) {
            l->count[i] /= 2;
            l->held += l->count[i];
        }
    }
    l->count[bucket_of(us)]++;
    l->held++;
}

/* The longest but so many. */
static uint32_t longest_but(const struct sh_latency *l, uint32_t left_out)
{
    uint32_t above = 0;
    uint32_t bucket = SH_LATENCY_BUCKETS;
    if (l->held <= left_out) {
        return 0;
    }
    while (above <= left_out) {
        SH_CHECK_CMP(bucket, >, 0);
        bucket--;
        above += l->count[bucket];
    }
    return end_of(bucket);
}

uint32_t sh_latency_p99(const struct sh_latency *l)
{
    return longest_but(l, l->held / 100);
}

uint32_t sh_latency_usual_p99(const struct sh_latency *l)
{
    return longest_but(l, l->held < 200 ? 1 : l->held / 100);
}
