/* SPDX-License-Identifier: Apache-2.0
 *
 * Placement: from a snapshot of nodes and units to decisions, and a reason for every refusal. A
 * pure function: the same input in any order of nodes and units gives the same output. The leader
 * proposes the decisions as PLACE and EXPIRE commands; each names the fence it was made against, so
 * one that is overtaken is refused when applied and simply planned again.
 *
 * Policies. A unit is placed as a whole gang of at least agents_min members or not at all. Units
 * come by priority (higher first), then job id, then unit number; waiting units before running ones
 * grow. A running gang is placed anew when a member is DEAD or LEFT, or is not ALIVE and a
 * co-member reports it lost, or no longer has the pinned class; and with the same members when one
 * reports that it lost its session (restarted), at the earliest renew_min_us after the last
 * placement. When fewer than agents_min are left and no other node fits, the unit expires: it waits
 * again. A gang grows when more nodes fit and agents_max allows, and gives up draining members when
 * enough others are there; both at the earliest change_min_us after its last placement. A stopping
 * gang is never changed; it expires when its first member, which writes the result, is gone.
 * Members keep their order over all of this; new ones come behind, by id. Among nodes that fit,
 * those ready for the unit come first, then the less used, then the faster, then by id. */
#ifndef SH_PLACE_H
#define SH_PLACE_H

#include "wire/job.h"

#define PLACE_NODES_MAX    SH_NODES_MAX
#define PLACE_UNITS_MAX    16384u /* units in one pass; hand in the first ones by priority and id */
#define PLACE_DATASETS_MAX 64u    /* node-local data sets told apart in one pass */
#define PLACE_NO_DATASET   0xffu
#define PLACE_SPEED_USUAL  1000u /* per mille; what a speed of 0 counts as */

enum place_liveness { PLACE_ALIVE = 0, PLACE_SUSPECT = 1, PLACE_DEAD = 2, PLACE_LEFT = 3 };

struct place_node {
    uint8_t id[SH_NODE_ID_BYTES]; /* distinct */
    enum place_liveness liveness;
    bool draining;
    uint8_t class[WIRE_CLASS_BYTES];
    char version[WIRE_VERSION_MAX + 1];
    uint16_t cpus;
    uint64_t ram_bytes;
    uint16_t slots;    /* units at a time; what is in use follows from the units */
    uint16_t speed;    /* per mille; shares of ranks follow it; 0: usual */
    uint64_t datasets; /* bit d: it holds data set d (place_unit.dataset) */
};

struct place_unit {
    struct wire_unit unit;
    bool running;  /* it has a gang; else it waits */
    bool stopping; /* it has a gang that is ending: never placed, but expired when members are gone
                    */
    uint8_t priority;
    struct wire_need need;
    uint8_t dataset; /* number of need.dataset below PLACE_DATASETS_MAX, or PLACE_NO_DATASET */
    bool pinned;
    uint8_t class[WIRE_CLASS_BYTES]; /* pinned class */
    uint64_t placed_us;              /* last placement, on the clock of now_us; 0: never */
    struct wire_fence fence;         /* latest, {0, 0}: never placed */
    uint32_t member_count;           /* 0 unless running or stopping */
    struct wire_member members[WIRE_MEMBERS_MAX];
    /* Nodes that have prepared for this unit (fetched what it needs). Borrowed. */
    const uint8_t (*ready)[SH_NODE_ID_BYTES];
    uint32_t ready_count;
};

/* A member of a unit says that it lost another member, or (reporter = lost) that it has no session
 * of this gang, for example after a restart. Ignored unless the fence is the unit's and both are
 * members. */
struct place_report {
    struct wire_unit unit;
    struct wire_fence fence;
    uint8_t reporter[SH_NODE_ID_BYTES];
    uint8_t lost[SH_NODE_ID_BYTES];
};

