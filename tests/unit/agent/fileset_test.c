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
    enum sh_err err = spec_fileset_pack(path, test ? SPEC_PACK_TEST : SPEC_PACK_TRAIN, &blob,
                                        &blob_size, why, sizeof why);
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
    EXPECT(spec_fileset_extract((struct sh_span){blob, blob_size}, false, "out", path, sizeof path,
                                why, sizeof why) == SH_OK);
    EXPECT_STR(path, "out/t.csv");
    char bytes[16] = "";
    FILE *file = fopen(path, "rb");
    EXPECT(file != NULL);
    EXPECT_EQ(fread(bytes, 1, sizeof bytes, file), 8);
    EXPECT(fclose(file) == 0);
    EXPECT_MEM(bytes, "1,a\n2,b\n", 8);
    EXPECT(spec_fileset_extract((struct sh_span){blob, blob_size}, false, "out", path, sizeof path,
                                why, sizeof why) == SH_OK);
    free(blob);
}

TEST(a_missing_folder_names_the_four_files_expected)
{
    EXPECT(chdir(tst_dir()) == 0);
    EXPECT(spec_fileset_pack("absent", SPEC_PACK_TRAIN, &blob, &blob_size, why, sizeof why) ==
           SH_ERR_NOT_FOUND);
    EXPECT(strstr(why, "absent") != NULL);
    EXPECT(mkdir("empty", 0700) == 0);
    EXPECT(spec_fileset_pack("empty", SPEC_PACK_TRAIN, &blob, &blob_size, why, sizeof why) ==
           SH_ERR_NOT_FOUND);
    EXPECT(strstr(why, "train-images-idx3-ubyte") != NULL);
    EXPECT(strstr(why, "train-labels-idx1-ubyte") != NULL);
    EXPECT(strstr(why, "t10k-images-idx3-ubyte") != NULL);
    EXPECT(strstr(why, "t10k-labels-idx1-ubyte") != NULL);
}

TEST(classes_may_differ_by_case_in_a_data_set_and_not_in_a_package)
{
    char path[512];
    struct sh_span bytes = {.at = NULL};
    EXPECT(chdir(tst_dir()) == 0);
    EXPECT(mkdir("letters", 0700) == 0);
    EXPECT(mkdir("letters/a", 0700) == 0);
    EXPECT(mkdir("letters/A", 0700) == 0);
    write_file("letters/a/1.pgm", "P5 1 1 255 x", 12);
    write_file("letters/A/1.pgm", "P5 1 1 255 y", 12);
    pack("letters", false);
    bytes = (struct sh_span){blob, blob_size};
    EXPECT_EQ(spec_fileset_extract(bytes, true, "out", path, sizeof path, why, sizeof why),
              SH_ERR_CORRUPT);
    EXPECT_STR(why, "a: differs from A by case alone");
    EXPECT(access("out", F_OK) != 0);
    EXPECT_EQ(spec_fileset_extract(bytes, false, "out", path, sizeof path, why, sizeof why), SH_OK);
    EXPECT(access("out/a/1.pgm", F_OK) == 0);
    EXPECT(access("out/A/1.pgm", F_OK) == 0);
    free(blob);
}

/* ---- hostile blobs ---- */

struct record { /* path "": no such record */
    uint8_t kind;
    const char *path;
    const char *bytes;
    size_t path_size; /* 0: strlen */
    uint64_t more;    /* added to the size that the index says */
    uint64_t gap;     /* added to the offset that the index says */
};

struct hostile {
    struct record records[3];
    const char *why;
    const char *behind; /* bytes after the last entry's */
    uint32_t count;     /* 0: that of the records */
};

static size_t length_of(const struct record *r)
{
    return r->path_size > 0 ? r->path_size : strlen(r->path);
}

