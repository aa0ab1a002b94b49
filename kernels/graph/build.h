/* SPDX-License-Identifier: Apache-2.0
 *
 * How layers are added to a model: for the files of this folder only. A layer fills in a node of
 * its own and commits it once nothing can fail any more. */
#ifndef KN_BUILD_H
#define KN_BUILD_H

#include "kernels/graph/model.h"

struct kn_shape_text {
    char text[40];
};
/* "[8, 28, 28]", "[64 places of 32]", "[10]". */
struct kn_shape_text kn_shape_text(const struct kn_shape *s);

/* Fills in what every node has: operation, name, source, and the source's shape. */
KN_MUST_USE enum kn_err kn_node_start(const struct kn_model *m, struct kn_node *node, enum kn_op op,
                                      uint32_t from, const char *name, struct kn_diag *diag);
/* weight, and bias when wanted, of node as it will be numbered. */
KN_MUST_USE enum kn_err kn_node_params(struct kn_model *m, struct kn_node *node, uint32_t rank,
                                       const uint32_t dim[4], bool bias, struct kn_diag *diag);
/* LIMIT: the output has too many values. */
KN_MUST_USE enum kn_err kn_node_output_verify(const struct kn_node *node, struct kn_diag *diag);
/* Its number. */
uint32_t kn_node_commit(struct kn_model *m, const struct kn_node *node);

#endif
