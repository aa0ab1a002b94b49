/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/data.h"

#include "tst.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct kn_open no_options;

static const char table[] = "a,b,y\n1,10,0\n2,10,1\n3,10,0\n6,10,1\n";

static void table_open(struct kn_dataset *set, const struct kn_open *options)
{
    EXPECT_EQ(kn_csv_decode(set, (const uint8_t *)table, sizeof table - 1, "t", options, NULL),
              KN_OK);
}

TEST(measuring_gives_mean_and_deviation_per_column)
{
    struct kn_dataset set;
    table_open(&set, &no_options);
    kn_dataset_measure(&set, NULL, 4);
    EXPECT_NEAR((double)set.mean[0], 3.0, 1e-7);
    EXPECT_NEAR((double)set.deviation[0], sqrt(3.5), 1e-7);
    EXPECT_NEAR((double)set.mean[1], 10.0, 1e-7);
    EXPECT_NEAR((double)set.deviation[1], 1.0, 0); /* never varies */
    static const uint32_t two[] = {3, 1};
    kn_dataset_measure(&set, two, 2);
    EXPECT_NEAR((double)set.mean[0], 4.0, 1e-7);
    EXPECT_NEAR((double)set.deviation[0], 2.0, 1e-7);
    kn_dataset_close(&set);
}

TEST(a_batch_holds_the_normalised_samples_asked_for)
{
    static const uint32_t index[] = {3, 0, 3};
    static const float mean[] = {1.0f, 2.0f};
    static const float deviation[] = {2.0f, 4.0f};
    struct kn_dataset set;
    float x[6];
    int32_t label[3];
    table_open(&set, &no_options);
    EXPECT_EQ(kn_dataset_normalise(&set, 3.0f, mean, deviation, 2), KN_OK);
    kn_dataset_gather(&set, index, 3, x, label, NULL);
    static const float expected[] = {8.5f, 7.0f, 1.0f, 7.0f, 8.5f, 7.0f};
    EXPECT_MEM(x, expected, sizeof x);
    EXPECT_EQ(label[0], 1);
    EXPECT_EQ(label[1], 0);
    kn_dataset_close(&set);
}

TEST(targets_are_gathered_for_a_regression)
{
    const struct kn_open options = {.regression = true};
    static const uint32_t index[] = {1, 0};
    struct kn_dataset set;
    float x[4];
    float target[2];
    table_open(&set, &options);
    kn_dataset_gather(&set, index, 2, x, NULL, target);
    EXPECT_NEAR((double)target[0], 1.0, 0);
    EXPECT_NEAR((double)target[1], 0.0, 0);
    kn_dataset_close(&set);
}

TEST(one_mean_serves_all_channels)
{
    static const float mean = 0.5f;
    static const float deviation = 0.5f;
    struct kn_dataset set;
    table_open(&set, &no_options);
    EXPECT_EQ(kn_dataset_normalise(&set, 1.0f, &mean, &deviation, 1), KN_OK);
    EXPECT_NEAR((double)set.mean[1], 0.5, 0);
    EXPECT_NEAR((double)set.deviation[1], 0.5, 0);
    kn_dataset_close(&set);
}

TEST(a_normalisation_that_cannot_be_applied_is_refused)
{
    static const float good[] = {1.0f, 1.0f, 1.0f};
    static const float zero[] = {1.0f, 0.0f};
    const float infinite[] = {1.0f, INFINITY};
    struct kn_dataset set;
    table_open(&set, &no_options);
    EXPECT_EQ(kn_dataset_normalise(&set, 1.0f, good, good, 3), KN_ERR_INVALID);
    EXPECT_EQ(kn_dataset_normalise(&set, 1.0f, good, zero, 2), KN_ERR_INVALID);
    EXPECT_EQ(kn_dataset_normalise(&set, 1.0f, infinite, good, 2), KN_ERR_INVALID);
    EXPECT_EQ(kn_dataset_normalise(&set, NAN, good, good, 2), KN_ERR_INVALID);
    EXPECT_NEAR((double)set.mean[0], 0.0, 0);
    kn_dataset_close(&set);
}

TEST_DIES(an_index_outside_the_set_is_a_bug_of_the_caller, "index[s] < set->count")
{
    static const uint32_t index[] = {4};
    struct kn_dataset set;
    float x[2];
    table_open(&set, &no_options);
    kn_dataset_gather(&set, index, 1, x, NULL, NULL);
}

/* --- What a path stands for. --- */

static void path_make(char out[512], const char *name)
{
    (void)snprintf(out, 512, "%s/%s", tst_dir(), name);
}

static void folder_make(const char *name)
{
    char path[512];
    path_make(path, name);
    EXPECT(mkdir(path, 0700) == 0 || errno == EEXIST);
}

