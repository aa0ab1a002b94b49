/* SPDX-License-Identifier: Apache-2.0
 *
 * One run of shell commands in the directory of the test, and what it said. */
#ifndef EXEC_RIG_H
#define EXEC_RIG_H

#include "exec/process.h"
#include "exec/sandbox.h"
#include "tst.h"

#include <pthread.h>

#define RIG_TEXT_BYTES 262144u

struct rig {
    struct exec_spec spec;
    struct exec_command commands[4];
    const char *argv[4][5];
    struct exec_process *process;
    struct exec_result result;
    /* "1:text\n" of stdout, "2:" of stderr, "3:" of metrics; flags as "c" "r" "l" before the ":".
     */
    char said[RIG_TEXT_BYTES];
    size_t used;
    const char *refuse;  /* line that the hook says no to */
    const char *trigger; /* line at which `at_trigger` is called */
    void (*at_trigger)(struct rig *rig);
};

/* The scripts run with /bin/sh -c; the last is followed by NULL. */
void rig_open(struct rig *rig, const char *first, ...) __attribute__((sentinel));
/* Runs it on this thread and closes it. */
void rig_run(struct rig *rig);
/* Text after `line` ("1:pid ") up to the end of its line as a number; fails the test without. */
long rig_number(const struct rig *rig, const char *line);
/* Whether a process with this number exists and is no zombie. */
bool rig_alive(long pid);
/* Waits until it is so; false after `limit_us`. */
bool rig_gone(long pid, uint64_t limit_us);

#endif
