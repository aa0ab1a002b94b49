/* SPDX-License-Identifier: Apache-2.0
 *
 * The section train of a job: how a model is trained, and how ranks that do it together exchange
 * what they have. */
#ifndef SPEC_TRAIN_FORM_H
#define SPEC_TRAIN_FORM_H

#include "kernels/agg/codec.h"

#include <stdbool.h>
#include <stdint.h>

#define SPEC_CLASSES_MAX    256u
#define SPEC_CLASS_NAME_MAX 31u

enum spec_optimizer_kind { SPEC_SGD = 1, SPEC_ADAMW };

struct spec_optimizer {
    enum spec_optimizer_kind kind;
    double lr;
    double momentum; /* sgd */
    bool nesterov;   /* sgd */
    double beta1;    /* adamw */
    double beta2;
    double epsilon;
    double weight_decay;
};

enum spec_schedule_kind { SPEC_CONSTANT = 1, SPEC_LINEAR, SPEC_COSINE, SPEC_STEP };

struct spec_schedule {
    enum spec_schedule_kind kind;
    uint32_t warmup_steps; /* linear from 0 to lr */
    double final_factor;   /* linear, cosine: lr at the end / lr */
    uint32_t every_epochs; /* step */
    double factor;         /* step */
};

/* All ranks put their models together in one sum, or the agents mix theirs two at a time. */
enum spec_average { SPEC_AVERAGE_ALL = 1, SPEC_AVERAGE_GOSSIP };

/* Ranks that train on their own and average now and then (train/course.h). */
struct spec_local {
    enum spec_average average;
    uint32_t steps;         /* between two averages; 0: the section is not there */
    uint32_t warmup_epochs; /* first epochs, whose every step is one of all ranks together */
    bool reset; /* the optimiser's state begins anew after each average, else it is averaged */
    struct spec_optimizer outer; /* takes the mean difference for a gradient */
};

struct spec_wire { /* how gradients, or differences, are sent */
    enum kn_codec_kind kind;
    double fraction; /* topk: of the elements that are sent */
};

enum spec_loss { SPEC_CROSS_ENTROPY = 1, SPEC_MSE };

struct spec_train {
    struct spec_optimizer optimizer;
    struct spec_schedule schedule;
    struct spec_local local;
    struct spec_wire wire;
    uint32_t batch; /* B: samples of one step over all ranks */
    uint32_t ranks; /* V: a power of two that divides batch */
    uint32_t epochs;
    uint64_t seed;
    enum spec_loss loss;
    uint32_t class_count; /* cross_entropy: outputs of the last layer; mse: 0 */
    bool classes_named;   /* else the data names them, or they are "0", "1", ... */
    char classes[SPEC_CLASSES_MAX][SPEC_CLASS_NAME_MAX + 1];
};

#endif
