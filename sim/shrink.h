/* SPDX-License-Identifier: Apache-2.0
 *
 * From a storm that breaks something to a short scenario that breaks the same: what was done to the
 * cluster is written down, and lines, agents and time are taken away as long as the violation stays
 * (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002). */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

#include "sim/scenario.h"

struct sim_shrink_options {
    uint64_t seed;
    uint32_t agents;
    uint64_t events;
    uint32_t runs_max; /* candidates tried; about 20 ms each */
    const char *acts;  /* a file that may be written, for the acts of the storm */
};

/* Writes the scenario to out and the story of the search to log. NOT_FOUND: the storm breaks
 * nothing. CONFLICT: its acts, played again, break something else or nothing. IO: acts. */
SH_MUST_USE enum sh_err sim_shrink(const struct sim_shrink_options *options, FILE *out, FILE *log);
/* The words of a violation without its numbers and names: equal for equal violations. */
void sim_shrink_kind(const char *why, char kind[static SIM_ERROR_MAX + 1]);

#endif
