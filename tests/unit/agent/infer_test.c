/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/infer.h"
#include "kernels/format/safetensors.h"
#include "spec/model_meta.h"
#include "tst.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A dense layer over four pixels: class 0 "dark" likes black, class 1 "light" likes white. */
static const float WEIGHT[8] = {-1, -1, -1, -1, 1, 1, 1, 1};
static const float BIAS[2] = {0.5f, 0};

struct file {
    uint8_t bytes[65536];
    size_t size;
};

static enum kn_err put(void *context, const void *bytes, size_t size)
{
    struct file *f = context;
    EXPECT(f->size + size <= sizeof f->bytes);
    memcpy(f->bytes + f->size, bytes, size);
    f->size += size;
    return KN_OK;
}

static struct file file;
static struct spec_meta meta;

static void make_file(const char *input, uint32_t features, bool drop_bias)
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
    struct kn_sink sink = {.put = put, .context = &file};
    file.size = 0;
    EXPECT(kn_safetensors_write(tensors, drop_bias ? 1 : 2, metas, SPEC_META_PAIRS, sink, &why) ==
           KN_OK);
}

static double expected_dark(double sum)
{
    double dark = exp(0.5 - sum);
    double light = exp(sum);
    return dark / (dark + light);
}

static struct infer *open_file(void)
{
    struct infer *infer = NULL;
    struct kn_diag why = {.text = ""};
    if (infer_open(file.bytes, file.size, &infer, &why) != SH_OK) {
        tst_fail(__FILE__, __LINE__, "%s", why.text);
    }
    return infer;
}

static const char PGM[] = "P5\n2 2\n255\n\x00\x10\x20\x30";
static const char CSV[] = "0,16,32,48\n255,255,255,255\n";

TEST(a_picture_is_scaled_normalised_and_classified)
{
    struct infer *infer = NULL;
    struct kn_diag why = {.text = ""};
    float *y = NULL;
    uint32_t count = 0;
    make_file("[1,2,2]", 0, false);
    infer = open_file();
    EXPECT_EQ(infer_outputs(infer), 2);
    EXPECT_STR(infer_class(infer, 1), "light");
    struct infer_input input = {.bytes = (const uint8_t *)PGM, .size = sizeof PGM - 1};
    EXPECT(infer_run(infer, &input, &y, &count, &why) == SH_OK);
    EXPECT_EQ(count, 1);
    double sum = ((0 + 16 + 32 + 48) / 255.0 - 2.0) / 0.25;
    EXPECT_NEAR((double)y[0], expected_dark(sum), 1e-6);
    EXPECT_NEAR((double)(y[0] + y[1]), 1, 1e-6);
    free(y);
    input.invert = true;
    EXPECT(infer_run(infer, &input, &y, &count, &why) == SH_OK);
    EXPECT_NEAR((double)y[0], expected_dark(((255 * 4 - 96) / 255.0 - 2.0) / 0.25), 1e-6);
    free(y);
    infer_close(infer);
}

TEST(a_table_of_pixels_gives_what_the_picture_gives)
{
    struct kn_diag why = {.text = ""};
    float *y = NULL;
    float *z = NULL;
    uint32_t count = 0;
    make_file("[1,2,2]", 0, false);
    struct infer *infer = open_file();
    struct infer_input picture = {.bytes = (const uint8_t *)PGM, .size = sizeof PGM - 1};
    struct infer_input table = {.bytes = (const uint8_t *)CSV, .size = sizeof CSV - 1};
    EXPECT(infer_run(infer, &picture, &y, &count, &why) == SH_OK);
    if (infer_run(infer, &table, &z, &count, &why) != SH_OK) {
        tst_fail(__FILE__, __LINE__, "%s", why.text);
    }
    EXPECT_EQ(count, 2);
    EXPECT_NEAR((double)y[0], (double)z[0], 1e-6);
    EXPECT(z[3] > z[2]);
    free(y);
    free(z);
    infer_close(infer);
}

TEST(columns_of_a_table_are_found_by_name_in_any_order)
{
    static const char NAMED[] = "c3,extra,c1,c0,c2\n4,9,2,1,3\n";
    struct kn_diag why = {.text = ""};
    float *y = NULL;
    uint32_t count = 0;
    make_file("[4]", 4, false);
    struct infer *infer = open_file();
    struct infer_input table = {.bytes = (const uint8_t *)NAMED, .size = sizeof NAMED - 1};
    if (infer_run(infer, &table, &y, &count, &why) != SH_OK) {
        tst_fail(__FILE__, __LINE__, "%s", why.text);
    }
    EXPECT_NEAR((double)y[0], expected_dark((10 - 2.0) / 0.25), 1e-6);
    free(y);
    infer_close(infer);
}

static const struct {
    const char *bytes;
    size_t size;
    const char *part;
} INPUTS[] = {
    {"1,2,3\n", 6, "3"},
    {"1,2,3,4\n1,2,x,4\n", 16, "x"},
    {"P5\n2 2\n255\n\x01", 12, "picture"},
    {"", 0, "input"},
};

TEST_ROWS(an_input_that_does_not_fit_is_refused_with_a_reason, INPUTS)
{
    struct kn_diag why = {.text = ""};
    float *y = NULL;
    uint32_t count = 0;
    make_file("[1,2,2]", 0, false);
    struct infer *infer = open_file();
    struct infer_input input = {.bytes = (const uint8_t *)INPUTS[tst_row].bytes,
                                .size = INPUTS[tst_row].size};
    EXPECT(infer_run(infer, &input, &y, &count, &why) == SH_ERR_INVALID);
    EXPECT(y == NULL);
    if (strstr(why.text, INPUTS[tst_row].part) == NULL) {
        tst_fail(__FILE__, __LINE__, "%s: %s", INPUTS[tst_row].part, why.text);
    }
    infer_close(infer);
}

TEST(a_model_file_without_a_tensor_is_refused_by_its_name)
{
    struct infer *infer = NULL;
    struct kn_diag why = {.text = ""};
    make_file("[1,2,2]", 0, true);
    EXPECT(infer_open(file.bytes, file.size, &infer, &why) == SH_ERR_CORRUPT);
    EXPECT(strstr(why.text, "dense1.bias") != NULL);
    EXPECT(infer_open(file.bytes, 40, &infer, &why) == SH_ERR_CORRUPT);
    EXPECT(infer_open((const uint8_t *)"model", 5, &infer, &why) == SH_ERR_CORRUPT);
}

TEST(classes_are_ordered_by_falling_probability_and_then_by_index)
{
    static const float Y[5] = {0.1f, 0.4f, 0.1f, 0.3f, 0.4f};
    uint32_t order[5];
    infer_order(Y, 5, order);
    static const uint32_t WANT[5] = {1, 4, 3, 0, 2};
    EXPECT_MEM(order, WANT, sizeof WANT);
}
