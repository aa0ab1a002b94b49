/* SPDX-License-Identifier: Apache-2.0 */
#include "answer/input.h"

#include "infer/tune.h"
#include "spec/model_meta.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIELD "input"

static void say(char *why, const char *field, const char *text)
{
    (void)snprintf(why, TRAIN_WHY_BYTES, "%s: %.280s", field, text);
}

/* Names of columns as the loaders take them; NULL: the model has none. Given (free). */
static const char **columns_of(const struct spec_meta *meta)
{
    const char **names = calloc(meta->feature_count > 0 ? meta->feature_count : 1, sizeof *names);
    for (uint32_t i = 0; names != NULL && i < meta->feature_count; i++) {
        names[i] = meta->features[i];
    }
    return names;
}

static bool is_table(const char *path)
{
    size_t n = strlen(path);
    return n > 4 && strcasecmp(path + n - 4, ".csv") == 0;
}

static enum sh_err open_path(const struct infer *infer, const char *path, struct kn_dataset *set,
                             struct kn_diag *diag)
{
    const struct spec_meta *meta = infer_meta(infer);
    const char **columns = columns_of(meta);
    if (columns == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    struct kn_open options = {.part = KN_PART_TEST,
                              .unlabelled = true,
                              .columns = meta->feature_count > 0 ? columns : NULL,
                              .column_count = meta->feature_count};
    struct infer_reading reading;
    infer_reading(infer, &reading, &options);
    if (!is_table(path)) { /* the rows of a table may be pictures laid out flat */
        memcpy(options.shape, meta->model.input, sizeof options.shape);
    }
    enum kn_err opened = kn_dataset_open(set, path, &options, diag);
    free((void *)columns);
    enum sh_err err = opened == KN_OK ? infer_fit(infer, set, diag) : spec_dataset_err(opened);
    if (opened == KN_OK && err != SH_OK) {
        kn_dataset_close(set);
    }
    return err;
}

static enum sh_err open_files(const struct train_material_source *source,
                              const struct spec_source *input, const struct infer *infer,
                              struct kn_dataset *set, char *why)
{
    struct train_data_files files;
    struct kn_diag diag = {.text = ""};
    enum sh_err err = train_data_unpack(source, FIELD, input->digest, &files, why);
    if (err != SH_OK) {
        return err;
    }
    err = open_path(infer, files.path, set, &diag);
    train_data_discard(&files, diag.text);
    if (err != SH_OK) {
        say(why, FIELD, diag.text);
    }
    return err;
}

enum sh_err answer_input_open(const struct train_material_source *source,
                              const struct spec_job *job, const struct infer *infer,
                              struct kn_dataset *set, char *why)
{
    const struct spec_source *input = &job->input;
    char path[TRAIN_DATA_PATH_BYTES];
    struct kn_diag diag = {.text = ""};
    memset(set, 0, sizeof *set);
    if (input->kind == SPEC_SOURCE_FILES) {
        return open_files(source, input, infer, set, why);
    }
    enum sh_err err = SH_OK;
    if (input->kind == SPEC_SOURCE_BUILTIN) {
        (void)snprintf(path, sizeof path, "builtin:%s", input->name);
    } else if (input->kind == SPEC_SOURCE_DATASET) {
        err = service_dataset_path(source->s, input->name, path, sizeof path);
        (void)snprintf(diag.text, sizeof diag.text, "data set %s: %s", input->name,
                       sh_err_text(err));
    } else {
        err = SH_ERR_INVALID;
        (void)snprintf(diag.text, sizeof diag.text, "a path is known to the submitter only");
    }
    err = err == SH_OK ? open_path(infer, path, set, &diag) : err;
    if (err != SH_OK) {
        say(why, FIELD, diag.text);
    }
    return err;
}

enum sh_err answer_test_open(const struct train_material_source *source, struct spec_job *job,
                             const struct infer *infer, struct kn_dataset *set, char *why)
{
    struct kn_diag diag = {.text = ""};
    struct infer_names names;
    struct kn_dataset reference;
    infer_tune_fill(infer, job);
    infer_reference(infer, &names, &reference);
    enum sh_err err = train_data_open(source, job, SPEC_ROLE_TEST, &reference, set, why);
    if (err != SH_OK) {
        return err;
    }
    err = infer_fit(infer, set, &diag);
    if (err != SH_OK) {
        say(why, "data.test", diag.text);
        kn_dataset_close(set);
    }
    return err;
}
