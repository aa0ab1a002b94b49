/* SPDX-License-Identifier: Apache-2.0
 *
 * One supervised run: a list of commands, one after the other, stopping at the first that fails.
 *
 * Each command is the child of a keeper, a small process of its own (exec/keeper.h) that adopts
 * whatever the command leaves behind, and ends only when nothing of it is left. If this program
 * dies, however, the keeper kills everything: no command outlives its agent. What a command left
 * running (also what called setsid) is killed when the command itself ends.
 *
 * A command gets: stdin /dev/null; stdout and stderr as lines; file descriptor 3 as one more
 * channel of lines (set SHOAL_METRICS_FD=3 in its environment); a session and a process group of
 * its own; core dumps off; the environment of the spec and nothing else.
 *
 * Threads: exec_run occupies one thread; exec_stop, exec_kill, exec_pause, exec_resume may be
 * called from any thread and from hooks, and do not block. Nothing here uses a process-wide signal
 * handler. */
#ifndef EXEC_PROCESS_H
#define EXEC_PROCESS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXEC_LINE_BYTES_MAX  65536u    /* the rest of a longer line is dropped */
#define EXEC_COMMANDS_MAX    256u      /* of one run */
#define EXEC_ARGUMENTS_MAX   1024u     /* of one command */
#define EXEC_ORDER_BYTES_MAX 1048576u  /* arguments, environment and paths of one command */
#define EXEC_TASKS_SLACK     1024u     /* more than `tasks` that a user may get meanwhile */
#define EXEC_TEXT_BYTES      512u      /* a sentence for people */
#define EXEC_ABORT_GRACE_US  1000000u  /* between SIGTERM and SIGKILL for ABORTED */
#define EXEC_KILL_US         10000000u /* what SIGKILL did not end by then is reported and left */
#define EXEC_SAMPLE_US       1000000u  /* how often memory, processes and disk are looked at */

/* Names are stable: they go into records of attempts. */
#define EXEC_CAUSES(X)                                                                             \
    X(OK, "ok")           /* every command ended with status 0 */                                  \
    X(EXIT, "exit")       /* a command ended with another status: code */                          \
    X(SIGNAL, "signal")   /* a command was killed by a signal that nobody here sent */             \
    X(OOM, "oom")         /* more memory than allowed */                                           \
    X(TIMEOUT, "timeout") /* the run or a command took too long */                                 \
    X(SILENT, "silent")   /* no output for too long */                                             \
    X(ABORTED, "aborted") /* the line hook said no */                                              \
    X(STOPPED, "stopped") /* exec_stop */                                                          \
    X(SPAWN, "spawn")     /* a command could not be started: absent, not executable, ... */        \
    X(SANDBOX, "sandbox") /* this machine cannot set up the sandbox, now or later */               \
    X(DISK, "disk")       /* more disk than allowed, or the disk is nearly full */                 \
    X(TASKS, "tasks")     /* more processes and threads than allowed */                            \
    X(LOST, "lost")       /* the keeper was killed, or what it kept cannot be killed */            \
    X(BUSY, "busy")       /* this machine lacks for now what it takes to start, or looks so */

enum exec_cause {
#define X(name, text) EXEC_##name,
    EXEC_CAUSES(X)
#undef X
        EXEC_CAUSE_COUNT
};
const char *exec_cause_name(enum exec_cause cause);

enum exec_channel { EXEC_STDOUT, EXEC_STDERR, EXEC_METRICS, EXEC_CHANNELS };

/* What a line is besides its text. */
enum exec_line_flags {
    EXEC_LINE_CUT = 1,    /* longer than EXEC_LINE_BYTES_MAX */
    EXEC_LINE_REDRAW = 2, /* ended by CR or BS: a progress bar, about to be overwritten */
    EXEC_LINE_LAST = 4    /* the stream ended without a newline */
};

