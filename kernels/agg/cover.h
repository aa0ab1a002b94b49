/* SPDX-License-Identifier: Apache-2.0
 *
 * The shape of the reduction tree, apart from its sums: internal to agg/ and to the test that sums
 * in another order. */
#ifndef KN_AGG_COVER_H
#define KN_AGG_COVER_H

#include "kernels/agg/tree.h"

/* first[r] = index of the subtree that begins at rank r, for each that does; false unless they tile
 * [0, ranks). */
bool kn_tree_arrange(const struct kn_subtree *subtrees, uint32_t count, uint32_t ranks,
                     uint16_t first[KN_TREE_RANKS_MAX]);

#endif
