/* SPDX-License-Identifier: Apache-2.0
 *
 * Training that begins with the weights of a finished model. A tensor of the new model is that of
 * the old one where both have it under one name in one shape; layers that the job names in `reset`
 * begin anew, from the seed. */
#ifndef INFER_TUNE_H
#define INFER_TUNE_H

#include "infer/infer.h"
#include "spec/spec.h"

/* Fills in what the job leaves out: the model section, and the names of classes where none begins
 * anew. */
void infer_tune_fill(const struct infer *parent, struct spec_job *job);
/* INVALID: a layer that begins anew is none of the model's, the loss is another one, or a tensor
 * is not as in the parent; why names it and what would be right. */
SH_MUST_USE enum sh_err infer_tune_check(const struct infer *parent, const struct spec_job *job,
                                         struct kn_diag *why);
/* Over what the seed gave: the parent's tensors. The job was checked. */
void infer_tune_copy(const struct infer *parent, const struct spec_job *job,
                     const struct kn_model *model, float *params, float *buffers);

#endif
