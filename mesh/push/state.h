/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to mesh/push: the state behind push/push.h. push.c has events and ticks, give.c the
 * giver's side of transfers, take.c the taker's, check.c the invariants. */
#ifndef PUSH_STATE_H
#define PUSH_STATE_H

#include "push/push.h"

enum push_out_stage {
    PUSH_OUT_FREE,
    PUSH_OUT_OFFERED,
    PUSH_OUT_GIVEN,
    PUSH_OUT_BACK /* RESTORE was said, RESTORED was not */
};

struct push_out {
    enum push_out_stage stage;
    uint16_t to;
    uint64_t transfer;
    uint64_t weight;
    uint64_t mark;
    uint64_t pause_us;
    uint64_t retry_us; /* moment */
    uint64_t until_us; /* OFFERED: moment at which it is given up */
};

enum push_in_stage {
    PUSH_IN_FREE,
    PUSH_IN_FILLING,
    PUSH_IN_WHOLE, /* every chunk is here, GIVE is not */
    PUSH_IN_HELD   /* ABSORB was said, ABSORBED was not */
};

struct push_in {
    enum push_in_stage stage;
    uint16_t from;
    uint64_t transfer;
    uint64_t weight; /* HELD */
    uint32_t got;
    uint32_t next;      /* chunk to ask for */
    uint32_t under_way; /* chunks asked for */
    uint64_t pause_us;
    uint64_t retry_us; /* moment */
    uint64_t until_us; /* moment at which it is dropped */
    uint64_t *have;    /* bit c: chunk c is here */
};

struct push_peer {
    bool reachable;
    bool empty;
    bool closed; /* returned everything */
    bool gone;
    bool last_taken; /* what became of its transfer number `last` */
    uint64_t last;   /* newest of its transfers that is over here; 0: none */
    uint64_t told;   /* weight that it had when it offered last */
    bool has_told;
};

struct push {
    struct push_config config;
    uint32_t chunks_max;
    bool active; /* between START and STOP */
    uint64_t generation;
    uint32_t members;
    uint32_t me;
    uint64_t elements;
    uint32_t chunks;
    uint64_t total;
    bool minted; /* it has a state */
    bool closed;
    uint32_t heir; /* closed: who gets all */
    uint64_t weight;
    uint64_t absorbed; /* weight of others, in all */
    uint64_t given;    /* weight that others have said to have taken, in all */
    uint64_t next;     /* transfer */
    uint64_t now_us;
    uint32_t *shares;
    struct push_peer *peers;
    struct push_out out[PUSH_BUFFERS_MAX];
    struct push_in in[PUSH_BUFFERS_MAX];
    struct push_counters counters;
};

struct push_action *push_act(struct push *p, struct push_update *u, enum push_action_kind kind,
                             uint32_t buffer);
/* A SEND whose header names kind, generation, sender and transfer. */
struct push_frame *push_say(struct push *p, struct push_update *u, enum push_frame_kind kind,
                            uint16_t to, uint64_t transfer);
uint32_t push_chunk_count(const struct push *p, uint32_t chunk); /* elements */

/* give.c */
enum push_tick push_give(struct push *p, uint32_t to, uint64_t weight, uint64_t mark,
                         struct push_update *u);
bool push_gives_to(const struct push *p, uint32_t to);
enum push_verdict push_hear_taker(struct push *p, uint16_t from, const struct push_frame *f,
                                  struct push_update *u);
void push_out_timer(struct push *p, uint32_t buffer, struct push_update *u);
/* Takes back what can be taken back from that member; gone: what was given too. */
void push_recall(struct push *p, uint32_t from, bool gone, struct push_update *u);

/* take.c */
enum push_verdict push_hear_giver(struct push *p, uint16_t from, const struct push_frame *f,
                                  struct push_update *u);
void push_in_timer(struct push *p, uint32_t buffer, struct push_update *u);
/* Drops what comes from that member and is not held. */
void push_drop(struct push *p, uint32_t from);
/* Drops all that is not held, and tells those who gave it. */
void push_refuse(struct push *p, struct push_update *u);

#endif
