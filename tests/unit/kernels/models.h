/* SPDX-License-Identifier: Apache-2.0
 *
 * Models, samples and parameters that tests of whole models share. */
#ifndef MODELS_H
#define MODELS_H

#include "kernels/graph/graph.h"
#include "kernels/philox.h"
#include "kept.h"
#include "tst.h"

#include <string.h>

static struct kn_diag diag;

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != KN_OK) {                                                                     \
            tst_fail(__FILE__, __LINE__, "%s: %s", #call, diag.text);                              \
        }                                                                                          \
    } while (0)

static const struct kn_pool2d pool2 = {.kernel = {2, 2}};

static inline struct kn_conv2d conv_of(uint32_t filters, uint32_t kernel, uint32_t stride)
{
    return (struct kn_conv2d){.filters = filters,
                              .kernel = {kernel, kernel},
                              .stride = {stride, stride},
                              .padding = KN_PADDING_SAME};
}

/* The network of the digits example. */
static inline struct kn_model *digits_model(void)
{
    struct kn_model *m;
    uint32_t at;
    const struct kn_conv2d first = conv_of(8, 5, 1);
    const struct kn_conv2d second = conv_of(16, 5, 1);
    OK(kn_model_open(&m));
    kept(m);
    OK(kn_model_input(m, &(struct kn_shape){3, {1, 28, 28}}, &at, &diag));
    OK(kn_model_conv2d(m, at, NULL, &first, &at, &diag));
    OK(kn_model_relu(m, at, NULL, &at, &diag));
    OK(kn_model_maxpool(m, at, NULL, &pool2, &at, &diag));
    OK(kn_model_conv2d(m, at, NULL, &second, &at, &diag));
    OK(kn_model_relu(m, at, NULL, &at, &diag));
    OK(kn_model_maxpool(m, at, NULL, &pool2, &at, &diag));
    OK(kn_model_flatten(m, at, NULL, &at, &diag));
    OK(kn_model_dense(m, at, NULL, 64, false, &at, &diag));
    OK(kn_model_relu(m, at, NULL, &at, &diag));
    OK(kn_model_dense(m, at, NULL, 10, false, &at, &diag));
    OK(kn_model_seal(m, at, KN_LOSS_CROSS_ENTROPY, &diag));
    return m;
}

/* Every operation, two residual sums (one of a node with itself), a node with three readers. */
static inline struct kn_model *wild_model(enum kn_loss loss)
{
    struct kn_model *m;
    uint32_t in;
    uint32_t at;
    uint32_t left;
    uint32_t right;
    const struct kn_conv2d first = conv_of(5, 3, 1);
    const struct kn_conv2d branch = conv_of(5, 3, 1);
    const struct kn_conv2d strided = conv_of(6, 3, 2);
    const struct kn_pool2d overlapping = {
        .kernel = {3, 3}, .stride = {2, 2}, .padding = KN_PADDING_SAME};
    OK(kn_model_open(&m));
    kept(m);
    OK(kn_model_input(m, &(struct kn_shape){3, {2, 9, 7}}, &in, &diag));
    OK(kn_model_conv2d(m, in, NULL, &first, &at, &diag));
    OK(kn_model_batchnorm(m, at, NULL, 1e-5f, 0.1f, &at, &diag));
    OK(kn_model_relu(m, at, NULL, &at, &diag));
    OK(kn_model_conv2d(m, at, NULL, &branch, &left, &diag));
    OK(kn_model_gelu(m, left, NULL, &left, &diag));
    OK(kn_model_conv2d(m, at, NULL, &branch, &right, &diag));
    OK(kn_model_dropout(m, right, NULL, 0.25f, &right, &diag));
    OK(kn_model_add(m, left, right, NULL, &left, &diag));
    OK(kn_model_add(m, left, at, NULL, &at, &diag));
    OK(kn_model_add(m, at, at, NULL, &at, &diag));
    OK(kn_model_relu(m, at, NULL, &at, &diag));
    OK(kn_model_maxpool(m, at, NULL, &overlapping, &at, &diag));
    OK(kn_model_conv2d(m, at, NULL, &strided, &at, &diag));
    OK(kn_model_avgpool(m, at, NULL, &pool2, &at, &diag));
    OK(kn_model_flatten(m, at, NULL, &at, &diag));
    OK(kn_model_batchnorm(m, at, NULL, 1e-5f, 0.2f, &at, &diag));
    OK(kn_model_dense(m, at, NULL, 9, false, &at, &diag));
    OK(kn_model_gelu(m, at, NULL, &at, &diag));
    OK(kn_model_dense(m, at, NULL, 4, true, &at, &diag));
    OK(kn_model_seal(m, at, loss, &diag));
    return m;
}

