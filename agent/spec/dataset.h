/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening the data of a job: from the job file's words to a data set in memory whose shape, classes
 * and columns fit the model, or one line of why not. Training and `shoal validate` open with this.
 */
#ifndef SPEC_DATASET_H
#define SPEC_DATASET_H

#include "kernels/data/data.h"
#include "spec/spec.h"

enum spec_role { SPEC_ROLE_TRAIN, SPEC_ROLE_VALIDATION, SPEC_ROLE_TEST };

/* The source of a role: data.train, data.validation, data.test. */
const struct spec_source *spec_dataset_source(const struct spec_job *job, enum spec_role role);
/* "data.train", ... */
const char *spec_dataset_field(enum spec_role role);

/* Opens path (what spec_fileset_extract or service_dataset_path gave, or the path of the job file;
 * for a builtin source it is ignored). reference is the training set, NULL when that is what is
 * opened: the others take class names and columns from it. The set is closed by the caller.
 * NOT_FOUND, INVALID, LIMIT, IO, NO_MEMORY; why says file, place and what would be right. */
SH_MUST_USE enum sh_err spec_dataset_open(const struct spec_job *job, enum spec_role role,
                                          const char *path, const struct kn_dataset *reference,
                                          struct kn_dataset *set, struct kn_diag *why);

/* What reading a data set came to, in the program's own words. */
enum sh_err spec_dataset_err(enum kn_err err);

#endif
