/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands of this agent on their way through the log. Each has the number of its place, which is
 * its slot in the agent's session (jobs/session.c): whoever applies the entry here looks the place
 * up and answers the caller. A command without an answer is sent again, and at once when the
 * coordinator changes, so it may stand in the log twice; it is applied once, and either entry
 * answers. A thread of its own keeps the times; no caller waits here: see service_propose for one
 * who does. */
#ifndef AGENT_PROPOSALS_H
#define AGENT_PROPOSALS_H

#include "jobs/jobs.h"

#define PROPOSALS_MAX JOBS_SESSION_SLOTS /* under way at a time: FULL */
/* Between two sends of a command: doubled each time, so that a slow disk is not given more. */
#define PROPOSALS_RESEND_US     UINT64_C(300000)
#define PROPOSALS_RESEND_MAX_US UINT64_C(2400000)

struct proposals;

struct proposals_config {
    /* A signed command to the coordinator; command (malloc'd) is given where this answers OK. Any
     * thread; does not wait. */
    enum sh_err (*send)(void *ctx, uint8_t *command, size_t size);
    /* What one is told whose time is over: TIMEOUT, or a better word. */
    enum sh_err (*late)(void *ctx);
    void *ctx;
};

/* The end of a proposal, once: the code of the applied command with its result, or without one the
 * reason why there is none (the outcome is then unknown). It was sent that often. On the apply
 * thread, that of the times, or the one that stops: must neither wait nor stop p; may begin
 * another. */
typedef void (*proposals_fn)(void *ctx, enum sh_err err, const struct jobs_result *result,
                             unsigned sends);

/* Starts its thread. NO_MEMORY, IO. */
SH_MUST_USE enum sh_err proposals_open(const struct proposals_config *config,
                                       struct proposals **out);
void proposals_close(struct proposals *p); /* stopped before */
/* Ends all with CANCELLED, refuses those to come, and joins its thread. */
void proposals_stop(struct proposals *p);

/* Sends a command of a session (0: none), signed with a number that is larger than all before of
 * its place, until it is applied or timeout_us is over. command (JOBS_CMD_BYTES_MAX at most) is
 * borrowed until fn is called, which may be before this returns. FULL, CANCELLED, NO_MEMORY, or
 * what send answered: nothing was begun and fn is not called. */
SH_MUST_USE enum sh_err proposals_begin(struct proposals *p, uint64_t session,
                                        struct sh_span command, uint64_t timeout_us,
                                        proposals_fn fn, void *ctx);

/* From the apply thread: an entry with this number was applied here; of another agent or an earlier
 * life it may be the number of nobody. */
void proposals_done(struct proposals *p, uint64_t number, const struct jobs_result *result);
/* From the loop: a new coordinator is known, so all are sent again. */
void proposals_kick(struct proposals *p);

#endif
