/* SPDX-License-Identifier: Apache-2.0
 *
 * Brings the data of a job into memory, from wherever it lies: built in, declared on this agent, or
 * uploaded as a blob. Private to agent/train. */
#ifndef TRAIN_DATA_H
#define TRAIN_DATA_H

#include "train/material.h"

#include "spec/dataset.h"

/* Opens the data set of a role; reference as in spec_dataset_open. A blob is fetched and unpacked
 * below source->cache, which is empty again afterwards. why begins with the field. */
SH_MUST_USE enum sh_err train_data_open(const struct train_material_source *source,
                                        const struct spec_job *job, enum spec_role role,
                                        const struct kn_dataset *reference, struct kn_dataset *set,
                                        char *why);

#endif
