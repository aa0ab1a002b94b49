/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/fileset.h"

#include "base/host/host.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t *blob;
static size_t blob_size;
static char why[1024];

static void write_file(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    EXPECT(file != NULL);
    EXPECT_EQ(fwrite(bytes, 1, size, file), size);
    EXPECT(fclose(file) == 0);
}

static void pack(const char *path, bool test)
{
    enum sh_err err = spec_fileset_pack(path, test, &blob, &blob_size, why, sizeof why);
    if (err != SH_OK) {
        tst_fail(__FILE__, __LINE__, "%s: %s", sh_err_name(err), why);
    }
}

static void make_mnist(void)
{
    EXPECT(chdir(tst_dir()) == 0);
    EXPECT(mkdir("m", 0700) == 0);
    write_file("m/train-images-idx3-ubyte", "TI", 2);
    write_file("m/train-labels-idx1-ubyte", "TL!", 3);
    write_file("m/t10k-images-idx3-ubyte", "EI", 2);
    write_file("m/t10k-labels-idx1-ubyte", "EL", 2);
}

TEST(the_half_of_a_folder_that_is_asked_for_is_packed_in_order)
{
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    make_mnist();
    pack("m", false);
    EXPECT(spec_fileset_open(&set, (struct sh_span){blob, blob_size}) == SH_OK);
    EXPECT_EQ(set.count, 2);
    EXPECT_STR(set.root, "");
    EXPECT(spec_fileset_next(&set, &entry) == SH_OK);
    EXPECT_STR(entry.path, "train-images-idx3-ubyte");
    EXPECT_MEM(entry.bytes.at, "TI", 2);
    EXPECT(spec_fileset_next(&set, &entry) == SH_OK);
    EXPECT_STR(entry.path, "train-labels-idx1-ubyte");
    EXPECT_EQ(entry.bytes.size, 3);
    EXPECT(spec_fileset_next(&set, &entry) == SH_ERR_NOT_FOUND);
    free(blob);
}

TEST(equal_files_elsewhere_give_equal_bytes)
{
    make_mnist();
    pack("m/", false);
    uint8_t *first = blob;
    size_t first_size = blob_size;
    EXPECT(rename("m", "other") == 0);
    pack("./other", false);
    EXPECT_EQ(blob_size, first_size);
    EXPECT_MEM(blob, first, first_size);
    free(first);
    free(blob);
}

TEST(an_extracted_set_opens_where_the_original_did)
{
    char path[512];
    EXPECT(chdir(tst_dir()) == 0);
    write_file("t.csv", "1,a\n2,b\n", 8);
    pack("t.csv", false);
    EXPECT(spec_fileset_extract((struct sh_span){blob, blob_size}, "out", path, sizeof path) ==
           SH_OK);
    EXPECT_STR(path, "out/t.csv");
    char bytes[16] = "";
    FILE *file = fopen(path, "rb");
    EXPECT(file != NULL);
    EXPECT_EQ(fread(bytes, 1, sizeof bytes, file), 8);
    EXPECT(fclose(file) == 0);
    EXPECT_MEM(bytes, "1,a\n2,b\n", 8);
    EXPECT(spec_fileset_extract((struct sh_span){blob, blob_size}, "out", path, sizeof path) ==
           SH_OK);
    free(blob);
}

TEST(a_missing_folder_names_the_four_files_expected)
{
    EXPECT(chdir(tst_dir()) == 0);
    EXPECT(spec_fileset_pack("absent", false, &blob, &blob_size, why, sizeof why) ==
           SH_ERR_NOT_FOUND);
    EXPECT(strstr(why, "absent") != NULL);
    EXPECT(mkdir("empty", 0700) == 0);
    EXPECT(spec_fileset_pack("empty", false, &blob, &blob_size, why, sizeof why) ==
           SH_ERR_NOT_FOUND);
    EXPECT(strstr(why, "train-images-idx3-ubyte") != NULL);
    EXPECT(strstr(why, "train-labels-idx1-ubyte") != NULL);
    EXPECT(strstr(why, "t10k-images-idx3-ubyte") != NULL);
    EXPECT(strstr(why, "t10k-labels-idx1-ubyte") != NULL);
}

/* A set of one entry with that path and place. */
static size_t make_blob(uint8_t *out, size_t size, const char *path, uint64_t offset,
                        uint64_t length)
{
    struct sh_writer w = sh_writer_over(out, size);
    sh_put_u32(&w, UINT32_C(0x31464853));
    sh_put_str(&w, "");
    sh_put_u32(&w, 1);
    sh_put_u64(&w, offset);
    sh_put_u64(&w, length);
    sh_put_str(&w, path);
    sh_put_bytes(&w, "data", 4);
    EXPECT(!w.full);
    return w.used;
}

static const struct {
    const char *path;
    uint64_t offset_from_end; /* offset = size of the blob - this */
    uint64_t length;
} HOSTILE[] = {
    {"../up", 4, 4}, {"/root", 4, 4}, {"a//b", 4, 4},       {"a/./b", 4, 4}, {"..", 4, 4},
    {"", 4, 4},      {"a", 4, 5},     {"a", 4, UINT64_MAX}, {"a", 20, 4},    {"a/", 4, 4},
};

TEST_ROWS(a_hostile_set_is_refused_and_nothing_is_left_behind, HOSTILE)
{
    uint8_t bytes[512];
    char path[512];
    EXPECT(chdir(tst_dir()) == 0);
    size_t size = make_blob(bytes, sizeof bytes, HOSTILE[tst_row].path, 0, 4);
    size = make_blob(bytes, sizeof bytes, HOSTILE[tst_row].path,
                     size - HOSTILE[tst_row].offset_from_end, HOSTILE[tst_row].length);
    EXPECT(spec_fileset_extract((struct sh_span){bytes, size}, "out", path, sizeof path) ==
           SH_ERR_CORRUPT);
    EXPECT(access("out", F_OK) != 0);
    EXPECT(access("../up", F_OK) != 0);
}
