/* SPDX-License-Identifier: Apache-2.0
 *
 * Records that the jobs core, placement and agents share: units, fences, what a unit needs, who
 * runs which ranks, and the codes that say why. All are append-only; numbers are used on the wire
 * and on disk and never change. Putters turn the writer full, getters turn the reader bad; look
 * once at the end (base/bytes.h). */
#ifndef SH_WIRE_JOB_H
#define SH_WIRE_JOB_H

#include "base/bytes.h"
#include "base/limits.h"
#include "wire/node.h"

#define WIRE_MEMBERS_MAX    32u  /* agents of one gang */
#define WIRE_CONDITIONS_MAX 511u /* bytes of all conditions of one job, with those between */
#define WIRE_GPUS_MAX       255u /* of one agent */

enum wire_kind {
    WIRE_KIND_TRAIN = 1,
    WIRE_KIND_NOOP = 2,
    WIRE_KIND_EXEC = 3,
    WIRE_KIND_FINE_TUNE = 4,
    WIRE_KIND_EVALUATE = 5,
    WIRE_KIND_PREDICT = 6,
    WIRE_KIND_ENSEMBLE = 7,
    WIRE_KIND_DATA_PREP = 8,
    WIRE_KIND_RL = 9
};

/* SAME: every member ever placed has the arithmetic class of the first placement. ANY: classes may
 * mix; then the result is not reproducible and says so. */
enum wire_arithmetic { WIRE_ARITHMETIC_SAME = 1, WIRE_ARITHMETIC_ANY = 2 };

struct wire_unit {
    uint64_t job; /* log index of the SUBMIT entry; never 0 */
    uint32_t unit;
};

/* (term, index) of the PLACE entry; the index is also the generation of the gang. {0, 0}: none. */
struct wire_fence {
    uint64_t term;
    uint64_t index;
};

/* How the units of a job lie on agents. PACK fills one agent before the next. AUTO: PACK for units
 * that want GPUs, else SPREAD. */
enum wire_spread { WIRE_SPREAD_AUTO = 0, WIRE_SPREAD_OUT = 1, WIRE_SPREAD_PACK = 2 };

struct wire_need {
    uint16_t ranks;      /* V, 1 to SH_RANKS_MAX */
    uint16_t agents_min; /* 1 <= min <= max, min <= ranks, min <= WIRE_MEMBERS_MAX */
    uint16_t agents_max;
    uint16_t cpus;      /* per agent; 0: any */
    uint64_t ram_bytes; /* per agent; 0: any */
    enum wire_arithmetic arithmetic;
    char dataset[SH_NAME_MAX + 1]; /* node-local data set every member must hold; "" for none */
    enum wire_sandbox sandbox;     /* OFF: it runs no commands; else what an agent must have */
    uint8_t gpus;                  /* per agent */
    uint64_t gpu_bytes;            /* of each of them; 0: any */
    uint64_t disk_bytes;           /* free, per agent; 0: any */
    uint16_t per_node_max;         /* units of the job on one agent at a time; 0: any */
    enum wire_spread spread;
    /* On labels of agents, all must hold: "disk=nvme;zone!=attic" (place/label.h); "" for none. */
    char conditions[WIRE_CONDITIONS_MAX + 1];
};

/* One agent and the ranks [rank_lo, rank_hi) it computes. */
struct wire_member {
    uint8_t node[SH_NODE_ID_BYTES];
    uint16_t rank_lo;
    uint16_t rank_hi;
};

/* The gang of one unit. Valid when wire_members_cover() holds for the unit's ranks. */
struct wire_placement {
    struct wire_fence fence;
    uint8_t class[WIRE_CLASS_BYTES]; /* of the members; of the first member when mixed */
    bool mixed;                      /* members differ in class (ANY only) */
    uint32_t member_count;
    struct wire_member members[WIRE_MEMBERS_MAX];
};

/* Why a placement was made or ended, and every other step in a unit's history. */
#define WIRE_CAUSE_MAP(X)                                                                          \
    X(0, NONE, "")                                                                                 \
    X(1, SUBMITTED, "submitted")                                                                   \
    X(2, PLACED, "placed")                                                                         \
    X(3, MEMBER_DEAD, "placed anew: a member died")                                                \
    X(4, MEMBER_LEFT, "placed anew: a member left")                                                \
    X(5, MEMBER_LOST, "placed anew: the other members lost one")                                   \
    X(6, MEMBER_DRAINED, "placed anew: a member is draining")                                      \
    X(7, GROWN, "placed anew with more agents")                                                    \
    X(8, RENEWED, "placed anew: a member restarted")                                               \
    X(9, TOO_FEW_AGENTS, "waits again: too few agents are left")                                   \
    X(10, COMMITTED, "committed its result")                                                       \
    X(11, KEPT, "stopped; what there was is kept")                                                 \
    X(12, FAILED, "failed")                                                                        \
    X(13, RETRIED, "failed and will be tried again")                                               \
    X(14, STOP_ASKED, "asked to stop")                                                             \
    X(15, STOPPED, "stopped")                                                                      \
    X(16, SIBLING_FAILED, "stopped: another unit of the job failed")                               \
    X(17, PREEMPTED, "waits again: a unit of higher priority needed its agents")                   \
    X(18, PAUSE_ASKED, "asked to pause")                                                           \
    X(19, PAUSED, "paused")                                                                        \
    X(20, RESUMED, "resumed")                                                                      \
    X(21, RESIZED, "changed on request")                                                           \
    X(22, YIELD_ASKED, "asked to give way to a unit of higher priority")                           \
    X(23, DEADLINE, "its deadline has passed: what had not ended is left out")                     \
    X(24, REMOVED, "removed")

