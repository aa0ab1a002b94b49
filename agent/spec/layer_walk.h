/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/spec: the layers of a job file one after the other, blocks of residual layers
 * among them, without recursion. */
#ifndef SPEC_LAYER_WALK_H
#define SPEC_LAYER_WALK_H

#include "spec/decode.h"

#define SPEC_RESIDUAL_DEPTH_MAX 4u

enum spec_layer_step {
    SPEC_STEP_END,
    SPEC_STEP_LAYER, /* walk->node */
    SPEC_STEP_OPEN,  /* walk->node has the key residual; what comes is in it, if it is a list */
    SPEC_STEP_CLOSE, /* of that walk->node */
    SPEC_STEP_DEEP   /* walk->node is one residual too deep: it is left out */
};

struct spec_layer_level {
    const struct spec_node *holder; /* the node whose residual it is; the outermost: NULL */
    const struct spec_node *next;
    uint32_t index; /* of the holder in its own list */
    uint32_t count; /* children passed */
};

struct spec_layer_walk {
    const struct spec_tree *tree;
    const struct spec_node *node;
    uint32_t index; /* of node in its list */
    uint32_t depth;
    struct spec_layer_level at[SPEC_RESIDUAL_DEPTH_MAX + 1];
};

void spec_layer_walk_init(struct spec_layer_walk *walk, const struct spec_tree *tree,
                          const struct spec_node *list);
enum spec_layer_step spec_layer_walk_next(struct spec_layer_walk *walk);
/* Enters the path of walk->node, "[1].residual[0]"; leave with what it returned. */
size_t spec_layer_walk_enter(const struct spec_layer_walk *walk, struct spec_decode *d);

#endif
