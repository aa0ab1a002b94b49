/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host/host.h"
#include "spec/federated_parts.h"
#include "spec/graph.h"
#include "spec/rl_parts.h"
#include "spec/schema.h"
#include "spec/source.h"
#include "spec/sweep_parts.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_S 1200u
#define FIELDS_MAX 48u /* of one kind */

static void take_api(struct spec_decode *d, const struct spec_node *node, void *base)
{
    (void)base;
    if (node->kind != SPEC_NODE_SCALAR || strcmp(node->text, "shoal/v1") != 0) {
        spec_decode_wrong(d, node, "must be shoal/v1");
    }
}

/* The kind was read before the table was chosen. */
static void take_kind(struct spec_decode *d, const struct spec_node *node, void *base)
{
    (void)d;
    (void)node;
    (void)base;
}

static void take_model_section(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_take_model(d, node, &((struct spec_job *)base)->model);
}

static void take_data_section(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_take_data(d, node, &((struct spec_job *)base)->data);
}

static void take_train_section(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_take_train(d, node, &((struct spec_job *)base)->train);
}

#define JOB_U32(name, member, least, most)                                                         \
    {                                                                                              \
        .key = (name), .type = SPEC_FIELD_U32, .offset = offsetof(struct spec_job, member),        \
        .low = (least), .high = (most)                                                             \
    }

static const struct spec_field CHECKPOINT[] = {
    JOB_U32("every_steps", checkpoint_every_steps, 1, 1e9),
    JOB_U32("keep", checkpoint_keep, 1, SPEC_KEEP_MAX)};

static void take_checkpoint(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_decode_map(d, node, CHECKPOINT, SH_COUNT(CHECKPOINT), base);
}

static const struct spec_field KEEPING[] = {JOB_U32("results", keep_results, 1, SPEC_RESULTS_MAX)};

static void take_keep(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_decode_map(d, node, KEEPING, SH_COUNT(KEEPING), base);
}

static const struct spec_field EXEC_CHECKPOINT[] = {
    JOB_U32("keep", checkpoint_keep, 1, SPEC_KEEP_MAX),
    {.key = "files", .type = SPEC_FIELD_CUSTOM, .take = spec_take_checkpoint_files},
    {.key = "every", .type = SPEC_FIELD_CUSTOM, .take = spec_take_checkpoint_every}};

static void take_exec_checkpoint(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_decode_map(d, node, EXEC_CHECKPOINT, SH_COUNT(EXEC_CHECKPOINT), base);
}

static void take_digest(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_start *start = base;
    if (node->kind != SPEC_NODE_SCALAR ||
        sh_unhex(start->checkpoint, sizeof start->checkpoint, node->text) != SH_OK) {
        spec_decode_wrong(d, node, "must be the 64 hexadecimal digits of a checkpoint");
    }
}

static const struct spec_field START[] = {
    {.key = "job",
     .type = SPEC_FIELD_U64,
     .offset = offsetof(struct spec_start, job),
     .low = 1,
     .high = 9007199254740991.0,
     .required = true},
    {.key = "step",
     .type = SPEC_FIELD_U64,
     .offset = offsetof(struct spec_start, step),
     .high = 9007199254740991.0,
     .required = true},
    {.key = "checkpoint", .type = SPEC_FIELD_CUSTOM, .take = take_digest, .required = true}};

static void take_start(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_start *start = &((struct spec_job *)base)->start;
    start->set = true;
    spec_decode_map(d, node, START, SH_COUNT(START), start);
}

/* The keys that jobs of every kind have. */
static const struct spec_field ANY_JOB[] = {
    {.key = "api", .type = SPEC_FIELD_CUSTOM, .take = take_api, .required = true},
    {.key = "kind", .type = SPEC_FIELD_CUSTOM, .take = take_kind},
    {.key = "name",
     .type = SPEC_FIELD_NAME,
     .offset = offsetof(struct spec_job, name),
     .required = true},
    JOB_U32("priority", priority, 0, 100),
    JOB_U32("retries", retries, 0, 100),
    {.key = "keep", .type = SPEC_FIELD_CUSTOM, .take = take_keep}};

