/* SPDX-License-Identifier: Apache-2.0
 *
 * The section "sweep". */
#include "spec/schema.h"
#include "spec/sweep_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE_MAX          2147483647.0
#define SPEC_MESSAGE_BYTES 192u
#define EPOCHS             "train.epochs"

static const struct spec_choice METHODS[] = {{"grid", SPEC_SWEEP_GRID},
                                             {"random", SPEC_SWEEP_RANDOM},
                                             {"hyperband", SPEC_SWEEP_HYPERBAND},
                                             {NULL, 0}};
static const struct spec_choice RANGES[] = {{"uniform", SPEC_RANGE_UNIFORM},
                                            {"log_uniform", SPEC_RANGE_LOG_UNIFORM},
                                            {"int", SPEC_RANGE_INT},
                                            {"choice", SPEC_RANGE_LIST},
                                            {NULL, 0}};
static const struct spec_choice GOALS[] = {
    {"min", SPEC_GOAL_MIN}, {"max", SPEC_GOAL_MAX}, {NULL, 0}};

/* ---- decoding ---- */

static bool add_text(struct spec_decode *d, const struct spec_node *node, struct spec_sweep *sweep,
                     const char *text, uint32_t *at)
{
    size_t size = strlen(text) + 1;
    if (size > sizeof sweep->text - sweep->text_used) {
        spec_decode_wrong(d, node, "names and values of a sweep may have %u bytes together",
                          SPEC_SWEEP_TEXT_BYTES);
        return false;
    }
    *at = sweep->text_used;
    memcpy(sweep->text + sweep->text_used, text, size);
    sweep->text_used += (uint32_t)size;
    return true;
}

static bool is_whole(double number)
{
    return !(number > floor(number));
}

/* The scalar as JSON: whole numbers as they are, others with 15 digits. */
static bool scalar_text(const struct spec_node *node, char out[static SPEC_SCALAR_MAX + 1])
{
    double number = 0;
    if (node->kind != SPEC_NODE_SCALAR) {
        return false;
    }
    if (spec_scalar_number(node, &number)) {
        bool whole = fabs(number) < 1e15 && is_whole(number);
        (void)snprintf(out, SPEC_SCALAR_MAX + 1, whole ? "%.0f" : "%.15g", number);
        return true;
    }
    bool word =
        node->plain && (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0);
    json_t *value = word ? json_boolean(node->text[0] == 't') : json_string(node->text);
    size_t n = value != NULL ? json_dumpb(value, out, SPEC_SCALAR_MAX, JSON_ENCODE_ANY) : 0;
    json_decref(value);
    bool good = n > 0 && n < SPEC_SCALAR_MAX && !(node->plain && node->text[0] == '\0');
    out[good ? n : 0] = '\0';
    return good;
}

static void take_list(struct spec_decode *d, const struct spec_node *node, struct spec_sweep *sweep,
                      struct spec_parameter *p)
{
    char text[SPEC_SCALAR_MAX + 1];
    p->range = SPEC_RANGE_LIST;
    if (node->kind != SPEC_NODE_LIST || node->count == 0 || node->count > SPEC_VALUES_MAX) {
        spec_decode_wrong(d, node, "must be a list of 1 to %u values", SPEC_VALUES_MAX);
        return;
    }
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        uint32_t at = 0;
        size_t mark = spec_decode_enter(d, NULL, p->value_count);
        if (!scalar_text(n, text)) {
            spec_decode_wrong(d, n,
                              "must be a number, true, false, or a text of at most 255 bytes");
        } else if (add_text(d, n, sweep, text, &at)) {
            p->values = p->value_count == 0 ? at : p->values;
            p->value_count++;
        }
        spec_decode_leave(d, mark);
    }
}

static bool take_end(struct spec_decode *d, const struct spec_node *node, uint32_t index,
                     double *out)
{
    size_t mark = spec_decode_enter(d, NULL, index);
    bool good = spec_scalar_number(node, out);
    if (!good) {
        spec_decode_wrong(d, node, "must be a number");
    }
    spec_decode_leave(d, mark);
    return good;
}

