/* SPDX-License-Identifier: Apache-2.0
 *
 * One all-reduce among the members of a generation, as a value: who owes which subtree sums of
 * which chunk to whom, when a chunk can be added up, when everything is there. It names buffers and
 * moves no element; the host copies, adds (kernels/agg) and sends as it is told.
 *
 * Model. A generation has P members, member i computing the ranks [low, high); together they cover
 * [0, V). Rounds are numbered 0, 1, 2, ... within a generation; all members begin the same rounds
 * with the same vector lengths. In a round each member has one sum vector per subtree of its own;
 * the vector is cut into segments (one owner each) and chunks (round/plan.h). A member ships its
 * subtree sums of a chunk to the owner (PART); the owner adds all subtrees in tree order (REDUCE)
 * and ships the root to everyone (RESULT). Nothing in it depends on arrival order.
 *
 * Buffers, all the host's:
 *   local[i]      one vector per own subtree, filled before LOCAL_READY(i), intact until DONE
 *   part[t]       one buffer per foreign subtree t, as long as the own segment
 *   result[q]     two vectors; round n uses q = n & 1. result of round n stays intact until round
 *                 n + 1 is DONE: a member that lost a frame may ask for it until then.
 * One set of part buffers is enough although peers may be one round ahead: a peer begins round n +
 * 1 only after it has every result of round n, so every chunk this member owns has been reduced.
 * For the same reason no peer is ever two rounds ahead.
 *
 * Loss. Frames may be lost, repeated, reordered. A receiver without progress for retry_us asks for
 * what it lacks (ASK frames), doubling the pause up to eight times; holders answer from their
 * buffers. After stall_us without progress the update names the members it waits for; deciding who
 * is dead is not this core's business: that is a new generation.
 *
 * Host duties: one step at a time; perform the actions of an update in order, before the next step;
 * answer every REDUCE with REDUCED and every SEND with SEND_DONE (when the transport no longer
 * reads the buffer, or has given up); call TIMER at the deadline. START and ABORT forget sends
 * still in the transport: a host that sends without copying waits for them before it reuses a
 * buffer. Pure: see DESIGN section 3. */
#ifndef ROUND_ROUND_H
#define ROUND_ROUND_H

#include "base/arena.h"
#include "round/frame.h"
#include "round/plan.h"

#include <stdbool.h>

#define ROUND_ACTIONS_MAX 32u /* of one update; what does not fit comes with the next step */

struct round_config {
    uint64_t elements_max;   /* longest vector of any round */
    uint32_t chunk_elements; /* at most SH_BULK_CHUNK_BYTES / 4; multiple of 16 */
    uint32_t window;         /* SEND actions outstanding at a time, 1..4096 */
    uint64_t retry_us;       /* pause without progress before the first ASK */
    uint64_t stall_us;       /* pause without progress before STALLED, and between STALLEDs */
};

struct round_member {
    uint16_t low; /* ranks [low, high), not empty */
    uint16_t high;
};

struct round_generation {
    uint64_t generation; /* larger than any before */
    uint32_t ranks;      /* V, a power of two up to ROUND_RANKS_MAX */
    uint32_t members;    /* P, 1..ROUND_MEMBERS_MAX */
    uint32_t me;
    const struct round_member *range; /* [members], contiguous from 0 to ranks; borrowed by step */
};

enum round_event_kind {
    ROUND_EV_START,       /* a generation; drops whatever the last one was doing */
    ROUND_EV_BEGIN,       /* the next round: sequence is 0 after START, else the last one plus 1 */
    ROUND_EV_LOCAL_READY, /* local[subtree] of the running round is filled (index among my own) */
    ROUND_EV_FRAME,       /* a frame whose payload matched its sum; from is who really sent it */
    ROUND_EV_REDUCED,     /* the host has done REDUCE of this chunk */
    ROUND_EV_SEND_DONE,   /* one SEND of that generation and sequence needs its buffer no more */
    ROUND_EV_ABORT,       /* stop: nothing more is sent or accepted until START */
    ROUND_EV_TIMER,
};

