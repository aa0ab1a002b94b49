/* SPDX-License-Identifier: Apache-2.0
 *
 * Placement: from a snapshot of nodes and units to decisions, a verdict on every unit, and a reason
 * for every refusal. A pure function: the same input in any order of nodes and units gives the same
 * output. The leader proposes the decisions as PLACE and EXPIRE commands; each names the fence it
 * was made against, so one that is overtaken is refused when applied and simply planned again. All
 * that a pass should know of the past comes in as input; nothing is kept from pass to pass.
 *
 * Order. Units come by effective priority: their priority, one point for every ten minutes of
 * waiting (at most 20), less up to 10 for what their owner used of late beside the others; then by
 * job id and number, that is in the order of submission. Waiting units before running ones grow.
 *
 * Gangs. A unit is placed as a whole gang of at least agents_min members or not at all. A running
 * gang is placed anew when a member is DEAD or LEFT, or is not ALIVE and a co-member reports it
 * lost, or no longer has the pinned class; and with the same members when one reports that it lost
 * its session (restarted), at the earliest renew_min_us after the last placement. When fewer than
 * agents_min are left and no other node fits, the unit expires: it waits again. A gang grows when
 * more nodes fit and agents_max allows, and gives up draining and quarantined members when enough
 * others are there; both at the earliest change_min_us after its last placement. A stopping gang is
 * never changed; it expires when its first member, which writes the result, is gone. Members keep
 * their order over all of this; new ones come behind, by id.
 *
 * Choice. Nodes ready for the unit come first; then by score: how empty the node is (or, where
 * units are packed, how full it was when the pass began), what the unit gains there (its data, its
 * checkpoint), speed, failures of late, and a malus for GPUs that it does not want; then by id.
 *
 * Failures. A unit keeps away from nodes where it failed while others could take it, and from the
 * last of them while any other could.
 *
 * Head. The first waiting unit that does not fit now, though the nodes could take it when empty,
 * gets a reservation: the nodes that are free the earliest, by the expected ends of what runs there
 * (a unit of unknown length is expected to run as long again as it has). Others are placed there
 * only when they end before, or leave enough beside it (EASY backfill). Where units of less
 * priority by PLACE_PREEMPT_GAP are preemptible and were not preempted of late,
 * those expire for it, as soon as they have left a checkpoint (the host asks them): as few as
 * possible, then those that lose the least work, then the youngest.
 *
 * Reserve. A fraction r of the live nodes is kept for predictions: k = r == 0 ? 0 : max(1, trunc(r
 * N)), those with the fewest GPUs, then by id. What runs there stays. */
#ifndef SH_PLACE_H
#define SH_PLACE_H

#include "base/arena.h"
#include "place/label.h"
#include "wire/job.h"

#define PLACE_NODES_MAX    32768u
#define PLACE_UNITS_MAX    65536u
#define PLACE_DATASETS_MAX 64u /* node-local data sets told apart in one pass */
#define PLACE_NO_DATASET   0xffu
#define PLACE_NEAR_MAX     64u   /* nodes of interest to one unit; further ones do not count */
#define PLACE_FAILED_MAX   16u   /* nodes where a unit failed; older ones do not count */
#define PLACE_BLOCKERS_MAX 4u    /* jobs that a verdict names */
#define PLACE_SPEED_USUAL  1000u /* per mille; what a speed of 0 counts as */

#define PLACE_POINT            1000u /* effective priorities are in thousandths of a point */
#define PLACE_AGE_US           UINT64_C(600000000) /* waited so long: one point more */
#define PLACE_AGE_MAX          20u                 /* points for waiting */
#define PLACE_FAIR_MAX         10u                 /* points less for usage, at most */
#define PLACE_PREEMPT_GAP      10u                 /* points between who preempts and who is */
#define PLACE_PREEMPT_AGAIN_US UINT64_C(600000000)
/* What a unit of unknown length is expected to run: so long in the pass that places it, then as
 * long again as it has, but at least the other. */
