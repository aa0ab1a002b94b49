/* SPDX-License-Identifier: Apache-2.0
 *
 * Job files. One schema, two notations (YAML and JSON), one result: a struct spec_job of fixed size
 * with every default filled in, or a list of errors that name line, column, field, value and what
 * would be right. spec_canonical() turns a job into sorted compact JSON: that is what is
 * replicated, hashed, and read back by spec_parse() on every agent (canonical bytes are a job file
 * too, and parsing them gives the same bytes again).
 * No call keeps state; all are safe from any thread. Only this module includes yaml.h. */
#ifndef SPEC_SPEC_H
#define SPEC_SPEC_H

#include "base/err.h"
#include "base/limits.h"
#include "spec/federated_form.h"
#include "spec/model_form.h"
#include "spec/models.h"
#include "spec/reading_form.h"
#include "spec/rl_form.h"
#include "spec/sweep_form.h"
#include "spec/train_form.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPEC_PATH_MAX     511u
#define SPEC_ERRORS_MAX   16u
#define SPEC_DEPTH_MAX    16u   /* nesting of a job file */
#define SPEC_NODES_MAX    8192u /* scalars, maps and lists of a job file */
#define SPEC_UNITS_MAX    10000u
#define SPEC_RESULTS_MAX  1000u /* jobs of a name that keep their results */
#define SPEC_AGENTS_MAX   32u   /* of one job */
#define SPEC_KEEP_MAX     64u   /* checkpoints of a unit */
#define SPEC_BATCH_MAX    1048576u
#define SPEC_CHANNELS_MAX 1024u /* channels of an image, columns of a table */

#define SPEC_COMMANDS_MAX 8u        /* of one list */
#define SPEC_WORDS_MAX    256u      /* of one command, and of every other list of words */
#define SPEC_PATTERNS_MAX 32u       /* metric patterns, abort patterns: each */
#define SPEC_TEXT_MAX     16384u    /* bytes of all words of an exec section, with their NULs */
#define SPEC_SECONDS_MAX  31536000u /* a year */
#define SPEC_WHERE_MAX    511u      /* bytes of each list of spec_where */

enum spec_kind {
    SPEC_TRAIN = 1,
    SPEC_NOOP = 2,
    SPEC_EXEC = 3,
    SPEC_FINE_TUNE = 4,
    SPEC_EVALUATE = 5,
    SPEC_PREDICT = 6,
    SPEC_ENSEMBLE = 7,
    SPEC_DATA_PREP = 8,
    SPEC_RL = 9
};

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
    SPEC_NORMALIZE_NONE,         /* pixels 0..1, table columns as they are */
    SPEC_NORMALIZE_INHERIT       /* fine_tune: as the model that it begins from */
};

struct spec_data {
    struct spec_source train;
    struct spec_source validation; /* NONE: validation_fraction of train is held out */
    struct spec_source test;
    double validation_fraction;  /* [0, 0.5] */
    char label[SH_NAME_MAX + 1]; /* CSV column; empty: the last one */
    enum spec_normalize normalize;
    struct spec_reading reading;
};

/* count texts, one behind the other, each with its NUL, from byte `at` of spec_exec.text on. */
struct spec_words {
    uint32_t at;
    uint32_t count;
};

enum spec_extract {                         /* bits: log lines that metrics are read from */
                    SPEC_EXTRACT_KERAS = 1, /* "loss: 0.31 - val_loss: 0.4" */
                    SPEC_EXTRACT_SOFE =
                        2, /* "Epoch [1/10], Train Loss: 0.3, Train Accuracy: 91.2%, ..." */
                    SPEC_EXTRACT_MLAGENTS = 4,  /* "Agent. Step: 1000. ... Mean Reward: 0.5." */
                    SPEC_EXTRACT_CONDUCTOR = 8, /* "PredictedBuffer=-1.5" */
                    SPEC_EXTRACT_ALL = 15
};

/* What an agent must offer at least; strict: namespaces, basic: no privileges, a file system fence
 * and limits, none: limits only. */
enum spec_sandbox { SPEC_SANDBOX_NONE = 1, SPEC_SANDBOX_BASIC, SPEC_SANDBOX_STRICT };

/* How a file of results is scored (kernels/score/results.h). */
enum spec_bucketing { SPEC_BUCKETING_GENERIC = 1, SPEC_BUCKETING_CARGO2000 };
enum spec_compat { SPEC_COMPAT_FIXED = 1, SPEC_COMPAT_CONDUCTOR };

/* Commands of a package that people have. Words are as in the file: nothing is expanded but by the
 * shell where a command was written as one text ({"/bin/sh", "-c", TEXT}). */
struct spec_exec {
    struct spec_source package; /* FILES, PATH before it was uploaded, or NONE */
    uint32_t run_count;
    struct spec_words run[SPEC_COMMANDS_MAX]; /* one after the other, until one fails */
    uint32_t predict_count;
    struct spec_words predict[SPEC_COMMANDS_MAX];
    struct spec_words env;     /* "NAME=VALUE", sorted by name */
    struct spec_words outputs; /* globs; each must match a file when the commands have succeeded */
    struct spec_words model;   /* none, or one path: the output that is the model */
    uint32_t evaluate_count;
    struct spec_words evaluate[SPEC_COMMANDS_MAX];
    struct spec_words predictions; /* none, or one path: the file that predict leaves */
    struct spec_words results;     /* none, or one path: predictions to be scored */
    enum spec_bucketing bucketing; /* of results */
    enum spec_compat compat;
    double beta;
    struct spec_words abort;      /* patterns (base/ere.h): a line that matches fails the unit */
    struct spec_words checkpoint; /* globs: what a checkpoint is made of; none: what lies in
                                   * SHOAL_CHECKPOINT_DIR */
    uint32_t checkpoint_every_s;  /* look for new ones this often; 0: when the commands say so */
    struct spec_words patterns;   /* "NAME=ERE": group 1 is a number, a point of metric NAME */
    uint32_t pattern_steps;       /* of abort and patterns (exec/pattern.h) */
    uint32_t extract;             /* bits of enum spec_extract */
    uint32_t timeout_s;           /* of all commands together */
    uint32_t silence_s;           /* without a line; 0: for ever */
    uint32_t grace_s;             /* between SIGTERM and SIGKILL */
    enum spec_sandbox sandbox;
    bool network;        /* beyond the loopback of its own; a gang of several agents needs it */
    uint64_t disk_bytes; /* of its working folder */
    uint32_t text_used;
    char text[SPEC_TEXT_MAX];
};

