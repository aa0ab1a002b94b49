/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/graph.h"

#include <stdio.h>
#include <string.h>

static void set_padding(uint32_t wanted, enum kn_padding *padding, uint32_t pad[4])
{
    *padding = KN_PADDING_EXPLICIT;
    if (wanted == SPEC_PADDING_SAME) {
        *padding = KN_PADDING_SAME;
    } else if (wanted == 0) {
        *padding = KN_PADDING_VALID;
    } else {
        for (int i = 0; i < 4; i++) {
            pad[i] = wanted;
        }
    }
}

static struct kn_pool2d pool_of(const struct spec_layer *layer)
{
    struct kn_pool2d pool = {.kernel = {layer->kernel, layer->kernel},
                             .stride = {layer->stride, layer->stride}};
    set_padding(layer->padding, &pool.padding, pool.pad);
    return pool;
}

static struct kn_conv2d conv_of(const struct spec_layer *layer)
{
    struct kn_conv2d conv = {.filters = layer->units,
                             .kernel = {layer->kernel, layer->kernel},
                             .stride = {layer->stride, layer->stride},
                             .no_bias = !layer->bias};
    set_padding(layer->padding, &conv.padding, conv.pad);
    return conv;
}

/* nodes[0] is the input, nodes[i + 1] layer i. */
static enum kn_err add_layer(struct kn_model *m, const struct spec_layer *layer, uint32_t index,
                             uint32_t *nodes, struct kn_diag *diag)
{
    uint32_t from = nodes[index];
    uint32_t *node = &nodes[index + 1];
    struct kn_conv2d conv = conv_of(layer);
    struct kn_pool2d pool = pool_of(layer);
    struct kn_attention attention = {
        .heads = layer->heads, .causal = layer->causal, .no_bias = !layer->bias};
    switch (layer->kind) {
    case SPEC_CONV2D:
        return kn_model_conv2d(m, from, layer->name, &conv, node, diag);
    case SPEC_MAXPOOL:
        return kn_model_maxpool(m, from, layer->name, &pool, node, diag);
    case SPEC_AVGPOOL:
        return kn_model_avgpool(m, from, layer->name, &pool, node, diag);
    case SPEC_RELU:
        return kn_model_relu(m, from, layer->name, node, diag);
    case SPEC_GELU:
        return kn_model_gelu(m, from, layer->name, node, diag);
    case SPEC_BATCHNORM:
        return kn_model_batchnorm(m, from, layer->name, (float)layer->epsilon,
                                  (float)layer->momentum, node, diag);
    case SPEC_DROPOUT:
        return kn_model_dropout(m, from, layer->name, (float)layer->rate, node, diag);
    case SPEC_FLATTEN:
        return kn_model_flatten(m, from, layer->name, node, diag);
    case SPEC_DENSE:
        return kn_model_dense(m, from, layer->name, layer->units, !layer->bias, node, diag);
    case SPEC_ADD:
        SH_CHECK_CMP(layer->from, <, index);
        return kn_model_add(m, from, nodes[layer->from + 1], layer->name, node, diag);
    case SPEC_RESIDUAL:
        SH_CHECK_CMP(layer->from, <, index);
        return kn_model_add(m, from, nodes[layer->from], layer->name, node, diag);
    case SPEC_EMBEDDING:
        return kn_model_embedding(m, from, layer->name, layer->vocab, layer->units, node, diag);
    case SPEC_POSITIONS:
        return kn_model_positions(m, from, layer->name, node, diag);
    case SPEC_LAYERNORM:
        return kn_model_layernorm(m, from, layer->name, (float)layer->epsilon, node, diag);
    case SPEC_ATTENTION:
        return kn_model_attention(m, from, layer->name, &attention, node, diag);
    }
    SH_UNREACHABLE();
}

static enum sh_err err_from_kn(enum kn_err err)
{
    switch (err) {
    case KN_OK:
        return SH_OK;
    case KN_ERR_MEMORY:
        return SH_ERR_NO_MEMORY;
    case KN_ERR_LIMIT:
        return SH_ERR_LIMIT;
    case KN_ERR_INVALID:
    case KN_ERR_NOT_FINITE:
    case KN_ERR_IO:
    case KN_ERR_CORRUPT:
    case KN_ERR_UNSUPPORTED:
    case KN_ERR_NOT_FOUND:
    case KN_ERR_DEVICE:
    case KN_ERR_COUNT:
        break;
    }
    return SH_ERR_INVALID;
}

static enum kn_err build(struct kn_model *m, const struct spec_model *model, enum spec_loss loss,
                         struct spec_graph_fault *fault)
{
    uint32_t nodes[SPEC_LAYERS_MAX + 1] = {0};
    struct kn_shape input = {.rank = model->input_dims,
                             .dim = {model->input[0], model->input[1], model->input[2]}};
    fault->layer = 0;
    enum kn_err err = kn_model_input(m, &input, &nodes[0], &fault->diag);
    for (uint32_t i = 0; err == KN_OK && i < model->layer_count; i++) {
        fault->layer = i;
        err = add_layer(m, &model->layers[i], i, nodes, &fault->diag);
    }
    if (err != KN_OK) {
        return err;
    }
    fault->layer = model->layer_count;
    return kn_model_seal(m, nodes[model->layer_count],
                         loss == SPEC_MSE ? KN_LOSS_MSE : KN_LOSS_CROSS_ENTROPY, &fault->diag);
}

