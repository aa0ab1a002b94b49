/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/graph/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct kn_work {
    const struct kn_model *model;
    const struct kn_ops *ops;
    uint32_t n_max;
    bool train;
    unsigned char *arena;
    struct kn_plan plan;
    /* Where a table with memory of its own keeps what callers give and get: offsets in the arena,
     * behind the plan's slots. */
    size_t params_at, buffers_at, out_at;
    size_t bytes; /* of the arena */
};

/* One pass over the graph. params, buffers and out lie in the table's memory. */
struct pass {
    struct kn_work *w;
    const unsigned char *params;
    const unsigned char *given;    /* the parameters in the host's memory */
    const unsigned char *buffers;  /* evaluation only */
    unsigned char *out;            /* training only */
    const struct kn_step_key *key; /* training only */
    uint32_t n;
    uint32_t bad; /* task whose output is the first that is not finite, when looked for */
};

static size_t vector_bytes(const struct kn_work *w, size_t elements)
{
    return (elements * w->ops->elem_size + KN_ALIGN - 1) / KN_ALIGN * KN_ALIGN;
}

static void work_plan(struct kn_work *w)
{
    kn_plan_make(&w->plan, w->model, w->ops, w->n_max, w->train);
    w->bytes = w->plan.bytes;
    if (w->ops->memory != NULL) {
        const struct kn_model *m = w->model;
        w->params_at = w->bytes;
        w->buffers_at = w->params_at + vector_bytes(w, m->param_count);
        w->out_at = w->buffers_at + vector_bytes(w, m->buffer_count);
        w->bytes = w->out_at + (w->train ? vector_bytes(w, kn_model_vector_count(m)) : 0);
    }
}

size_t kn_work_bytes(const struct kn_model *m, const struct kn_ops *ops, uint32_t n_max, bool train)
{
    struct kn_work *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return SIZE_MAX;
    }
    *w = (struct kn_work){.model = m, .ops = ops, .n_max = n_max, .train = train};
    work_plan(w);
    const size_t bytes = w->bytes + sizeof *w;
    free(w);
    return bytes;
}

static unsigned char *arena_take(const struct kn_ops *ops, size_t bytes)
{
    if (ops->memory != NULL) {
        return ops->memory->take(bytes);
    }
    unsigned char *at = aligned_alloc(KN_ALIGN, bytes);
    return at == NULL ? NULL : memset(at, 0, bytes);
}

enum kn_err kn_work_open(struct kn_work **out, const struct kn_model *m, const struct kn_ops *ops,
                         uint32_t n_max, bool train)
{
    KN_CHECK(n_max >= 1);
    KN_CHECK(n_max <= KN_SAMPLES_MAX);
    struct kn_work *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return KN_ERR_MEMORY;
    }
    *w = (struct kn_work){.model = m, .ops = ops, .n_max = n_max, .train = train};
    work_plan(w);
    w->arena = arena_take(ops, w->bytes);
    if (w->arena == NULL) {
        free(w);
        return KN_ERR_MEMORY;
    }
    *out = w;
    return KN_OK;
}

void kn_work_close(struct kn_work *w)
{
    if (w != NULL && w->ops->memory != NULL) {
        w->ops->memory->give(w->arena);
    } else if (w != NULL) {
        free(w->arena);
    }
    free(w);
}

/* What the host gives, where the table can read it: at `offset` of the arena if it must be there.
 */
static const unsigned char *bring(const struct kn_work *w, size_t offset, const void *given,
                                  size_t elements)
{
    if (w->ops->memory == NULL || given == NULL) {
        return given;
    }
    w->ops->memory->put(w->arena + offset, given, elements * w->ops->elem_size);
    return w->arena + offset;
}

static enum kn_err settle(const struct kn_ops *ops, struct kn_diag *diag)
{
    return ops->memory == NULL ? KN_OK : ops->memory->settle(diag);
}

static void values_copy(const struct kn_ops *ops, void *to, const void *from, size_t elements)
{
    if (ops->memory != NULL) {
        ops->memory->copy(to, from, elements * ops->elem_size);
    } else {
        memcpy(to, from, elements * ops->elem_size);
    }
}

static void *slot_at(const struct kn_work *w, uint32_t slot)
{
    return slot == KN_NO_SLOT ? NULL : w->arena + w->plan.slots[slot].offset;
}

static const void *weight_at(const struct pass *p, const struct kn_node *node)
{
    return p->params + kn_node_weight(p->w->model, node) * p->w->ops->elem_size;
}

