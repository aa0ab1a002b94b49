/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/spec: the sweep section of a job file, and what it shares with sweep.c. */
#ifndef SPEC_SWEEP_PARTS_H
#define SPEC_SWEEP_PARTS_H

#include "spec/decode.h"
#include "spec/json.h"
#include "spec/sweep.h"

/* canonical.c; given. */
json_t *spec_job_json(const struct spec_job *job);
void spec_start_put(json_t *out, const struct spec_start *start);

/* sweep_section.c. base is a struct spec_job. */
void spec_take_sweep(struct spec_decode *d, const struct spec_node *node, void *base);
json_t *spec_sweep_json(const struct spec_sweep *sweep);
/* What no field of the section says alone; sets job->units. thorough: every unit is derived, to see
 * whether the schema takes it. The job has no errors so far. */
void spec_check_sweep(struct spec_decode *d, struct spec_job *job, bool thorough);

/* sweep.c. The job has such a value. */
bool spec_sweep_path_exists(const struct spec_job *job, const char *path);
/* As spec_sweep_derive with these values, one a parameter; an empty one, and resource 0, leave what
 * the job has; start NULL: none. */
SH_MUST_USE enum sh_err spec_sweep_with(const struct spec_job *job,
                                        char (*values)[SPEC_SCALAR_MAX + 1], uint32_t resource,
                                        const struct spec_start *start, struct spec_derived *out,
                                        struct spec_errors *errors);

/* Letters, digits and '_', the first no digit, none of shoal's own (exec.c). */
bool spec_is_variable(const char *name);

#endif
