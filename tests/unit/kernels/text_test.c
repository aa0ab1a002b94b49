/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/data.h"
#include "tst.h"

#include <stdlib.h>
#include <string.h>

static struct kn_diag diag;
static struct kn_dataset set;

static enum kn_err decode(const char *text, enum kn_tokens tokens, uint32_t context)
{
    const struct kn_text form = {.tokens = tokens, .context = context};
    const struct kn_open options = {.text = &form};
    return kn_text_decode(&set, (const uint8_t *)text, strlen(text), "a.txt", &options, &diag);
}

TEST(windows_lie_one_behind_the_other_and_each_place_is_told_what_follows)
{
    float x[2 * 3];
    int32_t label[2 * 3];
    EXPECT_EQ(decode("abcabcab", KN_TOKENS_CHARACTERS, 3), KN_OK);
    EXPECT_EQ(set.count, 2); /* a third would lack its last label */
    EXPECT_EQ(set.places, 3);
    EXPECT_EQ(set.features, 3);
    EXPECT_EQ(set.class_count, 3);
    EXPECT_STR(set.class_name[2], "c");
    kn_dataset_measure(&set, NULL, 2);
    kn_dataset_gather(&set, (const uint32_t[]){1, 0}, 2, x, label, NULL);
    EXPECT_MEM(x, ((const float[]){0, 1, 2, 0, 1, 2}), sizeof x);
    EXPECT_MEM(label, ((const int32_t[]){1, 2, 0, 1, 2, 0}), sizeof label);
    EXPECT_EQ(kn_dataset_truth(&set, 0), 0);
    EXPECT_EQ(kn_dataset_truth(&set, 1), 0);
    kn_dataset_close(&set);
}

TEST(characters_are_classes_by_rising_code_and_named_as_they_print)
{
    static const char *const NAMES[] = {
        "U+0009", "U+000A", " ", "a", "U+0085", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9d\x92\xb3"};
    EXPECT_EQ(decode("\xf0\x9d\x92\xb3\xc2\x85\xe2\x82\xac\xc3\xa9 a\t\n", KN_TOKENS_CHARACTERS, 2),
              KN_OK);
    EXPECT_EQ(set.class_count, 8);
    for (uint32_t i = 0; i < 8; i++) {
        EXPECT_STR(set.class_name[i], NAMES[i]);
    }
    EXPECT_EQ(set.label[0], 7);
    EXPECT_EQ(set.label[1], 4);
    kn_dataset_close(&set);
}

TEST(bytes_are_256_classes_whatever_occurs)
{
    EXPECT_EQ(decode("a\xff\n", KN_TOKENS_BYTES, 2), KN_OK);
    EXPECT_EQ(set.class_count, 256);
    EXPECT_STR(set.class_name['a'], "a");
    EXPECT_STR(set.class_name[10], "0x0a");
    EXPECT_STR(set.class_name[255], "0xff");
    EXPECT_EQ(set.label[1], 255);
    kn_dataset_close(&set);
}

static const struct {
    const char *text;
    const char *error;
} WRONG[] = {
    {"abc", "a.txt: 3 tokens; at least 5 are due, a window and one"},
    {"abcde\xff", "a.txt: byte 5, 0xff, is no UTF-8; tokens: bytes takes any file"},
    {"abcde\xe2\x82", "a.txt: byte 5, 0xe2, is no UTF-8"},
    {"abcde\xc0\xaf", "a.txt: byte 5, 0xc0, is no UTF-8"},
    {"ab\xed\xa0\x80zz", "a.txt: byte 2, 0xed, is no UTF-8"},
    {"ab\xf4\x90\x80\x80zz", "a.txt: byte 2, 0xf4, is no UTF-8"},
    {"", "a.txt: 0 tokens"},
};

TEST_ROWS(what_is_no_text_is_refused_with_its_place, WRONG)
{
    EXPECT_EQ(decode(WRONG[tst_row].text, KN_TOKENS_CHARACTERS, 4), KN_ERR_CORRUPT);
    if (strstr(diag.text, WRONG[tst_row].error) == NULL) {
        tst_fail(__FILE__, __LINE__, "%s", diag.text);
    }
    EXPECT(set.label == NULL);
}

TEST(another_text_is_read_with_the_classes_of_the_first)
{
    static const char *const CLASSES[] = {"b", "U+000A", "\xc3\xa9"};
    const struct kn_text form = {.tokens = KN_TOKENS_CHARACTERS, .context = 2};
    struct kn_open options = {.text = &form, .classes = CLASSES, .class_count = 3};
    const char *good = "\n\xc3\xa9"
                       "b";
    EXPECT_EQ(kn_text_decode(&set, (const uint8_t *)good, strlen(good), "a.txt", &options, &diag),
              KN_OK);
    EXPECT_MEM(set.label, ((const int32_t[]){1, 2, 0}), 3 * sizeof *set.label);
    kn_dataset_close(&set);
    EXPECT_EQ(kn_text_decode(&set, (const uint8_t *)"bbbz", 4, "a.txt", &options, &diag),
              KN_ERR_CORRUPT);
    EXPECT_STR(diag.text, "a.txt: byte 3: \"z\" is none of the 3 characters that the model knows");
    static const char *const TWICE[] = {"b", "b", "c"};
    options.classes = TWICE;
    EXPECT_EQ(kn_text_decode(&set, (const uint8_t *)"bbb", 3, "a.txt", &options, &diag),
              KN_ERR_CORRUPT);
    EXPECT_STR(diag.text, "a.txt: class 1, \"b\", is no character of its own");
}

TEST(the_end_of_a_text_is_what_a_model_is_asked_about)
{
    const struct kn_text form = {.tokens = KN_TOKENS_BYTES, .context = 4};
    const struct kn_open options = {.text = &form, .unlabelled = true};
    float x[4];
    EXPECT_EQ(kn_text_decode(&set, (const uint8_t *)"abcdef", 6, "a.txt", &options, &diag), KN_OK);
    EXPECT_EQ(set.count, 1);
    EXPECT_EQ(set.given, 4);
    kn_dataset_gather(&set, (const uint32_t[]){0}, 1, x, NULL, NULL);
    EXPECT_MEM(x, ((const float[]){'c', 'd', 'e', 'f'}), sizeof x);
    kn_dataset_close(&set);
    EXPECT_EQ(kn_text_decode(&set, (const uint8_t *)"ab", 2, "a.txt", &options, &diag), KN_OK);
    EXPECT_EQ(set.given, 2);
    kn_dataset_gather(&set, (const uint32_t[]){0}, 1, x, NULL, NULL);
    EXPECT_MEM(x, ((const float[]){'a', 'b', 0, 0}), sizeof x);
    kn_dataset_close(&set);
    EXPECT_EQ(kn_text_decode(&set, (const uint8_t *)"", 0, "a.txt", &options, &diag),
              KN_ERR_CORRUPT);
}
