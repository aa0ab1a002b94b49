/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a model, shared by the files of this folder only. */
#ifndef KN_MODEL_H
#define KN_MODEL_H

#include "kernels/graph/graph.h"

enum kn_op {
    KN_OP_INPUT = 0,
    KN_OP_DENSE = 1,
    KN_OP_CONV2D = 2,
    KN_OP_MAXPOOL = 3,
    KN_OP_AVGPOOL = 4,
    KN_OP_RELU = 5,
    KN_OP_GELU = 6,
    KN_OP_BATCHNORM = 7,
    KN_OP_DROPOUT = 8,
    KN_OP_ADD = 9,
    KN_OP_FLATTEN = 10,
    KN_OP_EMBEDDING = 11,
    KN_OP_POSITIONS = 12,
    KN_OP_LAYERNORM = 13,
    KN_OP_ATTENTION = 14, /* of queries, keys and values that a dense node makes */
    KN_OP_COUNT = 15
};

struct kn_node {
    enum kn_op op;
    uint32_t in[2];
    uint32_t in_count;
    uint32_t readers; /* nodes that read this one; the loss counts as one */
    struct kn_shape shape;
    char name[KN_NAME_BYTES];
    struct kn_conv_shape conv;
    struct kn_pool_shape pool;
    struct kn_embed_shape embed;
    struct kn_attention_shape attention;
    float eps;
    float momentum;
    float rate;
    uint32_t param;       /* index of the first parameter tensor */
    uint32_t param_count; /* 0, 1 (no bias) or 2 */
    uint32_t buffer;      /* batch normalisation: index of running_mean; running_var follows */
    uint64_t macs;
};

#define KN_TENSORS_MAX (2u * KN_NODES_MAX)

struct kn_model {
    struct kn_node nodes[KN_NODES_MAX];
    uint32_t node_count;
    struct kn_tensor_info params[KN_TENSORS_MAX];
    uint32_t param_tensors;
    struct kn_tensor_info buffers[KN_TENSORS_MAX];
    uint32_t buffer_tensors;
    size_t param_count;
    size_t buffer_count;
    uint32_t output;
    enum kn_loss loss;
    bool sealed;
};

/* "conv2d", "maxpool", ... */
const char *kn_op_kind(enum kn_op op);

/* Places of a sequence; 1 for what is none. */
static inline uint32_t kn_shape_places(const struct kn_shape *shape)
{
    return shape->rank == 2 ? shape->dim[0] : 1;
}

/* Values at each place, or all of what is no sequence. */
static inline uint32_t kn_shape_width(const struct kn_shape *shape)
{
    return (uint32_t)(kn_shape_count(shape) / kn_shape_places(shape));
}

/* 2 when the node has a bias or beta, else 1; the offsets of its tensors in the flat vector. */
static inline size_t kn_node_weight(const struct kn_model *m, const struct kn_node *node)
{
    KN_CHECK(node->param_count >= 1);
    return m->params[node->param].offset;
}

static inline size_t kn_node_bias(const struct kn_model *m, const struct kn_node *node)
{
    KN_CHECK(node->param_count == 2);
    return m->params[node->param + 1].offset;
}

#endif
