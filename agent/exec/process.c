/* SPDX-License-Identifier: Apache-2.0
 *
 * For each command:
 *
 *   RUNNING -- it ends ------------------------------------------> over (nothing can come any more)
 *      | a limit, exec_stop, the line hook                           ^        ^
 *      v                                                             |        |
 *   TERMINATING (SIGTERM was sent) -- it ends -----------------------+        |
 *      | the grace is over, or there was none                                 |
 *      v                                                                      |
 *   KILLING (SIGKILL, again and again, by the keeper) -- nothing is left -----+
 *      | EXEC_KILL_US                                                         |
 *      v                                                                      |
 *   given up: cause LOST -----------------------------------------------------+
 *
 * The first reason to end a command is its cause; what follows from that is not looked at. */
#include "exec/process.h"

#include "base/host/host.h"
#include "base/text.h"
#include "exec/cgroup.h"
#include "exec/command.h"
#include "exec/keeper.h"
#include "exec/lines.h"
#include "exec/sandbox.h"
#include "exec/watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_BYTES   65536u
#define STATUS_BYTES 512u /* of what bwrap tells; the last ones are kept */
#define NEVER        UINT64_MAX

enum phase { RUNNING, TERMINATING, KILLING };

struct exec_process {
    const struct exec_spec *spec;
    struct exec_hooks hooks;
    pthread_t thread;
    bool threaded;
    int wake; /* eventfd: what is under the lock changed */
    pthread_mutex_t lock;
    bool stop_wanted, kill_wanted, pause_wanted;
    char stop_text[EXEC_TEXT_BYTES];

    /* The rest belongs to the thread of exec_run. */
    struct exec_result result;
    struct exec_lines lines[EXEC_CHANNELS];
    char *buffers; /* one line a channel, and READ_BYTES */
    uint64_t began_us;
    uint64_t rested_us; /* spent paused until the last resume */
    uint64_t paused_us; /* since when; NEVER: not paused */

    /* Of the present command. */
    struct exec_link link;
    struct exec_cgroup_leaf leaf;
    struct exec_watch watch;
    enum phase phase;
    uint64_t phase_end_us;         /* TERMINATING, KILLING */
    uint64_t command_us, heard_us; /* active time when it began, and at the last byte */
    bool started, done, given_up;
    struct exec_event failed; /* kind 0: did not */
    struct exec_event last;
    pid_t group;
    char status[STATUS_BYTES + 1];
    size_t status_used;
    char complaint[EXEC_TEXT_BYTES / 2]; /* last line on stderr */
};

struct channel_call { /* what a line hook is called with */
    struct exec_process *process;
    enum exec_channel channel;
};

const char *exec_cause_name(enum exec_cause cause)
{
    static const char *const NAMES[] = {
#define X(name, text) text,
        EXEC_CAUSES(X)
#undef X
    };
    SH_CHECK_CMP(cause, <, EXEC_CAUSE_COUNT);
    return NAMES[cause];
}

/* The clock that stands still during a pause. */
static uint64_t active_us(const struct exec_process *p, uint64_t now_us)
{
    const uint64_t until = p->paused_us != NEVER ? p->paused_us : now_us;
    return until - p->began_us - p->rested_us;
}

static bool wrapped(const struct exec_process *p)
{
    return p->spec->sandbox != NULL && p->spec->sandbox->level == EXEC_LEVEL_STRICT;
}

/* Only the first reason counts. */
static void blame(struct exec_process *p, enum exec_cause cause, const char *format, ...)
    SH_PRINTF(3, 4);
static void blame(struct exec_process *p, enum exec_cause cause, const char *format, ...)
{
    if (p->result.cause != EXEC_OK) {
        return;
    }
    va_list args;
    va_start(args, format);
    p->result.cause = cause;
    (void)vsnprintf(p->result.text, sizeof p->result.text, format, args);
    va_end(args);
    /* A name or a line in it may have been cut inside a character. */
    (void)sh_text_clean(p->result.text, sh_text_fit(p->result.text, strlen(p->result.text)));
}