enum wire_cause {
#define X(number, name, text) WIRE_CAUSE_##name = number,
    WIRE_CAUSE_MAP(X)
#undef X
        WIRE_CAUSE_COUNT = 25
};

/* Why a node does not take a unit, or a unit does not run; the operands need and have are in the
 * comment. place_reason_text() gives the text. */
#define WIRE_REASON_MAP(X)                                                                         \
    X(0, NONE, "takes part or could")                                                              \
    X(1, NOT_ALIVE, "does not answer")                                                             \
    X(2, LEFT, "has left the cluster")                                                             \
    X(3, LOST, "lost by the other members of its gang")                                            \
    X(4, DRAINING, "is draining")                                                                  \
    X(5, VERSION_DIFFERS, "runs another program version than the coordinator")                     \
    X(6, CLASS_DIFFERS, "has another arithmetic class than the job is pinned to")                  \
    X(7, NO_DATASET, "does not hold the data set")                                                 \
    X(8, TOO_FEW_CPUS, "has too few free cores")                                                   \
    X(9, TOO_LITTLE_RAM, "has too little free memory")                                             \
    X(10, NO_SLOT, "all its slots are taken")                                                      \
    X(11, MAX_AGENTS, "the job has as many agents as it may")                                      \
    X(12, NOT_READY, "is not ready for it yet")                                                    \
    X(13, TOO_SOON, "joins after the pause between two changes of a gang")                         \
    X(14, MIN_AGENTS, "fewer agents fit than the job needs at least")                              \
    X(15, STOPPING, "is stopping")                                                                 \
    X(16, NOT_EVALUATED, "was not looked at in this pass")                                         \
    X(17, QUARANTINED, "is in quarantine: too many units failed there")                            \
    X(18, ON_TRIAL, "is back from quarantine on trial: one unit at a time")                        \
    X(19, POLICY, "takes no work now by its owner's policy")                                       \
    X(20, NO_COMMANDS, "does not run commands of job files")                                       \
    X(21, WEAK_SANDBOX, "has a weaker sandbox than the job asks for")                              \
    X(22, LABELS, "its labels are not those that the job asks for")                                \
    X(23, TOO_FEW_GPUS, "has too few free GPUs")                                                   \
    X(24, TOO_LITTLE_GPU_RAM, "its GPUs have too little memory")                                   \
    X(25, TOO_LITTLE_DISK, "has too little free disk space")                                       \
    X(26, RESERVED, "is kept for predictions")                                                     \
    X(27, PER_NODE, "runs as many units of the job as it may")                                     \
    X(28, FAILED_HERE, "the unit failed there")                                                    \
    X(29, HELD_BACK, "is kept for a job that comes first")                                         \
    X(30, BACK_OFF, "waits a while before it is tried again")                                      \
    X(31, QUOTA, "its owner has as many units running as allowed")                                 \
    X(32, NEVER_FITS, "fewer agents than it needs could ever run it")                              \
    X(33, PREEMPTS, "units of less priority give way to it")                                       \
    X(34, SANDBOX_MIN, "gives commands no sandbox as strong as its owner wants (sandbox-min)")

enum wire_reason {
#define X(number, name, text) WIRE_REASON_##name = number,
    WIRE_REASON_MAP(X)
#undef X
        WIRE_REASON_COUNT = 35
};

bool wire_unit_equal(struct wire_unit a, struct wire_unit b);
bool wire_fence_equal(struct wire_fence a, struct wire_fence b);
bool wire_fence_none(struct wire_fence fence);
/* Negative, 0, positive as a is older than, equal to or newer than b. */
int wire_fence_cmp(struct wire_fence a, struct wire_fence b);

bool wire_need_ok(const struct wire_need *need);
/* True when the members, in their order, hold non-empty ranges that cover [0, ranks) exactly. */
bool wire_members_cover(const struct wire_member *members, uint32_t count, uint32_t ranks);
/* Index of the member that is this node; count when none is. O(count). */
uint32_t wire_member_find(const struct wire_member *members, uint32_t count,
                          const uint8_t node[static SH_NODE_ID_BYTES]);
/* The text of a cause; "?" for a number this program does not know. */
const char *wire_cause_text(uint32_t cause);

void wire_unit_put(struct sh_writer *w, struct wire_unit unit);
struct wire_unit wire_unit_get(struct sh_reader *r);
void wire_fence_put(struct sh_writer *w, struct wire_fence fence);
struct wire_fence wire_fence_get(struct sh_reader *r);
void wire_need_put(struct sh_writer *w, const struct wire_need *need);
/* Any values: the caller judges them with wire_need_ok. */
void wire_need_get(struct sh_reader *r, struct wire_need *need);
void wire_members_put(struct sh_writer *w, const struct wire_member *members, uint32_t count);
/* out holds WIRE_MEMBERS_MAX; gives the count. Empty ranges are bad. */
uint32_t wire_members_get(struct sh_reader *r, struct wire_member *out);
void wire_placement_put(struct sh_writer *w, const struct wire_placement *placement);
void wire_placement_get(struct sh_reader *r, struct wire_placement *placement);

#endif
