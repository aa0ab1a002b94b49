/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/graph/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *kind;
    const char *prefix; /* of a name made up here */
} ops[KN_OP_COUNT] = {
    [KN_OP_INPUT] = {"input", "input"},
    [KN_OP_DENSE] = {"dense", "dense"},
    [KN_OP_CONV2D] = {"conv2d", "conv"},
    [KN_OP_MAXPOOL] = {"maxpool", "maxpool"},
    [KN_OP_AVGPOOL] = {"avgpool", "avgpool"},
    [KN_OP_RELU] = {"relu", "relu"},
    [KN_OP_GELU] = {"gelu", "gelu"},
    [KN_OP_BATCHNORM] = {"batchnorm", "bn"},
    [KN_OP_DROPOUT] = {"dropout", "dropout"},
    [KN_OP_ADD] = {"add", "add"},
    [KN_OP_FLATTEN] = {"flatten", "flatten"},
    [KN_OP_EMBEDDING] = {"embedding", "embedding"},
    [KN_OP_POSITIONS] = {"positions", "positions"},
    [KN_OP_LAYERNORM] = {"layernorm", "ln"},
    [KN_OP_ATTENTION] = {"attention", "attention"},
};

struct kn_shape_text kn_shape_text(const struct kn_shape *s)
{
    struct kn_shape_text t;
    int length;
    if (s->rank == 1) {
        length = snprintf(t.text, sizeof t.text, "[%u]", s->dim[0]);
    } else if (s->rank == 2) {
        length = snprintf(t.text, sizeof t.text, "[%u places of %u]", s->dim[0], s->dim[1]);
    } else {
        length = snprintf(t.text, sizeof t.text, "[%u, %u, %u]", s->dim[0], s->dim[1], s->dim[2]);
    }
    KN_CHECK(length > 0 && (size_t)length < sizeof t.text);
    return t;
}

const char *kn_op_kind(enum kn_op op)
{
    KN_CHECK((uint32_t)op < KN_OP_COUNT);
    return ops[op].kind;
}

size_t kn_shape_count(const struct kn_shape *shape)
{
    return (size_t)shape->dim[0] * shape->dim[1] * shape->dim[2];
}

enum kn_err kn_model_open(struct kn_model **out)
{
    struct kn_model *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return KN_ERR_MEMORY;
    }
    *out = m;
    return KN_OK;
}

void kn_model_close(struct kn_model *m)
{
    free(m);
}

