/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/infer.h"

#include "kernels/data/image.h"
#include "kernels/format/safetensors.h"
#include "spec/graph.h"
#include "spec/model_meta.h"
#include "spec/reading.h"

#include <stdlib.h>
#include <string.h>

#define CALL_SAMPLES 64u /* of one call of the graph */
#define IDX_U8       0x08u

struct infer {
    struct kn_safetensors file;
    struct spec_meta meta;
    struct kn_model *model;
    uint32_t outputs;
    float *params;
    float *buffers;
};

static enum sh_err err_of(enum kn_err err)
{
    switch (err) {
    case KN_OK:
        return SH_OK;
    case KN_ERR_MEMORY:
        return SH_ERR_NO_MEMORY;
    case KN_ERR_LIMIT:
        return SH_ERR_LIMIT;
    case KN_ERR_NOT_FINITE:
        return SH_ERR_DIVERGED;
    case KN_ERR_DEVICE:
        return SH_ERR_IO;
    case KN_ERR_INVALID:
    case KN_ERR_IO:
    case KN_ERR_CORRUPT:
    case KN_ERR_UNSUPPORTED:
    case KN_ERR_NOT_FOUND:
    case KN_ERR_COUNT:
        break;
    }
    return SH_ERR_INVALID;
}

static enum sh_err fail(struct kn_diag *why, enum sh_err err, const char *text)
{
    (void)kn_fail(why, KN_ERR_INVALID, "%s", text);
    return err;
}

static enum sh_err read_meta(struct infer *infer, struct kn_diag *why)
{
    uint32_t count = infer->file.meta_count;
    struct spec_meta_pair *pairs = calloc(count > 0 ? count : 1, sizeof *pairs);
    const char *wrong = NULL;
    if (pairs == NULL) {
        return fail(why, SH_ERR_NO_MEMORY, "out of memory");
    }
    const char *kind = kn_safetensors_meta(&infer->file, "shoal.kind");
    if (kind != NULL && strcmp(kind, "rl") == 0) {
        free(pairs);
        return fail(why, SH_ERR_INVALID,
                    "is a policy of kind rl: shoal evaluate MODEL plays episodes with it");
    }
    for (uint32_t i = 0; i < count; i++) {
        pairs[i] = (struct spec_meta_pair){infer->file.meta[i].key, infer->file.meta[i].value};
    }
    enum sh_err err = spec_meta_decode(pairs, count, &infer->meta, &wrong);
    if (err != SH_OK) {
        (void)kn_fail(why, KN_ERR_CORRUPT, "the model file's metadata: %s is missing or damaged",
                      wrong);
    }
    free(pairs);
    return err;
}

static enum sh_err copy_tensor(const struct infer *infer, const struct kn_tensor_info *info,
                               float *out, struct kn_diag *why)
{
    const struct kn_tensor *t = kn_safetensors_find(&infer->file, info->name);
    bool fits = t != NULL && t->dtype == KN_DTYPE_F32 && t->rank == info->rank;
    for (uint32_t i = 0; fits && i < info->rank; i++) {
        fits = t->shape[i] == info->dim[i];
    }
    if (!fits) {
        (void)kn_fail(why, KN_ERR_CORRUPT,
                      "the model file's tensor %s is missing or has another shape", info->name);
        return SH_ERR_CORRUPT;
    }
    memcpy(out + info->offset, t->data, info->count * sizeof(float));
    return SH_OK;
}

static float *take_floats(size_t count)
{
    return calloc(count > 0 ? count : 1, sizeof(float));
}

static enum sh_err read_tensors(struct infer *infer, struct kn_diag *why)
{
    const struct kn_model *m = infer->model;
    infer->params = take_floats(kn_model_param_count(m));
    infer->buffers = take_floats(kn_model_buffer_count(m));
    if (infer->params == NULL || infer->buffers == NULL) {
        return fail(why, SH_ERR_NO_MEMORY, "out of memory");
    }
    enum sh_err err = SH_OK;
    for (uint32_t i = 0; err == SH_OK && i < kn_model_param_tensors(m); i++) {
        err = copy_tensor(infer, kn_model_param(m, i), infer->params, why);
    }
    for (uint32_t i = 0; err == SH_OK && i < kn_model_buffer_tensors(m); i++) {
        err = copy_tensor(infer, kn_model_buffer(m, i), infer->buffers, why);
    }
    return err;
}

