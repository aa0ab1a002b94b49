/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to the exploration: states of single nodes, messages and logs as numbers, and what an
 * event does to a node. Everything here only grows. */
#ifndef SIM_EXPLORE_NODE_H
#define SIM_EXPLORE_NODE_H

#include "sim/explore.h"
#include "sim/ledger.h"

#include "raft/raft.h"

enum {
    EXPLORE_HELD_MAX = 32,
    EXPLORE_ENTRIES_MAX = 4, /* of one message */
    EXPLORE_SENT_MAX = 64,   /* by one event */
};

enum explore_event { /* what may happen to a node; a message that arrives is MESSAGE + its number */
                     EXPLORE_PATIENCE = 1,
                     EXPLORE_PERSIST,
                     EXPLORE_CRASH,
                     EXPLORE_PROPOSE, /* + number of the proposal */
                     EXPLORE_MESSAGE = EXPLORE_PROPOSE + SIM_EXPLORE_PROPOSALS_MAX,
};

struct explore_log { /* a log as a path: 0 is the empty one */
    uint32_t before;
    uint32_t index;
    uint32_t term;
    uint32_t payload; /* 0: empty; else 1 + number of the proposal */
};

struct explore_msg { /* no padding: compared and hashed as bytes */
    uint32_t type;
    uint32_t from;
    uint32_t to;
    uint32_t term;
    uint32_t log_term;
    uint32_t index;
    uint32_t commit;
    uint32_t hint;
    uint32_t ctx;
    uint32_t reject;
    uint32_t force;
    uint32_t entry_count;
    uint32_t entry_term[EXPLORE_ENTRIES_MAX];
    uint32_t entry_payload[EXPLORE_ENTRIES_MAX];
};

struct explore_hard {
    uint32_t term;
    uint32_t vote;
    uint32_t commit;
};

struct explore_write {
    uint64_t token;
    struct explore_hard hard;
    uint32_t log; /* all of it once this is durable */
};

struct explore_held {
    uint64_t after;
    uint32_t msg;
};

struct explore_node {
    void *core;               /* its value */
    struct explore_hard hard; /* durable */
    uint32_t disk;            /* durable log */
    uint32_t log;             /* as its process has it */
    uint32_t write_count;
    struct explore_write writes[SIM_EXPLORE_WRITES_MAX];
    uint32_t held_count;
    struct explore_held held[EXPLORE_HELD_MAX];
    enum raft_role role;
    uint32_t term;
    uint32_t commit;
    bool follows; /* a leader is known */
};

struct explore_change { /* what an event does to a node */
    uint32_t node;      /* its state afterwards; 0: the event is not possible */
    uint32_t sent_first;
    uint32_t sent_count; /* messages that leave */
};

struct explore_space {
    struct sim_explore_bounds bounds;
    struct raft_limits limits;
    uint64_t value_bytes;
    uint64_t steps;
    struct explore_node *nodes; /* from 1 on */
    uint32_t node_count;
    uint32_t node_capacity;
    struct sim_ledger node_numbers;
    struct explore_msg *msgs; /* from 0 on */
    uint32_t msg_count;
    struct sim_ledger msg_numbers;
    struct explore_log *logs; /* from 0 on */
    uint32_t log_count;
    uint32_t log_capacity;
    struct sim_ledger log_numbers;
    struct explore_change *changes; /* from 1 on */
    uint32_t change_count;
    uint32_t change_capacity;
    struct sim_ledger change_numbers; /* (node, event) -> change */
    uint32_t *sent;
    uint32_t sent_count;
    uint32_t sent_capacity;
    void *block; /* the core that is stepped */
    struct raft_update *update;
    char *failure; /* written where an event breaks what holds within one node */
};

void sim_explore_open(struct explore_space *space, const struct sim_explore_bounds *bounds,
                      char *failure);
void sim_explore_close(struct explore_space *space);
/* State of node id (from 1 on) before anything has happened. */
uint32_t sim_explore_first(struct explore_space *space, uint32_t id);
/* What event does to a node in state `node`, whose id is id; borrowed until the next call. */
const struct explore_change *sim_explore_event(struct explore_space *space, uint32_t id,
                                               uint32_t node, uint32_t event);
uint32_t sim_explore_append(struct explore_space *space, uint32_t log, uint32_t term,
                            uint32_t payload);
/* The log cut behind index; the log itself where it is not longer. */
uint32_t sim_explore_upto(const struct explore_space *space, uint32_t log, uint32_t index);

#endif