static bool name_taken(const struct kn_model *m, const char *name)
{
    for (uint32_t i = 0; i < m->node_count; i++) {
        if (strcmp(m->nodes[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static enum kn_err name_given(const struct kn_model *m, struct kn_node *node, const char *name,
                              struct kn_diag *diag)
{
    const size_t length = strlen(name);
    if (length > KN_NAME_BYTES - 16) {
        return kn_fail(diag, KN_ERR_LIMIT, "layer name \"%.20s...\" is longer than %u", name,
                       KN_NAME_BYTES - 16);
    }
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.-") != length) {
        return kn_fail(diag, KN_ERR_INVALID, "layer name \"%s\": expected only [a-z0-9_.-]", name);
    }
    if (name_taken(m, name)) {
        return kn_fail(diag, KN_ERR_INVALID, "layer name \"%s\" is given twice", name);
    }
    memcpy(node->name, name, length + 1);
    return KN_OK;
}

/* The first free "prefix1", "prefix2", ... counting the nodes of the kind. */
static void name_made(const struct kn_model *m, struct kn_node *node)
{
    uint32_t number = 1;
    for (uint32_t i = 0; i < m->node_count; i++) {
        number += m->nodes[i].op == node->op ? 1 : 0;
    }
    do {
        int length = snprintf(node->name, sizeof node->name, "%s%u", ops[node->op].prefix, number);
        KN_CHECK(length > 0 && (size_t)length < sizeof node->name);
        number++;
    } while (name_taken(m, node->name));
}

/* Fills in what every node has: operation, name, source. */
enum kn_err kn_node_start(const struct kn_model *m, struct kn_node *node, enum kn_op op,
                          uint32_t from, const char *name, struct kn_diag *diag)
{
    KN_CHECK(!m->sealed);
    *node = (struct kn_node){.op = op, .in = {from, 0}, .in_count = op == KN_OP_INPUT ? 0 : 1};
    if (m->node_count == KN_NODES_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT, "more than %u layers", KN_NODES_MAX);
    }
    if (op != KN_OP_INPUT) {
        KN_CHECK(from < m->node_count);
        node->shape = m->nodes[from].shape;
    }
    if (name != NULL && name[0] != '\0') {
        return name_given(m, node, name, diag);
    }
    name_made(m, node);
    return KN_OK;
}

static void tensor_add(struct kn_tensor_info *t, const char *layer, const char *part, uint32_t rank,
                       const uint32_t dim[4], size_t *total)
{
    *t = (struct kn_tensor_info){.rank = rank, .dim = {1, 1, 1, 1}, .offset = *total, .count = 1};
    int length = snprintf(t->name, sizeof t->name, "%s.%s", layer, part);
    KN_CHECK(length > 0 && (size_t)length < sizeof t->name);
    for (uint32_t i = 0; i < rank; i++) {
        t->dim[i] = dim[i];
        t->count *= dim[i];
    }
    *total += t->count;
}

/* weight, and bias when wanted, of node as it will be numbered. */
enum kn_err kn_node_params(struct kn_model *m, struct kn_node *node, uint32_t rank,
                           const uint32_t dim[4], bool bias, struct kn_diag *diag)
{
    size_t count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        count *= dim[i];
        if (count > KN_PARAMS_MAX) {
            break;
        }
    }
    if (count > KN_PARAMS_MAX || m->param_count + count + dim[0] > KN_PARAMS_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT,
                       "layer \"%s\": the model would have more than %u parameters", node->name,
                       KN_PARAMS_MAX);
    }
    node->param = m->param_tensors;
    node->param_count = bias ? 2 : 1;
    tensor_add(&m->params[m->param_tensors++], node->name, "weight", rank, dim, &m->param_count);
    if (bias) {
        tensor_add(&m->params[m->param_tensors++], node->name, "bias", 1, dim, &m->param_count);
    }
    return KN_OK;
}

uint32_t kn_node_commit(struct kn_model *m, const struct kn_node *node)
{
    for (uint32_t i = 0; i < node->in_count; i++) {
        m->nodes[node->in[i]].readers++;
    }
    m->nodes[m->node_count] = *node;
    return m->node_count++;
}

static enum kn_err shape_verify(const struct kn_shape *s, struct kn_diag *diag)
{
    if (s->rank != 1 && s->rank != 3) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "input: expected [features] or [channels, height, width], got %u dimensions",
                       s->rank);
    }
    for (uint32_t i = 0; i < s->rank; i++) {
        if (s->dim[i] < 1 || s->dim[i] > KN_DIM_MAX) {
            return kn_fail(diag, KN_ERR_LIMIT, "input: dimension %u is %u, expected 1 to %u", i,
                           s->dim[i], KN_DIM_MAX);
        }
    }
    if (kn_shape_count(s) > KN_VALUES_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT, "input: more than %u values a sample", KN_VALUES_MAX);
    }
    return KN_OK;
}

enum kn_err kn_model_input(struct kn_model *m, const struct kn_shape *shape, uint32_t *node,
                           struct kn_diag *diag)
{
    KN_CHECK(m->node_count == 0);
    struct kn_node made;
    enum kn_err err = kn_node_start(m, &made, KN_OP_INPUT, 0, "input", diag);
    if (err == KN_OK) {
        err = shape_verify(shape, diag);
    }
    if (err != KN_OK) {
        return err;
    }
    made.shape = (struct kn_shape){.rank = shape->rank, .dim = {shape->dim[0], 1, 1}};
    if (shape->rank == 3) {
        made.shape = *shape;
    }
    *node = kn_node_commit(m, &made);
    return KN_OK;
}

