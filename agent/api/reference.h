/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/api: the version of a model that a reference means now (spec/models.h). What a
 * unit left that was stopped early is a version too, but nobody's choice: only its number means it.
 *
 * The best version is that with the best of the first of these that the newest has: the
 * score of its sweep (goal of the sweep, versions of that sweep alone) or of its reinforcement
 * learning; accuracy on the test set; accuracy, then loss, of validation; accuracy, then root mean
 * square error, of its evaluation in the job that made it. Versions that lack it do not count, and
 * of equal ones the newest is the best. */
#ifndef API_REFERENCE_H
#define API_REFERENCE_H

#include "jobs/view.h"
#include "spec/models.h"

#define API_REFERENCE_WHY 256u

/* NOT_FOUND: no such model or version, or none but those that were stopped early; INVALID: nothing
 * to find the best by; CORRUPT, NO_MEMORY. */
SH_MUST_USE enum sh_err api_reference_find(const struct sh_table *t,
                                           const struct spec_model_ref *ref,
                                           struct jobs_model *out);
/* What to tell a person of those two, of a reference that was not found in t. */
void api_reference_why(const struct sh_table *t, const struct spec_model_ref *ref, enum sh_err err,
                       char why[static API_REFERENCE_WHY]);

#endif
