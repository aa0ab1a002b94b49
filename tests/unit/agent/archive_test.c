/* SPDX-License-Identifier: Apache-2.0
 *
 * Archives byte by byte, as no honest program writes them. What tar, gzip and zip of this machine
 * write is in tests/bars/jobs/hostile_packages.py. */
#include "spec/package.h"

#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 512u

static uint8_t tar[64 * BLOCK];
static size_t tar_size;
static uint8_t *blob;
static size_t blob_size;
static char why[1024];

static void put_octal(uint8_t *at, size_t digits, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%0*llo", (int)digits, (unsigned long long)value);
    memcpy(at, text, digits);
}

/* One header that says size bytes, and the bytes. */
static void put_entry(const char *path, char type, unsigned mode, const char *link,
                      const char *bytes, uint64_t size)
{
    uint8_t *h = tar + tar_size;
    size_t stored = strlen(bytes);
    EXPECT(tar_size + BLOCK + (stored + BLOCK - 1) / BLOCK * BLOCK <= sizeof tar);
    memset(h, 0, BLOCK);
    memcpy(h, path, strlen(path));
    put_octal(h + 100, 7, mode);
    put_octal(h + 124, 11, size);
    memcpy(h + 148, "        ", 8);
    h[156] = (uint8_t)type;
    memcpy(h + 157, link, strlen(link));
    memcpy(h + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        sum += h[i];
    }
    put_octal(h + 148, 6, sum);
    h[154] = 0;
    memcpy(h + BLOCK, bytes, stored);
    tar_size += BLOCK + (stored + BLOCK - 1) / BLOCK * BLOCK;
}

static void put_file(const char *path, const char *bytes)
{
    put_entry(path, '0', 0644, "", bytes, strlen(bytes));
}

static enum sh_err read_tar(size_t end_blocks)
{
    struct sh_span span = {.at = tar, .size = tar_size + end_blocks * BLOCK};
    return spec_package_pack_archive(span, &blob, &blob_size, why, sizeof why);
}

TEST(an_archive_packs_to_the_same_bytes_as_its_directory)
{
    put_entry("./", '5', 0755, "", "", 0);
    put_entry("./b/", '5', 02775, "", "", 0);
    put_file("./b/x.py", "x");
    put_entry("./b/empty/", '5', 0755, "", "", 0);
    put_entry("./b/empty/", '5', 0700, "", "", 0); /* said twice, as tar -r does */
    put_entry("./run.sh", '0', 0700, "", "#!", 2);
    put_entry("./b/l", '2', 0777, "../run.sh", "", 0);
    put_entry("./models/", '5', 0755, "", "", 0);
    put_entry("./models/null", '3', 0600, "", "", 0); /* a device, and left out */
    put_file("./cut.log", "left out");
    put_file("./.shoalignore", "*.log\n");
    EXPECT_EQ(read_tar(2), SH_OK);
    uint8_t *first = blob;
    size_t first_size = blob_size;
    char path[512];
    EXPECT(chdir(tst_dir()) == 0);
    struct sh_span span = {.at = blob, .size = blob_size};
    EXPECT_EQ(spec_fileset_extract(span, false, "x", path, sizeof path, why, sizeof why), SH_OK);
    EXPECT(access("x/b/empty", F_OK) == 0);
    EXPECT(access("x/run.sh", X_OK) == 0);
    EXPECT(access("x/b/x.py", F_OK) == 0);
    EXPECT(access("x/models", F_OK) != 0);
    EXPECT(access("x/cut.log", F_OK) != 0);
    EXPECT_EQ(spec_package_pack("x", &blob, &blob_size, why, sizeof why), SH_OK);
    EXPECT_EQ(blob_size, first_size);
    EXPECT_MEM(blob, first, first_size);
    free(first);
    free(blob);
}

