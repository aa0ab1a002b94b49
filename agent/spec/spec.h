/* SPDX-License-Identifier: Apache-2.0
 *
 * Job files. One schema, two notations (YAML and JSON), one result: a struct spec_job of fixed size
 * with every default filled in, or a list of errors that name line, column, field, value and what
 * would be right. spec_canonical() turns a job into sorted compact JSON: that is what is
 * replicated, hashed, and read back by spec_parse() on every agent (canonical bytes are a job file
 * too, and parsing them gives the same bytes again).
 *
 * No call keeps state; all are safe from any thread. Only this module includes yaml.h. */
#ifndef SPEC_SPEC_H
#define SPEC_SPEC_H

#include "base/err.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPEC_LAYERS_MAX     256u
#define SPEC_CLASSES_MAX    256u
#define SPEC_CLASS_NAME_MAX 31u
#define SPEC_INPUT_DIMS_MAX 3u
#define SPEC_PATH_MAX       511u
#define SPEC_ERRORS_MAX     16u
#define SPEC_DEPTH_MAX      16u   /* nesting of a job file */
#define SPEC_NODES_MAX      8192u /* scalars, maps and lists of a job file */
#define SPEC_UNITS_MAX      10000u
#define SPEC_AGENTS_MAX     32u /* of one job */
#define SPEC_EPOCHS_MAX     100000u
#define SPEC_BATCH_MAX      1048576u
#define SPEC_CHANNELS_MAX   1024u /* channels of an image, columns of a table */

enum spec_kind { SPEC_TRAIN = 1, SPEC_NOOP = 2 };

enum spec_source_kind {
    SPEC_SOURCE_NONE,
    SPEC_SOURCE_BUILTIN, /* name: "digits", "digits-test" */
    SPEC_SOURCE_DATASET, /* name: lives on some agents only, service_dataset_path() */
    SPEC_SOURCE_FILES,   /* digest of a file set blob (spec/fileset.h) */
    SPEC_SOURCE_PATH     /* path: known to the submitter only; a replicated job has none */
};

struct spec_source { /* written builtin:NAME, dataset:NAME, files:HEX, else a path */
    enum spec_source_kind kind;
    char name[SH_NAME_MAX + 1];
    char path[SPEC_PATH_MAX + 1];
    uint8_t digest[SH_DIGEST_BYTES];
};

enum spec_normalize {
    SPEC_NORMALIZE_STANDARD = 1, /* mean 0, deviation 1 a channel, measured on data.train */
    SPEC_NORMALIZE_NONE          /* pixels 0..1, table columns as they are */
};

struct spec_data {
    struct spec_source train;
    struct spec_source validation; /* NONE: validation_fraction of train is held out */
    struct spec_source test;
    double validation_fraction;  /* [0, 0.5] */
    char label[SH_NAME_MAX + 1]; /* CSV column; empty: the last one */
    enum spec_normalize normalize;
};

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
    SPEC_ADD
};

#define SPEC_PADDING_SAME UINT32_MAX /* output side = input side / stride, rounded up */

struct spec_layer {
    enum spec_layer_kind kind;
    char name[SH_NAME_MAX + 1]; /* empty: unnamed */
    uint32_t units;             /* dense: units; conv2d: filters */
    uint32_t kernel;            /* conv2d, pools: square window */
    uint32_t stride;
    uint32_t padding; /* pixels on every side, or SPEC_PADDING_SAME */
    bool bias;        /* conv2d, dense */
    double rate;      /* dropout */
    double momentum;  /* batchnorm: weight of the new batch in the running statistics */
    double epsilon;   /* batchnorm */
    uint32_t from;    /* add: index of the earlier layer whose output is added */
};

struct spec_model {
    uint32_t input[SPEC_INPUT_DIMS_MAX]; /* channels, height, width; or {features, 1, 1} */
    uint32_t input_dims;                 /* 1 or 3 */
    uint32_t layer_count;
    struct spec_layer layers[SPEC_LAYERS_MAX];
};

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

enum spec_loss { SPEC_CROSS_ENTROPY = 1, SPEC_MSE };

struct spec_train {
    struct spec_optimizer optimizer;
    struct spec_schedule schedule;
    uint32_t batch; /* B: samples of one step over all ranks */
    uint32_t ranks; /* V: a power of two that divides batch */
    uint32_t epochs;
    uint64_t seed;
    enum spec_loss loss;
    uint32_t class_count; /* cross_entropy: outputs of the last layer; mse: 0 */
    bool classes_named;   /* else the data names them, or they are "0", "1", ... */
    char classes[SPEC_CLASSES_MAX][SPEC_CLASS_NAME_MAX + 1];
};

enum spec_arithmetic { SPEC_ARITHMETIC_SAME = 1, SPEC_ARITHMETIC_ANY };

struct spec_job {
    enum spec_kind kind;
    char name[SH_NAME_MAX + 1];
    uint32_t priority;       /* 0..100 */
    struct spec_data data;   /* train */
    struct spec_model model; /* train */
    struct spec_train train; /* train */
    uint32_t agents_min;
    uint32_t agents_max;
    uint32_t cpus;    /* a member; 0: any */
    uint32_t retries; /* failures of a unit that are tried again; node loss uses up none */
    uint32_t checkpoint_every_steps;
    uint32_t checkpoint_keep;
    enum spec_arithmetic arithmetic;
    bool reproducible;
    uint32_t units; /* noop */
};

struct spec_error {
    uint32_t line; /* 1-based; 0: no place in the text */
    uint32_t column;
    char field[128];   /* "train.batch", "model.layers[3].conv2d.kernel"; empty: the whole file */
    char value[64];    /* as written, cut short with "..." */
    char message[192]; /* what is wrong and what would be right */
};

struct spec_errors {
    struct spec_error at[SPEC_ERRORS_MAX];
    size_t count; /* all errors are reported at once, the first SPEC_ERRORS_MAX of them */
};

/* Decides the notation by the first character that is not a blank ('{': JSON, else YAML). OK: *job
 * is complete, in range, and its model's shapes fit. INVALID: errors says why, *job is undefined.
 * LIMIT: the text is larger than SH_SPEC_BYTES_MAX. A job is some 80 KiB: keep it off small stacks.
 */
SH_MUST_USE enum sh_err spec_parse(const char *text, size_t size, struct spec_job *job,
                                   struct spec_errors *errors);
/* "FILE:12:9: train.batch: 250: must be divisible by train.ranks (16)"; returns the length that was
 * written, cut to size. */
size_t spec_error_text(const struct spec_error *error, const char *file, char *out, size_t size);

/* Sorted compact JSON with all defaults, NUL-terminated; *length without the NUL. LIMIT: it does
 * not fit size (SH_SPEC_BYTES_MAX always suffices for a job that came from spec_parse). */
SH_MUST_USE enum sh_err spec_canonical(const struct spec_job *job, char *out, size_t size,
                                       size_t *length);
/* BLAKE2b-256 of the canonical bytes. */
void spec_digest(const struct spec_job *job, uint8_t digest[static SH_DIGEST_BYTES]);

/* The model section alone, canonical; what model files carry in their metadata. */
SH_MUST_USE enum sh_err spec_model_canonical(const struct spec_model *model, char *out, size_t size,
                                             size_t *length);
SH_MUST_USE enum sh_err spec_model_parse(const char *text, size_t size, struct spec_model *model,
                                         struct spec_errors *errors);

const char *spec_kind_name(enum spec_kind kind);
const char *spec_layer_kind_name(enum spec_layer_kind kind);

#endif
