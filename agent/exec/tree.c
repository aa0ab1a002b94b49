/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UNKNOWN, INSIDE, OUTSIDE, CLIMBED };

#define STAT_BYTES 1024u
/* Fields of /proc/PID/stat after the name, counted from 0 (proc(5) counts the state as 3). */
enum {
    STAT_STATE = 0,
    STAT_PARENT = 1,
    STAT_GROUP = 2,
    STAT_USER = 11,
    STAT_SYSTEM = 12,
    STAT_CHILDREN_USER = 13,
    STAT_CHILDREN_SYSTEM = 14,
    STAT_THREADS = 17,
    STAT_RSS = 21
};

static size_t read_proc(const char *pid, const char *file, char *out, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%s/%s", pid, file);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0; /* it has ended meanwhile */
    }
    const ssize_t got = read(fd, out, size - 1);
    (void)close(fd);
    const size_t used = got > 0 ? (size_t)got : 0;
    out[used] = 0;
    return used;
}

static bool parse_stat(const char *text, struct exec_task *out)
{
    const char *at = strrchr(text, ')'); /* the name before it may contain anything */
    if (at == NULL || at[1] != ' ') {
        return false;
    }
    at += 2;
    long pages = sysconf(_SC_PAGESIZE);
    for (int field = 0; *at != 0 && field <= STAT_RSS; field++) {
        const long long value = strtoll(at, NULL, 10);
        switch (field) {
        case STAT_STATE:
            out->state = *at;
            break;
        case STAT_PARENT:
            out->parent = (pid_t)value;
            break;
        case STAT_GROUP:
            out->group = (pid_t)value;
            break;
        case STAT_USER:
        case STAT_SYSTEM:
        case STAT_CHILDREN_USER:
        case STAT_CHILDREN_SYSTEM:
            out->cpu_ticks += value > 0 ? (uint64_t)value : 0;
            break;
        case STAT_THREADS:
            out->threads = (uint32_t)value;
            break;
        case STAT_RSS:
            out->rss_bytes = (uint64_t)value * (uint64_t)pages;
            return true;
        default:
            break;
        }
        at += strcspn(at, " ");
        at += *at == ' ' ? 1 : 0;
    }
    return false;
}

static enum sh_err add(struct exec_tree *tree, const struct exec_task *task)
{
    if (tree->count == tree->capacity) {
        const size_t wanted = tree->capacity == 0 ? 256 : tree->capacity * 2;
        struct exec_task *grown = realloc(tree->at, wanted * sizeof *grown);
        if (grown == NULL) {
            return SH_ERR_NO_MEMORY;
        }
        tree->at = grown;
        tree->capacity = wanted;
    }
    tree->at[tree->count++] = *task;
    return SH_OK;
}

static enum sh_err read_all(struct exec_tree *tree)
{
    DIR *proc = opendir("/proc");
    if (proc == NULL) {
        return SH_ERR_IO;
    }
    enum sh_err err = SH_OK;
    const struct dirent *entry;
    while (err == SH_OK && tree->count < EXEC_TREE_MAX && (entry = readdir(proc)) != NULL) {
        char text[STAT_BYTES];
        struct exec_task task = {.pid = (pid_t)strtol(entry->d_name, NULL, 10)};
        if (task.pid > 0 && read_proc(entry->d_name, "stat", text, sizeof text) > 0 &&
            parse_stat(text, &task)) {
            err = add(tree, &task);
        }
    }
    (void)closedir(proc);
    return err;
}

static int by_pid(const void *a, const void *b)
{
    const pid_t left = ((const struct exec_task *)a)->pid;
    const pid_t right = ((const struct exec_task *)b)->pid;
    return (left > right) - (left < right);
}

static struct exec_task *find(const struct exec_tree *tree, pid_t pid)
{
    const struct exec_task key = {.pid = pid};
    return tree->count == 0 ? NULL : bsearch(&key, tree->at, tree->count, sizeof *tree->at, by_pid);
}

/* Climbs from a task to the first ancestor of known mark, then marks the whole way alike. A
 * reading that is not atomic may contain a ring: CLIMBED ends it. */
static void mark(const struct exec_tree *tree, struct exec_task *task)
{
    struct exec_task *at = task;
    while (at != NULL && at->mark == UNKNOWN) {
        at->mark = CLIMBED;
        at = find(tree, at->parent);
    }
    const uint8_t verdict = at != NULL && at->mark == INSIDE ? INSIDE : OUTSIDE;
    for (at = task; at != NULL && at->mark == CLIMBED; at = find(tree, at->parent)) {
        at->mark = verdict;
    }
}

enum sh_err exec_tree_read(struct exec_tree *tree, pid_t root)
{
    tree->count = 0;
    enum sh_err err = read_all(tree);
    if (err != SH_OK) {
        tree->count = 0;
        return err;
    }
    if (tree->count > 0) {
        qsort(tree->at, tree->count, sizeof *tree->at, by_pid);
    }
    struct exec_task *top = find(tree, root);
    if (top != NULL) {
        top->mark = INSIDE;
    }
    for (size_t i = 0; i < tree->count; i++) {
        mark(tree, &tree->at[i]);
    }
    size_t kept = 0;
    for (size_t i = 0; i < tree->count; i++) {
        if (tree->at[i].mark == INSIDE && tree->at[i].pid != root) {
            tree->at[kept++] = tree->at[i];
        }
    }
    tree->count = kept;
    return SH_OK;
}

uint64_t exec_tree_rss(const struct exec_tree *tree)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < tree->count; i++) {
        sum += tree->at[i].rss_bytes;
    }
    return sum;
}

uint64_t exec_tree_pss(const struct exec_tree *tree)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < tree->count; i++) {
        char pid[16];
        char text[2048];
        (void)snprintf(pid, sizeof pid, "%ld", (long)tree->at[i].pid);
        const char *line = NULL;
        if (read_proc(pid, "smaps_rollup", text, sizeof text) > 0) {
            line = strstr(text, "\nPss:");
        }
        sum += line != NULL ? strtoull(line + 5, NULL, 10) * 1024u : tree->at[i].rss_bytes;
    }
    return sum;
}

uint64_t exec_tree_ticks(const struct exec_tree *tree)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < tree->count; i++) {
        sum += tree->at[i].cpu_ticks;
    }
    return sum;
}

uint32_t exec_tree_threads(const struct exec_tree *tree)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < tree->count; i++) {
        sum += tree->at[i].threads;
    }
    return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

uint32_t exec_tree_of_user(uid_t user)
{
    uint32_t sum = 0;
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        char text[STAT_BYTES];
        struct stat about;
        struct exec_task task = {0};
        if (strtol(entry->d_name, NULL, 10) > 0 &&
            fstatat(dirfd(proc), entry->d_name, &about, 0) == 0 && about.st_uid == user &&
            read_proc(entry->d_name, "stat", text, sizeof text) > 0 && parse_stat(text, &task)) {
            sum += task.threads;
        }
    }
    if (proc != NULL) {
        (void)closedir(proc);
    }
    return sum;
}

void exec_tree_close(struct exec_tree *tree)
{
    free(tree->at);
    *tree = (struct exec_tree){0};
}
