/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/package.h"

#include "base/host/host.h"
#include "spec/walk.h"
#include "tst.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

static uint8_t *blob;
static size_t blob_size;
static char why[1024];

static void enter_dir(void)
{
    EXPECT(chdir(tst_dir()) == 0);
}

static void put(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "wb");
    EXPECT(file != NULL);
    EXPECT_EQ(fwrite(text, 1, strlen(text), file), strlen(text));
    EXPECT(fclose(file) == 0);
    EXPECT(chmod(path, mode) == 0);
}

static void make(const char *path)
{
    EXPECT(mkdir(path, 0755) == 0);
}

static struct sh_span whole(void)
{
    return (struct sh_span){.at = blob, .size = blob_size};
}

static void pack(const char *dir)
{
    enum sh_err err = spec_package_pack(dir, &blob, &blob_size, why, sizeof why);
    if (err != SH_OK) {
        tst_fail(__FILE__, __LINE__, "%s: %s", sh_err_name(err), why);
    }
}

/* "kind path" of every entry, one a line. */
static const char *listing(void)
{
    static char text[2048];
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    size_t used = 0;
    text[0] = '\0';
    EXPECT_EQ(spec_fileset_open(&set, whole()), SH_OK);
    while (spec_fileset_next(&set, &entry) == SH_OK) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%c %s\n", "?fpdl"[entry.kind],
                                 entry.path);
    }
    EXPECT_EQ(set.next, set.count);
    EXPECT(set.wrong == NULL);
    return text;
}

static void make_scripts(const char *dir)
{
    make(dir);
    EXPECT(chdir(dir) == 0);
    put("train.py", "print(1)\n", 0644);
    put("run.sh", "#!/bin/sh\n", 0755);
    make("a");
    make("a/b");
    make("a/b/c");
    make("a/b/c/models");
    put("a/b/c/models/kept.txt", "kept", 0600);
    make("a/empty");
    make("models");
    put("models/old.h5", "left out", 0644);
    make("evaluation");
    put("evaluation/results.csv", "left out", 0644);
    EXPECT(symlink("../../train.py", "a/b/link") == 0);
    EXPECT(symlink("models/none", "dangling") == 0);
    EXPECT(chdir("..") == 0);
}

TEST(a_directory_is_packed_without_models_and_evaluation_at_its_root)
{
    enter_dir();
    make_scripts("s");
    pack("s");
    EXPECT_STR(listing(), "f a/b/c/models/kept.txt\nl a/b/link\nd a/empty\nl dangling\np run.sh\n"
                          "f train.py\n");
    free(blob);
}

TEST(what_is_extracted_packs_to_the_same_bytes)
{
    char path[512];
    struct stat st;
    enter_dir();
    make_scripts("s");
    pack("s");
    uint8_t *first = blob;
    size_t first_size = blob_size;
    mode_t old = umask(0077);
    EXPECT_EQ(spec_fileset_extract(whole(), true, "x", path, sizeof path, why, sizeof why), SH_OK);
    (void)umask(old);
    EXPECT_STR(path, "x");
    EXPECT(stat("x/run.sh", &st) == 0);
    EXPECT_EQ(st.st_mode & 07777, 0755);
    EXPECT(stat("x/train.py", &st) == 0);
    EXPECT_EQ(st.st_mode & 07777, 0644);
    EXPECT(stat("x/a/b", &st) == 0);
    EXPECT_EQ(st.st_mode & 07777, 0755);
    EXPECT(stat("x/a/b/link", &st) == 0); /* leads to train.py */
    pack("x");
    EXPECT_EQ(blob_size, first_size);
    EXPECT_MEM(blob, first, first_size);
    free(first);
    free(blob);
}

TEST(names_modes_and_bytes_make_the_digest_and_nothing_else_does)
{
    enter_dir();
    make("one");
    put("one/a", "1", 0644);
    put("one/b", "2", 0755);
    pack("one");
    uint8_t *first = blob;
    size_t first_size = blob_size;
    make("two");
    put("two/b", "2", 0700);
    put("two/a", "1", 0600);
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
    EXPECT(utimensat(AT_FDCWD, "two/a", times, 0) == 0);
    pack("./two/");
    EXPECT_EQ(blob_size, first_size);
    EXPECT_MEM(blob, first, first_size);
    free(blob);
    EXPECT(chmod("two/a", 0755) == 0);
    pack("two");
    EXPECT_EQ(blob_size, first_size);
    EXPECT(memcmp(blob, first, first_size) != 0);
    free(first);
    free(blob);
}

