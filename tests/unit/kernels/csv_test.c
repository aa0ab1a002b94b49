/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/data.h"

#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kn_open no_options;

static enum kn_err decode(struct kn_dataset *set, const char *text, const struct kn_open *options,
                          struct kn_diag *diag)
{
    size_t size = strlen(text);
    uint8_t *exact = malloc(size > 0 ? size : 1); /* so that a sanitizer sees reads past it */
    EXPECT(exact != NULL);
    memcpy(exact, text, size);
    enum kn_err err = kn_csv_decode(set, exact, size, "t.csv", options, diag);
    free(exact);
    return err;
}

TEST(text_labels_become_classes_in_byte_order)
{
    struct kn_dataset set;
    EXPECT_EQ(decode(&set, "a,b,kind\n1,2,wolf\n3,4.5,ape\n-1e-2,+6,wolf\n", &no_options, NULL),
              KN_OK);
    EXPECT_EQ(set.count, 3);
    EXPECT_EQ(set.shape[0], 2);
    EXPECT_EQ(set.class_count, 2);
    EXPECT_STR(set.class_name[0], "ape");
    EXPECT_STR(set.class_name[1], "wolf");
    EXPECT_EQ(set.label[0], 1);
    EXPECT_EQ(set.label[1], 0);
    EXPECT_EQ(set.label[2], 1);
    EXPECT_STR(set.column[1], "b");
    EXPECT_NEAR((double)set.numbers[3], 4.5, 0);
    EXPECT_NEAR((double)set.numbers[4], (double)-0.01f, 0);
    EXPECT_NEAR((double)set.numbers[5], 6, 0);
    kn_dataset_close(&set);
}

TEST(numeric_labels_become_classes_in_numeric_order)
{
    struct kn_dataset set;
    EXPECT_EQ(decode(&set, "1,10\n1,9\n1,2\n1,10\n", &no_options, NULL), KN_OK);
    EXPECT_EQ(set.count, 4);
    EXPECT_EQ(set.class_count, 3);
    EXPECT_STR(set.class_name[0], "2");
    EXPECT_STR(set.class_name[2], "10");
    EXPECT_EQ(set.label[0], 2);
    EXPECT_EQ(set.label[2], 0);
    EXPECT_STR(set.column[0], "1");
    kn_dataset_close(&set);
}

TEST(quotes_separators_marks_and_blank_lines_are_understood)
{
    struct kn_dataset set;
    EXPECT_EQ(decode(&set,
                     "\xef\xbb\xbf\r\n\"x;1\"; y ;\"the \"\"kind\"\"\"\r\n\r\n"
                     "1 ; \"2\" ;\"a\nb\"\r\n 3;4;c\r\n\r\n",
                     &no_options, NULL),
              KN_OK);
    EXPECT_EQ(set.count, 2);
    EXPECT_STR(set.column[0], "x;1");
    EXPECT_STR(set.column[1], "y");
    EXPECT_STR(set.class_name[0], "a\nb");
    EXPECT_NEAR((double)set.numbers[1], 2, 0);
    kn_dataset_close(&set);
}

TEST(the_label_is_chosen_by_name_or_by_number)
{
    const struct kn_open by_name = {.label = "kind"};
    const struct kn_open by_number = {.label = "1"};
    struct kn_dataset set;
    EXPECT_EQ(decode(&set, "kind,x\nb,1\na,2\n", &by_name, NULL), KN_OK);
    EXPECT_EQ(set.label[0], 1);
    EXPECT_STR(set.column[0], "x");
    kn_dataset_close(&set);
    EXPECT_EQ(decode(&set, "3,14.5\n1,13.25\n", &by_number, NULL), KN_OK);
    EXPECT_EQ(set.count, 2);
    EXPECT_EQ(set.label[0], 1);
    EXPECT_NEAR((double)set.numbers[1], 13.25, 0);
    kn_dataset_close(&set);
}

TEST(regression_reads_numbers_to_predict)
{
    const struct kn_open options = {.regression = true, .label = "y"};
    struct kn_dataset set;
    EXPECT_EQ(decode(&set, "x,y,z\n1,2.5,3\n4,5,6\n", &options, NULL), KN_OK);
    EXPECT(set.label == NULL);
    EXPECT_EQ(set.class_count, 0);
    EXPECT_NEAR((double)set.target[0], 2.5, 0);
    EXPECT_NEAR((double)set.numbers[1], 3, 0);
    kn_dataset_close(&set);
}

