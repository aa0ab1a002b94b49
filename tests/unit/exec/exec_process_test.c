/* SPDX-License-Identifier: Apache-2.0
 *
 * Real processes. Where a test needs an order of events it waits for a line, a pipe or an end. */
#include "exec_rig.h"

#include "base/host/host.h"
#include "exec/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000)
#define LONELY 64321u /* a user without processes */

static struct rig rig; /* one test a process */

TEST(lines_of_all_channels_arrive_and_commands_run_in_order)
{
    rig_open(&rig, "echo one; echo two >&2; echo '{\"a\":1}' >&3", "printf 'no newline'", NULL);
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_OK);
    EXPECT_EQ(rig.result.code, 0);
    EXPECT_EQ(rig.result.lines, 4);
    EXPECT(strstr(rig.said, "1:one\n") != NULL);
    EXPECT(strstr(rig.said, "2:two\n") != NULL);
    EXPECT(strstr(rig.said, "3:{\"a\":1}\n") != NULL);
    EXPECT(strstr(rig.said, "1l:no newline\n") > strstr(rig.said, "3:"));
    EXPECT(rig.result.memory_peak_bytes > 100000);
    EXPECT(rig.result.wall_us > 0);
}

TEST(the_first_command_that_fails_is_the_last)
{
    rig_open(&rig, "exit 0", "exit 7", "echo never", NULL);
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_EXIT);
    EXPECT_EQ(rig.result.code, 7);
    EXPECT_EQ(rig.result.command, 1);
    EXPECT_EQ(rig.result.lines, 0);
    EXPECT_STR(rig.result.text, "exit status 7");
    EXPECT_STR(exec_cause_name(rig.result.cause), "exit");
}

TEST(a_signal_that_kills_a_command_is_named)
{
    rig_open(&rig, "kill -SEGV $$", NULL);
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_SIGNAL);
    EXPECT_EQ(rig.result.signal, SIGSEGV);
    EXPECT_EQ(rig.result.code, (unsigned long long)-1);
    EXPECT_STR(rig.result.text, "killed by signal 11 (SEGV)");
}

TEST(a_command_that_is_not_there_is_a_spawn_error)
{
    rig_open(&rig, "", NULL);
    rig.argv[0][0] = "/nonexistent/program";
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_SPAWN);
    EXPECT_STR(rig.result.text,
               "cannot start the command /nonexistent/program: No such file or directory");
}

TEST(a_directory_that_is_not_there_is_a_spawn_error)
{
    rig_open(&rig, "true", NULL);
    rig.spec.dir = "/nonexistent";
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_SPAWN);
    EXPECT(strstr(rig.result.text, "/nonexistent: No such file") != NULL);
}

TEST(a_keeper_that_cannot_be_started_is_a_spawn_error)
{
    rig_open(&rig, "true", NULL);
    rig.spec.keeper = "/nonexistent/keeper";
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_SPAWN);
}

TEST(a_program_that_is_no_keeper_loses_the_command)
{
    rig_open(&rig, "true", NULL);
    rig.spec.keeper = "/usr/bin/true";
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_LOST);
}

TEST(a_machine_without_a_process_to_spare_is_busy)
{
    if (geteuid() != 0) {
        SKIP("only root can become a user who has no other process");
    }
    rig_open(&rig, "echo never", NULL);
    EXPECT_EQ(chmod(tst_dir(), 0755), 0);
    const pid_t pid = fork();
    if (pid != 0) {
        int status = -1;
        EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
        EXPECT_EQ(status, 0);
        return;
    }
    /* This process and the keeper, and no third one. */
    const struct rlimit two = {.rlim_cur = 2, .rlim_max = 2};
    EXPECT_EQ(setrlimit(RLIMIT_NPROC, &two), 0);
    EXPECT(setresgid(LONELY, LONELY, LONELY) == 0 && setresuid(LONELY, LONELY, LONELY) == 0);
    rig_run(&rig);
    EXPECT_STR(exec_cause_name(rig.result.cause), "busy");
    EXPECT(strstr(rig.result.text, "cannot make a process") == rig.result.text);
    _exit(0);
}

