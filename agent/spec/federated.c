/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/federated.h"
#include "spec/federated_parts.h"

#include "spec/measure.h"
#include "spec/schema.h"
#include "spec/sweep_parts.h"

#include <stdio.h>
#include <string.h>

#define LEAST_DEFAULT    2u
#define DEADLINE_DEFAULT 60u
#define DEADLINE_MAX     604800u
#define OVER_DEFAULT     1.3
#define OVER_MAX         4
#define BUFFER_DEFAULT   10u
#define LATE_DEFAULT     20u
#define SKIPS_DEFAULT    5u
#define LR_MAX           1000.0

const struct spec_choice SPEC_ALGORITHMS[] = {
    {"fedavg", SPEC_FEDAVG},         {"fedavgm", SPEC_FEDAVGM}, {"fedprox", SPEC_FEDPROX},
    {"fedadagrad", SPEC_FEDADAGRAD}, {"fedadam", SPEC_FEDADAM}, {"fedyogi", SPEC_FEDYOGI},
    {"scaffold", SPEC_SCAFFOLD},     {"fedbuff", SPEC_FEDBUFF}, {NULL, 0}};
const struct spec_choice SPEC_RULES[] = {{"mean", SPEC_RULE_MEAN},
                                         {"median", SPEC_RULE_MEDIAN},
                                         {"trimmed-mean", SPEC_RULE_TRIMMED_MEAN},
                                         {"krum", SPEC_RULE_KRUM},
                                         {"multi-krum", SPEC_RULE_MULTI_KRUM},
                                         {NULL, 0}};
const struct spec_choice SPEC_WEIGHTS[] = {{"samples", SPEC_WEIGHT_SAMPLES},
                                           {"accuracy", SPEC_WEIGHT_ACCURACY},
                                           {"equal", SPEC_WEIGHT_EQUAL},
                                           {NULL, 0}};
static const struct spec_choice SHORTS[] = {{"skip", false}, {"carry", true}, {NULL, 0}};

const char *spec_algorithm_name(enum spec_algorithm algorithm)
{
    return spec_choice_name(SPEC_ALGORITHMS, (int)algorithm);
}

static struct spec_federated *federated_of(void *base)
{
    return &((struct spec_job *)base)->federated;
}

#define NUMBER(name, member, ...)                                                                  \
    {                                                                                              \
        .key = (name), .type = SPEC_FIELD_NUMBER,                                                  \
        .offset = offsetof(struct spec_job, federated.member), __VA_ARGS__                         \
    }
#define WHOLE(name, member, ...)                                                                   \
    {                                                                                              \
        .key = (name), .type = SPEC_FIELD_U32,                                                     \
        .offset = offsetof(struct spec_job, federated.member), __VA_ARGS__                         \
    }

struct kn_vote spec_federated_vote(const struct spec_federated *f)
{
    static const enum kn_vote_rule RULES[] = {[SPEC_RULE_MEAN] = KN_VOTE_MEAN,
                                              [SPEC_RULE_MEDIAN] = KN_VOTE_MEDIAN,
                                              [SPEC_RULE_TRIMMED_MEAN] = KN_VOTE_TRIMMED_MEAN,
                                              [SPEC_RULE_KRUM] = KN_VOTE_KRUM,
                                              [SPEC_RULE_MULTI_KRUM] = KN_VOTE_MULTI_KRUM};
    return (struct kn_vote){
        .rule = RULES[f->rule], .byzantine = f->byzantine, .norm_bound = f->norm_bound};
}

/* As kn_vote_members_min has it. */
static uint32_t rule_updates(const struct spec_federated *f)
{
    struct kn_vote vote = spec_federated_vote(f);
    return kn_vote_members_min(vote.rule, f->byzantine);
}

/* ---- select, continuation ---- */

static const struct spec_field FRACTION =
    NUMBER("fraction", fraction, .low = 0, .high = 1, .low_open = true);
static const struct spec_field COUNT = WHOLE("count", count, .low = 1, .high = SPEC_AGENTS_MAX);
static const struct spec_choice SELECTS[] = {{"all", SPEC_SELECT_ALL},
                                             {"fraction", SPEC_SELECT_FRACTION},
                                             {"count", SPEC_SELECT_COUNT},
                                             {NULL, 0}};

