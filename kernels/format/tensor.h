/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensors about to be written, in order of their names: internal to format/. */
#ifndef KN_FORMAT_TENSOR_H
#define KN_FORMAT_TENSOR_H

#include "kernels/format/safetensors.h"

/* *order (given to the caller: free) lists the tensors by ascending name. INVALID with the culprit
 * in the text: no name, a name too long, not UTF-8 or there twice, a rank or size out of range.
 * LIMIT, MEMORY. */
KN_MUST_USE enum kn_err kn_tensors_order(const struct kn_tensor *tensors, uint32_t count,
                                         const struct kn_tensor ***order, struct kn_diag *diag);

#endif
