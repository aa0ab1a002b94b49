/* SPDX-License-Identifier: Apache-2.0
 *
 * Which node bears which handle (Raft's number of an agent, never given twice). The tables know for
 * sure; until they are read here, what messages say is believed. One owner. */
#ifndef AGENT_HANDLES_H
#define AGENT_HANDLES_H

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct handle {
    uint64_t handle;
    bool sure; /* from the tables, not from a message */
    uint8_t node[SH_NODE_ID_BYTES];
};

struct handles { /* zeros: none known */
    size_t count;
    struct handle at[SH_NODES_MAX];
};

/* The node's id, borrowed until the next call that changes it; NULL: not known. */
const uint8_t *handles_node(const struct handles *h, uint64_t handle);
/* The node's handle, the newest one where it has had several; 0: not known. */
uint64_t handles_of(const struct handles *h, const uint8_t node[SH_NODE_ID_BYTES]);
/* From a row of the tables: overrules what messages said. */
void handles_learn(struct handles *h, uint64_t handle, const uint8_t node[SH_NODE_ID_BYTES]);
/* From a message of node; false where the tables say otherwise, or there is no place. */
bool handles_hear(struct handles *h, uint64_t handle, const uint8_t node[SH_NODE_ID_BYTES]);

#endif