TEST(a_shoalignore_leaves_out_devices_too)
{
    enter_dir();
    make("s");
    put("s/.shoalignore", "*.sock\nwork/\n", 0644);
    put("s/a", "1", 0644);
    make("s/work");
    put("s/work/x", "1", 0644);
    EXPECT(mkfifo("s/b.sock", 0600) == 0);
    pack("s");
    EXPECT_STR(listing(), "f .shoalignore\nf a\n");
    free(blob);
}

static void make_fifo(void)
{
    EXPECT(mkfifo("s/d/x", 0600) == 0);
}

static void make_socket(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "s/d/x"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT(fd >= 0);
    EXPECT(bind(fd, (const struct sockaddr *)&at, sizeof at) == 0);
    EXPECT(close(fd) == 0);
}

static void make_device(void)
{
    if (mknod("s/d/x", S_IFCHR | 0600, makedev(1, 3)) != 0) {
        SKIP("no right to make a device");
    }
}

static void make_setuid(void)
{
    put("s/d/x", "#!/bin/sh\n", 04755);
}

static void make_setgid(void)
{
    put("s/d/x", "#!/bin/sh\n", 02755);
}

static void make_case(void)
{
    put("s/d/X", "1", 0644);
    put("s/d/x", "2", 0644);
}

static void make_case_folders(void)
{
    make("s/Src");
    make("s/src");
    put("s/Src/a", "1", 0644);
    put("s/src/b", "2", 0644);
}

static void make_sparse(void)
{
    put("s/d/x", "1", 0644);
    EXPECT(truncate("s/d/x", (off_t)SPEC_FILESET_BYTES_MAX + 1) == 0);
}

static void make_deep(void)
{
    char path[512] = "s/d";
    for (int i = 0; i < 64; i++) {
        (void)snprintf(path + strlen(path), sizeof path - strlen(path), "/e");
        make(path);
    }
}

static const struct {
    const char *name;   /* a file of that name in s/d, */
    const char *link;   /* or a link to that, */
    void (*make)(void); /* or what this makes */
    const char *why;
    enum sh_err err;
} REFUSED[] = {
    {.make = make_fifo, .why = "d/x: a pipe; only files, folders and links are packed"},
    {.make = make_socket, .why = "d/x: a socket; only files, folders and links are packed"},
    {.make = make_device, .why = "d/x: a device; only files, folders and links are packed"},
    {.make = make_setuid, .why = "d/x: a program with set-user-id or set-group-id"},
    {.make = make_setgid, .why = "d/x: a program with set-user-id or set-group-id"},
    {.make = make_case, .why = "d/x: differs from d/X by case alone"},
    {.make = make_case_folders, .why = "src: differs from Src by case alone"},
    {.make = make_sparse,
     .why = "d/x: with it there are more than 1073741824 bytes",
     .err = SH_ERR_LIMIT},
    {.make = make_deep, .why = "64 folders deep"},
    {.name = "a\nb", .why = "d/a\\nb: a name with a control character"},
    {.name = "\x1b]0;x\x07", .why = "d/\\x1b]0;x\\x07: a name with a control character"},
    {.name = "a\\b", .why = "d/a\\b: a name with a backslash"},
    {.name = "\xff", .why = "d/\\xff: a name that is not UTF-8"},
    {.link = "/etc/passwd", .why = "d/link: a link to an absolute path"},
    {.link = "../../up", .why = "d/link: a link that leaves the tree"},
    {.link = "../d/../../s", .why = "d/link: a link that leaves the tree"},
    {.link = "../d/../d", .why = "d/link: a link that leaves the tree"},
    {.link = "a/..", .why = "d/link: a link with \"..\" after a name"},
};

TEST_ROWS(what_cannot_be_packed_is_refused_by_name, REFUSED)
{
    enter_dir();
    make("s");
    make("s/d");
    put("s/ok", "1", 0644);
    char path[64];
    if (REFUSED[tst_row].make != NULL) {
        REFUSED[tst_row].make();
    } else if (REFUSED[tst_row].link != NULL) {
        EXPECT(symlink(REFUSED[tst_row].link, "s/d/link") == 0);
    } else {
        (void)snprintf(path, sizeof path, "s/d/%s", REFUSED[tst_row].name);
        put(path, "1", 0644);
    }
    enum sh_err err = spec_package_pack("s", &blob, &blob_size, why, sizeof why);
    if (strstr(why, REFUSED[tst_row].why) == NULL) {
        tst_fail(__FILE__, __LINE__, "%s", why);
    }
    EXPECT_EQ(err, REFUSED[tst_row].err != SH_OK ? REFUSED[tst_row].err : SH_ERR_INVALID);
    EXPECT(blob == NULL);
}