static void set_paused(struct exec_process *p, bool paused)
{
    const uint64_t now_us = sh_now_us();
    if (paused == (p->paused_us != NEVER)) {
        return;
    }
    if (paused) {
        p->paused_us = now_us;
    } else {
        p->rested_us += now_us - p->paused_us;
        p->paused_us = NEVER;
    }
    if (!exec_cgroup_freeze(&p->leaf, paused)) {
        exec_link_say(&p->link, paused ? EXEC_OP_HALT : EXEC_OP_CONT);
    }
}

static void kill_command(struct exec_process *p)
{
    p->phase = KILLING;
    p->phase_end_us = sh_now_us() + EXEC_KILL_US;
    /* By the cgroup at once; the keeper sweeps in any case, and knows when nothing is left. */
    SH_MAY_FAIL(exec_cgroup_kill(&p->leaf));
    exec_link_say(&p->link, EXEC_OP_KILL);
    set_paused(p, false);
}

static void end_command(struct exec_process *p, uint64_t grace_us)
{
    if (p->phase != RUNNING) {
        return;
    }
    if (grace_us == 0) {
        kill_command(p);
        return;
    }
    p->phase = TERMINATING;
    p->phase_end_us = sh_now_us() + grace_us;
    exec_link_say(&p->link, EXEC_OP_TERM);
    set_paused(p, false); /* who stands still cannot save anything */
}

static void take_line(void *context, unsigned flags, char *text, size_t size)
{
    const struct channel_call *call = context;
    struct exec_process *p = call->process;
    p->result.lines++;
    p->result.lines_cut += (flags & EXEC_LINE_CUT) != 0 ? 1 : 0;
    if (call->channel == EXEC_STDERR) {
        (void)snprintf(p->complaint, sizeof p->complaint, "%s", text);
    }
    if (p->hooks.line == NULL ||
        p->hooks.line(p->hooks.context, call->channel, flags, text, size)) {
        return;
    }
    if (p->phase == RUNNING) {
        const uint64_t grace = p->spec->limits.grace_us;
        blame(p, EXEC_ABORTED, "aborted by its output: %.200s", text);
        end_command(p, grace < EXEC_ABORT_GRACE_US ? grace : EXEC_ABORT_GRACE_US);
    }
}

static void keep_status(struct exec_process *p, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (p->status_used == STATUS_BYTES) { /* what comes last counts */
            memmove(p->status, p->status + STATUS_BYTES / 2, STATUS_BYTES / 2);
            p->status_used = STATUS_BYTES / 2;
        }
        p->status[p->status_used++] = bytes[i];
    }
    p->status[p->status_used] = 0;
}

/* One read, so that whoever writes without end does not keep the limits from being looked at. */
static void drain(struct exec_process *p, enum exec_pipe which)
{
    char *bytes = p->buffers + (size_t)EXEC_CHANNELS * (EXEC_LINE_BYTES_MAX + 1);
    struct channel_call call = {.process = p, .channel = (enum exec_channel)which};
    const ssize_t got = read(p->link.pipes[which], bytes, READ_BYTES);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got > 0 && which == EXEC_PIPE_STATUS) {
        keep_status(p, bytes, (size_t)got);
    } else if (got > 0) {
        p->heard_us = active_us(p, sh_now_us());
        exec_lines_push(&p->lines[which], bytes, (size_t)got, take_line, &call);
    } else {
        if (which != EXEC_PIPE_STATUS) {
            exec_lines_end(&p->lines[which], take_line, &call);
        }
        (void)close(p->link.pipes[which]);
        p->link.pipes[which] = -1;
    }
}

