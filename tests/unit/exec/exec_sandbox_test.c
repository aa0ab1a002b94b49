/* SPDX-License-Identifier: Apache-2.0
 *
 * What plans say, and what real processes can do at each level that this machine gives. */
#include "exec_rig.h"

#include "base/host/host.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000)

static struct rig rig; /* one test a process */
static struct exec_machine machine;
static struct exec_sandbox plan;
static char work[512];
static char other[512];
static char package[512];
static char secret[600];

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "we");
    EXPECT(file != NULL);
    EXPECT(fputs(text, file) >= 0);
    EXPECT_EQ(fclose(file), 0);
    EXPECT_EQ(chmod(path, mode), 0);
}

/* work/, other/secret and package/model in the directory of the test. */
static void lay_out(void)
{
    (void)snprintf(work, sizeof work, "%s/work", tst_dir());
    (void)snprintf(other, sizeof other, "%s/other", tst_dir());
    (void)snprintf(package, sizeof package, "%s/package", tst_dir());
    (void)snprintf(secret, sizeof secret, "%s/secret", other);
    EXPECT_EQ(mkdir(work, 0755), 0);
    EXPECT_EQ(mkdir(other, 0755), 0);
    EXPECT_EQ(mkdir(package, 0755), 0);
    write_file(secret, "of another job\n", 0666);
    char model[600];
    (void)snprintf(model, sizeof model, "%s/model", package);
    write_file(model, "weights\n", 0666);
}

static void at_level(enum exec_level level, const char *script)
{
    lay_out();
    exec_sandbox_probe(&machine, KEEPER, NULL, work, 0, 0);
    if (!machine.has[level]) {
        SKIP(machine.why[level]);
    }
    rig_open(&rig, script, NULL);
    plan = (struct exec_sandbox){.level = level, .package = package};
    rig.spec.sandbox = &plan;
    rig.spec.dir = work;
}

/* Whether these words (NUL after each) stand together somewhere among the options. */
#define HAS(options, words) (memmem((options), used, (words), sizeof(words) - 1) != NULL)

TEST(a_plan_becomes_options_of_bwrap)
{
    static const char *const env[] = {"A=1", "B=x=y", "C=", NULL};
    static const char *const data[] = {"/data/mnist", NULL};
    char options[8192];
    size_t used;
    const struct exec_sandbox full = {.level = EXEC_LEVEL_STRICT,
                                      .package = "/store/p",
                                      .package_at = "/work/p",
                                      .read_only = data,
                                      .tmp_bytes = 4096};
    EXPECT_EQ(exec_sandbox_options(&full, "/work", env, options, sizeof options, &used), SH_OK);
    EXPECT(HAS(options, "--unshare-all\0--unshare-user\0--disable-userns\0--die-with-parent\0"));
    EXPECT(HAS(options, "--cap-drop\0ALL\0"));
    EXPECT(HAS(options, "--ro-bind\0/usr\0/usr\0"));
    EXPECT(HAS(options, "--size\0"
                        "4096\0--tmpfs\0/tmp\0--ro-bind\0/data/mnist\0/data/mnist\0"
                        "--bind\0/work\0/work\0--ro-bind\0/store/p\0/work/p\0"
                        "--remount-ro\0/dev\0--remount-ro\0/\0--chdir\0/work\0"));
    EXPECT(HAS(options, "--size\0"
                        "268435456\0--tmpfs\0/dev/shm\0"));
    EXPECT(HAS(options, "--clearenv\0--setenv\0A\0"
                        "1\0--setenv\0B\0x=y\0--setenv\0C\0\0"));
    EXPECT(!HAS(options, "--share-net\0"));
    EXPECT(!HAS(options, "/sys\0"));
    EXPECT(!HAS(options, "/etc/resolv.conf\0"));
}

TEST(a_plan_with_network_and_devices_says_so)
{
    static const char *const env[] = {NULL};
    static const char *const devices[] = {"/dev/nvidia0", NULL};
    char options[8192];
    size_t used;
    const struct exec_sandbox full = {
        .level = EXEC_LEVEL_STRICT, .network = true, .devices = devices};
    EXPECT_EQ(exec_sandbox_options(&full, "/work", env, options, sizeof options, &used), SH_OK);
    EXPECT(HAS(options, "--share-net\0"));
    EXPECT(HAS(options, "--ro-bind-try\0/etc/resolv.conf\0"));
    EXPECT(HAS(options, "--dev-bind\0/dev/nvidia0\0/dev/nvidia0\0--ro-bind\0/sys\0/sys\0"));
}

