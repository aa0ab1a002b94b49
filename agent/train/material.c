/* SPDX-License-Identifier: Apache-2.0 */
#include "train/material.h"

#include "train/blob.h"
#include "train/data.h"

#include "spec/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_SAMPLES_MIN 16u /* fewer leave lanes of the kernels empty when evaluating */
#define PER_MILLION      1000000.0
#define PARENT_BYTES_MAX (UINT64_C(4) << 30)

/* ---- opening ---- */

static enum sh_err refuse(char *why, const char *text)
{
    (void)snprintf(why, TRAIN_WHY_BYTES, "%s", text);
    return SH_ERR_INVALID;
}

/* The agent that took the job could read it, and may be newer than this one: the text names this
 * one, so that several of them are no reason to give the job up. */
static enum sh_err parse(struct train_material *m, const struct train_material_source *source,
                         char *why)
{
    struct spec_errors *errors = calloc(1, sizeof *errors);
    m->job = calloc(1, sizeof *m->job);
    enum sh_err err = SH_ERR_NO_MEMORY;
    if (errors != NULL && m->job != NULL) {
        err = spec_parse((const char *)source->spec.at, source->spec.size, m->job, errors);
    }
    if (err != SH_OK) {
        char text[TRAIN_WHY_BYTES] = "";
        struct service_status status;
        service_status(source->s, &status);
        if (errors != NULL && errors->count > 0) {
            (void)spec_error_text(&errors->at[0], "job", text, sizeof text);
        }
        (void)snprintf(why, TRAIN_WHY_BYTES, "%s cannot read the job: %.120s", status.name,
                       text[0] != '\0' ? text : sh_err_text(err));
    } else if (m->job->kind != SPEC_TRAIN && m->job->kind != SPEC_FINE_TUNE) {
        err = refuse(why, "not a training job");
    }
    free(errors);
    return err;
}

static enum sh_err build(struct train_material *m, char *why)
{
    struct spec_graph_fault fault;
    enum sh_err err = spec_graph_build(&m->job->model, m->job->train.loss, &m->model, &fault);
    if (err != SH_OK) {
        (void)snprintf(why, TRAIN_WHY_BYTES, "model.layers[%u]: %s", fault.layer, fault.diag.text);
        return err;
    }
    m->ranks = m->job->train.ranks;
    m->batch = m->job->train.batch;
    m->microbatch = m->batch / m->ranks;
    m->call = m->microbatch > CALL_SAMPLES_MIN ? m->microbatch : CALL_SAMPLES_MIN;
    m->optim = spec_graph_optim(&m->job->train.optimizer);
    m->codec = spec_graph_codec(&m->job->train.wire);
    m->params = kn_model_param_count(m->model);
    m->buffers = kn_model_buffer_count(m->model);
    m->vector = kn_model_vector_count(m->model);
    m->inner_state = kn_optim_state_count(&m->optim, m->params);
    m->optim_state = m->inner_state;
    const struct spec_local *local = &m->job->train.local;
    if (local->steps > 0) {
        m->outer = spec_graph_optim(&local->outer);
        m->optim_state += kn_optim_state_count(&m->outer, m->params);
        m->local_vector = m->vector + (local->reset ? 0 : m->inner_state);
    }
    m->places = kn_model_places(m->model);
    struct kn_shape output = kn_model_output_shape(m->model);
    if (m->job->train.loss == SPEC_MSE && kn_shape_count(&output) != 1) {
        return refuse(why, "model.layers: the last layer must have 1 output: the data has one "
                           "number to predict");
    }
    return SH_OK;
}

/* The model that fine-tuning begins with. */
static enum sh_err open_parent(struct train_material *m, const struct train_material_source *source,
                               char *why)
{
    const struct spec_model_ref *ref = &m->job->use.models[0];
    struct kn_diag diag = {.text = ""};
    size_t size = 0;
    if (m->job->kind != SPEC_FINE_TUNE) {
        return SH_OK;
    }
    enum sh_err err = train_blob_read(source->s, ref->file, PARENT_BYTES_MAX, source->wait_us,
                                      &m->parent_file, &size);
    if (err != SH_OK) {
        (void)snprintf(why, TRAIN_WHY_BYTES, "from: %s:%u cannot be fetched: %s", ref->name,
                       ref->version, sh_err_text(err));
        return err;
    }
    err = infer_open(m->parent_file, size, &m->parent, &diag);
    err = err == SH_OK ? infer_tune_check(m->parent, m->job, &diag) : err;
    if (err != SH_OK) {
        (void)snprintf(why, TRAIN_WHY_BYTES, "from: %.280s", diag.text);
    }
    return err;
}

