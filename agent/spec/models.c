/* SPDX-License-Identifier: Apache-2.0
 *
 * Models of the registry as job files name them, and the keys of jobs that use them. */
#include "base/host/host.h"
#include "spec/measure.h"
#include "spec/models.h"
#include "spec/schema.h"
#include "spec/source.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION_DIGITS_MAX 9u
#define ALIAS_BEST         "best"
#define ALIAS_LATEST       "latest"

static struct spec_use *use_of(void *base)
{
    return &((struct spec_job *)base)->use;
}

/* ---- one model ---- */

bool spec_model_ref_read(const char *text, struct spec_model_ref *ref)
{
    static const char prefix[] = "model:";
    *ref = (struct spec_model_ref){.version = 0};
    const char *name =
        strncmp(text, prefix, sizeof prefix - 1) == 0 ? text + sizeof prefix - 1 : text;
    size_t n = strcspn(name, ":@");
    if (n > SH_NAME_MAX) {
        return false;
    }
    memcpy(ref->name, name, n);
    ref->name[n] = '\0';
    if (name[n] == '\0') {
        return spec_is_name(ref->name);
    }
    if (name[n] == '@') {
        bool best = strcmp(name + n + 1, ALIAS_BEST) == 0;
        ref->alias = best ? SPEC_ALIAS_BEST : SPEC_ALIAS_LATEST;
        return (best || strcmp(name + n + 1, ALIAS_LATEST) == 0) && spec_is_name(ref->name);
    }
    const char *version = name + n + 1;
    size_t digits = strspn(version, "0123456789");
    bool good = digits > 0 && digits <= VERSION_DIGITS_MAX && version[digits] == '\0';
    ref->version = good ? (uint32_t)strtoul(version, NULL, 10) : 0;
    return ref->version > 0 && spec_is_name(ref->name);
}

void spec_model_ref_write(const struct spec_model_ref *ref, char out[static SPEC_MODEL_REF_BYTES])
{
    char version[16] = "";
    if (ref->version > 0) {
        (void)snprintf(version, sizeof version, ":%u", ref->version);
    } else if (ref->alias != SPEC_ALIAS_NONE) {
        bool best = ref->alias == SPEC_ALIAS_BEST;
        (void)snprintf(version, sizeof version, "@%s", best ? ALIAS_BEST : ALIAS_LATEST);
    }
    (void)snprintf(out, SPEC_MODEL_REF_BYTES, "%s%s", ref->name, version);
}

static void take_file(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_model_ref *ref = base;
    if (node->kind != SPEC_NODE_SCALAR ||
        sh_unhex(ref->file, sizeof ref->file, node->text) != SH_OK) {
        spec_decode_wrong(d, node, "must be the 64 hexadecimal digits of a model's file");
    }
}

static const struct spec_field REF[] = {
    {.key = "name",
     .type = SPEC_FIELD_NAME,
     .offset = offsetof(struct spec_model_ref, name),
     .required = true},
    {.key = "version",
     .type = SPEC_FIELD_U32,
     .offset = offsetof(struct spec_model_ref, version),
     .low = 1,
     .high = 999999999,
     .required = true},
    {.key = "file", .type = SPEC_FIELD_CUSTOM, .take = take_file, .required = true},
    {.key = "job",
     .type = SPEC_FIELD_U64,
     .offset = offsetof(struct spec_model_ref, job),
     .low = 1,
     .high = 9007199254740991.0,
     .required = true},
    {.key = "script",
     .type = SPEC_FIELD_BOOL,
     .offset = offsetof(struct spec_model_ref, script),
     .required = true}};

/* NAME, NAME:VERSION, or what that became when the job was submitted. */
static bool take_ref(struct spec_decode *d, const struct spec_node *node,
                     struct spec_model_ref *ref)
{
    if (node->kind == SPEC_NODE_MAP) {
        size_t before = d->errors->count;
        *ref = (struct spec_model_ref){.resolved = true};
        spec_decode_map(d, node, REF, SH_COUNT(REF), ref);
        return d->errors->count == before;
    }
    bool good = node->kind == SPEC_NODE_SCALAR && spec_model_ref_read(node->text, ref);
    if (!good) {
        spec_decode_wrong(d, node, "must be a model of the registry: " SPEC_MODEL_REF_FORMS);
    }
    return good;
}

static void take_model(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_use *use = use_of(base);
    use->count = take_ref(d, node, &use->models[0]) ? 1 : 0;
}

static bool is_member(const struct spec_use *use, const struct spec_model_ref *ref)
{
    bool found = false;
    for (uint32_t i = 0; i < use->count && !found; i++) {
        found = use->models[i].version == ref->version && use->models[i].alias == ref->alias &&
                strcmp(use->models[i].name, ref->name) == 0;
    }
    return found;
}

/* A name alone: all its versions. Else a list. */
static void take_models(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_use *use = use_of(base);
    use->count = 0;
    if (node->kind == SPEC_NODE_SCALAR) {
        take_model(d, node, base);
        use->all = use->count == 1 && use->models[0].version == 0 &&
                   use->models[0].alias == SPEC_ALIAS_NONE;
        return;
    }
    if (node->kind != SPEC_NODE_LIST || node->count == 0 || node->count > SPEC_MODELS_MAX) {
        spec_decode_wrong(d, node,
                          "must be the name of a model, for all its versions, or a list of 1 to %u "
                          "models, such as [digits:1, digits:2]",
                          SPEC_MODELS_MAX);
        return;
    }
    uint32_t i = 0;
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        struct spec_model_ref ref;
        size_t mark = spec_decode_enter(d, NULL, i++);
        if (take_ref(d, n, &ref) && is_member(use, &ref)) {
            spec_decode_wrong(d, n, "is a member already");
        } else {
            use->models[use->count++] = ref;
        }
        spec_decode_leave(d, mark);
    }
}

