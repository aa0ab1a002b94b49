/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/train: a session from inside. session.c has its life, meeting.c what happens
 * between two generations, play.c the rounds; mixing.c both for members that mix their models.
 *
 * Two kinds of fields: those of the session's thread, and those behind the lock, which the bulk
 * thread, the crew and the supervisor touch too. The lock is held for bookkeeping and copies of one
 * chunk, never while computing or waiting for I/O. */
#ifndef TRAIN_INSIDE_H
#define TRAIN_INSIDE_H

#include "train/clerk.h"
#include "train/clock.h"
#include "train/crew.h"
#include "train/early.h"
#include "train/exchange.h"
#include "train/gang.h"
#include "train/mix.h"
#include "train/scribe.h"
#include "train/session.h"
#include "train/state.h"

#include <pthread.h>

#define TRAIN_PACE_STEPS 16u          /* that the speed is averaged over */
#define TRAIN_LINGER_US  UINT64_C(50) /* looking at boards, about what waking a thread takes */

/* How a stretch of work ended. */
enum train_turn {
    TRAIN_GO_ON,       /* as planned */
    TRAIN_INTERRUPTED, /* there is a new assignment */
    TRAIN_LATE,        /* what was waited for did not come in time */
    TRAIN_OVER         /* the result is with the clerk: only an assignment changes anything */
};

struct train_asked { /* a FETCH of another member */
    uint32_t member;
    struct train_fetch fetch;
};

/* The state of another member on its way here. */
struct train_catch {
    uint8_t *bytes; /* NULL: none */
    size_t total;
    uint32_t source;
    uint64_t position;
    bool *have; /* by piece */
    uint32_t pieces;
    uint32_t got;
    uint32_t next;      /* piece to ask for */
    uint32_t under_way; /* asked for */
    uint64_t again_us;  /* when to ask for all that are missing again */
    uint64_t quiet_us;  /* when the source counts as lost */
};

struct train_mate { /* a member of a gossip job, as this one hears it; this one's: what it tells */
    bool reachable;
    bool has_state;
    bool gone;        /* it has begun anew in this generation */
    bool knows;       /* it has heard this member */
    uint64_t session; /* its number; 0: not heard yet */
    uint64_t position;
    uint64_t heard_us;
};

struct train_session {
    struct train_session_config config;
    uint8_t *spec;
    uint64_t number; /* random: tells this session from an earlier one of this agent */
    uint8_t me[SH_NODE_ID_BYTES];
    char name[SH_NAME_MAX + 1];
    pthread_t thread;

    /* Of the session's thread. */
    struct train_material *m;
    struct train_state state;
    struct train_sum *sum;
    struct train_crew *crew;
    struct train_scribe *scribe;
    struct train_clerk *clerk;
    struct train_assignment at;     /* in force */
    uint32_t index;                 /* of this member */
    bool offered[WIRE_MEMBERS_MAX]; /* who has been handed this generation's shelf */
    uint8_t *served;                /* the state as others fetch it; NULL: not encoded yet */
    float *sums;                    /* gossip: what the own ranks are added up in, given to sum */
    float *vector;                  /* gossip: their sum */
    uint32_t company;               /* gossip: members that are heard, this one among them */
    uint64_t hello_at_us;
    uint64_t load_at_us; /* when a checkpoint that could not be had is asked for again */
    uint64_t say_at_us;  /* of struct train_resume */
    uint64_t met_us;     /* when this generation began to meet */
    uint64_t pace_us[TRAIN_PACE_STEPS];
    uint32_t pace_count;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct train_exchange *exchange;
    struct train_mix *mix; /* NULL: members sum, and do not mix, their models */
    struct train_mate mates[WIRE_MEMBERS_MAX];
    uint64_t strange_us; /* when another member told last that it knows an earlier session of this
                          * one; 0: never */
    uint32_t sums_ready; /* subtrees of the own ranks */
    bool parked;         /* it is no member now, but its unit is open: see train_session_park */
    struct train_assignment next; /* the newest */
    struct train_gang gang;
    bool met;         /* gang is that of the generation in force and answers may be given */
    uint64_t playing; /* generation whose rounds began last; 0: none */
    struct train_early early;
    struct train_catch catch;
    struct train_asked asked[TRAIN_FETCHES_MAX];
    uint32_t asked_count;
    bool rank_failed;
    uint32_t failed_rank;
    struct kn_diag rank_diag;
    bool leaving;
    bool failed;
    bool ended;
};

