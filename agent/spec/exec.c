/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of an exec job. */
#include "exec/pattern.h"
#include "spec/exec_words.h"
#include "spec/glob.h"
#include "spec/measure.h"
#include "spec/schema.h"
#include "spec/source.h"
#include "spec/sweep_parts.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define OUTPUTS_MAX 32u
#define ENV_MAX     128u
#define TIMEOUT_S   302400u /* 84 hours */
#define GRACE_S     30u
#define BETA_MAX    1e6
#define DISK_BYTES  (UINT64_C(20) << 30)

static struct spec_exec *exec_of(void *base)
{
    return &((struct spec_job *)base)->exec;
}

static void take_package(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_source *package = &exec_of(base)->package;
    bool good = node->kind == SPEC_NODE_SCALAR && spec_source_read(node->text, package) == NULL &&
                (package->kind == SPEC_SOURCE_FILES || package->kind == SPEC_SOURCE_PATH);
    if (!good) {
        spec_decode_wrong(d, node,
                          "must be a folder of at most %u bytes of name, or files: and "
                          "the 64 hexadecimal digits of a package",
                          SPEC_PATH_MAX);
    }
}

static void take_run(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_commands(d, node, exec, exec->run, &exec->run_count);
    if (node->kind == SPEC_NODE_LIST && node->count == 0) {
        spec_decode_wrong(d, node, "must have at least one command");
    }
}

static void take_predict(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_commands(d, node, exec, exec->predict, &exec->predict_count);
}

bool spec_is_variable(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return n > 0 && name[n] == '\0' && isdigit((unsigned char)name[0]) == 0 &&
           strncmp(name, "SHOAL_", 6) != 0;
}

static void take_env(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_pairs(d, node, exec, &exec->env, ENV_MAX, spec_is_variable,
                    "must be letters, digits and '_', the first no digit, and not begin with "
                    "SHOAL_, which shoal sets itself");
}

typedef void check_word_fn(struct spec_decode *d, const struct spec_node *node,
                           struct spec_exec *exec, const char *word);

/* Each of the words that were read from node, a list or one text, with its place in the file. */
static void check_words(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                        struct spec_words words, check_word_fn *check)
{
    bool list = node->kind == SPEC_NODE_LIST;
    const struct spec_node *n = list ? spec_tree_first(d->tree, node) : node;
    for (uint32_t i = 0; i < words.count; i++) {
        size_t mark = list ? spec_decode_enter(d, NULL, i) : 0;
        check(d, n, exec, spec_word(exec, words, i));
        if (list) {
            spec_decode_leave(d, mark);
            n = spec_tree_next(d->tree, n);
        }
    }
}

/* As it will be looked for when the commands have ended. */
static void check_glob(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                       const char *word)
{
    struct spec_glob glob;
    const char *why;
    (void)exec;
    if (spec_glob_compile(&glob, word, strlen(word), &why) != SH_OK) {
        spec_note(d->errors, node->at, d->path, word,
                  "must be a path inside the working folder, or a pattern of some: %s", why);
    }
}

static void check_file(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                       const char *word)
{
    check_glob(d, node, exec, word);
    if (strpbrk(word, "*?") != NULL) {
        spec_note(d->errors, node->at, d->path, word,
                  "must be the name of one file, without wildcards");
    }
}

/* The one file that a field names. */
static void take_file(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                      struct spec_words *words)
{
    spec_take_words(d, node, exec, words, 1);
    check_words(d, node, exec, *words, check_file);
}

static void take_outputs(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_words(d, node, exec, &exec->outputs, OUTPUTS_MAX);
    check_words(d, node, exec, exec->outputs, check_glob);
}

static void take_model(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    take_file(d, node, exec, &exec->model);
}

static void take_predictions(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    take_file(d, node, exec, &exec->predictions);
}

static void take_results_file(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    take_file(d, node, exec, &exec->results);
}

