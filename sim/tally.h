/* SPDX-License-Identifier: Apache-2.0
 *
 * What shoal-sim train prints: a line for one seed, sums for many. */
#ifndef SIM_TALLY_H
#define SIM_TALLY_H

#include "sim/scenario.h"

struct sim_tally {
    uint64_t seeds;
    uint64_t failed;
    uint64_t events;
    uint64_t trace; /* of all seeds */
    struct sim_train_counts sum;
    struct sim_train_counts worst; /* longest, slowest, estimate: the largest; plain: the least */
};

void sim_tally_begin(struct sim_tally *tally);
void sim_tally_add(struct sim_tally *tally, const struct sim_verdict *verdict, bool held);
void sim_tally_print_one(bool together, const struct sim_verdict *verdict, uint64_t seed);
void sim_tally_print(bool together, const struct sim_tally *tally);

#endif
