/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of one instruction set. The including file has defined KN_TABLE, the function's name,
 * and KN_TABLE_NAME. */

const struct kn_ops *KN_TABLE(void)
{
    static const struct kn_ops table = {
        .version = KN_OPS_VERSION,
        .elem_size = sizeof(float),
        .lanes = KN_LANES,
        .name = KN_TABLE_NAME,
        .load = cpu_load,
        .store = cpu_store,
        .dense_scratch = cpu_dense_scratch,
        .dense = cpu_dense,
        .dense_grad = cpu_dense_grad,
        .conv_scratch = cpu_conv_scratch,
        .conv = cpu_conv,
        .conv_grad = cpu_conv_grad,
        .maxpool = cpu_maxpool,
        .maxpool_grad = cpu_maxpool_grad,
        .avgpool = cpu_avgpool,
        .avgpool_grad = cpu_avgpool_grad,
        .relu = cpu_relu,
        .relu_grad = cpu_relu_grad,
        .gelu = cpu_gelu,
        .gelu_grad = cpu_gelu_grad,
        .bn = cpu_bn,
        .bn_grad = cpu_bn_grad,
        .bn_eval = cpu_bn_eval,
        .dropout = cpu_dropout,
        .dropout_grad = cpu_dropout_grad,
        .layernorm = cpu_layernorm,
        .layernorm_scratch = cpu_layernorm_scratch,
        .layernorm_grad = cpu_layernorm_grad,
        .embed = cpu_embed,
        .embed_grad = cpu_embed_grad,
        .shift = cpu_shift,
        .shift_grad = cpu_shift_grad,
        .attention_scratch = cpu_attention_scratch,
        .attention = cpu_attention,
        .attention_grad = cpu_attention_grad,
        .loss_scratch = cpu_loss_scratch,
        .cross_entropy = cpu_cross_entropy,
        .mse = cpu_mse,
        .softmax = cpu_softmax,
        .add = cpu_add,
    };
    return &table;
}
