/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/dataset_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_TAIL_BYTES = 80 };

static void names_free(char **names, uint32_t count)
{
    for (uint32_t i = 0; names != NULL && i < count; i++) {
        free(names[i]);
    }
    free((void *)names);
}

void kn_dataset_close(struct kn_dataset *set)
{
    free(set->bytes);
    free(set->numbers);
    free(set->label);
    free(set->target);
    names_free(set->class_name, set->class_count);
    names_free(set->column, set->column != NULL ? set->shape[0] : 0);
    free(set->mean);
    free(set->deviation);
    *set = (struct kn_dataset){0};
}

enum kn_err kn_dataset_prepare(struct kn_dataset *set, enum kn_sample kind, const uint32_t shape[3],
                               uint32_t count, const char *name, struct kn_diag *diag)
{
    uint64_t features = 1;
    for (uint32_t i = 0; i < 3; i++) {
        if (shape[i] == 0 || shape[i] > KN_FEATURES_MAX / features) {
            return kn_fail(diag, KN_ERR_LIMIT,
                           "%s: samples of %u x %u x %u numbers; 1 to %d numbers can be read",
                           kn_path_tail(name), shape[0], shape[1], shape[2], KN_FEATURES_MAX);
        }
        features *= shape[i];
    }
    uint64_t element = kind == KN_SAMPLE_U8 ? sizeof(uint8_t) : sizeof(float);
    if (count == 0 || count > KN_DATA_SAMPLES_MAX ||
        count > KN_DATA_BYTES_MAX / (features * element)) {
        return kn_fail(diag, count == 0 ? KN_ERR_CORRUPT : KN_ERR_LIMIT,
                       "%s: %u samples of %u bytes; at least one and at most 4 GiB can be read",
                       kn_path_tail(name), count, (uint32_t)(features * element));
    }
    memcpy(set->shape, shape, sizeof set->shape);
    set->count = count;
    set->features = (uint32_t)features;
    set->kind = kind;
    set->places = 1;
    set->scale = kind == KN_SAMPLE_U8 ? 1.0f / 255.0f : 1.0f;
    set->mean = calloc(shape[0], sizeof *set->mean);
    set->deviation = calloc(shape[0], sizeof *set->deviation);
    if (kind == KN_SAMPLE_U8) {
        set->bytes = calloc(count, features);
    } else {
        set->numbers = calloc(count, features * sizeof(float));
    }
    if (set->mean == NULL || set->deviation == NULL ||
        (set->bytes == NULL && set->numbers == NULL)) {
        return kn_fail(diag, KN_ERR_MEMORY, "%s: no memory for %u samples of %u bytes",
                       kn_path_tail(name), count, (uint32_t)(features * element));
    }
    for (uint32_t c = 0; c < shape[0]; c++) {
        set->deviation[c] = 1.0f;
    }
    return KN_OK;
}

enum kn_err kn_dataset_shape_verify(const uint32_t shape[3], const struct kn_open *options,
                                    const char *name, struct kn_diag *diag)
{
    const uint32_t *want = options->shape;
    if (want[0] == 0 || memcmp(shape, want, 3 * sizeof shape[0]) == 0) {
        return KN_OK;
    }
    return kn_fail(diag, KN_ERR_CORRUPT,
                   "%s: samples are %u x %u x %u, the model takes %u x %u x %u", kn_path_tail(name),
                   shape[0], shape[1], shape[2], want[0], want[1], want[2]);
}

enum kn_err kn_dataset_class_add(struct kn_dataset *set, const char *name, struct kn_diag *diag)
{
    size_t size = strlen(name) + 1;
    if (set->class_count >= KN_CLASSES_MAX || size > KN_CLASS_NAME_BYTES_MAX) {
        struct kn_quote quote = kn_quote_make(name, size - 1);
        return kn_fail(diag, KN_ERR_LIMIT,
                       "class \"%s\": at most %d classes with names of %d bytes", quote.text,
                       KN_CLASSES_MAX, KN_CLASS_NAME_BYTES_MAX - 1);
    }
    if ((set->class_count & (set->class_count - 1)) == 0) { /* grows at powers of two */
        size_t room = set->class_count > 0 ? 2 * (size_t)set->class_count : 1;
        char **grown = realloc((void *)set->class_name, room * sizeof *grown);
        if (grown == NULL) {
            return kn_fail(diag, KN_ERR_MEMORY, "no memory for class names");
        }
        set->class_name = grown;
    }
    char *copy = malloc(size);
    if (copy == NULL) {
        return kn_fail(diag, KN_ERR_MEMORY, "no memory for class names");
    }
    memcpy(copy, name, size);
    set->class_name[set->class_count] = copy;
    set->class_count++;
    return KN_OK;
}