static enum sh_err build(struct infer *infer, struct kn_diag *why)
{
    struct spec_graph_fault fault;
    enum sh_err err = spec_graph_build(&infer->meta.model, infer->meta.loss, &infer->model, &fault);
    if (err != SH_OK) {
        (void)kn_fail(why, KN_ERR_CORRUPT, "the model file's layers: %s", fault.diag.text);
        return SH_ERR_CORRUPT;
    }
    infer->outputs = kn_model_outputs(infer->model);
    if (infer_classifies(infer) && infer->meta.class_count != infer->outputs) {
        return fail(why, SH_ERR_CORRUPT, "the model file names another number of classes");
    }
    return read_tensors(infer, why);
}

enum sh_err infer_open(const uint8_t *bytes, size_t size, struct infer **out, struct kn_diag *why)
{
    struct infer *infer = calloc(1, sizeof *infer);
    if (infer == NULL) {
        return fail(why, SH_ERR_NO_MEMORY, "out of memory");
    }
    enum sh_err err = SH_OK;
    if (kn_safetensors_read(&infer->file, bytes, size, why) != KN_OK) {
        err = SH_ERR_CORRUPT;
    }
    if (err == SH_OK) {
        err = read_meta(infer, why);
    }
    if (err == SH_OK) {
        err = build(infer, why);
    }
    if (err != SH_OK) {
        infer_close(infer);
        return err;
    }
    *out = infer;
    return SH_OK;
}

void infer_close(struct infer *infer)
{
    if (infer == NULL) {
        return;
    }
    kn_model_close(infer->model);
    kn_safetensors_close(&infer->file);
    free(infer->params);
    free(infer->buffers);
    free(infer);
}

const struct spec_meta *infer_meta(const struct infer *infer)
{
    return &infer->meta;
}

const struct kn_model *infer_model(const struct infer *infer)
{
    return infer->model;
}

const float *infer_params(const struct infer *infer)
{
    return infer->params;
}

const float *infer_buffers(const struct infer *infer)
{
    return infer->buffers;
}

uint32_t infer_outputs(const struct infer *infer)
{
    return infer->outputs;
}

bool infer_classifies(const struct infer *infer)
{
    return infer->meta.loss == SPEC_CROSS_ENTROPY;
}

const char *infer_class(const struct infer *infer, uint32_t index)
{
    SH_CHECK_CMP(index, <, infer->meta.class_count);
    return infer->meta.classes[index];
}

void infer_order(const float *y, uint32_t count, uint32_t *order)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i;
        while (at > 0 && y[order[at - 1]] < y[i]) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
}

/* Samples as the graph takes them. */
struct samples {
    float *x;
    uint32_t count;
    uint32_t place; /* of a sequence: the one that is asked about */
};

static uint32_t features_of(const struct infer *infer)
{
    const uint32_t *in = infer->meta.model.input;
    return in[0] * in[1] * in[2];
}

static enum sh_err read_picture(const struct infer *infer, const struct infer_input *input,
                                struct samples *out, struct kn_diag *why)
{
    const uint32_t *in = infer->meta.model.input;
    uint32_t features = features_of(infer);
    uint32_t area = in[1] * in[2];
    struct kn_image image;
    enum kn_err err = kn_image_decode(&image, input->bytes, input->size, "the picture", why);
    if (err != KN_OK) {
        return err_of(err);
    }
    struct kn_image_fit fit = {
        .shape = {in[0], in[1], in[2]}, .invert = input->invert, .centre = true};
    uint8_t *pixels = malloc(features);
    out->x = take_floats(features);
    enum sh_err result = SH_OK;
    if (pixels == NULL || out->x == NULL) {
        result = fail(why, SH_ERR_NO_MEMORY, "out of memory");
    } else if (kn_image_prepare(&image, &fit, pixels) != KN_OK) {
        result = fail(why, SH_ERR_INVALID, "the model does not take pictures");
    }
    for (uint32_t i = 0; result == SH_OK && i < features; i++) {
        float raw = (float)pixels[i] * infer->meta.scale;
        out->x[i] = (raw - infer->meta.mean[i / area]) / infer->meta.std[i / area];
    }
    out->count = 1;
    kn_image_close(&image);
    free(pixels);
    return result;
}