/* all, {fraction: 0.5} or {count: 3}. */
static void take_select(struct spec_decode *d, const struct spec_node *node, void *base)
{
    const struct spec_node *value = NULL;
    const struct spec_choice *choice = spec_take_word(d, node, SELECTS, "selection", NULL, &value);
    if (choice == NULL) {
        return;
    }
    federated_of(base)->select = (enum spec_select)choice->value;
    bool all = choice->value == SPEC_SELECT_ALL;
    if (all != (value == NULL)) {
        spec_decode_wrong(d, node, "must be all, {fraction: F} or {count: N}");
        return;
    }
    if (!all) {
        size_t mark = spec_decode_enter(d, choice->name, 0);
        spec_decode_field(d, value, choice->value == SPEC_SELECT_FRACTION ? &FRACTION : &COUNT,
                          base);
        spec_decode_leave(d, mark);
    }
}

static const struct spec_field GOAL =
    NUMBER("continuation", goal, .low = 0, .high = 1, .low_open = true);
static const struct spec_field GOAL_COUNT =
    WHOLE("updates", goal_count, .low = 1, .high = SPEC_AGENTS_MAX, .required = true);

/* A part of the cohort, or {updates: 3}. */
static void take_continuation(struct spec_decode *d, const struct spec_node *node, void *base)
{
    if (node->kind == SPEC_NODE_SCALAR) {
        spec_decode_field(d, node, &GOAL, base);
        return;
    }
    federated_of(base)->goal_counts = true;
    spec_decode_map(d, node, &GOAL_COUNT, 1, base);
}

static void take_deadline(struct spec_decode *d, const struct spec_node *node, void *base)
{
    uint64_t seconds = 0;
    bool good = node->kind == SPEC_NODE_SCALAR && spec_seconds_read(node->text, &seconds);
    if (!good || seconds < 1 || seconds > DEADLINE_MAX) {
        spec_decode_wrong(d, node, "must be a time from 1s to 7d, such as 60s or 2h");
        return;
    }
    federated_of(base)->deadline_s = (uint32_t)seconds;
}

static void take_short(struct spec_decode *d, const struct spec_node *node, void *base)
{
    const struct spec_choice *found =
        node->kind == SPEC_NODE_SCALAR ? spec_choice_find(SHORTS, node->text) : NULL;
    if (found == NULL) {
        spec_decode_wrong(d, node,
                          "must be skip (updates that are too few are dropped) or carry (they "
                          "count in the next round)");
        return;
    }
    federated_of(base)->carry = found->value != 0;
}

/* ---- algorithm ---- */

#define SERVER_LR NUMBER("lr", lr, .low = 0, .high = LR_MAX, .low_open = true)
#define BETA1     NUMBER("beta1", beta1, .low = 0, .high = 1, .high_open = true)
#define BETA2     NUMBER("beta2", beta2, .low = 0, .high = 1, .high_open = true)
#define TAU       NUMBER("tau", tau, .low = 0, .high = 1, .low_open = true)
static const struct spec_field AVG[] = {SERVER_LR};
static const struct spec_field AVGM[] = {SERVER_LR, BETA1};
static const struct spec_field PROX[] = {
    NUMBER("mu", mu, .low = 0, .high = LR_MAX, .low_open = true)};
static const struct spec_field ADAGRAD[] = {SERVER_LR, BETA1, TAU};
static const struct spec_field ADAM[] = {SERVER_LR, BETA1, BETA2, TAU};
static const struct spec_field BUFF[] = {
    SERVER_LR, WHOLE("updates", goal_count, .low = 1, .high = SPEC_AGENTS_MAX),
    WHOLE("staleness", late_max, .low = 1, .high = SPEC_FEDERATED_LATE_MAX)};