enum kn_err kn_model_dense(struct kn_model *m, uint32_t from, const char *name, uint32_t units,
                           bool no_bias, uint32_t *node, struct kn_diag *diag)
{
    struct kn_node made;
    enum kn_err err = kn_node_start(m, &made, KN_OP_DENSE, from, name, diag);
    if (err != KN_OK) {
        return err;
    }
    if (made.shape.rank == 3) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "layer \"%s\": dense expects a flat input, got %s from \"%s\"; put flatten "
                       "before it",
                       made.name, kn_shape_text(&made.shape).text, m->nodes[from].name);
    }
    if (units < 1 || units > KN_DIM_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT, "layer \"%s\": %u units, expected 1 to %u", made.name,
                       units, KN_DIM_MAX);
    }
    const uint32_t in = kn_shape_width(&made.shape);
    const uint32_t dim[4] = {units, in, 1, 1};
    made.macs = (uint64_t)units * in * kn_shape_places(&made.shape);
    made.shape.dim[made.shape.rank - 1] = units;
    err = kn_node_output_verify(&made, diag);
    if (err != KN_OK) {
        return err;
    }
    err = kn_node_params(m, &made, 2, dim, !no_bias, diag);
    if (err != KN_OK) {
        return err;
    }
    *node = kn_node_commit(m, &made);
    return KN_OK;
}

/* What conv2d and the pools share. */
struct window_spec {
    const uint32_t *kernel;
    uint32_t stride[2];
    enum kn_padding padding;
    const uint32_t *pad; /* top, bottom, left, right */
};

/* One axis: extent and padding before; 0 in *out when the kernel does not fit. */
static void window_axis(uint32_t in, uint32_t kernel, uint32_t stride, enum kn_padding padding,
                        const uint32_t pad[2], uint32_t *out, uint32_t *before)
{
    if (padding == KN_PADDING_SAME) {
        *out = (in + stride - 1) / stride;
        const uint32_t span = (*out - 1) * stride + kernel;
        *before = span > in ? (span - in) / 2 : 0;
        return;
    }
    *before = padding == KN_PADDING_EXPLICIT ? pad[0] : 0;
    const uint32_t after = padding == KN_PADDING_EXPLICIT ? pad[1] : 0;
    const uint32_t padded = in + *before + after;
    *out = padded >= kernel ? (padded - kernel) / stride + 1 : 0;
}

static enum kn_err window_infer(const struct kn_node *node, const char *from,
                                const struct window_spec *spec, struct kn_window *win,
                                struct kn_diag *diag)
{
    if (node->shape.rank != 3) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "layer \"%s\": %s expects [channels, height, width], got %s from \"%s\"",
                       node->name, kn_op_kind(node->op), kn_shape_text(&node->shape).text, from);
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (spec->kernel[i] < 1 || spec->kernel[i] > KN_DIM_MAX || spec->stride[i] > KN_DIM_MAX) {
            return kn_fail(diag, KN_ERR_INVALID,
                           "layer \"%s\": kernel %ux%u, stride %ux%u: expected 1 to %u", node->name,
                           spec->kernel[0], spec->kernel[1], spec->stride[0], spec->stride[1],
                           KN_DIM_MAX);
        }
    }
    for (uint32_t i = 0; i < 4 && spec->padding == KN_PADDING_EXPLICIT; i++) {
        if (spec->pad[i] >= spec->kernel[i / 2]) {
            return kn_fail(diag, KN_ERR_INVALID,
                           "layer \"%s\": padding %u is not below the kernel %u", node->name,
                           spec->pad[i], spec->kernel[i / 2]);
        }
    }
    *win = (struct kn_window){.in_h = node->shape.dim[1],
                              .in_w = node->shape.dim[2],
                              .kernel_h = spec->kernel[0],
                              .kernel_w = spec->kernel[1],
                              .stride_h = spec->stride[0],
                              .stride_w = spec->stride[1]};
    window_axis(win->in_h, win->kernel_h, win->stride_h, spec->padding, spec->pad, &win->out_h,
                &win->pad_top);
    window_axis(win->in_w, win->kernel_w, win->stride_w, spec->padding, spec->pad + 2, &win->out_w,
                &win->pad_left);
    if (win->out_h == 0 || win->out_w == 0) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "layer \"%s\": kernel %ux%u is larger than its padded input %s from \"%s\"",
                       node->name, win->kernel_h, win->kernel_w, kn_shape_text(&node->shape).text,
                       from);
    }
    return KN_OK;
}

