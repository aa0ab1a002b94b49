/* SPDX-License-Identifier: Apache-2.0
 *
 * What a finished model says about an input: a model.safetensors file in memory, made ready by the
 * metadata it carries (spec/model_meta.h): shape, normalisation, class names. */
#ifndef INFER_INFER_H
#define INFER_INFER_H

#include "base/err.h"
#include "kernels/data/data.h"
#include "kernels/graph/graph.h"
#include "spec/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INFER_SAMPLES_MAX 4096u /* of one input */

struct infer;
struct spec_meta;

/* Borrows bytes until infer_close. CORRUPT (damaged, or not a model of ours), VERSION, NO_MEMORY;
 * why is one line. */
SH_MUST_USE enum sh_err infer_open(const uint8_t *bytes, size_t size, struct infer **out,
                                   struct kn_diag *why);
void infer_close(struct infer *infer);

uint32_t infer_outputs(const struct infer *infer);
bool infer_classifies(const struct infer *infer); /* outputs are probabilities of classes */
const char *infer_class(const struct infer *infer, uint32_t index);

/* What it is made of; borrowed until infer_close. */
const struct spec_meta *infer_meta(const struct infer *infer);
const struct kn_model *infer_model(const struct infer *infer);
const float *infer_params(const struct infer *infer);
const float *infer_buffers(const struct infer *infer);

struct infer_names { /* what a reference points at */
    char *column[SPEC_CHANNELS_MAX];
    char *class_name[SPEC_CLASSES_MAX];
};
/* A set without samples whose columns and classes are the model's, for spec_dataset_open. Borrows
 * names and the model. */
void infer_reference(const struct infer *infer, struct infer_names *names,
                     struct kn_dataset *reference);

struct infer_reading { /* what options point at */
    struct kn_audio audio;
    struct kn_text text;
    const char *classes[SPEC_CLASSES_MAX];
};
/* How the model's recordings or text are read, into options; nothing for pictures and rows. Borrows
 * reading and the model. */
void infer_reading(const struct infer *infer, struct infer_reading *reading,
                   struct kn_open *options);

/* Gives the set the model's normalisation. INVALID: it has another number of features. */
SH_MUST_USE enum sh_err infer_fit(const struct infer *infer, struct kn_dataset *set,
                                  struct kn_diag *why);
/* Samples [first, first + count) of a set that fits: y gets count times infer_outputs() numbers. Of
 * a text they are about the token after the sample's last one. */
SH_MUST_USE enum sh_err infer_answer(const struct infer *infer, const struct kn_dataset *set,
                                     uint32_t first, uint32_t count, float *y, struct kn_diag *why);

struct infer_input { /* a PNG, JPEG or PGM picture; an IDX file of pictures; a CSV table; for models
                      * of them, a WAV recording or a text */
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
