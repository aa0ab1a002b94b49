/* SPDX-License-Identifier: Apache-2.0
 *
 * Many members of push-sum averaging in one process over a net that loses, repeats, delays and
 * parts, in virtual time. Vectors are whole numbers, so that mass can be counted exactly: what
 * every living member has, has taken and not added, and has split off and nobody has taken, is what
 * was minted, less what died with its owner, and plus what a giver took back from one that had
 * taken it and died. flock_count looks; every step is followed by push_check. */
#ifndef FLOCK_H
#define FLOCK_H

#include "base/rng.h"
#include "push/push.h"

#define FLOCK_ELEMENTS 5u
#define FLOCK_CHUNK    2u
#define FLOCK_BUFFERS  3u

struct flock_config {
    uint64_t seed;
    uint32_t members;
    uint32_t loss_percent;
    uint32_t repeat_percent;
    uint64_t delay_us; /* longest trip */
    uint64_t tick_us;  /* between two ticks of a member; 0: the test ticks */
    bool learns;       /* members move by themselves between two ticks */
    uint64_t see_us;   /* until others take a silent member for unreachable, or reachable again */
};

struct flock_mass { /* of the vector's elements, then of the weight */
    int64_t of[FLOCK_ELEMENTS + 1];
};

struct flock_member {
    struct push *push;
    void *memory;
    bool alive;
    bool told_gone; /* others know that it will not come back */
    uint32_t side;  /* members of different sides do not hear each other */
    uint64_t slow;  /* times longer between two ticks */
    uint64_t ticks;
    struct flock_mass own; /* the vector; own.of[FLOCK_ELEMENTS] is of no concern */
    struct flock_mass out[FLOCK_BUFFERS];
    uint64_t out_transfer[FLOCK_BUFFERS];
    bool out_open[FLOCK_BUFFERS];
    bool out_taken[FLOCK_BUFFERS]; /* its taker has it, whether the giver knows or not */
    struct flock_mass in[FLOCK_BUFFERS];
    bool in_held[FLOCK_BUFFERS];
};

struct flock;

struct flock *flock_new(const struct flock_config *config);
void flock_free(struct flock *f);
/* A generation of all members, each with 1 to 3 shares; who is alive begins at some moment within
 * spread_us. Dead ones are born again without a state. */
void flock_start(struct flock *f, uint64_t spread_us);
struct flock_member *flock_member(struct flock *f, uint32_t member);
struct flock_config *flock_config(struct flock *f); /* to be changed on the way */
void flock_kill(struct flock *f, uint32_t member);
/* Two sides by chance; heal: one. Members see it see_us later. */
void flock_part(struct flock *f, bool part);
/* Runs until then. */
void flock_run(struct flock *f, uint64_t until_us);
uint64_t flock_now_us(const struct flock *f);
/* One tick of every living member that has begun, then everything that it sets off. */
void flock_tick(struct flock *f, uint64_t number);
void flock_step(struct flock *f, uint32_t member, struct push_event *event);
/* Fails the test unless the masses are what they ought to be. */
void flock_count(struct flock *f);
/* Largest distance of two living members' averages, over all elements. */
double flock_spread(struct flock *f);
/* The average over all living members, of one element. */
double flock_mean(struct flock *f, uint32_t element);
double flock_average(struct flock *f, uint32_t member, uint32_t element);
uint64_t flock_verdicts(const struct flock *f, enum push_verdict verdict);

#endif
