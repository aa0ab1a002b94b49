/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/digits.h"

#include "tst.h"

#include <string.h>

static const enum kn_part parts[] = {KN_PART_TRAIN, KN_PART_TEST};

TEST_ROWS(digits_have_the_digest_that_the_source_states, parts)
{
    struct kn_dataset set;
    EXPECT_EQ(kn_digits_open(&set, parts[tst_row]), KN_OK);
    EXPECT_EQ(kn_digits_digest(&set), kn_digits_digest_expected(parts[tst_row]));
    kn_dataset_close(&set);
}

TEST(the_digest_sees_one_pixel_and_one_label)
{
    struct kn_dataset set;
    EXPECT_EQ(kn_digits_open(&set, KN_PART_TEST), KN_OK);
    uint64_t digest = kn_digits_digest(&set);
    set.bytes[1000 * set.features + 300] ^= 1;
    EXPECT(kn_digits_digest(&set) != digest);
    set.bytes[1000 * set.features + 300] ^= 1;
    set.label[1000] = (set.label[1000] + 1) % 10;
    EXPECT(kn_digits_digest(&set) != digest);
    kn_dataset_close(&set);
}

TEST_ROWS(digits_are_balanced_and_shuffled, parts)
{
    struct kn_dataset set;
    EXPECT_EQ(kn_digits_open(&set, parts[tst_row]), KN_OK);
    uint32_t count = parts[tst_row] == KN_PART_TRAIN ? KN_DIGITS_TRAIN_COUNT : KN_DIGITS_TEST_COUNT;
    EXPECT_EQ(set.count, count);
    EXPECT_EQ(set.features, 784);
    EXPECT_EQ(set.class_count, 10);
    EXPECT_STR(set.class_name[7], "7");
    uint32_t of_class[10] = {0};
    uint32_t follows[10] = {0};
    for (uint32_t i = 0; i < set.count; i++) {
        EXPECT(set.label[i] >= 0 && set.label[i] < 10);
        of_class[set.label[i]]++;
        if (i > 0) {
            follows[(set.label[i] - set.label[i - 1] + 10) % 10]++;
        }
    }
    for (uint32_t c = 0; c < 10; c++) {
        EXPECT(of_class[c] == count / 10 || of_class[c] == count / 10 + 1);
        EXPECT(follows[c] > count / 13 && follows[c] < count / 8);
    }
    kn_dataset_close(&set);
}

/* Every image is compared with every other one by a hash of its pixels. */
TEST(no_test_image_is_a_training_image)
{
    enum { TRAIN = KN_DIGITS_TRAIN_COUNT, TEST_IMAGES = KN_DIGITS_TEST_COUNT, SLOTS = 1 << 16 };
    static uint64_t slot[SLOTS];
    uint32_t repeated = 0;
    for (uint32_t i = 0; i < TRAIN + TEST_IMAGES; i++) {
        uint8_t pixels[KN_DIGITS_SIDE * KN_DIGITS_SIDE];
        enum kn_part part = i < TRAIN ? KN_PART_TRAIN : KN_PART_TEST;
        (void)kn_digits_draw(part, i < TRAIN ? i : i - TRAIN, pixels);
        uint64_t hash = 1;
        for (size_t k = 0; k < sizeof pixels; k++) {
            hash = (hash ^ pixels[k]) * UINT64_C(0x100000001b3);
        }
        uint32_t at = (uint32_t)(hash >> 40) % SLOTS;
        while (slot[at] != 0 && slot[at] != hash) {
            at = (at + 1) % SLOTS;
        }
        repeated += slot[at] == hash ? 1 : 0;
        slot[at] = hash;
    }
    EXPECT_EQ(repeated, 0);
}

TEST(every_image_has_ink_and_ground)
{
    for (uint32_t i = 0; i < KN_DIGITS_TEST_COUNT; i++) {
        uint8_t pixels[KN_DIGITS_SIDE * KN_DIGITS_SIDE];
        (void)kn_digits_draw(KN_PART_TEST, i, pixels);
        uint32_t ink = 0;
        uint32_t ground = 0;
        for (size_t k = 0; k < sizeof pixels; k++) {
            ink += pixels[k] > 120 ? 1 : 0;
            ground += pixels[k] < 60 ? 1 : 0;
        }
        EXPECT(ink >= 10);
        EXPECT(ground >= 300);
    }
}
