/* SPDX-License-Identifier: Apache-2.0 */
#include "exec_rig.h"

#include "base/host/host.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const ENV[] = {"PATH=/usr/bin:/bin", "SHOAL_METRICS_FD=3", NULL};

void rig_open(struct rig *rig, const char *first, ...)
{
    va_list args;
    va_start(args, first);
    const char *script = first;
    size_t count = 0;
    for (; script != NULL && count < 4; count++) {
        rig->argv[count][0] = "/bin/sh";
        rig->argv[count][1] = "-c";
        rig->argv[count][2] = script;
        rig->commands[count].argv = rig->argv[count];
        script = va_arg(args, const char *);
    }
    va_end(args);
    rig->spec = (struct exec_spec){.commands = rig->commands,
                                   .command_count = count,
                                   .env = ENV,
                                   .dir = tst_dir(),
                                   .keeper = KEEPER};
    /* No test relies on these: they end what would hang. */
    rig->spec.limits.run_us = UINT64_C(30000000) * tst_slower();
}

static bool take(void *context, enum exec_channel channel, unsigned flags, const char *text,
                 size_t size)
{
    struct rig *rig = context;
    EXPECT_EQ(strlen(text), size);
    const size_t left = sizeof rig->said - rig->used;
    const int n = snprintf(rig->said + rig->used, left, "%d%s%s%s:%s\n", (int)channel + 1,
                           (flags & EXEC_LINE_CUT) != 0 ? "c" : "",
                           (flags & EXEC_LINE_REDRAW) != 0 ? "r" : "",
                           (flags & EXEC_LINE_LAST) != 0 ? "l" : "", text);
    if (n > 0 && (size_t)n < left) {
        rig->used += (size_t)n;
    }
    if (rig->trigger != NULL && strcmp(text, rig->trigger) == 0) {
        rig->at_trigger(rig);
    }
    return rig->refuse == NULL || strstr(text, rig->refuse) == NULL;
}

void rig_run(struct rig *rig)
{
    const struct exec_hooks hooks = {.context = rig, .line = take};
    EXPECT_EQ(exec_open(&rig->process, &rig->spec, &hooks), SH_OK);
    exec_run(rig->process, &rig->result);
    exec_close(rig->process);
}

long rig_number(const struct rig *rig, const char *line)
{
    const char *at = strstr(rig->said, line);
    if (at == NULL) {
        tst_fail(__FILE__, __LINE__, "no %s in: %s", line, rig->said);
    }
    return strtol(at + strlen(line), NULL, 10);
}

bool rig_alive(long pid)
{
    char path[64];
    char text[256] = "";
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    const ssize_t got = read(fd, text, sizeof text - 1);
    (void)close(fd);
    const char *state = got > 0 ? strrchr(text, ')') : NULL;
    return state != NULL && strncmp(state, ") Z", 3) != 0;
}

bool rig_gone(long pid, uint64_t limit_us)
{
    const int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (fd < 0) {
        return true;
    }
    struct pollfd p = {.fd = fd, .events = POLLIN};
    const int ready = poll(&p, 1, (int)(limit_us / 1000u));
    (void)close(fd);
    return ready == 1;
}