static const struct {
    const char *path;
    char type;
    unsigned mode;
    const char *link;
    const char *why;
    const char *second; /* path of a file behind it */
} HOSTILE[] = {
    {"../up", '0', 0644, "", "../up: a path with a \"..\" part", NULL},
    {"a/../../up", '0', 0644, "", "a/../../up: a path with a \"..\" part", NULL},
    {"/etc/cron.d/x", '0', 0644, "", "/etc/cron.d/x: an absolute path, or one with an empty part",
     NULL},
    {"..", '5', 0755, "", "..: a path with a \"..\" part", NULL},
    {"a\nb", '0', 0644, "", "a\\nb: a name with a control character", NULL},
    {"..\\up", '0', 0644, "", "..\\up: a name with a backslash", NULL},
    {"caf\xe9", '0', 0644, "", "caf\\xe9: a name that is not UTF-8", NULL},
    {"link", '2', 0777, "/etc", "link: a link to an absolute path", NULL},
    {"link", '2', 0777, "../up", "link: a link that leaves the tree", NULL},
    {"link", '2', 0777, "d", "link: both an entry and a folder of others", "link/passwd"},
    {"a", '0', 0644, "", "a: is there twice", "a"},
    {"a", '2', 0644, "b", "a: is there twice", "a"},
    {"A", '0', 0644, "", "a: differs from A by case alone", "a"},
    {"hard", '1', 0644, "/etc/shadow",
     "hard: a hard link; archive the file itself twice (tar --hard-dereference)", NULL},
    {"tty", '3', 0644, "", "tty: a device; only files, folders and links are packed", NULL},
    {"disk", '4', 0644, "", "disk: a device; only files, folders and links are packed", NULL},
    {"pipe", '6', 0644, "", "pipe: a pipe; only files, folders and links are packed", NULL},
    {"su", '0', 04755, "", "su: a program with set-user-id or set-group-id", NULL},
    {"sg", '0', 02755, "", "sg: a program with set-user-id or set-group-id", NULL},
};

TEST_ROWS(a_hostile_archive_is_refused_by_name, HOSTILE)
{
    put_file("before", "fine");
    put_entry(HOSTILE[tst_row].path, HOSTILE[tst_row].type, HOSTILE[tst_row].mode,
              HOSTILE[tst_row].link, "", 0);
    if (HOSTILE[tst_row].second != NULL) {
        put_file(HOSTILE[tst_row].second, "second");
    }
    EXPECT_EQ(read_tar(2), SH_ERR_INVALID);
    EXPECT_STR(why, HOSTILE[tst_row].why);
    EXPECT(blob == NULL);
}

static const uint64_t SIZES[] = {5, 4096, UINT64_C(1) << 30, UINT64_C(0777777777777)};

TEST_ROWS(an_entry_larger_than_the_archive_is_damage, SIZES)
{
    put_entry("a", '0', 0644, "", "data", SIZES[tst_row] + BLOCK);
    EXPECT_EQ(read_tar(0), SH_ERR_CORRUPT);
    EXPECT(strstr(why, "a: damaged: ") == why);
    EXPECT(blob == NULL);
}

static const char *const NO_ARCHIVES[] = {"", "x", "#!/bin/sh\necho no archive\n", "PK\3\4",
                                          "\x1f\x8b\x08\0\0\0\0\0\0\3"};

TEST_ROWS(what_is_no_archive_is_told, NO_ARCHIVES)
{
    struct sh_span span = {.at = (const uint8_t *)NO_ARCHIVES[tst_row],
                           .size = strlen(NO_ARCHIVES[tst_row])};
    EXPECT_EQ(spec_package_pack_archive(span, &blob, &blob_size, why, sizeof why), SH_ERR_CORRUPT);
    EXPECT(why[0] != '\0');
    EXPECT(blob == NULL);
}

/* CRC-32 as zip has it. */
static uint32_t crc_of(const char *bytes)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; bytes[i] != '\0'; i++) {
        crc ^= (uint8_t)bytes[i];
        for (int k = 0; k < 8; k++) {
            crc = crc >> 1 ^ (UINT32_C(0xedb88320) & (0u - (crc & 1)));
        }
    }
    return ~crc;
}

