/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/data.h"

#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { IMAGES = 3, SIDE = 2, PIXELS = SIDE * SIDE, HEADER = 16 };

static const struct kn_open no_options;

/* Three images of 2 x 2 whose pixels count up from 0. */
static size_t images_make(uint8_t out[64])
{
    static const uint8_t head[HEADER] = {0, 0, 8, 3, 0, 0, 0, IMAGES, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
    memcpy(out, head, HEADER);
    for (uint8_t i = 0; i < IMAGES * PIXELS; i++) {
        out[HEADER + i] = i;
    }
    return HEADER + IMAGES * PIXELS;
}

static size_t gzip(const uint8_t *in, size_t size, uint8_t *out, size_t room)
{
    z_stream z = {0};
    EXPECT_EQ(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (z_const Bytef *)(uintptr_t)in;
    z.avail_in = (uInt)size;
    z.next_out = out;
    z.avail_out = (uInt)room;
    EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t made = room - z.avail_out;
    (void)deflateEnd(&z);
    return made;
}

TEST(images_and_labels_are_read)
{
    static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, IMAGES, 2, 0, 1};
    uint8_t images[64];
    size_t size = images_make(images);
    struct kn_dataset set;
    struct kn_diag diag;
    EXPECT_EQ(kn_idx_decode(&set, images, size, "i", &no_options, &diag), KN_OK);
    EXPECT_EQ(kn_idx_decode_labels(&set, labels, sizeof labels, "l", &no_options, &diag), KN_OK);
    EXPECT_EQ(set.count, IMAGES);
    EXPECT_EQ(set.shape[0], 1);
    EXPECT_EQ(set.shape[1], SIDE);
    EXPECT_EQ(set.class_count, 3);
    EXPECT_EQ(set.label[0], 2);
    EXPECT_EQ(set.bytes[PIXELS + 1], PIXELS + 1);
    kn_dataset_close(&set);
}

TEST(gzip_gives_the_same_images)
{
    uint8_t images[64];
    uint8_t packed[128];
    size_t size = images_make(images);
    size_t packed_size = gzip(images, size, packed, sizeof packed);
    struct kn_dataset set;
    EXPECT_EQ(kn_idx_decode(&set, packed, packed_size, "i.gz", &no_options, NULL), KN_OK);
    EXPECT_EQ(set.count, IMAGES);
    EXPECT_MEM(set.bytes, images + HEADER, IMAGES * PIXELS);
    kn_dataset_close(&set);
}

static const bool packings[] = {false, true};

/* Plain and packed: whatever prefix there is, the set is refused and the text names the file. */
TEST_ROWS(every_truncation_is_refused_in_one_line, packings)
{
    uint8_t plain[64];
    uint8_t packed[128];
    size_t size = images_make(plain);
    const uint8_t *bytes = plain;
    if (packings[tst_row]) {
        size = gzip(plain, size, packed, sizeof packed);
        bytes = packed;
    }
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *part = malloc(cut > 0 ? cut : 1);
        EXPECT(part != NULL);
        memcpy(part, bytes, cut);
        struct kn_dataset set;
        struct kn_diag diag = {""};
        EXPECT_EQ(kn_idx_decode(&set, part, cut, "dir/cut-images", &no_options, &diag),
                  KN_ERR_CORRUPT);
        EXPECT(strncmp(diag.text, "dir/cut-images: ", 16) == 0);
        EXPECT(strchr(diag.text, '\n') == NULL);
        EXPECT(set.bytes == NULL && set.count == 0);
        free(part);
    }
}

TEST(bytes_after_the_last_image_are_refused)
{
    uint8_t images[64] = {0};
    uint8_t packed[128];
    size_t size = images_make(images);
    struct kn_dataset set;
    struct kn_diag diag;
    EXPECT_EQ(kn_idx_decode(&set, images, size + 1, "i", &no_options, &diag), KN_ERR_CORRUPT);
    EXPECT_STR(diag.text,
               "i: too long: the header promises 3 entries, 28 bytes; there are more than 29");
    size_t packed_size = gzip(images, size + 1, packed, sizeof packed);
    EXPECT_EQ(kn_idx_decode(&set, packed, packed_size, "i", &no_options, &diag), KN_ERR_CORRUPT);
    packed_size = gzip(images, size, packed, sizeof packed);
    packed[packed_size] = 0;
    EXPECT_EQ(kn_idx_decode(&set, packed, packed_size + 1, "i", &no_options, &diag),
              KN_ERR_CORRUPT);
}

TEST(a_flipped_bit_in_packed_pixels_is_noticed)
{
    uint8_t images[64];
    uint8_t packed[128];
    size_t packed_size = gzip(images, images_make(images), packed, sizeof packed);
    struct kn_dataset set;
    packed[packed_size - 8] ^= 1; /* the checksum */
    EXPECT_EQ(kn_idx_decode(&set, packed, packed_size, "i", &no_options, NULL), KN_ERR_CORRUPT);
}

TEST(a_header_that_promises_gigabytes_allocates_nothing)
{
    static const uint8_t bomb[HEADER + 4] = {0, 0, 8,    3, 0, 0, 0xff, 0xff,
                                             0, 0, 0x01, 0, 0, 0, 0x00, 0xff};
    uint8_t packed[128];
    size_t packed_size = gzip(bomb, sizeof bomb, packed, sizeof packed);
    struct kn_dataset set;
    struct kn_diag diag;
    EXPECT_EQ(kn_idx_decode(&set, packed, packed_size, "bomb.gz", &no_options, &diag),
              KN_ERR_CORRUPT);
    EXPECT(strstr(diag.text, "truncated") != NULL);
}