struct round_event {
    enum round_event_kind kind;
    uint64_t now_us;
    union {
        struct round_generation start;
        struct {
            uint64_t sequence;
            uint64_t elements; /* 1..elements_max */
        } begin;
        uint32_t local; /* LOCAL_READY */
        struct {
            uint16_t from;
            struct round_frame header;
        } frame;
        struct {
            uint64_t generation;
            uint64_t sequence;
            uint32_t chunk;
        } reduced; /* ignored when it belongs to an earlier generation */
        struct {
            uint64_t generation;
            uint64_t sequence;
            enum round_frame_kind kind;
        } sent; /* ignored when it belongs to an earlier generation */
    };
};

enum round_action_kind {
    /* Copy the payload of the frame of this event to part[header.subtree] at part_offset. */
    ROUND_KEEP_PART = 1,
    ROUND_KEEP_RESULT, /* the same, to result[sequence & 1] at header.offset */
    /* Add header.count elements of all subtrees in tree order, own ones from local at
     * header.offset, foreign ones from part at part_offset, into result[sequence & 1] at
     * header.offset; then answer REDUCED. */
    ROUND_REDUCE,
    /* Send header (complete but for sum) to member `to`, then answer SEND_DONE. Payload by
     * header.kind: PART: local[own] at header.offset; RESULT: result[sequence & 1] at
     * header.offset; ASK_*: none. */
    ROUND_SEND,
    ROUND_DONE,    /* result[sequence & 1] is complete and no local buffer is read any more; always
                    * the last action of its update */
    ROUND_STALLED, /* no progress for stall_us: see waiting_parts and waiting_results */
};

struct round_action {
    enum round_action_kind kind;
    uint16_t to;               /* SEND */
    uint16_t own;              /* SEND of a PART: which of the own subtrees */
    struct round_frame header; /* names generation and sequence for every kind of action */
    uint64_t part_offset;      /* KEEP_PART, REDUCE: elements from the start of the own segment */
    uint64_t waiting_parts;    /* STALLED: bit m: member m owes me subtree sums */
    uint64_t waiting_results;  /* STALLED: bit m: member m, an owner, owes me results (it may itself
                                * wait for others) */
};

/* What became of the frame of this event. */
enum round_verdict {
    ROUND_NONE,      /* the event was no frame */
    ROUND_TAKEN,     /* used */
    ROUND_DUPLICATE, /* known already */
    ROUND_OLD,       /* of an earlier generation or round */
    ROUND_EARLY,     /* of a later generation or of a round two ahead, or of one that cannot be kept
                      * yet: dropped, it will be asked for again */
    ROUND_INVALID,   /* contradicts the plan or its sender */
};

struct round_update {
    enum round_verdict verdict;
    uint32_t count;
    struct round_action actions[ROUND_ACTIONS_MAX];
};

struct round_counters {
    uint64_t frames[6]; /* by verdict */
    uint64_t asks_sent;
    uint64_t asks_answered; /* chunks put up for sending again */
    uint64_t sends;         /* all kinds */
    uint64_t stalls;
};

struct round; /* private */

/* What init takes from an arena, alignment included. */
size_t round_bytes(const struct round_config *config);
struct round *round_init(const struct round_config *config, struct sh_arena *arena);
/* Clears and fills update. O(chunks) worst case, O(1) typical. */
void round_step(struct round *r, const struct round_event *event, struct round_update *update);
/* When TIMER is due; 0: at once (an update was full); UINT64_MAX: nothing pending. */
uint64_t round_deadline_us(const struct round *r);
/* Panics unless every invariant holds. O(chunks * subtrees). */
void round_check(const struct round *r);

/* All subtrees of the generation in rank order; frames number them by their place here. Borrowed
 * until the next START. The own ones are [own_first, own_first + own_count). */
const struct round_subtree *round_subtrees(const struct round *r, uint32_t *count);
void round_own_subtrees(const struct round *r, uint32_t *own_first, uint32_t *own_count);
/* The plan of the running or last round; NULL before the first BEGIN. */
const struct round_plan *round_plan(const struct round *r);
bool round_is_running(const struct round *r); /* begun and not DONE */
struct round_counters round_counters(const struct round *r);
const char *round_verdict_name(enum round_verdict verdict);

#endif