static const void *bias_at(const struct pass *p, const struct kn_node *node)
{
    return node->param_count < 2
               ? NULL
               : p->params + kn_node_bias(p->w->model, node) * p->w->ops->elem_size;
}

static struct kn_bn_shape bn_shape(const struct kn_node *node)
{
    return (struct kn_bn_shape){.channels = node->shape.dim[0],
                                .area = node->shape.dim[1] * node->shape.dim[2],
                                .eps = (double)node->eps};
}

/* Samples that an operation on rows takes: a sequence's places are rows of their own. */
static uint32_t rows_of(const struct pass *p, const struct kn_node *node)
{
    const uint32_t places = kn_shape_places(&node->shape);
    return node->shape.rank == 2 ? (uint32_t)kn_layout_count(p->w->ops, p->n, places) : p->n;
}

/* Values of such a row in the node's source. */
static uint32_t row_width(const struct kn_task *source, const struct kn_node *node)
{
    return (uint32_t)(source->count / kn_shape_places(&node->shape));
}

static void forward_bn(const struct pass *p, const struct kn_task *t, void *y, const void *x)
{
    const struct kn_work *w = p->w;
    const struct kn_node *node = t->node;
    const struct kn_bn_shape shape = bn_shape(node);
    const size_t mean = w->model->buffers[node->buffer].offset;
    const size_t var = w->model->buffers[node->buffer + 1].offset;
    const size_t size = w->ops->elem_size;
    if (p->out != NULL) {
        w->ops->bn(y, p->out + (w->model->param_count + mean) * size, slot_at(w, t->extra), x,
                   weight_at(p, node), bias_at(p, node), &shape, p->n);
    } else {
        w->ops->bn_eval(y, x, weight_at(p, node), bias_at(p, node), p->buffers + mean * size,
                        p->buffers + var * size, &shape, p->n);
    }
}

static void forward_dropout(const struct pass *p, const struct kn_task *t, uint32_t task, void *y,
                            const void *x)
{
    const struct kn_ops *ops = p->w->ops;
    if (p->out != NULL) {
        const struct kn_dropout_key key = {
            .seed = p->key->seed, .step = p->key->step, .rank = p->key->rank, .node = task};
        ops->dropout(y, slot_at(p->w, t->extra), x, (double)t->node->rate, &key, p->n, t->count);
    } else if (y != x) {
        values_copy(ops, y, x, kn_layout_count(ops, p->n, t->count));
    }
}

/* Inference goes by single blocks also where a sequence fills several: a product over all of them
 * may give a row other bits for where it stands among the rest. */
static void forward_dense(const struct pass *p, const struct kn_task *t, void *y, const void *x)
{
    const struct kn_ops *ops = p->w->ops;
    const struct kn_node *node = t->node;
    const uint32_t in = row_width(&p->w->plan.tasks[t->src[0]], node);
    const uint32_t out = kn_shape_width(&node->shape);
    const uint32_t rows = rows_of(p, node);
    const uint32_t most = p->out == NULL && ops->lanes > 1 ? ops->lanes : rows;
    for (uint32_t at = 0; at < rows; at += most) {
        ops->dense((char *)y + (size_t)at * out * ops->elem_size,
                   (const char *)x + (size_t)at * in * ops->elem_size, weight_at(p, node),
                   bias_at(p, node), rows - at < most ? rows - at : most, in, out,
                   slot_at(p->w, p->w->plan.scratch));
    }
}

