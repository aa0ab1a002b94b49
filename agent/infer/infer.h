/* SPDX-License-Identifier: Apache-2.0
 *
 * What a finished model says about an input: a model.safetensors file in memory, made ready by the
 * metadata it carries (spec/model_meta.h): shape, normalisation, class names. */
#ifndef INFER_INFER_H
#define INFER_INFER_H

#include "base/err.h"
#include "kernels/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INFER_SAMPLES_MAX 4096u /* of one input */

struct infer;

/* Borrows bytes until infer_close. CORRUPT (damaged, or not a model of ours), VERSION, NO_MEMORY;
 * why is one line. */
SH_MUST_USE enum sh_err infer_open(const uint8_t *bytes, size_t size, struct infer **out,
                                   struct kn_diag *why);
void infer_close(struct infer *infer);

uint32_t infer_outputs(const struct infer *infer);
bool infer_classifies(const struct infer *infer); /* outputs are probabilities of classes */
const char *infer_class(const struct infer *infer, uint32_t index);

struct infer_input { /* one PNG, JPEG or PGM picture; an IDX file of pictures; a CSV table */
    const uint8_t *bytes;
    size_t size;
    bool invert; /* pictures: dark on light becomes light on dark */
};

/* y: count times infer_outputs() numbers; given (free). INVALID: the input cannot be read or does
 * not fit the model; LIMIT: more than INFER_SAMPLES_MAX samples; why says which. */
SH_MUST_USE enum sh_err infer_run(const struct infer *infer, const struct infer_input *input,
                                  float **y, uint32_t *count, struct kn_diag *why);

/* Indices of y by falling value; equal values by rising index. */
void infer_order(const float *y, uint32_t count, uint32_t *order);

#endif
