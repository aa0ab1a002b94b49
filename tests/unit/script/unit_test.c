/* SPDX-License-Identifier: Apache-2.0
 *
 * Units of kind exec on agents of one process, with real commands. What the planner would do
 * (place, place anew, expire) the tests do. */
#include "script/unit.h"

#include "base/host/host.h"
#include "job_text.h"
#include "jobs/view.h"
#include "memory_bulk.h"
#include "memory_service.h"
#include "spec/package.h"
#include "train/train.h"
#include "tst.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGENTS  2u
#define WAIT_US UINT64_C(60000000)

struct agent {
    struct service *s;
    struct bulk *bulk;
    struct scripts *scripts;
    struct train *train;
};

static struct memory_net *net;
static struct agent agents[AGENTS];
static uint64_t job;
static uint32_t run_as; /* of the agents that start next, as are these */
static enum exec_level sandbox_min;
static const char *bwrap;
static struct service_log_line lines[512];
static size_t line_count;
static pthread_mutex_t lost_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned lost[2]; /* reports about agents 0 and 1 */

static void wake(void *ctx)
{
    train_wake(ctx);
}

static void on_lost(void *ctx, struct wire_unit unit, struct wire_fence fence,
                    const uint8_t node[SH_NODE_ID_BYTES])
{
    (void)ctx;
    (void)unit;
    (void)fence;
    EXPECT(pthread_mutex_lock(&lost_lock) == 0);
    lost[node[0] == 0x11 ? 0 : 1]++; /* ids of memory_service.c */
    EXPECT(pthread_mutex_unlock(&lost_lock) == 0);
}

static unsigned losses_of(uint32_t agent)
{
    EXPECT(pthread_mutex_lock(&lost_lock) == 0);
    unsigned count = lost[agent];
    EXPECT(pthread_mutex_unlock(&lost_lock) == 0);
    return count;
}

static void start_train(uint32_t i, bool allowed)
{
    struct agent *a = &agents[i];
    char work[256];
    char cache[256];
    char why[SCRIPT_OPEN_WHY + 1];
    a->bulk = memory_bulk_open(net, a->s);
    (void)snprintf(work, sizeof work, "%s/work%u", tst_dir(), i);
    (void)snprintf(cache, sizeof cache, "%s/cache%u", tst_dir(), i);
    struct scripts_config scripts = {.s = a->s,
                                     .allowed = allowed,
                                     .work = work,
                                     .keeper = KEEPER,
                                     .run_as = run_as,
                                     .sandbox_min = sandbox_min,
                                     .bwrap = bwrap,
                                     .gpus = 4};
    EXPECT_EQ(scripts_open(&a->scripts, &scripts, why), SH_OK);
    service_on_call(a->s, SERVICE_CALL_SCRIPT, scripts_answer, a->scripts);
    struct train_config train = {.s = a->s,
                                 .bulk = a->bulk,
                                 .threads = 1,
                                 .cache = cache,
                                 .exec = scripts_runner(a->scripts)};
    EXPECT_EQ(train_open(&a->train, &train), SH_OK);
    EXPECT_EQ(train_start(a->train), SH_OK);
    memory_bulk_start(a->bulk);
    memory_service_on_applied(a->s, wake, a->train);
    train_wake(a->train);
}

static void stop_train(uint32_t i)
{
    struct agent *a = &agents[i];
    memory_service_on_applied(a->s, NULL, NULL);
    train_stop(a->train);
    memory_bulk_close(a->bulk);
    train_close(a->train);
    service_on_call(a->s, SERVICE_CALL_SCRIPT, NULL, NULL);
    scripts_close(a->scripts);
}