TEST(plans_that_cannot_be_written_are_refused)
{
    static const char *const bad[] = {"NOVALUE", NULL};
    static const char *const nameless[] = {"=x", NULL};
    static const char *const good[] = {"A=1", NULL};
    static const char *many[EXEC_PATHS_MAX + 1];
    char options[8192];
    size_t used;
    struct exec_lists lists;
    struct exec_sandbox p = {.level = EXEC_LEVEL_STRICT};
    EXPECT_EQ(exec_sandbox_options(&p, "/w", bad, options, sizeof options, &used), SH_ERR_INVALID);
    EXPECT_EQ(exec_sandbox_options(&p, "/w", nameless, options, sizeof options, &used),
              SH_ERR_INVALID);
    EXPECT_EQ(exec_sandbox_options(&p, "/w", good, options, 100, &used), SH_ERR_LIMIT);
    EXPECT_EQ(exec_sandbox_lists(&p, "/w", &lists), SH_OK);
    for (size_t i = 0; i < EXEC_PATHS_MAX; i++) {
        many[i] = "/x";
    }
    p.read_only = many;
    EXPECT_EQ(exec_sandbox_lists(&p, "/w", &lists), SH_ERR_LIMIT);
}

TEST(levels_have_names)
{
    enum exec_level level;
    for (int i = 0; i < EXEC_LEVELS; i++) {
        EXPECT_EQ(exec_level_parse(exec_level_name((enum exec_level)i), &level), SH_OK);
        EXPECT_EQ(level, i);
    }
    EXPECT_EQ(exec_level_parse("firm", &level), SH_ERR_INVALID);
}

TEST(a_level_that_the_machine_cannot_give_is_not_claimed)
{
    exec_sandbox_probe(&machine, KEEPER, "/usr/bin/false", tst_dir(), 0, 0);
    EXPECT(machine.has[EXEC_LEVEL_NONE]);
    EXPECT_EQ(machine.gives[EXEC_LEVEL_NONE], 0);
    EXPECT(!machine.has[EXEC_LEVEL_STRICT]);
    EXPECT_EQ(machine.gives[EXEC_LEVEL_STRICT], 0);
    EXPECT(strstr(machine.why[EXEC_LEVEL_STRICT], "sandbox cannot be set up") != NULL);
    EXPECT(exec_machine_best(&machine) != EXEC_LEVEL_STRICT);
    exec_sandbox_probe(&machine, KEEPER, "/nonexistent/bwrap", tst_dir(), 0, 0);
    EXPECT(!machine.has[EXEC_LEVEL_STRICT]);
    EXPECT(strstr(machine.why[EXEC_LEVEL_STRICT], "cannot start bwrap") != NULL);
}

TEST(strict_hides_files_processes_and_the_network)
{
    at_level(EXEC_LEVEL_STRICT,
             "cat ../other/secret; cat ../package/model; echo x >../package/new; echo y >own; "
             "cat own; echo n $(ls -d /proc/[0-9]* | wc -l); cat /proc/net/dev | grep -c :; "
             "echo z >/top; echo z >/dev/top; echo z >/usr/top; ls /root /home /var; "
             "grep CapEff /proc/self/status; echo t >/tmp/t && cat /tmp/t");
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_OK);
    EXPECT(strstr(rig.said, "of another job") == NULL);
    EXPECT(strstr(rig.said, "1:weights\n") != NULL);
    EXPECT(strstr(rig.said, "cannot create ../package/new: Read-only") != NULL);
    EXPECT(strstr(rig.said, "1:y\n") != NULL);
    EXPECT(rig_number(&rig, "1:n ") < 8);
    EXPECT(strstr(rig.said, "\n1:1\n") != NULL); /* lo */
    EXPECT(strstr(rig.said, "cannot create /top: Read-only") != NULL);
    EXPECT(strstr(rig.said, "cannot create /dev/top: Read-only") != NULL);
    EXPECT(strstr(rig.said, "cannot create /usr/top: Read-only") != NULL);
    EXPECT(strstr(rig.said, "CapEff:\t0000000000000000") != NULL);
    EXPECT(strstr(rig.said, "1:t\n") != NULL);
    EXPECT(access("/tmp/t", F_OK) != 0);
    EXPECT_EQ(machine.gives[EXEC_LEVEL_STRICT], EXEC_GIVES_FILES | EXEC_GIVES_NETWORK |
                                                    EXEC_GIVES_SIGNALS | EXEC_GIVES_TMP |
                                                    EXEC_GIVES_HIDDEN);
}

