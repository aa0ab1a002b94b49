/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/cgroup.h"

#include "base/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BYTES 64u /* of a file or a leaf, with its slash */
#define FILE_BYTES 4096u

static atomic_uint next_leaf;

static bool join(char *out, const char *folder, const char *name)
{
    const int size = snprintf(out, EXEC_CGROUP_PATH_MAX + 1, "%s/%s", folder, name);
    return size > 0 && (size_t)size <= EXEC_CGROUP_PATH_MAX;
}

static bool put(const char *folder, const char *name, const char *text)
{
    char path[EXEC_CGROUP_PATH_MAX + 1];
    if (!join(path, folder, name)) {
        return false;
    }
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    const bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    (void)close(fd);
    return done;
}

static bool get(const char *folder, const char *name, char *out)
{
    char path[EXEC_CGROUP_PATH_MAX + 1];
    out[0] = 0;
    if (!join(path, folder, name)) {
        return false;
    }
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    const ssize_t got = read(fd, out, FILE_BYTES - 1);
    (void)close(fd);
    out[got > 0 ? got : 0] = 0;
    return got >= 0;
}

static bool has(const char *folder, const char *name)
{
    char path[EXEC_CGROUP_PATH_MAX + 1];
    return join(path, folder, name) && access(path, W_OK) == 0;
}

/* Where cgroup2 is mounted (field 5 of proc(5) mountinfo; the type follows " - "), and our place in
 * it. Escapes of odd characters in paths are not undone: such a mount is not found. */
static bool find_base(char *out)
{
    char line[FILE_BYTES];
    char mount[EXEC_CGROUP_PATH_MAX + 1] = "";
    char own[EXEC_CGROUP_PATH_MAX + 1] = "";
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file != NULL && mount[0] == 0 && fgets(line, sizeof line, file) != NULL) {
        char place[EXEC_CGROUP_PATH_MAX + 1];
        if (strstr(line, " - cgroup2 ") != NULL &&
            sscanf(line, "%*s %*s %*s %*s %1023s", place) == 1) {
            memcpy(mount, place, sizeof mount);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    file = fopen("/proc/self/cgroup", "re");
    while (file != NULL && own[0] == 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "0::/", 4) == 0) {
            line[strcspn(line, "\n")] = 0;
            const size_t size = strlen(line + 4);
            memcpy(own, line + 4, size < sizeof own ? size + 1 : 0); /* too long: not found */
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    if (mount[0] == 0) {
        return false;
    }
    if (own[0] == 0) {
        memcpy(out, mount, sizeof mount);
        return true;
    }
    return join(out, mount, own);
}

static enum sh_err make_leaf(const char *base, struct exec_cgroup_leaf *leaf)
{
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "shoal-%ld-%u", (long)getpid(),
                   atomic_fetch_add(&next_leaf, 1));
    if (!join(leaf->path, base, name)) {
        leaf->path[0] = 0;
        return SH_ERR_LIMIT;
    }
    /* One of the same name is of a process with our number that has died. */
    if (mkdir(leaf->path, 0755) != 0 && (errno != EEXIST || !exec_cgroup_kill(leaf))) {
        const int number = errno;
        leaf->path[0] = 0;
        return number == EACCES || number == EPERM || number == EROFS ? SH_ERR_DENIED : SH_ERR_IO;
    }
    return SH_OK;
}

enum sh_err exec_cgroup_probe(struct exec_cgroup *out, const char *base, char *why, size_t size)
{
    struct exec_cgroup_leaf leaf;
    *out = (struct exec_cgroup){0};
    if (base != NULL) {
        (void)snprintf(out->base, sizeof out->base, "%s", base);
    } else if (!find_base(out->base)) {
        (void)snprintf(why, size, "cgroup version 2 is not mounted");
        return SH_ERR_UNSUPPORTED;
    }
    /* Works where controllers are delegated to a cgroup without processes of its own. */
    SH_MAY_FAIL(put(out->base, "cgroup.subtree_control", "+memory"));
    SH_MAY_FAIL(put(out->base, "cgroup.subtree_control", "+pids"));
    const enum sh_err err = make_leaf(out->base, &leaf);
    if (err != SH_OK) {
        (void)snprintf(why, size, "no cgroup can be made in %.200s: %s", out->base,
                       sh_err_text(err));
        return err;
    }
    out->kill = has(leaf.path, "cgroup.kill");
    out->freeze = has(leaf.path, "cgroup.freeze");
    out->memory = has(leaf.path, "memory.max");
    out->pids = has(leaf.path, "pids.max");
    exec_cgroup_close(&leaf);
    if (!out->kill || !out->freeze) {
        (void)snprintf(why, size, "cgroups in %.200s cannot be frozen and killed", out->base);
        return SH_ERR_UNSUPPORTED;
    }
    return SH_OK;
}

enum sh_err exec_cgroup_open(const struct exec_cgroup *cgroup, struct exec_cgroup_leaf *leaf,
                             uint64_t memory_bytes, uint32_t tasks)
{
    char text[32];
    enum sh_err err = make_leaf(cgroup->base, leaf);
    bool set = true;
    if (err == SH_OK && cgroup->memory && memory_bytes > 0) {
        (void)snprintf(text, sizeof text, "%" PRIu64, memory_bytes);
        set = put(leaf->path, "memory.max", text);
        /* Not every kernel has them; the limit holds without. */
        SH_MAY_FAIL(put(leaf->path, "memory.swap.max", "0"));
        SH_MAY_FAIL(put(leaf->path, "memory.oom.group", "1"));
    }
    if (err == SH_OK && cgroup->pids && tasks > 0) {
        (void)snprintf(text, sizeof text, "%" PRIu32, tasks);
        set = put(leaf->path, "pids.max", text) && set;
    }
    if (err == SH_OK && !set) {
        exec_cgroup_close(leaf);
        err = SH_ERR_IO;
    }
    return err;
}

void exec_cgroup_procs(const struct exec_cgroup_leaf *leaf, char *out)
{
    out[0] = 0;
    if (leaf->path[0] != 0) {
        SH_CHECK(join(out, leaf->path, "cgroup.procs"));
    }
}

bool exec_cgroup_kill(const struct exec_cgroup_leaf *leaf)
{
    return leaf->path[0] != 0 && put(leaf->path, "cgroup.kill", "1");
}

bool exec_cgroup_freeze(const struct exec_cgroup_leaf *leaf, bool frozen)
{
    return leaf->path[0] != 0 && put(leaf->path, "cgroup.freeze", frozen ? "1" : "0");
}

uint64_t exec_cgroup_peak(const struct exec_cgroup_leaf *leaf)
{
    char text[FILE_BYTES];
    return leaf->path[0] != 0 && get(leaf->path, "memory.peak", text) ? strtoull(text, NULL, 10)
                                                                      : 0;
}

uint64_t exec_cgroup_oom_kills(const struct exec_cgroup_leaf *leaf)
{
    char text[FILE_BYTES];
    if (leaf->path[0] == 0 || !get(leaf->path, "memory.events", text)) {
        return 0;
    }
    const char *line = strstr(text, "oom_kill ");
    return line != NULL ? strtoull(line + strlen("oom_kill "), NULL, 10) : 0;
}

void exec_cgroup_close(struct exec_cgroup_leaf *leaf)
{
    if (leaf->path[0] != 0) {
        SH_MAY_FAIL(rmdir(leaf->path) == 0); /* what the kernel cannot end keeps it */
    }
    leaf->path[0] = 0;
}
