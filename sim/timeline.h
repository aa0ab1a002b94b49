/* SPDX-License-Identifier: Apache-2.0
 *
 * The time line of a run: one line a note, with how every agent looks at that moment. */
#ifndef SIM_TIMELINE_H
#define SIM_TIMELINE_H

#include "sim/sim.h"

#include <stdio.h>

struct sim_timeline {
    FILE *out; /* NULL: nothing is written */
    struct sim *sim;
    uint32_t width; /* agents that there will be, at most */
};

/* Legend and heads of the columns. */
void sim_timeline_begin(struct sim_timeline *line);
/* As sim_options.note, with the time line as ctx. */
void sim_timeline_note(void *ctx, const struct sim_note *note);

#endif