#define TEXT_VOCAB 11u

/* Two blocks of a transformer as they are usually built, on `places` numbers. */
static inline struct kn_model *text_model(uint32_t places)
{
    struct kn_model *m;
    uint32_t at;
    uint32_t back;
    const struct kn_attention heads = {.heads = 2, .causal = true};
    OK(kn_model_open(&m));
    kept(m);
    OK(kn_model_input(m, &(struct kn_shape){1, {places, 1, 1}}, &at, &diag));
    OK(kn_model_embedding(m, at, NULL, TEXT_VOCAB, 10, &at, &diag));
    OK(kn_model_positions(m, at, NULL, &at, &diag));
    for (uint32_t block = 0; block < 2; block++) {
        back = at;
        OK(kn_model_layernorm(m, at, NULL, 1e-5f, &at, &diag));
        OK(kn_model_attention(m, at, NULL, &heads, &at, &diag));
        OK(kn_model_dropout(m, at, NULL, 0.1f, &at, &diag));
        OK(kn_model_add(m, at, back, NULL, &at, &diag));
        back = at;
        OK(kn_model_layernorm(m, at, NULL, 1e-5f, &at, &diag));
        OK(kn_model_dense(m, at, NULL, 23, false, &at, &diag));
        OK(kn_model_gelu(m, at, NULL, &at, &diag));
        OK(kn_model_dense(m, at, NULL, 10, false, &at, &diag));
        OK(kn_model_add(m, at, back, NULL, &at, &diag));
    }
    OK(kn_model_layernorm(m, at, NULL, 1e-5f, &at, &diag));
    OK(kn_model_dense(m, at, NULL, TEXT_VOCAB, true, &at, &diag));
    OK(kn_model_seal(m, at, KN_LOSS_CROSS_ENTROPY, &diag));
    return m;
}

struct data {
    float *x;
    float *targets;
    int32_t *labels;
};

static inline struct data data_of(const struct kn_model *m, uint32_t n)
{
    const struct kn_shape in = kn_model_input_shape(m);
    const size_t inputs = kn_shape_count(&in);
    const uint32_t outputs = kn_model_outputs(m);
    const size_t labels = (size_t)n * kn_model_places(m);
    struct data d = {.x = kept_bytes(n * inputs * sizeof(float)),
                     .targets = kept_bytes((size_t)n * outputs * sizeof(float)),
                     .labels = kept_bytes(labels * sizeof(int32_t))};
    const struct kn_stream s = kn_stream_make(tst_seed(), 1, 2, 3);
    struct kn_layer_info first;
    kn_model_layer(m, 0, &first);
    const bool numbers = strcmp(first.kind, "embedding") == 0;
    for (size_t i = 0; i < n * inputs; i++) {
        const float unit = kn_unit_float(kn_stream_u32(s, 0, (uint32_t)i));
        d.x[i] = numbers ? (float)(uint32_t)(unit * TEXT_VOCAB) : 2 * unit - 1;
    }
    for (size_t i = 0; i < (size_t)n * outputs; i++) {
        d.targets[i] = kn_unit_float(kn_stream_u32(s, 1, (uint32_t)i));
    }
    for (uint32_t i = 0; i < labels; i++) {
        d.labels[i] = (int32_t)(kn_stream_u32(s, 2, i) % outputs);
    }
    return d;
}

static inline double *doubles(const float *at, size_t count)
{
    double *out = kept_bytes(count * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        out[i] = (double)at[i];
    }
    return out;
}

static inline float *init_params(const struct kn_model *m, float **buffers)
{
    float *params = kept_bytes(kn_model_param_count(m) * sizeof *params);
    *buffers = kept_bytes((kn_model_buffer_count(m) + 1) * sizeof **buffers);
    kn_model_init(m, 5, params, *buffers);
    return params;
}

#endif
