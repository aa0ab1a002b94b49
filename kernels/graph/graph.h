/* SPDX-License-Identifier: Apache-2.0
 *
 * Models: a static graph of layers over one flat parameter vector, and its training step.
 *
 * Build with kn_model_input and one call per layer (each names the node it reads, so that residual
 * sums work), end with kn_model_seal; from then on the model is constant and may be read by any
 * number of threads. All computing state lives in a workspace, one per thread.
 *
 * Vectors. Parameters: P floats, tensors back to back in the order of the layers, named
 * "conv1.weight", ... Buffers: running_mean and running_var of each batch normalisation, in order.
 * The reduced vector of one rank's step, kn_model_vector_count() elements:
 *   [0, P)            gradient, summed over the samples
 *   [P, P + S)        batch statistics: per batch normalisation channels means, channels means of
 *                     squares; S = 2 * channels over all of them
 *   [P + S]           loss, summed over the samples
 *   [P + S + 1]       samples (places of a sequence) whose largest output is the label
 * Elements have the size of the op table: float for kn_ops_cpu(), double for kn_ops_ref(). Samples
 * are row-major float [n][c][h][w] with either. All of these are the host's memory whatever the
 * table: where tensors lie elsewhere (struct kn_memory), a workspace brings them there and back. */
#ifndef KN_GRAPH_H
#define KN_GRAPH_H

#include "kernels/err.h"
#include "kernels/kn.h"
#include "kernels/optim/optim.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KN_NODES_MAX       512u
#define KN_NAME_BYTES      64u        /* of a layer or tensor name, with the NUL */
#define KN_DIM_MAX         65536u     /* of one dimension of a shape */
#define KN_PARAMS_MAX      (1u << 30) /* of one model, elements */
#define KN_VALUES_MAX      (1u << 30) /* of one layer's output, one sample */
#define KN_SAMPLES_MAX     65536u     /* of one call of a step, evaluation or prediction */
#define KN_ROWS_MAX        16777216u  /* n * places of a call: a float counts them exactly */
#define KN_WINDOW_TAPS_MAX 255u       /* kernel_h * kernel_w of a pooling window */

/* rank 3: [c][h][w]; rank 2, a sequence: [place][width]; rank 1: [features]; unused dimensions are
 * 1. */
struct kn_shape {
    uint32_t rank;
    uint32_t dim[3];
};
size_t kn_shape_count(const struct kn_shape *shape);

enum kn_padding {
    KN_PADDING_VALID = 0,   /* none */
    KN_PADDING_SAME = 1,    /* out = ceil(in / stride); an odd total puts the extra one after */
    KN_PADDING_EXPLICIT = 2 /* pad[] = top, bottom, left, right */
};

struct kn_conv2d {
    uint32_t filters;
    uint32_t kernel[2]; /* h, w */
    uint32_t stride[2]; /* h, w; 0 means 1 */
    enum kn_padding padding;
    uint32_t pad[4];
    bool no_bias;
};

struct kn_pool2d {
    uint32_t kernel[2];
    uint32_t stride[2]; /* 0 means the kernel */
    enum kn_padding padding;
    uint32_t pad[4]; /* each below the kernel */
};

struct kn_attention {
    uint32_t heads; /* divides the width */
    bool causal;    /* a place sees itself and what is before it */
    bool no_bias;
};

enum kn_loss {
    KN_LOSS_CROSS_ENTROPY = 0, /* of softmax; labels; of a sequence the mean over its places */
    KN_LOSS_MSE = 1            /* targets */
};

struct kn_model;

/* Given to the caller, who closes it. */
KN_MUST_USE enum kn_err kn_model_open(struct kn_model **out);
void kn_model_close(struct kn_model *m);

/* Each adds a node reading node `from` and gives its number in *node (not NULL). `name` NULL or ""
 * means kind and a count, "conv1", "dense2"; a name is unique, of [a-z0-9_.-], not longer than
 * KN_NAME_BYTES - 16. INVALID or LIMIT with a text naming layer, what it got and what it expects;
 * the model is then unchanged. */
KN_MUST_USE enum kn_err kn_model_input(struct kn_model *m, const struct kn_shape *shape,
                                       uint32_t *node, struct kn_diag *diag);
KN_MUST_USE enum kn_err kn_model_dense(struct kn_model *m, uint32_t from, const char *name,
                                       uint32_t units, bool no_bias, uint32_t *node,
                                       struct kn_diag *diag);
KN_MUST_USE enum kn_err kn_model_conv2d(struct kn_model *m, uint32_t from, const char *name,
                                        const struct kn_conv2d *conv, uint32_t *node,
                                        struct kn_diag *diag);
