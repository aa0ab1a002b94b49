/* SPDX-License-Identifier: Apache-2.0
 *
 * What training changes: parameters, buffers, optimiser, how far it has come and what it measured
 * on the way. Equal on all members at equal positions. Belongs to the session's thread. */
#ifndef TRAIN_STATE_H
#define TRAIN_STATE_H

#include "train/material.h"

#include "base/bytes.h"

/* Sums that metrics and the outcome are made of. */
struct train_tally {
    double step_loss; /* over the samples of the last step */
    double step_correct;
    double epoch_loss; /* over the samples of the running epoch, so far */
    uint64_t epoch_samples;
    double train_loss; /* mean over the last whole epoch; NaN before the first has ended */
    double val_loss;   /* mean; NaN: not measured */
    uint64_t val_correct;
    uint64_t val_total; /* 0: not measured */
    double test_loss;
    uint64_t test_correct;
    uint64_t test_total; /* 0: not measured */
};

struct train_state {
    const struct train_material *m; /* borrowed */
    bool set;                       /* false: contents mean nothing yet */
    uint64_t position;              /* rounds completed (train/course.h) */
    float *params;                  /* [m->params] */
    float *buffers;                 /* [m->buffers] */
    float *optim;                   /* [m->optim_state] */
    struct train_tally tally;
};

/* Takes memory; the state is not set. NO_MEMORY. */
SH_MUST_USE enum sh_err train_state_open(struct train_state *state, const struct train_material *m);
void train_state_close(struct train_state *state);
/* The beginning: a function of model, seed, and the model that it begins with, if any. */
void train_state_begin(struct train_state *state);
/* Takes the sum over all ranks of the round at state->position and completes the round. The vector
 * has m->vector elements for a STEP, TRAIN_EVAL_SHARES for the others. DIVERGED: a value is not
 * finite; nothing is changed and why (TRAIN_WHY_BYTES) names the step and the tensor. */
SH_MUST_USE enum sh_err train_state_take(struct train_state *state, const float *vector, char *why);

/* BLAKE2b-256 over the tensors of the model, by name (kernels/format/safetensors.h). NO_MEMORY. */
SH_MUST_USE enum sh_err train_state_model_digest(const struct train_state *state,
                                                 uint8_t digest[static SH_DIGEST_BYTES]);
/* The same with the optimiser's vector and the position. */
SH_MUST_USE enum sh_err train_state_digest(const struct train_state *state,
                                           uint8_t digest[static SH_DIGEST_BYTES]);
/* model.safetensors: the same bytes for the same state. *bytes is given (free). NO_MEMORY, LIMIT;
 * why (TRAIN_WHY_BYTES) says what does not fit. */
SH_MUST_USE enum sh_err train_state_file(const struct train_state *state, uint8_t **bytes,
                                         size_t *size, char *why);

/* The same of a state as bytes, as below, of the job that source names; also what
 * train_material_open answers. */
SH_MUST_USE enum sh_err train_state_model_of(const struct train_material_source *source,
                                             struct sh_span state, uint8_t **bytes, size_t *size,
                                             char *why);

/* ---- as bytes: checkpoints, and what members send each other ----
 *
 *    0 u32 magic "SHC1"        4 u32 version (1)      8 u8[32] spec digest
 *   40 u8[16] arithmetic class 56 u64 seed           64 u32 V      68 u32 B
 *   72 u64 position            80 u64 completed steps
 *   88 f64 step_loss           96 f64 step_correct
 *  104 f64 epoch_loss         112 u64 epoch_samples  120 f64 train_loss
 *  128 f64 val_loss           136 u64 val_correct    144 u64 val_total
 *  152 f64 test_loss          160 u64 test_correct   168 u64 test_total
 *  176 u64 params             184 u64 buffers        192 u64 optim      200 u64 zero
 *  208 params, buffers, optim elements of little-endian f32, then the end
 *
 * Contents are vouched for by whoever carries them: the digest of the blob, or the state digest. */
#define TRAIN_STATE_HEAD 208u

size_t train_state_size(const struct train_material *m);
/* out has train_state_size bytes. */
void train_state_encode(const struct train_state *state,
                        const uint8_t class[static WIRE_CLASS_BYTES], uint8_t *out);
/* VERSION; CORRUPT: damaged; CONFLICT: of another job (unless any of the same model will do), seed,
 * split into ranks or, when class is not NULL, arithmetic class. On error the state is not changed.
 */
SH_MUST_USE enum sh_err train_state_decode(struct train_state *state, const uint8_t *class,
                                           bool any_job, struct sh_span bytes);

#endif
