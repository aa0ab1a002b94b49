/* SPDX-License-Identifier: Apache-2.0
 *
 * What a session tells the world in passing, on a thread of its own so that computing never waits
 * for a disk or a peer: metric points, log lines, hints about lost members. Losing some is no
 * error; queues are bounded and the oldest go first. All calls may come from any thread and never
 * block, but the two that say so. */
#ifndef TRAIN_SCRIBE_H
#define TRAIN_SCRIBE_H

#include "service.h"

#define TRAIN_POINTS_MAX      2048u             /* kept until written */
#define TRAIN_NAMES_MAX       16u               /* series of one unit */
#define TRAIN_LINES_MAX       64u               /* likewise */
#define TRAIN_LINE_BYTES      240u              /* with the NUL */
#define TRAIN_FLUSH_US        UINT64_C(250000)  /* points are written at least this often */
#define TRAIN_REPORT_PAUSE_US UINT64_C(1000000) /* between two reports about one member */
#define TRAIN_REPORT_WAIT_US  UINT64_C(500000)  /* of one report */

struct train_scribe;

SH_MUST_USE enum sh_err train_scribe_open(struct train_scribe **out, struct service *s,
                                          struct wire_unit unit);
/* Writes what there is; blocks until then. */
void train_scribe_close(struct train_scribe *scribe);

/* Only the first member of a gang writes points; the others keep the newest ones, so that whoever
 * becomes the first repeats what its predecessor may have taken along. */
void train_scribe_lead(struct train_scribe *scribe, bool first);
/* The job has several units: their series are called UNIT/NAME. Before the first point. */
void train_scribe_apart(struct train_scribe *scribe);
/* name is a string literal (metrics.h). */
void train_scribe_point(struct train_scribe *scribe, const char *name, uint64_t step, double value);
void train_scribe_line(struct train_scribe *scribe, const char *format, ...) SH_PRINTF(2, 3);
/* A member of the gang (this agent itself: it lost its session). At most one report about one
 * member per TRAIN_REPORT_PAUSE_US. */
void train_scribe_lost(struct train_scribe *scribe, struct wire_fence fence,
                       const uint8_t node[static SH_NODE_ID_BYTES]);
/* Blocks until what was said before is written, or for timeout_us. */
void train_scribe_flush(struct train_scribe *scribe, uint64_t timeout_us);

#endif