TEST(what_is_no_directory_is_told)
{
    enter_dir();
    put("file", "1", 0644);
    EXPECT_EQ(spec_package_pack("absent", &blob, &blob_size, why, sizeof why), SH_ERR_NOT_FOUND);
    EXPECT_STR(why, "absent: No such file or directory");
    EXPECT_EQ(spec_package_pack("file", &blob, &blob_size, why, sizeof why), SH_ERR_INVALID);
    EXPECT_STR(why, "file: not a directory");
}

static enum spec_choice_of choose_all(void *context, const char *path, bool folder, bool inside)
{
    (void)context;
    (void)path;
    (void)folder;
    (void)inside;
    return SPEC_TAKE;
}

/* Between the walk and the reading of d/x somebody does something to the tree. */
static void read_after(void (*change)(void))
{
    uint8_t out[16];
    struct spec_bundle bundle;
    struct spec_walk walk = {.bundle = &bundle, .choose = choose_all};
    enter_dir();
    make("s");
    make("s/d");
    make("secret");
    put("secret/x", "root", 0644);
    put("s/d/x", "data", 0644);
    /* Long ago: clocks of file systems go by milliseconds. */
    const struct timespec then[] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    EXPECT(utimensat(AT_FDCWD, "s/d/x", then, 0) == 0);
    spec_walk_start(&walk, open("s", O_RDONLY | O_DIRECTORY));
    spec_bundle_open(&bundle, 0, why, sizeof why);
    EXPECT_EQ(spec_walk_all(&walk), SH_OK);
    EXPECT_EQ(bundle.count, 1);
    change();
    EXPECT_EQ(spec_walk_fill(&walk, "d/x", &bundle.items[0], out), SH_ERR_IO);
    spec_bundle_close(&bundle);
    spec_walk_end(&walk);
}

static void swap_folder(void)
{
    EXPECT(rename("s/d", "s/e") == 0);
    EXPECT(symlink("../secret", "s/d") == 0);
}

static void swap_file(void)
{
    EXPECT(unlink("s/d/x") == 0);
    EXPECT(symlink("../../secret/x", "s/d/x") == 0);
}

static void swap_pipe(void)
{
    EXPECT(unlink("s/d/x") == 0);
    EXPECT(mkfifo("s/d/x", 0600) == 0);
}

static void lengthen(void)
{
    put("s/d/x", "data and more", 0644);
}

static void shorten(void)
{
    put("s/d/x", "dat", 0644);
}

TEST(a_folder_swapped_for_a_link_meanwhile_is_not_followed)
{
    read_after(swap_folder);
    EXPECT_STR(why, "d/x: its folder changed while being read");
}

TEST(a_file_swapped_for_a_link_meanwhile_is_not_followed)
{
    read_after(swap_file);
    EXPECT(strstr(why, "d/x: ") == why);
}

TEST(a_file_swapped_for_a_pipe_meanwhile_does_not_block)
{
    read_after(swap_pipe);
    EXPECT_STR(why, "d/x: changed while being read");
}

TEST(a_file_that_grows_meanwhile_is_told)
{
    read_after(lengthen);
    EXPECT_STR(why, "d/x: changed while being read");
}

TEST(a_file_that_shrinks_meanwhile_is_told)
{
    read_after(shorten);
    EXPECT_STR(why, "d/x: changed while being read");
}

static void rewrite(void)
{
    put("s/d/x", "DATA", 0644);
}

TEST(a_file_that_is_rewritten_in_place_meanwhile_is_told)
{
    read_after(rewrite);
    EXPECT_STR(why, "d/x: changed while being read");
}

static void empty(void)
{
    put("s/d/x", "", 0644);
}

TEST(a_file_that_is_emptied_meanwhile_is_told)
{
    read_after(empty);
    EXPECT_STR(why, "d/x: changed while being read");
}

/* What is offered and called "gone" is gone before it is looked at. */
static enum spec_choice_of choose_and_remove(void *context, const char *path, bool folder,
                                             bool inside)
{
    (void)context;
    (void)inside;
    char below[64];
    (void)snprintf(below, sizeof below, "s/%s", path);
    if (strstr(path, "gone") != NULL) {
        EXPECT((folder ? rmdir(below) : unlink(below)) == 0);
    }
    return SPEC_TAKE;
}