static inline void train_lock(struct train_session *x)
{
    SH_CHECK(pthread_mutex_lock(&x->lock) == 0);
}

static inline void train_unlock(struct train_session *x)
{
    SH_CHECK(pthread_mutex_unlock(&x->lock) == 0);
}

static inline bool train_is_first(const struct train_session *x)
{
    return x->index == 0;
}

/* session.c. With the lock: */
bool train_interrupted(const struct train_session *x);
/* One turn of waiting, with the lock, which is let go meanwhile: carries out one order of the
 * exchange or serves one FETCH; else sleeps until something changes or until_us. */
void train_turn(struct train_session *x, uint64_t until_us);
/* With the lock: the rounds of x->playing begin; takes the frames of it that came before. */
void train_take_early(struct train_session *x);
/* Without the lock: sends, waiting for room; gives up after TRAIN_SEND_US or when interrupted. */
void train_send(struct train_session *x, uint32_t member, uint16_t type, struct sh_span head,
                struct sh_span body);
/* Hands a failure of the unit to the clerk. */
void train_fail(struct train_session *x, enum sh_err reason, bool final, const char *text);

/* meeting.c. On the session's thread, without the lock. Until all members stand at the same place,
 * or, when the unit ends or is given back, this one as far as any; LATE: until_us came first. */
enum train_turn train_meet(struct train_session *x, uint64_t until_us);
enum train_turn train_begin_rounds(struct train_session *x);
void train_serve(struct train_session *x, const struct train_asked *asked);
/* The newest checkpoint that can be had and is ahead of the state that this member holds, else that
 * state, else the beginning. What train_is_passing says: not yet, x->load_at_us is when to try
 * again. Others: it cannot be had, which was told. */
SH_MUST_USE enum sh_err train_load(struct train_session *x);
/* It holds a state that it may stand for: none that the newest checkpoint has outlived. */
bool train_may_stand(struct train_session *x);
/* With the lock, on the bulk thread: */
void train_hear(struct train_session *x, uint32_t from, const struct train_hello *hello);
void train_catch_note(struct train_session *x, uint32_t from, const struct train_note *note);

/* mixing.c. On the session's thread, without the lock: all of a generation. */
enum train_turn train_mingle(struct train_session *x);
/* With the lock, on the bulk thread: */
void train_mingle_hear(struct train_session *x, uint32_t from, const struct train_hello *hello);
void train_mingle_down(struct train_session *x, uint32_t from);

/* play.c. On the session's thread, without the lock: */
/* The round is over: takes its vector, tells, keeps a checkpoint when one is due. */
enum train_turn train_complete(struct train_session *x, const struct train_round *round,
                               const float *sum);
/* Who computes which ranks from here on. */
void train_tell_generation(struct train_session *x);
/* What the last rounds of steps took, on average; 0 before there are two. */
uint64_t train_pace_us(const struct train_session *x);
/* rank_failed: the unit has failed. */
enum train_turn train_fail_rank(struct train_session *x, const struct train_round *round);
enum train_turn train_play(struct train_session *x); /* rounds until the end */
void train_finish(struct train_session *x, bool partial);
/* The last checkpoint that this gang leaves, of the state as it is; yields: with it the gang gives
 * the unit back, also where there is no state, or none that the newest checkpoint has not outlived.
 */
void train_leave(struct train_session *x, bool yields);
/* What the round before the present position measured: for a state that came from elsewhere. */
void train_tell_last(struct train_session *x);

#endif
