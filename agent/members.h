/* SPDX-License-Identifier: Apache-2.0
 *
 * What the loop last knew about the agents of the cluster, for every other thread to read. The loop
 * publishes whole states; a reader copies. Each change raises the version and wakes who waits. */
#ifndef AGENT_MEMBERS_H
#define AGENT_MEMBERS_H

#include "service.h"

struct members;

SH_MUST_USE enum sh_err members_open(struct members **out, const uint8_t me[SH_NODE_ID_BYTES]);
void members_close(struct members *m);

/* Inserts or replaces one agent (this one too). Where SH_NODES_MAX are listed, an agent that is
 * here takes the place of one that is dead or has left and does not vote; LIMIT when there is none.
 * Loop only. */
SH_MUST_USE enum sh_err members_put(struct members *m, const struct service_member *member);
/* Marks exactly the count (<= SH_VOTERS_MAX) ids as voters, those too that are put later. Loop
 * only.
 */
void members_set_voters(struct members *m, uint8_t (*ids)[SH_NODE_ID_BYTES], size_t count);

/* A measurement: raises no version. Loop only. */
void members_set_rtt(struct members *m, const uint8_t id[SH_NODE_ID_BYTES], uint32_t rtt_us,
                     uint32_t rtt_p99_us);

/* Sorted by node id; returns how many were written. */
size_t members_list(struct members *m, struct service_member *out, size_t capacity);
bool members_get(struct members *m, const uint8_t id[SH_NODE_ID_BYTES], struct service_member *out);
/* Ids of the live agents except this one, sorted. Suspects count as live. */
size_t members_alive(struct members *m, uint8_t (*ids)[SH_NODE_ID_BYTES], size_t capacity);
uint64_t members_version(struct members *m);
/* Returns the version: larger than seen, or after timeout_us maybe equal. */
uint64_t members_wait(struct members *m, uint64_t seen, uint64_t timeout_us);

#endif
