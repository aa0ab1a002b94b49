/* SPDX-License-Identifier: Apache-2.0
 *
 * The sections of kind rl as spec.h holds them. */
#ifndef SPEC_RL_FORM_H
#define SPEC_RL_FORM_H

#include <stdint.h>

#define SPEC_ITERATIONS_MAX 10000000u
#define SPEC_RL_POINTS_MAX  10000u /* of the curve of one job */

/* A walk in the built-in hallway (kernels/rl). */
struct spec_rl {
    uint32_t width; /* of the hall, in cells */
    uint32_t length;
    uint32_t steps; /* of an episode at most */
    uint32_t slip_per_mille;
    uint32_t areas; /* episodes of one iteration */
    uint32_t iterations;
    uint64_t seed;
    double lr;
    double value_lr;
    double discount;
    double entropy;
    uint32_t summary;          /* iterations of one point of the curve */
    uint32_t episode_events;   /* every so many'th episode is told of; 0: none */
    uint32_t state_events;     /* every so many'th with all its states; 0: none */
    uint32_t checkpoint_every; /* iterations */
};

#endif