TEST(a_cgroup_that_cannot_be_made_or_entered_is_a_busy_machine)
{
    static struct exec_cgroup cgroup;
    rig_open(&rig, "echo never", NULL);
    rig.spec.cgroup = &cgroup;
    (void)snprintf(cgroup.base, sizeof cgroup.base, "%s/absent", tst_dir());
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_BUSY);
    EXPECT(strstr(rig.result.text, "cannot make a cgroup") == rig.result.text);
    EXPECT_EQ(mkdir(cgroup.base, 0755), 0); /* no file to enter one by appears in it */
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_BUSY);
    EXPECT(strstr(rig.result.text, "cannot enter its cgroup") == rig.result.text);
}

TEST(arguments_beyond_the_limit_are_refused)
{
    static char large[EXEC_ORDER_BYTES_MAX];
    memset(large, 'x', sizeof large - 1);
    rig_open(&rig, large, NULL);
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_SPAWN);
    EXPECT(strstr(rig.result.text, "limit") != NULL);
}

TEST(specs_without_a_command_or_an_absolute_directory_are_refused)
{
    const struct exec_hooks hooks = {0};
    struct exec_process *process;
    rig_open(&rig, "true", NULL);
    rig.spec.command_count = 0;
    EXPECT_EQ(exec_open(&process, &rig.spec, &hooks), SH_ERR_INVALID);
    rig.spec.command_count = 1;
    rig.spec.dir = "relative";
    EXPECT_EQ(exec_open(&process, &rig.spec, &hooks), SH_ERR_INVALID);
    rig.spec.dir = "/";
    rig.argv[0][0] = NULL;
    EXPECT_EQ(exec_open(&process, &rig.spec, &hooks), SH_ERR_INVALID);
}

TEST(a_command_gets_its_environment_directory_stdin_and_nothing_else)
{
    rig_open(&rig, "env | sort; pwd; cat; ls /proc/self/fd | tr '\\n' ' '; ulimit -c; ulimit -n",
             NULL);
    EXPECT_EQ(setenv("SECRET_OF_THE_AGENT", "1", 1), 0);
    const int leak = open("/dev/zero", O_RDONLY); /* not closed on exec */
    EXPECT(leak >= 0);
    rig_run(&rig);
    char dir[512];
    (void)snprintf(dir, sizeof dir, "1:%s\n", tst_dir());
    EXPECT_EQ(rig.result.cause, EXEC_OK);
    EXPECT(strstr(rig.said, "1:PATH=/usr/bin:/bin\n1:PWD=") != NULL);
    EXPECT(strstr(rig.said, "SECRET") == NULL);
    EXPECT(strstr(rig.said, dir) != NULL);
    EXPECT(strstr(rig.said, "1:0 1 2 3 4 0\n1:4096\n") != NULL); /* 4: of ls itself */
}

TEST(a_command_has_a_session_and_a_group_of_its_own)
{
    rig_open(&rig, "ps -o sid=,pgid=,pid= -p $$ | sed 's/^/ids /'", NULL);
    rig_run(&rig);
    const char *at = strstr(rig.said, "ids ");
    EXPECT(at != NULL);
    char *end;
    const long session = strtol(at + 4, &end, 10);
    const long group = strtol(end, &end, 10);
    EXPECT_EQ(session, group);
    EXPECT_EQ(session, strtol(end, &end, 10));
    EXPECT(session != (long)getsid(0));
}

TEST(what_takes_too_long_is_ended_with_sigterm_first)
{
    rig_open(&rig, "trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 1; done", NULL);
    rig.spec.limits.run_us = SECOND / 2;
    rig.spec.limits.grace_us = 20 * SECOND;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_TIMEOUT);
    EXPECT(strstr(rig.said, "1:saved\n") != NULL);
    EXPECT(rig.result.wall_us >= SECOND / 2);
    EXPECT(rig.result.wall_us < 10 * SECOND * tst_slower());
    EXPECT_STR(rig.result.text, "ran for 0.5 s, the limit");
}

