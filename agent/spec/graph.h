/* SPDX-License-Identifier: Apache-2.0
 *
 * From the model section to a computing graph, and the table that `shoal validate` prints. */
#ifndef SPEC_GRAPH_H
#define SPEC_GRAPH_H

#include "kernels/agg/codec.h"
#include "kernels/graph/graph.h"
#include "kernels/optim/optim.h"
#include "spec/spec.h"

/* Where building stopped. */
struct spec_graph_fault {
    uint32_t layer; /* index into model.layers; layer_count: the output as a whole */
    struct kn_diag diag;
};

/* *out is given to the caller (kn_model_close). INVALID: *fault says which layer and why. */
SH_MUST_USE enum sh_err spec_graph_build(const struct spec_model *model, enum spec_loss loss,
                                         struct kn_model **out, struct spec_graph_fault *fault);

/* The optimiser, codec and schedule as the kernels take them. steps_an_epoch = samples / batch. */
struct kn_optim spec_graph_optim(const struct spec_optimizer *optimizer);
struct kn_codec spec_graph_codec(const struct spec_wire *wire);
struct kn_schedule spec_graph_schedule(const struct spec_train *train, uint64_t steps_an_epoch);

struct spec_layer_row {
    char name[KN_NAME_BYTES];
    const char *kind; /* static */
    struct kn_shape output;
    uint64_t params;
    uint64_t macs; /* of one sample, forward */
};

struct spec_table {
    uint32_t count;
    struct spec_layer_row rows[KN_NODES_MAX];
    struct kn_shape input;
    uint64_t params;
    uint64_t macs;
    uint64_t bytes_shared; /* of one agent: parameters, optimiser, reduced vector */
    uint64_t bytes_rank;   /* of one rank in work: activations, gradients, scratch */
};

SH_MUST_USE enum sh_err spec_table_make(const struct spec_job *job, struct spec_table *table);

#endif