static void take_ends(struct spec_decode *d, const struct spec_node *node, struct spec_parameter *p)
{
    if (node->kind != SPEC_NODE_LIST || node->count != 2) {
        spec_decode_wrong(d, node, "must be [LOW, HIGH]: two numbers");
        return;
    }
    const struct spec_node *low = spec_tree_first(d->tree, node);
    bool good = take_end(d, low, 0, &p->low);
    good = take_end(d, spec_tree_next(d->tree, low), 1, &p->high) && good;
    if (!good) {
        return;
    }
    if (p->low > p->high) {
        spec_decode_wrong(d, node, "must be [LOW, HIGH], LOW not above HIGH");
    } else if (p->range == SPEC_RANGE_LOG_UNIFORM && !(p->low > 0)) {
        spec_decode_wrong(d, node, "must be two numbers above 0");
    } else if (p->range == SPEC_RANGE_INT &&
               (!is_whole(p->low) || !is_whole(p->high) || fabs(p->low) > WHOLE_MAX ||
                fabs(p->high) > WHOLE_MAX)) {
        spec_decode_wrong(d, node, "must be two whole numbers from -2147483647 to 2147483647");
    }
}

static void take_range(struct spec_decode *d, const struct spec_node *node,
                       struct spec_sweep *sweep, struct spec_parameter *p)
{
    const struct spec_node *params = NULL;
    if (node->kind != SPEC_NODE_MAP) {
        take_list(d, node, sweep, p);
        return;
    }
    const struct spec_choice *found = spec_take_word(d, node, RANGES, "range", NULL, &params);
    if (found == NULL) {
        return;
    }
    size_t mark = spec_decode_enter(d, found->name, 0);
    p->range = (enum spec_range)found->value;
    if (p->range == SPEC_RANGE_LIST) {
        take_list(d, params, sweep, p);
    } else {
        take_ends(d, params, p);
    }
    spec_decode_leave(d, mark);
}

/* Behind all parameters with lesser names. */
static void insert(struct spec_sweep *sweep, const struct spec_parameter *p)
{
    uint32_t i = sweep->parameter_count++;
    while (i > 0 &&
           strcmp(sweep->text + p->name, sweep->text + sweep->parameters[i - 1].name) < 0) {
        sweep->parameters[i] = sweep->parameters[i - 1];
        i--;
    }
    sweep->parameters[i] = *p;
}

static void take_parameters(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_sweep *sweep = base;
    if (node->kind != SPEC_NODE_MAP || node->count == 0 || node->count > SPEC_PARAMETERS_MAX) {
        spec_decode_wrong(d, node,
                          "must be a map of 1 to %u parameters, such as {train.seed: "
                          "[1, 2, 3]}",
                          SPEC_PARAMETERS_MAX);
        return;
    }
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        struct spec_parameter p = {.range = SPEC_RANGE_LIST};
        if (strlen(n->key) > SPEC_PARAMETER_MAX) {
            spec_note(d->errors, n->key_at, d->path, n->key, "must have at most %u bytes",
                      SPEC_PARAMETER_MAX);
            continue;
        }
        size_t mark = spec_decode_enter(d, n->key, 0);
        if (add_text(d, n, sweep, n->key, &p.name)) {
            take_range(d, n, sweep, &p);
            insert(sweep, &p);
        }
        spec_decode_leave(d, mark);
    }
}

static const struct spec_field SWEEP[] = {
    {.key = "method",
     .type = SPEC_FIELD_CHOICE,
     .offset = offsetof(struct spec_sweep, method),
     .choices = METHODS,
     .required = true},
    {.key = "parameters", .type = SPEC_FIELD_CUSTOM, .take = take_parameters, .required = true},
    {.key = "goal",
     .type = SPEC_FIELD_CHOICE,
     .offset = offsetof(struct spec_sweep, goal),
     .choices = GOALS},
    {.key = "metric", .type = SPEC_FIELD_NAME, .offset = offsetof(struct spec_sweep, metric)},
    {.key = "trials",
     .type = SPEC_FIELD_U32,
     .offset = offsetof(struct spec_sweep, trials),
     .low = 1,
     .high = SPEC_SWEEP_UNITS_MAX},
    {.key = "seed",
     .type = SPEC_FIELD_U64,
     .offset = offsetof(struct spec_sweep, seed),
     .low = 0,
     .high = 9007199254740991.0},
    {.key = "eta",
     .type = SPEC_FIELD_U32,
     .offset = offsetof(struct spec_sweep, eta),
     .low = 2,
     .high = 10},
    {.key = "max_resource",
     .type = SPEC_FIELD_U32,
     .offset = offsetof(struct spec_sweep, max_resource),
     .low = 1,
     .high = SPEC_RESOURCE_MAX},
    {.key = "resource", .type = SPEC_FIELD_TEXT, .offset = offsetof(struct spec_sweep, resource)}};

