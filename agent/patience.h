/* SPDX-License-Identifier: Apache-2.0
 *
 * How long a unit that is asked to give way has for it: to end the step it is in and to leave a
 * checkpoint. It follows what that took its gang the last time: PATIENCE_TIMES as long, between
 * PATIENCE_LEAST_US and PATIENCE_MOST_US. A unit that has left no checkpoint yet has as long as it
 * has worked, between PATIENCE_USUAL_US and PATIENCE_MOST_US: waiting so long costs no more than
 * what would be lost. For commands their grace comes on top. */
#ifndef AGENT_PATIENCE_H
#define AGENT_PATIENCE_H

#include "jobs/view.h"

#define PATIENCE_TIMES    4u
#define PATIENCE_LEAST_US UINT64_C(10000000)
#define PATIENCE_USUAL_US UINT64_C(60000000)
#define PATIENCE_MOST_US  UINT64_C(600000000)

/* now_us is the cluster's time. PATIENCE_USUAL_US where the unit is not to be read. */
uint64_t patience_of_unit(const struct sh_table *table, struct wire_unit unit, uint64_t now_us);
/* The longest of those of the job's running units; PATIENCE_LEAST_US: there is none. O(units). */
uint64_t patience_of_job(const struct sh_table *table, uint64_t job, uint64_t now_us);

#endif