static void hear(struct exec_process *p)
{
    struct exec_event event;
    while (exec_link_hear(&p->link, &event)) {
        if (event.kind == EXEC_EVENT_STARTED) {
            p->started = true;
            p->group = event.pid;
        } else if (event.kind == EXEC_EVENT_FAILED) {
            p->failed = event;
        } else {
            SH_CHECK_CMP(event.kind, ==, EXEC_EVENT_DONE);
            p->done = true;
            p->last = event;
        }
    }
    if (p->link.control >= 0 || p->done || p->failed.kind != 0) {
        return;
    }
    /* Somebody killed the keeper. What the command holds open shows that some of it is alive. */
    blame(p, EXEC_LOST, "the keeper of the command was killed");
    if (p->phase != KILLING) {
        kill_command(p);
        if (p->group > 0) {
            SH_MAY_FAIL(kill(-p->group, SIGKILL) == 0); /* perhaps nobody is left */
        }
    }
}

static void obey(struct exec_process *p)
{
    uint64_t count;
    char text[EXEC_TEXT_BYTES];
    SH_MAY_FAIL(read(p->wake, &count, sizeof count) == (ssize_t)sizeof count); /* not blocking */
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    const bool stop = p->stop_wanted;
    const bool kill = p->kill_wanted;
    const bool paused = p->pause_wanted;
    memcpy(text, p->stop_text, sizeof text);
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
    if ((stop || kill) && p->phase == RUNNING) {
        blame(p, EXEC_STOPPED, "stopped%s%.400s", text[0] != 0 ? ": " : "", text);
        end_command(p, kill ? 0 : p->spec->limits.grace_us);
    } else if (kill && p->phase == TERMINATING) {
        kill_command(p);
    } else if (p->phase == RUNNING) {
        set_paused(p, paused);
    }
}

static void look_at_limits(struct exec_process *p, uint64_t now_us)
{
    const struct exec_limits *limits = &p->spec->limits;
    const uint64_t alone = p->spec->commands[p->result.command].timeout_us;
    const uint64_t active = active_us(p, now_us);
    char text[EXEC_TEXT_BYTES];
    if (limits->run_us > 0 && active >= limits->run_us) {
        blame(p, EXEC_TIMEOUT, "ran for %.1f s, the limit", (double)limits->run_us / 1e6);
        end_command(p, limits->grace_us);
    } else if (alone > 0 && active - p->command_us >= alone) {
        blame(p, EXEC_TIMEOUT, "the command ran for %.1f s, its limit", (double)alone / 1e6);
        end_command(p, limits->grace_us);
    } else if (limits->silence_us > 0 && active - p->heard_us >= limits->silence_us) {
        blame(p, EXEC_SILENT, "no output for %.1f s", (double)limits->silence_us / 1e6);
        end_command(p, limits->grace_us);
    }
    if (p->phase != RUNNING || p->paused_us != NEVER || now_us < exec_watch_next(&p->watch)) {
        return;
    }
    const enum exec_cause cause = exec_watch_look(&p->watch, now_us, text);
    if (cause != EXEC_OK) {
        blame(p, cause, "%s", text);
        kill_command(p); /* it harms others now */
    }
}