enum kn_err kn_dataset_class_find(struct kn_dataset *set, const char *class_name, const char *name,
                                  const struct kn_open *options, int32_t *class,
                                  struct kn_diag *diag)
{
    for (uint32_t k = set->class_count; k > 0; k--) {
        if (strcmp(set->class_name[k - 1], class_name) == 0) {
            *class = (int32_t)k - 1;
            return KN_OK;
        }
    }
    struct kn_quote quote = kn_quote_make(class_name, strlen(class_name));
    if (options->classes != NULL) {
        return kn_fail(diag, KN_ERR_CORRUPT, "%s: \"%s\" is none of the %u classes of the model",
                       kn_path_tail(name), quote.text, options->class_count);
    }
    if (options->class_count > 0 && set->class_count == options->class_count) {
        return kn_fail(diag, KN_ERR_CORRUPT, "%s: \"%s\" is one class more than the %u outputs",
                       kn_path_tail(name), quote.text, options->class_count);
    }
    *class = (int32_t)set->class_count;
    return kn_dataset_class_add(set, class_name, diag);
}

enum kn_err kn_dataset_classes(struct kn_dataset *set, const struct kn_open *options,
                               uint32_t class_count, struct kn_diag *diag)
{
    enum kn_err err = KN_OK;
    for (uint32_t i = 0; i < class_count && err == KN_OK; i++) {
        char number[16];
        (void)snprintf(number, sizeof number, "%u", i);
        err = kn_dataset_class_add(set, options->classes != NULL ? options->classes[i] : number,
                                   diag);
    }
    return err;
}

struct kn_quote kn_quote_make(const char *text, size_t size)
{
    enum { SHOWN = 40 };
    struct kn_quote quote = {{0}};
    for (size_t i = 0; i < size && i < SHOWN; i++) {
        bool plain = text[i] >= ' ' && text[i] <= '~';
        quote.text[i] = plain ? text[i] : '?';
    }
    if (size > SHOWN) {
        memcpy(quote.text + SHOWN, "...", 4);
    }
    return quote;
}

const char *kn_path_tail(const char *path)
{
    size_t length = strlen(path);
    return length > PATH_TAIL_BYTES ? path + length - PATH_TAIL_BYTES : path;
}

/* Exact in integers up to the last division, whatever the order of samples. */
static void measure_bytes(struct kn_dataset *set, const uint32_t *index, uint32_t n, uint32_t c)
{
    size_t area = set->features / set->shape[0];
    uint64_t sum = 0;
    uint64_t square = 0;
    for (uint32_t s = 0; s < n; s++) {
        const uint8_t *at =
            set->bytes + (size_t)(index != NULL ? index[s] : s) * set->features + c * area;
        for (size_t i = 0; i < area; i++) {
            sum += at[i];
            square += (uint32_t)at[i] * at[i];
        }
    }
    double count = (double)n * (double)area;
    double mean = (double)sum / count;
    double variance = (double)square / count - mean * mean;
    set->mean[c] = (float)(mean * (double)set->scale);
    set->deviation[c] = variance > 0 ? (float)(sqrt(variance) * (double)set->scale) : 0.0f;
}

static void measure_numbers(struct kn_dataset *set, const uint32_t *index, uint32_t n, uint32_t c)
{
    size_t area = set->features / set->shape[0];
    double mean = 0;
    double variance = 0;
    for (uint32_t pass = 0; pass < 2; pass++) {
        double sum = 0;
        for (uint32_t s = 0; s < n; s++) {
            const float *at =
                set->numbers + (size_t)(index != NULL ? index[s] : s) * set->features + c * area;
            for (size_t i = 0; i < area; i++) {
                double v = (double)at[i] - mean;
                sum += pass == 0 ? v : v * v;
            }
        }
        sum /= (double)n * (double)area;
        mean = pass == 0 ? sum : mean;
        variance = sum;
    }
    set->mean[c] = (float)(mean * (double)set->scale);
    set->deviation[c] = (float)(sqrt(variance) * (double)set->scale);
}