/* Padding can make an output larger than its input, layer after layer. */
enum kn_err kn_node_output_verify(const struct kn_node *node, struct kn_diag *diag)
{
    const struct kn_shape *s = &node->shape;
    if (s->dim[1] > KN_DIM_MAX || s->dim[2] > KN_DIM_MAX || kn_shape_count(s) > KN_VALUES_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT,
                       "layer \"%s\": output %s, expected at most %u a dimension and %u values",
                       node->name, kn_shape_text(s).text, KN_DIM_MAX, KN_VALUES_MAX);
    }
    return KN_OK;
}

enum kn_err kn_model_conv2d(struct kn_model *m, uint32_t from, const char *name,
                            const struct kn_conv2d *conv, uint32_t *node, struct kn_diag *diag)
{
    struct kn_node made;
    enum kn_err err = kn_node_start(m, &made, KN_OP_CONV2D, from, name, diag);
    if (err != KN_OK) {
        return err;
    }
    const struct window_spec spec = {.kernel = conv->kernel,
                                     .stride = {conv->stride[0] == 0 ? 1 : conv->stride[0],
                                                conv->stride[1] == 0 ? 1 : conv->stride[1]},
                                     .padding = conv->padding,
                                     .pad = conv->pad};
    struct kn_window *win = &made.conv.win;
    err = window_infer(&made, m->nodes[from].name, &spec, win, diag);
    if (err != KN_OK) {
        return err;
    }
    if (conv->filters < 1 || conv->filters > KN_DIM_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT, "layer \"%s\": %u filters, expected 1 to %u", made.name,
                       conv->filters, KN_DIM_MAX);
    }
    made.conv.in_c = made.shape.dim[0];
    made.conv.out_c = conv->filters;
    const uint32_t dim[4] = {conv->filters, made.conv.in_c, win->kernel_h, win->kernel_w};
    made.macs = (uint64_t)win->out_h * win->out_w * conv->filters * made.conv.in_c * win->kernel_h *
                win->kernel_w;
    made.shape = (struct kn_shape){.rank = 3, .dim = {conv->filters, win->out_h, win->out_w}};
    err = kn_node_output_verify(&made, diag);
    if (err != KN_OK) {
        return err;
    }
    err = kn_node_params(m, &made, 4, dim, !conv->no_bias, diag);
    if (err != KN_OK) {
        return err;
    }
    *node = kn_node_commit(m, &made);
    return KN_OK;
}

