/* SPDX-License-Identifier: Apache-2.0
 *
 * The sweep of a job (spec/sweep.h) as one state of the tables has it: which values each unit has,
 * and what it was found to be worth. A function of the tables, so every agent sees the same. */
#ifndef SWEEP_SWEEP_H
#define SWEEP_SWEEP_H

#include "jobs/view.h"
#include "spec/sweep.h"

struct sweep;

/* Reads every unit. NOT_FOUND: the job has no sweep. CORRUPT, NO_MEMORY. */
SH_MUST_USE enum sh_err sweep_open(struct sweep **out, const struct sh_table *t,
                                   const struct jobs_job *job);
void sweep_close(struct sweep *sweep); /* NULL is nothing */

const struct spec_sweep *sweep_form(const struct sweep *sweep);
/* One unit's row, as it was read. */
const struct jobs_unit *sweep_unit(const struct sweep *sweep, uint32_t unit);
/* The unit with the best score; UINT32_MAX: none has one yet. */
uint32_t sweep_best(const struct sweep *sweep);
/* The unit that one goes on from, and the checkpoint of it that training does; UINT32_MAX and not
 * set: it begins anew. */
uint32_t sweep_before(const struct sweep *sweep, uint32_t unit);
const struct spec_start *sweep_start(const struct sweep *sweep, uint32_t unit);
/* What a unit is given. STALE: units that it waits for have not ended. CORRUPT, NO_MEMORY. */
SH_MUST_USE enum sh_err sweep_derive(const struct sweep *sweep, uint32_t unit,
                                     struct spec_derived *out);

#endif