/* A zip of one stored entry, made on unix with that mode. */
static struct sh_span make_zip(uint8_t *out, size_t size, const char *path, unsigned mode,
                               const char *bytes)
{
    struct sh_writer w = sh_writer_over(out, size);
    uint32_t length = (uint32_t)strlen(bytes);
    uint32_t directory = 0;
    for (int central = 0; central < 2; central++) {
        directory = central == 1 ? (uint32_t)w.used : 0;
        sh_put_u32(&w, central == 1 ? 0x02014b50 : 0x04034b50);
        if (central == 1) {
            sh_put_u16(&w, 3 << 8 | 20); /* made by unix */
        }
        sh_put_u16(&w, 20);
        sh_put_u16(&w, 0);
        sh_put_u16(&w, 0); /* stored */
        sh_put_u32(&w, 0);
        sh_put_u32(&w, crc_of(bytes));
        sh_put_u32(&w, length);
        sh_put_u32(&w, length);
        sh_put_u16(&w, (uint16_t)strlen(path));
        sh_put_u16(&w, 0);
        if (central == 1) {
            sh_put_bytes(&w, "\0\0\0\0\0\0", 6);
            sh_put_u32(&w, mode << 16);
            sh_put_u32(&w, 0);
        }
        sh_put_bytes(&w, path, strlen(path));
        if (central == 0) {
            sh_put_bytes(&w, bytes, length);
        }
    }
    uint32_t end = (uint32_t)w.used;
    sh_put_u32(&w, 0x06054b50);
    sh_put_u32(&w, 0);
    sh_put_u16(&w, 1);
    sh_put_u16(&w, 1);
    sh_put_u32(&w, end - directory);
    sh_put_u32(&w, directory);
    sh_put_u16(&w, 0);
    EXPECT(!w.full);
    return (struct sh_span){.at = out, .size = w.used};
}

TEST(a_zip_keeps_programs_and_links)
{
    uint8_t bytes[1024];
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    struct sh_span zip = make_zip(bytes, sizeof bytes, "d/run.sh", S_IFREG | 0755, "#!/bin/sh\n");
    EXPECT_EQ(spec_package_pack_archive(zip, &blob, &blob_size, why, sizeof why), SH_OK);
    EXPECT_EQ(spec_fileset_open(&set, (struct sh_span){blob, blob_size}), SH_OK);
    EXPECT_EQ(spec_fileset_next(&set, &entry), SH_OK);
    EXPECT_EQ(entry.kind, SPEC_PROGRAM);
    EXPECT_STR(entry.path, "d/run.sh");
    EXPECT_MEM(entry.bytes.at, "#!/bin/sh\n", 10);
    free(blob);
    zip = make_zip(bytes, sizeof bytes, "d/link", S_IFLNK | 0777, "../a");
    EXPECT_EQ(spec_package_pack_archive(zip, &blob, &blob_size, why, sizeof why), SH_OK);
    EXPECT_EQ(spec_fileset_open(&set, (struct sh_span){blob, blob_size}), SH_OK);
    EXPECT_EQ(spec_fileset_next(&set, &entry), SH_OK);
    EXPECT_EQ(entry.kind, SPEC_LINK);
    EXPECT_MEM(entry.bytes.at, "../a", 4);
    free(blob);
}

static const struct {
    const char *path;
    unsigned mode;
    const char *bytes;
    const char *why;
} HOSTILE_ZIPS[] = {
    {"../up", S_IFREG | 0644, "x", "../up: a path with a \"..\" part"},
    {"/etc/x", S_IFREG | 0644, "x", "/etc/x: an absolute path, or one with an empty part"},
    {"l", S_IFLNK | 0777, "/etc", "l: a link to an absolute path"},
    {"l", S_IFLNK | 0777, "..", "l: a link that leaves the tree"},
    {"su", S_IFREG | 04755, "x", "su: a program with set-user-id or set-group-id"},
    {"a\nb", S_IFREG | 0644, "x", "a\\nb: a name with a control character"},
};

TEST_ROWS(a_hostile_zip_is_refused_by_name, HOSTILE_ZIPS)
{
    uint8_t bytes[1024];
    struct sh_span zip = make_zip(bytes, sizeof bytes, HOSTILE_ZIPS[tst_row].path,
                                  HOSTILE_ZIPS[tst_row].mode, HOSTILE_ZIPS[tst_row].bytes);
    EXPECT_EQ(spec_package_pack_archive(zip, &blob, &blob_size, why, sizeof why), SH_ERR_INVALID);
    EXPECT_STR(why, HOSTILE_ZIPS[tst_row].why);
}

TEST(a_zip_with_a_wrong_checksum_is_damage)
{
    uint8_t bytes[1024];
    struct sh_span zip = make_zip(bytes, sizeof bytes, "a", S_IFREG | 0644, "data");
    bytes[30 + 1]++; /* the first byte of the data */
    EXPECT_EQ(spec_package_pack_archive(zip, &blob, &blob_size, why, sizeof why), SH_ERR_CORRUPT);
    EXPECT(strstr(why, "a: damaged: ") == why);
}
