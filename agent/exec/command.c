/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/command.h"

#include "base/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Ends for the keeper lie above the numbers that they get there, so that none is overwritten. */
#define ENDS_ABOVE 32

struct ends { /* for the keeper; -1: none */
    int null;
    int pipes[EXEC_PIPES];
    int control;
    int order;
    int args;
};

static void shut(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

static void shut_ends(struct ends *ends)
{
    shut(&ends->null);
    shut(&ends->control);
    shut(&ends->order);
    shut(&ends->args);
    for (int i = 0; i < EXEC_PIPES; i++) {
        shut(&ends->pipes[i]);
    }
}

/* *fd moves up; -1 stays. */
static bool lift(int *fd)
{
    if (*fd < 0) {
        return false;
    }
    const int up = fcntl(*fd, F_DUPFD_CLOEXEC, ENDS_ABOVE);
    shut(fd);
    *fd = up;
    return up >= 0;
}

static enum sh_err open_pipes(struct exec_link *link, struct ends *ends)
{
    for (int i = 0; i < EXEC_PIPES; i++) {
        int both[2];
        if (pipe2(both, O_CLOEXEC) != 0) {
            return sh_err_from_errno(errno);
        }
        link->pipes[i] = both[0];
        ends->pipes[i] = both[1];
        if (!lift(&ends->pipes[i]) || fcntl(both[0], F_SETFL, O_NONBLOCK) != 0) {
            return sh_err_from_errno(errno);
        }
    }
    int both[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both) != 0) {
        return sh_err_from_errno(errno);
    }
    link->control = both[0];
    ends->control = both[1];
    ends->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return lift(&ends->control) && lift(&ends->null) ? SH_OK : sh_err_from_errno(errno);
}

/* Bytes as a file that can be read from its start. */
static enum sh_err memory_file(int *out, const void *bytes, size_t size)
{
    *out = memfd_create("shoal", MFD_CLOEXEC);
    if (!lift(out)) {
        return sh_err_from_errno(errno);
    }
    const bool whole = pwrite(*out, bytes, size, 0) == (ssize_t)size;
    return whole ? SH_OK : SH_ERR_IO;
}