struct place_input {
    uint64_t now_us;
    /* A new coordinator has not heard everyone yet: before this time nobody counts as dead or lost
     * (nothing is expired or placed anew for that), and nobody but ALIVE is placed. */
    uint64_t losses_from_us;
    char version[WIRE_VERSION_MAX + 1]; /* members must run this one; "": any */
    const struct place_node *nodes;
    uint32_t node_count; /* <= PLACE_NODES_MAX */
    const struct place_unit *units;
    uint32_t unit_count; /* <= PLACE_UNITS_MAX; with every running and stopping unit */
    const struct place_report *reports;
    uint32_t report_count;
};

struct place_limits {
    uint64_t change_min_us; /* between two voluntary changes of a gang */
    uint64_t renew_min_us;  /* between two placements for restarted members */
    bool grow_ready_only;   /* a running gang takes in only nodes that are ready for it */
};

struct place_limits place_limits_default(void); /* 2 s, 1 s, false */

enum place_action { PLACE_ACTION_PLACE = 0, PLACE_ACTION_EXPIRE = 1 };

struct place_decision {
    enum place_action action;
    struct wire_unit unit;
    struct wire_fence previous; /* the unit's latest fence */
    enum wire_cause cause;
    /* EXPIRE has no members. fence of the placement is {0, 0}: the log entry gives it. */
    struct wire_placement placement;
};

/* One (unit, node) or, for a unit's own verdict, unit alone. need and have are in the reason's
 * unit: cores, bytes, agents, slots, microseconds; holder is the job that has the last slot
 * (NO_SLOT). */
struct place_refusal {
    struct wire_unit unit;
    uint8_t node[SH_NODE_ID_BYTES]; /* zero in a unit's verdict */
    enum wire_reason reason;
    uint64_t need;
    uint64_t have;
    uint64_t holder;
};

struct place_work { /* scratch of one pass; contents mean nothing between calls */
    uint32_t unit_order[PLACE_UNITS_MAX];
    uint32_t node_order[PLACE_NODES_MAX]; /* node indices by id */
    uint32_t fit[PLACE_NODES_MAX];        /* those that could take the unit at hand */
    uint32_t slots_used[PLACE_NODES_MAX];
    uint32_t cpus_used[PLACE_NODES_MAX];
    uint64_t ram_used[PLACE_NODES_MAX];
    uint64_t holder[PLACE_NODES_MAX];
    struct place_refusal refusal[PLACE_NODES_MAX];
};

/* Arrays are the caller's. Decisions beyond the capacity are not made (the next pass makes them);
 * refusals beyond it are counted in refusals_left_off. A verdict is given for every unit of the
 * input, at the unit's place in it: NONE when it runs or was placed now, else why not. */
struct place_output {
    struct place_decision *decisions;
    uint32_t decision_capacity;
    uint32_t decision_count;
    struct place_refusal
        *refusals; /* every node that does not take part, per unit, in planning order */
    uint32_t refusal_capacity;
    uint32_t refusal_count;
    uint64_t refusals_left_off;
    struct place_refusal *verdicts; /* unit_count of them, or NULL */
    struct place_work work;
};

/* O(units x nodes). Panics when the input breaks the limits above. */
void place_plan(const struct place_input *input, const struct place_limits *limits,
                struct place_output *output);

/* Splits [0, ranks) over count members in order, sizes in proportion to speed (0: usual), each at
 * least one rank; fills rank_lo and rank_hi. count is 1 to ranks. Nobody gets less than
 * its share by two ranks, and no step is longer than with the rounded shares; within that the
 * ranges with the fewest subtrees of the reduction tree, whose sums are what members send each
 * other. O(count x ranks). */
void place_split(struct wire_member *members, const uint16_t *speeds, uint32_t count,
                 uint32_t ranks);

/* "NO_SLOT" and its sentence about a node; "UNKNOWN" and "?" for other numbers. */
const char *place_reason_name(uint32_t reason);
const char *place_reason_text(uint32_t reason);

#endif
