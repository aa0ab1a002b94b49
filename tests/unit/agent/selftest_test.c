/* SPDX-License-Identifier: Apache-2.0 */
#include "selftest.h"

#include "base/host/host.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/shoal-selftest-XXXXXX";
static char text[DIR_TEXT_BYTES];
static char why[SELFTEST_WHY_BYTES];
static struct dir *dir;

static void start(void)
{
    EXPECT(mkdtemp(path) != NULL);
    EXPECT_EQ(dir_open(path, &dir, text), SH_OK);
}

/* Nothing is there but what a directory begins with, and what the test put there. */
static void stop(const char *put)
{
    const char *const entries[] = {"lock", "state", "bulk", put};
    char at[DIR_PATH_MAX + 1];
    dir_close(dir);
    for (size_t i = 0; i < SH_COUNT(entries); i++) {
        (void)snprintf(at, sizeof at, "%s/%s", path, entries[i] != NULL ? entries[i] : "");
        EXPECT(entries[i] == NULL || remove(at) == 0);
    }
    EXPECT_EQ(rmdir(path), 0);
}

TEST(a_sound_machine_passes_and_leaves_nothing_behind)
{
    start();
    EXPECT_EQ(selftest_run(dir, sh_wall_us(), why), SH_OK);
    EXPECT_STR(why, "");
    stop(NULL);
}

TEST(a_disk_that_does_not_take_the_file_is_named)
{
    char at[DIR_PATH_MAX + 1];
    start();
    dir_entry(dir, "selftest", at); /* where the file is to be stands a folder */
    EXPECT_EQ(mkdir(at, 0700), 0);
    EXPECT(selftest_run(dir, sh_wall_us(), why) != SH_OK);
    EXPECT(strstr(why, "the disk: ") == why);
    stop("selftest");
}

TEST(a_clock_far_behind_the_cluster_is_named)
{
    start();
    EXPECT_EQ(selftest_run(dir, sh_wall_us() + SELFTEST_CLOCK_US / 2, why), SH_OK);
    EXPECT_EQ(selftest_run(dir, sh_wall_us() + 2 * SELFTEST_CLOCK_US, why), SH_ERR_INVALID);
    EXPECT(strstr(why, "s behind the cluster's") != NULL);
    stop(NULL);
}
