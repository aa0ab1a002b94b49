/* SPDX-License-Identifier: Apache-2.0
 *
 * One thread that looks after what this agent holds: collects garbage (garbage.h), keeps the number
 * of copies (copies.h), gives space back to the disk. It makes a pass every so often, when agents
 * came or went, and when somebody asks; blobs that were put here are copied further at once. */
#ifndef AGENT_HOUSEKEEPING_H
#define AGENT_HOUSEKEEPING_H

#include "service.h"

#define HOUSEKEEPING_QUEUED_MAX 256u /* blobs to copy further; others wait for a pass */
#define HOUSEKEEPING_SETTLE_US  UINT64_C(2000000)  /* after agents came or went */
#define HOUSEKEEPING_READ_US    UINT64_C(10000000) /* for tables that lack nothing */

struct housekeeping;

SH_MUST_USE enum sh_err housekeeping_open(struct housekeeping **out, struct service *s);
SH_MUST_USE enum sh_err housekeeping_start(struct housekeeping *h);
void housekeeping_stop(struct housekeeping *h); /* after calls_stop and blobs_stop */
void housekeeping_close(struct housekeeping *h);

/* What the last pass found, or zeros. Any thread. */
void housekeeping_last(struct housekeeping *h, struct service_garbage *out);

#endif