KN_MUST_USE enum kn_err kn_model_maxpool(struct kn_model *m, uint32_t from, const char *name,
                                         const struct kn_pool2d *pool, uint32_t *node,
                                         struct kn_diag *diag);
KN_MUST_USE enum kn_err kn_model_avgpool(struct kn_model *m, uint32_t from, const char *name,
                                         const struct kn_pool2d *pool, uint32_t *node,
                                         struct kn_diag *diag);
KN_MUST_USE enum kn_err kn_model_relu(struct kn_model *m, uint32_t from, const char *name,
                                      uint32_t *node, struct kn_diag *diag);
KN_MUST_USE enum kn_err kn_model_gelu(struct kn_model *m, uint32_t from, const char *name,
                                      uint32_t *node, struct kn_diag *diag);
/* Over channels (rank 3) or features (rank 1). eps > 0; 0 < momentum <= 1 is the weight of the new
 * batch in the running statistics (torch's convention; its defaults are 1e-5 and 0.1). */
KN_MUST_USE enum kn_err kn_model_batchnorm(struct kn_model *m, uint32_t from, const char *name,
                                           float eps, float momentum, uint32_t *node,
                                           struct kn_diag *diag);
/* 0 <= rate < 1. */
KN_MUST_USE enum kn_err kn_model_dropout(struct kn_model *m, uint32_t from, const char *name,
                                         float rate, uint32_t *node, struct kn_diag *diag);
/* Sum of two nodes of equal shape. */
KN_MUST_USE enum kn_err kn_model_add(struct kn_model *m, uint32_t a, uint32_t b, const char *name,
                                     uint32_t *node, struct kn_diag *diag);
KN_MUST_USE enum kn_err kn_model_flatten(struct kn_model *m, uint32_t from, const char *name,
                                         uint32_t *node, struct kn_diag *diag);
/* Rows of a table by number: [places] of whole numbers below vocab become [places][width]. Reads
 * the input; a number out of range is INVALID when it is computed with. */
KN_MUST_USE enum kn_err kn_model_embedding(struct kn_model *m, uint32_t from, const char *name,
                                           uint32_t vocab, uint32_t width, uint32_t *node,
                                           struct kn_diag *diag);
/* Adds what it learns for each place of a sequence. */
KN_MUST_USE enum kn_err kn_model_positions(struct kn_model *m, uint32_t from, const char *name,
                                           uint32_t *node, struct kn_diag *diag);
/* Over each place of a sequence, or all of a flat input. eps > 0 (torch's default is 1e-5). */
KN_MUST_USE enum kn_err kn_model_layernorm(struct kn_model *m, uint32_t from, const char *name,
                                           float eps, uint32_t *node, struct kn_diag *diag);
/* Three nodes: NAME.in (dense: queries, keys, values), NAME, NAME.out (dense), which *node is. */
KN_MUST_USE enum kn_err kn_model_attention(struct kn_model *m, uint32_t from, const char *name,
                                           const struct kn_attention *attention, uint32_t *node,
                                           struct kn_diag *diag);
/* Ends building: the output is `node` (rank 1, or a sequence with a class at each place; at least 2
 * classes for cross-entropy), no node may be left unread. No layer can be added afterwards. */
KN_MUST_USE enum kn_err kn_model_seal(struct kn_model *m, uint32_t node, enum kn_loss loss,
                                      struct kn_diag *diag);

/* --- What a sealed model is. ------------------------------------------------------------------ */

struct kn_tensor_info {
    char name[KN_NAME_BYTES]; /* "conv1.weight", "bn1.running_mean" */
    uint32_t rank;            /* 1, 2 or 4 */
    uint32_t dim[4];
    size_t offset; /* in its vector, elements */
    size_t count;
};

struct kn_layer_info {
    char name[KN_NAME_BYTES];
    const char *kind;      /* "conv2d", "maxpool", ...; static */
    struct kn_shape shape; /* of the output, one sample */
    uint64_t params;
    uint64_t macs; /* multiply-accumulates of a forward pass of one sample */
};

struct kn_shape kn_model_input_shape(const struct kn_model *m);
struct kn_shape kn_model_output_shape(const struct kn_model *m);
uint32_t kn_model_places(const struct kn_model *m); /* labels a sample: 1, or a sequence's places */
uint32_t kn_model_outputs(const struct kn_model *m);    /* classes, or numbers, of one place */
size_t kn_model_param_count(const struct kn_model *m);  /* P */
size_t kn_model_buffer_count(const struct kn_model *m); /* also S: two per channel */
size_t kn_model_vector_count(const struct kn_model *m); /* P + S + 2 */
uint32_t kn_model_param_tensors(const struct kn_model *m);
uint32_t kn_model_buffer_tensors(const struct kn_model *m);
uint32_t kn_model_layers(const struct kn_model *m); /* without the input */
/* Below the counts above; borrowed from the model. */
const struct kn_tensor_info *kn_model_param(const struct kn_model *m, uint32_t index);
const struct kn_tensor_info *kn_model_buffer(const struct kn_model *m, uint32_t index);
void kn_model_layer(const struct kn_model *m, uint32_t index, struct kn_layer_info *out);