static void file_make(const char *name, const void *bytes, size_t size)
{
    char path[512];
    path_make(path, name);
    FILE *f = fopen(path, "wb");
    EXPECT(f != NULL);
    EXPECT_EQ(fwrite(bytes, 1, size, f), size);
    EXPECT(fclose(f) == 0);
}

static enum kn_err open_path(const char *name, const struct kn_open *options,
                             struct kn_dataset *set, struct kn_diag *diag)
{
    char path[512];
    path_make(path, name);
    return kn_dataset_open(set, path, options, diag);
}

static const uint8_t one_image[] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 50, 60};
static const uint8_t one_label[] = {0, 0, 8, 1, 0, 0, 0, 1, 7};

TEST(an_absent_folder_lists_the_four_files_of_mnist)
{
    struct kn_dataset set;
    struct kn_diag diag;
    EXPECT_EQ(open_path("mnist", &no_options, &set, &diag), KN_ERR_NOT_FOUND);
    EXPECT(strstr(diag.text, "/mnist: no such folder; for MNIST it holds train-images-idx3-ubyte, "
                             "train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
                             "t10k-labels-idx1-ubyte (.gz or not)") != NULL);
}

TEST(an_empty_folder_lists_the_four_files_of_mnist)
{
    struct kn_dataset set;
    struct kn_diag diag;
    folder_make("mnist");
    EXPECT_EQ(open_path("mnist", &no_options, &set, &diag), KN_ERR_NOT_FOUND);
    EXPECT(strstr(diag.text, "train-images-idx3-ubyte, train-labels-idx1-ubyte, "
                             "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte") != NULL);
}

TEST(a_missing_half_of_a_pair_is_named)
{
    struct kn_dataset set;
    struct kn_diag diag;
    folder_make("m");
    file_make("m/train-images-idx3-ubyte", one_image, sizeof one_image);
    EXPECT_EQ(open_path("m", &no_options, &set, &diag), KN_ERR_NOT_FOUND);
    EXPECT(strstr(diag.text, "/m: train-labels-idx1-ubyte (.gz or not) is missing") != NULL);
}

TEST(a_folder_opens_with_the_pair_of_the_part_asked_for)
{
    const struct kn_open test = {.part = KN_PART_TEST};
    struct kn_dataset set;
    folder_make("m");
    file_make("m/t10k-images.idx3-ubyte", one_image, sizeof one_image);
    file_make("m/t10k-labels.idx1-ubyte", one_label, sizeof one_label);
    EXPECT_EQ(open_path("m", &test, &set, NULL), KN_OK);
    EXPECT_EQ(set.count, 1);
    EXPECT_EQ(set.label[0], 7);
    kn_dataset_close(&set);
    EXPECT_EQ(open_path("m", &no_options, &set, NULL), KN_ERR_NOT_FOUND);
}

TEST(a_file_of_images_finds_its_labels_beside_it)
{
    const struct kn_open unlabelled = {.unlabelled = true};
    struct kn_dataset set;
    struct kn_diag diag;
    file_make("my-images-idx3", one_image, sizeof one_image);
    EXPECT_EQ(open_path("my-images-idx3", &no_options, &set, &diag), KN_ERR_NOT_FOUND);
    EXPECT_EQ(open_path("my-images-idx3", &unlabelled, &set, &diag), KN_OK);
    EXPECT(set.label == NULL);
    kn_dataset_close(&set);
    file_make("my-labels-idx1", one_label, sizeof one_label);
    EXPECT_EQ(open_path("my-images-idx3", &no_options, &set, &diag), KN_OK);
    EXPECT_EQ(set.label[0], 7);
    kn_dataset_close(&set);
}

static enum kn_err count_file(void *context, const char *file)
{
    char *names = context;
    const char *base = strrchr(file, '/');
    (void)strncat(names, base, 400);
    return KN_OK;
}

TEST(the_files_of_a_set_are_listed_in_a_fixed_order)
{
    char path[512];
    char names[512] = "";
    static const uint8_t pgm[] = "P5 1 1 255 \x07";
    folder_make("p");
    folder_make("p/b");
    folder_make("p/a");
    file_make("p/b/2.pgm", pgm, sizeof pgm - 1);
    file_make("p/b/1.PGM", pgm, sizeof pgm - 1);
    file_make("p/a/3.pgm", pgm, sizeof pgm - 1);
    file_make("p/a/readme.txt", "x", 1);
    path_make(path, "p");
    EXPECT_EQ(kn_dataset_files(path, &no_options, count_file, names, NULL), KN_OK);
    EXPECT_STR(names, "/3.pgm/1.PGM/2.pgm");
    EXPECT_EQ(kn_dataset_files("builtin:digits", &no_options, count_file, names, NULL), KN_OK);
    EXPECT_STR(names, "/3.pgm/1.PGM/2.pgm");
}

