/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/child.h"

#include "exec/confine.h"
#include "exec/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#define OPEN_FILES 4096u
#define OOM_SCORE  "500" /* where the kernel has to choose, the command goes before the agent */

_Noreturn static void fail(int report, enum exec_stage stage)
{
    const struct exec_trouble trouble = {.stage = stage, .error = errno};
    /* A pipe has room for this; without it the keeper sees a child that ended. */
    SH_MAY_FAIL(write(report, &trouble, sizeof trouble) == (ssize_t)sizeof trouble);
    _exit(127);
}

static bool write_text(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    const bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    const int kept = errno;
    (void)close(fd);
    errno = kept;
    return done;
}

/* Never above the hard limit, which others have set for good reasons. */
static bool limit(__rlimit_resource_t what, uint64_t most)
{
    struct rlimit now;
    if (getrlimit(what, &now) != 0) {
        return false;
    }
    if (now.rlim_max != RLIM_INFINITY && most > now.rlim_max) {
        most = now.rlim_max;
    }
    const struct rlimit wanted = {.rlim_cur = most, .rlim_max = most};
    return setrlimit(what, &wanted) == 0;
}

/* The kernel counts by user, over everything that a user runs. Exact is it only for a user of this
 * command's own; for one that others use too it is a bound that a bomb meets before the machine
 * does, so that those who hunt it down win. It does not bind root. */
static bool limit_tasks(const struct exec_order *order)
{
    if (order->tasks == 0) {
        return true;
    }
    if (order->uid != 0) {
        return limit(RLIMIT_NPROC, order->tasks);
    }
    const uint64_t now = exec_tree_of_user(geteuid());
    return now == 0 || limit(RLIMIT_NPROC, now + order->tasks + EXEC_TASKS_SLACK);
}

static bool set_limits(const struct exec_order *order)
{
    /* RLIMIT_AS is left alone: CUDA, the JVM and Go reserve address space that they never use. */
    return limit(RLIMIT_CORE, 0) &&
           limit(RLIMIT_NOFILE, order->open_files != 0 ? order->open_files : OPEN_FILES) &&
           (order->data_bytes == 0 || limit(RLIMIT_DATA, order->data_bytes)) &&
           (order->file_bytes == 0 || limit(RLIMIT_FSIZE, order->file_bytes)) && limit_tasks(order);
}

static bool become(const struct exec_order *order)
{
    if (order->gid != 0 &&
        (setgroups(0, NULL) != 0 || setresgid(order->gid, order->gid, order->gid) != 0)) {
        return false;
    }
    return order->uid == 0 || setresuid(order->uid, order->uid, order->uid) == 0;
}

static void reset_signals(void)
{
    for (int number = 1; number < NSIG; number++) {
        /* KILL, STOP and those of the C library refuse. */
        SH_MAY_FAIL(signal(number, SIG_DFL) != SIG_ERR);
    }
    sigset_t none;
    SH_CHECK(sigemptyset(&none) == 0);
    SH_CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
}

void exec_child(const struct exec_order *order, int report)
{
    reset_signals();
    if (setsid() < 0) {
        fail(report, EXEC_STAGE_FORK);
    }
    if (order->procs[0] != 0 && !write_text(order->procs, "0")) {
        fail(report, EXEC_STAGE_CGROUP);
    }
    /* Neither is needed for the command to run: containers forbid the one, users the other. */
    SH_MAY_FAIL(write_text("/proc/self/oom_score_adj", OOM_SCORE));
    SH_MAY_FAIL(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + order->nice) == 0);
    if (!set_limits(order)) {
        fail(report, EXEC_STAGE_RLIMIT);
    }
    if (!become(order)) {
        fail(report, EXEC_STAGE_USER);
    }
    if (chdir(order->dir) != 0) {
        fail(report, EXEC_STAGE_DIR);
    }
    if (order->confined && exec_confine(order) != SH_OK) {
        fail(report, EXEC_STAGE_SANDBOX);
    }
    /* execvp looks argv[0] up in the PATH of the environment that it hands on. */
    environ = (char **)(uintptr_t)order->env;
    (void)execvp(order->argv[0], (char *const *)(uintptr_t)order->argv);
    fail(report, order->wrapped ? EXEC_STAGE_WRAPPER : EXEC_STAGE_EXEC);
}
