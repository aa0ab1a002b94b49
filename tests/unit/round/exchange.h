/* SPDX-License-Identifier: Apache-2.0
 *
 * Members of a generation in one process, with real buffers, on a network that delays, reorders,
 * repeats and loses frames. Elements are u32 and the sum is replaced by an operation that is
 * neither commutative nor associative, so any result not added in tree order is wrong. Sends read
 * their buffer only when they end, reductions too: a buffer written too early shows as a wrong
 * result. */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "base/rng.h"
#include "round/round.h"

#define EXCHANGE_MEMBERS_MAX  8u
#define EXCHANGE_RANKS_MAX    16u
#define EXCHANGE_ELEMENTS_MAX 40000u

struct exchange_config {
    uint64_t seed;
    uint32_t members;
    uint32_t ranks;
    uint32_t chunk_elements;
    uint32_t window;
    uint32_t rounds;
    uint32_t loss_percent;
    uint32_t repeat_percent;
    uint64_t delay_us;        /* longest trip of a frame */
    const uint32_t *elements; /* [rounds] */
};

struct exchange;

struct exchange *exchange_new(const struct exchange_config *config);
void exchange_free(struct exchange *x);
/* Starts a generation with random ranges and begins its first round everywhere. */
void exchange_start(struct exchange *x, uint64_t generation, uint32_t members);
/* Lets this member compute nothing from now on. */
void exchange_mute(struct exchange *x, uint32_t member);
/* One event. False when nothing is left to happen. */
bool exchange_turn(struct exchange *x);
/* Until every member finished every round; fails the test when virtual time passes limit_us. */
void exchange_run(struct exchange *x, uint64_t limit_us);
/* ABORT at every member. */
void exchange_abort(struct exchange *x);
bool exchange_is_done(const struct exchange *x);
uint64_t exchange_now_us(const struct exchange *x);
const struct round *exchange_round(const struct exchange *x, uint32_t member);
/* Of the last STALLED of a member. */
uint64_t exchange_waiting_parts(const struct exchange *x, uint32_t member);
uint64_t exchange_waiting_results(const struct exchange *x, uint32_t member);
uint64_t exchange_digest(const struct exchange *x); /* of everything that happened */

#endif