TEST(what_ignores_sigterm_is_killed_after_the_grace)
{
    rig_open(&rig, "trap '' TERM; while :; do sleep 1; done", NULL);
    rig.spec.limits.run_us = SECOND / 5;
    rig.spec.limits.grace_us = SECOND / 5;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_TIMEOUT);
    EXPECT(rig.result.wall_us >= SECOND * 2 / 5);
    EXPECT(rig.result.wall_us < 10 * SECOND * tst_slower());
}

TEST(a_command_has_a_time_limit_of_its_own)
{
    rig_open(&rig, "true", "sleep 100", NULL);
    rig.commands[1].timeout_us = SECOND / 5;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_TIMEOUT);
    EXPECT_EQ(rig.result.command, 1);
}

TEST(silence_ends_a_run_and_output_prevents_that)
{
    rig_open(&rig, "for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done; exec sleep 100", NULL);
    rig.spec.limits.silence_us = SECOND * 4 / 5;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_SILENT);
    EXPECT(strstr(rig.said, "1:6\n") != NULL);
    EXPECT(rig.result.wall_us >= SECOND * 8 / 5);
}

TEST(a_refused_line_aborts_within_two_seconds)
{
    rig_open(&rig, "trap '' TERM; echo 'loss: nan'; while :; do sleep 1; done", NULL);
    rig.refuse = "loss: nan";
    rig.spec.limits.grace_us = 25 * SECOND;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_ABORTED);
    EXPECT_STR(rig.result.text, "aborted by its output: loss: nan");
    EXPECT(rig.result.wall_us < 2 * SECOND * tst_slower());
}

static void stop(struct rig *r)
{
    exec_stop(r->process, "by alice");
    exec_stop(r->process, "by bob");
}

TEST(a_stop_ends_everything_also_what_left_the_group)
{
    rig_open(
        &rig,
        "mkfifo go; setsid sh -c 'echo pid $$; trap \"\" TERM HUP; echo >go; while :; do sleep "
        "1; done' & setsid -f sh -c 'echo orphan $$; echo >go; exec sleep 100'; exec 5<>go; "
        "read x <&5; read x <&5; echo ready; wait",
        NULL);
    rig.trigger = "ready";
    rig.at_trigger = stop;
    rig.spec.limits.grace_us = SECOND / 5;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_STOPPED);
    EXPECT_STR(rig.result.text, "stopped: by alice");
    EXPECT(!rig_alive(rig_number(&rig, "1:pid ")));
    EXPECT(!rig_alive(rig_number(&rig, "1:orphan ")));
}

static void stop_and_kill(struct rig *r)
{
    exec_stop(r->process, "by alice");
    exec_kill(r->process);
}

TEST(a_kill_does_not_wait_for_the_grace_of_a_stop)
{
    rig_open(&rig, "trap '' TERM; echo deaf; while :; do sleep 1; done", NULL);
    rig.trigger = "deaf";
    rig.at_trigger = stop_and_kill;
    rig.spec.limits.grace_us = 25 * SECOND;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_STOPPED);
    EXPECT_STR(rig.result.text, "stopped: by alice");
    EXPECT(rig.result.wall_us < 15 * SECOND);
}

TEST(what_a_command_leaves_behind_ends_with_it)
{
    rig_open(&rig,
             "mkfifo go; setsid -f sh -c 'echo orphan $$; echo >go; exec sleep 100'; read x <go",
             "echo next", NULL);
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_OK);
    EXPECT(!rig_alive(rig_number(&rig, "1:orphan ")));
    EXPECT(strstr(rig.said, "1:next\n") != NULL);
    EXPECT(rig.result.wall_us < 20 * SECOND);
}

TEST(a_run_that_was_stopped_before_it_began_runs_nothing)
{
    const struct exec_hooks hooks = {0};
    rig_open(&rig, "touch ran", NULL);
    EXPECT_EQ(exec_open(&rig.process, &rig.spec, &hooks), SH_OK);
    exec_stop(rig.process, NULL);
    exec_run(rig.process, &rig.result);
    exec_close(rig.process);
    EXPECT_EQ(rig.result.cause, EXEC_STOPPED);
    EXPECT_STR(rig.result.text, "stopped");
    char path[512];
    (void)snprintf(path, sizeof path, "%s/ran", tst_dir());
    EXPECT(access(path, F_OK) != 0);
}