static void algorithm_defaults(struct spec_federated *f, enum spec_algorithm algorithm)
{
    bool adapts =
        algorithm == SPEC_FEDADAGRAD || algorithm == SPEC_FEDADAM || algorithm == SPEC_FEDYOGI;
    f->algorithm = algorithm;
    f->lr = adapts ? 0.1 : 1;
    f->beta1 = algorithm == SPEC_FEDADAGRAD ? 0 : 0.9;
    f->beta2 = 0.99;
    f->tau = 1e-3;
    f->mu = 0.01;
    if (algorithm == SPEC_FEDBUFF) {
        f->late_max = LATE_DEFAULT;
        f->goal_counts = true;
        f->goal_count = BUFFER_DEFAULT;
    }
}

static void take_algorithm(struct spec_decode *d, const struct spec_node *node, void *base)
{
    static const struct {
        const struct spec_field *at;
        size_t count;
    } FIELDS[] = {[SPEC_FEDAVG] = {AVG, SH_COUNT(AVG)},
                  [SPEC_FEDAVGM] = {AVGM, SH_COUNT(AVGM)},
                  [SPEC_FEDPROX] = {PROX, SH_COUNT(PROX)},
                  [SPEC_FEDADAGRAD] = {ADAGRAD, SH_COUNT(ADAGRAD)},
                  [SPEC_FEDADAM] = {ADAM, SH_COUNT(ADAM)},
                  [SPEC_FEDYOGI] = {ADAM, SH_COUNT(ADAM)},
                  [SPEC_SCAFFOLD] = {NULL, 0},
                  [SPEC_FEDBUFF] = {BUFF, SH_COUNT(BUFF)}};
    const struct spec_node *params = NULL;
    const struct spec_choice *choice =
        spec_take_word(d, node, SPEC_ALGORITHMS, "algorithm", NULL, &params);
    if (choice == NULL) {
        return;
    }
    algorithm_defaults(federated_of(base), (enum spec_algorithm)choice->value);
    if (params != NULL) {
        size_t mark = spec_decode_enter(d, choice->name, 0);
        spec_decode_map(d, params, FIELDS[choice->value].at, FIELDS[choice->value].count, base);
        spec_decode_leave(d, mark);
    }
}

static const struct spec_field AGGREGATE[] = {
    {.key = "rule",
     .type = SPEC_FIELD_CHOICE,
     .offset = offsetof(struct spec_job, federated.rule),
     .choices = SPEC_RULES},
    WHOLE("byzantine", byzantine, .low = 1, .high = SPEC_AGENTS_MAX / 2),
    NUMBER("norm_bound", norm_bound, .low = 0, .high = 1e6, .low_open = true)};

static void take_aggregate(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_decode_map(d, node, AGGREGATE, SH_COUNT(AGGREGATE), base);
    struct spec_federated *f = federated_of(base);
    if (f->rule == SPEC_RULE_MEAN && (f->byzantine > 0 || f->norm_bound > 0)) {
        spec_decode_wrong(d, node,
                          "rule: mean bears no liars: byzantine and norm_bound are for "
                          "the others");
    } else if (f->rule != SPEC_RULE_MEAN && f->byzantine == 0) {
        f->byzantine = 1;
    }
}

/* ---- the end ---- */

static const struct spec_field ACCURACY =
    NUMBER("accuracy", target, .low = 0, .high = 1, .low_open = true);
static const struct spec_field LOSS = NUMBER("loss", target, .low = 0, .high = 1e9);
static const struct spec_choice TARGETS[] = {{"accuracy", false}, {"loss", true}, {NULL, 0}};

/* {accuracy: 0.9} or {loss: 0.1}, on the data held out for validation. */
static void take_target(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_federated *f = federated_of(base);
    const struct spec_node *value = NULL;
    const struct spec_choice *choice = spec_take_word(d, node, TARGETS, "target", NULL, &value);
    if (choice == NULL) {
        return;
    }
    if (value == NULL) {
        spec_decode_wrong(d, node, "must be {accuracy: A} or {loss: L}");
        return;
    }
    f->has_target = true;
    f->target_loss = choice->value != 0;
    size_t mark = spec_decode_enter(d, choice->name, 0);
    spec_decode_field(d, value, f->target_loss ? &LOSS : &ACCURACY, base);
    spec_decode_leave(d, mark);
}

/* ---- the section ---- */