static const struct spec_field TRAIN_JOB[] = {
    {.key = "data", .type = SPEC_FIELD_CUSTOM, .take = take_data_section, .required = true},
    {.key = "model", .type = SPEC_FIELD_CUSTOM, .take = take_model_section, .required = true},
    {.key = "start", .type = SPEC_FIELD_CUSTOM, .take = take_start},
    {.key = "train", .type = SPEC_FIELD_CUSTOM, .take = take_train_section},
    {.key = "resources", .type = SPEC_FIELD_CUSTOM, .take = spec_take_resources},
    {.key = "checkpoint", .type = SPEC_FIELD_CUSTOM, .take = take_checkpoint},
    {.key = "sweep", .type = SPEC_FIELD_CUSTOM, .take = spec_take_sweep},
    {.key = "federated", .type = SPEC_FIELD_CUSTOM, .take = spec_take_federated},
    {.key = "arithmetic",
     .type = SPEC_FIELD_CHOICE,
     .offset = offsetof(struct spec_job, arithmetic),
     .choices = SPEC_ARITHMETICS},
    {.key = "reproducible",
     .type = SPEC_FIELD_BOOL,
     .offset = offsetof(struct spec_job, reproducible)}};

static const struct spec_field NOOP_JOB[] = {
    JOB_U32("units", units, 1, SPEC_UNITS_MAX),
    {.key = "resources", .type = SPEC_FIELD_CUSTOM, .take = spec_take_unit_resources}};

static const struct spec_field RL_JOB[] = {
    {.key = "env", .type = SPEC_FIELD_CUSTOM, .take = spec_take_rl_env},
    {.key = "train", .type = SPEC_FIELD_CUSTOM, .take = spec_take_rl_train},
    {.key = "events", .type = SPEC_FIELD_CUSTOM, .take = spec_take_rl_events},
    {.key = "checkpoint", .type = SPEC_FIELD_CUSTOM, .take = spec_take_rl_checkpoint},
    {.key = "resources", .type = SPEC_FIELD_CUSTOM, .take = spec_take_unit_resources}};

static const struct spec_field EXEC_JOB[] = {
    {.key = "resources", .type = SPEC_FIELD_CUSTOM, .take = spec_take_resources},
    {.key = "checkpoint", .type = SPEC_FIELD_CUSTOM, .take = take_exec_checkpoint},
    {.key = "sweep", .type = SPEC_FIELD_CUSTOM, .take = spec_take_sweep}};

static const struct spec_field ROUNDS_JOB[] = {
    {.key = "federated", .type = SPEC_FIELD_CUSTOM, .take = spec_take_federated}};

static const struct spec_field DATA_PREP_JOB[] = {{.key = "dataset",
                                                   .type = SPEC_FIELD_NAME,
                                                   .offset = offsetof(struct spec_job, dataset),
                                                   .required = true}};

/* Of jobs that use models on one agent. */
static const struct spec_field USE_JOB[] = {
    {.key = "resources", .type = SPEC_FIELD_CUSTOM, .take = spec_take_unit_resources}};

struct fields {
    const struct spec_field *at;
    size_t count;
};

#define TABLES        4u
#define FIELDS(table) ((struct fields){(table), SH_COUNT(table)})

/* The keys of a kind, in up to TABLES tables. */
static void list_fields(enum spec_kind kind, struct fields out[static TABLES])
{
    memset(out, 0, TABLES * sizeof *out);
    out[0] = FIELDS(ANY_JOB);
    switch (kind) {
    case SPEC_TRAIN:
        out[1] = FIELDS(TRAIN_JOB);
        break;
    case SPEC_NOOP:
        out[1] = FIELDS(NOOP_JOB);
        break;
    case SPEC_DATA_PREP:
        out[3] = FIELDS(DATA_PREP_JOB);
        out[2] = FIELDS(SPEC_EXEC_JOB);
        out[1] = FIELDS(EXEC_JOB);
        break;
    case SPEC_EXEC:
        out[3] = FIELDS(ROUNDS_JOB);
        out[2] = FIELDS(SPEC_EXEC_JOB);
        out[1] = FIELDS(EXEC_JOB);
        break;
    case SPEC_FINE_TUNE:
        out[2] = FIELDS(SPEC_FINE_TUNE_JOB);
        out[1] = FIELDS(TRAIN_JOB);
        break;
    case SPEC_EVALUATE:
        out[2] = FIELDS(SPEC_EVALUATE_JOB);
        out[1] = FIELDS(USE_JOB);
        break;
    case SPEC_PREDICT:
        out[2] = FIELDS(SPEC_PREDICT_JOB);
        out[1] = FIELDS(USE_JOB);
        break;
    case SPEC_ENSEMBLE:
        out[2] = FIELDS(SPEC_ENSEMBLE_JOB);
        out[1] = FIELDS(USE_JOB);
        break;
    case SPEC_RL:
        out[1] = FIELDS(RL_JOB);
        break;
    }
}

