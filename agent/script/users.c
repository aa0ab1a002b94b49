/* SPDX-License-Identifier: Apache-2.0 */
#include "script/users.h"

#include "base/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 512u

/* ---- whose they are ---- */

/* Left to nobody by systemd's UIDS-GIDS; below 65536 what a container usually maps. From 100000 on
 * useradd gives to the containers of people. */
static uint32_t range_at(uint32_t i)
{
    static const uint32_t LOW = 8;
    return i < LOW ? SCRIPT_USERS_FIRST + i * SCRIPT_USERS : 65536 + (i - LOW) * SCRIPT_USERS;
}

/* Nobody else may open it: who can lock it can keep every agent of the machine from starting. */
static enum sh_err open_locks(const char *folder, int *out, char *why, size_t why_size)
{
    char path[PATH_BYTES];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", folder, SCRIPT_USERS_FILE);
    SH_MAY_FAIL(mkdir(folder, 01777) == 0); /* containers may lack it, others have it */
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &st) != 0) {
        (void)snprintf(why, why_size, "%s: %s", path, strerror(errno));
        enum sh_err err = sh_err_from_errno(errno);
        if (fd >= 0) {
            (void)close(fd); /* nothing was written */
        }
        return err;
    }
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 0077) != 0) {
        (void)snprintf(why, why_size, "%s: must be a file of this user with mode 0600", path);
        (void)close(fd); /* nothing was written */
        return SH_ERR_DENIED;
    }
    *out = fd;
    return SH_OK;
}

/* The byte of each user, so that ranges that overlap exclude each other too. The lock is of the
 * open file, not of the process: two agents of one process exclude each other. */
static bool lock_users(int fd, uint32_t first)
{
    struct flock range = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = first, .l_len = SCRIPT_USERS};
    return fcntl(fd, F_OFD_SETLK, &range) == 0;
}

enum sh_err script_users_take(struct script_users *out, const char *locks, uint32_t first,
                              bool only, char *why, size_t why_size)
{
    int fd = -1;
    *out = (struct script_users){.lock = -1};
    enum sh_err err = open_locks(locks, &fd, why, why_size);
    if (err != SH_OK) {
        return err;
    }
    uint32_t at = first;
    bool taken = lock_users(fd, at);
    bool held = errno == EAGAIN || errno == EACCES;
    for (uint32_t i = 0; !taken && held && !only && i < SCRIPT_USERS_RANGES; i++) {
        at = range_at(i);
        taken = lock_users(fd, at);
        held = errno == EAGAIN || errno == EACCES;
    }
    if (taken) {
        *out = (struct script_users){.first = at, .lock = fd};
        return SH_OK;
    }
    int error = errno;
    (void)close(fd); /* nothing was written */
    if (!held) {
        (void)snprintf(why, why_size, "%s/%s: %s", locks, SCRIPT_USERS_FILE, strerror(error));
        return sh_err_from_errno(error);
    }
    (void)snprintf(why, why_size,
                   "--run-as: %" PRIu32
                   ": another agent of this machine runs units as users of %" PRIu32 " to %" PRIu32
                   "; must be a range of %u that no other agent has%s",
                   first, first, first + SCRIPT_USERS - 1, SCRIPT_USERS,
                   only ? "" : ", and the ranges of the default are all taken");
    return SH_ERR_IN_USE;
}

void script_users_give(struct script_users *users)
{
    if (users->first > 0 && users->lock >= 0) {
        (void)close(users->lock); /* nothing was written */
    }
    *users = (struct script_users){.lock = -1};
}