static const struct spec_field FEDERATED[] = {
    WHOLE("rounds", rounds, .low = 1, .high = SPEC_FEDERATED_ROUNDS_MAX, .required = true),
    WHOLE("local_epochs", local_epochs, .low = 1, .high = SPEC_EPOCHS_MAX),
    {.key = "select", .type = SPEC_FIELD_CUSTOM, .take = take_select},
    NUMBER("over", over, .low = 1, .high = OVER_MAX),
    {.key = "algorithm", .type = SPEC_FIELD_CUSTOM, .take = take_algorithm},
    {.key = "continuation", .type = SPEC_FIELD_CUSTOM, .take = take_continuation},
    WHOLE("min", least, .low = 1, .high = SPEC_AGENTS_MAX),
    {.key = "deadline", .type = SPEC_FIELD_CUSTOM, .take = take_deadline},
    {.key = "short", .type = SPEC_FIELD_CUSTOM, .take = take_short},
    WHOLE("skips", skips, .low = 1, .high = SPEC_FEDERATED_ROUNDS_MAX),
    {.key = "weight",
     .type = SPEC_FIELD_CHOICE,
     .offset = offsetof(struct spec_job, federated.weight),
     .choices = SPEC_WEIGHTS},
    {.key = "aggregate", .type = SPEC_FIELD_CUSTOM, .take = take_aggregate},
    {.key = "privacy", .type = SPEC_FIELD_CUSTOM, .take = spec_take_privacy},
    {.key = "secure",
     .type = SPEC_FIELD_BOOL,
     .offset = offsetof(struct spec_job, federated.secure)},
    WHOLE("patience", patience, .low = 1, .high = SPEC_FEDERATED_ROUNDS_MAX),
    {.key = "target", .type = SPEC_FIELD_CUSTOM, .take = take_target},
    {.key = "dataset", /* of kind exec */
     .type = SPEC_FIELD_NAME,
     .offset = offsetof(struct spec_job, data.train.name)}};

void spec_federated_defaults(struct spec_decode *d, const struct spec_node *root,
                             struct spec_job *job)
{
    const struct spec_node *section = spec_tree_member(d->tree, root, "federated");
    struct spec_federated *f = &job->federated;
    if (section == NULL) {
        return;
    }
    *f = (struct spec_federated){.on = true,
                                 .local_epochs = 1,
                                 .select = SPEC_SELECT_ALL,
                                 .over = OVER_DEFAULT,
                                 .goal = 1,
                                 .least = LEAST_DEFAULT,
                                 .deadline_s = DEADLINE_DEFAULT,
                                 .skips = SKIPS_DEFAULT,
                                 .weight = SPEC_WEIGHT_SAMPLES,
                                 .rule = SPEC_RULE_MEAN};
    algorithm_defaults(f, SPEC_FEDAVG);
    /* Machines that hold data are seldom alike, and nobody sees all of the data. */
    job->arithmetic = SPEC_ARITHMETIC_ANY;
    job->reproducible = false;
    if (job->kind == SPEC_TRAIN) {
        job->data.normalize = SPEC_NORMALIZE_NONE;
    }
    job->checkpoint_keep = 0; /* set by the checks, where the file does not say */
}

void spec_take_federated(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_decode_map(d, node, FEDERATED, SH_COUNT(FEDERATED), base);
    const struct spec_node *goal =
        node->kind == SPEC_NODE_MAP ? spec_tree_member(d->tree, node, "continuation") : NULL;
    if (federated_of(base)->algorithm == SPEC_FEDBUFF && goal != NULL) {
        size_t mark = spec_decode_enter(d, "continuation", 0);
        spec_decode_wrong(d, goal,
                          "is for other algorithms: fedbuff: {updates: N} says when a "
                          "round closes");
        spec_decode_leave(d, mark);
    }
}

/* ---- between sections ---- */

const struct spec_node *spec_federated_member(struct spec_decode *d, const char *section,
                                              const char *key)
{
    const struct spec_node *root = &d->tree->nodes[SPEC_ROOT];
    const struct spec_node *node = spec_tree_member(d->tree, root, section);
    if (node == NULL || key == NULL) {
        return node;
    }
    return node->kind == SPEC_NODE_MAP ? spec_tree_member(d->tree, node, key) : NULL;
}