void spec_take_sweep(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_job *job = base;
    struct spec_sweep *sweep = &job->sweep;
    sweep->goal = SPEC_GOAL_MIN;
    sweep->seed = 1;
    sweep->eta = 3;
    (void)snprintf(sweep->metric, sizeof sweep->metric, "val_loss");
    if (job->kind == SPEC_TRAIN) {
        (void)snprintf(sweep->resource, sizeof sweep->resource, EPOCHS);
    }
    spec_decode_map(d, node, SWEEP, SH_COUNT(SWEEP), sweep);
}

/* ---- printing ---- */

static json_t *parameter_json(const struct spec_sweep *sweep, const struct spec_parameter *p)
{
    if (p->range != SPEC_RANGE_LIST) {
        json_t *ends = json_array();
        for (int i = 0; i < 2; i++) {
            double end = i == 0 ? p->low : p->high;
            (void)json_array_append_new(
                ends, p->range == SPEC_RANGE_INT ? json_integer((json_int_t)end) : json_real(end));
        }
        return json_pack("{s:o}", spec_choice_name(RANGES, (int)p->range), ends);
    }
    json_t *list = json_array();
    const char *at = sweep->text + p->values;
    for (uint32_t i = 0; i < p->value_count; i++, at += strlen(at) + 1) {
        (void)json_array_append_new(list, json_loads(at, JSON_DECODE_ANY, NULL));
    }
    return list;
}

json_t *spec_sweep_json(const struct spec_sweep *sweep)
{
    json_t *parameters = json_object();
    for (uint32_t i = 0; i < sweep->parameter_count; i++) {
        (void)json_object_set_new(parameters, spec_parameter_name(sweep, i),
                                  parameter_json(sweep, &sweep->parameters[i]));
    }
    json_t *out =
        json_pack("{s:s, s:s, s:s, s:o}", "method", spec_choice_name(METHODS, (int)sweep->method),
                  "goal", spec_choice_name(GOALS, (int)sweep->goal), "metric", sweep->metric,
                  "parameters", parameters);
    if (sweep->method != SPEC_SWEEP_GRID) {
        (void)json_object_set_new(out, "seed", json_integer((json_int_t)sweep->seed));
    }
    if (sweep->method == SPEC_SWEEP_RANDOM) {
        (void)json_object_set_new(out, "trials", json_integer(sweep->trials));
    } else if (sweep->method == SPEC_SWEEP_HYPERBAND) {
        (void)json_object_set_new(out, "eta", json_integer(sweep->eta));
        (void)json_object_set_new(out, "max_resource", json_integer(sweep->max_resource));
        (void)json_object_set_new(out, "resource", json_string(sweep->resource));
    }
    return out;
}

/* ---- checks ---- */

/* The section, the member of it, or that parameter: the deepest of them that stands in the file. */
static const struct spec_node *node_of(const struct spec_decode *d, const char *key,
                                       const char *parameter)
{
    const struct spec_node *at = spec_tree_member(d->tree, &d->tree->nodes[SPEC_ROOT], "sweep");
    const struct spec_node *found = at;
    SH_CHECK(at != NULL);
    if (key != NULL && (found = spec_tree_member(d->tree, at, key)) != NULL) {
        at = found;
    }
    if (parameter != NULL && (found = spec_tree_member(d->tree, at, parameter)) != NULL) {
        at = found;
    }
    return at;
}

static void wrong(struct spec_decode *d, const char *key, const char *value, const char *message)
{
    char field[32];
    (void)snprintf(field, sizeof field, "sweep.%s", key);
    spec_note(d->errors, node_of(d, key, NULL)->at, field, value, "%s", message);
}

static void wrong_parameter(struct spec_decode *d, const char *name, const char *value,
                            const char *message)
{
    char field[SPEC_PARAMETER_MAX + 32];
    (void)snprintf(field, sizeof field, "sweep.parameters.%s", name);
    spec_note(d->errors, node_of(d, "parameters", name)->at, field, value, "%s", message);
}

