/* SPDX-License-Identifier: Apache-2.0
 *
 * What one agent holds that nothing needs any more: blobs that no row of the tables names, halves
 * of uploads, series and log lines of jobs that are gone or have lost their results.
 *
 * A pass has three steps in this order: garbage_list, then garbage_mark with tables that lack
 * nothing of what was committed before it was called, then garbage_sweep.
 *
 * Why nothing that is needed goes. A blob is collected only where its lease was over when it was
 * listed, and nobody has given it another one since. Whoever names a blob in a command has it
 * written here first, and proposes the command before the lease ends that it got by that: before
 * the list, then, or the lease would be another one. Such a command is in the log of the
 * coordinator that answers the read between list and mark, then it is in the tables that are marked
 * with; or it is not, then it will never be committed: the log has an entry of a later term there.
 *
 * One thread at a time. */
#ifndef AGENT_GARBAGE_H
#define AGENT_GARBAGE_H

#include "base/table.h"
#include "service.h"
#include "store/blob/blob.h"
#include "store/series/series.h"

struct garbage;

SH_MUST_USE enum sh_err garbage_open(struct garbage **out, struct blob *blob,
                                     const struct series *series);
void garbage_close(struct garbage *g);

/* O(blobs and jobs that are here). */
SH_MUST_USE enum sh_err garbage_list(struct garbage *g);
/* O(rows). */
SH_MUST_USE enum sh_err garbage_mark(struct garbage *g, const struct sh_table *table);
/* Tells what is garbage; with go it is deleted. */
SH_MUST_USE enum sh_err garbage_sweep(struct garbage *g, bool go, struct service_garbage *out);

/* After mark: the blobs here that rows name, one after the other from *at = 0 on; false at the end.
 */
bool garbage_named(const struct garbage *g, size_t *at, struct blob_id *id);

#endif
