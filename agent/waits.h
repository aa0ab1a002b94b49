/* SPDX-License-Identifier: Apache-2.0
 *
 * Why jobs wait, into their own logs: once a job has waited WAITS_FIRST_US, and again when the
 * reason is another one, at most every WAITS_AGAIN_US. A coordinator knows what it said itself; the
 * next one says it once more. Belongs to the planner's thread. */
#ifndef AGENT_WAITS_H
#define AGENT_WAITS_H

#include "members.h"

#include "place/place.h"

#define WAITS_FIRST_US  UINT64_C(30000000)
#define WAITS_AGAIN_US  UINT64_C(60000000)
#define WAITS_JOBS_MAX  1024u /* that are remembered; beyond, those not seen longest are not */
#define WAITS_ASKED_MAX 4u    /* looked at in one pass */
#define WAITS_LINES_MAX 40u   /* of one reason; further agents are left out */

struct waits;

struct waits *waits_open(void); /* NULL: no memory */
void waits_close(struct waits *w);

/* Before a pass: units whose reasons are wanted, not among the first `count` of asked, behind them;
 * the new count. now_us is the cluster's time. asked has room for WAITS_ASKED_MAX more. */
uint32_t waits_begin(struct waits *w, const struct place_unit *units, uint32_t unit_count,
                     uint64_t now_us, struct wire_unit *asked, uint32_t count);
/* After it: what is to be said, by calls of say. */
typedef void (*waits_say)(void *ctx, uint64_t job, const char *const *lines, uint32_t count);
void waits_end(struct waits *w, struct members *members, const struct place_unit *units,
               uint32_t unit_count, uint64_t now_us, const struct place_output *out, waits_say say,
               void *ctx);

#endif