static void decode_fields(struct spec_decode *d, const struct spec_node *root, struct spec_job *job)
{
    struct fields tables[TABLES];
    struct spec_field fields[FIELDS_MAX];
    size_t count = 0;
    list_fields(job->kind, tables);
    for (size_t i = 0; i < SH_COUNT(tables); i++) {
        SH_CHECK_CMP(tables[i].count, <=, FIELDS_MAX - count);
        if (tables[i].count > 0) {
            memcpy(fields + count, tables[i].at, tables[i].count * sizeof fields[0]);
            count += tables[i].count;
        }
    }
    bool tunes = job->kind == SPEC_FINE_TUNE;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool no_sweep = tunes || job->kind == SPEC_DATA_PREP;
        if (!no_sweep || strcmp(fields[i].key, "sweep") != 0) {
            fields[kept++] = fields[i];
        }
    }
    for (size_t i = 0; i < kept; i++) { /* the model that it begins from says what it is */
        bool model = tunes && strcmp(fields[i].key, "model") == 0;
        fields[i].required = fields[i].required && !model;
    }
    spec_decode_map(d, root, fields, kept, job);
}

/* Layers, names of classes and words are left as they are, some 60 KiB: each is set when it is
 * taken. */
static void clear(struct spec_job *job)
{
    static const struct {
        size_t from;
        size_t to;
    } PARTS[] = {{0, offsetof(struct spec_job, model.layers)},
                 {offsetof(struct spec_job, train), offsetof(struct spec_job, train.classes)},
                 {offsetof(struct spec_job, train) + sizeof job->train,
                  offsetof(struct spec_job, exec.text)},
                 {offsetof(struct spec_job, input), offsetof(struct spec_job, use.models)},
                 {offsetof(struct spec_job, sweep), offsetof(struct spec_job, sweep.text)},
                 {offsetof(struct spec_job, rl), sizeof *job}};
    for (size_t i = 0; i < SH_COUNT(PARTS); i++) {
        memset((uint8_t *)job + PARTS[i].from, 0, PARTS[i].to - PARTS[i].from);
    }
}

static void job_defaults(struct spec_job *job, enum spec_kind kind)
{
    clear(job);
    job->kind = kind;
    job->priority = 50;
    job->retries = 2;
    job->agents_min = 1;
    job->agents_max = 1;
    job->arithmetic = SPEC_ARITHMETIC_SAME;
    job->reproducible = true;
    job->units = 1;
    job->checkpoint_keep = 3;
    if (kind == SPEC_NOOP) {
        return;
    }
    if (kind == SPEC_RL) {
        job->cpus = 1;
        job->arithmetic = SPEC_ARITHMETIC_ANY; /* it gives the same bits everywhere */
        spec_rl_defaults(&job->rl);
        return;
    }
    job->cpus = 1;
    if (kind == SPEC_EVALUATE || kind == SPEC_PREDICT || kind == SPEC_ENSEMBLE) {
        job->arithmetic = SPEC_ARITHMETIC_ANY;
        job->reproducible = false;
        job->use.combine = SPEC_COMBINE_ALL;
        job->use.deadline_s = kind == SPEC_ENSEMBLE ? DEADLINE_S : 0;
        return;
    }
    job->agents_max = 0; /* as many as there are ranks; set by the checks */
    if (kind == SPEC_EXEC || kind == SPEC_DATA_PREP) {
        job->arithmetic = SPEC_ARITHMETIC_ANY; /* what the script computes is its own affair */
        job->reproducible = false;
        spec_exec_defaults(&job->exec);
        return;
    }
    job->checkpoint_every_steps = 50;
    spec_data_defaults(&job->data);
    job->data.normalize = kind == SPEC_FINE_TUNE ? SPEC_NORMALIZE_INHERIT : SPEC_NORMALIZE_STANDARD;
    spec_train_defaults(&job->train);
}

/* 0 when the kind is missing or not known; an error was noted then. */
static enum spec_kind read_kind(struct spec_decode *d, const struct spec_node *root)
{
    if (root->kind != SPEC_NODE_MAP) {
        spec_decode_wrong(d, root, "must be a map, such as {api: shoal/v1, kind: train, ...}");
        return 0;
    }
    const struct spec_node *node = spec_tree_member(d->tree, root, "kind");
    size_t mark = spec_decode_enter(d, "kind", 0);
    const struct spec_choice *found = NULL;
    char kinds[SPEC_CHOICE_LIST_BYTES];
    spec_choice_list(SPEC_KINDS, kinds);
    if (node == NULL) {
        spec_note(d->errors, root->at, d->path, NULL, "is missing; there are: %s", kinds);
    } else if (node->kind == SPEC_NODE_SCALAR) {
        found = spec_choice_find(SPEC_KINDS, node->text);
    }
    if (node != NULL && found == NULL) {
        spec_decode_wrong(d, node, "no such kind of job; there are: %s", kinds);
    }
    spec_decode_leave(d, mark);
    return found != NULL ? (enum spec_kind)found->value : 0;
}