/* {file: results.csv, bucketing: cargo2000}, or the file alone. */
static void take_results(struct spec_decode *d, const struct spec_node *node, void *base)
{
    static const struct spec_field RESULTS[] = {
        {.key = "file", .type = SPEC_FIELD_CUSTOM, .take = take_results_file, .required = true},
        {.key = "bucketing",
         .type = SPEC_FIELD_CHOICE,
         .offset = offsetof(struct spec_job, exec.bucketing),
         .choices = SPEC_BUCKETINGS},
        {.key = "compat",
         .type = SPEC_FIELD_CHOICE,
         .offset = offsetof(struct spec_job, exec.compat),
         .choices = SPEC_COMPATS},
        {.key = "beta",
         .type = SPEC_FIELD_NUMBER,
         .offset = offsetof(struct spec_job, exec.beta),
         .low = 0,
         .low_open = true,
         .high = BETA_MAX}};
    if (node->kind == SPEC_NODE_SCALAR) {
        take_results_file(d, node, base);
    } else {
        spec_decode_map(d, node, RESULTS, SH_COUNT(RESULTS), base);
    }
}

static void take_evaluate(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_commands(d, node, exec, exec->evaluate, &exec->evaluate_count);
}

/* As the unit will take it, whose commands would else have run for nothing. */
static void check_pattern(struct spec_decode *d, const struct spec_node *node,
                          struct spec_exec *exec, struct exec_pattern pattern)
{
    struct sh_ere compiled;
    char why[256];
    if (exec_pattern_compile(&pattern, &compiled, &exec->pattern_steps, why, sizeof why) != SH_OK) {
        spec_note(d->errors, node->at, d->path, pattern.text, "%s", why);
    } else if (pattern.kind == EXEC_PATTERN_METRIC && compiled.groups == 0) {
        spec_note(d->errors, node->at, d->path, pattern.text,
                  "must have a group for the number, such as loss: ([0-9.]+)");
    }
}

static void check_abort(struct spec_decode *d, const struct spec_node *node, struct spec_exec *exec,
                        const char *word)
{
    check_pattern(d, node, exec, (struct exec_pattern){.kind = EXEC_PATTERN_ABORT, .text = word});
}

static void take_abort(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_words(d, node, exec, &exec->abort, SPEC_PATTERNS_MAX);
    check_words(d, node, exec, exec->abort, check_abort);
}

static void take_patterns(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_pairs(d, node, exec, &exec->patterns, SPEC_PATTERNS_MAX, spec_is_name,
                    "must be a name: letters, digits, '.', '_' and '-'");
    for (const struct spec_node *n = spec_tree_first(d->tree, node);
         n != NULL && exec->patterns.count == node->count; n = spec_tree_next(d->tree, n)) {
        size_t mark = spec_decode_enter(d, n->key, 0);
        check_pattern(
            d, n, exec,
            (struct exec_pattern){.kind = EXEC_PATTERN_METRIC, .text = n->text, .name = n->key});
        spec_decode_leave(d, mark);
    }
}

static void take_extract(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    exec->extract = 0;
    if (node->kind != SPEC_NODE_LIST) {
        spec_decode_wrong(d, node, "must be a list, such as [keras, conductor]");
        return;
    }
    uint32_t i = 0;
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        size_t mark = spec_decode_enter(d, NULL, i++);
        const struct spec_choice *found =
            n->kind == SPEC_NODE_SCALAR ? spec_choice_find(SPEC_EXTRACTS, n->text) : NULL;
        if (found == NULL) {
            spec_decode_wrong(d, n, "must be one of: keras, sofe4790u, mlagents, conductor");
        } else {
            exec->extract |= (uint32_t)found->value;
        }
        spec_decode_leave(d, mark);
    }
}

static void take_metrics(struct spec_decode *d, const struct spec_node *node, void *base)
{
    static const struct spec_field METRICS[] = {
        {.key = "extract", .type = SPEC_FIELD_CUSTOM, .take = take_extract},
        {.key = "patterns", .type = SPEC_FIELD_CUSTOM, .take = take_patterns}};
    spec_decode_map(d, node, METRICS, SH_COUNT(METRICS), base);
}

