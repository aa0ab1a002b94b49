/* SPDX-License-Identifier: Apache-2.0
 *
 * The arithmetic class: what decides the bits of a training step, and the bits of one. */
#include "kernels/cpu/blas.h"
#include "kernels/graph/graph.h"
#include "kernels/kn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLASS_VERSION 1 /* raise it where a change of these kernels may change bits */

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

/* Every operation that has arithmetic of its own. */
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
    int32_t labels[PROBE_SAMPLES];
    kn_model_init(m, 1, params, buffers);
    const struct kn_stream stream = kn_stream_make(1, 2, 3, 4);
    for (uint32_t i = 0; i < PROBE_SAMPLES * PROBE_INPUTS; i++) {
        x[i] = kn_unit_float(kn_stream_u32(stream, 0, i)) - 0.5f;
    }
    for (uint32_t i = 0; i < PROBE_SAMPLES; i++) {
        labels[i] = (int32_t)(i % PROBE_CLASSES);
    }
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

static enum kn_err probe_run(struct kn_model *m, uint64_t *hash, struct kn_diag *diag)
{
    TRY(probe_build(m, diag));
    struct kn_work *w = NULL;
    TRY(kn_work_open(&w, m, kn_ops_cpu(), PROBE_SAMPLES, true));
    const size_t count = 3 * kn_model_param_count(m) + kn_model_buffer_count(m) +
                         kn_model_vector_count(m) + PROBE_SAMPLES * (size_t)PROBE_INPUTS;
    float *floats = calloc(count, sizeof *floats);
    *hash = 0xCBF29CE484222325u;
    const enum kn_err err = floats == NULL ? KN_ERR_MEMORY : probe_steps(m, w, floats, hash, diag);
    free(floats);
    kn_work_close(w);
    return err;
}

enum kn_err kn_class(char text[KN_CLASS_BYTES], struct kn_diag *diag)
{
    struct kn_model *m = NULL;
    uint64_t hash = 0;
    TRY(kn_model_open(&m));
    const enum kn_err err = probe_run(m, &hash, diag);
    kn_model_close(m);
    if (err != KN_OK) {
        return err;
    }
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
