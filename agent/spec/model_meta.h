/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model file says about itself: the metadata map of model.safetensors. Written by the
 * training session that made the model, read by prediction. It holds nothing that differs between
 * runs that must give the same bytes (no time, job id, host or number of agents).
 *
 * Keys, all values UTF-8, structured ones canonical JSON:
 *   shoal.classes       ["0","1",...]            names in output order; [] for a regression
 *   shoal.features      ["age","height",...]     names of the input columns; [] for images
 *   shoal.format        "1"
 *   shoal.input         {"audio":{...}}          how a sample is read that is neither a picture nor
 * a row: as in data of a job file; {} for those shoal.loss          "cross_entropy" | "mse"
 *   shoal.model         the model section (spec_model_canonical)
 *   shoal.normalize     {"mean":[...],"scale":s,"std":[...]}: input = (raw * scale - mean) / std;
 * one value for all, one a channel, or one a column shoal.reproducible  "true" | "false" shoal.spec
 * hexadecimal spec digest of the job
 */
#ifndef SPEC_MODEL_META_H
#define SPEC_MODEL_META_H

#include "spec/spec.h"

#define SPEC_META_PAIRS     9u
#define SPEC_META_BYTES_MAX 262144u /* of all values together */

struct spec_meta {
    struct spec_model model;
    struct spec_reading reading;
    enum spec_loss loss;
    bool reproducible;
    uint8_t spec[SH_DIGEST_BYTES];
    float scale;            /* > 0; 1 / 255 for pixels, 1 for tables */
    uint32_t channel_count; /* model.input[0] */
    float mean[SPEC_CHANNELS_MAX];
    float std[SPEC_CHANNELS_MAX]; /* > 0 */
    uint32_t class_count;
    char classes[SPEC_CLASSES_MAX][SPEC_CLASS_NAME_MAX + 1];
    uint32_t feature_count; /* 0, or model.input[0] */
    char features[SPEC_CHANNELS_MAX][SPEC_CLASS_NAME_MAX + 1];
};

struct spec_meta_pair {
    const char *key;
    const char *value; /* NUL-terminated */
};

/* Fills pairs in key order; their values lie in text, which the caller keeps for as long as it
 * needs them. LIMIT: text is too small (SPEC_META_BYTES_MAX always suffices). */
SH_MUST_USE enum sh_err spec_meta_encode(const struct spec_meta *meta, char *text, size_t size,
                                         struct spec_meta_pair pairs[static SPEC_META_PAIRS]);
/* Unknown keys are ignored. CORRUPT: a key is missing or its value does not fit the others; *wrong
 * is its name then. VERSION: another shoal.format. */
SH_MUST_USE enum sh_err spec_meta_decode(const struct spec_meta_pair *pairs, size_t count,
                                         struct spec_meta *meta, const char **wrong);

#endif
