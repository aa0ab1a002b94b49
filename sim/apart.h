/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a simulation in a process of its own, so that a core that panics is a verdict like any
 * other. */
#ifndef SIM_APART_H
#define SIM_APART_H

#include "sim/scenario.h"

struct sim_apart {
    bool lived; /* false: it died, and verdict.why has its last words */
    struct sim_verdict verdict;
};

/* run fills the verdict. quiet: what a dying process says is kept from the terminal. */
void sim_apart_run(void (*run)(void *ctx, struct sim_verdict *verdict), void *ctx, bool quiet,
                   struct sim_apart *out);

#endif