static void forward_task(const struct pass *p, uint32_t task)
{
    const struct kn_work *w = p->w;
    const struct kn_ops *ops = w->ops;
    const struct kn_task *t = &w->plan.tasks[task];
    const struct kn_node *node = t->node;
    const struct kn_task *source = &w->plan.tasks[t->src[0]];
    const void *x = slot_at(w, source->value);
    void *y = slot_at(w, t->value);
    void *scratch = slot_at(w, w->plan.scratch);
    switch (node->op) {
    case KN_OP_INPUT: /* loaded by the caller */
    case KN_OP_FLATTEN:
    case KN_OP_COUNT:
        break;
    case KN_OP_DENSE:
        forward_dense(p, t, y, x);
        break;
    case KN_OP_CONV2D:
        ops->conv(y, x, weight_at(p, node), bias_at(p, node), &node->conv, p->n, scratch);
        break;
    case KN_OP_MAXPOOL:
        ops->maxpool(y, p->out != NULL ? slot_at(w, t->extra) : NULL, x, &node->pool, p->n);
        break;
    case KN_OP_AVGPOOL:
        ops->avgpool(y, x, &node->pool, p->n);
        break;
    case KN_OP_RELU:
        ops->relu(y, x, p->n, t->count);
        break;
    case KN_OP_GELU:
        ops->gelu(y, x, p->n, t->count);
        break;
    case KN_OP_BATCHNORM:
        forward_bn(p, t, y, x);
        break;
    case KN_OP_DROPOUT:
        forward_dropout(p, t, task, y, x);
        break;
    case KN_OP_ADD:
        ops->add(y, x, slot_at(w, w->plan.tasks[t->src[1]].value), p->n, t->count);
        break;
    case KN_OP_EMBEDDING:
        ops->embed(y, x, weight_at(p, node), &node->embed, p->n);
        break;
    case KN_OP_POSITIONS:
        ops->shift(y, x, weight_at(p, node), p->n, t->count);
        break;
    case KN_OP_LAYERNORM:
        ops->layernorm(y, slot_at(w, t->extra), x, weight_at(p, node), bias_at(p, node),
                       (double)node->eps, rows_of(p, node), kn_shape_width(&node->shape));
        break;
    case KN_OP_ATTENTION:
        ops->attention(y, slot_at(w, t->extra), x, &node->attention, p->n, scratch);
        break;
    }
}

static bool value_finite(const struct kn_ops *ops, const void *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const bool good = ops->elem_size == sizeof(double) ? isfinite(((const double *)at)[i])
                                                           : isfinite(((const float *)at)[i]);
        if (!good) {
            return false;
        }
    }
    return true;
}

#define LOOK_BYTES 4096u

/* The same of values in the table's memory. */
static bool slot_finite(const struct kn_ops *ops, const unsigned char *at, size_t count)
{
    if (ops->memory == NULL) {
        return value_finite(ops, at, count);
    }
    const size_t most = LOOK_BYTES / ops->elem_size;
    for (size_t i = 0; i < count; i += most) {
        double piece[LOOK_BYTES / sizeof(double)] = {0.0};
        const size_t left = count - i < most ? count - i : most;
        ops->memory->get(piece, at + i * ops->elem_size, left * ops->elem_size);
        if (!value_finite(ops, piece, left)) {
            return false;
        }
    }
    return true;
}

/* Runs every task; with `look` stops at the first output that is not finite and notes it. */
static void forward(struct pass *p, const float *x, bool look)
{
    const struct kn_work *w = p->w;
    p->bad = UINT32_MAX;
    w->ops->load(slot_at(w, w->plan.tasks[0].value), x, p->n, w->plan.tasks[0].count);
    for (uint32_t i = 0; i < w->plan.count; i++) {
        const struct kn_task *t = &w->plan.tasks[i];
        forward_task(p, i);
        if (look &&
            !slot_finite(w->ops, slot_at(w, t->value), kn_layout_count(w->ops, p->n, t->count))) {
            p->bad = i;
            return;
        }
    }
}

/* Text of a loss that is not finite: the first bad tensor. */
static enum kn_err diagnose(struct pass *p, const float *x, struct kn_diag *diag)
{
    const struct kn_work *w = p->w;
    const struct kn_model *m = w->model;
    for (size_t i = 0; i < p->n * w->plan.tasks[0].count; i++) {
        if (!isfinite(x[i])) {
            return kn_fail(diag, KN_ERR_NOT_FINITE, "input of sample %zu is not finite",
                           i / w->plan.tasks[0].count);
        }
    }
    for (uint32_t i = 0; i < m->param_tensors; i++) {
        const struct kn_tensor_info *t = &m->params[i];
        if (!value_finite(w->ops, p->given + t->offset * w->ops->elem_size, t->count)) {
            return kn_fail(diag, KN_ERR_NOT_FINITE, "%s is not finite", t->name);
        }
    }
    forward(p, x, true);
    const enum kn_err err = settle(w->ops, diag);
    if (err != KN_OK) {
        return err;
    }
    if (p->bad != UINT32_MAX) {
        return kn_fail(diag, KN_ERR_NOT_FINITE, "the output of layer \"%s\" is not finite",
                       w->plan.tasks[p->bad].node->name);
    }
    return kn_fail(diag, KN_ERR_NOT_FINITE, "the loss is not finite");
}

