/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/graph/model.h"

#include "kernels/math.h"
#include "kernels/philox.h"

#include <math.h>
#include <string.h>

/* Purpose of the initialisation's random numbers: no training step has this number. */
#define INIT_STREAM 0x696E6974FFFFFFFFu
#define TABLE_BOUND 0.05f /* of what is learnt for each number and place */

struct kn_shape kn_model_input_shape(const struct kn_model *m)
{
    KN_CHECK(m->node_count >= 1);
    return m->nodes[0].shape;
}

struct kn_shape kn_model_output_shape(const struct kn_model *m)
{
    KN_CHECK(m->sealed);
    return m->nodes[m->output].shape;
}

uint32_t kn_model_places(const struct kn_model *m)
{
    const struct kn_shape output = kn_model_output_shape(m);
    return kn_shape_places(&output);
}

uint32_t kn_model_outputs(const struct kn_model *m)
{
    const struct kn_shape output = kn_model_output_shape(m);
    return kn_shape_width(&output);
}

size_t kn_model_param_count(const struct kn_model *m)
{
    return m->param_count;
}

size_t kn_model_buffer_count(const struct kn_model *m)
{
    return m->buffer_count;
}

size_t kn_model_vector_count(const struct kn_model *m)
{
    return m->param_count + m->buffer_count + 2;
}

uint32_t kn_model_param_tensors(const struct kn_model *m)
{
    return m->param_tensors;
}

uint32_t kn_model_buffer_tensors(const struct kn_model *m)
{
    return m->buffer_tensors;
}

uint32_t kn_model_layers(const struct kn_model *m)
{
    KN_CHECK(m->node_count >= 1);
    return m->node_count - 1;
}

const struct kn_tensor_info *kn_model_param(const struct kn_model *m, uint32_t index)
{
    KN_CHECK(index < m->param_tensors);
    return &m->params[index];
}

const struct kn_tensor_info *kn_model_buffer(const struct kn_model *m, uint32_t index)
{
    KN_CHECK(index < m->buffer_tensors);
    return &m->buffers[index];
}

void kn_model_layer(const struct kn_model *m, uint32_t index, struct kn_layer_info *out)
{
    KN_CHECK(index + 1 < m->node_count);
    const struct kn_node *node = &m->nodes[index + 1];
    *out = (struct kn_layer_info){
        .kind = kn_op_kind(node->op), .shape = node->shape, .params = 0, .macs = node->macs};
    memcpy(out->name, node->name, sizeof out->name);
    for (uint32_t i = 0; i < node->param_count; i++) {
        out->params += m->params[node->param + i].count;
    }
}

static void fill(float *at, size_t count, float value)
{
    for (size_t i = 0; i < count; i++) {
        at[i] = value;
    }
}

static void init_uniform(float *at, const struct kn_tensor_info *t, float bound, uint64_t seed,
                         uint32_t index)
{
    const struct kn_stream stream = kn_stream_make(seed, INIT_STREAM, 0, index);
    for (size_t i = 0; i < t->count; i++) {
        const float unit = kn_unit_float(kn_stream_u32(stream, 0, (uint32_t)i));
        at[i] = (2.0f * unit - 1.0f) * bound;
    }
}

void kn_model_init(const struct kn_model *m, uint64_t seed, float *params, float *buffers)
{
    KN_CHECK(m->sealed);
    for (uint32_t i = 0; i < m->node_count; i++) {
        const struct kn_node *node = &m->nodes[i];
        if (node->param_count == 0) {
            continue;
        }
        const struct kn_tensor_info *weight = &m->params[node->param];
        const size_t fan_in = weight->count / weight->dim[0];
        const bool table = node->op == KN_OP_EMBEDDING || node->op == KN_OP_POSITIONS;
        if (node->op == KN_OP_BATCHNORM || node->op == KN_OP_LAYERNORM) {
            fill(params + weight->offset, weight->count, 1.0f);
        } else {
            init_uniform(params + weight->offset, weight,
                         table ? TABLE_BOUND : (float)sqrt(6.0 / (double)fan_in), seed,
                         node->param);
        }
        if (node->op == KN_OP_BATCHNORM) {
            fill(buffers + m->buffers[node->buffer].offset, weight->count, 0.0f);
            fill(buffers + m->buffers[node->buffer + 1].offset, weight->count, 1.0f);
        }
        if (node->param_count == 2) {
            fill(params + weight[1].offset, weight[1].count, 0.0f);
        }
    }
}