void spec_federated_wrong(struct spec_decode *d, const char *section, const char *key,
                          const char *text)
{
    const struct spec_node *node = spec_federated_member(d, section, key);
    char field[96];
    (void)snprintf(field, sizeof field, "%s%s%s", section, key != NULL ? "." : "",
                   key != NULL ? key : "");
    if (node == NULL) {
        node = spec_federated_member(d, "federated", NULL);
    }
    spec_note(d->errors, node->at, field, NULL, "%s", text);
}

static void check_data(struct spec_decode *d, struct spec_job *job)
{
    if (spec_federated_member(d, "federated", "dataset") != NULL) {
        spec_federated_wrong(d, "federated", "dataset",
                             "is for kind: exec; here data.train names it");
    }
    if (job->data.train.kind != SPEC_SOURCE_DATASET) {
        spec_federated_wrong(
            d, "data", "train",
            "must be dataset:NAME, of which each agent holds its part (shoal dataset add "
            "--local): the section federated trains where the data is");
    }
    if (job->data.normalize == SPEC_NORMALIZE_STANDARD) {
        spec_federated_wrong(
            d, "data", "normalize",
            "must be none with the section federated: nobody sees all of the data to measure it");
    }
}

/* Scores come from what each agent holds out. */
static void check_scores(struct spec_decode *d, const struct spec_job *job)
{
    const struct spec_federated *f = &job->federated;
    bool measures =
        job->data.validation.kind != SPEC_SOURCE_NONE || job->data.validation_fraction > 0;
    bool classes = job->train.loss == SPEC_CROSS_ENTROPY;
    const char *const no_data = "needs data to measure on: data.validation above 0";
    const char *const no_classes = "needs classes: loss: cross_entropy";
    if (f->patience > 0 && !measures) {
        spec_federated_wrong(d, "federated", "patience", no_data);
    }
    if (f->has_target && !measures) {
        spec_federated_wrong(d, "federated", "target", no_data);
    } else if (f->has_target && !f->target_loss && !classes) {
        spec_federated_wrong(d, "federated", "target", no_classes);
    }
    if (f->weight == SPEC_WEIGHT_ACCURACY && (!measures || !classes)) {
        spec_federated_wrong(d, "federated", "weight", measures ? no_classes : no_data);
    }
}

static void check_train(struct spec_decode *d, struct spec_job *job)
{
    const struct spec_federated *f = &job->federated;
    const struct spec_optimizer *o = &job->train.optimizer;
    uint64_t epochs = (uint64_t)f->rounds * f->local_epochs;
    char text[160];
    check_data(d, job);
    check_scores(d, job);
    if (f->algorithm == SPEC_SCAFFOLD && (o->kind != SPEC_SGD || o->momentum > 0)) {
        spec_federated_wrong(
            d, "federated", "algorithm",
            "scaffold needs train.optimizer: sgd without momentum: its corrections are of plain "
            "gradients");
    }
    if (epochs > SPEC_EPOCHS_MAX) {
        (void)snprintf(text, sizeof text, "rounds times local_epochs must be at most %u",
                       SPEC_EPOCHS_MAX);
        spec_federated_wrong(d, "federated", "local_epochs", text);
    } else if (spec_federated_member(d, "train", "epochs") != NULL && job->train.epochs != epochs) {
        (void)snprintf(text, sizeof text,
                       "must be left out, or be %llu: federated.rounds times local_epochs",
                       (unsigned long long)epochs);
        spec_federated_wrong(d, "train", "epochs", text);
    }
    job->train.epochs = (uint32_t)epochs;
    if (job->train.local.steps > 0) {
        spec_federated_wrong(
            d, "train", "local",
            "is not possible with the section federated: its members train apart anyway");
    }
    if (job->train.wire.kind != KN_CODEC_F32) {
        spec_federated_wrong(d, "train", "wire",
                             "is not possible with the section federated: its updates are sent "
                             "whole");
    }
    if (job->start.set) {
        spec_federated_wrong(d, "start", NULL, "is not possible with the section federated");
    }
}

