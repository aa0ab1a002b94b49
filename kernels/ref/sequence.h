/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference's operations on sequences, as kn.h has them: for its table only. */
#ifndef KN_REF_SEQUENCE_H
#define KN_REF_SEQUENCE_H

#include "kernels/kn.h"

void kn_ref_layernorm(void *y, void *saved, const void *x, const void *gamma, const void *beta,
                      double eps, uint32_t rows, uint32_t width);
size_t kn_ref_layernorm_scratch(uint32_t rows, uint32_t width);
void kn_ref_layernorm_grad(void *dx, void *dgamma, void *dbeta, const void *dy, const void *x,
                           const void *gamma, const void *saved, uint32_t rows, uint32_t width,
                           void *scratch);
void kn_ref_embed(void *y, const void *x, const void *w, const struct kn_embed_shape *s,
                  uint32_t n);
void kn_ref_embed_grad(void *dw, const void *dy, const void *x, const struct kn_embed_shape *s,
                       uint32_t n);
void kn_ref_shift(void *y, const void *x, const void *b, uint32_t n, size_t count);
void kn_ref_shift_grad(void *db, const void *dy, uint32_t n, size_t count);
size_t kn_ref_attention_scratch(const struct kn_attention_shape *s, uint32_t n);
void kn_ref_attention(void *y, void *probs, const void *x, const struct kn_attention_shape *s,
                      uint32_t n, void *scratch);
void kn_ref_attention_grad(void *dx, const void *dy, const void *x, void *probs,
                           const struct kn_attention_shape *s, uint32_t n, void *scratch);

#endif