TEST(features_are_chosen_and_ordered_by_name)
{
    const char *const columns[] = {"c", "a"};
    const struct kn_open options = {.columns = columns, .column_count = 2, .unlabelled = true};
    struct kn_dataset set;
    EXPECT_EQ(decode(&set, "a,b,c\n1,text,3\n4,more,6\n", &options, NULL), KN_OK);
    EXPECT_EQ(set.shape[0], 2);
    EXPECT(set.label == NULL);
    EXPECT_NEAR((double)set.numbers[0], 3, 0);
    EXPECT_NEAR((double)set.numbers[1], 1, 0);
    kn_dataset_close(&set);
}

TEST(the_classes_of_a_model_number_the_labels)
{
    const char *const classes[] = {"wolf", "ape", "eel"};
    const struct kn_open options = {.classes = classes, .class_count = 3};
    struct kn_dataset set;
    EXPECT_EQ(decode(&set, "x,kind\n1,ape\n2,wolf\n", &options, NULL), KN_OK);
    EXPECT_EQ(set.class_count, 3);
    EXPECT_EQ(set.label[0], 1);
    EXPECT_EQ(set.label[1], 0);
    kn_dataset_close(&set);
}

static const char *const two_classes[] = {"a", "b"};
static const char *const bad_columns[] = {"x", "q"};
static const char *const twice[] = {"x", "x"};

static const struct {
    const char *table;
    struct kn_open options;
    enum kn_err err;
    const char *text;
} bad[] = {
    {"a,b,c\n1,2,x\n3,four,x\n",
     {0},
     KN_ERR_CORRUPT,
     "t.csv:3: column 2 \"b\": \"four\" is no number"},
    {"1,2,x\n3,four,x\n", {0}, KN_ERR_CORRUPT, "t.csv:2: column 2: \"four\" is no number"},
    {"a,b,c\n1,,x\n",
     {0},
     KN_ERR_CORRUPT,
     "t.csv:2: column 2 \"b\": the cell is empty, a number is expected"},
    {"a,b,c\n1,2,x\n3,4\n", {0}, KN_ERR_CORRUPT, "t.csv:3: 2 cells, the first line has 3"},
    {"a,b,c\n1,2,x\n3,4,x,\n", {0}, KN_ERR_CORRUPT, "t.csv:3: 4 cells, the first line has 3"},
    {"a,b,c\n1,nan,x\n", {0}, KN_ERR_CORRUPT, "t.csv:2: column 2 \"b\": \"nan\" is no number"},
    {"a,b,c\n1,0x10,x\n", {0}, KN_ERR_CORRUPT, "t.csv:2: column 2 \"b\": \"0x10\" is no number"},
    {"a,b,c\n1,1e99,x\n", {0}, KN_ERR_CORRUPT, "t.csv:2: column 2 \"b\": \"1e99\" is no number"},
    {"a,b\n1,\n", {0}, KN_ERR_CORRUPT, "t.csv:2: label \"\" is empty"},
    {"a,b\n1,\"x\n",
     {0},
     KN_ERR_CORRUPT,
     "t.csv:2: a quote that is not closed at the end of its cell"},
    {"a,b\n1,\"x\"y\n",
     {0},
     KN_ERR_CORRUPT,
     "t.csv:2: a quote that is not closed at the end of its cell"},
    {"", {0}, KN_ERR_CORRUPT, "t.csv: an empty table"},
    {"\n \n", {0}, KN_ERR_CORRUPT, "t.csv: an empty table"},
    {"a,b\n", {0}, KN_ERR_CORRUPT, "t.csv: no rows"},
    {"x\n", {0}, KN_ERR_CORRUPT, "t.csv: no column beside the label"},
    {"a,b\n1,x\n",
     {.label = "kind"},
     KN_ERR_NOT_FOUND,
     "t.csv: no column \"kind\"; there are: a, b"},
    {"x,y\n1,2\n",
     {.columns = bad_columns, .column_count = 2, .unlabelled = true},
     KN_ERR_NOT_FOUND,
     "t.csv: no column \"q\"; there are: x, y"},
    {"x,y\n1,2\n",
     {.columns = twice, .column_count = 2},
     KN_ERR_INVALID,
     "t.csv: column 1 is named twice"},
    {"1,2,3\n",
     {.columns = twice, .column_count = 2, .unlabelled = true},
     KN_ERR_CORRUPT,
     "t.csv: 3 columns of features without names, the model takes 2"},
    {"x,k\n1,a\n1,c\n",
     {.classes = two_classes, .class_count = 2},
     KN_ERR_CORRUPT,
     "t.csv:3: label \"c\" is none of the classes of the model"},
    {"1,0\n1,1\n1,2\n",
     {.class_count = 2},
     KN_ERR_CORRUPT,
     "t.csv:3: label \"2\" is one class more than the model has outputs"},
    {"x,y\n1,2\n3,many\n",
     {.regression = true},
     KN_ERR_CORRUPT,
     "t.csv:3: column 2 \"y\": \"many\" is no number"},
    {"x,y,k\n1,2,a\n",
     {.shape = {4, 1, 1}},
     KN_ERR_CORRUPT,
     "t.csv: samples are 2 x 1 x 1, the model takes 4 x 1 x 1"},
};