/* What an embedding reads must be rows of its table. */
static enum kn_err numbers_verify(const struct kn_work *w, const float *x, uint32_t n,
                                  struct kn_diag *diag)
{
    const size_t count = w->plan.tasks[0].count;
    for (uint32_t k = 1; k < w->model->node_count; k++) {
        const struct kn_node *node = &w->model->nodes[k];
        for (size_t i = 0; node->op == KN_OP_EMBEDDING && i < n * count; i++) {
            if (!(x[i] >= 0.0f && x[i] < (float)node->embed.vocab) || x[i] > floorf(x[i])) {
                return kn_fail(diag, KN_ERR_INVALID,
                               "sample %zu, place %zu: %g, layer \"%s\" takes whole numbers from 0 "
                               "to %u",
                               i / count, i % count, (double)x[i], node->name,
                               node->embed.vocab - 1);
            }
        }
    }
    return KN_OK;
}

static enum kn_err batch_verify(const struct kn_work *w, const struct kn_batch *b,
                                struct kn_diag *diag)
{
    KN_CHECK(b->n >= 1);
    KN_CHECK(b->x != NULL);
    const uint32_t outputs = kn_model_outputs(w->model);
    const uint32_t places = kn_model_places(w->model);
    const enum kn_err err = numbers_verify(w, b->x, b->n, diag);
    if (err != KN_OK) {
        return err;
    }
    if (w->model->loss == KN_LOSS_MSE) {
        KN_CHECK(b->targets != NULL);
        return KN_OK;
    }
    KN_CHECK(b->labels != NULL);
    for (size_t i = 0; i < (size_t)b->n * places; i++) {
        if (b->labels[i] < 0 || (uint32_t)b->labels[i] >= outputs) {
            return kn_fail(diag, KN_ERR_INVALID, "sample %zu: label %d, expected 0 to %u",
                           i / places, b->labels[i], outputs - 1);
        }
    }
    return KN_OK;
}

static struct kn_loss_sum loss_of(const struct pass *p, const struct kn_batch *b, void *dx)
{
    const struct kn_work *w = p->w;
    const struct kn_task *last = &w->plan.tasks[w->plan.count - 1];
    const void *x = slot_at(w, last->value);
    void *scratch = slot_at(w, w->plan.scratch);
    struct kn_loss_sum sum;
    if (w->model->loss == KN_LOSS_MSE) {
        w->ops->mse(&sum, dx, x, b->targets, p->n, (uint32_t)last->count, scratch);
    } else {
        w->ops->cross_entropy(&sum, dx, x, b->labels, p->n, kn_model_places(w->model),
                              kn_model_outputs(w->model), scratch);
    }
    return sum;
}

static void *grad_weight(const struct pass *p, const struct kn_node *node)
{
    return p->out + kn_node_weight(p->w->model, node) * p->w->ops->elem_size;
}

static void *grad_bias(const struct pass *p, const struct kn_node *node)
{
    return node->param_count < 2 ? NULL
                                 : p->out + kn_node_bias(p->w->model, node) * p->w->ops->elem_size;
}

/* The derivative with respect to the first source, and to the parameters. dx NULL: not wanted, as
 * of the input; these two make it all the same, over dy, which nothing reads again. */
