/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to mesh/fed: the core from inside. fed.c has events and closing, cohort.c who is asked,
 * soft.c the soft deadline, check.c the invariants. */
#ifndef FED_STATE_H
#define FED_STATE_H

#include "fed/fed.h"

enum fed_phase {
    FED_PHASE_NEW,
    FED_PHASE_WAITING,
    FED_PHASE_OPEN,
    FED_PHASE_CLOSING,
    FED_PHASE_ENDED
};

struct fed_member {
    uint64_t key;
    uint64_t score; /* place in the order of the running round: larger first */
    bool present;
    bool busy;          /* late updates count: it still works for `base` */
    enum fed_part part; /* of the running round */
    uint64_t base;      /* round that it was last asked for; FED_NONE: never */
    uint64_t delivered; /* round of its newest update; FED_NONE: none */
    bool has_entry;
    bool after_close; /* the entry came when the round was closing: it counts in the next one */
    struct fed_entry entry;
};

struct fed {
    struct fed_config config;
    enum fed_phase phase;
    bool backlog; /* an update was full: more is to be done */
    struct fed_resume at;
    bool evaluating;
    uint64_t now_us;
    uint64_t opened_us;
    uint64_t soft_us; /* moments */
    uint64_t hard_us;
    uint32_t extends;
    enum fed_outcome outcome; /* CLOSING */
    uint32_t cohort;
    uint32_t wanted; /* members to be asked, or to have answered, at a time */
    uint32_t goal;
    uint32_t open;    /* members that are ASKED or WORK */
    uint32_t live;    /* and those that DELIVERED */
    uint32_t entries; /* updates that count */
    bool joined;      /* somebody came, or came back, since OPEN */
    uint32_t order_count;
    uint32_t order_next;
    uint32_t *order; /* members by score */
    uint32_t offset_count;
    uint32_t offset_next;
    uint64_t offsets[FED_OFFSETS];
    struct fed_member *members;
};

static inline bool fed_full(const struct fed_update *u)
{
    return u->count == FED_ACTIONS_MAX;
}

struct fed_action *fed_act(const struct fed *f, struct fed_update *u, enum fed_action_kind kind);
void fed_set_part(struct fed *f, struct fed_member *m, enum fed_part part);

/* cohort.c: puts the members that are there in order and sets cohort, wanted and goal. */
void fed_cohort_open(struct fed *f);
/* Asks the next ones until as many are at work as wanted, or the update is full. */
void fed_cohort_fill(struct fed *f, struct fed_update *u);

/* soft.c: the offset of an arrival; how long after OPEN the soft deadline is. O(FED_OFFSETS^2). */
void fed_soft_note(struct fed *f, uint64_t offset_us);
uint64_t fed_soft_us(const struct fed *f);

#endif
