/* SPDX-License-Identifier: Apache-2.0 */
#include "store/dir.h"

#include "tst.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char why[DIR_TEXT_BYTES];

static const char *place(const char *name)
{
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", tst_dir(), name);
    return path;
}

static struct dir *open_at(const char *path)
{
    struct dir *dir = NULL;
    EXPECT_EQ(dir_open(path, &dir, why), SH_OK);
    return dir;
}

static bool exists(const struct dir *dir, const char *name)
{
    char path[DIR_PATH_MAX + 1];
    struct stat st;
    dir_entry(dir, name, path);
    return stat(path, &st) == 0;
}

TEST(a_new_directory_is_laid_out_with_its_parents_and_private)
{
    struct stat st;
    struct dir *dir = open_at(place("a/b/c"));
    EXPECT(exists(dir, "state"));
    EXPECT(exists(dir, "bulk"));
    EXPECT_EQ(stat(dir_path(dir), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0700);
    dir_close(dir);
    dir_close(open_at(place("a/b/c")));
}

TEST(a_second_agent_is_refused_and_told_who_has_it)
{
    struct dir *first = open_at(place("d"));
    struct dir *second = NULL;
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    EXPECT_EQ(dir_open(place("d"), &second, why), SH_ERR_IN_USE);
    EXPECT(second == NULL);
    EXPECT(strstr(why, pid) != NULL);
    EXPECT(strstr(why, place("d")) != NULL);
    dir_close(first);
    dir_close(open_at(place("d")));
}

TEST(the_lock_of_a_killed_process_is_free)
{
    int fds[2];
    char byte;
    int status = 0;
    EXPECT_EQ(pipe(fds), 0);
    const char *path = place("d");
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        struct dir *dir = NULL;
        EXPECT_EQ(prctl(PR_SET_PDEATHSIG, SIGKILL), 0); /* does not outlive a failed test */
        if (dir_open(path, &dir, why) == SH_OK && write(fds[1], "x", 1) == 1) {
            (void)pause();
        }
        _exit(1);
    }
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
    struct dir *dir = NULL;
    EXPECT_EQ(dir_open(path, &dir, why), SH_ERR_IN_USE);
    EXPECT_EQ(kill(pid, SIGKILL), 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    dir_close(open_at(path));
}

TEST(a_file_is_replaced_whole)
{
    struct dir *dir = open_at(place("d"));
    char out[16];
    size_t used = 0;
    EXPECT_EQ(dir_read(dir, "identity", out, sizeof out, &used, why), SH_ERR_NOT_FOUND);
    EXPECT_EQ(dir_write(dir, "identity", "first", 5, why), SH_OK);
    EXPECT_EQ(dir_write(dir, "identity", "2nd", 3, why), SH_OK);
    EXPECT_EQ(dir_read(dir, "identity", out, sizeof out, &used, why), SH_OK);
    EXPECT_EQ(used, 3);
    EXPECT_MEM(out, "2nd", 3);
    EXPECT_EQ(dir_write(dir, "empty", "", 0, why), SH_OK);
    EXPECT_EQ(dir_read(dir, "empty", out, 0, &used, why), SH_OK);
    EXPECT_EQ(dir_read(dir, "identity", out, 2, &used, why), SH_ERR_LIMIT);
    EXPECT_EQ(used, 3);
    EXPECT_EQ(dir_remove(dir, "identity", why), SH_OK);
    EXPECT_EQ(dir_remove(dir, "identity", why), SH_OK);
    EXPECT(!exists(dir, "identity"));
    dir_close(dir);
}

TEST(nothing_but_the_file_is_left_after_a_write)
{
    struct dir *dir = open_at(place("d"));
    EXPECT_EQ(dir_write(dir, "peers", "x", 1, why), SH_OK);
    DIR *list = opendir(dir_path(dir));
    unsigned count = 0;
    EXPECT(list != NULL);
    for (const struct dirent *e = readdir(list); e != NULL; e = readdir(list)) {
        count++;
    }
    EXPECT_EQ(closedir(list), 0);
    EXPECT_EQ(count, 6); /* . .. lock state bulk peers */
    dir_close(dir);
}

TEST(a_path_through_a_file_is_refused_with_its_name)
{
    struct dir *dir = open_at(place("d"));
    struct dir *bad = NULL;
    EXPECT_EQ(dir_write(dir, "file", "x", 1, why), SH_OK);
    EXPECT_EQ(dir_open(place("d/file/deeper"), &bad, why), SH_ERR_DENIED);
    EXPECT(strstr(why, "d/file") != NULL);
    EXPECT_EQ(dir_open(place("d/file"), &bad, why), SH_ERR_DENIED);
    EXPECT_EQ(dir_open("", &bad, why), SH_ERR_LIMIT);
    dir_close(dir);
}

TEST(a_directory_that_cannot_be_written_is_refused_with_its_name)
{
    const char *path = place("d");
    int status = 0;
    dir_close(open_at(path));
    EXPECT_EQ(chmod(tst_dir(), 0755), 0);
    EXPECT_EQ(chmod(path, 0555), 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        struct dir *bad = NULL;
        if (geteuid() == 0 && setuid(65534) != 0) {
            _exit(2);
        }
        enum sh_err err = dir_open(path, &bad, why);
        _exit(err == SH_ERR_DENIED && strstr(why, path) != NULL ? 0 : 1);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(chmod(path, 0755), 0);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(a_full_disk_is_told_and_keeps_the_old_contents)
{
    static char big[1 << 16];
    const char *path = place("small");
    char out[16];
    size_t used = 0;
    EXPECT_EQ(mkdir(path, 0700), 0);
    if (mount("tmpfs", path, "tmpfs", 0, "size=128k") != 0) {
        SKIP("a small tmpfs cannot be mounted here");
    }
    struct dir *dir = open_at(path);
    EXPECT_EQ(dir_write(dir, "identity", "old", 3, why), SH_OK);
    EXPECT_EQ(dir_write(dir, "filler", big, sizeof big, why), SH_OK);
    EXPECT_EQ(dir_write(dir, "identity", big, sizeof big, why), SH_ERR_NO_SPACE);
    bool named = strstr(why, "identity") != NULL;
    enum sh_err err = dir_read(dir, "identity", out, sizeof out, &used, why);
    dir_close(dir);
    EXPECT_EQ(umount2(path, MNT_DETACH), 0);
    EXPECT(named);
    EXPECT_EQ(err, SH_OK);
    EXPECT_EQ(used, 3);
}

TEST(a_damaged_store_is_moved_aside_and_each_keeps_its_name)
{
    struct dir *dir = open_at(place("d"));
    char moved[DIR_PATH_MAX + 1];
    EXPECT_EQ(dir_quarantine(dir, "state", moved, why), SH_OK);
    EXPECT(strstr(moved, "state.damaged.1") != NULL);
    EXPECT(!exists(dir, "state"));
    EXPECT(exists(dir, "state.damaged.1"));
    EXPECT_EQ(dir_quarantine(dir, "state", moved, why), SH_ERR_NOT_FOUND);
    dir_close(dir);
    dir = open_at(place("d"));
    EXPECT_EQ(dir_quarantine(dir, "state", moved, why), SH_OK);
    EXPECT(strstr(moved, "state.damaged.2") != NULL);
    dir_close(dir);
}

TEST_DIES(a_name_that_leaves_the_directory_is_a_programming_error, "strspn")
{
    char out[DIR_PATH_MAX + 1];
    dir_entry(open_at(place("d")), "../x", out);
}