static const struct {
    uint8_t bytes[16];
    size_t size;
    enum kn_err err;
    const char *text;
} heads[] = {
    {{0, 0, 8, 1, 0, 0, 0, 1, 5},
     9,
     KN_ERR_CORRUPT,
     "f: begins with 00000801; IDX images begin with 00000803 or 00000804"},
    {{0, 0, 13, 3},
     16,
     KN_ERR_CORRUPT,
     "f: begins with 00000d03; IDX images begin with 00000803 or 00000804"},
    {{1, 2}, 2, KN_ERR_CORRUPT, "f: 2 bytes are no IDX file"},
    {{0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1},
     16,
     KN_ERR_LIMIT,
     "f: dimension 1 is 0; none may be 0 and all together 4 GiB at most"},
    {{0, 0, 8, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1},
     16,
     KN_ERR_LIMIT,
     "f: dimension 2 is 4294967295; none may be 0 and all together 4 GiB at most"},
};

TEST_ROWS(a_wrong_header_is_refused_and_says_what_is_right, heads)
{
    struct kn_dataset set;
    struct kn_diag diag;
    EXPECT_EQ(
        kn_idx_decode(&set, heads[tst_row].bytes, heads[tst_row].size, "f", &no_options, &diag),
        heads[tst_row].err);
    EXPECT_STR(diag.text, heads[tst_row].text);
}

TEST(a_label_beyond_the_outputs_is_refused)
{
    static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, IMAGES, 2, 11, 1};
    const struct kn_open ten = {.class_count = 10};
    uint8_t images[64];
    size_t size = images_make(images);
    struct kn_dataset set;
    struct kn_diag diag;
    EXPECT_EQ(kn_idx_decode(&set, images, size, "i", &ten, &diag), KN_OK);
    EXPECT_EQ(kn_idx_decode_labels(&set, labels, sizeof labels, "l", &ten, &diag), KN_ERR_CORRUPT);
    EXPECT_STR(diag.text, "l: label 11 of image 1 is out of range: 0 to 9");
    kn_dataset_close(&set);
}

TEST(a_label_per_image_is_required)
{
    static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 2, 1};
    uint8_t images[64];
    size_t size = images_make(images);
    struct kn_dataset set;
    struct kn_diag diag;
    EXPECT_EQ(kn_idx_decode(&set, images, size, "i", &no_options, &diag), KN_OK);
    EXPECT_EQ(kn_idx_decode_labels(&set, labels, sizeof labels, "l", &no_options, &diag),
              KN_ERR_CORRUPT);
    EXPECT_STR(diag.text, "l: 2 labels for 3 images");
    kn_dataset_close(&set);
}

TEST(another_shape_than_the_model_takes_is_refused)
{
    const struct kn_open wanted = {.shape = {1, 28, 28}};
    uint8_t images[64];
    size_t size = images_make(images);
    struct kn_dataset set;
    struct kn_diag diag;
    EXPECT_EQ(kn_idx_decode(&set, images, size, "i", &wanted, &diag), KN_ERR_CORRUPT);
    EXPECT_STR(diag.text, "i: samples are 1 x 2 x 2, the model takes 1 x 28 x 28");
}

TEST(planes_of_four_dimensional_images_are_channels)
{
    static const uint8_t bytes[20 + 6] = {0, 0, 8, 4, 0, 0, 0, 1, 0, 0, 0, 3, 0,
                                          0, 0, 1, 0, 0, 0, 2, 9, 8, 7, 6, 5, 4};
    struct kn_dataset set;
    EXPECT_EQ(kn_idx_decode(&set, bytes, sizeof bytes, "i", &no_options, NULL), KN_OK);
    EXPECT_EQ(set.shape[0], 3);
    EXPECT_EQ(set.shape[2], 2);
    EXPECT_EQ(set.bytes[5], 4);
    kn_dataset_close(&set);
}

TEST(mnist_is_what_its_authors_say)
{
    const char *path = tst_shared("data/mnist");
    static const enum kn_part parts[] = {KN_PART_TRAIN, KN_PART_TEST};
    static const uint32_t counts[] = {60000, 10000};
    static const uint32_t ones[] = {6742, 1135};
    static const int32_t first[] = {5, 7};
    for (uint32_t p = 0; p < 2; p++) {
        const struct kn_open options = {.part = parts[p], .shape = {1, 28, 28}, .class_count = 10};
        struct kn_dataset set;
        struct kn_diag diag = {""};
        if (kn_dataset_open(&set, path, &options, &diag) != KN_OK) {
            (void)fprintf(stderr, "%s\n", diag.text);
            EXPECT(false);
        }
        uint32_t of_ones = 0;
        for (uint32_t i = 0; i < set.count; i++) {
            of_ones += set.label[i] == 1 ? 1 : 0;
        }
        EXPECT_EQ(set.count, counts[p]);
        EXPECT_EQ(of_ones, ones[p]);
        EXPECT_EQ(set.label[0], first[p]);
        kn_dataset_measure(&set, NULL, set.count);
        if (p == 0) {
            EXPECT_NEAR((double)set.mean[0], 0.1307, 5e-5);
            EXPECT_NEAR((double)set.deviation[0], 0.3081, 5e-5);
        }
        kn_dataset_close(&set);
    }
}
