/* SPDX-License-Identifier: Apache-2.0
 *
 * What no field can say alone. Each check is skipped where a field it reads has an error already,
 * so that one mistake is reported once. */
#include "spec/graph.h"
#include "spec/layer_walk.h"
#include "spec/schema.h"

#include <stdio.h>
#include <string.h>

#define DIGITS_SIDE    28u
#define DIGITS_CLASSES 10u

static bool is_clean(const struct spec_decode *d, const char *field)
{
    size_t n = strlen(field);
    for (size_t i = 0; i < d->errors->count; i++) {
        if (strncmp(d->errors->at[i].field, field, n) == 0) {
            return false;
        }
    }
    return true;
}

/* The node at a path of keys, or the nearest map above it that stands in the file; *full tells
 * which. */
static const struct spec_node *at_path(const struct spec_tree *tree, const char *path, bool *full)
{
    const struct spec_node *node = &tree->nodes[SPEC_ROOT];
    *full = false;
    while (*path != '\0') {
        char key[SH_NAME_MAX + 1];
        size_t n = strcspn(path, ".");
        SH_CHECK_CMP(n, <, sizeof key);
        memcpy(key, path, n);
        key[n] = '\0';
        const struct spec_node *next = spec_tree_member(tree, node, key);
        if (next == NULL) {
            return node;
        }
        node = next;
        path += n + (path[n] == '.' ? 1 : 0);
    }
    *full = true;
    return node;
}

/* An error about a field that may be a default: then the value is given. */
static void wrong_value(struct spec_decode *d, const char *field, const char *value,
                        const char *message)
{
    bool full = false;
    const struct spec_node *node = at_path(d->tree, field, &full);
    spec_note(d->errors, node->at, field, value, "%s%s", message,
              full ? "" : " (the value is the default)");
}

static void wrong_number(struct spec_decode *d, const char *field, uint64_t value,
                         const char *message)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    wrong_value(d, field, text, message);
}

static void check_ranks(struct spec_decode *d, const struct spec_job *job)
{
    const struct spec_train *t = &job->train;
    if (!is_clean(d, "train.ranks")) {
        return;
    }
    if ((t->ranks & (t->ranks - 1)) != 0) {
        wrong_number(d, "train.ranks", t->ranks,
                     "must be a power of two: 1, 2, 4, 8, 16, 32, 64, 128 or 256");
        return;
    }
    if (is_clean(d, "train.batch") && t->batch % t->ranks != 0) {
        char message[96];
        uint32_t up = (t->batch / t->ranks + 1) * t->ranks;
        (void)snprintf(message, sizeof message, "must be divisible by train.ranks (%u), such as %u",
                       t->ranks, up);
        wrong_number(d, "train.batch", t->batch, message);
    }
}

static void check_local(struct spec_decode *d, const struct spec_job *job)
{
    const struct spec_train *t = &job->train;
    if (t->local.warmup_epochs == 0 || t->local.warmup_epochs < t->epochs ||
        !is_clean(d, "train.local") || !is_clean(d, "train.epochs")) {
        return;
    }
    char message[96];
    (void)snprintf(message, sizeof message, "must be below train.epochs (%u), or leave out local",
                   t->epochs);
    wrong_number(d, "train.local.warmup_epochs", t->local.warmup_epochs, message);
}

static void check_agents(struct spec_decode *d, struct spec_job *job)
{
    if (!is_clean(d, "resources.agents") || !is_clean(d, "train.ranks")) {
        return;
    }
    /* A member of federated rounds computes all ranks of its own steps. */
    uint32_t ranks = job->federated.on ? SPEC_AGENTS_MAX : job->train.ranks;
    if (job->agents_max == 0) {
        job->agents_max = ranks < SPEC_AGENTS_MAX ? ranks : SPEC_AGENTS_MAX;
        if (job->agents_max < job->agents_min) {
            job->agents_max = job->agents_min; /* judged against ranks below */
        }
    }
    bool full = false;
    const struct spec_node *agents = at_path(d->tree, "resources.agents", &full);
    bool map = full && agents->kind == SPEC_NODE_MAP;
    char message[96];
    if (job->agents_min > job->agents_max) {
        (void)snprintf(message, sizeof message, "must not exceed resources.agents.max (%u)",
                       job->agents_max);
        wrong_number(d, "resources.agents.min", job->agents_min, message);
    } else if (job->agents_min > ranks) {
        (void)snprintf(message, sizeof message,
                       "must not exceed train.ranks (%u): an agent computes at least one rank",
                       ranks);
        wrong_number(d, map ? "resources.agents.min" : "resources.agents", job->agents_min,
                     message);
    } else if (job->agents_max > ranks) {
        job->agents_max = ranks; /* more could never take part */
    }
}

