/* SPDX-License-Identifier: Apache-2.0
 *
 *   start -> RUNNING -- the command ends, the agent says KILL or goes away --> SWEEPING
 *         -> (nothing is left: ECHILD) -> DONE
 *
 * While SWEEPING everything that can be found is killed again and again, because what was being
 * forked during a reading of /proc is missed by it; children of the dead become children of the
 * keeper, so each pass finds what the one before could not see. Where that is not
 * enough everything is stopped first, as often as there is somebody who moves: who is killed makes
 * room for the fork of another, who stands still does not. */
#include "exec/keeper.h"

#include "base/host/host.h"
#include "exec/child.h"
#include "exec/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SWEEP_MIN_MS 5
#define HALTS_MAX    100 /* readings in a row: a bound, not an expectation */
#define SWEEP_MAX_MS 500 /* who is left by then waits for a device, and no signal reaches it */

struct keeper {
    struct exec_order order;
    void *order_lists; /* what it points into, for free() */
    struct exec_tree tree;
    pid_t command; /* also its group; 0: it has not been forked, or was reaped */
    pid_t group;
    int signals; /* signalfd: SIGCHLD */
    int report;  /* what exec_child could not do; -1: told */
    int status;  /* of the command */
    int sweep_ms;
    bool sweeping;
    bool alone; /* the agent has gone */
};

bool exec_keeper_called(int argc, char *const *argv)
{
    return argc == 1 && strcmp(argv[0], EXEC_KEEPER_NAME) == 0;
}

static void tell(struct keeper *k, const struct exec_event *event)
{
    if (!k->alone && send(EXEC_FD_CONTROL, event, sizeof *event, MSG_NOSIGNAL) < 0) {
        k->alone = true;
    }
}

/* The group at once, which no fork escapes; then whoever left it. */
static void signal_all(struct keeper *k, int number)
{
    if (k->group > 0) {
        SH_MAY_FAIL(kill(-k->group, number) == 0); /* it may have ended */
    }
    if (exec_tree_read(&k->tree, getpid()) != SH_OK) {
        return;
    }
    for (size_t i = 0; i < k->tree.count; i++) {
        SH_MAY_FAIL(kill(k->tree.at[i].pid, number) == 0); /* it may have ended */
    }
}

/* Whether somebody moves, or did when it was looked. */
static bool anyone_moves(const struct exec_tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        if (strchr("TtZXD", tree->at[i].state) == NULL) {
            return true;
        }
    }
    return false;
}

static void halt(struct keeper *k)
{
    for (int i = 0; i < HALTS_MAX; i++) {
        signal_all(k, SIGSTOP);
        if (!anyone_moves(&k->tree)) {
            return;
        }
    }
}

/* The first pass kills the group at once, and with the first process of a namespace all others.
 * Only where somebody is still about afterwards it takes stopping. */
static void sweep(struct keeper *k)
{
    k->sweeping = true;
    signal_all(k, SIGKILL);
    if (exec_tree_read(&k->tree, getpid()) == SH_OK && anyone_moves(&k->tree)) {
        halt(k);
        signal_all(k, SIGKILL);
    }
}

/* bwrap and the first process of its namespace would take the command with them without grace. */
static void terminate(struct keeper *k)
{
    if (k->group <= 0) {
        return;
    }
    if (!k->order.wrapped) {
        SH_MAY_FAIL(kill(-k->group, SIGTERM) == 0); /* it may have ended */
        return;
    }
    if (exec_tree_read(&k->tree, getpid()) != SH_OK) {
        return;
    }
    for (size_t i = 0; i < k->tree.count; i++) {
        if (k->tree.at[i].pid != k->command && k->tree.at[i].group == k->group) {
            /* The first of a namespace ignores what it does not handle. */
            SH_MAY_FAIL(kill(k->tree.at[i].pid, SIGTERM) == 0);
        }
    }
}

static void obey(struct keeper *k)
{
    uint8_t op = 0;
    const ssize_t got = recv(EXEC_FD_CONTROL, &op, sizeof op, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        k->alone = true;
        sweep(k);
        return;
    }
    switch (op) {
    case EXEC_OP_TERM:
        terminate(k);
        break;
    case EXEC_OP_KILL:
        sweep(k);
        break;
    case EXEC_OP_HALT:
        halt(k);
        break;
    case EXEC_OP_CONT:
        signal_all(k, SIGCONT);
        break;
    default:
        SH_UNREACHABLE();
    }
}

/* True when nothing is left. */
static bool reap(struct keeper *k)
{
    for (;;) {
        int status;
        const pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == 0) {
            return false;
        }
        if (pid < 0) {
            SH_CHECK(errno == ECHILD || errno == EINTR);
            if (errno == ECHILD) {
                return true;
            }
            continue;
        }
        if (pid == k->command) {
            k->command = 0;
            k->status = status;
            sweep(k);
        }
    }
}