static void take_seconds(struct spec_decode *d, const struct spec_node *node, uint32_t low,
                         uint32_t *out)
{
    uint64_t seconds = 0;
    bool good = node->kind == SPEC_NODE_SCALAR && spec_seconds_read(node->text, &seconds);
    if (!good || seconds < low || seconds > SPEC_SECONDS_MAX) {
        spec_decode_wrong(d, node, "must be a time such as 90s, 2h30m or 84h, from %u s to a year",
                          low);
    } else {
        *out = (uint32_t)seconds;
    }
}

static void take_timeout(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_seconds(d, node, 1, &exec_of(base)->timeout_s);
}

static void take_silence(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_seconds(d, node, 0, &exec_of(base)->silence_s);
}

static void take_grace(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_seconds(d, node, 0, &exec_of(base)->grace_s);
}

void spec_take_checkpoint_files(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_words(d, node, exec, &exec->checkpoint, OUTPUTS_MAX);
    check_words(d, node, exec, exec->checkpoint, check_glob);
}

void spec_take_checkpoint_every(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_seconds(d, node, 1, &exec_of(base)->checkpoint_every_s);
}

static void take_disk(struct spec_decode *d, const struct spec_node *node, void *base)
{
    uint64_t bytes = 0;
    bool good = node->kind == SPEC_NODE_SCALAR && spec_bytes_read(node->text, &bytes);
    if (!good || bytes < 4096 || bytes >> 53 != 0) {
        spec_decode_wrong(d, node, "must be a size such as 512MiB or 20GiB");
    } else {
        exec_of(base)->disk_bytes = bytes;
    }
}

static void take_sandbox(struct spec_decode *d, const struct spec_node *node, void *base)
{
    static const struct spec_field SANDBOX[] = {
        {.key = "level",
         .type = SPEC_FIELD_CHOICE,
         .offset = offsetof(struct spec_job, exec.sandbox),
         .choices = SPEC_SANDBOXES},
        {.key = "network",
         .type = SPEC_FIELD_BOOL,
         .offset = offsetof(struct spec_job, exec.network)},
        {.key = "disk", .type = SPEC_FIELD_CUSTOM, .take = take_disk}};
    spec_decode_map(d, node, SANDBOX, SH_COUNT(SANDBOX), base);
}

const struct spec_field SPEC_EXEC_JOB[SPEC_EXEC_FIELDS] = {
    {.key = "package", .type = SPEC_FIELD_CUSTOM, .take = take_package},
    {.key = "run", .type = SPEC_FIELD_CUSTOM, .take = take_run, .required = true},
    {.key = "predict", .type = SPEC_FIELD_CUSTOM, .take = take_predict},
    {.key = "predictions", .type = SPEC_FIELD_CUSTOM, .take = take_predictions},
    {.key = "evaluate", .type = SPEC_FIELD_CUSTOM, .take = take_evaluate},
    {.key = "results", .type = SPEC_FIELD_CUSTOM, .take = take_results},
    {.key = "env", .type = SPEC_FIELD_CUSTOM, .take = take_env},
    {.key = "outputs", .type = SPEC_FIELD_CUSTOM, .take = take_outputs},
    {.key = "model_file", .type = SPEC_FIELD_CUSTOM, .take = take_model},
    {.key = "abort", .type = SPEC_FIELD_CUSTOM, .take = take_abort},
    {.key = "metrics", .type = SPEC_FIELD_CUSTOM, .take = take_metrics},
    {.key = "timeout", .type = SPEC_FIELD_CUSTOM, .take = take_timeout},
    {.key = "silence", .type = SPEC_FIELD_CUSTOM, .take = take_silence},
    {.key = "grace", .type = SPEC_FIELD_CUSTOM, .take = take_grace},
    {.key = "sandbox", .type = SPEC_FIELD_CUSTOM, .take = take_sandbox},
    {.key = "replicas",
     .type = SPEC_FIELD_U32,
     .offset = offsetof(struct spec_job, units),
     .low = 1,
     .high = SPEC_UNITS_MAX}};