/* Keys that belong to some methods only. */
static void check_keys(struct spec_decode *d, const struct spec_sweep *sweep)
{
    static const struct {
        const char *key;
        uint32_t methods;
        uint32_t required;
        const char *message;
    } KEYS[] = {
        {"trials", 1u << SPEC_SWEEP_RANDOM, 1u << SPEC_SWEEP_RANDOM,
         "random search says how many draws it makes: 1 to 1000; the other methods have none"},
        {"seed", 1u << SPEC_SWEEP_RANDOM | 1u << SPEC_SWEEP_HYPERBAND, 0,
         "nothing is drawn in a grid"},
        {"eta", 1u << SPEC_SWEEP_HYPERBAND, 0, "belongs to method: hyperband"},
        {"max_resource", 1u << SPEC_SWEEP_HYPERBAND, 1u << SPEC_SWEEP_HYPERBAND,
         "Hyperband says what the best get, such as 81 epochs; the other methods have none"},
        {"resource", 1u << SPEC_SWEEP_HYPERBAND, 0, "belongs to method: hyperband"}};
    const struct spec_node *section = node_of(d, NULL, NULL);
    for (size_t i = 0; i < SH_COUNT(KEYS); i++) {
        const struct spec_node *at = spec_tree_member(d->tree, section, KEYS[i].key);
        bool may = (KEYS[i].methods >> sweep->method & 1) != 0;
        bool must = (KEYS[i].required >> sweep->method & 1) != 0;
        if ((at != NULL && !may) || (at == NULL && must)) {
            wrong(d, KEYS[i].key, at != NULL ? at->text : "", KEYS[i].message);
        }
    }
}

static void check_name(struct spec_decode *d, const struct spec_job *job, const char *name)
{
    if (job->kind == SPEC_EXEC) {
        if (!spec_is_variable(name)) {
            wrong_parameter(d, name, NULL,
                            "must be the name of an environment variable: letters, digits and '_', "
                            "the first no digit, and not begin with SHOAL_");
        }
        return;
    }
    bool inside = strncmp(name, "train.", 6) == 0 || strncmp(name, "model.", 6) == 0;
    if (!inside || strcmp(name, "train.ranks") == 0) {
        wrong_parameter(d, name, NULL,
                        "must be a value of train (not train.ranks) or model, such as "
                        "train.optimizer.sgd.lr or model.layers[0].conv2d.filters");
    } else if (!spec_sweep_path_exists(job, name)) {
        wrong_parameter(
            d, name, NULL,
            "this job has no such value; shoal validate --json shows those that it has, "
            "defaults included");
    }
}

static void check_resource(struct spec_decode *d, const struct spec_job *job)
{
    const struct spec_sweep *sweep = &job->sweep;
    if (sweep->method != SPEC_SWEEP_HYPERBAND) {
        return;
    }
    if (job->kind == SPEC_TRAIN && strcmp(sweep->resource, EPOCHS) != 0) {
        wrong(d, "resource", sweep->resource, "must be train.epochs");
    } else if (job->kind == SPEC_EXEC && !spec_is_variable(sweep->resource)) {
        wrong(d, "resource", sweep->resource,
              "must be the name of the environment variable that tells the commands how much they "
              "may use, such as EPOCHS");
    }
    for (uint32_t i = 0; i < sweep->parameter_count; i++) {
        if (strcmp(spec_parameter_name(sweep, i), sweep->resource) == 0) {
            wrong_parameter(d, sweep->resource, NULL, "is the resource, which Hyperband sets");
        }
    }
}

static void check_metric(struct spec_decode *d, const struct spec_job *job)
{
    const struct spec_sweep *sweep = &job->sweep;
    static const char *const MEASURED[] = {"val_loss", "val_accuracy", "train_loss"};
    bool known = job->kind != SPEC_TRAIN;
    for (size_t i = 0; i < SH_COUNT(MEASURED); i++) {
        known = known || strcmp(sweep->metric, MEASURED[i]) == 0;
    }
    bool validates =
        job->data.validation.kind != SPEC_SOURCE_NONE || job->data.validation_fraction > 0;
    if (!known) {
        wrong(d, "metric", sweep->metric, "must be one of: val_loss, val_accuracy, train_loss");
    } else if (job->kind == SPEC_TRAIN && sweep->metric[0] == 'v' && !validates) {
        wrong(d, "metric", sweep->metric, "needs data.validation above 0, or a data set there");
    }
}

static void check_ranges(struct spec_decode *d, const struct spec_sweep *sweep)
{
    for (uint32_t i = 0; i < sweep->parameter_count; i++) {
        if (sweep->method == SPEC_SWEEP_GRID && sweep->parameters[i].range != SPEC_RANGE_LIST) {
            wrong_parameter(d, spec_parameter_name(sweep, i), NULL,
                            "a grid needs a list of values; ranges are for method: random and "
                            "hyperband");
        }
    }
}

/* ---- every unit through the schema ---- */

struct trial {
    struct spec_decode *d;
    const struct spec_job *job;
    char values[SPEC_PARAMETERS_MAX][SPEC_SCALAR_MAX + 1];
    struct spec_derived derived;
    struct spec_errors errors;
};

