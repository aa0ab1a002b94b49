/* SPDX-License-Identifier: Apache-2.0
 *
 * Members that a coordinator has offered a snapshot, and until when each may take it up. One owner.
 */
#ifndef AGENT_OFFERS_H
#define AGENT_OFFERS_H

#include "raft/raft.h"

/* Members at a time, and as many that have left since they were offered one. */
#define OFFERS_MAX (2 * RAFT_PEERS_MAX)

struct offer {
    uint64_t handle;
    uint64_t until_us;
};

struct offers { /* zeros: none */
    size_t count;
    struct offer at[OFFERS_MAX];
};

/* A new offer, or a new time for the one there is. */
void offers_note(struct offers *o, uint64_t handle, uint64_t until_us);
/* False: there was none. */
bool offers_end(struct offers *o, uint64_t handle);
/* One whose time is over; false: none. */
bool offers_late(const struct offers *o, uint64_t now_us, uint64_t *handle);
uint64_t offers_deadline_us(const struct offers *o); /* UINT64_MAX: none */

#endif