static void look_at_clock(struct exec_process *p)
{
    const uint64_t now_us = sh_now_us();
    if (p->phase == RUNNING) {
        look_at_limits(p, now_us);
    } else if (now_us >= p->phase_end_us && p->phase == TERMINATING) {
        kill_command(p);
    } else if (now_us >= p->phase_end_us) {
        p->given_up = true;
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When look_at_clock has something to do. */
static uint64_t next_us(const struct exec_process *p, uint64_t now_us)
{
    const struct exec_limits *limits = &p->spec->limits;
    const uint64_t alone = p->spec->commands[p->result.command].timeout_us;
    if (p->phase != RUNNING) {
        return p->phase_end_us;
    }
    if (p->paused_us != NEVER) {
        return NEVER;
    }
    const uint64_t active = active_us(p, now_us);
    uint64_t at = exec_watch_next(&p->watch);
    if (limits->run_us > 0) {
        at = earlier(at, now_us + (limits->run_us > active ? limits->run_us - active : 0));
    }
    if (alone > 0) {
        const uint64_t end = p->command_us + alone;
        at = earlier(at, now_us + (end > active ? end - active : 0));
    }
    if (limits->silence_us > 0) {
        const uint64_t end = p->heard_us + limits->silence_us;
        at = earlier(at, now_us + (end > active ? end - active : 0));
    }
    return at;
}

static void turn(struct exec_process *p)
{
    struct pollfd fds[EXEC_PIPES + 2];
    for (int i = 0; i < EXEC_PIPES; i++) {
        fds[i] = (struct pollfd){.fd = p->link.pipes[i], .events = POLLIN};
    }
    fds[EXEC_PIPES] = (struct pollfd){.fd = p->link.control, .events = POLLIN};
    fds[EXEC_PIPES + 1] = (struct pollfd){.fd = p->wake, .events = POLLIN};
    const uint64_t now_us = sh_now_us();
    const uint64_t at = next_us(p, now_us);
    const uint64_t wait_us = at > now_us ? at - now_us : 0;
    /* Rounded up, so that what is waited for is due; an hour at most. */
    const int wait_ms = at == NEVER ? -1 : (int)(earlier(wait_us, 3600000000u) / 1000u + 1);
    const int ready = poll(fds, SH_COUNT(fds), wait_us == 0 ? 0 : wait_ms);
    SH_CHECK(ready >= 0 || errno == EINTR);
    for (int i = 0; ready > 0 && i < EXEC_PIPES; i++) {
        if (fds[i].revents != 0) {
            drain(p, (enum exec_pipe)i);
        }
    }
    if (ready > 0 && fds[EXEC_PIPES].revents != 0) {
        hear(p);
    }
    if (ready > 0 && fds[EXEC_PIPES + 1].revents != 0) {
        obey(p);
    }
    look_at_clock(p);
}

/* What a machine may have again in a moment: processes, memory, descriptors, room. */
static const int LACKS[] = {EAGAIN, ENOMEM, EMFILE, ENFILE, ENOSPC, EDQUOT, EBUSY, EINTR, EIO};

static bool is_lack(int error)
{
    for (size_t i = 0; i < SH_COUNT(LACKS); i++) {
        if (LACKS[i] == error) {
            return true;
        }
    }
    return false;
}

/* bwrap ends what it says with the text of errno, or, of namespaces, with its name. */
static bool complains_of_lack(const char *text)
{
    const size_t size = strlen(text);
    for (size_t i = 0; i < SH_COUNT(LACKS); i++) {
        const char *what = strerrordesc_np(LACKS[i]);
        const size_t length = strlen(what);
        if (size >= length && strcmp(text + size - length, what) == 0) {
            return true;
        }
    }
    return strstr(text, "(ENOSPC)") != NULL;
}

/* What could not be done before the command ran. Only what the machine refuses for a reason that
 * stays is its sandbox; without a process, a cgroup or a limit another attempt may fare better. */
static enum exec_cause cause_of(enum exec_stage stage, int error)
{
    switch (stage) {
    case EXEC_STAGE_EXEC:
    case EXEC_STAGE_DIR:
        return EXEC_SPAWN;
    case EXEC_STAGE_FORK:
    case EXEC_STAGE_CGROUP:
    case EXEC_STAGE_RLIMIT:
        return EXEC_BUSY;
    case EXEC_STAGE_USER:
    case EXEC_STAGE_SANDBOX:
    case EXEC_STAGE_WRAPPER:
        return is_lack(error) ? EXEC_BUSY : EXEC_SANDBOX;
    }
    SH_UNREACHABLE();
}

/* What bwrap said about itself: it tells an exit code only of a command that it has started. */
static bool blame_wrapper(struct exec_process *p, int code)
{
    if (!wrapped(p) || code == 0 || strstr(p->status, "\"exit-code\"") != NULL) {
        return false;
    }
    const bool absent = strncmp(p->complaint, "bwrap: execvp ", 14) == 0;
    const enum exec_cause sandbox = complains_of_lack(p->complaint) ? EXEC_BUSY : EXEC_SANDBOX;
    blame(p, absent ? EXEC_SPAWN : sandbox, "%s: %s",
          absent ? "cannot start the command" : "the sandbox cannot be set up", p->complaint);
    return true;
}

static void blame_signal(struct exec_process *p, int number)
{
    if (number == SIGKILL && exec_cgroup_oom_kills(&p->leaf) > 0) {
        blame(p, EXEC_OOM, "more than %llu MiB of memory in use",
              (unsigned long long)(p->spec->limits.memory_bytes >> 20));
    } else if (number == SIGXFSZ) {
        blame(p, EXEC_DISK, "a file of more than %llu MiB was being written",
              (unsigned long long)(p->spec->limits.file_bytes >> 20));
    } else if (p->result.cause == EXEC_OK) {
        const char *name = sigabbrev_np(number);
        p->result.signal = number;
        blame(p, EXEC_SIGNAL, "killed by signal %d (%s)", number, name != NULL ? name : "?");
    }
}

/* What was asked to stop did so in its own time. */
static void note_status(struct exec_process *p)
{
    bool exited = p->done && !p->given_up && WIFEXITED(p->last.status);
    const int code = exited ? WEXITSTATUS(p->last.status) : 0;
    if (exited && p->result.cause == EXEC_STOPPED && !(wrapped(p) && code > 128)) {
        p->result.code = code;
    }
}

static void judge(struct exec_process *p)
{
    static const char *const STAGES[] = {
#define X(name, text) text,
        EXEC_STAGES(X)
#undef X
    };
    note_status(p);
    if (p->given_up) {
        p->result.cause = EXEC_OK;
        blame(p, EXEC_LOST, "some of it did not end within %u s of SIGKILL",
              EXEC_KILL_US / 1000000u);
    } else if (p->failed.kind != 0) {
        const uint32_t stage = p->failed.stage;
        SH_CHECK_CMP(stage, <, SH_COUNT(STAGES));
        blame(p, cause_of(stage, p->failed.error), "%s %.200s: %s", STAGES[stage],
              stage == EXEC_STAGE_DIR ? p->spec->dir : p->spec->commands[p->result.command].argv[0],
              strerror(p->failed.error));
    } else if (WIFSIGNALED(p->last.status)) {
        blame_signal(p, WTERMSIG(p->last.status));
    } else if (WEXITSTATUS(p->last.status) != 0) {
        const int code = WEXITSTATUS(p->last.status);
        if (blame_wrapper(p, code)) {
            return;
        }
        if (wrapped(p) && code > 128 && code - 128 < NSIG) {
            blame_signal(p, code - 128);
        } else if (p->result.cause == EXEC_OK) {
            p->result.code = code;
            blame(p, EXEC_EXIT, "exit status %d", code);
        }
    }
}

static void add_up(struct exec_process *p)
{
    uint64_t peak = exec_cgroup_peak(&p->leaf);
    peak = peak > p->watch.peak_bytes ? peak : p->watch.peak_bytes;
    peak = peak > p->last.rss_bytes ? peak : p->last.rss_bytes;
    if (peak > p->result.memory_peak_bytes) {
        p->result.memory_peak_bytes = peak;
    }
    p->result.cpu_us += p->last.cpu_us;
}

static enum sh_err open_link(struct exec_process *p, size_t index, const char *procs)
{
    static const char *const none[] = {NULL};
    const struct exec_spec *spec = p->spec;
    const struct exec_sandbox *plan = spec->sandbox;
    const char *argv[EXEC_ARGUMENTS_MAX + 5] = {NULL};
    struct exec_lists lists = {{NULL}, {NULL}};
    struct exec_order order = {.argv = spec->commands[index].argv,
                               .env = spec->env,
                               .dir = spec->dir,
                               .procs = procs,
                               .readable = lists.readable,
                               .writable = lists.writable,
                               .wrapped = wrapped(p),
                               .confined = plan != NULL && plan->level == EXEC_LEVEL_BASIC,
                               .network = plan != NULL && plan->network,
                               .uid = spec->uid,
                               .gid = spec->gid,
                               .nice = spec->nice,
                               .open_files = spec->limits.open_files,
                               .tasks = spec->limits.tasks,
                               .data_bytes = spec->limits.data_bytes,
                               .file_bytes = spec->limits.file_bytes};
    if (order.confined) {
        const enum sh_err err = exec_sandbox_lists(plan, spec->dir, &lists);
        return err != SH_OK ? err : exec_link_open(&p->link, spec->keeper, &order, NULL, 0);
    }
    if (!order.wrapped) {
        return exec_link_open(&p->link, spec->keeper, &order, NULL, 0);
    }
    size_t count = 0;
    argv[count++] = plan->bwrap != NULL ? plan->bwrap : EXEC_BWRAP;
    argv[count++] = "--args";
    argv[count++] = "7";
    argv[count++] = "--";
    for (size_t i = 0; order.argv[i] != NULL; i++) {
        if (i == EXEC_ARGUMENTS_MAX) {
            return SH_ERR_LIMIT;
        }
        argv[count++] = order.argv[i];
    }
    order.argv = argv;
    order.env = none; /* LD_PRELOAD of the job must not reach bwrap */
    char *options = malloc(EXEC_ORDER_BYTES_MAX);
    size_t used = 0;
    enum sh_err err = options == NULL ? SH_ERR_NO_MEMORY
                                      : exec_sandbox_options(plan, spec->dir, spec->env, options,
                                                             EXEC_ORDER_BYTES_MAX, &used);
    if (err == SH_OK) {
        err = exec_link_open(&p->link, spec->keeper, &order, options, used);
    }
    free(options);
    return err;
}

static void reset(struct exec_process *p)
{
    const uint64_t now_us = sh_now_us();
    p->phase = RUNNING;
    p->command_us = active_us(p, now_us);
    p->heard_us = p->command_us;
    p->started = false;
    p->done = false;
    p->given_up = false;
    p->failed = (struct exec_event){0};
    p->last = (struct exec_event){0};
    p->group = 0;
    p->status_used = 0;
    p->status[0] = 0;
    p->complaint[0] = 0;
    for (int i = 0; i < EXEC_CHANNELS; i++) {
        exec_lines_init(&p->lines[i], p->buffers + (size_t)i * (EXEC_LINE_BYTES_MAX + 1));
    }
}

static void run_command(struct exec_process *p, size_t index)
{
    char procs[EXEC_CGROUP_PATH_MAX + 1] = "";
    const struct exec_limits *limits = &p->spec->limits;
    reset(p);
    p->result.command = index;
    if (p->spec->cgroup != NULL) {
        const enum sh_err err =
            exec_cgroup_open(p->spec->cgroup, &p->leaf, limits->memory_bytes, limits->tasks);
        if (err != SH_OK) {
            blame(p, EXEC_BUSY, "cannot make a cgroup: %s", sh_err_text(err));
            return;
        }
        exec_cgroup_procs(&p->leaf, procs);
    }
    const enum sh_err err = open_link(p, index, procs);
    if (err != SH_OK) {
        blame(p, EXEC_SPAWN, "cannot start %.200s: %s", p->spec->commands[index].argv[0],
              sh_err_text(err));
        exec_cgroup_close(&p->leaf);
        return;
    }
    exec_watch_start(&p->watch, limits, p->spec->dir, p->link.keeper, sh_now_us());
    p->watch.tasks_extra = wrapped(p) ? 2 : 0; /* bwrap and the first of its namespace */
    while (!exec_link_over(&p->link) && !p->given_up) {
        turn(p);
    }
    judge(p);
    add_up(p);
    exec_watch_end(&p->watch);
    exec_link_close(&p->link, p->given_up);
    exec_cgroup_close(&p->leaf);
}

/* Between commands there is nothing to stop or to pause, only to wait. */
static bool may_go_on(struct exec_process *p)
{
    for (;;) {
        obey(p);
        if (p->result.cause != EXEC_OK) {
            return false;
        }
        if (p->paused_us == NEVER) {
            return true;
        }
        struct pollfd fd = {.fd = p->wake, .events = POLLIN};
        SH_CHECK(poll(&fd, 1, -1) >= 0 || errno == EINTR);
    }
}

void exec_run(struct exec_process *p, struct exec_result *result)
{
    p->began_us = sh_now_us();
    p->result = (struct exec_result){.cause = EXEC_OK, .code = -1};
    p->phase = RUNNING;
    for (size_t i = 0; i < p->spec->command_count && may_go_on(p); i++) {
        run_command(p, i);
        if (p->result.cause != EXEC_OK) {
            break;
        }
    }
    p->result.wall_us = sh_now_us() - p->began_us;
    if (p->result.cause == EXEC_OK) {
        p->result.code = 0;
        (void)snprintf(p->result.text, sizeof p->result.text, "ended well");
    }
    *result = p->result;
    if (p->hooks.end != NULL) {
        p->hooks.end(p->hooks.context, result);
    }
}

enum sh_err exec_open(struct exec_process **out, const struct exec_spec *spec,
                      const struct exec_hooks *hooks)
{
    if (spec->command_count == 0 || spec->command_count > EXEC_COMMANDS_MAX ||
        spec->dir[0] != '/') {
        return SH_ERR_INVALID;
    }
    for (size_t i = 0; i < spec->command_count; i++) {
        if (spec->commands[i].argv[0] == NULL) {
            return SH_ERR_INVALID;
        }
    }
    struct exec_process *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    p->buffers = malloc((size_t)EXEC_CHANNELS * (EXEC_LINE_BYTES_MAX + 1) + READ_BYTES);
    p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->buffers == NULL || p->wake < 0) {
        const enum sh_err err = p->buffers == NULL ? SH_ERR_NO_MEMORY : sh_err_from_errno(errno);
        if (p->wake >= 0) {
            (void)close(p->wake);
        }
        free(p->buffers);
        free(p);
        return err;
    }
    p->spec = spec;
    p->hooks = *hooks;
    p->paused_us = NEVER;
    p->link.control = -1;
    SH_CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
    *out = p;
    return SH_OK;
}

static void *thread_main(void *context)
{
    struct exec_result result;
    sh_thread_name("exec");
    exec_run(context, &result);
    return NULL;
}

enum sh_err exec_start(struct exec_process *p)
{
    SH_CHECK(!p->threaded);
    p->threaded = pthread_create(&p->thread, NULL, thread_main, p) == 0;
    return p->threaded ? SH_OK : SH_ERR_NO_MEMORY;
}

static void want(struct exec_process *p, bool stop, bool paused, const char *text)
{
    const uint64_t one = 1;
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    if (stop && !p->stop_wanted) {
        p->stop_wanted = true;
        (void)snprintf(p->stop_text, sizeof p->stop_text, "%s", text != NULL ? text : "");
    } else if (!stop) {
        p->pause_wanted = paused;
    }
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
    SH_CHECK(write(p->wake, &one, sizeof one) == (ssize_t)sizeof one);
}

void exec_stop(struct exec_process *p, const char *text)
{
    want(p, true, false, text);
}

void exec_kill(struct exec_process *p)
{
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    p->kill_wanted = true;
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
    want(p, true, false, NULL);
}

void exec_pause(struct exec_process *p)
{
    want(p, false, true, NULL);
}

void exec_resume(struct exec_process *p)
{
    want(p, false, false, NULL);
}

void exec_close(struct exec_process *p)
{
    if (p == NULL) {
        return;
    }
    if (p->threaded) {
        SH_CHECK(pthread_join(p->thread, NULL) == 0);
    }
    SH_CHECK(pthread_mutex_destroy(&p->lock) == 0);
    (void)close(p->wake);
    free(p->buffers);
    free(p);
}
