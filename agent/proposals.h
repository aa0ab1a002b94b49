/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands of this agent on their way through the log. A command travels in an envelope with its
 * origin and a number; whoever applies the entry here looks the number up and wakes the caller. A
 * command may be appended twice (a resend after a change of coordinator); the first to be applied
 * answers, so commands are idempotent.
 *
 * Envelope: u8 version, node id of the origin, u64 number, command. */
#ifndef AGENT_PROPOSALS_H
#define AGENT_PROPOSALS_H

#include "jobs/jobs.h"

#define PROPOSALS_MAX           1024u /* under way at a time: FULL */
#define PROPOSALS_ENVELOPE_HEAD 25u

struct proposals;

struct proposals_envelope {
    uint8_t origin[SH_NODE_ID_BYTES];
    uint64_t number;
    struct sh_span command; /* borrowed */
};

SH_MUST_USE enum sh_err proposals_open(struct proposals **out);
void proposals_close(struct proposals *p);
/* Wakes everyone with CANCELLED for good. */
void proposals_stop(struct proposals *p);

/* A number to put into an envelope. FULL. */
SH_MUST_USE enum sh_err proposals_begin(struct proposals *p, uint64_t *number);
/* Waits for the result; false on timeout or when the coordinator changed (send it again). */
bool proposals_wait(struct proposals *p, uint64_t number, uint64_t timeout_us,
                    struct jobs_result *out);
void proposals_end(struct proposals *p, uint64_t number);

/* From the apply thread: the entry of this number was applied here. */
void proposals_done(struct proposals *p, uint64_t number, const struct jobs_result *result);
/* From the loop: a new coordinator is known, so everybody sends again. */
void proposals_kick(struct proposals *p);

/* out has PROPOSALS_ENVELOPE_HEAD + size bytes. */
void proposals_seal(uint8_t *out, const uint8_t origin[SH_NODE_ID_BYTES], uint64_t number,
                    const void *command, size_t size);
/* CORRUPT, or VERSION for an envelope of a later program. */
SH_MUST_USE enum sh_err proposals_unseal(struct sh_span bytes, struct proposals_envelope *out);

#endif