TEST_ROWS(a_bad_table_is_refused_with_its_place, bad)
{
    struct kn_dataset set;
    struct kn_diag diag = {""};
    EXPECT_EQ(decode(&set, bad[tst_row].table, &bad[tst_row].options, &diag), bad[tst_row].err);
    EXPECT_STR(diag.text, bad[tst_row].text);
    EXPECT(set.count == 0 && set.numbers == NULL);
}

TEST(a_message_shows_no_control_characters)
{
    struct kn_dataset set;
    struct kn_diag diag;
    EXPECT_EQ(decode(&set, "a,b\n\"1\n\x1b[31m\",x\n", &no_options, &diag), KN_ERR_CORRUPT);
    EXPECT_STR(diag.text, "t.csv:2: column 1 \"a\": \"1??[31m\" is no number");
}

TEST(iris_is_read_from_its_file)
{
    const char *path = tst_shared("data/uci/iris.csv");
    struct kn_dataset set;
    struct kn_diag diag = {""};
    if (kn_dataset_open(&set, path, &no_options, &diag) != KN_OK) {
        tst_fail(__FILE__, __LINE__, "%s", diag.text);
    }
    EXPECT_EQ(set.count, 150);
    EXPECT_EQ(set.shape[0], 4);
    EXPECT_EQ(set.class_count, 3);
    kn_dataset_measure(&set, NULL, set.count);
    EXPECT_NEAR((double)set.mean[0], 5.8433, 1e-4);
    kn_dataset_close(&set);
}

TEST(wine_is_read_from_its_file)
{
    const char *path = tst_shared("data/uci/wine.csv");
    struct kn_dataset set;
    struct kn_diag diag = {""};
    if (kn_dataset_open(&set, path, &no_options, &diag) != KN_OK) {
        tst_fail(__FILE__, __LINE__, "%s", diag.text);
    }
    EXPECT_EQ(set.count, 178);
    EXPECT_EQ(set.shape[0], 13);
    EXPECT_EQ(set.class_count, 3);
    kn_dataset_close(&set);
}

TEST(penguins_with_text_in_a_chosen_column_are_refused)
{
    const char *path = tst_shared("data/penguins/penguins.csv");
    const struct kn_open options = {.label = "species"};
    struct kn_dataset set;
    struct kn_diag diag = {""};
    EXPECT_EQ(kn_dataset_open(&set, path, &options, &diag), KN_ERR_CORRUPT);
    EXPECT(strstr(diag.text, "penguins.csv:2: column 2 \"island\": \"Torgersen\" is no number") !=
           NULL);
}

TEST(adult_with_its_words_is_refused)
{
    const char *path = tst_shared("data/uci/adult-train.csv");
    struct kn_dataset set;
    struct kn_diag diag = {""};
    EXPECT_EQ(kn_dataset_open(&set, path, &no_options, &diag), KN_ERR_CORRUPT);
    EXPECT(strstr(diag.text, "is no number") != NULL);
}
