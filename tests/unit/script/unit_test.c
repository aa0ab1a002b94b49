/* SPDX-License-Identifier: Apache-2.0
 *
 * Units of kind exec, from placement to result. */
#include "unit_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TEST(commands_run_in_their_package_and_leave_a_model_and_outputs)
{
    char hex[2 * SH_DIGEST_BYTES + 1];
    char rest[1024];
    struct jobs_unit unit;
    struct service_point points[4];
    size_t count = 0;
    rig_start(true);
    rig_upload_package(hex);
    (void)snprintf(rest, sizeof rest,
                   "package: \"files:%s\"\n"
                   "run:\n"
                   "  - \"cat lib/words; echo 'loss: 0.5 - val_loss: 0.75'\"\n"
                   "  - mkdir -p out && printf made > model.bin && printf \"$EXTRA\" > out/log\n"
                   "env: {EXTRA: more}\n"
                   "outputs: [model.bin, out/**]\n"
                   "model_file: model.bin\n",
                   hex);
    rig_submit_rest(rest, 1);
    struct wire_fence fence = rig_place(1, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT_EQ(unit.model_version, 1);
    rig_expect_output(&unit, "model.bin", "made");
    rig_expect_output(&unit, "out/log", "more");
    uint8_t model[16];
    EXPECT_EQ(service_blob_read(rig_agents[0].s, unit.outcome.file, 0, model, sizeof model, &count),
              SH_OK);
    EXPECT_EQ(count, 4);
    EXPECT(memcmp(model, "made", 4) == 0);
    EXPECT(memcmp(unit.outcome.model, unit.outcome.file, SH_DIGEST_BYTES) == 0);
    EXPECT(rig_said("from the package"));
    EXPECT_EQ(rig_lines[0].generation, 0); /* "unit 0 begins": the agent's own words */
    EXPECT(rig_lines[0].own);
    EXPECT_EQ(rig_lines[1].generation, fence.index);
    EXPECT_EQ(service_series_read(rig_agents[0].s, rig_job, "val_loss", 0, points, 4, &count, 0),
              SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_NEAR(points[0].value, 0.75, 0.0);
    rig_stop();
}

TEST(a_command_that_fails_fails_the_unit_with_its_last_words)
{
    struct jobs_unit unit;
    struct jobs_event events[8];
    struct service_view *view;
    uint32_t count = 0;
    rig_start(true);
    rig_submit_rest("run: [\"echo fine\", \"echo no such column >&2; exit 3\", \"echo never\"]\n",
                    1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_has_failed, &unit);
    EXPECT_EQ(unit.state, JOBS_WAITING); /* it may be tried again */
    EXPECT_EQ(service_view_open(rig_agents[0].s, &view), SH_OK);
    EXPECT_EQ(jobs_history_list(service_view_table(view), rig_job, 0, events, 8, &count), SH_OK);
    service_view_close(view);
    EXPECT(strstr(events[count - 1].text, "alpha: ") != NULL);
    EXPECT(strstr(events[count - 1].text, "status 3") != NULL);
    EXPECT(strstr(events[count - 1].text, "no such column") != NULL);
    EXPECT(!rig_said("never"));
    (void)rig_place(1, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_FAILED);
    rig_stop();
}

TEST(outputs_that_are_missing_fail_the_unit_by_name)
{
    struct jobs_unit unit;
    struct jobs_job row;
    struct service_view *view;
    rig_start(true);
    rig_submit_rest("run: [\"true\"]\noutputs: [result.csv]\n", 1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_has_failed, &unit);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_is_final, &unit);
    EXPECT_EQ(service_view_open(rig_agents[0].s, &view), SH_OK);
    EXPECT_EQ(jobs_job_get(service_view_table(view), rig_job, &row), SH_OK);
    service_view_close(view);
    EXPECT(strstr(row.fail_text, "result.csv") != NULL);
    rig_stop();
}

TEST(a_line_that_matches_an_abort_pattern_ends_the_run)
{
    struct jobs_unit unit;
    rig_start(true);
    rig_submit_rest("run: [\"echo 'loss: nan - val_loss: nan'; sleep 1000\"]\n"
                    "abort: [\"loss: nan - val_loss: nan\"]\n",
                    1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_has_failed, &unit);
    EXPECT_EQ(unit.fail_reason, SH_ERR_DIVERGED);
    rig_stop();
}

/* Wherever its text was cut. */
TEST(the_text_of_a_failure_has_whole_characters_only)
{
    static char text[1024];
    struct jobs_unit unit;
    struct jobs_event events[8];
    struct service_view *view;
    uint32_t count = 0;
    size_t used = (size_t)snprintf(text, sizeof text, "run: [\"echo '");
    for (unsigned i = 0; i < 200; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "\xc3\xa4");
    }
    (void)snprintf(text + used, sizeof text - used, "'; sleep 1000\"]\nabort: [\"\xc3\xa4\"]\n");
    rig_start(true);
    rig_submit_rest(text, 1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_has_failed, &unit);
    EXPECT_EQ(service_view_open(rig_agents[0].s, &view), SH_OK);
    EXPECT_EQ(jobs_history_list(service_view_table(view), rig_job, 0, events, 8, &count), SH_OK);
    service_view_close(view);
    const char *at = strstr(events[count - 1].text, "aborted by its output: ");
    EXPECT(at != NULL);
    at += strlen("aborted by its output: ");
    EXPECT(strlen(at) > 60);
    EXPECT_EQ(strlen(at) % 2, 0);
    EXPECT(strchr(at, '?') == NULL);
    rig_stop();
}