static enum sh_err write_order(struct ends *ends, const struct exec_order *order,
                               const char *options, size_t options_size)
{
    void *bytes = malloc(EXEC_ORDER_BYTES_MAX);
    if (bytes == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    size_t used;
    enum sh_err err = exec_order_encode(order, bytes, EXEC_ORDER_BYTES_MAX, &used);
    if (err == SH_OK) {
        err = memory_file(&ends->order, bytes, used);
    }
    if (err == SH_OK && options != NULL) {
        err = memory_file(&ends->args, options, options_size);
    }
    free(bytes);
    return err;
}

/* shoal-keeper beside this program where it is installed, for it starts faster; else this program,
 * which can do the same. out has PATH_MAX bytes. */
static const char *keeper_program(char *out)
{
    static const char self[] = "/proc/self/exe";
    const ssize_t used = readlink(self, out, PATH_MAX - sizeof EXEC_KEEPER_NAME - 1);
    if (used <= 0) {
        return self;
    }
    out[used] = 0;
    char *slash = strrchr(out, '/');
    if (slash == NULL) {
        return self;
    }
    memcpy(slash + 1, EXEC_KEEPER_NAME, sizeof EXEC_KEEPER_NAME);
    return access(out, X_OK) == 0 ? out : self;
}

static enum sh_err give(posix_spawn_file_actions_t *actions, int fd, int as)
{
    if (fd < 0) {
        return SH_OK;
    }
    return posix_spawn_file_actions_adddup2(actions, fd, as) == 0 ? SH_OK : SH_ERR_NO_MEMORY;
}

static enum sh_err give_all(posix_spawn_file_actions_t *actions, const struct ends *ends)
{
    const int pairs[][2] = {{ends->null, 0},
                            {ends->pipes[EXEC_PIPE_STDOUT], 1},
                            {ends->pipes[EXEC_PIPE_STDERR], 2},
                            {ends->pipes[EXEC_PIPE_METRICS], EXEC_FD_METRICS},
                            {ends->pipes[EXEC_PIPE_STATUS], EXEC_FD_STATUS},
                            {ends->control, EXEC_FD_CONTROL},
                            {ends->order, EXEC_FD_ORDER},
                            /* Something lies at every number, whoever reads it. */
                            {ends->args >= 0 ? ends->args : ends->null, EXEC_FD_ARGS}};
    enum sh_err err = SH_OK;
    for (size_t i = 0; err == SH_OK && i < SH_COUNT(pairs); i++) {
        err = give(actions, pairs[i][0], pairs[i][1]);
    }
    return err;
}

static enum sh_err spawn(struct exec_link *link, const char *program, const struct ends *ends)
{
    static char name[] = EXEC_KEEPER_NAME;
    /* BLAS makes a thread a core while it is loaded; a keeper wants none. */
    static char threads[] = "OPENBLAS_NUM_THREADS=1";
    char *argv[] = {name, NULL};
    char *env[] = {threads, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = give_all(&actions, ends);
    SH_CHECK(posix_spawnattr_init(&attributes) == 0);
    SH_CHECK(sigemptyset(&none) == 0);
    SH_CHECK(posix_spawnattr_setsigmask(&attributes, &none) == 0);
    SH_CHECK(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK) ==
             0);
    if (err == SH_OK &&
        posix_spawn(&link->keeper, program, &actions, &attributes, argv, env) != 0) {
        link->keeper = 0;
        err = SH_ERR_IO;
    }
    SH_CHECK(posix_spawnattr_destroy(&attributes) == 0);
    SH_CHECK(posix_spawn_file_actions_destroy(&actions) == 0);
    return err;
}

enum sh_err exec_link_open(struct exec_link *link, const char *keeper,
                           const struct exec_order *order, const char *options, size_t options_size)
{
    char program[PATH_MAX];
    struct ends ends = {-1, {-1, -1, -1, -1}, -1, -1, -1};
    *link = (struct exec_link){.control = -1, .pipes = {-1, -1, -1, -1}};
    SH_CHECK(order->wrapped == (options != NULL));
    enum sh_err err = open_pipes(link, &ends);
    if (err == SH_OK) {
        err = write_order(&ends, order, options, options_size);
    }
    if (err == SH_OK) {
        err = spawn(link, keeper != NULL ? keeper : keeper_program(program), &ends);
    }
    shut_ends(&ends);
    if (err != SH_OK) {
        exec_link_close(link, false);
    }
    return err;
}

void exec_link_say(struct exec_link *link, enum exec_op op)
{
    const uint8_t byte = (uint8_t)op;
    if (link->control >= 0) {
        /* A keeper that has gone shows when it is heard; one has room for all that is ever said. */
        SH_MAY_FAIL(send(link->control, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1);
    }
}

bool exec_link_hear(struct exec_link *link, struct exec_event *event)
{
    if (link->control < 0) {
        return false;
    }
    const ssize_t got = recv(link->control, event, sizeof *event, MSG_DONTWAIT);
    if (got == (ssize_t)sizeof *event) {
        return true;
    }
    if (got >= 0 || (errno != EAGAIN && errno != EINTR)) {
        shut(&link->control);
    }
    return false;
}

bool exec_link_over(const struct exec_link *link)
{
    for (int i = 0; i < EXEC_PIPES; i++) {
        if (link->pipes[i] >= 0) {
            return false;
        }
    }
    return link->control < 0;
}

void exec_link_close(struct exec_link *link, bool abandoned)
{
    shut(&link->control); /* a keeper that is still there kills what it has */
    for (int i = 0; i < EXEC_PIPES; i++) {
        shut(&link->pipes[i]);
    }
    if (link->keeper > 0 && !abandoned) {
        while (waitpid(link->keeper, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    link->keeper = 0;
}
