/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/infer.h"
#include "model_file.h"
#include "tst.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct model_file file;

static void make_file(const char *input, uint32_t features, bool drop_bias)
{
    model_file_make(&file, input, features, drop_bias);
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
