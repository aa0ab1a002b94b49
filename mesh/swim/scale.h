/* SPDX-License-Identifier: Apache-2.0
 *
 * How times and counts grow with the number of members, in integers: a decision never depends on
 * how a machine rounds. */
#ifndef SWIM_SCALE_H
#define SWIM_SCALE_H

#include <stdint.h>

/* 1000 * log2(n), rounded down to within 2; n >= 1. */
uint32_t swim_log2_milli(uint64_t n);
uint32_t swim_log10_milli(uint64_t n);
/* Packets that one claim rides on: 3 * ceil(log10(members + 1)), and not fewer than 8: each
 * listener is missed by about one rumour in e to that power. */
uint32_t swim_retransmits(uint32_t members);
/* Lifeguard's time to refute, in the unit of shortest_us: from span * shortest with one accuser
 * down to shortest with four; shortest at once where there are too few members for that. accusers
 * >= 1. */
uint64_t swim_suspicion_us(uint64_t shortest_us, uint32_t span, uint32_t members,
                           uint32_t accusers);

#endif