/* The blob of a row; returns its size. */
static size_t make_blob(uint8_t *out, size_t size, const struct hostile *h)
{
    uint32_t count = 0;
    size_t index = 12;
    for (size_t i = 0; i < SH_COUNT(h->records) && h->records[i].path != NULL; i++) {
        index += 21 + length_of(&h->records[i]);
        count++;
    }
    struct sh_writer w = sh_writer_over(out, size);
    sh_put_u32(&w, SPEC_FILESET_MAGIC);
    sh_put_str(&w, "");
    sh_put_u32(&w, h->count > 0 ? h->count : count);
    size_t at = index;
    for (uint32_t i = 0; i < count; i++) {
        const struct record *r = &h->records[i];
        sh_put_u8(&w, r->kind);
        sh_put_u64(&w, at + r->gap);
        sh_put_u64(&w, strlen(r->bytes) + r->more);
        sh_put_blob(&w, r->path, length_of(r));
        at += strlen(r->bytes);
    }
    for (uint32_t i = 0; i < count; i++) {
        sh_put_bytes(&w, h->records[i].bytes, strlen(h->records[i].bytes));
    }
    sh_put_bytes(&w, h->behind != NULL ? h->behind : "", h->behind != NULL ? strlen(h->behind) : 0);
    EXPECT(!w.full);
    return w.used;
}

