/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/image.h"

#include "tst.h"

#include <stdio.h>
#include <jpeglib.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

enum { WIDE = 12, HIGH = 8, ROOM = 1 << 16 };

static uint8_t grey[WIDE * HIGH];
static uint8_t colour[WIDE * HIGH * 3];
static uint8_t file[ROOM];

static void fill(void)
{
    for (uint32_t i = 0; i < WIDE * HIGH; i++) {
        grey[i] = (uint8_t)(i * 2);
        colour[3 * i] = (uint8_t)(i * 2);
        colour[3 * i + 1] = (uint8_t)(255 - i);
        colour[3 * i + 2] = (uint8_t)(i % 7);
    }
}

static size_t png_make(const void *pixels, uint32_t format)
{
    png_image png = {.version = PNG_IMAGE_VERSION, .width = WIDE, .height = HIGH, .format = format};
    png_alloc_size_t size = ROOM;
    EXPECT(png_image_write_to_memory(&png, file, &size, 0, pixels, 0, NULL) != 0);
    return size;
}

static size_t jpeg_make(uint8_t *pixels, int channels, int quality)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *out = NULL;
    unsigned long size = 0;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out, &size);
    c.image_width = WIDE;
    c.image_height = HIGH;
    c.input_components = channels;
    c.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, quality, TRUE);
    jpeg_start_compress(&c, TRUE);
    for (int y = 0; y < HIGH; y++) {
        JSAMPROW row[1] = {pixels + y * WIDE * channels};
        (void)jpeg_write_scanlines(&c, row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    EXPECT(size <= ROOM);
    memcpy(file, out, size);
    free(out);
    return size;
}

static void decode(struct kn_image *image, size_t size)
{
    struct kn_diag diag = {""};
    if (kn_image_decode(image, file, size, "f", &diag) != KN_OK) {
        tst_fail(__FILE__, __LINE__, "%s", diag.text);
    }
}

TEST(png_pixels_are_read_exactly)
{
    struct kn_image image;
    fill();
    decode(&image, png_make(grey, PNG_FORMAT_GRAY));
    EXPECT_EQ(image.channels, 1);
    EXPECT_EQ(image.width, WIDE);
    EXPECT_EQ(image.height, HIGH);
    EXPECT_MEM(image.pixels, grey, sizeof grey);
    kn_image_close(&image);
    decode(&image, png_make(colour, PNG_FORMAT_RGB));
    EXPECT_EQ(image.channels, 3);
    EXPECT_MEM(image.pixels, colour, sizeof colour);
    kn_image_close(&image);
}

TEST(transparent_pixels_lie_on_white)
{
    static uint8_t rgba[WIDE * HIGH * 4];
    struct kn_image image;
    rgba[7] = 255; /* the second pixel is opaque black */
    decode(&image, png_make(rgba, PNG_FORMAT_RGBA));
    EXPECT_EQ(image.pixels[0], 255);
    EXPECT_EQ(image.pixels[3], 0);
    EXPECT_EQ(image.pixels[6], 255);
    kn_image_close(&image);
}

static const int jpeg_channels[] = {1, 3};

TEST_ROWS(jpeg_pixels_are_read_nearly, jpeg_channels)
{
    struct kn_image image;
    int channels = jpeg_channels[tst_row];
    memset(colour, 120, sizeof colour);
    memset(grey, 120, sizeof grey);
    decode(&image, jpeg_make(channels == 1 ? grey : colour, channels, 95));
    EXPECT_EQ(image.channels, channels);
    for (int i = 0; i < WIDE * HIGH * channels; i++) {
        EXPECT(image.pixels[i] >= 118 && image.pixels[i] <= 122);
    }
    kn_image_close(&image);
}

static const int formats[] = {0, 1, 2};

TEST_ROWS(every_truncation_of_a_picture_is_refused, formats)
{
    fill();
    size_t size = 0;
    size_t ending = 0; /* bytes at the end without which the pixels are still whole */
    if (formats[tst_row] == 0) {
        size = png_make(colour, PNG_FORMAT_RGB);
        ending = 16; /* the IEND chunk, and the checksum before it */
    } else if (formats[tst_row] == 1) {
        size = jpeg_make(colour, 3, 90);
    } else {
        static const char head[] = "P5 12 8 255\n";
        memcpy(file, head, sizeof head - 1);
        memcpy(file + sizeof head - 1, grey, sizeof grey);
        size = sizeof head - 1 + sizeof grey;
    }
    uint32_t refused = 0;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *part = malloc(cut > 0 ? cut : 1);
        EXPECT(part != NULL);
        memcpy(part, file, cut);
        struct kn_image image;
        struct kn_diag diag = {""};
        if (kn_image_decode(&image, part, cut, "f", &diag) == KN_OK) {
            EXPECT(cut + ending >= size);
        } else {
            EXPECT(strncmp(diag.text, "f: ", 3) == 0);
            EXPECT(image.pixels == NULL);
            refused++;
        }
        kn_image_close(&image);
        free(part);
    }
    EXPECT(refused + ending >= size);
}