/* The command is a member of no group but its own: it can only learn of a pause by its clock. */
struct pauser {
    pthread_t thread;
    long ticks_before, ticks_after;
    char state;
};
static struct pauser pauser;

static long ticks_of(long pid, char *state)
{
    char path[64];
    char text[512] = "";
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "re");
    EXPECT(file != NULL);
    EXPECT(fgets(text, sizeof text, file) != NULL);
    (void)fclose(file);
    const char *at = strrchr(text, ')') + 2;
    long user = 0;
    long kernel = 0;
    EXPECT_EQ(
        sscanf(at, "%c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", state, &user, &kernel), 3);
    return user + kernel;
}

/* Pauses a busy loop, sees that it gets no time, and lets it go on. */
static void *pause_it(void *context)
{
    struct rig *r = context;
    const long pid = rig_number(r, "1:pid ");
    char state;
    exec_pause(r->process);
    /* Stopped once two readings 100 ms apart agree; never waits longer than the test's limit. */
    long before = ticks_of(pid, &state);
    for (;;) {
        SH_MAY_FAIL(rig_gone(pid, 100000)); /* it does not end: this is a pause of 100 ms */
        pauser.ticks_after = ticks_of(pid, &pauser.state);
        if (pauser.ticks_after == before) {
            break;
        }
        before = pauser.ticks_after;
    }
    SH_MAY_FAIL(rig_gone(pid, 2000000)); /* likewise: longer than run_us */
    pauser.ticks_before = before;
    pauser.ticks_after = ticks_of(pid, &state);
    exec_resume(r->process);
    return NULL;
}

static void start_pauser(struct rig *r)
{
    EXPECT_EQ(pthread_create(&pauser.thread, NULL, pause_it, r), 0);
}

static void pause_and_resume(const struct exec_cgroup *cgroup)
{
    rig_open(&rig, "echo pid $$; echo ready; i=0; while :; do i=$((i+1)); done", NULL);
    rig.trigger = "ready";
    rig.at_trigger = start_pauser;
    rig.spec.limits.run_us = 3 * SECOND / 2;
    rig.spec.cgroup = cgroup;
    rig_run(&rig);
    EXPECT_EQ(pthread_join(pauser.thread, NULL), 0);
    EXPECT_EQ(pauser.ticks_before, pauser.ticks_after);
    /* The pause is not the job's time: the limit struck later than it would have without. */
    EXPECT_EQ(rig.result.cause, EXEC_TIMEOUT);
    EXPECT(rig.result.wall_us > 3 * SECOND);
}

TEST(a_paused_command_stands_still_and_so_do_its_limits)
{
    pause_and_resume(NULL);
    EXPECT_EQ(pauser.state, 'T');
}

static struct exec_cgroup cgroup;

static void need_cgroup(void)
{
    char why[EXEC_TEXT_BYTES];
    if (exec_cgroup_probe(&cgroup, NULL, why, sizeof why) != SH_OK) {
        SKIP("no cgroup can be made here");
    }
}

TEST(a_cgroup_freezes_a_command_without_a_signal)
{
    need_cgroup();
    pause_and_resume(&cgroup);
    EXPECT(pauser.state != 'T');
}

TEST(a_cgroup_kills_a_tree_and_is_removed)
{
    need_cgroup();
    rig_open(&rig, "cat /proc/self/cgroup; sleep 100 & setsid -f sleep 100; echo ready; wait",
             NULL);
    rig.trigger = "ready";
    rig.at_trigger = stop;
    rig.spec.cgroup = &cgroup;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_STOPPED);
    EXPECT(strstr(rig.said, "/shoal-") != NULL);
    char path[EXEC_CGROUP_PATH_MAX + 64];
    (void)snprintf(path, sizeof path, "%s/shoal-%ld-1", cgroup.base, (long)getpid());
    EXPECT(access(path, F_OK) != 0);
}