#define DEEP8 "d/d/d/d/d/d/d/d/"
static const struct hostile HOSTILE[] = {
    {.records = {{.kind = 1, .path = "../up", .bytes = "data"}},
     .why = "../up: a path with a \"..\" part"},
    {.records = {{.kind = 1, .path = "a/../../up", .bytes = "data"}},
     .why = "a/../../up: a path with a \"..\" part"},
    {.records = {{.kind = 1, .path = "/root", .bytes = "data"}},
     .why = "/root: an absolute path, or one with an empty part"},
    {.records = {{.kind = 1, .path = "a//b", .bytes = "data"}},
     .why = "a//b: an absolute path, or one with an empty part"},
    {.records = {{.kind = 1, .path = "a/./b", .bytes = "data"}},
     .why = "a/./b: a path with a \".\" part"},
    {.records = {{.kind = 1, .path = "..", .bytes = "data"}},
     .why = "..: a path with a \"..\" part"},
    {.records = {{.kind = 1, .path = "a/", .bytes = "data"}},
     .why = "a/: an absolute path, or one with an empty part"},
    {.records = {{.kind = 1, .path = "", .bytes = "data"}},
     .why = "entry 1: an absolute path, or one with an empty part"},
    {.records = {{.kind = 1, .path = "a\0b", .bytes = "data", .path_size = 3}},
     .why = "a\\x00b: a name with a control character"},
    {.records = {{.kind = 1, .path = "a\nb", .bytes = "data"}},
     .why = "a\\nb: a name with a control character"},
    {.records = {{.kind = 1, .path = "\x1b[2J", .bytes = "data"}},
     .why = "\\x1b[2J: a name with a control character"},
    {.records = {{.kind = 1, .path = "..\\up", .bytes = "data"}},
     .why = "..\\up: a name with a backslash"},
    {.records = {{.kind = 1, .path = "caf\xe9", .bytes = "data"}},
     .why = "caf\\xe9: a name that is not UTF-8"},
    {.records = {{.kind = 1, .path = "\xc0\xae\xc0\xae/up", .bytes = "data"}},
     .why = "\\xc0\\xae\\xc0\\xae/up: a name that is not UTF-8"},
    {.records = {{.kind = 1,
                  .path = DEEP8 DEEP8 DEEP8 DEEP8 DEEP8 DEEP8 DEEP8 DEEP8 "x",
                  .bytes = "data"}},
     .why = DEEP8 DEEP8 DEEP8 DEEP8 DEEP8 DEEP8 DEEP8 DEEP8 "x: more than 64 folders deep"},
    {.records = {{.kind = 1, .path = "a", .bytes = "data", .more = 1}},
     .why = "a: its bytes are not where the index says, or more than there are"},
    {.records = {{.kind = 1, .path = "a", .bytes = "data", .more = UINT64_MAX - 4}},
     .why = "a: its bytes are not where the index says, or more than there are"},
    {.records = {{.kind = 1, .path = "a", .bytes = "data", .gap = UINT64_MAX - 3}},
     .why = "a: its bytes are not where the index says, or more than there are"},
    {.records = {{.kind = 1, .path = "a", .bytes = "data"},
                 {.kind = 1, .path = "b", .bytes = "more", .gap = (uint64_t)0 - 4}},
     .why = "b: its bytes are not where the index says, or more than there are"},
    {.records = {{.kind = 1, .path = "a", .bytes = "data"},
                 {.kind = 1, .path = "a", .bytes = "more"}},
     .why = "a: twice in the index, or not in its order"},
    {.records = {{.kind = 1, .path = "b", .bytes = "data"},
                 {.kind = 1, .path = "a", .bytes = "more"}},
     .why = "a: twice in the index, or not in its order"},
    {.records = {{.kind = 4, .path = "a", .bytes = "/etc"}},
     .why = "a: a link to an absolute path"},
    {.records = {{.kind = 4, .path = "a", .bytes = ".."}}, .why = "a: a link that leaves the tree"},
    {.records = {{.kind = 4, .path = "d/a", .bytes = "../../up"}},
     .why = "d/a: a link that leaves the tree"},
    {.records = {{.kind = 4, .path = "d/a", .bytes = "x/../y"}},
     .why = "d/a: a link with \"..\" after a name"},
    {.records = {{.kind = 4, .path = "a", .bytes = ""}},
     .why = "a: a link to nothing, or to more than 1023 bytes"},
    {.records = {{.kind = 4, .path = "a", .bytes = "b\nc"}},
     .why = "a: a link to a name that no entry can have"},
    {.records = {{.kind = 4, .path = "a", .bytes = "b"},
                 {.kind = 1, .path = "a/passwd", .bytes = "root"}},
     .why = "a: both an entry and a folder of others"},
    {.records = {{.kind = 1, .path = "a", .bytes = "data"},
                 {.kind = 1, .path = "a-b", .bytes = ""},
                 {.kind = 1, .path = "a/c", .bytes = ""}},
     .why = "a: both an entry and a folder of others"},
    {.records = {{.kind = 3, .path = "a", .bytes = ""}, {.kind = 1, .path = "a/c", .bytes = ""}},
     .why = "a: both an entry and a folder of others"},
    {.records = {{.kind = 3, .path = "a", .bytes = "data"}}, .why = "a: a folder with bytes"},
    {.records = {{.kind = 0, .path = "a", .bytes = "data"}},
     .why = "a: neither a file, a program, an empty folder nor a link"},
    {.records = {{.kind = 5, .path = "null", .bytes = ""}},
     .why = "null: neither a file, a program, an empty folder nor a link"},
    {.records = {{.kind = 0x82, .path = "su", .bytes = "data"}},
     .why = "su: neither a file, a program, an empty folder nor a link"},
    {.records = {{.kind = 1, .path = "A", .bytes = ""}, {.kind = 1, .path = "a", .bytes = ""}},
     .why = "a: differs from A by case alone"},
    {.records = {{.kind = 1, .path = "D/x", .bytes = ""}, {.kind = 1, .path = "d/y", .bytes = ""}},
     .why = "d: differs from D by case alone"},
    {.records = {{.kind = 1, .path = "\xc3\x89t\xc3\xa9", .bytes = ""},
                 {.kind = 1, .path = "\xc3\xa9T\xc3\xa9", .bytes = ""}},
     .why = "\xc3\xa9T\xc3\xa9: differs from \xc3\x89t\xc3\xa9 by case alone"},
    {.records = {{.kind = 1, .path = "a", .bytes = "data"}},
     .why = "the file set has bytes that no entry accounts for",
     .behind = "x"},
    {.records = {{.kind = 1, .path = "a", .bytes = "data"}},
     .why = "entry 2: the index ends too early, or a path is longer than 1023 bytes",
     .count = 2},
    {.records = {{.kind = 1, .path = "a", .bytes = "data"}},
     .why = "the file set has more than 1,000,000 entries",
     .count = 1000001},
    {.records = {{.kind = 1, .path = "a", .bytes = "data"}},
     .why = "the file set has more than 1,000,000 entries",
     .count = UINT32_MAX},
};

