/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/fileset.h"

#include "tst.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534u
#define DEPTH  3000u

static char why[512];

static void touch(int folder, const char *name)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    EXPECT(fd >= 0);
    EXPECT(close(fd) == 0);
}

static void folder_at(int above, const char *name, mode_t mode)
{
    EXPECT(mkdirat(above, name, 0700) == 0);
    EXPECT(fchmodat(above, name, mode, 0) == 0);
}

/* Folders in folders below `top`, with a file in each. */
static void dig(const char *top, unsigned depth)
{
    int at = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < depth; i++) {
        EXPECT(at >= 0);
        folder_at(at, "folder", 0700);
        touch(at, "file");
        int below = openat(at, "folder", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        EXPECT(close(at) == 0);
        at = below;
    }
    EXPECT(close(at) == 0);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void expect_removed(const char *dir)
{
    if (!spec_fileset_remove(dir, why, sizeof why)) {
        tst_fail(__FILE__, __LINE__, "%s: %s", dir, why);
    }
    EXPECT(!exists(dir));
}

/* As a user whom modes bind, in a process of its own. */
static void as_nobody(void (*run)(void))
{
    EXPECT(chdir(tst_dir()) == 0);
    if (geteuid() != 0) {
        run();
        return;
    }
    EXPECT(chown(".", NOBODY, NOBODY) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        /* The working directory was reached as root; its parents may be closed to others. */
        EXPECT(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
        run();
        _exit(0);
    }
    int status = -1;
    EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
    EXPECT_EQ(status, 0);
}

TEST(folders_far_beyond_the_longest_path_are_removed)
{
    EXPECT(chdir(tst_dir()) == 0);
    EXPECT(mkdir("deep", 0700) == 0);
    dig("deep", DEPTH);
    expect_removed("deep");
}

TEST(what_is_not_there_is_removed_and_so_is_a_file)
{
    EXPECT(chdir(tst_dir()) == 0);
    expect_removed("absent");
    touch(AT_FDCWD, "file");
    expect_removed("file");
}

static void remove_closed(void)
{
    EXPECT(mkdir("t", 0700) == 0);
    int top = open("t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    EXPECT(top >= 0);
    static const mode_t MODES[] = {0555, 0000, 0311, 0600};
    for (size_t i = 0; i < sizeof MODES / sizeof MODES[0]; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "closed%zu", i);
        folder_at(top, name, 0700);
        int in = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        EXPECT(in >= 0);
        touch(in, "file");
        folder_at(in, "below", MODES[i]);
        EXPECT(fchmod(in, MODES[i]) == 0 && close(in) == 0);
    }
    EXPECT(fchmod(top, 0555) == 0 && close(top) == 0);
    expect_removed("t");
}

TEST(folders_that_their_owner_may_not_enter_are_removed)
{
    as_nobody(remove_closed);
}

static void remove_deep_and_closed(void)
{
    EXPECT(mkdir("t", 0700) == 0);
    int at = open("t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < 100; i++) {
        folder_at(at, "folder", 0700);
        int below = openat(at, "folder", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        EXPECT(below >= 0 && fchmod(at, 0555) == 0 && close(at) == 0);
        at = below;
    }
    EXPECT(close(at) == 0);
    expect_removed("t");
}

TEST(closed_folders_are_removed_at_any_depth)
{
    as_nobody(remove_deep_and_closed);
}

TEST(a_link_goes_and_what_it_leads_to_stays)
{
    EXPECT(chdir(tst_dir()) == 0);
    EXPECT(mkdir("outside", 0555) == 0 && mkdir("t", 0700) == 0 && mkdir("t/in", 0700) == 0);
    EXPECT(chmod("outside", 0755) == 0);
    touch(AT_FDCWD, "outside/file");
    EXPECT(chmod("outside", 0555) == 0);
    EXPECT(symlink("../outside", "t/link") == 0 && symlink("../../outside", "t/in/link") == 0);
    EXPECT(symlink("nowhere", "t/broken") == 0);
    expect_removed("t");
    EXPECT(exists("outside/file"));
    struct stat st;
    EXPECT(stat("outside", &st) == 0);
    EXPECT_EQ(st.st_mode & 07777, 0555);
    EXPECT(symlink("outside", "top") == 0);
    expect_removed("top");
    EXPECT(exists("outside/file"));
    EXPECT(chmod("outside", 0755) == 0);
}

static atomic_bool enough;

static void *add_files(void *text)
{
    char name[64];
    for (unsigned i = 0; !atomic_load(&enough); i++) {
        (void)snprintf(name, sizeof name, "%s/%u", (const char *)text, i);
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) {
            break; /* the folder is gone */
        }
        EXPECT(close(fd) == 0);
    }
    return NULL;
}

TEST(files_that_appear_meanwhile_are_no_reason_to_go_on_for_ever)
{
    static char in[] = "t/in";
    pthread_t thread;
    EXPECT(chdir(tst_dir()) == 0);
    EXPECT(mkdir("t", 0700) == 0 && mkdir(in, 0700) == 0);
    EXPECT(pthread_create(&thread, NULL, add_files, in) == 0);
    bool gone = spec_fileset_remove("t", why, sizeof why);
    EXPECT(gone == !exists("t"));
    atomic_store(&enough, true);
    EXPECT(pthread_join(thread, NULL) == 0);
    expect_removed("t");
}

/* Something that not even root can remove: a mount. */
static void mount_at(const char *path)
{
    if (mount("outside", path, NULL, MS_BIND, NULL) != 0) {
        SKIP("nothing can be mounted here");
    }
}

TEST(a_mount_is_left_and_all_else_goes)
{
    EXPECT(chdir(tst_dir()) == 0);
    EXPECT(mkdir("outside", 0700) == 0 && mkdir("t", 0700) == 0 && mkdir("t/a", 0700) == 0);
    EXPECT(mkdir("t/a/mount", 0700) == 0 && mkdir("t/b", 0700) == 0);
    touch(AT_FDCWD, "outside/file");
    touch(AT_FDCWD, "t/a/file");
    dig("t/b", 100);
    mount_at("t/a/mount");
    bool gone = spec_fileset_remove("t", why, sizeof why);
    int error = errno;
    EXPECT(exists("outside/file"));
    char aside[SPEC_FILESET_ASIDE_BYTES];
    char again[sizeof why];
    enum sh_err fresh = spec_fileset_fresh("t", 0711, aside, again, sizeof again);
    char mounted[SPEC_FILESET_ASIDE_BYTES + 16];
    (void)snprintf(mounted, sizeof mounted, "%s/a/mount", aside);
    EXPECT(umount(aside[0] != '\0' ? mounted : "t/a/mount") == 0);
    EXPECT(!gone);
    EXPECT_EQ(error, EBUSY);
    EXPECT_STR(why, "mount: Device or resource busy");
    EXPECT(!exists("t/b"));
    EXPECT_EQ(fresh, SH_OK);
    EXPECT(strncmp(aside, "t.left.", 7) == 0);
    EXPECT_STR(again, why);
    EXPECT(exists("t") && !exists("t/a"));
    expect_removed(aside);
}