static void backward_task(const struct pass *p, const struct kn_task *t, void *dx)
{
    const struct kn_work *w = p->w;
    const struct kn_ops *ops = w->ops;
    const struct kn_node *node = t->node;
    const struct kn_task *source = &w->plan.tasks[t->src[0]];
    const void *dy = slot_at(w, t->gradient);
    const void *x = slot_at(w, source->value);
    void *scratch = slot_at(w, w->plan.scratch);
    const struct kn_bn_shape shape = bn_shape(node);
    void *wanted = dx != NULL ? dx : slot_at(w, t->gradient);
    switch (node->op) {
    case KN_OP_DENSE:
        ops->dense_grad(dx, grad_weight(p, node), grad_bias(p, node), dy, x, weight_at(p, node),
                        rows_of(p, node), row_width(source, node), kn_shape_width(&node->shape),
                        scratch);
        break;
    case KN_OP_CONV2D:
        ops->conv_grad(dx, grad_weight(p, node), grad_bias(p, node), dy, x, weight_at(p, node),
                       &node->conv, p->n, scratch);
        break;
    case KN_OP_MAXPOOL:
        ops->maxpool_grad(dx, dy, slot_at(w, t->extra), &node->pool, p->n);
        break;
    case KN_OP_AVGPOOL:
        ops->avgpool_grad(dx, dy, &node->pool, p->n);
        break;
    case KN_OP_RELU:
        ops->relu_grad(dx, dy, slot_at(w, t->value), p->n, t->count);
        break;
    case KN_OP_GELU:
        ops->gelu_grad(dx, dy, x, p->n, t->count);
        break;
    case KN_OP_BATCHNORM:
        ops->bn_grad(wanted, grad_weight(p, node), grad_bias(p, node), dy, x, weight_at(p, node),
                     slot_at(w, t->extra), &shape, p->n);
        break;
    case KN_OP_DROPOUT:
        ops->dropout_grad(dx, dy, slot_at(w, t->extra), (double)node->rate, p->n, t->count);
        break;
    case KN_OP_FLATTEN:
        if (dx != dy) {
            values_copy(ops, dx, dy, kn_layout_count(ops, p->n, t->count));
        }
        break;
    case KN_OP_EMBEDDING:
        ops->embed_grad(grad_weight(p, node), dy, x, &node->embed, p->n);
        break;
    case KN_OP_POSITIONS:
        ops->shift_grad(grad_weight(p, node), dy, p->n, t->count);
        if (dx != NULL && dx != dy) {
            values_copy(ops, dx, dy, kn_layout_count(ops, p->n, t->count));
        }
        break;
    case KN_OP_LAYERNORM:
        ops->layernorm_grad(wanted, grad_weight(p, node), grad_bias(p, node), dy, x,
                            weight_at(p, node), slot_at(w, t->extra), rows_of(p, node),
                            kn_shape_width(&node->shape), scratch);
        break;
    case KN_OP_ATTENTION:
        ops->attention_grad(dx, dy, x, slot_at(w, t->extra), &node->attention, p->n, scratch);
        break;
    case KN_OP_INPUT:
    case KN_OP_ADD:
    case KN_OP_COUNT:
        break;
    }
}

/* add hands its derivative to both sources. */
static void backward_add(const struct pass *p, const struct kn_task *t)
{
    const struct kn_work *w = p->w;
    const void *dy = slot_at(w, t->gradient);
    const bool first[2] = {t->first, t->first2};
    for (uint32_t k = 0; k < 2; k++) {
        const struct kn_task *source = &w->plan.tasks[t->src[k]];
        if (!source->grad) {
            continue;
        }
        void *dx = slot_at(w, source->gradient);
        if (first[k]) {
            values_copy(w->ops, dx, dy, kn_layout_count(w->ops, p->n, t->count));
        } else {
            w->ops->add(dx, dx, dy, p->n, t->count);
        }
    }
}

static void backward(const struct pass *p)
{
    const struct kn_work *w = p->w;
    for (uint32_t i = w->plan.count; i-- > 1;) {
        const struct kn_task *t = &w->plan.tasks[i];
        if (!t->grad) {
            continue;
        }
        if (t->node->op == KN_OP_ADD) {
            backward_add(p, t);
            continue;
        }
        const struct kn_task *source = &w->plan.tasks[t->src[0]];
        void *dx = source->grad ? slot_at(w, source->gradient) : NULL;
        if (source->grad && !t->first) {
            void *spare = slot_at(w, w->plan.spare);
            backward_task(p, t, spare);
            w->ops->add(dx, dx, spare, p->n, source->count);
        } else if (dx != NULL || t->node->param_count > 0) {
            backward_task(p, t, dx);
        }
    }
}

static void scalar_store(const struct kn_ops *ops, void *at, size_t index, double value)
{
    if (ops->elem_size == sizeof(double)) {
        ((double *)at)[index] = value;
    } else {
        ((float *)at)[index] = (float)value;
    }
}

