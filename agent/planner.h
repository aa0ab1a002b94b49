/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator's housekeeping, on a thread of its own: admits agents, proposes who votes
 * (consensus/roles), places units (consensus/place). Runs on every agent and does nothing where the
 * agent does not lead. It proposes without waiting; what is overtaken is refused by its fence and
 * planned again. */
#ifndef AGENT_PLANNER_H
#define AGENT_PLANNER_H

#include "place/place.h"
#include "service.h"

/* A pass at least this often while leading, with and without work or a change of voters at hand. */
#define PLANNER_PAUSE_US  UINT64_C(200000)
#define PLANNER_IDLE_US   UINT64_C(1000000)
#define PLANNER_REST      4u               /* after a pass, in times its length */
#define PLANNER_LAZY      5u               /* times that where jobs came and nothing else */
#define PLANNER_GAP_US    UINT64_C(10000)  /* and at least so long: it serves all that came */
#define PLANNER_SETTLE_US UINT64_C(600000) /* a new coordinator counts nobody as lost before */
/* An agent that gossip knows nothing of is taken for dead after so long in office. */
#define PLANNER_REPLACED_US UINT64_C(10000000)
/* So many units of a job placed in one pass are one entry, and one event of its history. */
#define PLANNER_MANY_MIN    16u
#define PLANNER_REPORTS_MAX 64u
#define PLANNER_REPORT_US   UINT64_C(5000000) /* a report is believed this long */

struct planner;

SH_MUST_USE enum sh_err planner_open(struct planner **out, struct service *s);
SH_MUST_USE enum sh_err planner_start(struct planner *p);
void planner_stop(struct planner *p);
void planner_close(struct planner *p);
/* Something changed: members, the tables, who leads. Any thread, never blocks. */
void planner_wake(struct planner *p);
/* The tables changed, which matters to a coordinator only. Likewise. Where jobs came and nothing
 * ended that would make room for them, a long queue is looked at more seldom. */
void planner_tables_changed(struct planner *p, bool only_submits);

#endif