static void check_reproducible(struct spec_decode *d, const struct spec_job *job)
{
    if (is_clean(d, "arithmetic") && is_clean(d, "reproducible") && job->reproducible &&
        job->arithmetic == SPEC_ARITHMETIC_ANY) {
        wrong_value(d, "reproducible", "true",
                    "not possible with arithmetic: any, which mixes arithmetic classes");
    } else if (is_clean(d, "train.wire") && is_clean(d, "reproducible") && job->reproducible &&
               job->train.wire.kind != KN_CODEC_F32) {
        wrong_value(d, "reproducible", "true",
                    "not possible with train.wire: what a sum loses on the way depends on who "
                    "computes which ranks");
    }
}

static void check_one_dataset(struct spec_decode *d, const struct spec_job *job)
{
    static const char *const FIELDS[] = {"data.train", "data.validation", "data.test"};
    const struct spec_source *sources[] = {&job->data.train, &job->data.validation,
                                           &job->data.test};
    const char *first = NULL;
    for (size_t i = 0; i < SH_COUNT(sources); i++) {
        if (!is_clean(d, FIELDS[i]) || sources[i]->kind != SPEC_SOURCE_DATASET) {
            continue;
        }
        if (first == NULL) {
            first = sources[i]->name;
        } else if (strcmp(first, sources[i]->name) != 0) {
            char message[160];
            char value[SH_NAME_MAX + 16];
            (void)snprintf(value, sizeof value, "dataset:%s", sources[i]->name);
            (void)snprintf(message, sizeof message,
                           "a job reads one node-local data set, and dataset:%s is one already",
                           first);
            wrong_value(d, FIELDS[i], value, message);
        }
    }
}

static void check_digits(struct spec_decode *d, const struct spec_job *job)
{
    const struct spec_model *m = &job->model;
    bool digits = job->data.train.kind == SPEC_SOURCE_BUILTIN;
    if (!digits || m->layer_count == 0 || !is_clean(d, "data") || !is_clean(d, "model.input")) {
        return;
    }
    if (m->input_dims != 3 || m->input[0] != 1 || m->input[1] != DIGITS_SIDE ||
        m->input[2] != DIGITS_SIDE) {
        wrong_value(d, "model.input", "", "must be [1, 28, 28], the shape of builtin:digits");
    }
}

/* What data.audio makes of a recording is what the model must take. */
static void check_audio(struct spec_decode *d, const struct spec_job *job)
{
    const struct spec_model *m = &job->model;
    const struct spec_audio *a = &job->data.reading.audio;
    if (a->mels == 0 || m->layer_count == 0 || !is_clean(d, "data") ||
        !is_clean(d, "model.input")) {
        return;
    }
    if (m->input_dims != 3 || m->input[0] != 1 || m->input[1] != a->mels ||
        m->input[2] != a->frames) {
        char message[96];
        (void)snprintf(message, sizeof message,
                       "must be [1, %u, %u]: mels and frames of data.audio", a->mels, a->frames);
        wrong_value(d, "model.input", "", message);
    }
}

/* The walk stands at layer `index` of the model. */
static void walk_to(struct spec_layer_walk *walk, const struct spec_tree *tree,
                    const struct spec_node *layers, uint32_t index)
{
    spec_layer_walk_init(walk, tree, layers);
    for (uint32_t passed = 0; passed <= index;) {
        const enum spec_layer_step step = spec_layer_walk_next(walk);
        SH_CHECK(step != SPEC_STEP_END);
        passed += step == SPEC_STEP_LAYER || step == SPEC_STEP_CLOSE ? 1 : 0;
    }
}

/* Does a place see what comes after it, which is what a text asks it to tell? */
static bool sees_ahead(const struct spec_model *model)
{
    bool ahead = false;
    for (uint32_t i = 0; i < model->layer_count; i++) {
        ahead = ahead || (model->layers[i].kind == SPEC_ATTENTION && !model->layers[i].causal);
    }
    return ahead;
}

/* Places of the model are those of the text, and its numbers those that it is asked to tell. */
static void check_text(struct spec_decode *d, const struct spec_job *job, const struct kn_model *m)
{
    const uint32_t context = job->data.reading.text.context;
    const uint32_t outputs = kn_model_outputs(m);
    char message[128];
    if (context == 0 && kn_model_places(m) > 1) {
        wrong_value(d, "model.layers", "",
                    "the last layer has a class at each place, which only data.text gives; put "
                    "flatten before the end");
    } else if (context > 0 && (job->model.input_dims != 1 || job->model.input[0] != context)) {
        (void)snprintf(message, sizeof message, "must be [%u], context of data.text", context);
        wrong_value(d, "model.input", "", message);
    } else if (context > 0 && (kn_model_places(m) != context || job->train.loss == SPEC_MSE)) {
        (void)snprintf(message, sizeof message,
                       "data.text needs a class at each of %u places: begin with embedding and end "
                       "with dense",
                       context);
        wrong_value(d, "model.layers", "", message);
    } else if (context > 0 && sees_ahead(&job->model)) {
        wrong_value(d, "model.layers", "",
                    "with data.text attention must be causal: else a place sees the token that it "
                    "is asked to tell");
    } else if (context > 0 && (uint64_t)job->train.batch * context > KN_ROWS_MAX) {
        (void)snprintf(message, sizeof message, "with %u places a sample it must be at most %u",
                       context, KN_ROWS_MAX / context);
        wrong_number(d, "train.batch", job->train.batch, message);
    } else if (context > 0 && job->model.layers[0].vocab != outputs) {
        (void)snprintf(message, sizeof message,
                       "embedding has vocab %u; it must be %u, the outputs of the last layer",
                       job->model.layers[0].vocab, outputs);
        wrong_value(d, "model.layers", "", message);
    }
}

