/* SPDX-License-Identifier: Apache-2.0
 *
 * Read indexes of this agent. A read is linearizable when the tables it looks at show everything
 * that was committed before it began; raft's read index says up to where that is. A round asks the
 * coordinator for one, which takes a word from a majority (raft/read.c). All readers that wait at a
 * time share a round: who comes while one is under way counts on the next, since its answer may
 * stem from before. */
#ifndef AGENT_READS_H
#define AGENT_READS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define READS_RESEND_US UINT64_C(100000)  /* a round without an answer; doubled up to 8 times it */
#define READS_AGE_US    UINT64_C(1000000) /* an older answer is renewed when its age is asked */

struct reads;

/* Sends round `number` off, on any thread and with the lock of reads held: must not block, and its
 * answer must not come before it returned. Lost: the round is begun again. */
typedef void (*reads_ask_fn)(void *ctx, uint64_t number);

/* resend_us: READS_RESEND_US but in tests. */
SH_MUST_USE enum sh_err reads_open(struct reads **out, reads_ask_fn ask, void *ctx,
                                   uint64_t resend_us);
void reads_close(struct reads *r);
/* Ends every wait with CANCELLED for good. */
void reads_stop(struct reads *r);

/* Waits for a round that begins after this call. A read of tables up to *index is then
 * linearizable. TIMEOUT, CANCELLED. */
SH_MUST_USE enum sh_err reads_wait(struct reads *r, uint64_t timeout_us, uint64_t *index);
/* How long ago tables that are applied up to `applied` were known to lack nothing; UINT64_MAX:
 * never in this life. Begins a round where the answer is an old one, and does not wait for it. */
uint64_t reads_age_us(struct reads *r, uint64_t applied);

/* From the loop: an answer of the core. err not OK: none will come. */
void reads_done(struct reads *r, uint64_t number, uint64_t index, enum sh_err err);
/* From the loop: a new coordinator is known; what the last one was asked is asked again. */
void reads_kick(struct reads *r);

#endif