void spec_exec_defaults(struct spec_exec *exec)
{
    exec->extract = SPEC_EXTRACT_ALL;
    exec->timeout_s = TIMEOUT_S;
    exec->grace_s = GRACE_S;
    exec->sandbox = SPEC_SANDBOX_BASIC;
    exec->disk_bytes = DISK_BYTES;
    exec->bucketing = SPEC_BUCKETING_GENERIC;
    exec->compat = SPEC_COMPAT_FIXED;
    exec->beta = 1;
}

/* Its outputs are one thing, which becomes a data set. */
static void check_data_prep(struct spec_decode *d, const struct spec_job *job)
{
    const struct spec_node *root = &d->tree->nodes[SPEC_ROOT];
    const struct spec_words outputs = job->exec.outputs;
    const char *path = outputs.count > 0 ? spec_word(&job->exec, outputs, 0) : "";
    if (outputs.count != 1 || strpbrk(path, "*?") != NULL) {
        spec_note(d->errors, root->at, "outputs", path,
                  "must be one file or folder, without wildcards: it becomes the data set");
    }
    if (job->exec.model.count > 0) {
        spec_note(d->errors, root->at, "model_file", NULL,
                  "not possible with kind: data-prep, whose outputs are a data set");
    }
    if (job->units != 1) {
        spec_note(d->errors, root->at, "replicas", NULL, "must be 1 with kind: data-prep");
    }
}

/* Is the file one of what patterns take: itself, or in a folder that they take? */
static bool is_taken(const struct spec_exec *exec, struct spec_words patterns, const char *file)
{
    const size_t size = strlen(file);
    bool taken = false;
    for (uint32_t i = 0; i < patterns.count && !taken; i++) {
        struct spec_glob glob;
        const char *why;
        const char *pattern = spec_word(exec, patterns, i);
        bool good = spec_glob_compile(&glob, pattern, strlen(pattern), &why) == SH_OK;
        for (size_t n = 0; good && !taken && n < size; n++) {
            n += strcspn(file + n, "/");
            taken = spec_glob_match(&glob, file, n);
        }
    }
    return taken;
}

static void check_model(struct spec_decode *d, const struct spec_exec *exec)
{
    const char *model = exec->model.count > 0 ? spec_word(exec, exec->model, 0) : NULL;
    bool judged = d->errors->count == 0; /* else both may not be what was meant */
    if (judged && model != NULL && !is_taken(exec, exec->outputs, model)) {
        spec_note(d->errors, d->tree->nodes[SPEC_ROOT].at, "model_file", model,
                  "must be one of outputs: name it, its folder or a pattern for it there too");
    }
}

static void check_evaluate(struct spec_decode *d, const struct spec_job *job)
{
    if (job->exec.evaluate_count > 0 && job->exec.results.count == 0) {
        spec_note(d->errors, d->tree->nodes[SPEC_ROOT].at, "results", NULL,
                  "is missing: the file that the commands of evaluate leave, such as results.csv");
    }
}

void spec_check_exec(struct spec_decode *d, struct spec_job *job)
{
    if (job->agents_max == 0) {
        job->agents_max = job->federated.on ? SPEC_AGENTS_MAX : job->agents_min;
    }
    const struct spec_node *root = &d->tree->nodes[SPEC_ROOT];
    if (job->agents_min > job->agents_max) {
        char value[24];
        (void)snprintf(value, sizeof value, "%u", job->agents_min);
        spec_note(d->errors, root->at, "resources.agents.min", value,
                  "must not exceed resources.agents.max (%u)", job->agents_max);
    }
    if (job->exec.model.count > 0 && job->exec.outputs.count == 0) {
        job->exec.outputs = job->exec.model; /* the same word: the only output */
    }
    check_model(d, &job->exec);
    check_evaluate(d, job);
    if (job->kind == SPEC_DATA_PREP) {
        check_data_prep(d, job);
    }
}
