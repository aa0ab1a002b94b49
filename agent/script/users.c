/* SPDX-License-Identifier: Apache-2.0 */
#include "script/users.h"

#include "journal.h"

#include "base/host/host.h"
#include "spec/fileset.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_BYTES 512u
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

/* ---- what they leave ---- */

static bool is_theirs(uint32_t user, uint32_t first, uint32_t count)
{
    return user >= first && user - first < count;
}

static void clear_folder(const char *folder, uint32_t first, uint32_t count)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char path[PATH_BYTES];
        char why[PATH_BYTES];
        struct stat st;
        bool dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (dots || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !is_theirs(st.st_uid, first, count)) {
            continue;
        }
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (!spec_fileset_remove(path, why, sizeof why)) {
            journal_warn("%s of user %u cannot be removed: %s", path, (unsigned)st.st_uid, why);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir); /* was read only */
    }
}

/* Of a line of /proc/sysvipc: the id, and the user that made the object. */
static bool parse_line(char *line, int creator, int *id, uint32_t *user)
{
    char *rest = line;
    int field = 0;
    for (char *word = strtok_r(line, " \t\n", &rest); word != NULL;
         word = strtok_r(NULL, " \t\n", &rest), field++) {
        if (field == 1 && sscanf(word, "%d", id) != 1) {
            return false; /* the head of the table */
        }
        if (field == creator) {
            return sscanf(word, "%" SCNu32, user) == 1;
        }
    }
    return false;
}

static bool remove_memory(int id)
{
    return shmctl(id, IPC_RMID, NULL) == 0;
}

static bool remove_semaphores(int id)
{
    return semctl(id, 0, IPC_RMID) == 0;
}

static bool remove_queue(int id)
{
    return msgctl(id, IPC_RMID, NULL) == 0;
}

static void clear_ipc(uint32_t first, uint32_t count)
{
    static const struct {
        const char *table;
        int creator; /* column of cuid, from 0 */
        bool (*remove)(int id);
    } KINDS[] = {{"/proc/sysvipc/shm", 9, remove_memory},
                 {"/proc/sysvipc/sem", 6, remove_semaphores},
                 {"/proc/sysvipc/msg", 9, remove_queue}};
    for (size_t i = 0; i < SH_COUNT(KINDS); i++) {
        char line[LINE_BYTES];
        FILE *file = fopen(KINDS[i].table, "re"); /* absent where the kernel has none */
        while (file != NULL && fgets(line, sizeof line, file) != NULL) {
            int id = -1;
            uint32_t user = 0;
            if (parse_line(line, KINDS[i].creator, &id, &user) && is_theirs(user, first, count)) {
                SH_MAY_FAIL(KINDS[i].remove(id)); /* it may have gone meanwhile */
            }
        }
        if (file != NULL) {
            (void)fclose(file); /* was read only */
        }
    }
}

void script_users_clear(uint32_t first, uint32_t count)
{
    clear_folder("/dev/shm", first, count);
    clear_folder("/dev/mqueue", first, count);
    clear_ipc(first, count);
}
