/* SPDX-License-Identifier: Apache-2.0
 *
 * The keeper: the process between an agent and one command. It is a fresh image of
 * shoal-keeper or of the agent's own program (a fork of the agent would pin a copy of its memory
 * for hours), adopts orphans (PR_SET_CHILD_SUBREAPER), passes on what the agent says, and ends when
 * the command and all that came of it have ended. ECHILD of wait is the proof of that. When the
 * agent's end of the socket closes, it kills everything.
 *
 * The rest of this header is between keeper.c and command.c. */
#ifndef EXEC_KEEPER_H
#define EXEC_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whether main() was started as a keeper, and what it then returns. */
bool exec_keeper_called(int argc, char *const *argv);
int exec_keeper_main(void);

#define EXEC_KEEPER_NAME "shoal-keeper" /* argv[0] */

/* File descriptors of a keeper besides 0 to 2. 3 is the command's metrics channel. */
enum exec_keeper_fd {
    EXEC_FD_METRICS = 3,
    EXEC_FD_STATUS = 4,  /* where bwrap tells what became of the command */
    EXEC_FD_CONTROL = 5, /* SOCK_SEQPACKET to the agent */
    EXEC_FD_ORDER = 6,   /* what to run (exec/order.h) */
    EXEC_FD_ARGS = 7,    /* options for bwrap: not for the eyes of `ps` */
    EXEC_FD_END = 8
};

enum exec_op { EXEC_OP_TERM = 1, EXEC_OP_KILL, EXEC_OP_HALT, EXEC_OP_CONT }; /* one byte each */

enum exec_event_kind { EXEC_EVENT_FAILED = 1, EXEC_EVENT_STARTED, EXEC_EVENT_DONE };

/* What could not be done before the command ran. */
#define EXEC_STAGES(X)                                                                             \
    X(FORK, "cannot make a process")                                                               \
    X(CGROUP, "cannot enter its cgroup")                                                           \
    X(RLIMIT, "cannot set a limit")                                                                \
    X(USER, "cannot become its user")                                                              \
    X(DIR, "cannot enter the working directory")                                                   \
    X(SANDBOX, "cannot lay off privileges")                                                        \
    X(WRAPPER, "cannot start bwrap")                                                               \
    X(EXEC, "cannot start the command")

enum exec_stage {
#define X(name, text) EXEC_STAGE_##name,
    EXEC_STAGES(X)
#undef X
};

struct exec_event {
    uint32_t kind;
    uint32_t stage; /* FAILED */
    int32_t error;  /* FAILED: errno */
    int32_t pid;    /* STARTED: of the command, also its process group */
    int32_t status; /* DONE: as wait tells it */
    uint32_t unused;
    uint64_t cpu_us;    /* DONE */
    uint64_t rss_bytes; /* DONE: of the largest process */
};

#endif