/* Weights of dense and convolution uniform in +-sqrt(6 / fan_in) (He et al. 2015), biases 0, gamma
 * 1, beta 0, running mean 0, running variance 1; embeddings and positions uniform in +-0.05. A
 * function of model and seed alone. */
void kn_model_init(const struct kn_model *m, uint64_t seed, float *params, float *buffers);

/* --- Computing. ------------------------------------------------------------------------------- */

struct kn_work;

/* Bytes kn_work_open takes for up to n_max samples a call: activations, gradients and scratch, laid
 * out once with lifetimes overlapped; on a table with memory of its own also parameters, buffers
 * and the vector. With `train` false evaluation and prediction only. */
size_t kn_work_bytes(const struct kn_model *m, const struct kn_ops *ops, uint32_t n_max,
                     bool train);
/* A workspace of one thread at a time; the model (borrowed) must outlive it. MEMORY. */
KN_MUST_USE enum kn_err kn_work_open(struct kn_work **out, const struct kn_model *m,
                                     const struct kn_ops *ops, uint32_t n_max, bool train);
void kn_work_close(struct kn_work *w);

struct kn_batch {
    uint32_t n;            /* 1 .. n_max */
    const float *x;        /* [n][c][h][w] */
    const int32_t *labels; /* [n][places], for cross-entropy; outside [0, classes) is INVALID */
    const float *targets;  /* [n][outputs], for mse */
};

/* Where the randomness of a step comes from. */
struct kn_step_key {
    uint64_t seed;
    uint64_t step; /* completed steps of the job, from 0 */
    uint32_t rank;
};

/* Forward and backward of one rank's microbatch: writes all kn_model_vector_count() elements of
 * `out`. The bits depend only on arguments and arithmetic class, never on threads or machine.
 * NOT_FINITE when the loss is not finite: the text names the first bad tensor in the order inputs,
 * parameters, layer outputs; `out` is then undefined. INVALID: a label out of range, naming the
 * sample and label. DEVICE as kn_memory.settle; `out` is then undefined. */
KN_MUST_USE enum kn_err kn_model_step(struct kn_work *w, const void *params,
                                      const struct kn_batch *batch, const struct kn_step_key *key,
                                      void *out, struct kn_diag *diag);

/* Forward with running statistics and without dropout, on any n >= 1: loss sum in double, count of
 * correct. With n_max >= 16 each sample's outputs are the same bits whatever stands beside it; the
 * loss is added up in the order of samples, so splitting a call differs in its rounding, `correct`
 * in nothing. Errors as kn_model_step. */
KN_MUST_USE enum kn_err kn_model_eval(struct kn_work *w, const void *params, const void *buffers,
                                      const struct kn_batch *batch, double *loss_sum,
                                      uint64_t *correct, struct kn_diag *diag);

/* Outputs [n][places][outputs] row-major, on any n >= 1: probabilities (softmax) for cross-entropy,
 * values for mse. NOT_FINITE when one is not finite, as kn_model_step. */
KN_MUST_USE enum kn_err kn_model_predict(struct kn_work *w, const void *params, const void *buffers,
                                         const float *x, uint32_t n, float *y,
                                         struct kn_diag *diag);

/* What an update needs besides the vectors. */
struct kn_update {
    const struct kn_optim *optim;
    float lr;       /* of this step, schedule included */
    uint64_t step;  /* completed steps, from 0 */
    uint32_t batch; /* B: the gradient sum is multiplied by 1 / B */
    uint32_t ranks; /* V: statistics sums are multiplied by 1 / V */
};

/* One step of training from the vector summed over all ranks: running statistics first (mean +=
 * momentum * (batch mean - mean); variance likewise from mean of squares - mean^2, times N / (N -
 * 1) for N = batch * area as torch), then the optimiser. `state` has kn_optim_state_count floats.
 * Element-wise, one thread, float only. NOT_FINITE names the first parameter whose gradient is not
 * finite (or the loss); nothing is then changed. */
KN_MUST_USE enum kn_err kn_model_apply(const struct kn_model *m, const struct kn_update *u,
                                       const float *vector, float *params, float *buffers,
                                       float *state, struct kn_diag *diag);

/* NOT_FINITE naming the first tensor of params or buffers that holds a value that is not finite. */
KN_MUST_USE enum kn_err kn_model_verify(const struct kn_model *m, const float *params,
                                        const float *buffers, struct kn_diag *diag);

#endif
