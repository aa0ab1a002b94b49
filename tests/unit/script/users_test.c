/* SPDX-License-Identifier: Apache-2.0 */
#include "script/users.h"

#include "base/host/host.h"
#include "tst.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER  8123456u /* of nobody here */
#define OTHER (USER + 1)

static char why[512];

TEST(a_range_belongs_to_one_agent_and_the_next_takes_another)
{
    struct script_users a;
    struct script_users b;
    struct script_users c;
    EXPECT_EQ(script_users_take(&a, tst_dir(), 60600, false, why, sizeof why), SH_OK);
    EXPECT_EQ(a.first, 60600);
    EXPECT_EQ(script_users_take(&b, tst_dir(), 60600, false, why, sizeof why), SH_OK);
    EXPECT_EQ(b.first, 60600 + SCRIPT_USERS);
    script_users_give(&a);
    EXPECT_EQ(script_users_take(&c, tst_dir(), 60600, true, why, sizeof why), SH_OK);
    EXPECT_EQ(c.first, 60600);
    script_users_give(&b);
    script_users_give(&c);
}

TEST(a_range_given_by_hand_that_overlaps_one_that_is_taken_is_refused)
{
    struct script_users a;
    struct script_users b;
    EXPECT_EQ(script_users_take(&a, tst_dir(), 70000, true, why, sizeof why), SH_OK);
    EXPECT_EQ(script_users_take(&b, tst_dir(), 70064, true, why, sizeof why), SH_ERR_IN_USE);
    EXPECT_STR(why, "--run-as: 70064: another agent of this machine runs units as users of 70064 "
                    "to 70128; must be a range of 65 that no other agent has");
    EXPECT_EQ(script_users_take(&b, tst_dir(), 70065, true, why, sizeof why), SH_OK);
    script_users_give(&b);
    script_users_give(&a);
}

TEST(when_all_ranges_of_the_default_are_taken_that_is_said)
{
    static struct script_users taken[SCRIPT_USERS_RANGES];
    struct script_users more;
    for (uint32_t i = 0; i < SCRIPT_USERS_RANGES; i++) {
        EXPECT_EQ(script_users_take(&taken[i], tst_dir(), 60600, false, why, sizeof why), SH_OK);
        EXPECT(taken[i].first + SCRIPT_USERS <= 61184 || taken[i].first >= 65536);
        EXPECT(taken[i].first + SCRIPT_USERS <= 100000);
    }
    EXPECT_EQ(script_users_take(&more, tst_dir(), 60600, false, why, sizeof why), SH_ERR_IN_USE);
    EXPECT(strstr(why, "and the ranges of the default are all taken") != NULL);
    for (uint32_t i = 0; i < SCRIPT_USERS_RANGES; i++) {
        script_users_give(&taken[i]);
    }
}

TEST(a_file_of_locks_that_others_may_open_is_refused)
{
    struct script_users a;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", tst_dir(), SCRIPT_USERS_FILE);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    EXPECT(fd >= 0 && fchmod(fd, 0666) == 0 && close(fd) == 0);
    EXPECT_EQ(script_users_take(&a, tst_dir(), 60600, false, why, sizeof why), SH_ERR_DENIED);
    EXPECT(strstr(why, "must be a file of this user with mode 0600") != NULL);
}

/* ---- what users leave ---- */

static struct traces {
    int memory, semaphores, queue;
    char file[64], folder[64];
} * left; /* shared with children */

/* In a process of its own, as commands would. */
static void leave_traces(uint32_t user, struct traces *t)
{
    (void)snprintf(t->file, sizeof t->file, "/dev/shm/shoal-test-%u", user);
    (void)snprintf(t->folder, sizeof t->folder, "/dev/shm/shoal-test-folder-%u", user);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(setresgid(user, user, user) == 0 && setresuid(user, user, user) == 0);
        t->memory = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
        t->semaphores = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
        t->queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
        int fd = open(t->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        EXPECT(fd >= 0 && close(fd) == 0);
        char inside[96];
        (void)snprintf(inside, sizeof inside, "%s/below", t->folder);
        EXPECT(mkdir(t->folder, 0700) == 0 && mkdir(inside, 0000) == 0);
        _exit(0);
    }
    int status = -1;
    EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
    EXPECT_EQ(status, 0);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static unsigned count_traces(const struct traces *t)
{
    struct shmid_ds memory;
    struct semid_ds semaphores;
    struct msqid_ds queue;
    unsigned count = exists(t->file) ? 1 : 0;
    count += exists(t->folder) ? 1 : 0;
    count += shmctl(t->memory, IPC_STAT, &memory) == 0 ? 1 : 0;
    count += semctl(t->semaphores, 0, IPC_STAT, &semaphores) == 0 ? 1 : 0;
    return count + (msgctl(t->queue, IPC_STAT, &queue) == 0 ? 1 : 0);
}

TEST(what_a_user_leaves_in_shared_memory_is_removed_and_that_of_others_stays)
{
    if (geteuid() != 0) {
        SKIP("only root can be another user");
    }
    left = mmap(NULL, 2 * sizeof *left, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(left != MAP_FAILED);
    leave_traces(USER, &left[0]);
    leave_traces(OTHER, &left[1]);
    EXPECT_EQ(count_traces(&left[0]), 5);
    script_users_clear(USER, 1);
    unsigned own = count_traces(&left[0]);
    unsigned other = count_traces(&left[1]);
    script_users_clear(USER, 2);
    EXPECT_EQ(own, 0);
    EXPECT_EQ(other, 5);
    EXPECT_EQ(count_traces(&left[1]), 0);
}
