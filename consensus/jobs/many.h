/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to the jobs core: the bodies of the commands about many units, see cmd.h. */
#ifndef SH_JOBS_MANY_H
#define SH_JOBS_MANY_H

#include "jobs/cmd.h"

bool jobs_many_place_ok(const struct jobs_place_many *c);
void jobs_many_place_put(struct sh_writer *w, const struct jobs_place_many *c);
/* Turns the reader bad where a count is above its limit. */
void jobs_many_place_get(struct sh_reader *r, struct jobs_place_many *c);

bool jobs_many_commit_ok(const struct jobs_commit_many *c);
void jobs_many_commit_put(struct sh_writer *w, const struct jobs_commit_many *c);
void jobs_many_commit_get(struct sh_reader *r, struct jobs_commit_many *c);

#endif
