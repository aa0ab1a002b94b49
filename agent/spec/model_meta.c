/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/model_meta.h"

#include "base/host/host.h"
#include "spec/json.h"
#include "spec/reading.h"
#include "spec/schema.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "1"

/* 9 significant digits give every float back. */
#define FLOAT_PRINT (JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(9))

struct text_out {
    char *at;
    size_t left;
    bool full;
};

static const char *put_text(struct text_out *out, const char *text)
{
    const char *start = out->at;
    size_t n = strlen(text) + 1;
    if (n > out->left) {
        out->full = true;
        return "";
    }
    memcpy(out->at, text, n);
    out->at += n;
    out->left -= n;
    return start;
}

/* Takes value. */
static const char *put_json(struct text_out *out, json_t *value, size_t flags)
{
    char *text = value != NULL ? json_dumps(value, flags) : NULL;
    json_decref(value);
    if (text == NULL) {
        out->full = true;
        return "";
    }
    const char *start = put_text(out, text);
    free(text);
    return start;
}

static json_t *names_json(const char (*names)[SPEC_CLASS_NAME_MAX + 1], uint32_t count)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < count; i++) {
        (void)json_array_append_new(out, json_string(names[i]));
    }
    return out;
}

static json_t *floats_json(const float *values, uint32_t count)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < count; i++) {
        (void)json_array_append_new(out, json_real((double)values[i]));
    }
    return out;
}

static const char *put_model(struct text_out *out, const struct spec_model *model)
{
    size_t length = 0;
    if (spec_model_canonical(model, out->at, out->left, &length) != SH_OK) {
        out->full = true;
        return "";
    }
    const char *start = out->at;
    out->at += length + 1;
    out->left -= length + 1;
    return start;
}

enum sh_err spec_meta_encode(const struct spec_meta *meta, char *text, size_t size,
                             struct spec_meta_pair pairs[static SPEC_META_PAIRS])
{
    SH_CHECK_CMP(meta->class_count, <=, SPEC_CLASSES_MAX);
    SH_CHECK_CMP(meta->feature_count, <=, SPEC_CHANNELS_MAX);
    SH_CHECK_CMP(meta->channel_count, ==, meta->model.input[0]);
    char hex[2 * SH_DIGEST_BYTES + 1];
    sh_hex(hex, meta->spec, sizeof meta->spec);
    struct text_out out = {.at = text, .left = size};
    json_t *normalize =
        json_pack("{s:o, s:f, s:o}", "mean", floats_json(meta->mean, meta->channel_count), "scale",
                  (double)meta->scale, "std", floats_json(meta->std, meta->channel_count));
    pairs[0] = (struct spec_meta_pair){
        "shoal.classes",
        put_json(&out, names_json(meta->classes, meta->class_count), SPEC_JSON_PRINT)};
    pairs[1] = (struct spec_meta_pair){
        "shoal.features",
        put_json(&out, names_json(meta->features, meta->feature_count), SPEC_JSON_PRINT)};
    pairs[2] = (struct spec_meta_pair){"shoal.format", put_text(&out, FORMAT)};
    pairs[3] = (struct spec_meta_pair){
        "shoal.input", put_json(&out, spec_reading_json(&meta->reading), SPEC_JSON_PRINT)};
    pairs[4] = (struct spec_meta_pair){
        "shoal.loss", put_text(&out, spec_choice_name(SPEC_LOSSES, (int)meta->loss))};
    pairs[5] = (struct spec_meta_pair){"shoal.model", put_model(&out, &meta->model)};
    pairs[6] = (struct spec_meta_pair){"shoal.normalize", put_json(&out, normalize, FLOAT_PRINT)};
    pairs[7] = (struct spec_meta_pair){"shoal.reproducible",
                                       put_text(&out, meta->reproducible ? "true" : "false")};
    pairs[8] = (struct spec_meta_pair){"shoal.spec", put_text(&out, hex)};
    return out.full ? SH_ERR_LIMIT : SH_OK;
}

static const char *find(const struct spec_meta_pair *pairs, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(pairs[i].key, key) == 0) {
            return pairs[i].value;
        }
    }
    return NULL;
}