/* Recordings and text, both at once. */
static void check_reading(struct spec_decode *d, const struct spec_job *job)
{
    if (job->data.reading.audio.mels > 0 && job->data.reading.text.context > 0 &&
        is_clean(d, "data")) {
        wrong_value(d, "data.text", "", "the data are recordings: there is data.audio");
    }
}

static void note_fault(struct spec_decode *d, const struct spec_model *model,
                       const struct spec_graph_fault *fault)
{
    bool full = false;
    const struct spec_node *node = at_path(d->tree, "model.layers", &full);
    const size_t mark = spec_decode_enter(d, "model", 0);
    (void)spec_decode_enter(d, "layers", 0);
    if (fault->layer < model->layer_count) {
        struct spec_layer_walk walk;
        walk_to(&walk, d->tree, node, fault->layer);
        node = walk.node;
        (void)spec_layer_walk_enter(&walk, d);
        (void)spec_decode_enter(d, spec_layer_kind_name(model->layers[fault->layer].kind), 0);
    }
    spec_note(d->errors, node->at, d->path, NULL, "%s", fault->diag.text);
    spec_decode_leave(d, mark);
}

static void check_outputs(struct spec_decode *d, struct spec_job *job, uint32_t outputs)
{
    struct spec_train *t = &job->train;
    char message[128];
    if (t->loss == SPEC_MSE) {
        if (t->class_count > 0) {
            wrong_value(d, "train.classes", "", "not possible with loss: mse");
        } else if (outputs != 1) {
            (void)snprintf(message, sizeof message,
                           "with loss: mse the last layer must have 1 output, not %u", outputs);
            wrong_value(d, "model.layers", "", message);
        }
        return;
    }
    if (outputs > SPEC_CLASSES_MAX) {
        (void)snprintf(message, sizeof message, "%u outputs are more than the %u classes allowed",
                       outputs, SPEC_CLASSES_MAX);
        wrong_value(d, "model.layers", "", message);
    } else if (t->class_count == 0) {
        t->class_count = outputs;
    } else if (t->class_count != outputs) {
        (void)snprintf(message, sizeof message, "must be %u, the outputs of the last layer",
                       outputs);
        wrong_number(d, "train.classes", t->class_count, message);
    }
    if (job->data.train.kind == SPEC_SOURCE_BUILTIN && outputs < DIGITS_CLASSES) {
        (void)snprintf(message, sizeof message,
                       "the last layer has %u outputs; builtin:digits needs %u", outputs,
                       DIGITS_CLASSES);
        wrong_value(d, "model.layers", "", message);
    }
}

static void check_model(struct spec_decode *d, struct spec_job *job)
{
    if (job->model.layer_count == 0) {
        return; /* fine-tune: it is not resolved yet. Else it is missing */
    }
    if (!is_clean(d, "model") || !is_clean(d, "train.loss") || !is_clean(d, "train.classes") ||
        !is_clean(d, "data")) {
        return;
    }
    struct spec_graph_fault fault;
    struct kn_model *m = NULL;
    enum sh_err err = spec_graph_build(&job->model, job->train.loss, &m, &fault);
    if (err != SH_OK) {
        note_fault(d, &job->model, &fault);
        return;
    }
    check_outputs(d, job, kn_model_outputs(m));
    check_text(d, job, m);
    kn_model_close(m);
}

static void check_normalize(struct spec_decode *d, const struct spec_job *job)
{
    if (job->kind == SPEC_TRAIN && job->data.normalize == SPEC_NORMALIZE_INHERIT) {
        wrong_value(d, "data.normalize", "inherit", "is for kind: fine-tune");
    }
}

void spec_check_job(struct spec_decode *d, struct spec_job *job)
{
    bool commands = job->kind == SPEC_EXEC || job->kind == SPEC_DATA_PREP;
    if (is_clean(d, "resources")) {
        spec_check_resources(d, job);
    }
    if (commands && is_clean(d, "resources.agents")) {
        spec_check_exec(d, job);
    }
    if (job->kind == SPEC_ENSEMBLE && !job->use.all && job->use.count > 0) {
        job->units = job->use.count;
    }
    if (job->kind != SPEC_TRAIN && job->kind != SPEC_FINE_TUNE) {
        return;
    }
    check_normalize(d, job);
    check_ranks(d, job);
    check_local(d, job);
    check_agents(d, job);
    check_reproducible(d, job);
    check_one_dataset(d, job);
    check_digits(d, job);
    check_reading(d, job);
    check_audio(d, job);
    check_model(d, job);
}
