/* SPDX-License-Identifier: Apache-2.0 */
#include "swim/swim.h"

enum { MS = 1000, SECOND = 1000 * 1000 };

#define HOUR_US (UINT64_C(3600) * SECOND)

/* clang-format off */
static const struct swim_config PRESETS[] = {
    [SWIM_LAN] = {
        .period_us = 500 * MS, .retransmit_us = 80 * MS, .nack_us = 150 * MS, .fast_us = 75 * MS,
        .helpers = 3, .suspicion_mult = 4, .suspicion_span = 4,
        .gossip_us = 200 * MS, .gossip_fanout = 3, .eager_fanout = 4,
        .sync_after_us = SECOND, .sync_every_us = 30 * SECOND,
        .redial_us = 5 * SECOND, .redial_slow_us = 30 * SECOND,
        .join_retry_us = SECOND, .leave_linger_us = SECOND,
        .share_dead_us = 2 * HOUR_US, .forget_dead_us = 24 * HOUR_US, .stall_us = 200 * MS,
    },
    [SWIM_LOCAL] = {
        .period_us = 100 * MS, .retransmit_us = 15 * MS, .nack_us = 30 * MS, .fast_us = 15 * MS,
        .helpers = 3, .suspicion_mult = 4, .suspicion_span = 4,
        .gossip_us = 50 * MS, .gossip_fanout = 3, .eager_fanout = 4,
        .sync_after_us = 200 * MS, .sync_every_us = 10 * SECOND,
        .redial_us = SECOND, .redial_slow_us = 5 * SECOND,
        .join_retry_us = 200 * MS, .leave_linger_us = 200 * MS,
        .share_dead_us = 2 * HOUR_US, .forget_dead_us = 24 * HOUR_US, .stall_us = 50 * MS,
    },
};
/* clang-format on */

struct swim_config swim_preset(enum swim_preset preset)
{
    SH_CHECK_CMP(preset, <, SH_COUNT(PRESETS));
    return PRESETS[preset];
}