struct exec_limits {       /* 0: no limit, unless something else is said */
    uint64_t memory_bytes; /* of all processes of the command together; shared pages count once */
    uint64_t data_bytes;   /* RLIMIT_DATA of each process */
    uint64_t file_bytes;   /* RLIMIT_FSIZE of each file */
    uint64_t disk_bytes;   /* of all files in dir, as allocated */
    uint64_t disk_free_bytes; /* what the file system of dir must keep free */
    uint64_t run_us;          /* of the run, without the time it was paused */
    uint64_t silence_us;      /* without a byte on any channel, likewise */
    uint64_t grace_us;        /* between SIGTERM and SIGKILL; 0: SIGKILL at once */
    uint32_t tasks;           /* processes and threads at a time */
    uint32_t open_files;      /* RLIMIT_NOFILE of each process; 0: 4096 */
};

struct exec_command {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH of the environment */
    uint64_t timeout_us;     /* 0: only the run's */
};

struct exec_sandbox; /* exec/sandbox.h */
struct exec_cgroup;  /* exec/cgroup.h */

/* Borrowed until exec_close, as is everything that it points to. */
struct exec_spec {
    const struct exec_command *commands;
    size_t command_count;   /* 1 to EXEC_COMMANDS_MAX */
    const char *const *env; /* "NAME=value", NULL-terminated */
    const char *dir;        /* absolute; exists; the user below can write it */
    struct exec_limits limits;
    const struct exec_sandbox *sandbox; /* NULL: level none */
    const struct exec_cgroup *cgroup;   /* NULL: no cgroup */
    const char *keeper; /* a program whose main() calls exec_keeper_main when exec_keeper_called
                         * says so; NULL: shoal-keeper beside this program, else this program */
    uint32_t uid, gid;  /* whom to become (needs root); 0: stay who we are */
    int nice;           /* added to the niceness, 0 to 19 */
};

struct exec_result {
    enum exec_cause cause;
    int code;         /* EXIT, and STOPPED where it ended by itself: exit status, else -1 */
    int signal;       /* SIGNAL: its number, else 0. A status of 129 to 192 of a command in
                       * level strict is told as this: so bwrap reports a signal */
    size_t command;   /* index of the command that the cause is about */
    uint64_t wall_us; /* the pauses included */
    uint64_t cpu_us;  /* user and system time of everything that was waited for */
    uint64_t memory_peak_bytes; /* largest sum seen, at least the largest process */
    uint64_t lines;             /* told to the hook */
    uint64_t lines_cut;
    char text[EXEC_TEXT_BYTES]; /* one sentence, without a full stop */
};

/* Called on the thread of exec_run. While one runs, pipes are not read and limits not looked at:
 * what may block for long belongs into a queue. */
struct exec_hooks {
    void *context;
    /* text has no newline, is NUL-terminated, well-formed UTF-8 without control characters but tab
     * (escape sequences are removed, what else is harmful is "?"), and is borrowed for the call.
     * false aborts the run with cause ABORTED, naming the line. May be NULL. */
    bool (*line)(void *context, enum exec_channel channel, unsigned flags, const char *text,
                 size_t size);
    /* Once, after everything has ended, last use of context. May be NULL. */
    void (*end)(void *context, const struct exec_result *result);
};

struct exec_process;

/* INVALID (no command, too many, dir not absolute), NO_MEMORY, IO. */
SH_MUST_USE enum sh_err exec_open(struct exec_process **out, const struct exec_spec *spec,
                                  const struct exec_hooks *hooks);
/* Runs it on this thread, once; calls the hooks; fills *result. Returns at the latest EXEC_KILL_US
 * after the last deadline of the limits, whatever the commands do. */
void exec_run(struct exec_process *process, struct exec_result *result);
/* Runs it on a thread of its own, once; the end hook has the result. NO_MEMORY. */
SH_MUST_USE enum sh_err exec_start(struct exec_process *process);
/* SIGTERM to the group, after the grace SIGKILL to everything. Before exec_run: it runs nothing.
 * The text becomes part of the sentence, and is copied. Only the first call counts. */
void exec_stop(struct exec_process *process, const char *text);
/* SIGKILL to everything at once, also while the grace of a stop lasts. */
void exec_kill(struct exec_process *process);
/* The processes stand still (cgroup.freeze, else SIGSTOP) and time limits with them. Only the last
 * of several calls counts. */
void exec_pause(struct exec_process *process);
void exec_resume(struct exec_process *process);
/* After exec_run has returned; joins the thread of exec_start. NULL is fine. */
void exec_close(struct exec_process *process);

#endif
