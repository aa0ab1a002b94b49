/* SPDX-License-Identifier: Apache-2.0 */
#include "script/use.h"

#include "answer/figures.h"
#include "answer/table.h"
#include "jobs/view.h"
#include "kernels/score/prediction.h"
#include "script/files.h"
#include "script/say.h"
#include "spec/package.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAID "SHOAL "

static const struct spec_model_ref *ref_of(const struct script_unit *x)
{
    const struct spec_use *use = &x->use->asks->use;
    SH_CHECK_CMP(x->w.config.unit.unit, <, use->count);
    return &use->models[x->w.config.unit.unit];
}

/* ---- the job that made the model ---- */

static enum sh_err read_maker(const struct script_unit *x, struct spec_job *maker)
{
    struct service_view *view = NULL;
    struct sh_span spec;
    struct spec_errors *errors = malloc(sizeof *errors);
    enum sh_err err =
        errors != NULL ? service_view_open(script_config(x)->s, &view) : SH_ERR_NO_MEMORY;
    if (err == SH_OK) {
        err = jobs_spec_get(service_view_table(view), ref_of(x)->job, &spec);
        err = err == SH_OK ? spec_parse((const char *)spec.at, spec.size, maker, errors) : err;
        service_view_close(view);
    }
    free(errors);
    return err;
}

/* The maker's package, environment and limits, with other commands and nothing to leave. */
static void turn(struct spec_job *maker, const struct spec_job *asks)
{
    struct spec_exec *exec = &maker->exec;
    bool measures = asks->kind == SPEC_EVALUATE;
    exec->run_count = measures ? exec->evaluate_count : exec->predict_count;
    memcpy(exec->run, measures ? exec->evaluate : exec->predict, sizeof exec->run);
    exec->outputs = (struct spec_words){0};
    exec->checkpoint_every_s = 0;
    exec->extract &= ~(uint32_t)SPEC_EXTRACT_CONDUCTOR; /* its predictions are read here */
    memcpy(maker->name, asks->name, sizeof maker->name);
    maker->units = 1;
    maker->cpus = asks->cpus;
    maker->ram_bytes = asks->ram_bytes > 0 ? asks->ram_bytes : maker->ram_bytes;
}

enum sh_err script_use_open(struct script_unit *x, char *why, size_t size)
{
    if (x->job->kind == SPEC_EXEC || x->job->kind == SPEC_DATA_PREP) {
        return SH_OK;
    }
    struct spec_job *maker = calloc(1, sizeof *maker);
    x->use = calloc(1, sizeof *x->use);
    double *numbers = calloc(SPEC_ENSEMBLE_NUMBERS_MAX, sizeof *numbers);
    if (maker == NULL || x->use == NULL || numbers == NULL) {
        free(maker);
        free(numbers);
        return SH_ERR_NO_MEMORY;
    }
    x->use->numbers = numbers;
    x->use->asks = x->w.job;
    x->use->maker = maker;
    x->job = maker;
    enum sh_err err = read_maker(x, maker);
    if (err != SH_OK) {
        (void)snprintf(why, size, "job %llu, which made the model, is gone, and its commands too",
                       (unsigned long long)ref_of(x)->job);
        return err;
    }
    turn(maker, x->use->asks);
    return SH_OK;
}

void script_use_close(struct script_unit *x)
{
    if (x->use != NULL) {
        free(x->use->maker);
        free(x->use->numbers);
        free(x->use);
        x->use = NULL;
    }
}

/* ---- its files ---- */

static enum sh_err place_input(struct script_unit *x, char why[static SCRIPT_WHY_BYTES])
{
    struct script_use *use = x->use;
    const struct spec_job *asks = use->asks;
    const struct spec_source *source =
        asks->kind == SPEC_EVALUATE ? &asks->data.test : &asks->input;
    use->input[0] = '\0';
    use->outside = source->kind == SPEC_SOURCE_DATASET;
    if (source->kind == SPEC_SOURCE_FILES) {
        return script_files_unpack(x, source->digest, use->input, why);
    }
    if (!use->outside) {
        return SH_OK;
    }
    enum sh_err err =
        service_dataset_path(script_config(x)->s, source->name, use->input, sizeof use->input);
    if (err != SH_OK) {
        (void)snprintf(why, SCRIPT_WHY_BYTES, "data set %s: %s", source->name, sh_err_text(err));
    }
    return err;
}

enum sh_err script_use_place(struct script_unit *x, char why[static SCRIPT_WHY_BYTES])
{
    const struct spec_exec *exec = &x->job->exec;
    struct script_use *use = x->use;
    use->count = 0;
    use->too_many = false;
    use->marked = false;
    SH_CHECK_CMP(exec->model.count, ==, 1); /* it made a model */
    enum sh_err err =
        script_files_put(x, ref_of(x)->file, spec_word(exec, exec->model, 0), use->model, why);
    return err == SH_OK ? place_input(x, why) : err;
}

/* ---- what its commands tell ---- */

static void add(struct script_use *use, double value)
{
    if (use->count == SPEC_ENSEMBLE_NUMBERS_MAX) {
        use->too_many = true;
    } else {
        use->numbers[use->count++] = value;
    }
}