static void start(bool allowed)
{
    static const struct memory_net_config PLAIN = {.seed = 1};
    sh_host_init();
    net = memory_net_open(&PLAIN);
    memset(lost, 0, sizeof lost);
    for (uint32_t i = 0; i < AGENTS; i++) {
        agents[i].s = i == 0 ? memory_service_open() : memory_service_join(agents[0].s, "beta");
        memory_service_on_lost(agents[i].s, on_lost, NULL);
        start_train(i, allowed);
    }
}

static void stop(void)
{
    for (uint32_t i = 0; i < AGENTS; i++) {
        stop_train(i);
    }
    for (uint32_t i = 0; i < AGENTS; i++) {
        memory_service_close(agents[i].s);
    }
    memory_net_close(net);
}

/* ---- jobs ---- */

static void submit(const char *text, uint32_t members)
{
    static struct spec_job parsed;
    static struct jobs_cmd cmd;
    struct jobs_result result;
    job_text_submit(text, &cmd, &parsed);
    struct jobs_submit *s = &cmd.u.submit;
    s->kind = WIRE_KIND_EXEC;
    s->need = (struct wire_need){.ranks = (uint16_t)members,
                                 .agents_min = 1,
                                 .agents_max = (uint16_t)members,
                                 .arithmetic = WIRE_ARITHMETIC_ANY};
    s->units = 1;
    s->retries = 1;
    s->checkpoint_keep = 2;
    memory_service_apply(agents[0].s, &cmd, &result);
    job = result.unit.job;
}

/* The rest of a job file behind the head that all have. */
static void submit_rest(const char *rest, uint32_t members)
{
    char text[4096];
    (void)snprintf(text, sizeof text,
                   "api: shoal/v1\nkind: exec\nname: n\nsandbox: {level: none}\ngrace: 1s\n%s",
                   rest);
    submit(text, members);
}

static struct wire_fence place(uint32_t first, uint32_t count, enum wire_cause cause)
{
    struct service *list[AGENTS];
    for (uint32_t i = 0; i < count; i++) {
        list[i] = agents[(first + i) % AGENTS].s;
    }
    return memory_service_place_gang(agents[0].s, job, list, count, cause);
}

static void read_unit(struct jobs_unit *unit)
{
    struct service_view *view;
    struct wire_unit id = {.job = job};
    EXPECT_EQ(service_view_open(agents[0].s, &view), SH_OK);
    EXPECT_EQ(jobs_unit_get(service_view_table(view), id, unit), SH_OK);
    service_view_close(view);
}

static uint64_t applied(void)
{
    struct service_status status;
    service_status(agents[0].s, &status);
    return status.applied_index;
}

static void await(bool (*holds)(const struct jobs_unit *unit), struct jobs_unit *unit)
{
    uint64_t until = sh_now_us() + WAIT_US;
    for (;;) {
        uint64_t index = applied();
        read_unit(unit);
        if (holds(unit)) {
            return;
        }
        if (sh_now_us() > until) {
            tst_fail(__FILE__, __LINE__, "the unit is %s", jobs_state_name(unit->state));
        }
        (void)service_wait_applied(agents[0].s, index, 1000000);
    }
}

static bool is_final(const struct jobs_unit *unit)
{
    return jobs_state_final(unit->state);
}

static bool has_completed(const struct jobs_unit *unit)
{
    return unit->state == JOBS_COMPLETED;
}

static bool has_failed(const struct jobs_unit *unit)
{
    return unit->failures > 0;
}

static bool has_checkpoint(const struct jobs_unit *unit)
{
    return unit->checkpoints > 0;
}

/* Lines of the commands come while they run. */
static bool said(const char *text)
{
    struct service_log_want want = {.before = UINT64_MAX, .unit = SERVICE_LINE_ALL};
    bool found = false;
    EXPECT_EQ(service_log_read(agents[0].s, job, &want, lines, SH_COUNT(lines), &line_count, 0),
              SH_OK);
    for (size_t i = 0; i < line_count && !found; i++) {
        found = strstr(lines[i].text, text) != NULL;
    }
    return found;
}