#define PLACE_RUN_GUESS_US UINT64_C(3600000000)
#define PLACE_RUN_LEAST_US UINT64_C(60000000)

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
    uint16_t gpus;
    uint64_t gpu_bytes;               /* of each */
    uint64_t disk_bytes;              /* that units may use */
    bool commands;                    /* runs the commands of job files */
    bool too_weak;                    /* it would, in a stronger sandbox than it has */
    uint8_t sandbox;                  /* strongest level it has */
    uint8_t policy;                   /* enum wire_policy */
    uint64_t quarantined_until_us;    /* not now_us or before: none */
    bool parole;                      /* back from quarantine on trial: one unit at a time */
    uint32_t failures_milli;          /* that counted of late, in thousandths */
    const struct place_label *labels; /* borrowed */
    uint32_t label_count;
};

/* Where a unit would gain, for what it finds there: per mille, at most 1000. */
struct place_near {
    uint8_t node[SH_NODE_ID_BYTES];
    uint16_t gain;
};

/* What a unit needs beside wire_need, per agent; all zero: nothing. */
struct place_wants {
    uint16_t gpus;
    uint64_t gpu_bytes; /* of each GPU */
    uint64_t disk_bytes;
    bool no_slot; /* it does nothing there: any number at a time */
    bool commands;
    bool predict; /* may use the reserve */
    uint8_t sandbox;
    uint8_t spread;                           /* enum wire_spread */
    uint16_t per_node_max;                    /* units of its job on one node; 0: any */
    const struct place_condition *conditions; /* borrowed; all must hold */
    uint32_t condition_count;                 /* <= PLACE_CONDITIONS_MAX */
};

struct place_unit {
    struct wire_unit unit;
    bool running;  /* it has a gang; else it waits */
    bool stopping; /* it has a gang that is ending: never placed, but expired when members are gone
                    */
    /* stopping, because it was asked to leave a checkpoint and give way: expires then at the
     * latest, and others that need its room wait for that rather than preempt more. 0: it was not
     * asked. */
    uint64_t yields_until_us;
    uint8_t priority;
    struct wire_need need;
    struct place_wants wants;
    uint8_t dataset; /* number of need.dataset below PLACE_DATASETS_MAX, or PLACE_NO_DATASET */
    bool pinned;
    uint8_t class[WIRE_CLASS_BYTES]; /* pinned class */
    uint64_t placed_us;              /* last placement, on the clock of now_us; 0: never */
    struct wire_fence fence;         /* latest, {0, 0}: never placed */
    /* Nodes that have prepared for this unit (fetched what it needs). Borrowed. */
    const uint8_t (*ready)[SH_NODE_ID_BYTES];
    uint32_t ready_count;
    uint32_t owner;                /* place in owners; not below owner_count: nobody's */
    uint64_t since_us;             /* waits since; 0: unknown, and does not age */
    uint64_t not_before_us;        /* waits for its time */
    uint32_t awaited;              /* units of its job that end first; 0: none */
    uint32_t awaited_open;         /* of those; 0: it waits for them no longer */
    uint64_t run_us;               /* runs at most so long; 0: unknown */
    uint64_t ends_us;              /* running: expected end; 0: unknown */
    bool preemptible;              /* it has a checkpoint, or leaves one when it is asked */
    uint64_t checkpoint_us;        /* of the newest checkpoint; 0: none */
    uint64_t preempted_us;         /* last time; 0: never */
    const struct place_near *near; /* borrowed */
    uint32_t near_count;
    const uint8_t (*failed)[SH_NODE_ID_BYTES]; /* where it failed, newest first; borrowed */
    uint32_t failed_count;
    uint32_t member_count; /* 0 unless running or stopping */
    struct wire_member members[WIRE_MEMBERS_MAX];
};

struct place_owner {
    uint64_t usage; /* decayed with a half-life of 24 h; any unit, the same for all */
    uint32_t quota; /* units that may run at a time; 0: any number */
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
    /* A new coordinator has not heard everyone yet: before this time nobody counts as dead
     * (nothing is expired or placed anew for that), and nobody but ALIVE is placed. Whom it
     * suspects itself and a live member of the gang reports is lost at any time. */
    uint64_t losses_from_us;
    char version[WIRE_VERSION_MAX + 1]; /* members must run this one; "": any */
    const struct place_node *nodes;
    uint32_t node_count; /* <= capacity.nodes */
    const struct place_unit *units;
    uint32_t unit_count; /* <= capacity.units; with every running and stopping unit */
    const struct place_report *reports;
    uint32_t report_count;
    const struct place_owner *owners;
    uint32_t owner_count;
    /* Units whose refusals are wanted; NULL: of all. */
    const struct wire_unit *asked;
    uint32_t asked_count;
};