void kn_dataset_measure(struct kn_dataset *set, const uint32_t *index, uint32_t n)
{
    KN_CHECK(n > 0);
    for (uint32_t c = 0; c < set->shape[0] && set->kind != KN_SAMPLE_TOKEN; c++) {
        if (set->kind == KN_SAMPLE_U8) {
            measure_bytes(set, index, n, c);
        } else {
            measure_numbers(set, index, n, c);
        }
        bool varies = set->deviation[c] > 0 && isfinite(1.0f / set->deviation[c]) != 0;
        set->deviation[c] = varies ? set->deviation[c] : 1.0f;
    }
}

enum kn_err kn_dataset_normalise(struct kn_dataset *set, float scale, const float *mean,
                                 const float *deviation, uint32_t count)
{
    if ((count != 1 && count != set->shape[0]) || isfinite(scale) == 0) {
        return KN_ERR_INVALID;
    }
    for (uint32_t c = 0; c < count; c++) {
        if (isfinite(mean[c]) == 0 || isfinite(deviation[c]) == 0 || !(deviation[c] > 0)) {
            return KN_ERR_INVALID;
        }
    }
    set->scale = scale;
    for (uint32_t c = 0; c < set->shape[0]; c++) {
        set->mean[c] = mean[count == 1 ? 0 : c];
        set->deviation[c] = deviation[count == 1 ? 0 : c];
    }
    return KN_OK;
}

static void gather_channel(const struct kn_dataset *set, size_t from, size_t area, uint32_t c,
                           float *restrict x)
{
    float scale = set->scale;
    float mean = set->mean[c];
    float deviation = set->deviation[c];
    if (set->kind == KN_SAMPLE_U8) {
        const uint8_t *restrict raw = set->bytes + from;
        for (size_t i = 0; i < area; i++) {
            x[i] = ((float)raw[i] * scale - mean) / deviation;
        }
    } else {
        const float *restrict raw = set->numbers + from;
        for (size_t i = 0; i < area; i++) {
            x[i] = (raw[i] * scale - mean) / deviation;
        }
    }
}

int32_t kn_dataset_truth(const struct kn_dataset *set, uint32_t index)
{
    KN_CHECK(index < set->count);
    KN_CHECK(set->label != NULL);
    return set->label[set->kind == KN_SAMPLE_TOKEN ? ((size_t)index + 1) * set->features : index];
}

static void gather_tokens(const struct kn_dataset *set, uint32_t index, float *x, int32_t *label)
{
    const int32_t *token = set->label + (size_t)index * set->features;
    for (uint32_t i = 0; i < set->features; i++) {
        x[i] = (float)token[i];
    }
    if (label != NULL) {
        memcpy(label, token + 1, set->features * sizeof *label);
    }
}

void kn_dataset_gather(const struct kn_dataset *set, const uint32_t *index, uint32_t n, float *x,
                       int32_t *label, float *target)
{
    KN_CHECK(label == NULL || set->label != NULL);
    KN_CHECK(target == NULL || set->target != NULL);
    size_t area = set->features / set->shape[0];
    for (uint32_t s = 0; s < n; s++) {
        KN_CHECK(index[s] < set->count);
        if (set->kind == KN_SAMPLE_TOKEN) {
            gather_tokens(set, index[s], x + (size_t)s * set->features,
                          label != NULL ? label + (size_t)s * set->places : NULL);
            continue;
        }
        size_t from = (size_t)index[s] * set->features;
        for (uint32_t c = 0; c < set->shape[0]; c++) {
            gather_channel(set, from + c * area, area, c, x + (size_t)s * set->features + c * area);
        }
        if (label != NULL) {
            label[s] = set->label[index[s]];
        }
        if (target != NULL) {
            target[s] = set->target[index[s]];
        }
    }
}