static void await_said(const char *text)
{
    uint64_t until = sh_now_us() + WAIT_US;
    while (!said(text)) {
        EXPECT(sh_now_us() < until);
        (void)service_wait_applied(agents[0].s, applied(), 20000); /* nothing tells of lines */
    }
}

/* One file of what the unit left. */
static void expect_output(const struct jobs_unit *unit, const char *path, const char *text)
{
    static uint8_t blob[65536];
    size_t size = 0;
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    bool found = false;
    EXPECT_EQ(service_blob_read(agents[1].s, unit->outcome.state, 0, blob, sizeof blob, &size),
              SH_OK);
    EXPECT_EQ(spec_fileset_open(&set, (struct sh_span){.at = blob, .size = size}), SH_OK);
    while (spec_fileset_next(&set, &entry) == SH_OK) {
        if (strcmp(entry.path, path) == 0) {
            found = true;
            EXPECT_EQ(entry.bytes.size, strlen(text));
            EXPECT(memcmp(entry.bytes.at, text, entry.bytes.size) == 0);
        }
    }
    EXPECT(found);
}

static void upload_package(char hex[static 2 * SH_DIGEST_BYTES + 1])
{
    char path[512];
    char why[256] = "";
    uint8_t *bytes = NULL;
    size_t size = 0;
    uint8_t digest[SH_DIGEST_BYTES];
    (void)snprintf(path, sizeof path, "%s/package", tst_dir());
    EXPECT(mkdir(path, 0700) == 0);
    (void)snprintf(path, sizeof path, "%s/package/lib", tst_dir());
    EXPECT(mkdir(path, 0700) == 0);
    (void)snprintf(path, sizeof path, "%s/package/lib/words", tst_dir());
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL);
    EXPECT(fputs("from the package\n", file) >= 0);
    EXPECT_EQ(fclose(file), 0);
    (void)snprintf(path, sizeof path, "%s/package", tst_dir());
    EXPECT_EQ(spec_package_pack(path, &bytes, &size, why, sizeof why), SH_OK);
    EXPECT_EQ(service_blob_put(agents[0].s, bytes, size, 1, digest, NULL, WAIT_US), SH_OK);
    sh_hex(hex, digest, sizeof digest);
    free(bytes);
}

/* ---- tests ---- */

