/* SPDX-License-Identifier: Apache-2.0
 *
 * The arithmetic class: what decides the bits of a training step, and the bits of one. */
#include "kernels/cpu/blas.h"
#include "kernels/graph/graph.h"
#include "kernels/kn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLASS_VERSION 2 /* raise it where a change of these kernels may change bits */

#define PROBE_HEIGHT  9u
#define PROBE_WIDTH   11u
#define PROBE_INPUTS  (2u * PROBE_HEIGHT * PROBE_WIDTH)
#define PROBE_CLASSES 6u
#define PROBE_SAMPLES 37u /* three blocks: the path through OpenBLAS */
#define PROBE_FEW     13u /* one block: the path without */
#define PROBE_STEPS   4u

#define TRY(call)                                                                                  \
    do {                                                                                           \
        const enum kn_err tried = (call);                                                          \
        if (tried != KN_OK) {                                                                      \
            return tried;                                                                          \
        }                                                                                          \
    } while (0)

#define PROBE_PLACES 21u /* of a sequence */
#define PROBE_WIDE   24u

/* The operations on sequences that have arithmetic of their own. */
static enum kn_err probe_build_sequence(struct kn_model *m, struct kn_diag *diag)
{
    const struct kn_shape input = {.rank = 1, .dim = {PROBE_PLACES, 1, 1}};
    const struct kn_attention attention = {.heads = 2, .causal = true};
    uint32_t at;
    TRY(kn_model_input(m, &input, &at, diag));
    TRY(kn_model_embedding(m, at, NULL, PROBE_CLASSES, PROBE_WIDE, &at, diag));
    TRY(kn_model_positions(m, at, NULL, &at, diag));
    TRY(kn_model_layernorm(m, at, NULL, 1e-5f, &at, diag));
    TRY(kn_model_attention(m, at, NULL, &attention, &at, diag));
    TRY(kn_model_dense(m, at, NULL, PROBE_CLASSES, false, &at, diag));
    return kn_model_seal(m, at, KN_LOSS_CROSS_ENTROPY, diag);
}

/* The others. */
static enum kn_err probe_build(struct kn_model *m, struct kn_diag *diag)
{
    const struct kn_shape input = {.rank = 3, .dim = {2, PROBE_HEIGHT, PROBE_WIDTH}};
    const struct kn_conv2d wide = {.filters = 11, .kernel = {5, 3}, .padding = KN_PADDING_SAME};
    const struct kn_conv2d next = {
        .filters = 7, .kernel = {3, 3}, .stride = {2, 2}, .padding = KN_PADDING_SAME};
    const struct kn_pool2d pool = {.kernel = {2, 2}};
    uint32_t at;
    TRY(kn_model_input(m, &input, &at, diag));
    TRY(kn_model_conv2d(m, at, NULL, &wide, &at, diag));
    TRY(kn_model_batchnorm(m, at, NULL, 1e-5f, 0.1f, &at, diag));
    TRY(kn_model_gelu(m, at, NULL, &at, diag));
    TRY(kn_model_conv2d(m, at, NULL, &next, &at, diag));
    TRY(kn_model_relu(m, at, NULL, &at, diag));
    TRY(kn_model_maxpool(m, at, NULL, &pool, &at, diag));
    TRY(kn_model_flatten(m, at, NULL, &at, diag));
    TRY(kn_model_dropout(m, at, NULL, 0.2f, &at, diag));
    TRY(kn_model_dense(m, at, NULL, 150, false, &at, diag));
    TRY(kn_model_relu(m, at, NULL, &at, diag));
    TRY(kn_model_dense(m, at, NULL, PROBE_CLASSES, false, &at, diag));
    return kn_model_seal(m, at, KN_LOSS_CROSS_ENTROPY, diag);
}

/* FNV-1a, 64 bits. */
static uint64_t hash_floats(uint64_t hash, const float *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &at[i], sizeof bits);
        for (int byte = 0; byte < 4; byte++) {
            hash = (hash ^ (bits >> (8 * byte) & 0xFFu)) * 0x100000001B3u;
        }
    }
    return hash;
}

