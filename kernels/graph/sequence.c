/* SPDX-License-Identifier: Apache-2.0
 *
 * Layers of sequences. */
#include "kernels/graph/build.h"

#include <stdio.h>

static enum kn_err sequence_verify(const struct kn_model *m, const struct kn_node *node,
                                   uint32_t from, struct kn_diag *diag)
{
    if (node->shape.rank != 2) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "layer \"%s\": %s expects a sequence, got %s from \"%s\"; put embedding "
                       "before it",
                       node->name, kn_op_kind(node->op), kn_shape_text(&node->shape).text,
                       m->nodes[from].name);
    }
    return KN_OK;
}

enum kn_err kn_model_embedding(struct kn_model *m, uint32_t from, const char *name, uint32_t vocab,
                               uint32_t width, uint32_t *node, struct kn_diag *diag)
{
    struct kn_node made;
    enum kn_err err = kn_node_start(m, &made, KN_OP_EMBEDDING, from, name, diag);
    if (err != KN_OK) {
        return err;
    }
    if (made.shape.rank != 1 || m->nodes[from].op != KN_OP_INPUT) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "layer \"%s\": embedding expects the model's input of [places] numbers, got "
                       "%s from \"%s\"",
                       made.name, kn_shape_text(&made.shape).text, m->nodes[from].name);
    }
    if (vocab < 2 || vocab > KN_DIM_MAX || width < 1 || width > KN_DIM_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT,
                       "layer \"%s\": vocab %u, width %u: expected 2 to %u and 1 to %u", made.name,
                       vocab, width, KN_DIM_MAX, KN_DIM_MAX);
    }
    made.embed =
        (struct kn_embed_shape){.places = made.shape.dim[0], .vocab = vocab, .width = width};
    made.shape = (struct kn_shape){.rank = 2, .dim = {made.shape.dim[0], width, 1}};
    const uint32_t dim[4] = {vocab, width, 1, 1};
    err = kn_node_output_verify(&made, diag);
    err = err == KN_OK ? kn_node_params(m, &made, 2, dim, false, diag) : err;
    if (err == KN_OK) {
        *node = kn_node_commit(m, &made);
    }
    return err;
}

enum kn_err kn_model_positions(struct kn_model *m, uint32_t from, const char *name, uint32_t *node,
                               struct kn_diag *diag)
{
    struct kn_node made;
    enum kn_err err = kn_node_start(m, &made, KN_OP_POSITIONS, from, name, diag);
    err = err == KN_OK ? sequence_verify(m, &made, from, diag) : err;
    if (err != KN_OK) {
        return err;
    }
    const uint32_t dim[4] = {made.shape.dim[0], made.shape.dim[1], 1, 1};
    err = kn_node_params(m, &made, 2, dim, false, diag);
    if (err == KN_OK) {
        *node = kn_node_commit(m, &made);
    }
    return err;
}

enum kn_err kn_model_layernorm(struct kn_model *m, uint32_t from, const char *name, float eps,
                               uint32_t *node, struct kn_diag *diag)
{
    struct kn_node made;
    enum kn_err err = kn_node_start(m, &made, KN_OP_LAYERNORM, from, name, diag);
    if (err != KN_OK) {
        return err;
    }
    if (!(eps > 0.0f) || !(eps < 1.0f)) {
        return kn_fail(diag, KN_ERR_INVALID, "layer \"%s\": eps %g, expected between 0 and 1",
                       made.name, (double)eps);
    }
    made.eps = eps;
    const uint32_t dim[4] = {kn_shape_width(&made.shape), 1, 1, 1};
    err = kn_node_params(m, &made, 1, dim, true, diag);
    if (err == KN_OK) {
        *node = kn_node_commit(m, &made);
    }
    return err;
}

/* Queries, keys and values of all heads, one dense layer; what is left over goes through another.
 */
static enum kn_err attention_verify(const struct kn_model *m, struct kn_node *core, uint32_t from,
                                    const struct kn_attention *a, struct kn_diag *diag)
{
    enum kn_err err = sequence_verify(m, core, from, diag);
    if (err != KN_OK) {
        return err;
    }
    const uint32_t places = core->shape.dim[0];
    const uint32_t width = core->shape.dim[1];
    if (a->heads < 1 || a->heads > width || width % a->heads != 0) {
        return kn_fail(diag, KN_ERR_INVALID,
                       "layer \"%s\": %u heads, expected a number that divides the width %u",
                       core->name, a->heads, width);
    }
    if (width > KN_DIM_MAX / 3 || (uint64_t)places * places > (uint64_t)KN_VALUES_MAX / a->heads) {
        return kn_fail(diag, KN_ERR_LIMIT,
                       "layer \"%s\": width %u, %u places and %u heads: expected at most %u wide "
                       "and %u weights of attention",
                       core->name, width, places, a->heads, KN_DIM_MAX / 3, KN_VALUES_MAX);
    }
    core->attention = (struct kn_attention_shape){
        .places = places, .heads = a->heads, .depth = width / a->heads, .causal = a->causal};
    core->macs = (uint64_t)2 * width * places * (a->causal ? places + 1 : 2 * places) / 2;
    return KN_OK;
}

enum kn_err kn_model_attention(struct kn_model *m, uint32_t from, const char *name,
                               const struct kn_attention *attention, uint32_t *node,
                               struct kn_diag *diag)
{
    const struct kn_model before = {.node_count = m->node_count,
                                    .param_tensors = m->param_tensors,
                                    .param_count = m->param_count};
    struct kn_node core;
    enum kn_err err = kn_node_start(m, &core, KN_OP_ATTENTION, from, name, diag);
    err = err == KN_OK ? attention_verify(m, &core, from, attention, diag) : err;
    if (err != KN_OK) {
        return err;
    }
    const uint32_t width = core.shape.dim[1];
    char part[KN_NAME_BYTES + 8];
    uint32_t at = from;
    (void)snprintf(part, sizeof part, "%s.in", core.name);
    err = kn_model_dense(m, at, part, 3 * width, attention->no_bias, &at, diag);
    if (err == KN_OK && m->node_count == KN_NODES_MAX) {
        err = kn_fail(diag, KN_ERR_LIMIT, "more than %u layers", KN_NODES_MAX);
    }
    if (err == KN_OK) {
        core.in[0] = at;
        at = kn_node_commit(m, &core);
        (void)snprintf(part, sizeof part, "%s.out", core.name);
        err = kn_model_dense(m, at, part, width, attention->no_bias, &at, diag);
    }
    if (err != KN_OK) {
        m->nodes[from].readers -= m->node_count > before.node_count ? 1 : 0;
        m->node_count = before.node_count;
        m->param_tensors = before.param_tensors;
        m->param_count = before.param_count;
        return err;
    }
    *node = at;
    return KN_OK;
}
