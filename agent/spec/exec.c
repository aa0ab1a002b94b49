/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of an exec job. */
#include "spec/exec_words.h"
#include "spec/measure.h"
#include "spec/schema.h"
#include "spec/source.h"
#include "spec/sweep_parts.h"

#include <ctype.h>
#include <regex.h>
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

/* A path or a glob that stays in the working folder. */
static bool stays_inside(const char *path)
{
    bool good = path[0] != '/' && strchr(path, '\\') == NULL;
    for (const char *at = path; good && *at != '\0';) {
        size_t n = strcspn(at, "/");
        good = n > 0 && !(n == 1 && at[0] == '.') && !(n == 2 && at[0] == '.' && at[1] == '.');
        at += n + (at[n] == '/' ? 1 : 0);
    }
    return good;
}

static void check_inside(struct spec_decode *d, const struct spec_node *node,
                         const struct spec_exec *exec, struct spec_words words)
{
    for (uint32_t i = 0; i < words.count; i++) {
        const char *word = spec_word(exec, words, i);
        if (!stays_inside(word)) {
            spec_note(d->errors, node->at, d->path, word,
                      "must be a path inside the working folder, without empty, '.' and '..' "
                      "parts");
        }
    }
}

static void take_outputs(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_words(d, node, exec, &exec->outputs, OUTPUTS_MAX);
    check_inside(d, node, exec, exec->outputs);
}

static void take_model(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_words(d, node, exec, &exec->model, 1);
    check_inside(d, node, exec, exec->model);
}

static void take_predictions(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_words(d, node, exec, &exec->predictions, 1);
    check_inside(d, node, exec, exec->predictions);
}

static void take_results_file(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_words(d, node, exec, &exec->results, 1);
    check_inside(d, node, exec, exec->results);
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

static void check_pattern(struct spec_decode *d, const struct spec_node *node, const char *pattern,
                          size_t groups)
{
    regex_t compiled;
    char why[96];
    int err = regcomp(&compiled, pattern, REG_EXTENDED);
    if (err != 0) {
        (void)regerror(err, &compiled, why, sizeof why);
        spec_note(d->errors, node->at, d->path, pattern, "no POSIX extended regular expression: %s",
                  why);
        return;
    }
    if (compiled.re_nsub < groups) {
        spec_note(d->errors, node->at, d->path, pattern,
                  "must have a group for the number, such as loss: ([0-9.]+)");
    }
    regfree(&compiled);
}

static void take_abort(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_words(d, node, exec, &exec->abort, SPEC_PATTERNS_MAX);
    for (uint32_t i = 0; i < exec->abort.count; i++) {
        check_pattern(d, node, spec_word(exec, exec->abort, i), 0);
    }
}

static void take_patterns(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_exec *exec = exec_of(base);
    spec_take_pairs(d, node, exec, &exec->patterns, SPEC_PATTERNS_MAX, spec_is_name,
                    "must be a name: letters, digits, '.', '_' and '-'");
    for (uint32_t i = 0; i < exec->patterns.count; i++) {
        const char *pair = spec_word(exec, exec->patterns, i);
        check_pattern(d, node, strchr(pair, '=') + 1, 1);
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
    check_inside(d, node, exec, exec->checkpoint);
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
    if (outputs.count != 1 || strpbrk(path, "*?[") != NULL) {
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
    check_evaluate(d, job);
    if (job->kind == SPEC_DATA_PREP) {
        check_data_prep(d, job);
    }
}