TEST(a_folder_of_pictures_is_read_in_the_order_of_names_where_no_labels_are_wanted)
{
    static const uint8_t dark[] = "P5 1 1 255 \x07";
    static const uint8_t light[] = "P5 1 1 255 \xf0";
    const struct kn_open unlabelled = {.unlabelled = true};
    struct kn_dataset set;
    struct kn_diag diag = {""};
    folder_make("p");
    file_make("p/2.pgm", dark, sizeof dark - 1);
    file_make("p/1.pgm", light, sizeof light - 1);
    file_make("p/readme.txt", "x", 1);
    EXPECT_EQ(open_path("p", &unlabelled, &set, &diag), KN_OK);
    EXPECT_EQ(set.count, 2);
    EXPECT_EQ(set.bytes[0], 0xf0);
    EXPECT_EQ(set.bytes[1], 0x07);
    EXPECT(set.label == NULL);
    kn_dataset_close(&set);
    EXPECT_EQ(open_path("p", &no_options, &set, &diag), KN_ERR_NOT_FOUND);
}

TEST(a_folder_of_classes_is_labelled_by_their_names)
{
    static const uint8_t pgm[] = "P5\n# made by hand\n2 1\n100\n\x00\x64";
    struct kn_dataset set;
    struct kn_diag diag = {""};
    folder_make("p");
    folder_make("p/owl");
    folder_make("p/cat");
    for (char i = '0'; i < '5'; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "p/owl/%c.pgm", i);
        file_make(name, pgm, sizeof pgm - 1);
        (void)snprintf(name, sizeof name, "p/cat/%c.pgm", i);
        file_make(name, pgm, sizeof pgm - 1);
    }
    EXPECT_EQ(open_path("p", &no_options, &set, &diag), KN_OK);
    EXPECT_EQ(set.count, 10);
    EXPECT_EQ(set.class_count, 2);
    EXPECT_STR(set.class_name[0], "cat");
    EXPECT_EQ(set.label[4], 0);
    EXPECT_EQ(set.label[5], 1);
    EXPECT_EQ(set.bytes[18], 0);
    EXPECT_EQ(set.bytes[19], 255);
    kn_dataset_close(&set);
    file_make("p/owl/9.pgm", "P5 1 1 255 \x07", 12);
    EXPECT_EQ(open_path("p", &no_options, &set, &diag), KN_ERR_CORRUPT);
    EXPECT(strstr(diag.text, "owl/9.pgm: 1 x 1 x 1, the pictures before it 1 x 1 x 2") != NULL);
    const struct kn_open sized = {.shape = {1, 4, 4}};
    EXPECT_EQ(open_path("p", &sized, &set, &diag), KN_OK);
    EXPECT_EQ(set.count, 11);
    kn_dataset_close(&set);
    file_make("p/owl/a.png", "no png", 6);
    EXPECT_EQ(open_path("p", &sized, &set, &diag), KN_ERR_CORRUPT);
    EXPECT(strstr(diag.text, "owl/a.png: not a PNG, JPEG or binary PGM picture") != NULL);
}

TEST(what_is_not_built_in_is_named)
{
    struct kn_dataset set;
    struct kn_diag diag;
    EXPECT_EQ(kn_dataset_open(&set, "builtin:letters", &no_options, &diag), KN_ERR_NOT_FOUND);
    EXPECT_STR(diag.text, "\"builtin:letters\" is not built in; there are builtin:digits and "
                          "builtin:digits-test");
}

TEST(builtin_digits_open_by_name)
{
    const struct kn_open fits = {.shape = {1, 28, 28}, .class_count = 10};
    const struct kn_open wide = {.shape = {1, 32, 32}};
    const struct kn_open few = {.class_count = 4};
    struct kn_dataset set;
    struct kn_diag diag;
    EXPECT_EQ(kn_dataset_open(&set, "builtin:digits-test", &fits, &diag), KN_OK);
    EXPECT_EQ(set.count, 2048);
    kn_dataset_close(&set);
    EXPECT_EQ(kn_dataset_open(&set, "builtin:digits-test", &wide, &diag), KN_ERR_CORRUPT);
    EXPECT_STR(diag.text,
               "builtin:digits-test: samples are 1 x 28 x 28, the model takes 1 x 32 x 32");
    EXPECT_EQ(kn_dataset_open(&set, "builtin:digits-test", &few, &diag), KN_ERR_CORRUPT);
    EXPECT(set.bytes == NULL);
}

TEST(a_folder_in_place_of_a_file_is_refused)
{
    struct kn_dataset set;
    struct kn_diag diag;
    folder_make("t.csv");
    EXPECT_EQ(open_path("t.csv", &no_options, &set, &diag), KN_ERR_NOT_FOUND);
    EXPECT_EQ(open_path("absent.csv", &no_options, &set, &diag), KN_ERR_NOT_FOUND);
    EXPECT(strstr(diag.text, "/absent.csv: No such file or directory") != NULL);
}