/* One value, with the job's own for all others. */
static void try_value(struct trial *t, uint32_t parameter, const char *value)
{
    char message[SPEC_MESSAGE_BYTES];
    memset(t->values, 0, sizeof t->values);
    (void)snprintf(t->values[parameter], sizeof t->values[0], "%s", value);
    if (spec_sweep_with(t->job, t->values, 0, NULL, &t->derived, &t->errors) == SH_OK) {
        return;
    }
    const struct spec_error *e = &t->errors.at[0];
    (void)snprintf(message, sizeof message, "%.64s: %.120s", t->errors.count > 0 ? e->field : "job",
                   t->errors.count > 0 ? e->message : "it would be too large");
    wrong_parameter(t->d, spec_parameter_name(&t->job->sweep, parameter), value, message);
}

static void try_parameter(struct trial *t, uint32_t parameter)
{
    const struct spec_sweep *sweep = &t->job->sweep;
    const struct spec_parameter *p = &sweep->parameters[parameter];
    if (p->range == SPEC_RANGE_LIST) {
        const char *at = sweep->text + p->values;
        for (uint32_t i = 0; i < p->value_count; i++, at += strlen(at) + 1) {
            try_value(t, parameter, at);
        }
        return;
    }
    for (int end = 0; end < 2; end++) {
        char value[32];
        (void)snprintf(value, sizeof value, "%.15g", end == 0 ? p->low : p->high);
        try_value(t, parameter, value);
    }
}

/* Values that are right alone may be wrong together. False: no further unit needs to be tried. */
static bool try_unit(struct trial *t, uint32_t unit, uint32_t origin)
{
    char message[SPEC_MESSAGE_BYTES];
    enum sh_err err = spec_sweep_derive(t->job, unit, origin, NULL, &t->derived, &t->errors);
    if (err == SH_OK) {
        return true;
    }
    const struct spec_error *e = &t->errors.at[0];
    (void)snprintf(message, sizeof message, "unit %u: %.64s: %.100s", unit,
                   t->errors.count > 0 ? e->field : "job",
                   t->errors.count > 0 ? e->message : sh_err_text(err));
    wrong(t->d, "parameters", t->derived.params, message);
    return false;
}

/* Units of later rungs differ from those of the first only in their resource, which is between
 * those of the first rung and of the last. */
static void try_all(struct spec_decode *d, const struct spec_job *job)
{
    struct spec_stage stages[SPEC_STAGES_MAX];
    uint32_t count = spec_sweep_stages(&job->sweep, stages);
    struct trial *t = malloc(sizeof *t);
    if (t == NULL) {
        wrong(d, "parameters", NULL, "no memory to try them");
        return;
    }
    t->d = d;
    t->job = job;
    for (uint32_t i = 0; i < job->sweep.parameter_count; i++) {
        try_parameter(t, i);
    }
    bool go_on = d->errors->count == 0;
    for (uint32_t s = 0; s < count; s++) {
        for (uint32_t i = 0; i < stages[s].count && go_on && !stages[s].after; i++) {
            go_on = try_unit(t, stages[s].first + i, stages[s].first + i);
        }
    }
    free(t);
}

void spec_check_sweep(struct spec_decode *d, struct spec_job *job, bool thorough)
{
    const struct spec_sweep *sweep = &job->sweep;
    if (sweep->method == SPEC_SWEEP_NONE || d->errors->count > 0) {
        return;
    }
    const struct spec_node *root = &d->tree->nodes[SPEC_ROOT];
    const struct spec_node *replicas = spec_tree_member(d->tree, root, "replicas");
    if (replicas != NULL) {
        spec_note(d->errors, replicas->at, "replicas", replicas->text,
                  "not possible with a sweep, whose units are its combinations or draws");
    }
    if (job->start.set) {
        const struct spec_node *start = spec_tree_member(d->tree, root, "start");
        spec_note(
            d->errors, start->at, "start", NULL,
            "not possible with a sweep: a checkpoint has the state of one set of values; each "
            "unit begins from its own");
    }
    check_keys(d, sweep);
    check_ranges(d, sweep);
    check_resource(d, job);
    check_metric(d, job);
    for (uint32_t i = 0; i < sweep->parameter_count; i++) {
        check_name(d, job, spec_parameter_name(sweep, i));
    }
    if (d->errors->count > 0) {
        return;
    }
    job->units = spec_sweep_units(sweep);
    if (job->units == 0) {
        char message[96];
        (void)snprintf(message, sizeof message, "gives more than %u units", SPEC_SWEEP_UNITS_MAX);
        wrong(d, sweep->method == SPEC_SWEEP_HYPERBAND ? "max_resource" : "parameters", NULL,
              message);
    } else if (thorough) {
        try_all(d, job);
    }
}
