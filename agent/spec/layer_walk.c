/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/layer_walk.h"

void spec_layer_walk_init(struct spec_layer_walk *walk, const struct spec_tree *tree,
                          const struct spec_node *list)
{
    *walk = (struct spec_layer_walk){.tree = tree};
    walk->at[0].next = spec_tree_first(tree, list);
}

enum spec_layer_step spec_layer_walk_next(struct spec_layer_walk *walk)
{
    struct spec_layer_level *top = &walk->at[walk->depth];
    if (top->next == NULL && walk->depth == 0) {
        return SPEC_STEP_END;
    }
    if (top->next == NULL) {
        walk->node = top->holder;
        walk->index = top->index;
        walk->depth--;
        return SPEC_STEP_CLOSE;
    }
    walk->node = top->next;
    walk->index = top->count++;
    top->next = spec_tree_next(walk->tree, top->next);
    const struct spec_node *inner = walk->node->kind == SPEC_NODE_MAP
                                        ? spec_tree_member(walk->tree, walk->node, "residual")
                                        : NULL;
    if (inner == NULL) {
        return SPEC_STEP_LAYER;
    }
    if (walk->depth == SPEC_RESIDUAL_DEPTH_MAX) {
        return SPEC_STEP_DEEP;
    }
    walk->depth++;
    walk->at[walk->depth] = (struct spec_layer_level){
        .holder = walk->node,
        .next = inner->kind == SPEC_NODE_LIST ? spec_tree_first(walk->tree, inner) : NULL,
        .index = walk->index};
    return SPEC_STEP_OPEN;
}

size_t spec_layer_walk_enter(const struct spec_layer_walk *walk, struct spec_decode *d)
{
    const size_t mark = d->path_length;
    for (uint32_t i = 1; i <= walk->depth && walk->at[i].holder != walk->node; i++) {
        (void)spec_decode_enter(d, NULL, walk->at[i].index);
        (void)spec_decode_enter(d, "residual", 0);
    }
    (void)spec_decode_enter(d, NULL, walk->index);
    return mark;
}