TEST_ROWS(a_hostile_set_is_refused_by_name_and_nothing_is_written, HOSTILE)
{
    uint8_t bytes[1024];
    char path[512];
    EXPECT(chdir(tst_dir()) == 0);
    EXPECT(mkdir("in", 0700) == 0);
    EXPECT(chdir("in") == 0);
    struct sh_span span = {bytes, make_blob(bytes, sizeof bytes, &HOSTILE[tst_row])};
    enum sh_err err = spec_fileset_extract(span, true, "out", path, sizeof path, why, sizeof why);
    EXPECT_STR(why, HOSTILE[tst_row].why);
    EXPECT(err == SH_ERR_CORRUPT || (HOSTILE[tst_row].count > 2 && err == SH_ERR_LIMIT));
    EXPECT(rmdir("../in") == 0); /* there is nothing in it */
    EXPECT(access("../up", F_OK) != 0);
}

TEST(a_set_cut_anywhere_is_refused)
{
    static const struct hostile WHOLE = {
        .records = {{.kind = 1, .path = "a", .bytes = "data"},
                    {.kind = 2, .path = "b/c", .bytes = "program"}}};
    uint8_t bytes[256];
    size_t size = make_blob(bytes, sizeof bytes, &WHOLE);
    EXPECT_EQ(spec_fileset_check((struct sh_span){bytes, size}, true, why, sizeof why), SH_OK);
    for (size_t cut = 0; cut < size; cut++) {
        EXPECT_EQ(spec_fileset_check((struct sh_span){bytes, cut}, true, why, sizeof why),
                  SH_ERR_CORRUPT);
    }
}

TEST(a_long_path_is_shown_by_both_ends)
{
    char long_path[600];
    char shown[SPEC_FILESET_SHOWN_BYTES];
    memset(long_path, 'a', sizeof long_path);
    memset(long_path + 500, '\n', 90);
    spec_fileset_show((struct sh_span){(const uint8_t *)long_path, sizeof long_path}, shown);
    EXPECT_MEM(shown, "aaaa", 4);
    EXPECT(strstr(shown, "a...\\n\\n") != NULL);
    EXPECT_STR(shown + strlen(shown) - 12, "\\naaaaaaaaaa");
}

TEST(what_a_model_is_asked_about_is_packed_without_labels_and_a_folder_whole)
{
    struct spec_fileset set;
    struct sh_span found;
    make_mnist();
    write_file("m/notes.txt", "seen", 4);
    EXPECT_EQ(spec_fileset_pack("m/t10k-images-idx3-ubyte", SPEC_PACK_INPUT, &blob, &blob_size, why,
                                sizeof why),
              SH_OK);
    EXPECT(spec_fileset_open(&set, (struct sh_span){blob, blob_size}) == SH_OK);
    EXPECT_EQ(set.count, 1);
    EXPECT_STR(set.root, "t10k-images-idx3-ubyte");
    free(blob);
    EXPECT_EQ(spec_fileset_pack("m/", SPEC_PACK_INPUT, &blob, &blob_size, why, sizeof why), SH_OK);
    EXPECT(spec_fileset_open(&set, (struct sh_span){blob, blob_size}) == SH_OK);
    EXPECT_EQ(set.count, 5);
    EXPECT_STR(set.root, "");
    EXPECT_EQ(spec_fileset_find((struct sh_span){blob, blob_size}, "notes.txt", &found), SH_OK);
    EXPECT_MEM(found.at, "seen", 4);
    EXPECT_EQ(spec_fileset_find((struct sh_span){blob, blob_size}, "absent", &found),
              SH_ERR_NOT_FOUND);
    free(blob);
}

TEST(files_in_memory_become_a_set_with_the_root_that_is_named)
{
    struct spec_fileset set;
    struct spec_fileset_member files[] = {{.path = "b", .bytes = {(const uint8_t *)"two", 3}},
                                          {.path = "a", .bytes = {(const uint8_t *)"1", 1}}};
    EXPECT_EQ(spec_fileset_make(files, 2, "a", &blob, &blob_size, why, sizeof why), SH_OK);
    EXPECT(spec_fileset_check((struct sh_span){blob, blob_size}, true, why, sizeof why) == SH_OK);
    EXPECT(spec_fileset_open(&set, (struct sh_span){blob, blob_size}) == SH_OK);
    EXPECT_STR(set.root, "a");
    free(blob);
    files[1].path = "b";
    EXPECT_EQ(spec_fileset_make(files, 2, "", &blob, &blob_size, why, sizeof why), SH_ERR_INVALID);
    EXPECT_STR(why, "b: is there twice");
}
