/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/dataset.h"

#include "spec/reading.h"
#include "spec/source.h"

#include <stdio.h>
#include <string.h>

const struct spec_source *spec_dataset_source(const struct spec_job *job, enum spec_role role)
{
    switch (role) {
    case SPEC_ROLE_TRAIN:
        return &job->data.train;
    case SPEC_ROLE_VALIDATION:
        return &job->data.validation;
    case SPEC_ROLE_TEST:
        return &job->data.test;
    }
    SH_UNREACHABLE();
}

const char *spec_dataset_field(enum spec_role role)
{
    static const char *const FIELDS[] = {"data.train", "data.validation", "data.test"};
    SH_CHECK_CMP(role, <, SH_COUNT(FIELDS));
    return FIELDS[role];
}

enum sh_err spec_dataset_err(enum kn_err err)
{
    switch (err) {
    case KN_OK:
        return SH_OK;
    case KN_ERR_NOT_FOUND:
        return SH_ERR_NOT_FOUND;
    case KN_ERR_LIMIT:
        return SH_ERR_LIMIT;
    case KN_ERR_MEMORY:
        return SH_ERR_NO_MEMORY;
    case KN_ERR_IO:
    case KN_ERR_DEVICE:
        return SH_ERR_IO;
    case KN_ERR_INVALID:
    case KN_ERR_NOT_FINITE:
    case KN_ERR_CORRUPT:
    case KN_ERR_UNSUPPORTED:
    case KN_ERR_COUNT:
        break;
    }
    return SH_ERR_INVALID;
}

static enum sh_err check_fit(const struct spec_job *job, const struct kn_dataset *set,
                             const char *path, struct kn_diag *why)
{
    const uint32_t *want = job->model.input;
    if (set->shape[0] != want[0] || set->shape[1] != want[1] || set->shape[2] != want[2]) {
        (void)kn_fail(why, KN_ERR_INVALID,
                      "%s: its samples are [%u, %u, %u]; model.input is [%u, %u, %u]", path,
                      set->shape[0], set->shape[1], set->shape[2], want[0], want[1], want[2]);
        return SH_ERR_INVALID;
    }
    if (job->train.loss == SPEC_CROSS_ENTROPY && set->class_count > job->train.class_count) {
        (void)kn_fail(why, KN_ERR_INVALID,
                      "%s: it has %u classes; the last layer of the model has %u outputs", path,
                      set->class_count, job->train.class_count);
        return SH_ERR_INVALID;
    }
    if (set->kind == KN_SAMPLE_TOKEN && set->class_count != job->train.class_count) {
        (void)kn_fail(why, KN_ERR_INVALID,
                      "%s: it has %u different characters; the last layer of the model has %u "
                      "outputs, which must be as many",
                      path, set->class_count, job->train.class_count);
        return SH_ERR_INVALID;
    }
    if (job->train.loss == SPEC_CROSS_ENTROPY ? set->label == NULL : set->target == NULL) {
        (void)kn_fail(why, KN_ERR_INVALID, "%s: it has no %s", path,
                      job->train.loss == SPEC_CROSS_ENTROPY ? "labels" : "numbers to predict");
        return SH_ERR_INVALID;
    }
    return SH_OK;
}

enum sh_err spec_dataset_open(const struct spec_job *job, enum spec_role role, const char *path,
                              const struct kn_dataset *reference, struct kn_dataset *set,
                              struct kn_diag *why)
{
    const struct spec_source *source = spec_dataset_source(job, role);
    const char *names[SPEC_CLASSES_MAX];
    char builtin[SPEC_SOURCE_BYTES];
    struct kn_open options = {
        .part = role == SPEC_ROLE_TEST ? KN_PART_TEST : KN_PART_TRAIN,
        .label = job->data.label[0] != '\0' ? job->data.label : NULL,
        .regression = job->train.loss == SPEC_MSE,
        .class_count = job->train.class_count,
        .shape = {job->model.input[0], job->model.input[1], job->model.input[2]}};
    struct kn_audio audio;
    if (spec_reading_audio(&job->data.reading, &audio)) {
        audio.rate = reference != NULL && reference->rate > 0 ? reference->rate : audio.rate;
        options.audio = &audio;
    }
    struct kn_text text;
    options.text = spec_reading_text(&job->data.reading, &text) ? &text : NULL;
    if (source->kind == SPEC_SOURCE_BUILTIN) {
        spec_source_write(source, builtin);
        path = builtin;
    }
    if (job->train.classes_named) {
        for (uint32_t i = 0; i < job->train.class_count; i++) {
            names[i] = job->train.classes[i];
        }
        options.classes = names;
    } else if (reference != NULL && reference->class_name != NULL) {
        options.classes = (const char *const *)reference->class_name;
        options.class_count = reference->class_count;
    }
    if (reference != NULL && reference->column != NULL) {
        options.columns = (const char *const *)reference->column;
        options.column_count = reference->shape[0];
    }
    enum kn_err opened = kn_dataset_open(set, path, &options, why);
    if (opened != KN_OK) {
        return spec_dataset_err(opened);
    }
    enum sh_err err = check_fit(job, set, path, why);
    if (err != SH_OK) {
        kn_dataset_close(set);
    }
    return err;
}