void script_use_line(struct script_unit *x, enum exec_channel channel, const char *text,
                     size_t size)
{
    double value = 0;
    bool record = channel == EXEC_METRICS;
    bool said =
        channel == EXEC_STDOUT && size > strlen(SAID) && memcmp(text, SAID, strlen(SAID)) == 0;
    if (record || said) {
        struct script_said said_here = script_say_predictions(x->say);
        for (size_t i = 0; i < said_here.count; i++) {
            add(x->use, said_here.at[i]);
        }
    } else if (kn_prediction_conductor(text, size, &value, NULL) == KN_OK) {
        x->use->last = value;
        x->use->marked = true;
    }
}

/* ---- what becomes of it ---- */

static enum sh_err read_file(struct script_unit *x, const char *path, uint8_t **set,
                             struct sh_span *bytes, char why[static SCRIPT_WHY_BYTES])
{
    size_t size = 0;
    struct spec_outputs outputs = {.dir = x->dir, .patterns = &path, .pattern_count = 1};
    enum sh_err err = spec_package_collect(&outputs, set, &size, why, SCRIPT_WHY_BYTES);
    if (err != SH_OK) {
        *set = NULL;
        return err;
    }
    err = spec_fileset_find((struct sh_span){.at = *set, .size = size}, path, bytes);
    if (err != SH_OK) {
        (void)snprintf(why, SCRIPT_WHY_BYTES, "%s is no file", path);
    }
    return err;
}

static enum sh_err read_predictions(struct script_unit *x, char why[static SCRIPT_WHY_BYTES])
{
    struct script_use *use = x->use;
    const struct spec_exec *exec = &x->job->exec;
    uint8_t *set = NULL;
    struct sh_span text = {0};
    struct kn_diag diag = {.text = ""};
    if (exec->predictions.count > 0) {
        const char *path = spec_word(exec, exec->predictions, 0);
        enum sh_err err = read_file(x, path, &set, &text, why);
        if (err == SH_OK &&
            kn_prediction_list((const char *)text.at, text.size, use->numbers,
                               SPEC_ENSEMBLE_NUMBERS_MAX, &use->count, &diag) != KN_OK) {
            err = SH_ERR_INVALID;
            (void)snprintf(why, SCRIPT_WHY_BYTES, "%.60s: %.180s", path, diag.text);
        }
        free(set);
        return err;
    }
    if (use->too_many) {
        (void)snprintf(why, SCRIPT_WHY_BYTES, "the commands told more than %u predictions",
                       SPEC_ENSEMBLE_NUMBERS_MAX);
        return SH_ERR_LIMIT;
    }
    if (use->count == 0 && use->marked) {
        use->numbers[use->count++] = use->last;
    }
    if (use->count == 0) {
        (void)snprintf(why, SCRIPT_WHY_BYTES,
                       "the commands told no prediction: SHOAL {\"prediction\": 1.5}, "
                       "PredictedBuffer=1.5, or a file that predictions names");
        return SH_ERR_INVALID;
    }
    return SH_OK;
}

static enum sh_err keep_predictions(struct script_unit *x, struct train_result *result,
                                    char why[static SCRIPT_WHY_BYTES])
{
    const struct script_use *use = x->use;
    bool member = use->asks->kind == SPEC_ENSEMBLE;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    if (member) {
        answer_values_numbers(out, use->numbers, use->count);
    } else {
        answer_table_numbers(out, use->numbers, use->count);
    }
    bool whole = ferror(out) == 0;
    enum sh_err err = fclose(out) == 0 && whole ? SH_OK : SH_ERR_NO_MEMORY;
    struct spec_fileset_member file = {.path = member ? ANSWER_VALUES : ANSWER_PREDICTIONS,
                                       .bytes = {.at = (const uint8_t *)text, .size = size}};
    err = err == SH_OK ? spec_fileset_make(&file, 1, "", &result->outputs, &result->outputs_size,
                                           why, SCRIPT_WHY_BYTES)
                       : err;
    result->outcome.steps = use->count;
    free(text);
    return err;
}

enum sh_err script_use_score(struct script_unit *x, struct jobs_figures *figures,
                             char why[static SCRIPT_WHY_BYTES])
{
    const struct spec_exec *exec = &x->job->exec;
    const char *path = spec_word(exec, exec->results, 0);
    uint8_t *set = NULL;
    struct sh_span text = {0};
    struct kn_diag diag = {.text = ""};
    enum sh_err err = read_file(x, path, &set, &text, why);
    if (err == SH_OK) {
        err = answer_figures_score(exec, text.at, text.size, path, figures, &diag);
        if (err != SH_OK) {
            (void)snprintf(why, SCRIPT_WHY_BYTES, "results: %.230s", diag.text);
        } else {
            answer_figures_tell(x->w.scribe, figures);
        }
    }
    free(set);
    return err;
}

enum sh_err script_use_result(struct script_unit *x, struct train_result *result,
                              char why[static SCRIPT_WHY_BYTES])
{
    if (x->use->asks->kind == SPEC_EVALUATE) {
        const struct spec_exec *exec = &x->job->exec;
        const char *path = spec_word(exec, exec->results, 0);
        struct spec_outputs outputs = {.dir = x->dir, .patterns = &path, .pattern_count = 1};
        enum sh_err err = script_use_score(x, &result->outcome.figures, why);
        result->outcome.steps = result->outcome.figures.samples;
        return err == SH_OK ? spec_package_collect(&outputs, &result->outputs,
                                                   &result->outputs_size, why, SCRIPT_WHY_BYTES)
                            : err;
    }
    enum sh_err err = read_predictions(x, why);
    return err == SH_OK ? keep_predictions(x, result, why) : err;
}