/* The report pipe is at its end once the command has started, and before that has its trouble. */
static void hear(struct keeper *k)
{
    struct exec_trouble trouble;
    const ssize_t got = read(k->report, &trouble, sizeof trouble);
    if (got < 0 && errno == EINTR) {
        return;
    }
    struct exec_event event = {.kind = EXEC_EVENT_STARTED, .pid = k->group};
    if (got == (ssize_t)sizeof trouble) {
        event.kind = EXEC_EVENT_FAILED;
        event.stage = trouble.stage;
        event.error = trouble.error;
    }
    tell(k, &event);
    (void)close(k->report);
    k->report = -1;
}

static void finish(struct keeper *k)
{
    struct rusage used;
    SH_CHECK(getrusage(RUSAGE_CHILDREN, &used) == 0);
    const struct exec_event event = {
        .kind = EXEC_EVENT_DONE,
        .status = k->status,
        .cpu_us = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000u +
                  (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec),
        .rss_bytes = (uint64_t)used.ru_maxrss * 1024u,
    };
    tell(k, &event);
}

static void keep(struct keeper *k)
{
    k->sweep_ms = SWEEP_MIN_MS;
    for (;;) {
        struct pollfd fds[] = {{.fd = k->alone ? -1 : EXEC_FD_CONTROL, .events = POLLIN},
                               {.fd = k->signals, .events = POLLIN},
                               {.fd = k->report, .events = POLLIN}};
        const int ready = poll(fds, SH_COUNT(fds), k->sweeping ? k->sweep_ms : -1);
        SH_CHECK(ready >= 0 || errno == EINTR);
        if (ready > 0 && fds[2].revents != 0) {
            hear(k);
        }
        if (ready > 0 && fds[1].revents != 0) {
            struct signalfd_siginfo info;
            SH_MAY_FAIL(read(k->signals, &info, sizeof info) > 0); /* reap asks wait itself */
        }
        if (reap(k)) {
            if (k->report >= 0) {
                hear(k);
            }
            finish(k);
            return;
        }
        if (ready > 0 && fds[0].revents != 0) {
            obey(k);
        } else if (ready == 0 && k->sweeping) {
            sweep(k);
            k->sweep_ms = k->sweep_ms * 2 < SWEEP_MAX_MS ? k->sweep_ms * 2 : SWEEP_MAX_MS;
        }
    }
}

static bool take_order(struct keeper *k)
{
    struct stat about;
    if (fstat(EXEC_FD_ORDER, &about) != 0 || about.st_size <= 0 ||
        (uint64_t)about.st_size > EXEC_ORDER_BYTES_MAX) {
        return false;
    }
    const size_t size = (size_t)about.st_size;
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, EXEC_FD_ORDER, 0);
    /* It stays mapped as long as the keeper lives. */
    return bytes != MAP_FAILED &&
           exec_order_decode(&k->order, bytes, size, &k->order_lists) == SH_OK;
}

static void cloexec(int fd)
{
    SH_CHECK(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
}

static bool prepare(struct keeper *k)
{
    sigset_t mask;
    if (close_range(EXEC_FD_END, ~0u, 0) != 0 || !take_order(k)) {
        return false;
    }
    cloexec(EXEC_FD_CONTROL);
    cloexec(EXEC_FD_ORDER);
    if (!k->order.wrapped) {
        cloexec(EXEC_FD_STATUS);
        cloexec(EXEC_FD_ARGS);
    }
    SH_CHECK(sigemptyset(&mask) == 0);
    SH_CHECK(sigaddset(&mask, SIGCHLD) == 0);
    SH_CHECK(sigprocmask(SIG_SETMASK, &mask, NULL) == 0);
    SH_CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    k->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return k->signals >= 0 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
}

static bool launch(struct keeper *k)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    const pid_t pid = fork();
    if (pid == 0) {
        exec_child(&k->order, ends[1]);
    }
    const int kept = errno;
    (void)close(ends[1]);
    k->report = ends[0];
    k->command = pid > 0 ? pid : 0;
    k->group = k->command;
    errno = kept;
    return pid > 0;
}

int exec_keeper_main(void)
{
    struct keeper k = {.report = -1};
    sh_thread_name("keeper");
    if (!prepare(&k) || !launch(&k)) {
        const struct exec_event event = {
            .kind = EXEC_EVENT_FAILED, .stage = EXEC_STAGE_FORK, .error = errno};
        tell(&k, &event);
        free(k.order_lists);
        return 1;
    }
    keep(&k);
    exec_tree_close(&k.tree);
    free(k.order_lists);
    return 0;
}