struct place_limits {
    uint64_t change_min_us;    /* between two voluntary changes of a gang */
    uint64_t renew_min_us;     /* between two placements for restarted members */
    bool grow_ready_only;      /* a running gang takes in only nodes that are ready for it */
    uint32_t reserve_permille; /* of the live nodes, kept for predictions */
};

struct place_limits place_limits_default(void); /* 2 s, 1 s, false, 0 */

enum place_action { PLACE_ACTION_PLACE = 0, PLACE_ACTION_EXPIRE = 1 };

struct place_decision {
    enum place_action action;
    struct wire_unit unit;
    struct wire_fence previous; /* the unit's latest fence */
    enum wire_cause cause;
    /* EXPIRE has no members. fence of the placement is {0, 0}: the log entry gives it. */
    struct wire_placement placement;
};

/* One (unit, node). need and have are in the reason's unit: cores, bytes, agents, slots, GPUs,
 * levels, units, microseconds (QUARANTINED: what is left; TOO_SOON), the number of the condition
 * (LABELS), enum wire_policy (POLICY). holder is the job that has the last slot (NO_SLOT) or for
 * which the node is kept (HELD_BACK). */
struct place_refusal {
    struct wire_unit unit;
    uint8_t node[SH_NODE_ID_BYTES];
    enum wire_reason reason;
    uint64_t need;
    uint64_t have;
    uint64_t holder;
};

/* reason is NONE when the unit runs or was placed now; else why not, need and have as above
 * (BACK_OFF: what is left; NOT_READY: units that are to end first, and those that have). */
struct place_verdict {
    struct wire_unit unit;
    enum wire_reason reason;
    uint64_t need;
    uint64_t have;
    uint32_t position; /* among the units that waited when the pass began, from 1; 0: it did not */
    int32_t priority;  /* effective, in PLACE_POINTths: the sum of the three below */
    int32_t base;
    int32_t age;
    int32_t fair;         /* 0 or less */
    uint64_t earliest_us; /* of the head and of units asked about: when it may start; 0: unknown */
    uint32_t blocker_count;
    uint64_t blockers[PLACE_BLOCKERS_MAX]; /* jobs whose ends it waits for, of the same units */
};

struct place_output { /* arrays are the caller's */
    /* Decisions beyond the capacity are not made (the next pass makes them). */
    struct place_decision *decisions;
    uint32_t decision_capacity;
    uint32_t decision_count;
    /* Every node that does not take part, per unit asked about, in planning order and by id. */
    struct place_refusal *refusals;
    uint32_t refusal_capacity;
    uint32_t refusal_count;
    uint64_t refusals_left_off;     /* beyond the capacity */
    struct place_verdict *verdicts; /* at the unit's place in the input; unit_count, or NULL */
    struct wire_unit head;          /* who has the reservation; job 0: nobody */
};

/* Working memory for passes; nothing in it outlives one. */
struct place;

struct place_capacity {
    uint32_t nodes;      /* 1 to PLACE_NODES_MAX */
    uint32_t units;      /* 1 to PLACE_UNITS_MAX */
    uint32_t signatures; /* distinct needs remembered at a time; more cost time. At least 1 */
};

/* About 220 bytes a node, 450 a unit, 2 KiB a signature. */
size_t place_bytes(const struct place_capacity *capacity);
struct place *place_init(struct sh_arena *arena, const struct place_capacity *capacity);

/* Units with the same needs (a signature) are looked at once. O(signatures x nodes + units x gang x
 * log nodes), and asked units x nodes more. Panics when the input breaks the limits above. */
void place_plan(struct place *place, const struct place_input *input,
                const struct place_limits *limits, struct place_output *output);

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