/* What a script trains is its own business: nothing here has a gradient of it, or measures it. */
static void check_exec(struct spec_decode *d, struct spec_job *job)
{
    const struct spec_federated *f = &job->federated;
    const struct spec_exec *exec = &job->exec;
    static const char *const natives[] = {"target", "patience"};
    if (spec_federated_member(d, "federated", "dataset") == NULL) {
        spec_federated_wrong(d, "federated", "dataset",
                             "is missing: the data set of which each agent has a part");
    }
    job->data.train.kind = SPEC_SOURCE_DATASET;
    for (size_t i = 0; i < SH_COUNT(natives); i++) {
        if (spec_federated_member(d, "federated", natives[i]) != NULL) {
            spec_federated_wrong(d, "federated", natives[i],
                                 "is for kind: train; a script trains as it likes");
        }
    }
    if (f->local_epochs != 1) {
        spec_federated_wrong(d, "federated", "local_epochs",
                             "is for kind: train; a script trains as it likes");
    }
    if (f->weight == SPEC_WEIGHT_ACCURACY) {
        spec_federated_wrong(d, "federated", "weight",
                             "must be samples or equal: accuracy is measured by kind: train");
    }
    if (f->algorithm == SPEC_FEDPROX || f->algorithm == SPEC_SCAFFOLD) {
        spec_federated_wrong(d, "federated", "algorithm",
                             "fedprox and scaffold change gradients, which only kind: train has");
    }
    if (job->units != 1) {
        spec_federated_wrong(d, "replicas", NULL, "must be 1 with the section federated");
    }
    if (exec->checkpoint.count > 0 || exec->checkpoint_every_s > 0) {
        spec_federated_wrong(
            d, "checkpoint", exec->checkpoint.count > 0 ? "files" : "every",
            "is not possible with the section federated: each round is a checkpoint");
    }
    if (exec->outputs.count > (exec->model.count > 0 ? 1u : 0u)) {
        spec_federated_wrong(
            d, "outputs", NULL,
            "is not possible with the section federated: what is left is the model");
    }
    if ((exec->predict_count > 0 || exec->evaluate_count > 0) && exec->model.count == 0) {
        spec_federated_wrong(d, "model_file", NULL,
                             "is missing: where predict and evaluate find the model");
    }
    if (job->where.gpus > 0) {
        spec_federated_wrong(d, "resources", "gpus", "is not possible with the section federated");
    }
}

/* Rules against liars count all updates alike, and need enough of them. */
static void check_rule(struct spec_decode *d, const struct spec_federated *f)
{
    char text[160];
    if (f->rule == SPEC_RULE_MEAN) {
        return;
    }
    if (f->algorithm == SPEC_SCAFFOLD || f->algorithm == SPEC_FEDBUFF) {
        (void)snprintf(text, sizeof text, "%s needs rule: mean: the others count all updates alike",
                       spec_algorithm_name(f->algorithm));
        spec_federated_wrong(d, "federated", "aggregate", text);
    } else if (f->weight == SPEC_WEIGHT_ACCURACY) {
        spec_federated_wrong(d, "federated", "weight",
                             "needs rule: mean: the others count all updates alike");
    }
    uint32_t least = rule_updates(f);
    if (f->least < least) {
        (void)snprintf(text, sizeof text,
                       "must be at least %u: so many updates %s needs to bear %u", least,
                       spec_choice_name(SPEC_RULES, (int)f->rule), f->byzantine);
        spec_federated_wrong(d, "federated", "min", text);
    }
}

void spec_check_federated(struct spec_decode *d, struct spec_job *job)
{
    struct spec_federated *f = &job->federated;
    if (!f->on) {
        return;
    }
    uint32_t kept = f->rounds + 2; /* the model that it begins with, and what evaluating adds */
    if (job->checkpoint_keep == 0) {
        job->checkpoint_keep = kept < SPEC_KEEP_MAX ? kept : SPEC_KEEP_MAX;
    }
    if (d->errors->count > 0) {
        return;
    }
    if (job->kind == SPEC_EXEC) {
        check_exec(d, job);
    } else {
        check_train(d, job);
    }
    if (job->sweep.method != SPEC_SWEEP_NONE) {
        spec_federated_wrong(d, "sweep", NULL, "is not possible with the section federated");
    }
    spec_check_guards(d, job);
    if (f->select == SPEC_SELECT_COUNT && f->least > f->count) {
        spec_federated_wrong(d, "federated", "min", "must not exceed select.count");
    }
    if (f->goal_counts && f->least > f->goal_count) {
        spec_federated_wrong(d, "federated", "min",
                             "must not exceed the updates that close a round");
    }
    check_rule(d, f);
    if (f->least > job->agents_max) {
        spec_federated_wrong(d, "federated", "min", "must not exceed resources.agents.max");
    }
}