TEST(a_stop_ends_the_commands_and_keeps_what_there_is)
{
    struct jobs_unit unit;
    struct jobs_cmd cmd = {.type = JOBS_STOP};
    struct jobs_result result;
    rig_start(true);
    rig_submit_rest("run: [\"printf half > part; echo ready; sleep 1000\"]\n"
                    "outputs: [part, whole]\n",
                    1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await_said("ready");
    cmd.u.stop.job = rig_job;
    memory_service_apply(rig_agents[0].s, &cmd, &result);
    rig_await(rig_is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_STOPPED);
    EXPECT(unit.committed && unit.partial);
    rig_expect_output(&unit, "part", "half");
    rig_stop();
}

TEST(a_unit_that_moved_away_is_ended_here_and_begun_there)
{
    struct jobs_unit unit;
    rig_start(true);
    rig_submit_rest("run: [\"echo on $SHOAL_NODE; if [ $SHOAL_NODE = alpha ]; then sleep 1000; fi; "
                    "printf $SHOAL_NODE > who\"]\noutputs: [who]\n",
                    1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await_said("on alpha");
    (void)rig_place(1, 1, WIRE_CAUSE_MEMBER_DEAD);
    rig_await(rig_is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    rig_expect_output(&unit, "who", "beta");
    rig_await_said("unit 0 on alpha: stopped");
    rig_stop();
}

TEST(a_checkpoint_is_kept_and_given_to_the_next_attempt)
{
    struct jobs_unit unit;
    rig_start(true);
    rig_submit_rest(
        "run:\n"
        "  - 'if [ -n \"$SHOAL_RESUME_FROM\" ]; then cat $SHOAL_RESUME_FROM/state > out; exit; fi; "
        "printf seven > $SHOAL_CHECKPOINT_DIR/state; echo "
        "SHOAL {\\\"step\\\": 7, \\\"loss\\\": 1, \\\"checkpoint\\\": \\\"state\\\"}; sleep 1000'\n"
        "outputs: [out]\n",
        1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_has_checkpoint, &unit);
    EXPECT_EQ(unit.checkpoint_step, 7);
    (void)rig_place(1, 1, WIRE_CAUSE_MEMBER_DEAD);
    rig_await(rig_is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    rig_expect_output(&unit, "out", "seven");
    EXPECT(rig_said("goes on from checkpoint 7"));
    rig_stop();
}

static bool waits_again(const struct jobs_unit *unit)
{
    return unit->state == JOBS_WAITING;
}

static void give_way(struct wire_fence fence, struct jobs_unit *unit)
{
    struct jobs_cmd cmd = {.type = JOBS_EXPIRE};
    struct jobs_result result;
    cmd.u.expire = (struct jobs_expire){.unit = {.job = rig_job},
                                        .fence = fence,
                                        .cause = WIRE_CAUSE_PREEMPTED,
                                        .grace_us = RIG_WAIT_US};
    memory_service_apply(rig_agents[0].s, &cmd, &result);
    EXPECT_EQ(result.err, SH_OK);
    rig_await(waits_again, unit);
    EXPECT_EQ(unit->failures, 0);
}

TEST(a_script_that_gives_way_leaves_a_checkpoint_when_it_is_asked_to_end)
{
    struct jobs_unit unit;
    rig_start(true);
    rig_submit_rest(
        "run:\n"
        "  - 'if [ -n \"$SHOAL_RESUME_FROM\" ]; then cp $SHOAL_RESUME_FROM/state out; exit; "
        "fi; trap \"printf saved > $SHOAL_CHECKPOINT_DIR/state; exit 3\" TERM; echo ready; "
        "while :; do sleep 0.05; done'\noutputs: [out]\n",
        1);
    struct wire_fence fence = rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await_said("ready");
    give_way(fence, &unit);
    EXPECT_EQ(unit.checkpoints, 1);
    (void)rig_place(1, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    rig_expect_output(&unit, "out", "saved");
    rig_stop();
}

TEST(what_a_script_was_killed_over_is_no_checkpoint)
{
    struct jobs_unit unit;
    rig_start(true);
    rig_submit_rest(
        "run: [\"trap '' TERM; printf ha > $SHOAL_CHECKPOINT_DIR/state; echo ready; while "
        ":; do sleep 0.05; done\"]\n",
        1);
    struct wire_fence fence = rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await_said("ready");
    give_way(fence, &unit);
    EXPECT_EQ(unit.checkpoints, 0);
    rig_await_said("gives way without a checkpoint");
    rig_stop();
}

TEST(files_of_a_script_that_knows_nothing_of_shoal_are_checkpoints_too)
{
    struct jobs_unit unit;
    rig_start(true);
    rig_submit_rest(
        "run: [\"if [ -e ckpt/last ]; then cp ckpt/last out; exit; fi; mkdir ckpt; printf 5 "
        "> ckpt/last; sleep 1000\"]\n"
        "outputs: [out]\ncheckpoint: {files: [ckpt/last], every: 1s}\n",
        1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_has_checkpoint, &unit);
    (void)rig_place(1, 1, WIRE_CAUSE_MEMBER_DEAD);
    rig_await(rig_is_final, &unit);
    rig_expect_output(&unit, "out", "5");
    rig_stop();
}

TEST(a_checkpoint_that_still_changes_when_it_is_announced_is_taken_once_it_has_settled)
{
    struct jobs_unit unit;
    rig_start(true);
    rig_submit_rest(
        "run:\n"
        "  - 'timeout 1 sh -c \"while :; do echo x; done\" >> $SHOAL_CHECKPOINT_DIR/state & "
        "while ! [ -s $SHOAL_CHECKPOINT_DIR/state ]; do sleep 0.01; done; "
        "echo SHOAL {\\\"step\\\": 7, \\\"checkpoint\\\": \\\"state\\\"}; sleep 1000'\n"
        "outputs: [out]\n",
        1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_has_checkpoint, &unit);
    rig_stop();
}

TEST(members_meet_and_the_first_commits_when_all_are_done)
{
    struct jobs_unit unit;
    rig_start(true);
    rig_submit_rest("run: [\"echo rank $RANK of $WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT; test "
                    "$MASTER_PORT -gt 0; printf $RANK > rank\"]\noutputs: [rank]\n",
                    2);
    (void)rig_place(0, 2, WIRE_CAUSE_PLACED);
    rig_await(rig_is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    rig_expect_output(&unit, "rank", "0");
    EXPECT(rig_said("rank 0 of 2 at 127.0.0.1:"));
    EXPECT(rig_said("rank 1 of 2 at 127.0.0.1:"));
    rig_stop();
}

TEST(one_member_that_fails_fails_all)
{
    struct jobs_unit unit;
    rig_start(true);
    rig_submit_rest("run: [\"if [ $RANK = 1 ]; then exit 4; fi; sleep 1000\"]\n", 2);
    (void)rig_place(0, 2, WIRE_CAUSE_PLACED);
    rig_await(rig_has_failed, &unit);
    rig_stop();
}

static void await_loss(uint32_t agent)
{
    uint64_t until = sh_now_us() + RIG_WAIT_US;
    while (rig_losses_of(agent) == 0) {
        EXPECT(sh_now_us() < until);
        (void)service_wait_applied(rig_agents[0].s, rig_applied(),
                                   20000); /* nothing tells of reports */
    }
}

TEST(the_loss_of_a_member_is_no_failure_of_the_unit)
{
    struct jobs_unit unit;
    char path[512];
    rig_start(true);
    rig_submit_rest("run: [\"echo rank $RANK; while [ ! -e go ]; do sleep 0.05; done; exit 1\"]\n",
                    2);
    struct wire_fence fence = rig_place(0, 2, WIRE_CAUSE_PLACED);
    rig_await_said("rank 0");
    rig_await_said("rank 1");
    rig_stop_train(1); /* its commands end with it */
    (void)snprintf(path, sizeof path, "%s/work0/%llu-0-%llu/go", tst_dir(),
                   (unsigned long long)rig_job, (unsigned long long)fence.index);
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL);
    EXPECT_EQ(fclose(file), 0);
    await_loss(1);
    rig_read_unit(&unit);
    EXPECT_EQ(unit.failures, 0);
    EXPECT_EQ(unit.state, JOBS_RUNNING);
    rig_start_train(1, true);
    rig_stop();
}

TEST(a_member_that_restarted_asks_for_another_gang)
{
    rig_start(true);
    rig_submit_rest("run: [\"echo rank $RANK; sleep 1000\"]\n", 2);
    (void)rig_place(0, 2, WIRE_CAUSE_PLACED);
    rig_await_said("rank 0");
    rig_await_said("rank 1");
    rig_stop_train(1);
    rig_start_train(1, true);
    await_loss(1);
    rig_stop();
}

TEST(a_first_member_that_restarted_asks_for_another_gang)
{
    rig_start(true);
    rig_submit_rest("run: [\"echo rank $RANK; sleep 1000\"]\n", 2);
    (void)rig_place(0, 2, WIRE_CAUSE_PLACED);
    rig_await_said("rank 1");
    rig_stop_train(0);
    rig_start_train(0, true);
    await_loss(0);
    rig_stop();
}

TEST(commands_that_ignore_a_polite_end_are_killed_when_the_agent_leaves)
{
    rig_start(true);
    rig_submit("api: shoal/v1\nkind: exec\nname: n\nsandbox: {level: none}\ngrace: 1h\n"
               "run: [\"trap '' TERM; echo deaf; while :; do sleep 1; done\"]\n",
               1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await_said("deaf");
    uint64_t from = sh_now_us();
    rig_stop_train(0);
    EXPECT(sh_now_us() - from < 4 * SCRIPT_LEAVE_US);
    rig_start_train(0, true);
    rig_stop();
}

/* A job with GPUs that says which it has, and runs until a file of that name is there. */
static uint64_t begin_with_gpus(uint32_t gpus, const char *name)
{
    char rest[1024];
    (void)snprintf(rest, sizeof rest,
                   "resources: {gpus: %u}\n"
                   "run: [\"echo %s has $SHOAL_GPUS=$CUDA_VISIBLE_DEVICES.; "
                   "until [ -e %s/%s ]; do sleep 0.02; done\"]\n",
                   gpus, name, tst_dir(), name);
    rig_submit_rest(rest, 1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    return rig_job;
}

static void let_end(uint64_t number, const char *name)
{
    char path[512];
    struct jobs_unit unit;
    (void)snprintf(path, sizeof path, "%s/%s", tst_dir(), name);
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL && fclose(file) == 0);
    rig_job = number;
    rig_await(rig_has_completed, &unit);
}

TEST(units_that_run_at_a_time_have_distinct_gpus_and_leave_them_to_the_next)
{
    rig_start(true);
    uint64_t a = begin_with_gpus(1, "a");
    rig_await_said("a has 0=0.");
    uint64_t b = begin_with_gpus(2, "b");
    rig_await_said("b has 1,2=1,2.");
    rig_await_said(", GPUs 1,2");         /* the agent's own words come by another thread */
    uint64_t c = begin_with_gpus(2, "c"); /* waits: one is free */
    let_end(a, "a");
    rig_job = c;
    rig_await_said("c has 0,3=0,3.");
    let_end(c, "c");
    let_end(b, "b");
    uint64_t none = begin_with_gpus(0, "d");
    rig_await_said("d has =.");
    let_end(none, "d");
    rig_stop();
}

#define USER 60600u

/* Its working folder is its own, that of another unit is closed to it, and so is the agent's. */
TEST(of_an_agent_of_root_each_unit_runs_as_a_user_of_its_own)
{
    char rest[1024];
    char hex[2 * SH_DIGEST_BYTES + 1];
    struct jobs_unit unit;
    if (geteuid() != 0) {
        tst_skip("only root can run commands as others");
    }
    EXPECT(chmod(tst_dir(), 0711) == 0);
    rig_run_as = USER;
    rig_start(true);
    rig_upload_package(hex);
    uint64_t first = begin_with_gpus(0, "a");
    rig_await_said("a has =.");
    (void)snprintf(
        rest, sizeof rest,
        "package: \"files:%s\"\n"
        "run:\n"
        "  - echo user $(id -u) group $(id -g) groups $(id -G).\n"
        "  - echo kept > /dev/shm/shoal-unit-test\n"
        "  - cat lib/words && printf made > lib/words && mkdir made && > made/file\n"
        "  - \"! ls %s/work0/%llu-* && ! touch %s/work0/x && ! ls %s/work0 && echo closed\"\n"
        "outputs: [lib/**, made/**]\n",
        hex, tst_dir(), (unsigned long long)first, tst_dir(), tst_dir());
    rig_submit_rest(rest, 1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    rig_expect_output(&unit, "lib/words", "made");
    EXPECT(rig_said("user 60601 group 60601 groups 60601."));
    EXPECT(rig_said("closed"));
    let_end(first, "a");
    rig_stop();
    EXPECT(access("/dev/shm/shoal-unit-test", F_OK) != 0); /* went with its seat */
}

TEST(an_agent_whose_folder_is_closed_to_the_users_of_units_says_so_and_does_not_start)
{
    struct scripts *scripts = NULL;
    char why[SCRIPT_OPEN_WHY + 1];
    char work[256];
    if (geteuid() != 0) {
        tst_skip("only root can run commands as others");
    }
    sh_host_init();
    struct service *s = memory_service_open();
    EXPECT(chmod(tst_dir(), 0700) == 0);
    (void)snprintf(work, sizeof work, "%s/work", tst_dir());
    struct scripts_config config = {
        .s = s, .allowed = true, .work = work, .keeper = KEEPER, .run_as = USER};
    EXPECT_EQ(scripts_open(&scripts, &config, why), SH_ERR_DENIED);
    EXPECT(strstr(why, "commands cannot run as user 60600 in ") == why);
    EXPECT(strstr(why, "cannot enter the working directory") != NULL);
    memory_service_close(s);
}

TEST(a_job_that_asks_for_less_than_the_agents_minimum_runs_at_the_minimum)
{
    char rest[512];
    struct jobs_unit unit;
    rig_sandbox_min = EXEC_LEVEL_BASIC;
    rig_start(true);
    if (scripts_sandbox(rig_agents[0].scripts) == WIRE_SANDBOX_OFF) {
        tst_skip("this machine has no sandbox of level basic");
    }
    /* Level none, which submit_rest asks for, would let it. */
    (void)snprintf(rest, sizeof rest, "run: [\"! touch %s/outside && echo kept inside\"]\n",
                   tst_dir());
    rig_submit_rest(rest, 1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_has_completed, &unit);
    EXPECT(rig_said("kept inside"));
    rig_stop();
}

TEST(a_machine_that_gives_less_than_its_own_minimum_runs_no_commands)
{
    struct jobs_unit unit;
    rig_sandbox_min = EXEC_LEVEL_STRICT;
    rig_bwrap = "/nonexistent/bwrap";
    rig_start(true);
    EXPECT_EQ(scripts_sandbox(rig_agents[0].scripts), WIRE_SANDBOX_OFF);
    rig_submit_rest("run: [\"echo never\"]\n", 1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_has_failed, &unit);
    EXPECT_EQ(unit.fail_reason, SH_ERR_DENIED);
    EXPECT(!rig_said("never"));
    rig_stop();
}

TEST(an_agent_that_allows_no_commands_runs_none)
{
    struct jobs_unit unit;
    rig_start(false);
    rig_submit_rest("run: [\"echo never\"]\n", 1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_has_failed, &unit);
    EXPECT_EQ(unit.fail_reason, SH_ERR_DENIED);
    EXPECT(!rig_said("never"));
    rig_stop();
}

TEST(a_package_that_is_damaged_fails_the_job_for_good)
{
    struct jobs_unit unit;
    char hex[2 * SH_DIGEST_BYTES + 1];
    char rest[256];
    uint8_t digest[SH_DIGEST_BYTES];
    rig_start(true);
    EXPECT_EQ(service_blob_put(rig_agents[0].s, "no package", 10, 1, digest, NULL, RIG_WAIT_US),
              SH_OK);
    sh_hex(hex, digest, sizeof digest);
    (void)snprintf(rest, sizeof rest, "package: \"files:%s\"\nrun: [\"true\"]\n", hex);
    rig_submit_rest(rest, 1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await(rig_is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_FAILED);
    EXPECT_EQ(unit.fail_reason, SH_ERR_CORRUPT);
    rig_stop();
}