TEST(a_picture_that_promises_too_many_pixels_is_refused)
{
    static const char *const heads[] = {"P5 16384 16384 255\n", "P5 99999999999999999999 1 255\n",
                                        "P5 0 1 255\n", "P5 1 1 65535\n", "P5 -1 1 255\n"};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct kn_image image;
        struct kn_diag diag;
        enum kn_err err =
            kn_image_decode(&image, (const uint8_t *)heads[i], strlen(heads[i]), "f", &diag);
        EXPECT(err == KN_ERR_LIMIT || err == KN_ERR_CORRUPT);
    }
}

TEST(a_fit_of_the_same_size_copies)
{
    struct kn_image image = {.width = WIDE, .height = HIGH, .channels = 3, .pixels = colour};
    const struct kn_image_fit fit = {.shape = {3, HIGH, WIDE}};
    static uint8_t out[3 * WIDE * HIGH];
    fill();
    EXPECT_EQ(kn_image_prepare(&image, &fit, out), KN_OK);
    for (uint32_t c = 0; c < 3; c++) {
        for (uint32_t i = 0; i < WIDE * HIGH; i++) {
            EXPECT_EQ(out[c * WIDE * HIGH + i], colour[3 * i + c]);
        }
    }
}

TEST(shrinking_takes_the_mean_of_what_a_pixel_covers)
{
    static uint8_t pixels[] = {10, 20, 30, 50, 60, 80};
    struct kn_image image = {.width = 3, .height = 2, .channels = 1, .pixels = pixels};
    const struct kn_image_fit fit = {.shape = {1, 1, 2}};
    uint8_t out[2];
    EXPECT_EQ(kn_image_prepare(&image, &fit, out), KN_OK);
    /* left half: 10, 20 / 2, 50, 60 / 2 over 3 pixels of area */
    EXPECT_EQ(out[0], (10 * 2 + 20 + 50 * 2 + 60 + 3) / 6);
    EXPECT_EQ(out[1], (20 + 30 * 2 + 60 + 80 * 2 + 3) / 6);
}

TEST(grey_is_the_luma_and_inverting_turns_it)
{
    static uint8_t pixels[] = {255, 0, 0};
    struct kn_image image = {.width = 1, .height = 1, .channels = 3, .pixels = pixels};
    struct kn_image_fit fit = {.shape = {1, 2, 2}};
    uint8_t out[4];
    EXPECT_EQ(kn_image_prepare(&image, &fit, out), KN_OK);
    EXPECT_EQ(out[3], 77);
    fit.invert = true;
    EXPECT_EQ(kn_image_prepare(&image, &fit, out), KN_OK);
    EXPECT_EQ(out[0], 255 - 77);
}

TEST(centring_keeps_the_aspect_and_fills_with_the_border)
{
    static uint8_t pixels[16];
    struct kn_image image = {.width = 8, .height = 2, .channels = 1, .pixels = pixels};
    const struct kn_image_fit fit = {.shape = {1, 8, 8}, .centre = true};
    uint8_t out[64];
    memset(pixels, 200, sizeof pixels);
    EXPECT_EQ(kn_image_prepare(&image, &fit, out), KN_OK);
    for (uint32_t i = 0; i < 64; i++) {
        EXPECT_EQ(out[i], 200);
    }
    pixels[3] = 0; /* on the border: 15 of 16 pixels are 200 */
    EXPECT_EQ(kn_image_prepare(&image, &fit, out), KN_OK);
    EXPECT_EQ(out[0], (15 * 200 + 8) / 16);
    EXPECT_EQ(out[3 * 8 + 3], 0);
    EXPECT_EQ(out[3 * 8 + 4], 200);
    EXPECT_EQ(out[5 * 8], (15 * 200 + 8) / 16);
}

TEST(a_shape_no_picture_has_is_refused)
{
    static uint8_t pixel;
    struct kn_image image = {.width = 1, .height = 1, .channels = 1, .pixels = &pixel};
    const struct kn_image_fit two = {.shape = {2, 1, 1}};
    const struct kn_image_fit flat = {.shape = {1, 0, 1}};
    uint8_t out[2];
    EXPECT_EQ(kn_image_prepare(&image, &two, out), KN_ERR_INVALID);
    EXPECT_EQ(kn_image_prepare(&image, &flat, out), KN_ERR_INVALID);
}
