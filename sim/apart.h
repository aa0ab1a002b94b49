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

/* One process for many runs, one after the other: one that dies costs only the run it was at. */
struct sim_worker {
    void (*run)(void *ctx, uint64_t number, struct sim_verdict *verdict);
    void *ctx;
    int pid; /* 0: none at present */
    int told;
    int asked;
    uint32_t runs;
};

/* worker: {run, ctx}, zeros else. */
void sim_worker_run(struct sim_worker *worker, uint64_t number, struct sim_apart *out);
void sim_worker_end(struct sim_worker *worker);

#endif