/* Numbers in [-1/2, 1/2), or for a sequence whole ones below PROBE_CLASSES. */
static void probe_samples(const struct kn_model *m, float *x, int32_t *labels)
{
    const struct kn_shape input = kn_model_input_shape(m);
    const struct kn_stream stream = kn_stream_make(1, 2, 3, 4);
    const bool sequence = input.rank == 1;
    for (uint32_t i = 0; i < PROBE_SAMPLES * kn_shape_count(&input); i++) {
        const float unit = kn_unit_float(kn_stream_u32(stream, 0, i));
        x[i] = sequence ? (float)(uint32_t)(unit * PROBE_CLASSES) : unit - 0.5f;
    }
    for (uint32_t i = 0; i < PROBE_SAMPLES * kn_model_places(m); i++) {
        labels[i] = (int32_t)(i % PROBE_CLASSES);
    }
}

static enum kn_err probe_steps(const struct kn_model *m, struct kn_work *w, float *floats,
                               uint64_t *hash, struct kn_diag *diag)
{
    const size_t params_count = kn_model_param_count(m);
    const struct kn_optim optim = kn_optim_default(KN_OPTIM_ADAMW);
    float *params = floats;
    float *buffers = params + params_count;
    float *state = buffers + kn_model_buffer_count(m);
    float *vector = state + kn_optim_state_count(&optim, params_count);
    float *x = vector + kn_model_vector_count(m);
    int32_t labels[PROBE_SAMPLES * PROBE_PLACES];
    kn_model_init(m, 1, params, buffers);
    probe_samples(m, x, labels);
    for (uint32_t step = 0; step < PROBE_STEPS; step++) {
        const struct kn_batch batch = {
            .n = step % 2 == 0 ? PROBE_SAMPLES : PROBE_FEW, .x = x, .labels = labels};
        const struct kn_step_key key = {.seed = 1, .step = step, .rank = 0};
        const struct kn_update update = {
            .optim = &optim, .lr = 0.01f, .step = step, .batch = batch.n, .ranks = 1};
        TRY(kn_model_step(w, params, &batch, &key, vector, diag));
        *hash = hash_floats(*hash, vector, kn_model_vector_count(m));
        TRY(kn_model_apply(m, &update, vector, params, buffers, state, diag));
    }
    *hash = hash_floats(*hash, params, params_count);
    return KN_OK;
}

typedef enum kn_err (*probe_function)(struct kn_model *m, struct kn_diag *diag);

/* The steps of one model, hashed on. */
static enum kn_err probe_run(probe_function build, uint64_t *hash, struct kn_diag *diag)
{
    struct kn_model *m = NULL;
    struct kn_work *w = NULL;
    float *floats = NULL;
    TRY(kn_model_open(&m));
    enum kn_err err = build(m, diag);
    err = err == KN_OK ? kn_work_open(&w, m, kn_ops_cpu(), PROBE_SAMPLES, true) : err;
    if (err == KN_OK) {
        const size_t count = 3 * kn_model_param_count(m) + kn_model_buffer_count(m) +
                             kn_model_vector_count(m) + PROBE_SAMPLES * (size_t)PROBE_INPUTS;
        floats = calloc(count, sizeof *floats);
        err = floats == NULL ? KN_ERR_MEMORY : probe_steps(m, w, floats, hash, diag);
    }
    free(floats);
    kn_work_close(w);
    kn_model_close(m);
    return err;
}

enum kn_err kn_class(char text[KN_CLASS_BYTES], struct kn_diag *diag)
{
    uint64_t hash = 0xCBF29CE484222325u;
    TRY(probe_run(probe_build, &hash, diag));
    TRY(probe_run(probe_build_sequence, &hash, diag));
    const int length = snprintf(text, KN_CLASS_BYTES,
                                "kernels %d, %s, compiler %s\nblas %s\ncore %s\nprobe %016llx\n",
                                CLASS_VERSION, kn_ops_cpu()->name, __VERSION__, kn_blas_config(),
                                kn_blas_core(), (unsigned long long)hash);
    KN_CHECK(length > 0);
    if ((size_t)length >= KN_CLASS_BYTES) {
        return kn_fail(diag, KN_ERR_LIMIT, "the text of the arithmetic class has %d bytes", length);
    }
    return KN_OK;
}
