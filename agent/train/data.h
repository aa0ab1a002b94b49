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

/* Uploaded files on this agent's disk, until train_data_discard. */
#define TRAIN_DATA_PATH_BYTES 4096u
struct train_data_files {
    char folder[TRAIN_DATA_PATH_BYTES];
    char path[TRAIN_DATA_PATH_BYTES]; /* what kn_dataset_open takes */
};
/* why (TRAIN_WHY_BYTES) names the field. */
SH_MUST_USE enum sh_err train_data_unpack(const struct train_material_source *source,
                                          const char *field,
                                          const uint8_t digest[static SH_DIGEST_BYTES],
                                          struct train_data_files *files, char *why);
/* Removes them, and their folder's name from a text about one of them. */
void train_data_discard(const struct train_data_files *files, char *text);

#endif
