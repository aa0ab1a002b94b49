/* SPDX-License-Identifier: Apache-2.0
 *
 * The built-in environment "hallway": a walk in a grid.
 *
 * A hall is width x length cells; x grows to the east, y to the north. In its two northern corners
 * lie goal O and goal X, which one in which is drawn. A symbol, O or X, is drawn too, and shows
 * which goal is the right one. The walker begins anywhere in the southern half and takes one step a
 * turn; a wall holds it where it stands; with slip_per_mille it goes left or right of where it
 * meant to. The episode ends at a goal, or after steps_max steps.
 *
 *     a step             -1,000,000 / steps_max (rounded towards 0), in millionths
 *     the right goal     +1,000,000 on top
 *     the wrong goal       -100,000 on top
 *
 * Everything is whole numbers, and every draw is Philox of (seed, use, episode, step): an episode
 * is the same on every machine. Nothing allocates; all functions are pure in the state, and O(1).
 */
#ifndef KN_RL_HALLWAY_H
#define KN_RL_HALLWAY_H

#include "kernels/err.h"

#include <stdbool.h>
#include <stdint.h>

#define KN_HALLWAY_SIDE_MAX  64u   /* cells of width and of length */
#define KN_HALLWAY_STEPS_MAX 4096u /* of an episode */

enum kn_hallway_action {
    KN_HALLWAY_NORTH = 0,
    KN_HALLWAY_EAST = 1,
    KN_HALLWAY_SOUTH = 2,
    KN_HALLWAY_WEST = 3,
    KN_HALLWAY_ACTIONS = 4
};

enum kn_hallway_end {
    KN_HALLWAY_GOES_ON = 0,
    KN_HALLWAY_RIGHT = 1, /* at the right goal */
    KN_HALLWAY_WRONG = 2,
    KN_HALLWAY_LATE = 3 /* steps_max steps and no goal */
};

/* What episodes are for; it separates their draws. */
enum kn_hallway_use { KN_HALLWAY_TRAIN = 1, KN_HALLWAY_EVALUATE = 2 };

struct kn_hallway_config {
    uint32_t width;          /* 2 .. KN_HALLWAY_SIDE_MAX */
    uint32_t length;         /* 2 .. KN_HALLWAY_SIDE_MAX */
    uint32_t steps_max;      /* 1 .. KN_HALLWAY_STEPS_MAX */
    uint32_t slip_per_mille; /* 0 .. 1000 */
};

/* 5 x 9 cells, 128 steps, 20 of 1000 slip. */
struct kn_hallway_config kn_hallway_default(void);
/* INVALID, naming the field. The other functions CHECK that a config is valid. */
KN_MUST_USE enum kn_err kn_hallway_verify(const struct kn_hallway_config *c, struct kn_diag *diag);

/* The whole state of an episode. Copied freely; it is what an environment-state event shows. */
struct kn_hallway {
    struct kn_hallway_config config;
    uint64_t seed;
    uint64_t episode;
    enum kn_hallway_use use;
    uint32_t x; /* the walker's cell */
    uint32_t y;
    bool symbol_x; /* the symbol is X, else O */
    bool x_east;   /* goal X lies in the north-east and O in the north-west, else the other way */
    uint32_t step; /* taken */
    enum kn_hallway_end end;
    int64_t return_micro; /* sum of rewards, in millionths */
    uint64_t hash;        /* of all states up to this one and of all actions */
};

void kn_hallway_reset(struct kn_hallway *h, const struct kn_hallway_config *config, uint64_t seed,
                      enum kn_hallway_use use, uint64_t episode);
/* A number in [0, 1), of 24 bits, for whoever chooses the next action by chance: another for every
 * step of every episode. */
float kn_hallway_chance(const struct kn_hallway *h);
/* One step; returns its reward in millionths. The episode must go on and the action exist, CHECKed.
 */
int32_t kn_hallway_step(struct kn_hallway *h, enum kn_hallway_action action);

/* What the walker sees, as one number below kn_hallway_views: its cell, the symbol, and which goal
 * lies where. */
uint32_t kn_hallway_views(const struct kn_hallway_config *config);
uint32_t kn_hallway_view(const struct kn_hallway *h);

#endif
