/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan of a workspace: in which order nodes run and where each buffer lies.
 *
 * Time runs 0 .. count - 1 forward, count the loss, then count + 1 .. 2 * count backward (node i at
 * 2 * count - i). A buffer is born at its first write and dies at its last read; buffers whose
 * lives do not meet share memory. */
#ifndef KN_PLAN_H
#define KN_PLAN_H

#include "kernels/graph/model.h"

#define KN_NO_SLOT UINT32_MAX

/* A node in running order. relu over maxpool's input runs after the maximum instead: same values,
 * same gradients, a quarter of the work; so `node` may differ from the place in the model. */
struct kn_task {
    const struct kn_node *node; /* attributes and parameters */
    uint32_t src[2];            /* tasks */
    size_t count;               /* values of the output, one sample */
    uint32_t readers;
    bool grad;  /* something trainable lies at or before it */
    bool first; /* in backward it is the first to write its source's gradient */
    bool first2;
    uint32_t value;    /* slot of the output */
    uint32_t gradient; /* slot of its derivative */
    uint32_t extra;    /* which (maxpool), keep (dropout), saved (batch normalisation) */
};

struct kn_slot {
    size_t bytes;
    uint32_t birth;
    uint32_t death;
    size_t offset;
};

#define KN_SLOTS_MAX (4u * KN_NODES_MAX)

struct kn_plan {
    struct kn_task tasks[KN_NODES_MAX];
    uint32_t count;
    struct kn_slot slots[KN_SLOTS_MAX];
    uint32_t slot_count;
    uint32_t scratch; /* slot, alive always */
    uint32_t spare;   /* slot for a second contribution to a gradient; KN_NO_SLOT */
    size_t bytes;     /* of the whole arena */
};

void kn_plan_make(struct kn_plan *plan, const struct kn_model *m, const struct kn_ops *ops,
                  uint32_t n_max, bool train);

#endif