static bool take_names(const char *text, char (*names)[SPEC_CLASS_NAME_MAX + 1], uint32_t max,
                       uint32_t *count)
{
    json_t *list = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    size_t n = json_array_size(list);
    bool good = json_is_array(list) && n <= max;
    for (size_t i = 0; good && i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        good = name != NULL && strlen(name) <= SPEC_CLASS_NAME_MAX;
        if (good) {
            (void)snprintf(names[i], SPEC_CLASS_NAME_MAX + 1, "%s", name);
        }
    }
    *count = (uint32_t)n;
    json_decref(list);
    return good;
}

static bool take_float(const json_t *item, double low, float *out)
{
    double value = json_number_value(item);
    if (!json_is_number(item) || !(fabs(value) <= (double)FLT_MAX) || !(value >= low)) {
        return false;
    }
    *out = (float)value;
    return true;
}

static bool take_floats(const json_t *list, float *out, uint32_t count, double low)
{
    if (!json_is_array(list) || json_array_size(list) != count) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!take_float(json_array_get(list, i), low, &out[i])) {
            return false;
        }
    }
    return true;
}

static bool take_normalize(const char *text, struct spec_meta *meta)
{
    json_t *map = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    uint32_t count = meta->model.input[0];
    meta->channel_count = count;
    bool good = take_floats(json_object_get(map, "mean"), meta->mean, count, -(double)FLT_MAX) &&
                take_floats(json_object_get(map, "std"), meta->std, count, (double)FLT_MIN) &&
                take_float(json_object_get(map, "scale"), (double)FLT_MIN, &meta->scale);
    json_decref(map);
    return good;
}

static bool take_model(const char *text, struct spec_model *model)
{
    struct spec_errors *errors = malloc(sizeof *errors);
    bool good = errors != NULL && spec_model_parse(text, strlen(text), model, errors) == SH_OK;
    free(errors);
    return good;
}

/* True when key's value is good and fits what was taken before it. */
static bool take(const char *key, const char *value, struct spec_meta *meta)
{
    if (strcmp(key, "shoal.model") == 0) {
        return take_model(value, &meta->model);
    }
    if (strcmp(key, "shoal.input") == 0) {
        return spec_reading_parse(value, strlen(value), &meta->reading);
    }
    if (strcmp(key, "shoal.loss") == 0) {
        const struct spec_choice *loss = spec_choice_find(SPEC_LOSSES, value);
        meta->loss = loss != NULL ? (enum spec_loss)loss->value : 0;
        return loss != NULL;
    }
    if (strcmp(key, "shoal.reproducible") == 0) {
        meta->reproducible = strcmp(value, "true") == 0;
        return meta->reproducible || strcmp(value, "false") == 0;
    }
    if (strcmp(key, "shoal.spec") == 0) {
        return sh_unhex(meta->spec, sizeof meta->spec, value) == SH_OK;
    }
    if (strcmp(key, "shoal.classes") == 0) {
        return take_names(value, meta->classes, SPEC_CLASSES_MAX, &meta->class_count);
    }
    if (strcmp(key, "shoal.features") == 0) {
        return take_names(value, meta->features, SPEC_CHANNELS_MAX, &meta->feature_count) &&
               (meta->feature_count == 0 || meta->feature_count == meta->model.input[0]);
    }
    return take_normalize(value, meta);
}

enum sh_err spec_meta_decode(const struct spec_meta_pair *pairs, size_t count,
                             struct spec_meta *meta, const char **wrong)
{
    static const char *const KEYS[] = {"shoal.model",        "shoal.input",    "shoal.loss",
                                       "shoal.reproducible", "shoal.spec",     "shoal.classes",
                                       "shoal.features",     "shoal.normalize"};
    memset(meta, 0, sizeof *meta);
    *wrong = "shoal.format";
    const char *format = find(pairs, count, *wrong);
    if (format == NULL) {
        return SH_ERR_CORRUPT;
    }
    if (strcmp(format, FORMAT) != 0) {
        return SH_ERR_VERSION;
    }
    for (size_t i = 0; i < SH_COUNT(KEYS); i++) {
        *wrong = KEYS[i];
        const char *value = find(pairs, count, KEYS[i]);
        if (value == NULL || !take(KEYS[i], value, meta)) {
            return SH_ERR_CORRUPT;
        }
    }
    *wrong = NULL;
    return SH_OK;
}