/* ---- canonical ---- */

static json_t *algorithm_json(const struct spec_federated *f)
{
    json_t *params = json_object();
    bool adapts = f->algorithm == SPEC_FEDADAGRAD || f->algorithm == SPEC_FEDADAM ||
                  f->algorithm == SPEC_FEDYOGI;
    if (f->algorithm == SPEC_FEDPROX) {
        (void)json_object_set_new(params, "mu", json_real(f->mu));
    } else if (f->algorithm != SPEC_SCAFFOLD) {
        (void)json_object_set_new(params, "lr", json_real(f->lr));
    }
    if (adapts || f->algorithm == SPEC_FEDAVGM) {
        (void)json_object_set_new(params, "beta1", json_real(f->beta1));
    }
    if (adapts && f->algorithm != SPEC_FEDADAGRAD) {
        (void)json_object_set_new(params, "beta2", json_real(f->beta2));
    }
    if (adapts) {
        (void)json_object_set_new(params, "tau", json_real(f->tau));
    }
    if (f->algorithm == SPEC_FEDBUFF) {
        (void)json_object_set_new(params, "updates", json_integer(f->goal_count));
        (void)json_object_set_new(params, "staleness", json_integer(f->late_max));
    }
    return json_pack("{s:o}", spec_choice_name(SPEC_ALGORITHMS, (int)f->algorithm), params);
}

static json_t *select_json(const struct spec_federated *f)
{
    if (f->select == SPEC_SELECT_FRACTION) {
        return json_pack("{s:f}", "fraction", f->fraction);
    }
    return f->select == SPEC_SELECT_COUNT ? json_pack("{s:i}", "count", (int)f->count)
                                          : json_string("all");
}

void spec_put_federated(json_t *out, const struct spec_job *job)
{
    const struct spec_federated *f = &job->federated;
    if (!f->on) {
        return;
    }
    json_t *fed =
        json_pack("{s:i, s:i, s:o, s:f, s:o, s:i, s:i, s:s, s:i, s:s, s:{s:s}}", "rounds",
                  (int)f->rounds, "local_epochs", (int)f->local_epochs, "select", select_json(f),
                  "over", f->over, "algorithm", algorithm_json(f), "min", (int)f->least, "deadline",
                  (int)f->deadline_s, "short", f->carry ? "carry" : "skip", "skips", (int)f->skips,
                  "weight", spec_choice_name(SPEC_WEIGHTS, (int)f->weight), "aggregate", "rule",
                  spec_choice_name(SPEC_RULES, (int)f->rule));
    json_t *aggregate = json_object_get(fed, "aggregate");
    if (f->rule != SPEC_RULE_MEAN) {
        (void)json_object_set_new(aggregate, "byzantine", json_integer(f->byzantine));
    }
    if (f->norm_bound > 0) {
        (void)json_object_set_new(aggregate, "norm_bound", json_real(f->norm_bound));
    }
    if (job->kind == SPEC_EXEC) {
        (void)json_object_set_new(fed, "dataset", json_string(job->data.train.name));
    }
    spec_put_guards(fed, f);
    if (f->algorithm != SPEC_FEDBUFF) {
        (void)json_object_set_new(fed, "continuation",
                                  f->goal_counts ? json_pack("{s:i}", "updates", (int)f->goal_count)
                                                 : json_real(f->goal));
    }
    if (f->patience > 0) {
        (void)json_object_set_new(fed, "patience", json_integer(f->patience));
    }
    if (f->has_target) {
        (void)json_object_set_new(
            fed, "target", json_pack("{s:f}", f->target_loss ? "loss" : "accuracy", f->target));
    }
    (void)json_object_set_new(out, "federated", fed);
}