/* Names, classes and layers each within bounds can still be too much together; where the file is
 * small, whoever prints the job finds out. */
static void check_size(struct spec_decode *d, const struct spec_job *job, size_t size)
{
    if (d->errors->count > 0 || size < SH_SPEC_BYTES_MAX / 16) {
        return;
    }
    char *text = malloc(SH_SPEC_BYTES_MAX);
    size_t length = 0;
    if (text == NULL || spec_canonical(job, text, SH_SPEC_BYTES_MAX, &length) != SH_OK) {
        spec_note(d->errors, (struct spec_place){0}, "", NULL,
                  "with all defaults the job is larger than %u bytes", SH_SPEC_BYTES_MAX);
    }
    free(text);
}

/* A wire that is not f32 is asked for. */
static bool loses(const struct spec_decode *d, const struct spec_node *root)
{
    const struct spec_node *train = spec_tree_member(d->tree, root, "train");
    const struct spec_node *wire = train != NULL && train->kind == SPEC_NODE_MAP
                                       ? spec_tree_member(d->tree, train, "wire")
                                       : NULL;
    return wire != NULL && (wire->kind != SPEC_NODE_SCALAR || strcmp(wire->text, "f32") != 0);
}

static void decode(struct spec_decode *d, struct spec_job *job, size_t size, bool thorough)
{
    const struct spec_node *root = &d->tree->nodes[SPEC_ROOT];
    enum spec_kind kind = read_kind(d, root);
    if (kind == 0) {
        return;
    }
    job_defaults(job, kind);
    if (kind == SPEC_TRAIN || kind == SPEC_FINE_TUNE) {
        const struct spec_node *any = spec_tree_member(d->tree, root, "arithmetic");
        /* Mixed classes never give the same bytes, nor do sums that lose something on the wire:
         * the default follows, so that only a file that asks for both is refused. */
        bool mixes = any != NULL && any->kind == SPEC_NODE_SCALAR && strcmp(any->text, "any") == 0;
        job->reproducible = !mixes && !loses(d, root);
    }
    if (kind == SPEC_TRAIN || kind == SPEC_FINE_TUNE || kind == SPEC_EXEC) {
        spec_federated_defaults(d, root, job);
    }
    decode_fields(d, root, job);
    if (kind == SPEC_RL) {
        spec_check_rl(d, job);
    }
    spec_check_job(d, job);
    spec_check_federated(d, job);
    spec_check_sweep(d, job, thorough);
    check_size(d, job, size);
}

static enum sh_err too_large(size_t size, struct spec_errors *errors)
{
    spec_note(errors, (struct spec_place){0}, "", NULL,
              "%zu bytes are more than the %u that a job file may have", size, SH_SPEC_BYTES_MAX);
    return SH_ERR_LIMIT;
}

static enum sh_err parse(const char *text, size_t size, struct spec_job *job,
                         struct spec_errors *errors, bool thorough)
{
    errors->count = 0;
    if (size > SH_SPEC_BYTES_MAX) {
        return too_large(size, errors);
    }
    struct spec_tree *tree = spec_tree_open(text, size, errors);
    if (tree == NULL) {
        return SH_ERR_INVALID;
    }
    struct spec_decode d = {.tree = tree, .errors = errors};
    decode(&d, job, size, thorough);
    spec_tree_close(tree);
    return errors->count == 0 ? SH_OK : SH_ERR_INVALID;
}

enum sh_err spec_parse(const char *text, size_t size, struct spec_job *job,
                       struct spec_errors *errors)
{
    return parse(text, size, job, errors, true);
}

enum sh_err spec_parse_again(const char *text, size_t size, struct spec_job *job,
                             struct spec_errors *errors)
{
    return parse(text, size, job, errors, false);
}

enum sh_err spec_model_parse(const char *text, size_t size, struct spec_model *model,
                             struct spec_errors *errors)
{
    errors->count = 0;
    if (size > SH_SPEC_BYTES_MAX) {
        return too_large(size, errors);
    }
    struct spec_tree *tree = spec_tree_open(text, size, errors);
    if (tree == NULL) {
        return SH_ERR_INVALID;
    }
    struct spec_decode d = {.tree = tree, .errors = errors};
    memset(model, 0, sizeof *model);
    spec_take_model(&d, &tree->nodes[SPEC_ROOT], model);
    spec_tree_close(tree);
    return errors->count == 0 ? SH_OK : SH_ERR_INVALID;
}