TEST(what_vanishes_during_the_walk_was_not_there)
{
    struct spec_bundle bundle;
    struct spec_walk walk = {.bundle = &bundle, .choose = choose_and_remove};
    enter_dir();
    make("s");
    make("s/gone-folder");
    put("s/gone", "x", 0644);
    put("s/stays", "data", 0644);
    EXPECT(symlink("stays", "s/gone-link") == 0);
    spec_walk_start(&walk, open("s", O_RDONLY | O_DIRECTORY));
    spec_bundle_open(&bundle, 0, why, sizeof why);
    EXPECT_EQ(spec_walk_all(&walk), SH_OK);
    EXPECT_EQ(bundle.count, 1);
    EXPECT_STR(spec_bundle_path(&bundle, &bundle.items[0]), "stays");
    spec_bundle_close(&bundle);
    spec_walk_end(&walk);
}

/* ---- outputs ---- */

#define LARGE_BYTES (64 << 20)

/* As soon as somebody reads w/a, which takes a while, w/b becomes another and w/c goes. */
static void *change_while_a_is_read(void *watch)
{
    struct inotify_event event;
    EXPECT(read(*(int *)watch, &event, sizeof event) == (ssize_t)sizeof event);
    put("w/new", "longer", 0644);
    EXPECT(rename("w/new", "w/b") == 0 && unlink("w/c") == 0);
    return NULL;
}

TEST(outputs_that_change_while_they_are_read_are_taken_again)
{
    static const char *const ALL[] = {"**"};
    struct spec_outputs outputs = {.dir = "w", .patterns = ALL, .pattern_count = 1};
    pthread_t thread;
    enter_dir();
    make("w");
    put("w/a", "", 0644);
    EXPECT(truncate("w/a", LARGE_BYTES) == 0);
    put("w/b", "short", 0644);
    put("w/c", "c", 0644);
    int watch = inotify_init1(IN_CLOEXEC);
    EXPECT(watch >= 0 && inotify_add_watch(watch, "w/a", IN_OPEN | IN_ONESHOT) >= 0);
    EXPECT(pthread_create(&thread, NULL, change_while_a_is_read, &watch) == 0);
    EXPECT_EQ(spec_package_collect(&outputs, &blob, &blob_size, why, sizeof why), SH_OK);
    EXPECT(pthread_join(thread, NULL) == 0);
    EXPECT(close(watch) == 0);
    /* All of before, where the thread was late, or all of after. */
    if (strstr(listing(), "f c") == NULL) {
        EXPECT_STR(listing(), "f a\nf b\n");
        struct sh_span b;
        EXPECT_EQ(spec_fileset_find(whole(), "b", &b), SH_OK);
        EXPECT_EQ(b.size, strlen("longer"));
    }
    free(blob);
}

TEST(folders_that_are_left_are_not_looked_into)
{
    static const char *const ALL[] = {"**"};
    static const char *const LEAVE[] = {"own/tmp", NULL};
    struct spec_outputs outputs = {.dir = "w", .patterns = ALL, .pattern_count = 1, .leave = LEAVE};
    enter_dir();
    make("w");
    make("w/own");
    make("w/own/tmp");
    EXPECT(mkfifo("w/own/tmp/pipe", 0600) == 0); /* it would be refused */
    put("w/own/kept", "x", 0644);
    EXPECT_EQ(spec_package_collect(&outputs, &blob, &blob_size, why, sizeof why), SH_OK);
    EXPECT_STR(listing(), "f own/kept\n");
    free(blob);
}

static void make_work(void)
{
    enter_dir();
    make("w");
    make("w/logs");
    make("w/logs/tb");
    make("w/run3");
    put("w/model.h5", "weights", 0644);
    put("w/results.csv", "1,2\n", 0644);
    put("w/logs/a.log", "a", 0644);
    put("w/logs/tb/events", "b", 0644);
    put("w/run3/model.h5", "more weights", 0644);
    EXPECT(symlink("run3/model.h5", "w/latest.h5") == 0);
    EXPECT(symlink("/etc", "w/etc") == 0); /* bad, and nobody asks for it */
    EXPECT(mkfifo("w/pipe", 0600) == 0);
}

