/* SPDX-License-Identifier: Apache-2.0 */
#include "script/users.h"

#include "base/host/host.h"
#include "tst.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