TEST(commands_run_in_their_package_and_leave_a_model_and_outputs)
{
    char hex[2 * SH_DIGEST_BYTES + 1];
    char rest[1024];
    struct jobs_unit unit;
    struct service_point points[4];
    size_t count = 0;
    start(true);
    upload_package(hex);
    (void)snprintf(rest, sizeof rest,
                   "package: \"files:%s\"\n"
                   "run:\n"
                   "  - \"cat lib/words; echo 'loss: 0.5 - val_loss: 0.75'\"\n"
                   "  - mkdir -p out && printf made > model.bin && printf \"$EXTRA\" > out/log\n"
                   "env: {EXTRA: more}\n"
                   "outputs: [model.bin, out/**]\n"
                   "model_file: model.bin\n",
                   hex);
    submit_rest(rest, 1);
    struct wire_fence fence = place(1, 1, WIRE_CAUSE_PLACED);
    await(is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT_EQ(unit.model_version, 1);
    expect_output(&unit, "model.bin", "made");
    expect_output(&unit, "out/log", "more");
    uint8_t model[16];
    EXPECT_EQ(service_blob_read(agents[0].s, unit.outcome.file, 0, model, sizeof model, &count),
              SH_OK);
    EXPECT_EQ(count, 4);
    EXPECT(memcmp(model, "made", 4) == 0);
    EXPECT(memcmp(unit.outcome.model, unit.outcome.file, SH_DIGEST_BYTES) == 0);
    EXPECT(said("from the package"));
    EXPECT_EQ(lines[0].generation, 0); /* "unit 0 begins": the agent's own words */
    EXPECT(lines[0].own);
    EXPECT_EQ(lines[1].generation, fence.index);
    EXPECT_EQ(service_series_read(agents[0].s, job, "val_loss", 0, points, 4, &count, 0), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_NEAR(points[0].value, 0.75, 0.0);
    stop();
}

TEST(a_command_that_fails_fails_the_unit_with_its_last_words)
{
    struct jobs_unit unit;
    struct jobs_event events[8];
    struct service_view *view;
    uint32_t count = 0;
    start(true);
    submit_rest("run: [\"echo fine\", \"echo no such column >&2; exit 3\", \"echo never\"]\n", 1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await(has_failed, &unit);
    EXPECT_EQ(unit.state, JOBS_WAITING); /* it may be tried again */
    EXPECT_EQ(service_view_open(agents[0].s, &view), SH_OK);
    EXPECT_EQ(jobs_history_list(service_view_table(view), job, 0, events, 8, &count), SH_OK);
    service_view_close(view);
    EXPECT(strstr(events[count - 1].text, "alpha: ") != NULL);
    EXPECT(strstr(events[count - 1].text, "status 3") != NULL);
    EXPECT(strstr(events[count - 1].text, "no such column") != NULL);
    EXPECT(!said("never"));
    (void)place(1, 1, WIRE_CAUSE_PLACED);
    await(is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_FAILED);
    stop();
}

TEST(outputs_that_are_missing_fail_the_unit_by_name)
{
    struct jobs_unit unit;
    struct jobs_job row;
    struct service_view *view;
    start(true);
    submit_rest("run: [\"true\"]\noutputs: [result.csv]\n", 1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await(has_failed, &unit);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await(is_final, &unit);
    EXPECT_EQ(service_view_open(agents[0].s, &view), SH_OK);
    EXPECT_EQ(jobs_job_get(service_view_table(view), job, &row), SH_OK);
    service_view_close(view);
    EXPECT(strstr(row.fail_text, "result.csv") != NULL);
    stop();
}

TEST(a_line_that_matches_an_abort_pattern_ends_the_run)
{
    struct jobs_unit unit;
    start(true);
    submit_rest("run: [\"echo 'loss: nan - val_loss: nan'; sleep 1000\"]\n"
                "abort: [\"loss: nan - val_loss: nan\"]\n",
                1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await(has_failed, &unit);
    EXPECT_EQ(unit.fail_reason, SH_ERR_DIVERGED);
    stop();
}

TEST(a_stop_ends_the_commands_and_keeps_what_there_is)
{
    struct jobs_unit unit;
    struct jobs_cmd cmd = {.type = JOBS_STOP};
    struct jobs_result result;
    start(true);
    submit_rest("run: [\"printf half > part; echo ready; sleep 1000\"]\n"
                "outputs: [part, whole]\n",
                1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await_said("ready");
    cmd.u.stop.job = job;
    memory_service_apply(agents[0].s, &cmd, &result);
    await(is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_STOPPED);
    EXPECT(unit.committed && unit.partial);
    expect_output(&unit, "part", "half");
    stop();
}

TEST(a_unit_that_moved_away_is_ended_here_and_begun_there)
{
    struct jobs_unit unit;
    start(true);
    submit_rest("run: [\"echo on $SHOAL_NODE; if [ $SHOAL_NODE = alpha ]; then sleep 1000; fi; "
                "printf $SHOAL_NODE > who\"]\noutputs: [who]\n",
                1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await_said("on alpha");
    (void)place(1, 1, WIRE_CAUSE_MEMBER_DEAD);
    await(is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    expect_output(&unit, "who", "beta");
    await_said("unit 0 on alpha: stopped");
    stop();
}

TEST(a_checkpoint_is_kept_and_given_to_the_next_attempt)
{
    struct jobs_unit unit;
    start(true);
    submit_rest(
        "run:\n"
        "  - 'if [ -n \"$SHOAL_RESUME_FROM\" ]; then cat $SHOAL_RESUME_FROM/state > out; exit; fi; "
        "printf seven > $SHOAL_CHECKPOINT_DIR/state; echo "
        "SHOAL {\\\"step\\\": 7, \\\"loss\\\": 1, \\\"checkpoint\\\": \\\"state\\\"}; sleep 1000'\n"
        "outputs: [out]\n",
        1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await(has_checkpoint, &unit);
    EXPECT_EQ(unit.checkpoint_step, 7);
    (void)place(1, 1, WIRE_CAUSE_MEMBER_DEAD);
    await(is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    expect_output(&unit, "out", "seven");
    EXPECT(said("goes on from checkpoint 7"));
    stop();
}

static bool waits_again(const struct jobs_unit *unit)
{
    return unit->state == JOBS_WAITING;
}

static void give_way(struct wire_fence fence, struct jobs_unit *unit)
{
    struct jobs_cmd cmd = {.type = JOBS_EXPIRE};
    struct jobs_result result;
    cmd.u.expire = (struct jobs_expire){
        .unit = {.job = job}, .fence = fence, .cause = WIRE_CAUSE_PREEMPTED, .grace_us = WAIT_US};
    memory_service_apply(agents[0].s, &cmd, &result);
    EXPECT_EQ(result.err, SH_OK);
    await(waits_again, unit);
    EXPECT_EQ(unit->failures, 0);
}

TEST(a_script_that_gives_way_leaves_a_checkpoint_when_it_is_asked_to_end)
{
    struct jobs_unit unit;
    start(true);
    submit_rest(
        "run:\n"
        "  - 'if [ -n \"$SHOAL_RESUME_FROM\" ]; then cp $SHOAL_RESUME_FROM/state out; exit; "
        "fi; trap \"printf saved > $SHOAL_CHECKPOINT_DIR/state; exit 3\" TERM; echo ready; "
        "while :; do sleep 0.05; done'\noutputs: [out]\n",
        1);
    struct wire_fence fence = place(0, 1, WIRE_CAUSE_PLACED);
    await_said("ready");
    give_way(fence, &unit);
    EXPECT_EQ(unit.checkpoints, 1);
    (void)place(1, 1, WIRE_CAUSE_PLACED);
    await(is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    expect_output(&unit, "out", "saved");
    stop();
}

TEST(what_a_script_was_killed_over_is_no_checkpoint)
{
    struct jobs_unit unit;
    start(true);
    submit_rest("run: [\"trap '' TERM; printf ha > $SHOAL_CHECKPOINT_DIR/state; echo ready; while "
                ":; do sleep 0.05; done\"]\n",
                1);
    struct wire_fence fence = place(0, 1, WIRE_CAUSE_PLACED);
    await_said("ready");
    give_way(fence, &unit);
    EXPECT_EQ(unit.checkpoints, 0);
    await_said("gives way without a checkpoint");
    stop();
}

TEST(files_of_a_script_that_knows_nothing_of_shoal_are_checkpoints_too)
{
    struct jobs_unit unit;
    start(true);
    submit_rest(
        "run: [\"if [ -e ckpt/last ]; then cp ckpt/last out; exit; fi; mkdir ckpt; printf 5 "
        "> ckpt/last; sleep 1000\"]\n"
        "outputs: [out]\ncheckpoint: {files: [ckpt/last], every: 1s}\n",
        1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await(has_checkpoint, &unit);
    (void)place(1, 1, WIRE_CAUSE_MEMBER_DEAD);
    await(is_final, &unit);
    expect_output(&unit, "out", "5");
    stop();
}

TEST(a_checkpoint_that_still_changes_when_it_is_announced_is_taken_once_it_has_settled)
{
    struct jobs_unit unit;
    start(true);
    submit_rest(
        "run:\n"
        "  - 'timeout 1 sh -c \"while :; do echo x; done\" >> $SHOAL_CHECKPOINT_DIR/state & "
        "while ! [ -s $SHOAL_CHECKPOINT_DIR/state ]; do sleep 0.01; done; "
        "echo SHOAL {\\\"step\\\": 7, \\\"checkpoint\\\": \\\"state\\\"}; sleep 1000'\n"
        "outputs: [out]\n",
        1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await(has_checkpoint, &unit);
    stop();
}

TEST(members_meet_and_the_first_commits_when_all_are_done)
{
    struct jobs_unit unit;
    start(true);
    submit_rest("run: [\"echo rank $RANK of $WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT; test "
                "$MASTER_PORT -gt 0; printf $RANK > rank\"]\noutputs: [rank]\n",
                2);
    (void)place(0, 2, WIRE_CAUSE_PLACED);
    await(is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    expect_output(&unit, "rank", "0");
    EXPECT(said("rank 0 of 2 at 127.0.0.1:"));
    EXPECT(said("rank 1 of 2 at 127.0.0.1:"));
    stop();
}

TEST(one_member_that_fails_fails_all)
{
    struct jobs_unit unit;
    start(true);
    submit_rest("run: [\"if [ $RANK = 1 ]; then exit 4; fi; sleep 1000\"]\n", 2);
    (void)place(0, 2, WIRE_CAUSE_PLACED);
    await(has_failed, &unit);
    stop();
}

static void await_loss(uint32_t agent)
{
    uint64_t until = sh_now_us() + WAIT_US;
    while (losses_of(agent) == 0) {
        EXPECT(sh_now_us() < until);
        (void)service_wait_applied(agents[0].s, applied(), 20000); /* nothing tells of reports */
    }
}

TEST(the_loss_of_a_member_is_no_failure_of_the_unit)
{
    struct jobs_unit unit;
    char path[512];
    start(true);
    submit_rest("run: [\"echo rank $RANK; while [ ! -e go ]; do sleep 0.05; done; exit 1\"]\n", 2);
    struct wire_fence fence = place(0, 2, WIRE_CAUSE_PLACED);
    await_said("rank 0");
    await_said("rank 1");
    stop_train(1); /* its commands end with it */
    (void)snprintf(path, sizeof path, "%s/work0/%llu-0-%llu/go", tst_dir(), (unsigned long long)job,
                   (unsigned long long)fence.index);
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL);
    EXPECT_EQ(fclose(file), 0);
    await_loss(1);
    read_unit(&unit);
    EXPECT_EQ(unit.failures, 0);
    EXPECT_EQ(unit.state, JOBS_RUNNING);
    start_train(1, true);
    stop();
}

TEST(a_member_that_restarted_asks_for_another_gang)
{
    start(true);
    submit_rest("run: [\"echo rank $RANK; sleep 1000\"]\n", 2);
    (void)place(0, 2, WIRE_CAUSE_PLACED);
    await_said("rank 0");
    await_said("rank 1");
    stop_train(1);
    start_train(1, true);
    await_loss(1);
    stop();
}

TEST(a_first_member_that_restarted_asks_for_another_gang)
{
    start(true);
    submit_rest("run: [\"echo rank $RANK; sleep 1000\"]\n", 2);
    (void)place(0, 2, WIRE_CAUSE_PLACED);
    await_said("rank 1");
    stop_train(0);
    start_train(0, true);
    await_loss(0);
    stop();
}

TEST(commands_that_ignore_a_polite_end_are_killed_when_the_agent_leaves)
{
    start(true);
    submit("api: shoal/v1\nkind: exec\nname: n\nsandbox: {level: none}\ngrace: 1h\n"
           "run: [\"trap '' TERM; echo deaf; while :; do sleep 1; done\"]\n",
           1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await_said("deaf");
    uint64_t from = sh_now_us();
    stop_train(0);
    EXPECT(sh_now_us() - from < 4 * SCRIPT_LEAVE_US);
    start_train(0, true);
    stop();
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
    submit_rest(rest, 1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    return job;
}

static void let_end(uint64_t number, const char *name)
{
    char path[512];
    struct jobs_unit unit;
    (void)snprintf(path, sizeof path, "%s/%s", tst_dir(), name);
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL && fclose(file) == 0);
    job = number;
    await(has_completed, &unit);
}

TEST(units_that_run_at_a_time_have_distinct_gpus_and_leave_them_to_the_next)
{
    start(true);
    uint64_t a = begin_with_gpus(1, "a");
    await_said("a has 0=0.");
    uint64_t b = begin_with_gpus(2, "b");
    await_said("b has 1,2=1,2.");
    await_said(", GPUs 1,2");             /* the agent's own words come by another thread */
    uint64_t c = begin_with_gpus(2, "c"); /* waits: one is free */
    let_end(a, "a");
    job = c;
    await_said("c has 0,3=0,3.");
    let_end(c, "c");
    let_end(b, "b");
    uint64_t none = begin_with_gpus(0, "d");
    await_said("d has =.");
    let_end(none, "d");
    stop();
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
    run_as = USER;
    start(true);
    upload_package(hex);
    uint64_t first = begin_with_gpus(0, "a");
    await_said("a has =.");
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
    submit_rest(rest, 1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await(is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    expect_output(&unit, "lib/words", "made");
    EXPECT(said("user 60601 group 60601 groups 60601."));
    EXPECT(said("closed"));
    let_end(first, "a");
    stop();
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
    sandbox_min = EXEC_LEVEL_BASIC;
    start(true);
    if (scripts_sandbox(agents[0].scripts) == WIRE_SANDBOX_OFF) {
        tst_skip("this machine has no sandbox of level basic");
    }
    /* Level none, which submit_rest asks for, would let it. */
    (void)snprintf(rest, sizeof rest, "run: [\"! touch %s/outside && echo kept inside\"]\n",
                   tst_dir());
    submit_rest(rest, 1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await(has_completed, &unit);
    EXPECT(said("kept inside"));
    stop();
}

TEST(a_machine_that_gives_less_than_its_own_minimum_runs_no_commands)
{
    struct jobs_unit unit;
    sandbox_min = EXEC_LEVEL_STRICT;
    bwrap = "/nonexistent/bwrap";
    start(true);
    EXPECT_EQ(scripts_sandbox(agents[0].scripts), WIRE_SANDBOX_OFF);
    submit_rest("run: [\"echo never\"]\n", 1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await(has_failed, &unit);
    EXPECT_EQ(unit.fail_reason, SH_ERR_DENIED);
    EXPECT(!said("never"));
    stop();
}

TEST(an_agent_that_allows_no_commands_runs_none)
{
    struct jobs_unit unit;
    start(false);
    submit_rest("run: [\"echo never\"]\n", 1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await(has_failed, &unit);
    EXPECT_EQ(unit.fail_reason, SH_ERR_DENIED);
    EXPECT(!said("never"));
    stop();
}

TEST(a_package_that_is_damaged_fails_the_job_for_good)
{
    struct jobs_unit unit;
    char hex[2 * SH_DIGEST_BYTES + 1];
    char rest[256];
    uint8_t digest[SH_DIGEST_BYTES];
    start(true);
    EXPECT_EQ(service_blob_put(agents[0].s, "no package", 10, 1, digest, NULL, WAIT_US), SH_OK);
    sh_hex(hex, digest, sizeof digest);
    (void)snprintf(rest, sizeof rest, "package: \"files:%s\"\nrun: [\"true\"]\n", hex);
    submit_rest(rest, 1);
    (void)place(0, 1, WIRE_CAUSE_PLACED);
    await(is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_FAILED);
    EXPECT_EQ(unit.fail_reason, SH_ERR_CORRUPT);
    stop();
}