enum kn_err kn_model_step(struct kn_work *w, const void *params, const struct kn_batch *batch,
                          const struct kn_step_key *key, void *out, struct kn_diag *diag)
{
    KN_CHECK(w->train);
    KN_CHECK(batch->n <= w->n_max);
    enum kn_err err = batch_verify(w, batch, diag);
    if (err != KN_OK) {
        return err;
    }
    kn_fp_enter();
    const struct kn_memory *memory = w->ops->memory;
    struct pass p = {.w = w,
                     .params = bring(w, w->params_at, params, w->model->param_count),
                     .given = params,
                     .out = memory == NULL ? out : w->arena + w->out_at,
                     .key = key,
                     .n = batch->n};
    forward(&p, batch->x, false);
    const struct kn_task *last = &w->plan.tasks[w->plan.count - 1];
    const struct kn_loss_sum sum = loss_of(&p, batch, slot_at(w, last->gradient));
    err = settle(w->ops, diag);
    if (err != KN_OK) {
        return err;
    }
    if (!isfinite(sum.loss)) {
        return diagnose(&p, batch->x, diag);
    }
    backward(&p);
    const size_t tail = w->model->param_count + w->model->buffer_count;
    if (memory != NULL) {
        memory->get(out, p.out, tail * w->ops->elem_size);
        err = settle(w->ops, diag);
        if (err != KN_OK) {
            return err;
        }
    }
    scalar_store(w->ops, out, tail, sum.loss);
    scalar_store(w->ops, out, tail + 1, (double)sum.correct);
    return KN_OK;
}

/* Inference runs in pieces of one block: there each sample is a chain of its own in its lane, so
 * that its outputs do not depend on how many samples are asked for at once. */
static uint32_t piece_most(const struct kn_work *w)
{
    return w->n_max < KN_LANES_MAX ? w->n_max : KN_LANES_MAX;
}

enum kn_err kn_model_eval(struct kn_work *w, const void *params, const void *buffers,
                          const struct kn_batch *batch, double *loss_sum, uint64_t *correct,
                          struct kn_diag *diag)
{
    enum kn_err err = batch_verify(w, batch, diag);
    if (err != KN_OK) {
        return err;
    }
    kn_fp_enter();
    struct pass p = {.w = w,
                     .params = bring(w, w->params_at, params, w->model->param_count),
                     .given = params,
                     .buffers = bring(w, w->buffers_at, buffers, w->model->buffer_count)};
    const size_t inputs = w->plan.tasks[0].count;
    const size_t outputs = w->plan.tasks[w->plan.count - 1].count;
    const size_t places = kn_model_places(w->model);
    *loss_sum = 0.0;
    *correct = 0;
    const uint32_t most = piece_most(w);
    for (uint32_t at = 0; at < batch->n; at += most) {
        const uint32_t left = batch->n - at;
        struct kn_batch piece = *batch;
        piece.n = left < most ? left : most;
        piece.x = batch->x + at * inputs;
        piece.labels = batch->labels == NULL ? NULL : batch->labels + at * places;
        piece.targets = batch->targets == NULL ? NULL : batch->targets + at * outputs;
        p.n = piece.n;
        forward(&p, piece.x, false);
        const struct kn_loss_sum sum = loss_of(&p, &piece, NULL);
        err = settle(w->ops, diag);
        if (err != KN_OK) {
            return err;
        }
        if (!isfinite(sum.loss)) {
            return diagnose(&p, piece.x, diag);
        }
        *loss_sum += sum.loss;
        *correct += sum.correct;
    }
    return KN_OK;
}

enum kn_err kn_model_predict(struct kn_work *w, const void *params, const void *buffers,
                             const float *x, uint32_t n, float *y, struct kn_diag *diag)
{
    KN_CHECK(n >= 1);
    const enum kn_err good = numbers_verify(w, x, n, diag);
    if (good != KN_OK) {
        return good;
    }
    kn_fp_enter();
    const struct kn_task *last = &w->plan.tasks[w->plan.count - 1];
    const uint32_t most = piece_most(w);
    struct pass p = {.w = w,
                     .params = bring(w, w->params_at, params, w->model->param_count),
                     .given = params,
                     .buffers = bring(w, w->buffers_at, buffers, w->model->buffer_count)};
    for (uint32_t at = 0; at < n; at += most) {
        const float *piece = x + at * w->plan.tasks[0].count;
        float *out = y + at * last->count;
        p.n = n - at < most ? n - at : most;
        forward(&p, piece, false);
        void *values = slot_at(w, last->value);
        if (w->model->loss == KN_LOSS_CROSS_ENTROPY) {
            w->ops->softmax(values, values, rows_of(&p, last->node), kn_model_outputs(w->model));
        }
        w->ops->store(out, values, p.n, last->count);
        const enum kn_err err = settle(w->ops, diag);
        if (err != KN_OK) {
            return err;
        }
        for (size_t i = 0; i < p.n * last->count; i++) {
            if (!isfinite(out[i])) {
                return diagnose(&p, piece, diag);
            }
        }
    }
    return KN_OK;
}