/* Means and deviations for a set whose "channels" are the model's features laid out flat. */
static enum sh_err normalise(const struct infer *infer, struct kn_dataset *set, struct kn_diag *why)
{
    uint32_t channels = set->shape[0];
    uint32_t own = infer->meta.channel_count;
    float *mean = take_floats(channels);
    float *std = take_floats(channels);
    enum sh_err err = SH_OK;
    if (mean == NULL || std == NULL) {
        err = fail(why, SH_ERR_NO_MEMORY, "out of memory");
    }
    for (uint32_t i = 0; err == SH_OK && i < channels; i++) {
        uint32_t at = (uint32_t)((uint64_t)i * own / channels);
        mean[i] = infer->meta.mean[at];
        std[i] = infer->meta.std[at];
    }
    if (err == SH_OK &&
        kn_dataset_normalise(set, infer->meta.scale, mean, std, channels) != KN_OK) {
        err = fail(why, SH_ERR_CORRUPT, "the model's normalisation is damaged");
    }
    free(mean);
    free(std);
    return err;
}

void infer_reference(const struct infer *infer, struct infer_names *names,
                     struct kn_dataset *reference)
{
    const struct spec_meta *meta = &infer->meta;
    *reference =
        (struct kn_dataset){.shape = {meta->feature_count, 1, 1}, .class_count = meta->class_count};
    for (uint32_t i = 0; i < meta->feature_count; i++) {
        names->column[i] = (char *)(uintptr_t)meta->features[i];
    }
    for (uint32_t i = 0; i < meta->class_count; i++) {
        names->class_name[i] = (char *)(uintptr_t)meta->classes[i];
    }
    reference->column = meta->feature_count > 0 ? names->column : NULL;
    reference->class_name = meta->class_count > 0 ? names->class_name : NULL;
}

void infer_reading(const struct infer *infer, struct infer_reading *reading,
                   struct kn_open *options)
{
    const struct spec_meta *meta = &infer->meta;
    if (spec_reading_audio(&meta->reading, &reading->audio)) {
        options->audio = &reading->audio;
    }
    if (spec_reading_text(&meta->reading, &reading->text)) {
        for (uint32_t i = 0; i < meta->class_count; i++) {
            reading->classes[i] = meta->classes[i];
        }
        options->text = &reading->text;
        options->classes = reading->classes;
        options->class_count = meta->class_count;
    }
}

enum sh_err infer_fit(const struct infer *infer, struct kn_dataset *set, struct kn_diag *why)
{
    if (set->features != features_of(infer)) {
        (void)kn_fail(why, KN_ERR_INVALID, "%u numbers a sample; the model takes %u", set->features,
                      features_of(infer));
        return SH_ERR_INVALID;
    }
    return normalise(infer, set, why);
}

static enum sh_err gather(const struct kn_dataset *set, uint32_t first, uint32_t count,
                          struct samples *out, struct kn_diag *why)
{
    uint32_t *index = calloc(count, sizeof *index);
    out->x = take_floats((size_t)count * set->features);
    enum sh_err err = SH_OK;
    if (index == NULL || out->x == NULL) {
        err = fail(why, SH_ERR_NO_MEMORY, "out of memory");
    }
    if (err == SH_OK) {
        for (uint32_t i = 0; i < count; i++) {
            index[i] = first + i;
        }
        kn_dataset_gather(set, index, count, out->x, NULL, NULL);
        out->count = count;
        out->place = set->given > 0 ? set->given - 1 : set->places - 1;
    }
    free(index);
    return err;
}

static enum sh_err gather_all(const struct infer *infer, struct kn_dataset *set,
                              struct samples *out, struct kn_diag *why)
{
    enum sh_err err = infer_fit(infer, set, why);
    if (err != SH_OK) {
        return err;
    }
    if (set->count == 0 || set->count > INFER_SAMPLES_MAX) {
        (void)kn_fail(why, KN_ERR_LIMIT, "%u samples; from 1 to %u can be asked about at a time",
                      set->count, INFER_SAMPLES_MAX);
        return SH_ERR_LIMIT;
    }
    return gather(set, 0, set->count, out, why);
}

/* An IDX file begins with two zero bytes and its type, or is gzip. */
static bool is_idx(const struct infer_input *input)
{
    const uint8_t *b = input->bytes;
    bool gzip = input->size > 2 && b[0] == 0x1f && b[1] == 0x8b;
    return gzip || (input->size > 4 && b[0] == 0 && b[1] == 0 && b[2] == IDX_U8);
}

