/* SPDX-License-Identifier: Apache-2.0 */
#include "model_file.h"

#include "kernels/format/safetensors.h"
#include "spec/model_meta.h"
#include "tst.h"

#include <stdio.h>
#include <string.h>

static const float WEIGHT[8] = {-1, -1, -1, -1, 1, 1, 1, 1};
static const float BIAS[2] = {0.5f, 0};

static enum kn_err put(void *context, const void *bytes, size_t size)
{
    struct model_file *f = context;
    EXPECT(f->size + size <= sizeof f->bytes);
    memcpy(f->bytes + f->size, bytes, size);
    f->size += size;
    return KN_OK;
}

static struct spec_meta meta;

void model_file_make(struct model_file *file, const char *input, uint32_t features, bool drop_bias)
{
    static char text[SPEC_META_BYTES_MAX];
    static struct spec_errors errors;
    struct spec_meta_pair pairs[SPEC_META_PAIRS];
    struct kn_meta metas[SPEC_META_PAIRS];
    struct kn_diag why = {.text = ""};
    char model[256];
    (void)snprintf(model, sizeof model, "{\"input\":%s,\"layers\":[%s{\"dense\":2}]}", input,
                   features == 0 ? "\"flatten\"," : "");
    memset(&meta, 0, sizeof meta);
    EXPECT(spec_model_parse(model, strlen(model), &meta.model, &errors) == SH_OK);
    meta.loss = SPEC_CROSS_ENTROPY;
    meta.scale = features == 0 ? 1.0f / 255.0f : 1.0f;
    meta.channel_count = meta.model.input[0];
    for (uint32_t i = 0; i < meta.channel_count; i++) {
        meta.mean[i] = 0.5f;
        meta.std[i] = 0.25f;
    }
    meta.class_count = 2;
    (void)snprintf(meta.classes[0], sizeof meta.classes[0], "dark");
    (void)snprintf(meta.classes[1], sizeof meta.classes[1], "light");
    meta.feature_count = features;
    for (uint32_t i = 0; i < features; i++) {
        (void)snprintf(meta.features[i], sizeof meta.features[i], "c%u", i);
    }
    EXPECT(spec_meta_encode(&meta, text, sizeof text, pairs) == SH_OK);
    for (size_t i = 0; i < SPEC_META_PAIRS; i++) {
        metas[i] = (struct kn_meta){pairs[i].key, pairs[i].value};
    }
    struct kn_tensor tensors[2] = {
        {.name = "dense1.weight",
         .dtype = KN_DTYPE_F32,
         .rank = 2,
         .shape = {2, 4},
         .data = WEIGHT},
        {.name = "dense1.bias", .dtype = KN_DTYPE_F32, .rank = 1, .shape = {2}, .data = BIAS}};
    struct kn_sink sink = {.put = put, .context = file};
    file->size = 0;
    EXPECT(kn_safetensors_write(tensors, drop_bias ? 1 : 2, metas, SPEC_META_PAIRS, sink, &why) ==
           KN_OK);
}