enum spec_spread { SPEC_SPREAD_AUTO = 0, SPEC_SPREAD_OUT, SPEC_SPREAD_PACK };

#define SPEC_WHERE_LABELS ";"  /* stands between two conditions of a list, */
#define SPEC_WHERE_NAMES  ", " /* and between two names */

struct spec_start { /* a checkpoint of another job that training goes on from */
    bool set;
    uint64_t job;  /* of which it is, for people: its model is a parent of this one */
    uint64_t step; /* likewise */
    uint8_t checkpoint[SH_DIGEST_BYTES];
};

struct spec_where { /* which agents take a unit, beside cores and memory; all zero: any */
    uint32_t gpus;
    uint64_t gpu_bytes; /* of each GPU; 0: any */
    uint64_t disk_bytes;
    uint32_t per_node_max; /* units of the job on one agent; 0: any */
    enum spec_spread spread;
    char labels[SPEC_WHERE_MAX + 1]; /* conditions of place/label.h; all must hold */
    char allow[SPEC_WHERE_MAX + 1];  /* names of agents: only these; "": all */
    char deny[SPEC_WHERE_MAX + 1];
};

enum spec_arithmetic { SPEC_ARITHMETIC_SAME = 1, SPEC_ARITHMETIC_ANY };

struct spec_job {
    enum spec_kind kind;
    char name[SH_NAME_MAX + 1];
    uint32_t priority;       /* 0..100 */
    struct spec_data data;   /* train, fine_tune; evaluate: test and label */
    struct spec_model model; /* train, fine_tune: without layers until it is resolved */
    struct spec_train train; /* train, fine_tune */
    uint32_t agents_min;
    uint32_t agents_max;
    uint32_t cpus;           /* a member; 0: any */
    uint64_t ram_bytes;      /* a member; 0: any. exec: its limit too */
    struct spec_where where; /* a member */
    struct spec_start start; /* train */
    uint32_t retries;        /* failures of a unit that are tried again; node loss uses up none */
    uint32_t checkpoint_every_steps;
    uint32_t checkpoint_keep;
    uint32_t keep_results; /* completed jobs of the name that keep theirs; 0: all */
    enum spec_arithmetic arithmetic;
    bool reproducible;
    uint32_t units; /* noop: units; exec: replicas; with a sweep: its units; ensemble: members */
    char dataset[SH_NAME_MAX + 1];   /* data_prep: what its outputs become */
    struct spec_exec exec;           /* exec, data_prep */
    struct spec_source input;        /* predict, ensemble */
    struct spec_use use;             /* fine_tune, evaluate, predict, ensemble */
    struct spec_sweep sweep;         /* train, exec */
    struct spec_rl rl;               /* rl */
    struct spec_federated federated; /* train, fine_tune, exec */
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
 * LIMIT: the text is larger than SH_SPEC_BYTES_MAX. A job is some 120 KiB: keep it off small
 * stacks. */
SH_MUST_USE enum sh_err spec_parse(const char *text, size_t size, struct spec_job *job,
                                   struct spec_errors *errors);
/* "FILE:12:9: train.batch: 250: must be divisible by train.ranks (16)"; returns the length that was
 * written, cut to size. */
size_t spec_error_text(const struct spec_error *error, const char *file, char *out, size_t size);

/* Sorted compact JSON with all defaults, NUL-terminated; *length without the NUL. LIMIT: it does
 * not fit size (SH_SPEC_BYTES_MAX always suffices for a job that came from spec_parse). */
SH_MUST_USE enum sh_err spec_canonical(const struct spec_job *job, char *out, size_t size,
                                       size_t *length);
/* What of where is a condition on labels, as placement reads it: those of the file, and names as
 * the label `name`. False: it does not fit; always does in WIRE_CONDITIONS_MAX + 1 bytes for a job
 * that came from spec_parse. */
bool spec_conditions(const struct spec_job *job, char *out, size_t size);
/* BLAKE2b-256 of the canonical bytes. */
void spec_digest(const struct spec_job *job, uint8_t digest[static SH_DIGEST_BYTES]);

/* The model section alone, canonical; what model files carry in their metadata. */
SH_MUST_USE enum sh_err spec_model_canonical(const struct spec_model *model, char *out, size_t size,
                                             size_t *length);
SH_MUST_USE enum sh_err spec_model_parse(const char *text, size_t size, struct spec_model *model,
                                         struct spec_errors *errors);

/* Word number i (< words.count) of a list. */
const char *spec_word(const struct spec_exec *exec, struct spec_words words, uint32_t i);

const char *spec_kind_name(enum spec_kind kind);
const char *spec_algorithm_name(enum spec_algorithm algorithm);
const char *spec_layer_kind_name(enum spec_layer_kind kind);

#endif