static void stop_paused(struct rig *r)
{
    exec_pause(r->process);
    exec_stop(r->process, NULL);
}

TEST(a_paused_command_can_save_itself_when_it_is_stopped)
{
    rig_open(&rig, "trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.1; done", NULL);
    rig.trigger = "ready";
    rig.at_trigger = stop_paused;
    rig.spec.limits.grace_us = 20 * SECOND;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_STOPPED);
    EXPECT(strstr(rig.said, "1:saved\n") != NULL);
}

TEST(a_run_that_was_paused_before_it_began_waits)
{
    const struct exec_hooks hooks = {0};
    rig_open(&rig, "touch ran", NULL);
    EXPECT_EQ(exec_open(&rig.process, &rig.spec, &hooks), SH_OK);
    exec_pause(rig.process);
    EXPECT_EQ(exec_start(rig.process), SH_OK);
    exec_stop(rig.process, NULL);
    exec_close(rig.process);
    char path[512];
    (void)snprintf(path, sizeof path, "%s/ran", tst_dir());
    EXPECT(access(path, F_OK) != 0);
}

static void remember_end(void *context, const struct exec_result *result)
{
    *(struct exec_result *)context = *result;
}

TEST(a_run_on_its_own_thread_tells_its_end_once)
{
    struct exec_result result = {.cause = EXEC_LOST};
    const struct exec_hooks hooks = {.context = &result, .end = remember_end};
    rig_open(&rig, "exit 3", NULL);
    EXPECT_EQ(exec_open(&rig.process, &rig.spec, &hooks), SH_OK);
    EXPECT_EQ(exec_start(rig.process), SH_OK);
    exec_close(rig.process);
    EXPECT_EQ(result.cause, EXEC_EXIT);
    EXPECT_EQ(result.code, 3);
}

TEST(memory_of_the_whole_tree_is_limited)
{
    /* Neither half alone is too much. */
    rig_open(&rig,
             "python3 -c \"import os,time; os.fork(); x=bytearray(os.urandom(1))*60000000; "
             "time.sleep(100)\"",
             NULL);
    rig.spec.limits.memory_bytes = 100u << 20;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_OOM);
    EXPECT(rig.result.memory_peak_bytes > 100u << 20);
    EXPECT(strstr(rig.result.text, "100 MiB are allowed") != NULL);
}

TEST(memory_that_processes_share_counts_once)
{
    rig_open(&rig,
             "python3 -c \"import os,time; x=bytearray(os.urandom(1))*50000000; os.fork(); "
             "os.fork(); time.sleep(1.5)\"",
             NULL);
    rig.spec.limits.memory_bytes = 120u << 20;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_OK);
    EXPECT(rig.result.memory_peak_bytes > 120u << 20); /* as RSS counts */
}

TEST(processes_and_threads_are_limited)
{
    rig_open(&rig, "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 100 & done; wait", NULL);
    rig.spec.limits.tasks = 8;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_TASKS);
    EXPECT(strstr(rig.result.text, " processes and threads, 8 are allowed") != NULL);
}

TEST(files_of_the_working_directory_are_limited)
{
    rig_open(&rig,
             "mkdir a; for i in 1 2 3 4; do dd if=/dev/zero of=a/$i bs=1M count=4; done 2>&1; "
             "exec sleep 100",
             NULL);
    rig.spec.limits.disk_bytes = 10u << 20;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_DISK);
}

TEST(a_file_that_grows_too_large_is_told_as_disk)
{
    rig_open(&rig, "exec dd if=/dev/zero of=x bs=1M count=4", NULL);
    rig.spec.limits.file_bytes = 1u << 20;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_DISK);
}

TEST(a_disk_that_is_nearly_full_ends_a_run)
{
    rig_open(&rig, "exec sleep 100", NULL);
    rig.spec.limits.disk_free_bytes = UINT64_MAX / 2;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_DISK);
}