/* With the columns of the model that it begins with, and its classes unless they begin anew. */
static enum sh_err open_training(struct train_material *m,
                                 const struct train_material_source *source, char *why)
{
    struct infer_names *names = malloc(sizeof *names);
    struct kn_dataset reference;
    if (names == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    if (m->parent != NULL) {
        infer_reference(m->parent, names, &reference);
        reference.class_name = m->job->use.reset_count > 0 ? NULL : reference.class_name;
    }
    enum sh_err err = train_data_open(source, m->job, SPEC_ROLE_TRAIN,
                                      m->parent != NULL ? &reference : NULL, &m->train, why);
    free(names);
    return err;
}

static enum sh_err open_data(struct train_material *m, const struct train_material_source *source,
                             char *why)
{
    enum sh_err err = open_training(m, source, why);
    if (err == SH_OK) {
        err = train_data_open(source, m->job, SPEC_ROLE_VALIDATION, &m->train, &m->validation, why);
    }
    if (err == SH_OK) {
        err = train_data_open(source, m->job, SPEC_ROLE_TEST, &m->train, &m->test, why);
    }
    return err;
}

static enum sh_err measure(struct train_material *m, char *why)
{
    uint32_t n = m->split.training;
    uint32_t *index = malloc(n * sizeof *index);
    if (index == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < n; i++) {
        index[i] = kn_split_training(&m->split, i);
    }
    kn_dataset_measure(&m->train, index, n);
    free(index);
    struct kn_dataset *others[] = {&m->validation, &m->test};
    for (size_t i = 0; i < SH_COUNT(others); i++) {
        if (others[i]->count > 0 &&
            kn_dataset_normalise(others[i], m->train.scale, m->train.mean, m->train.deviation,
                                 m->train.shape[0]) != KN_OK) {
            return refuse(why, "data.train: its mean or deviation is not a finite number");
        }
    }
    return SH_OK;
}

/* As the model was trained that it begins with. */
static enum sh_err inherit(struct train_material *m, char *why)
{
    struct kn_dataset *sets[] = {&m->train, &m->validation, &m->test};
    struct kn_diag diag = {.text = ""};
    for (size_t i = 0; i < SH_COUNT(sets); i++) {
        if (sets[i]->count > 0 && infer_fit(m->parent, sets[i], &diag) != SH_OK) {
            return refuse(why, diag.text);
        }
    }
    return SH_OK;
}

static enum sh_err normalise(struct train_material *m, char *why)
{
    switch (m->job->data.normalize) {
    case SPEC_NORMALIZE_STANDARD:
        return measure(m, why);
    case SPEC_NORMALIZE_INHERIT:
        return inherit(m, why);
    case SPEC_NORMALIZE_NONE:
        break;
    }
    return SH_OK;
}

static enum sh_err plan(struct train_material *m, char *why)
{
    bool held_out = m->validation.count == 0;
    double fraction = held_out ? m->job->data.validation_fraction : 0;
    kn_split_init(&m->split, m->train.count, (uint32_t)(fraction * PER_MILLION + 0.5),
                  m->job->train.seed);
    m->validations = held_out ? m->split.validation : m->validation.count;
    m->tests = m->test.count;
    m->course = (struct train_course){.steps_an_epoch = m->split.training / m->batch,
                                      .epochs = m->job->train.epochs,
                                      .stretch = m->job->train.local.steps,
                                      .together = m->job->train.local.warmup_epochs,
                                      .validates = m->validations > 0,
                                      .tests = m->tests > 0};
    if (m->course.steps_an_epoch == 0) {
        (void)snprintf(why, TRAIN_WHY_BYTES,
                       "data.train: %u samples to train on are less than one batch (%u)",
                       m->split.training, m->batch);
        return SH_ERR_INVALID;
    }
    m->schedule = spec_graph_schedule(&m->job->train, m->course.steps_an_epoch);
    struct kn_diag diag = {.text = ""};
    if (kn_schedule_verify(&m->schedule, &diag) != KN_OK) {
        (void)snprintf(why, TRAIN_WHY_BYTES, "train.schedule: %s", diag.text);
        return SH_ERR_INVALID;
    }
    if (kn_optim_verify(&m->optim, &diag) != KN_OK) {
        (void)snprintf(why, TRAIN_WHY_BYTES, "train.optimizer: %s", diag.text);
        return SH_ERR_INVALID;
    }
    if (m->local_vector > 0 && kn_optim_verify(&m->outer, &diag) != KN_OK) {
        (void)snprintf(why, TRAIN_WHY_BYTES, "train.local.outer: %s", diag.text);
        return SH_ERR_INVALID;
    }
    return normalise(m, why);
}

static enum sh_err verify_meta(const struct train_material *m, char *why)
{
    struct spec_meta *meta = calloc(1, sizeof *meta);
    if (meta == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = train_material_meta(m, meta, why);
    free(meta);
    return err;
}

enum sh_err train_material_open(struct train_material **out,
                                const struct train_material_source *source, char *why, bool *final)
{
    struct train_material *m = calloc(1, sizeof *m);
    *out = NULL;
    *final = false;
    why[0] = '\0';
    if (m == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    memcpy(m->spec_digest, source->spec_digest, sizeof m->spec_digest);
    enum sh_err err = parse(m, source, why);
    bool read = err == SH_OK;
    err = err != SH_OK ? err : build(m, why);
    err = err != SH_OK ? err : open_parent(m, source, why);
    err = err != SH_OK ? err : open_data(m, source, why);
    err = err != SH_OK ? err : plan(m, why);
    err = err != SH_OK ? err : verify_meta(m, why);
    if (err != SH_OK) {
        *final = read && (err == SH_ERR_INVALID || err == SH_ERR_LIMIT);
        if (why[0] == '\0') {
            (void)snprintf(why, TRAIN_WHY_BYTES, "%s", sh_err_text(err));
        }
        train_material_close(m);
        return err;
    }
    *out = m;
    return SH_OK;
}

void train_material_close(struct train_material *m)
{
    if (m == NULL) {
        return;
    }
    kn_dataset_close(&m->train);
    kn_dataset_close(&m->validation);
    kn_dataset_close(&m->test);
    kn_model_close(m->model);
    infer_close(m->parent);
    free(m->parent_file);
    free(m->job);
    free(m);
}

/* ---- reading ---- */

size_t train_material_vector(const struct train_material *m, enum train_round_kind kind)
{
    SH_CHECK(kind != TRAIN_END);
    if (kind == TRAIN_STEP) {
        return m->vector;
    }
    return kind == TRAIN_LOCAL ? m->local_vector : TRAIN_EVAL_SHARES;
}

/* Gradients, or differences of parameters. What is measured and what is averaged stays exact. */
size_t train_material_lossy(const struct train_material *m, enum train_round_kind kind)
{
    bool learns = kind == TRAIN_STEP || kind == TRAIN_LOCAL;
    return learns && m->codec.kind != KN_CODEC_F32 ? m->params : 0;
}

size_t train_material_longest(const struct train_material *m, size_t *shorter)
{
    bool steps = m->course.stretch == 0 || m->course.together > 0;
    size_t together = steps ? m->vector : 0;
    size_t apart = m->course.stretch > 0 ? m->local_vector : 0;
    size_t longest = together > apart ? together : apart;
    *shorter = together > apart ? apart : together;
    *shorter = *shorter > TRAIN_EVAL_SHARES ? *shorter : TRAIN_EVAL_SHARES;
    return longest > *shorter ? longest : *shorter;
}

void train_material_batch(const struct train_material *m, const struct train_round *round,
                          uint64_t ahead, uint32_t rank, uint32_t *index)
{
    struct kn_permutation order;
    SH_CHECK_CMP(ahead, <, round->steps);
    SH_CHECK_CMP(rank, <, m->ranks);
    kn_permutation_init(&order, m->split.training, m->job->train.seed, KN_PERMUTATION_EPOCH,
                        round->epoch);
    uint64_t first = (round->in_epoch + ahead) * m->batch + (uint64_t)rank * m->microbatch;
    SH_CHECK_CMP(first + m->microbatch, <=, m->split.training);
    for (uint32_t i = 0; i < m->microbatch; i++) {
        uint32_t place = kn_permutation_at(&order, (uint32_t)first + i);
        index[i] = kn_split_training(&m->split, place);
    }
}

uint32_t train_material_count(const struct train_material *m, enum train_round_kind kind)
{
    SH_CHECK(kind == TRAIN_VALIDATION || kind == TRAIN_TEST);
    return kind == TRAIN_TEST ? m->tests : m->validations;
}

const struct kn_dataset *train_material_samples(const struct train_material *m,
                                                enum train_round_kind kind, uint32_t first,
                                                uint32_t count, uint32_t *index)
{
    SH_CHECK_CMP((uint64_t)first + count, <=, train_material_count(m, kind));
    bool held_out = kind == TRAIN_VALIDATION && m->validation.count == 0;
    for (uint32_t i = 0; i < count; i++) {
        index[i] = held_out ? kn_split_validation(&m->split, first + i) : first + i;
    }
    if (kind == TRAIN_TEST) {
        return &m->test;
    }
    return held_out ? &m->train : &m->validation;
}

float train_material_rate(const struct train_material *m, uint64_t step)
{
    return m->optim.lr * kn_schedule_factor(&m->schedule, step);
}

/* ---- what the model file says ---- */

static enum sh_err set_names(char (*out)[SPEC_CLASS_NAME_MAX + 1], char *const *names,
                             uint32_t count, const char *what, char *why)
{
    for (uint32_t i = 0; i < count; i++) {
        int n = snprintf(out[i], SPEC_CLASS_NAME_MAX + 1, "%s", names[i]);
        if (n > (int)SPEC_CLASS_NAME_MAX) {
            (void)snprintf(why, TRAIN_WHY_BYTES,
                           "data.train: the name of %s \"%s\" has %d bytes, at most %u are kept",
                           what, names[i], n, SPEC_CLASS_NAME_MAX);
            return SH_ERR_LIMIT;
        }
    }
    return SH_OK;
}

/* One name per output of the model: those of the job, else of the data, else numbers. */
static enum sh_err set_classes(const struct train_material *m, struct spec_meta *meta, char *why)
{
    const struct spec_train *t = &m->job->train;
    meta->class_count = t->class_count;
    for (uint32_t i = 0; i < t->class_count; i++) {
        (void)snprintf(meta->classes[i], sizeof meta->classes[i], "%u", i);
    }
    if (t->classes_named) {
        memcpy(meta->classes, t->classes, sizeof meta->classes);
        return SH_OK;
    }
    if (m->train.class_name == NULL) {
        return SH_OK;
    }
    SH_CHECK_CMP(m->train.class_count, <=, t->class_count);
    return set_names(meta->classes, m->train.class_name, m->train.class_count, "class", why);
}

enum sh_err train_material_meta(const struct train_material *m, struct spec_meta *meta, char *why)
{
    memset(meta, 0, sizeof *meta);
    meta->model = m->job->model;
    meta->reading = m->job->data.reading;
    if (m->train.rate > 0) {
        meta->reading.audio.rate = m->train.rate;
    }
    meta->loss = m->job->train.loss;
    meta->reproducible = m->job->reproducible && m->job->arithmetic == SPEC_ARITHMETIC_SAME;
    memcpy(meta->spec, m->spec_digest, sizeof meta->spec);
    meta->scale = m->train.scale;
    meta->channel_count = m->train.shape[0];
    if (meta->channel_count > SPEC_CHANNELS_MAX) {
        (void)snprintf(why, TRAIN_WHY_BYTES, "data.train: %u channels, at most %u",
                       meta->channel_count, SPEC_CHANNELS_MAX);
        return SH_ERR_LIMIT;
    }
    memcpy(meta->mean, m->train.mean, meta->channel_count * sizeof meta->mean[0]);
    memcpy(meta->std, m->train.deviation, meta->channel_count * sizeof meta->std[0]);
    enum sh_err err = set_classes(m, meta, why);
    if (err == SH_OK && m->train.column != NULL) {
        meta->feature_count = m->train.shape[0];
        err = set_names(meta->features, m->train.column, meta->feature_count, "column", why);
    }
    return err;
}
