/* SPDX-License-Identifier: Apache-2.0
 *
 * The model section of a job file as it is read. */
#ifndef SPEC_MODEL_FORM_H
#define SPEC_MODEL_FORM_H

#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define SPEC_LAYERS_MAX     256u
#define SPEC_INPUT_DIMS_MAX 3u

enum spec_layer_kind {
    SPEC_CONV2D = 1,
    SPEC_MAXPOOL,
    SPEC_AVGPOOL,
    SPEC_RELU,
    SPEC_GELU,
    SPEC_BATCHNORM,
    SPEC_DROPOUT,
    SPEC_FLATTEN,
    SPEC_DENSE,
    SPEC_ADD,
    SPEC_EMBEDDING,
    SPEC_POSITIONS,
    SPEC_LAYERNORM,
    SPEC_ATTENTION,
    SPEC_RESIDUAL
};

#define SPEC_PADDING_SAME UINT32_MAX /* output side = input side / stride, rounded up */

struct spec_layer {
    enum spec_layer_kind kind;
    char name[SH_NAME_MAX + 1]; /* empty: unnamed */
    uint32_t units;             /* dense: units; conv2d: filters; embedding: width */
    uint32_t vocab;             /* embedding */
    uint32_t heads;             /* attention */
    bool causal;                /* attention */
    uint32_t kernel;            /* conv2d, pools: square window */
    uint32_t stride;
    uint32_t padding; /* pixels on every side, or SPEC_PADDING_SAME */
    bool bias;        /* conv2d, dense, attention */
    double rate;      /* dropout */
    double momentum;  /* batchnorm: weight of the new batch in the running statistics */
    double epsilon;   /* batchnorm, layernorm */
    uint32_t from;    /* add: index of the earlier layer whose output is added; residual: index of
                         the first layer of its block, whose input is added to the block's output */
};

struct spec_model {
    uint32_t input[SPEC_INPUT_DIMS_MAX]; /* channels, height, width; or {features, 1, 1} */
    uint32_t input_dims;                 /* 1 or 3 */
    uint32_t layer_count;
    struct spec_layer layers[SPEC_LAYERS_MAX];
};

#endif