enum sh_err spec_graph_build(const struct spec_model *model, enum spec_loss loss,
                             struct kn_model **out, struct spec_graph_fault *fault)
{
    SH_CHECK_CMP(model->layer_count, <=, SPEC_LAYERS_MAX);
    *fault = (struct spec_graph_fault){0};
    struct kn_model *m = NULL;
    enum kn_err err = kn_model_open(&m);
    if (err == KN_OK) {
        err = build(m, model, loss, fault);
    }
    if (err != KN_OK) {
        kn_model_close(m);
        m = NULL;
    }
    *out = m;
    return err_from_kn(err);
}

struct kn_codec spec_graph_codec(const struct spec_wire *wire)
{
    uint32_t keep = (uint32_t)(wire->fraction * KN_CODEC_BLOCK + 0.5);
    return (struct kn_codec){.kind = wire->kind, .keep = keep > 0 ? keep : 1};
}

struct kn_optim spec_graph_optim(const struct spec_optimizer *optimizer)
{
    struct kn_optim o =
        kn_optim_default(optimizer->kind == SPEC_SGD ? KN_OPTIM_SGD : KN_OPTIM_ADAMW);
    o.lr = (float)optimizer->lr;
    o.weight_decay = (float)optimizer->weight_decay;
    if (optimizer->kind == SPEC_SGD) {
        o.momentum = (float)optimizer->momentum;
        o.nesterov = optimizer->nesterov;
    } else {
        o.beta1 = (float)optimizer->beta1;
        o.beta2 = (float)optimizer->beta2;
        o.eps = (float)optimizer->epsilon;
    }
    return o;
}

struct kn_schedule spec_graph_schedule(const struct spec_train *train, uint64_t steps_an_epoch)
{
    const struct spec_schedule *s = &train->schedule;
    struct kn_schedule out = {.total_steps = steps_an_epoch * train->epochs,
                              .warmup_steps = s->warmup_steps,
                              .final = (float)s->final_factor,
                              .every = s->every_epochs * steps_an_epoch,
                              .gamma = (float)s->factor};
    switch (s->kind) {
    case SPEC_CONSTANT:
        out.kind = KN_SCHEDULE_CONSTANT;
        break;
    case SPEC_LINEAR:
        out.kind = KN_SCHEDULE_LINEAR;
        break;
    case SPEC_COSINE:
        out.kind = KN_SCHEDULE_COSINE;
        break;
    case SPEC_STEP:
        out.kind = KN_SCHEDULE_STEP;
        break;
    }
    return out;
}

static void fill_rows(const struct kn_model *m, struct spec_table *table)
{
    table->count = kn_model_layers(m);
    SH_CHECK_CMP(table->count, <=, KN_NODES_MAX);
    for (uint32_t i = 0; i < table->count; i++) {
        struct kn_layer_info info;
        kn_model_layer(m, i, &info);
        struct spec_layer_row *row = &table->rows[i];
        (void)snprintf(row->name, sizeof row->name, "%s", info.name);
        row->kind = info.kind;
        row->output = info.shape;
        row->params = info.params;
        row->macs = info.macs;
        table->macs += info.macs;
    }
}

enum sh_err spec_table_make(const struct spec_job *job, struct spec_table *table)
{
    SH_CHECK(job->kind == SPEC_TRAIN || job->kind == SPEC_FINE_TUNE);
    *table = (struct spec_table){0};
    struct spec_graph_fault fault;
    struct kn_model *m = NULL;
    enum sh_err err = spec_graph_build(&job->model, job->train.loss, &m, &fault);
    if (err != SH_OK) {
        return err;
    }
    fill_rows(m, table);
    table->input = kn_model_input_shape(m);
    table->params = kn_model_param_count(m);
    struct kn_optim optim = spec_graph_optim(&job->train.optimizer);
    size_t shared = kn_model_param_count(m) + kn_model_buffer_count(m) + kn_model_vector_count(m) +
                    kn_optim_state_count(&optim, kn_model_param_count(m));
    uint32_t microbatch = job->train.batch / job->train.ranks;
    table->bytes_rank = kn_work_bytes(m, kn_ops_cpu(), microbatch, true);
    if (job->train.local.steps > 0) { /* every rank moves a copy */
        struct kn_optim outer = spec_graph_optim(&job->train.local.outer);
        table->bytes_rank += shared * sizeof(float);
        shared += kn_optim_state_count(&outer, kn_model_param_count(m));
    }
    if (job->train.wire.kind > KN_CODEC_BF16) { /* what it lost so far */
        shared += kn_model_param_count(m);
    }
    table->bytes_shared = shared * sizeof(float);
    kn_model_close(m);
    return SH_OK;
}