TEST(strict_bounds_what_lies_in_memory)
{
    at_level(EXEC_LEVEL_STRICT,
             "for at in /tmp /dev/shm; do dd if=/dev/zero of=$at/x bs=1M count=8 2>/dev/null; stat "
             "-c 'size %s' $at/x; done");
    plan.tmp_bytes = 1u << 20;
    plan.shm_bytes = 2u << 20;
    rig_run(&rig);
    EXPECT(strstr(rig.said, "1:size 1048576\n1:size 2097152\n") != NULL);
}

TEST(strict_gives_the_environment_but_not_to_bwrap)
{
    static const char *const env[] = {"PATH=/usr/bin:/bin", "LD_PRELOAD=/nonexistent.so", NULL};
    at_level(EXEC_LEVEL_STRICT, "echo $LD_PRELOAD; tr '\\0' '\\n' </proc/1/cmdline");
    rig.spec.env = env;
    rig_run(&rig);
    EXPECT(strstr(rig.said, "1:/nonexistent.so\n") != NULL);
    /* sh and tr, which are loaded inside; bwrap would be the third. */
    const char *first = strstr(rig.said, "ERROR: ld.so");
    EXPECT(first != NULL);
    const char *second = strstr(first + 1, "ERROR: ld.so");
    EXPECT(second == NULL || strstr(second + 1, "ERROR: ld.so") == NULL);
    EXPECT(strstr(rig.said, "setenv") == NULL);
}

static void stop(struct rig *r)
{
    exec_stop(r->process, NULL);
}

TEST(strict_lets_a_command_save_itself_and_then_leaves_nothing)
{
    at_level(EXEC_LEVEL_STRICT, "trap 'echo saved; exit 0' TERM; setsid -f sleep 1000; echo ready; "
                                "while :; do sleep 0.1; done");
    rig.trigger = "ready";
    rig.at_trigger = stop;
    rig.spec.limits.grace_us = 20 * SECOND;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_STOPPED);
    EXPECT(strstr(rig.said, "1:saved\n") != NULL);
    EXPECT(rig.result.wall_us < 10 * SECOND * tst_slower());
}

TEST(strict_tells_how_a_command_ended)
{
    at_level(EXEC_LEVEL_STRICT, "exit 5");
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_EXIT);
    EXPECT_EQ(rig.result.code, 5);
    rig.argv[0][2] = "kill -ABRT $$";
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_SIGNAL);
    EXPECT_EQ(rig.result.signal, SIGABRT);
    rig.argv[0][0] = "absent-program";
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_SPAWN);
    EXPECT(strstr(rig.result.text, "absent-program: No such file") != NULL);
}

TEST(strict_with_a_path_that_is_not_there_is_a_sandbox_error)
{
    static const char *const absent[] = {"/nonexistent/data", NULL};
    at_level(EXEC_LEVEL_STRICT, "echo never");
    plan.read_only = absent;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_SANDBOX);
    EXPECT(strstr(rig.result.text, "/nonexistent/data") != NULL);
    EXPECT(strstr(rig.said, "never") == NULL);
}

/* Stands for bwrap, which says so where the machine lacks something for now, or for ever. */
static const struct refusal {
    const char *says;
    enum exec_cause cause;
} REFUSALS[] = {
    {"Creating new namespace failed: Resource temporarily unavailable", EXEC_BUSY},
    {"Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded "
     "(ENOSPC)",
     EXEC_BUSY},
    {"Can't fork for pid 1: Cannot allocate memory", EXEC_BUSY},
    {"Can't mount tmpfs on /newroot: No space left on device", EXEC_BUSY},
    {"No permissions to create a new namespace", EXEC_SANDBOX},
    {"setting up uid map: Permission denied", EXEC_SANDBOX},
};

TEST_ROWS(what_bwrap_cannot_do_now_is_told_from_what_it_never_can, REFUSALS)
{
    char program[600];
    char text[512];
    lay_out();
    (void)snprintf(program, sizeof program, "%s/bwrap", tst_dir());
    (void)snprintf(text, sizeof text, "#!/bin/sh\necho \"bwrap: %s\" >&2\nexit 1\n",
                   REFUSALS[tst_row].says);
    write_file(program, text, 0755);
    rig_open(&rig, "echo never", NULL);
    plan = (struct exec_sandbox){.level = EXEC_LEVEL_STRICT, .bwrap = program};
    rig.spec.sandbox = &plan;
    rig.spec.dir = work;
    rig_run(&rig);
    EXPECT_STR(exec_cause_name(rig.result.cause), exec_cause_name(REFUSALS[tst_row].cause));
    EXPECT(strstr(rig.result.text, REFUSALS[tst_row].says) != NULL);
}