static bool all_finite(const float *at, size_t count)
{
    uint32_t bad = 0; /* no early exit: a loop of integers vectorises */
    for (size_t i = 0; i < count; i++) {
        bad |= (kn_f32_bits(at[i]) & 0x7F800000u) == 0x7F800000u ? 1u : 0u;
    }
    return bad == 0;
}

static enum kn_err tensors_verify(const struct kn_tensor_info *tensors, uint32_t count,
                                  const float *at, const char *what, struct kn_diag *diag)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct kn_tensor_info *t = &tensors[i];
        for (size_t k = 0; k < t->count; k++) {
            if (!isfinite(at[t->offset + k])) {
                return kn_fail(diag, KN_ERR_NOT_FINITE, "%s%s[%zu] is not finite", what, t->name,
                               k);
            }
        }
    }
    return KN_OK;
}

enum kn_err kn_model_verify(const struct kn_model *m, const float *params, const float *buffers,
                            struct kn_diag *diag)
{
    const enum kn_err err = tensors_verify(m->params, m->param_tensors, params, "", diag);
    return err != KN_OK ? err : tensors_verify(m->buffers, m->buffer_tensors, buffers, "", diag);
}

/* Running statistics of one batch normalisation from the sums over ranks of (mean, mean of
 * squares). */
static void apply_statistics(const struct kn_model *m, const struct kn_node *node,
                             const struct kn_update *u, const float *sums, float *buffers)
{
    const struct kn_tensor_info *mean = &m->buffers[node->buffer];
    const struct kn_tensor_info *var = &m->buffers[node->buffer + 1];
    const struct kn_shape *shape = &node->shape;
    const double values = (double)u->batch * shape->dim[1] * shape->dim[2];
    const double unbiased = values > 1.0 ? values / (values - 1.0) : 1.0;
    const double momentum = (double)node->momentum;
    for (size_t c = 0; c < mean->count; c++) {
        const double batch_mean = (double)sums[mean->offset + c] / u->ranks;
        const double squares = (double)sums[var->offset + c] / u->ranks;
        const double spread = squares - batch_mean * batch_mean;
        const double batch_var = (spread > 0.0 ? spread : 0.0) * unbiased;
        float *at_mean = &buffers[mean->offset + c];
        float *at_var = &buffers[var->offset + c];
        *at_mean = (float)((1.0 - momentum) * (double)*at_mean + momentum * batch_mean);
        *at_var = (float)((1.0 - momentum) * (double)*at_var + momentum * batch_var);
    }
}

enum kn_err kn_model_apply(const struct kn_model *m, const struct kn_update *u, const float *vector,
                           float *params, float *buffers, float *state, struct kn_diag *diag)
{
    KN_CHECK(m->sealed);
    KN_CHECK(u->batch >= 1);
    KN_CHECK(u->ranks >= 1);
    kn_fp_enter();
    const size_t tail = m->param_count + m->buffer_count;
    if (!all_finite(vector + tail, 1)) {
        return kn_fail(diag, KN_ERR_NOT_FINITE, "the loss is not finite");
    }
    if (!all_finite(vector, m->param_count)) {
        return tensors_verify(m->params, m->param_tensors, vector, "gradient of ", diag);
    }
    if (!all_finite(vector + m->param_count, m->buffer_count)) {
        return tensors_verify(m->buffers, m->buffer_tensors, vector + m->param_count,
                              "batch statistics of ", diag);
    }
    for (uint32_t i = 0; i < m->node_count; i++) {
        if (m->nodes[i].op == KN_OP_BATCHNORM) {
            apply_statistics(m, &m->nodes[i], u, vector + m->param_count, buffers);
        }
    }
    kn_optim_update(u->optim, u->lr, u->step, params, vector, 1.0f / (float)u->batch, state,
                    m->param_count);
    return KN_OK;
}
