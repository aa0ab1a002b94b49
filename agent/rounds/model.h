/* SPDX-License-Identifier: Apache-2.0
 *
 * The model of federated rounds: a safetensors file, whoever trains it, seen as one vector of all
 * its floats, tensor by tensor in the order of their names. Tensors of integers (how many batches a
 * normalisation has seen, for example) stay as they were in the first one. */
#ifndef ROUNDS_MODEL_H
#define ROUNDS_MODEL_H

#include "base/bytes.h"
#include "base/limits.h"
#include "kernels/format/safetensors.h"

#include <stdbool.h>

struct rounds_model {
    uint8_t *bytes; /* the file; its own */
    size_t size;
    struct kn_safetensors file; /* points into it */
    size_t floats;              /* in all tensors of floats */
};

/* Takes bytes (free), on errors too. CORRUPT, NO_MEMORY; why (size bytes) is a line. */
SH_MUST_USE enum sh_err rounds_model_open(struct rounds_model *m, uint8_t *bytes, size_t size,
                                          char *why, size_t why_size);
void rounds_model_close(struct rounds_model *m); /* harmless on a zero one */

void rounds_model_get(const struct rounds_model *m, float *out);
void rounds_model_put(struct rounds_model *m, const float *in); /* into the file */
/* Variances of a normalisation's running statistics become second moments, which can be averaged:
 * what averages of variances leave out is how far the means lie apart. And back. */
void rounds_model_to_moments(const struct rounds_model *m, float *x);
void rounds_model_from_moments(const struct rounds_model *m, float *x);
/* Same names, types and shapes: their vectors mean the same. */
bool rounds_model_alike(const struct rounds_model *a, const struct rounds_model *b);
/* The name of the tensor that this element of the vector belongs to. */
const char *rounds_model_tensor(const struct rounds_model *m, size_t element);
/* BLAKE2b-256 over the tensors by name, as of every model. NO_MEMORY. */
SH_MUST_USE enum sh_err rounds_model_digest(const struct rounds_model *m,
                                            uint8_t digest[static SH_DIGEST_BYTES]);

struct rounds_stretch { /* one tensor in the vector */
    size_t from;
    size_t count;
    bool statistics; /* of a normalisation: averaged as they are, no optimiser touches them */
};
void rounds_model_each(const struct rounds_model *m,
                       void (*each)(void *ctx, const struct rounds_stretch *stretch), void *ctx);

#endif
