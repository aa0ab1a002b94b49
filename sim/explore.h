/* SPDX-License-Identifier: Apache-2.0
 *
 * Every behaviour of a small group of real Raft cores, within bounds: breadth first over global
 * states, each visited once. What may happen to a node at any moment:
 *   a message that was ever sent to it arrives (also late, again, or never: a sent message stays);
 *   it loses patience: it forgets its leader, and without one campaigns;
 *   its oldest write becomes durable, and what waited for that is sent;
 *   it crashes: memory, unwritten writes and held messages are gone, and it starts from its disk;
 *   where it leads, the next proposal is made.
 * A core is a value, so what an event does to a node is worked out once per state of that node and
 * kept (sim/explore_node.h); a global state is three numbers of node states, the set of messages
 * sent, and what was committed. Time stands still: cores act on messages and lost patience only.
 *
 * After every transition: at most one leader per term, one vote per term and voter, log matching,
 * leader append-only, leader completeness, nobody commits another entry at an index, and what is
 * committed is on the disks of a majority; raft_check for every state of a node. States are told
 * apart by hashes of 64 bits: of n states one is taken for another with probability n^2 / 2^65. */
#ifndef SIM_EXPLORE_H
#define SIM_EXPLORE_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_EXPLORE_NODES         3u
#define SIM_EXPLORE_TERMS_MAX     7u
#define SIM_EXPLORE_PROPOSALS_MAX 4u
#define SIM_EXPLORE_WRITES_MAX    8u
#define SIM_EXPLORE_MESSAGES_MAX  65535u /* different ones */
#define SIM_EXPLORE_TEXT          16384u

struct sim_explore_bounds {
    uint32_t terms;     /* nobody campaigns in this term or later */
    uint32_t proposals; /* by whoever leads, all different */
    uint32_t crashes;   /* of all nodes together */
    uint32_t writes;    /* waiting at one node; with so many only its disk goes on */
    uint32_t depth;     /* events from the start */
    uint64_t states;    /* no more than this */
    bool pre_vote;
    bool led; /* starts with node 1 leading in term 1 and known to all; nothing is on its way, and
                 what was sent until then never comes again */
};

struct sim_explore_report {
    uint64_t states;
    uint64_t transitions; /* events tried that changed something */
    uint64_t steps;       /* of cores */
    uint64_t node_states;
    uint32_t messages; /* different ones */
    uint32_t depth;    /* of the deepest state */
    bool complete;     /* nothing lies beyond but what the bounds on events exclude */
    bool held;
    char failure[SIM_EXPLORE_TEXT]; /* what broke, and the events that lead there, one a line */
};

void sim_explore(const struct sim_explore_bounds *bounds, struct sim_explore_report *report);

#endif
