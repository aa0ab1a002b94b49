/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands of this agent on their way through the log. Each has the number of its place, which is
 * its slot in the agent's session (jobs/session.c): whoever applies the entry here looks the place
 * up and wakes the caller. A command may stand in the log twice (a resend after a change of
 * coordinator); it is applied once, and either entry answers. */
#ifndef AGENT_PROPOSALS_H
#define AGENT_PROPOSALS_H

#include "jobs/jobs.h"

#define PROPOSALS_MAX JOBS_SESSION_SLOTS /* under way at a time: FULL */

struct proposals;

SH_MUST_USE enum sh_err proposals_open(struct proposals **out);
void proposals_close(struct proposals *p);
/* Wakes everyone with CANCELLED for good. */
void proposals_stop(struct proposals *p);

/* A number for one command; larger than all before of its place. FULL. */
SH_MUST_USE enum sh_err proposals_begin(struct proposals *p, uint64_t *number);
/* Waits for the result; false on timeout or when the coordinator changed (send it again). */
bool proposals_wait(struct proposals *p, uint64_t number, uint64_t timeout_us,
                    struct jobs_result *out);
void proposals_end(struct proposals *p, uint64_t number);

/* From the apply thread: an entry with this number was applied here; of another agent or an earlier
 * life it may be the number of nobody. */
void proposals_done(struct proposals *p, uint64_t number, const struct jobs_result *result);
/* From the loop: a new coordinator is known, so everybody sends again. */
void proposals_kick(struct proposals *p);

#endif
