/* SPDX-License-Identifier: Apache-2.0
 *
 * Why jobs wait: who asks is answered from the next pass of the planner, with a reason for every
 * agent. Only what somebody asks about is worked out. Threads: any. */
#ifndef AGENT_REASONS_H
#define AGENT_REASONS_H

#include "members.h"

#include "place/place.h"

#define REASONS_ASKED_MAX 16u               /* jobs asked about in one pass */
#define REASONS_WAIT_US   UINT64_C(2000000) /* for that pass */

struct reasons;

struct reasons *reasons_open(struct members *members); /* NULL: no memory */
void reasons_close(struct reasons *r);

/* Before a pass: the units asked about, the first one of each job that waits, else its first; how
 * many. units are those of the pass. */
uint32_t reasons_begin(struct reasons *r, const struct place_unit *units, uint32_t unit_count,
                       struct wire_unit asked[static REASONS_ASKED_MAX]);
/* After it: answers whoever asked. The arrays are borrowed for the call. */
void reasons_end(struct reasons *r, uint64_t now_us, const struct place_output *out,
                 uint32_t unit_count);

/* What a pass says of one of its units that was asked about, as reasons_ask would; how many bytes.
 */
size_t reasons_write(struct members *members, const struct place_unit *unit, uint32_t unit_count,
                     uint64_t now_us, const struct place_output *out, char *text, size_t size);

/* Waits for a pass that begins from now on; wake starts one. Writes a line on the job and one on
 * each agent that does not take it; nothing where the job does not wait, or was not among the units
 * of that pass. FULL: too many ask; TIMEOUT: there was no pass. */
SH_MUST_USE enum sh_err reasons_ask(struct reasons *r, uint64_t job, void (*wake)(void *ctx),
                                    void *ctx, char *text, size_t size, size_t *used);

#endif