static enum sh_err read_set(const struct infer *infer, const struct infer_input *input,
                            struct samples *out, struct kn_diag *why)
{
    const uint32_t *in = infer->meta.model.input;
    const char *columns[SPEC_CHANNELS_MAX];
    struct kn_dataset set = {0};
    struct kn_open options = {.unlabelled = true};
    struct infer_reading reading;
    enum kn_err err = KN_OK;
    infer_reading(infer, &reading, &options);
    if (options.audio != NULL) {
        err = kn_recording_decode(&set, input->bytes, input->size, "the input", &options, why);
    } else if (options.text != NULL) {
        err = kn_text_decode(&set, input->bytes, input->size, "the input", &options, why);
    } else if (is_idx(input)) {
        memcpy(options.shape, in, sizeof options.shape);
        err = kn_idx_decode(&set, input->bytes, input->size, "the input", &options, why);
    } else {
        for (uint32_t i = 0; i < infer->meta.feature_count; i++) {
            columns[i] = infer->meta.features[i];
        }
        options.columns = infer->meta.feature_count > 0 ? columns : NULL;
        options.column_count = infer->meta.feature_count;
        err = kn_csv_decode(&set, input->bytes, input->size, "the input", &options, why);
    }
    enum sh_err result = err == KN_OK ? gather_all(infer, &set, out, why) : err_of(err);
    kn_dataset_close(&set);
    return result;
}

/* n samples of all places; y gets those of one. */
static enum kn_err predict(const struct infer *infer, struct kn_work *work, const float *x,
                           uint32_t n, uint32_t place, float *all, float *y, struct kn_diag *why)
{
    const size_t places = kn_model_places(infer->model);
    enum kn_err err = kn_model_predict(work, infer->params, infer->buffers, x, n, all, why);
    for (size_t i = 0; err == KN_OK && i < n; i++) {
        memcpy(y + i * infer->outputs, all + (i * places + place) * infer->outputs,
               infer->outputs * sizeof *y);
    }
    return err;
}

static enum sh_err compute(const struct infer *infer, const struct samples *samples, float *y,
                           struct kn_diag *why)
{
    struct kn_work *work = NULL;
    const size_t places = kn_model_places(infer->model);
    uint32_t n_max = samples->count < CALL_SAMPLES ? samples->count : CALL_SAMPLES;
    float *all = take_floats(n_max * places * infer->outputs);
    enum kn_err err = all != NULL ? kn_work_open(&work, infer->model, kn_ops_cpu(), n_max, false)
                                  : kn_fail(why, KN_ERR_MEMORY, "out of memory");
    SH_CHECK_CMP(samples->place, <, places);
    for (uint32_t at = 0; err == KN_OK && at < samples->count; at += n_max) {
        uint32_t n = samples->count - at < n_max ? samples->count - at : n_max;
        err = predict(infer, work, samples->x + (size_t)at * features_of(infer), n, samples->place,
                      all, y + (size_t)at * infer->outputs, why);
    }
    kn_work_close(work);
    free(all);
    return err_of(err);
}

enum sh_err infer_answer(const struct infer *infer, const struct kn_dataset *set, uint32_t first,
                         uint32_t count, float *y, struct kn_diag *why)
{
    struct samples samples = {0};
    enum sh_err err = gather(set, first, count, &samples, why);
    err = err == SH_OK ? compute(infer, &samples, y, why) : err;
    free(samples.x);
    return err;
}

enum sh_err infer_run(const struct infer *infer, const struct infer_input *input, float **y,
                      uint32_t *count, struct kn_diag *why)
{
    struct samples samples = {0};
    *y = NULL;
    bool picture = kn_image_known(input->bytes, input->size) && infer->meta.reading.audio.mels == 0;
    enum sh_err err =
        picture ? read_picture(infer, input, &samples, why) : read_set(infer, input, &samples, why);
    if (err == SH_OK) {
        *y = take_floats((size_t)samples.count * infer->outputs);
        err = *y != NULL ? compute(infer, &samples, *y, why)
                         : fail(why, SH_ERR_NO_MEMORY, "out of memory");
    }
    free(samples.x);
    if (err != SH_OK) {
        free(*y);
        *y = NULL;
        return err;
    }
    *count = samples.count;
    return SH_OK;
}