static enum kn_err pool_add(struct kn_model *m, enum kn_op op, uint32_t from, const char *name,
                            const struct kn_pool2d *pool, uint32_t *node, struct kn_diag *diag)
{
    struct kn_node made;
    enum kn_err err = kn_node_start(m, &made, op, from, name, diag);
    if (err != KN_OK) {
        return err;
    }
    const struct window_spec spec = {
        .kernel = pool->kernel,
        .stride = {pool->stride[0] == 0 ? pool->kernel[0] : pool->stride[0],
                   pool->stride[1] == 0 ? pool->kernel[1] : pool->stride[1]},
        .padding = pool->padding,
        .pad = pool->pad};
    struct kn_window *win = &made.pool.win;
    err = window_infer(&made, m->nodes[from].name, &spec, win, diag);
    if (err != KN_OK) {
        return err;
    }
    if ((uint64_t)win->kernel_h * win->kernel_w > KN_WINDOW_TAPS_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT, "layer \"%s\": window %ux%u has more than %u values",
                       made.name, win->kernel_h, win->kernel_w, KN_WINDOW_TAPS_MAX);
    }
    made.pool.channels = made.shape.dim[0];
    made.shape.dim[1] = win->out_h;
    made.shape.dim[2] = win->out_w;
    err = kn_node_output_verify(&made, diag);
    if (err != KN_OK) {
        return err;
    }
    *node = kn_node_commit(m, &made);
    return KN_OK;
}

enum kn_err kn_model_maxpool(struct kn_model *m, uint32_t from, const char *name,
                             const struct kn_pool2d *pool, uint32_t *node, struct kn_diag *diag)
{
    return pool_add(m, KN_OP_MAXPOOL, from, name, pool, node, diag);
}

enum kn_err kn_model_avgpool(struct kn_model *m, uint32_t from, const char *name,
                             const struct kn_pool2d *pool, uint32_t *node, struct kn_diag *diag)
{
    return pool_add(m, KN_OP_AVGPOOL, from, name, pool, node, diag);
}

/* Layers without parameters that keep the shape. */
static enum kn_err plain_add(struct kn_model *m, enum kn_op op, uint32_t from, const char *name,
                             uint32_t *node, struct kn_diag *diag)
{
    struct kn_node made;
    const enum kn_err err = kn_node_start(m, &made, op, from, name, diag);
    if (err != KN_OK) {
        return err;
    }
    *node = kn_node_commit(m, &made);
    return KN_OK;
}

enum kn_err kn_model_relu(struct kn_model *m, uint32_t from, const char *name, uint32_t *node,
                          struct kn_diag *diag)
{
    return plain_add(m, KN_OP_RELU, from, name, node, diag);
}

enum kn_err kn_model_gelu(struct kn_model *m, uint32_t from, const char *name, uint32_t *node,
                          struct kn_diag *diag)
{
    return plain_add(m, KN_OP_GELU, from, name, node, diag);
}

enum kn_err kn_model_batchnorm(struct kn_model *m, uint32_t from, const char *name, float eps,
                               float momentum, uint32_t *node, struct kn_diag *diag)
{
    struct kn_node made;
    enum kn_err err = kn_node_start(m, &made, KN_OP_BATCHNORM, from, name, diag);
    if (err != KN_OK) {
        return err;
    }
    if (!(eps > 0.0f) || !(eps < 1.0f)) {
        return kn_fail(diag, KN_ERR_INVALID, "layer \"%s\": eps %g, expected between 0 and 1",
                       made.name, (double)eps);
    }
    if (!(momentum > 0.0f) || !(momentum <= 1.0f)) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "layer \"%s\": momentum %g, expected above 0 and at most 1", made.name,
                       (double)momentum);
    }
    if (made.shape.rank == 2) {
        return kn_fail(
            diag, KN_ERR_INVALID,
            "layer \"%s\": batchnorm expects images or a flat input, got %s from \"%s\"; "
            "layernorm takes sequences",
            made.name, kn_shape_text(&made.shape).text, m->nodes[from].name);
    }
    made.eps = eps;
    made.momentum = momentum;
    const uint32_t dim[4] = {made.shape.dim[0], 1, 1, 1};
    err = kn_node_params(m, &made, 1, dim, true, diag);
    if (err != KN_OK) {
        return err;
    }
    made.buffer = m->buffer_tensors;
    tensor_add(&m->buffers[m->buffer_tensors++], made.name, "running_mean", 1, dim,
               &m->buffer_count);
    tensor_add(&m->buffers[m->buffer_tensors++], made.name, "running_var", 1, dim,
               &m->buffer_count);
    *node = kn_node_commit(m, &made);
    return KN_OK;
}