static const struct {
    const char *patterns[3];
    const char *listing; /* NULL: refused */
    const char *why;
    enum sh_err err;
} COLLECTED[] = {
    {{"*.h5"}, "l latest.h5\nf model.h5\n", NULL, SH_OK},
    {{"**/*.h5"}, "l latest.h5\nf model.h5\nf run3/model.h5\n", NULL, SH_OK},
    {{"results.csv", "logs/**"}, "f logs/a.log\nf logs/tb/events\nf results.csv\n", NULL, SH_OK},
    {{"logs"}, "f logs/a.log\nf logs/tb/events\n", NULL, SH_OK},
    {{"m?del.h5", "model.h5"}, "f model.h5\n", NULL, SH_OK},
    {{"model.h5", "*.onnx"},
     NULL,
     "*.onnx: no file matches this pattern of outputs",
     SH_ERR_NOT_FOUND},
    {{"etc/passwd"}, NULL, "etc/passwd: no file matches this pattern of outputs", SH_ERR_NOT_FOUND},
    {{"etc"}, NULL, "etc: a link to an absolute path", SH_ERR_INVALID},
    {{"pi*"}, NULL, "pipe: a pipe; only files, folders and links are packed", SH_ERR_INVALID},
    {{"../x"},
     NULL,
     "../x: a pattern is relative, without empty, \".\" and \"..\" parts",
     SH_ERR_INVALID},
};

TEST_ROWS(declared_outputs_are_collected_and_no_link_is_followed, COLLECTED)
{
    make_work();
    struct spec_outputs outputs = {.dir = "w", .patterns = COLLECTED[tst_row].patterns};
    while (outputs.pattern_count < 3 && outputs.patterns[outputs.pattern_count] != NULL) {
        outputs.pattern_count++;
    }
    enum sh_err err = spec_package_collect(&outputs, &blob, &blob_size, why, sizeof why);
    EXPECT_EQ(err, COLLECTED[tst_row].err);
    if (err == SH_OK) {
        EXPECT_STR(listing(), COLLECTED[tst_row].listing);
        free(blob);
    } else {
        EXPECT_STR(why, COLLECTED[tst_row].why);
    }
}

TEST(without_patterns_what_is_new_or_changed_is_collected)
{
    enter_dir();
    make_scripts("w");
    pack("w");
    uint8_t *package = blob;
    struct spec_outputs outputs = {.dir = "w", .package = whole()};
    put("w/run.sh", "#!/bin/SH\n", 0755); /* as long as it was */
    put("w/a/train.py", "same name elsewhere", 0644);
    put("w/zero", "", 0644);
    make("w/new");
    put("w/new/model.h5", "weights", 0644);
    EXPECT(chmod("w/train.py", 0755) == 0);
    EXPECT(unlink("w/a/b/link") == 0);
    EXPECT(symlink("../../run.sh", "w/a/b/link") == 0);
    EXPECT_EQ(spec_package_collect(&outputs, &blob, &blob_size, why, sizeof why), SH_OK);
    EXPECT_STR(listing(), "l a/b/link\nf a/train.py\nf evaluation/results.csv\nf models/old.h5\n"
                          "f new/model.h5\np run.sh\np train.py\nf zero\n");
    free(blob);
    free(package);
}

TEST(the_byte_limit_of_outputs_counts_what_is_collected_only)
{
    enter_dir();
    make("w");
    put("w/script", "a long script", 0644);
    pack("w");
    uint8_t *package = blob;
    struct spec_outputs outputs = {.dir = "w", .package = whole(), .bytes_max = 4};
    put("w/out", "1234", 0644);
    EXPECT_EQ(spec_package_collect(&outputs, &blob, &blob_size, why, sizeof why), SH_OK);
    EXPECT_STR(listing(), "f out\n");
    free(blob);
    put("w/out", "12345", 0644);
    EXPECT_EQ(spec_package_collect(&outputs, &blob, &blob_size, why, sizeof why), SH_ERR_LIMIT);
    EXPECT_STR(why, "out: the largest of the outputs, 5 bytes, more than 4");
    free(package);
}

TEST(a_manifest_has_one_line_an_entry_with_its_digest)
{
    char *text = NULL;
    size_t size = 0;
    uint8_t digest[SH_DIGEST_BYTES];
    char hex[2 * SH_DIGEST_BYTES + 1];
    char wanted[256];
    enter_dir();
    make("s");
    put("s/a b", "abc", 0755);
    pack("s");
    sh_blake2b(digest, sizeof digest, "abc", 3);
    sh_hex(hex, digest, sizeof digest);
    (void)snprintf(wanted, sizeof wanted, "program 3 %s a b\n", hex);
    EXPECT_EQ(spec_package_manifest(whole(), &text, &size), SH_OK);
    EXPECT_STR(text, wanted);
    EXPECT_EQ(size, strlen(wanted));
    free(text);
    EXPECT_EQ(spec_package_manifest((struct sh_span){blob, blob_size - 1}, &text, &size),
              SH_ERR_CORRUPT);
    free(blob);
}