TEST(without_bwrap_there_is_no_strict_level)
{
    lay_out();
    rig_open(&rig, "echo never", NULL);
    plan = (struct exec_sandbox){.level = EXEC_LEVEL_STRICT, .bwrap = "/nonexistent/bwrap"};
    rig.spec.sandbox = &plan;
    rig.spec.dir = work;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_SANDBOX);
}

TEST(strict_counts_only_the_commands_processes)
{
    at_level(EXEC_LEVEL_STRICT, "sleep 0.5 & sleep 0.5 & wait; sleep 0.5");
    rig.spec.limits.tasks = 3;
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_OK);
}

TEST(strict_works_as_another_user)
{
    if (geteuid() != 0) {
        SKIP("only root can become another user");
    }
    at_level(EXEC_LEVEL_STRICT, "id -u; echo y >own && echo wrote");
    EXPECT_EQ(chmod(tst_dir(), 0755), 0);
    EXPECT_EQ(chown(work, 64123, 64123), 0);
    exec_sandbox_probe(&machine, KEEPER, NULL, work, 64123, 64123);
    if (!machine.has[EXEC_LEVEL_STRICT]) {
        SKIP(machine.why[EXEC_LEVEL_STRICT]);
    }
    rig.spec.uid = 64123;
    rig.spec.gid = 64123;
    rig_run(&rig);
    EXPECT(strstr(rig.said, "1:64123\n1:wrote\n") != NULL);
}

static const char DIAL[] = "python3 -c 'import socket\n"
                           "for f in (socket.AF_INET, socket.AF_INET6):\n"
                           " for t in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
                           "  try:\n"
                           "   socket.socket(f, t); print(\"socket\")\n"
                           "  except OSError as e: print(\"errno\", e.errno)\n"
                           "socket.socketpair(); print(\"pair\")'";

TEST(basic_closes_files_and_the_network)
{
    char script[2048];
    (void)snprintf(script, sizeof script,
                   "cat %s; echo x >>%s; cat %s/model; echo x >%s/new; echo y >own; cat own; "
                   "ls %s; echo t >/tmp/shoal-basic-test; echo n >/dev/null && echo null; %s",
                   "../other/secret", "../other/secret", "../package", "../package", "../other",
                   DIAL);
    at_level(EXEC_LEVEL_BASIC, script);
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_OK);
    EXPECT(strstr(rig.said, "of another job") == NULL);
    EXPECT(strstr(rig.said, "1:weights\n") != NULL);
    EXPECT(strstr(rig.said, "cannot create ../package/new: Permission denied") != NULL);
    EXPECT(strstr(rig.said, "cannot open directory '../other'") != NULL);
    EXPECT(strstr(rig.said, "1:y\n") != NULL);
    EXPECT(access("/tmp/shoal-basic-test", F_OK) != 0);
    EXPECT(strstr(rig.said, "1:null\n") != NULL);
    if ((machine.gives[EXEC_LEVEL_BASIC] & EXEC_GIVES_NETWORK) != 0) {
        EXPECT(strstr(rig.said, "1:errno 13\n1:errno 13\n1:errno 13\n1:errno 13\n1:pair\n") !=
               NULL);
    }
}

TEST(basic_with_network_has_sockets)
{
    at_level(EXEC_LEVEL_BASIC, DIAL);
    plan.network = true;
    rig_run(&rig);
    EXPECT(strstr(rig.said, "1:socket\n") != NULL);
    EXPECT(strstr(rig.said, "errno 13") == NULL);
}

TEST(basic_cannot_signal_its_keeper)
{
    at_level(EXEC_LEVEL_BASIC, "kill -9 $PPID; echo status $?; sleep 100 & kill $!; echo own $?");
    if ((machine.gives[EXEC_LEVEL_BASIC] & EXEC_GIVES_SIGNALS) == 0) {
        SKIP("this kernel's Landlock does not know signals");
    }
    rig_run(&rig);
    EXPECT_EQ(rig.result.cause, EXEC_OK);
    EXPECT(rig_number(&rig, "1:status ") != 0);
    EXPECT_EQ(rig_number(&rig, "1:own "), 0);
}

TEST(basic_gains_no_privileges)
{
    at_level(EXEC_LEVEL_BASIC, "grep NoNewPrivs /proc/self/status");
    rig_run(&rig);
    EXPECT(strstr(rig.said, "NoNewPrivs:\t1\n") != NULL);
}