enum kn_err kn_model_dropout(struct kn_model *m, uint32_t from, const char *name, float rate,
                             uint32_t *node, struct kn_diag *diag)
{
    struct kn_node made;
    const enum kn_err err = kn_node_start(m, &made, KN_OP_DROPOUT, from, name, diag);
    if (err != KN_OK) {
        return err;
    }
    if (!(rate >= 0.0f) || !(rate < 1.0f)) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "layer \"%s\": rate %g, expected at least 0 and below 1", made.name,
                       (double)rate);
    }
    made.rate = rate;
    *node = kn_node_commit(m, &made);
    return KN_OK;
}

enum kn_err kn_model_add(struct kn_model *m, uint32_t a, uint32_t b, const char *name,
                         uint32_t *node, struct kn_diag *diag)
{
    struct kn_node made;
    const enum kn_err err = kn_node_start(m, &made, KN_OP_ADD, a, name, diag);
    if (err != KN_OK) {
        return err;
    }
    KN_CHECK(b < m->node_count);
    const struct kn_shape *other = &m->nodes[b].shape;
    if (made.shape.rank != other->rank || memcmp(made.shape.dim, other->dim, sizeof other->dim)) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "layer \"%s\": add expects equal shapes, got %s from \"%s\" and %s from "
                       "\"%s\"",
                       made.name, kn_shape_text(&made.shape).text, m->nodes[a].name,
                       kn_shape_text(other).text, m->nodes[b].name);
    }
    made.in[1] = b;
    made.in_count = 2;
    *node = kn_node_commit(m, &made);
    return KN_OK;
}

enum kn_err kn_model_flatten(struct kn_model *m, uint32_t from, const char *name, uint32_t *node,
                             struct kn_diag *diag)
{
    struct kn_node made;
    const enum kn_err err = kn_node_start(m, &made, KN_OP_FLATTEN, from, name, diag);
    if (err != KN_OK) {
        return err;
    }
    const size_t count = kn_shape_count(&made.shape);
    KN_CHECK(count <= KN_VALUES_MAX);
    made.shape = (struct kn_shape){.rank = 1, .dim = {(uint32_t)count, 1, 1}};
    *node = kn_node_commit(m, &made);
    return KN_OK;
}

enum kn_err kn_model_seal(struct kn_model *m, uint32_t node, enum kn_loss loss,
                          struct kn_diag *diag)
{
    KN_CHECK(!m->sealed);
    KN_CHECK(node < m->node_count);
    KN_CHECK(loss == KN_LOSS_CROSS_ENTROPY || loss == KN_LOSS_MSE);
    const struct kn_node *out = &m->nodes[node];
    if (out->shape.rank == 3 || (out->shape.rank == 2 && loss == KN_LOSS_MSE)) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "the last layer \"%s\" gives %s, expected [classes]; put flatten before the "
                       "end",
                       out->name, kn_shape_text(&out->shape).text);
    }
    if (loss == KN_LOSS_CROSS_ENTROPY && kn_shape_width(&out->shape) < 2) {
        return kn_fail(
            diag, KN_ERR_INVALID,
            "the last layer \"%s\" gives 1 value, cross-entropy expects at least 2 classes",
            out->name);
    }
    if (m->param_count == 0) {
        return kn_fail(diag, KN_ERR_INVALID, "the model has no parameter to train");
    }
    for (uint32_t i = 0; i < m->node_count; i++) {
        if ((i == node) != (m->nodes[i].readers == 0)) {
            return kn_fail(diag, KN_ERR_INVALID,
                           i == node ? "the last layer \"%s\" is read by another layer"
                                     : "no layer reads the output of \"%s\"",
                           m->nodes[i].name);
        }
    }
    m->nodes[node].readers = 1;
    m->output = node;
    m->loss = loss;
    m->sealed = true;
    return KN_OK;
}