TEST(data_of_one_process_is_limited_without_limiting_addresses)
{
    rig_open(&rig, "python3 -c 'x=bytearray(300000000)' 2>&1 | tail -1; ulimit -v; ulimit -d",
             NULL);
    rig.spec.limits.data_bytes = 200u << 20;
    rig_run(&rig);
    EXPECT(strstr(rig.said, "1:MemoryError\n1:unlimited\n1:204800\n") != NULL);
}

static void kill_keeper(struct rig *r)
{
    EXPECT_EQ(kill((pid_t)rig_number(r, "1:keeper "), SIGKILL), 0);
}

TEST(a_killed_keeper_loses_the_command_but_leaves_nothing_in_its_group)
{
    rig_open(&rig, "echo keeper $PPID; echo pid $$; echo ready; exec sleep 100", NULL);
    rig.trigger = "ready";
    rig.at_trigger = kill_keeper;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_LOST);
    EXPECT(rig_gone(rig_number(&rig, "1:pid "), 30 * SECOND));
}

TEST(what_held_a_pipe_open_when_its_keeper_was_killed_is_given_up_in_time)
{
    /* It left the group, and without a keeper nobody finds it: only the deadline helps. */
    rig_open(&rig,
             "mkfifo go; echo keeper $PPID; setsid sh -c 'echo pid $$; echo >go; exec sleep 100' & "
             "read x <go; echo ready; wait",
             NULL);
    rig.trigger = "ready";
    rig.at_trigger = kill_keeper;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_LOST);
    EXPECT(rig.result.wall_us >= EXEC_KILL_US);
    EXPECT(rig.result.wall_us < EXEC_KILL_US + 3 * SECOND * tst_slower());
    EXPECT(strstr(rig.result.text, "did not end") != NULL);
    EXPECT_EQ(kill((pid_t)rig_number(&rig, "1:pid "), SIGKILL), 0);
}

TEST(when_the_agent_is_killed_nothing_of_its_commands_survives)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/pids", tst_dir());
    EXPECT_EQ(mkfifo(path, 0600), 0);
    const pid_t agent = fork();
    if (agent == 0) {
        rig_open(&rig,
                 "mkfifo go; setsid -f sh -c 'echo $$ >go; exec sleep 100'; read x <go; "
                 "echo $x $$ >pids; exec sleep 100",
                 NULL);
        rig_run(&rig);
        _exit(0);
    }
    FILE *pids = fopen(path, "re"); /* waits for the writer */
    EXPECT(pids != NULL);
    long first = 0;
    long second = 0;
    EXPECT_EQ(fscanf(pids, "%ld %ld", &first, &second), 2);
    (void)fclose(pids);
    EXPECT(rig_alive(first) && rig_alive(second));
    EXPECT_EQ(kill(agent, SIGKILL), 0);
    EXPECT_EQ(waitpid(agent, NULL, 0), agent);
    EXPECT(rig_gone(first, 30 * SECOND));
    EXPECT(rig_gone(second, 30 * SECOND));
}

TEST(a_command_can_run_as_another_user_with_a_limit_of_its_own)
{
    if (geteuid() != 0) {
        SKIP("only root can become another user");
    }
    rig_open(&rig, "id -u; id -g; id -G; (for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done) 2>&1",
             NULL);
    rig.spec.uid = 64123;
    rig.spec.gid = 64124;
    rig.spec.limits.tasks = 6;
    EXPECT_EQ(chmod(tst_dir(), 0755), 0);
    rig_run(&rig);
    EXPECT(strstr(rig.said, "1:64123\n1:64124\n1:64124\n") != NULL);
    EXPECT(strstr(rig.said, "fork") != NULL); /* refused by the kernel, before anything looked */
}

TEST(a_flood_of_output_does_not_keep_a_limit_from_striking)
{
    rig_open(&rig, "yes | tr '\\n' 'y' & exec yes", NULL);
    rig.spec.limits.run_us = SECOND;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_TIMEOUT);
    EXPECT(rig.result.lines > 10000);
    EXPECT(rig.result.wall_us < 8 * SECOND * tst_slower());
}
