/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/answer: what a model is asked about, in memory and normalised as it was trained.
 */
#ifndef ANSWER_INPUT_H
#define ANSWER_INPUT_H

#include "infer/infer.h"
#include "train/data.h"

/* Without labels: the source "input" of the job. */
SH_MUST_USE enum sh_err answer_input_open(const struct train_material_source *source,
                                          const struct spec_job *job, const struct infer *infer,
                                          struct kn_dataset *set, char *why);
/* With labels or numbers to compare with: data.test. Fills in what the job takes from the model. */
SH_MUST_USE enum sh_err answer_test_open(const struct train_material_source *source,
                                         struct spec_job *job, const struct infer *infer,
                                         struct kn_dataset *set, char *why);

#endif