/* ---- what is asked of it ---- */

static void take_input(struct spec_decode *d, const struct spec_node *node, void *base)
{
    const char *right = "must be builtin:NAME, dataset:NAME, or a path";
    if (node->kind == SPEC_NODE_SCALAR) {
        right = spec_source_read(node->text, &((struct spec_job *)base)->input);
    }
    if (right != NULL) {
        spec_decode_wrong(d, node, "%s", right);
    }
}

const struct spec_choice SPEC_COMBINES[] = {{"each", SPEC_COMBINE_EACH},
                                            {"mean", SPEC_COMBINE_MEAN},
                                            {"median", SPEC_COMBINE_MEDIAN},
                                            {"vote", SPEC_COMBINE_VOTE},
                                            {NULL, 0}};

static void take_combine(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_use *use = use_of(base);
    if (node->kind != SPEC_NODE_LIST || node->count == 0) {
        spec_decode_wrong(d, node, "must be a list, such as [mean, median]");
        return;
    }
    uint32_t i = 0;
    use->combine = 0;
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        size_t mark = spec_decode_enter(d, NULL, i++);
        const struct spec_choice *found =
            n->kind == SPEC_NODE_SCALAR ? spec_choice_find(SPEC_COMBINES, n->text) : NULL;
        if (found == NULL) {
            spec_decode_wrong(d, n, "must be one of: each, mean, median, vote");
        } else {
            use->combine |= (uint32_t)found->value;
        }
        spec_decode_leave(d, mark);
    }
}

static void take_deadline(struct spec_decode *d, const struct spec_node *node, void *base)
{
    uint64_t seconds = 0;
    bool good = node->kind == SPEC_NODE_SCALAR && spec_seconds_read(node->text, &seconds);
    if (!good || seconds == 0 || seconds > SPEC_SECONDS_MAX) {
        spec_decode_wrong(d, node, "must be a time such as 90s or 20m, from 1 s to a year");
    } else {
        use_of(base)->deadline_s = (uint32_t)seconds;
    }
}

static void take_reset(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_use *use = use_of(base);
    if (node->kind != SPEC_NODE_LIST || node->count > SPEC_RESET_MAX) {
        spec_decode_wrong(d, node, "must be a list of at most %u names of layers", SPEC_RESET_MAX);
        return;
    }
    static const struct spec_field LAYER = {.key = "reset", .type = SPEC_FIELD_NAME};
    use->reset_count = 0;
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        size_t mark = spec_decode_enter(d, NULL, use->reset_count);
        spec_decode_field(d, n, &LAYER, use->reset[use->reset_count++]);
        spec_decode_leave(d, mark);
    }
}

/* ---- evaluate ---- */

static void take_test(struct spec_decode *d, const struct spec_node *node, void *base)
{
    const char *right = "must be builtin:NAME, dataset:NAME, or a path";
    if (node->kind == SPEC_NODE_SCALAR) {
        right = spec_source_read(node->text, &((struct spec_job *)base)->data.test);
    }
    if (right != NULL) {
        spec_decode_wrong(d, node, "%s", right);
    }
}

static void take_evaluation_data(struct spec_decode *d, const struct spec_node *node, void *base)
{
    static const struct spec_field DATA[] = {
        {.key = "test", .type = SPEC_FIELD_CUSTOM, .take = take_test, .required = true},
        {.key = "label", .type = SPEC_FIELD_TEXT, .offset = offsetof(struct spec_job, data.label)}};
    spec_decode_map(d, node, DATA, SH_COUNT(DATA), base);
}

const struct spec_field SPEC_EVALUATE_JOB[SPEC_EVALUATE_FIELDS] = {
    {.key = "model", .type = SPEC_FIELD_CUSTOM, .take = take_model, .required = true},
    {.key = "data", .type = SPEC_FIELD_CUSTOM, .take = take_evaluation_data}};

const struct spec_field SPEC_PREDICT_JOB[SPEC_PREDICT_FIELDS] = {
    {.key = "model", .type = SPEC_FIELD_CUSTOM, .take = take_model, .required = true},
    {.key = "input", .type = SPEC_FIELD_CUSTOM, .take = take_input, .required = true}};

const struct spec_field SPEC_ENSEMBLE_JOB[SPEC_ENSEMBLE_FIELDS] = {
    {.key = "models", .type = SPEC_FIELD_CUSTOM, .take = take_models, .required = true},
    {.key = "input", .type = SPEC_FIELD_CUSTOM, .take = take_input, .required = true},
    {.key = "combine", .type = SPEC_FIELD_CUSTOM, .take = take_combine},
    {.key = "deadline", .type = SPEC_FIELD_CUSTOM, .take = take_deadline}};

const struct spec_field SPEC_FINE_TUNE_JOB[SPEC_FINE_TUNE_FIELDS] = {
    {.key = "from", .type = SPEC_FIELD_CUSTOM, .take = take_model, .required = true},
    {.key = "reset", .type = SPEC_FIELD_CUSTOM, .take = take_reset}};
