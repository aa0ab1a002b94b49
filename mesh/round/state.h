/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to mesh/round: the state behind round/round.h, shared by its sources. */
#ifndef ROUND_STATE_H
#define ROUND_STATE_H

#include "round/round.h"

#define ROUND_PART_WORDS (ROUND_RANKS_MAX / 64u) /* there are at most as many subtrees as ranks */

enum round_stage {
    ROUND_WAITING, /* own chunk: parts are missing; foreign chunk: the result is missing */
    ROUND_REDUCING,
    ROUND_HAVE, /* its result is in result[sequence & 1] */
};

struct round_chunk {
    uint64_t arrived[ROUND_PART_WORDS]; /* own chunk: bit t: subtree t is in part[t] */
    uint64_t result_to;                 /* bit m: the result has to be sent to member m */
    uint32_t part_todo;                 /* bit i: own subtree i has to be sent to the owner */
    enum round_stage stage;
};

/* Two of them, by the parity of the sequence: the running round, and either the one before (kept
 * for members that lost a result) or the one after (parts of members that are ahead). */
struct round_slot {
    bool used;
    uint64_t sequence;
    struct round_plan plan;
    uint32_t longest; /* chunks of the longest segment */
    uint32_t own;     /* first own chunk */
    uint32_t own_end;
    uint32_t have;         /* chunks in stage HAVE */
    uint32_t reduced;      /* own chunks in stage HAVE */
    uint64_t results_todo; /* bits set in result_to */
    uint64_t parts_todo;   /* bits set in part_todo */
    uint32_t results_out;  /* sends not yet done */
    uint32_t parts_out;
    uint32_t result_at; /* no chunk before it has a result to send */
    uint64_t part_at;   /* no place of the sending order before it has a part to send */
    struct round_chunk *chunk;
};

struct round {
    struct round_config config;
    uint32_t chunks_max;
    bool active; /* between START and ABORT */
    uint64_t generation;
    uint32_t ranks;
    uint32_t members;
    uint32_t me;
    struct round_subtree subtree[ROUND_RANKS_MAX];
    uint32_t subtrees;
    uint32_t own_first;
    uint32_t own_count;
    uint64_t needed[ROUND_PART_WORDS]; /* bit t: subtree t is foreign */

    bool running;
    uint64_t next; /* sequence of the next BEGIN; the running or last round is next - 1 */
    uint32_t local_ready;
    struct round_slot slot[2];
    uint32_t old_out; /* result sends of rounds whose slot was taken over */
    uint32_t asks_out;
    uint32_t reduce_at; /* own chunks from here on may be complete without a REDUCE */

    uint64_t now_us;
    uint64_t retry_at_us;
    uint64_t stall_at_us;
    uint32_t sweeps; /* since the last progress */
    bool asking;     /* a sweep over what is missing is under way */
    bool asking_results;
    uint32_t ask_subtree;
    uint32_t ask_chunk;
    bool backlog; /* the last update was full */
    struct round_counters counters;
};

/* The slot of the running or last round; next > 0. */
static inline struct round_slot *round_current(struct round *r)
{
    return &r->slot[(r->next - 1) & 1];
}

static inline uint32_t round_local_all(const struct round *r)
{
    return (UINT32_C(1) << r->own_count) - 1;
}

static inline bool round_update_full(const struct round_update *update)
{
    return update->count == ROUND_ACTIONS_MAX;
}

/* Appends an action whose header names the generation, the sequence and this member. */
struct round_action *round_act(const struct round *r, struct round_update *update,
                               enum round_action_kind kind, const struct round_slot *slot);
/* Fills segment, chunk, offset, count and elements of a PART, RESULT or REDUCE header. */
void round_name_chunk(const struct round_slot *slot, uint32_t chunk, struct round_frame *header);
void round_slot_reset(struct round *r, struct round_slot *slot, uint64_t sequence,
                      uint64_t elements);
void round_note_progress(struct round *r);

/* take.c: judges a frame and does what it asks for. */
enum round_verdict round_take(struct round *r, uint16_t from, const struct round_frame *header,
                              struct round_update *update);
/* send.c: REDUCE and SEND actions that have become possible, as far as update and window reach. */
void round_pump(struct round *r, struct round_update *update);

#endif
