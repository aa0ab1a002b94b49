/* SPDX-License-Identifier: Apache-2.0
 *
 * What a unit needs before its commands begin: checkpoint and package, that may not be there yet.
 */
#include "unit_rig.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* The newest one, of the unit as read. */
static void newest_checkpoint(struct jobs_checkpoint *out)
{
    struct service_view *view;
    uint32_t count = 0;
    EXPECT_EQ(service_view_open(rig_agents[0].s, &view), SH_OK);
    EXPECT_EQ(jobs_checkpoint_list(service_view_table(view), (struct wire_unit){.job = rig_job},
                                   out, 1, &count),
              SH_OK);
    service_view_close(view);
    EXPECT_EQ(count, 1);
}

static const char COUNTS[] =
    "run:\n"
    "  - 'if [ -n \"$SHOAL_RESUME_FROM\" ]; then cat $SHOAL_RESUME_FROM/state > out; exit; fi; "
    "i=0; while true; do i=$((i+1)); printf $i > $SHOAL_CHECKPOINT_DIR/state; "
    "echo SHOAL {\\\"step\\\": $i, \\\"loss\\\": 1, \\\"checkpoint\\\": \\\"state\\\"}; sleep 0.2; "
    "done'\n"
    "outputs: [out]\n";

/* beta leaves checkpoints and is no more. */
static void leave_checkpoints(bool (*enough)(const struct jobs_unit *unit),
                              struct jobs_checkpoint *newest)
{
    struct jobs_unit unit;
    rig_submit_rest(COUNTS, 1);
    (void)rig_place(1, 1, WIRE_CAUSE_PLACED);
    rig_await(enough, &unit);
    rig_stop_train(1);
    newest_checkpoint(newest);
}

static const struct {
    enum sh_err err;
    bool away; /* who was given it */
} PASSING[] = {{SH_ERR_TIMEOUT, false}, {SH_ERR_UNREACHABLE, false}, {SH_ERR_NOT_FOUND, true}};

TEST_ROWS(a_checkpoint_that_may_come_back_is_waited_for_and_costs_no_retry, PASSING)
{
    struct jobs_unit unit;
    struct jobs_checkpoint newest;
    char out[24];
    rig_start(true);
    leave_checkpoints(rig_has_checkpoint, &newest);
    if (PASSING[tst_row].away) {
        memory_service_close(rig_agents[1].s);
    }
    memory_service_fetch_error(rig_agents[0].s, newest.manifest, PASSING[tst_row].err);
    (void)rig_place(0, 1, WIRE_CAUSE_MEMBER_DEAD);
    rig_await_said("alpha waits for the checkpoint ");
    rig_read_unit(&unit);
    EXPECT_EQ(unit.state, JOBS_RUNNING);
    EXPECT(!rig_said("unit 0 begins on alpha"));
    memory_service_fetch_error(rig_agents[0].s, newest.manifest, SH_OK);
    rig_await(rig_is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT_EQ(unit.failures, 0);
    if (PASSING[tst_row].away) {
        rig_agents[1].s = memory_service_join(rig_agents[0].s, "gamma");
    }
    (void)snprintf(out, sizeof out, "%llu", (unsigned long long)newest.step);
    rig_expect_output(&unit, "out", out);
    rig_start_train(1, true);
    rig_stop();
}

static bool has_two_checkpoints(const struct jobs_unit *unit)
{
    return unit->checkpoints == 2;
}

TEST(a_damaged_checkpoint_is_passed_over_for_the_one_before)
{
    struct jobs_unit unit;
    struct jobs_checkpoint newest;
    rig_start(true);
    leave_checkpoints(has_two_checkpoints, &newest);
    memory_service_fetch_error(rig_agents[0].s, newest.manifest, SH_ERR_CORRUPT);
    (void)rig_place(0, 1, WIRE_CAUSE_MEMBER_DEAD);
    rig_await(rig_is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT(rig_said("alpha cannot use the checkpoint "));
    EXPECT(rig_said("goes on from checkpoint "));
    rig_start_train(1, true);
    rig_stop();
}

TEST(a_package_that_does_not_come_is_waited_for_and_costs_no_retry)
{
    struct jobs_unit unit;
    char hex[2 * SH_DIGEST_BYTES + 1];
    char rest[256];
    uint8_t digest[SH_DIGEST_BYTES];
    rig_start(true);
    rig_upload_package(hex);
    EXPECT_EQ(sh_unhex(digest, sizeof digest, hex), SH_OK);
    memory_service_fetch_error(rig_agents[0].s, digest, SH_ERR_TIMEOUT);
    (void)snprintf(rest, sizeof rest, "package: \"files:%s\"\nrun: [cat lib/words]\n", hex);
    rig_submit_rest(rest, 1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    rig_await_said("waits for its package");
    memory_service_fetch_error(rig_agents[0].s, digest, SH_OK);
    rig_await(rig_is_final, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT_EQ(unit.failures, 0);
    rig_stop();
}

static atomic_uint refused;

static enum sh_err refuse(void *ctx, struct train_part **out,
                          const struct train_part_config *config,
                          const struct train_assignment *first)
{
    (void)ctx;
    (void)config;
    (void)first;
    *out = NULL;
    atomic_fetch_add(&refused, 1);
    return SH_ERR_NO_MEMORY;
}

/* The unit has failed, not for good, with that text. */
static void expect_tried_again(enum sh_err reason, const char *text)
{
    struct jobs_unit unit;
    struct jobs_event events[8];
    struct service_view *view;
    uint32_t count = 0;
    rig_await(rig_has_failed, &unit);
    EXPECT_EQ(unit.state, JOBS_WAITING);
    EXPECT_EQ(unit.fail_reason, reason);
    EXPECT_EQ(service_view_open(rig_agents[0].s, &view), SH_OK);
    EXPECT_EQ(jobs_history_list(service_view_table(view), rig_job, 0, events, 8, &count), SH_OK);
    service_view_close(view);
    EXPECT(count > 0);
    EXPECT(strstr(events[count - 1].text, text) != NULL);
}

TEST(a_unit_that_cannot_begin_fails_there_with_the_reason_and_is_tried_again)
{
    static const struct train_runner REFUSES = {.open = refuse};
    atomic_store(&refused, 0);
    rig_runner = &REFUSES;
    rig_start(true);
    rig_submit_rest("run: [\"true\"]\n", 1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    expect_tried_again(SH_ERR_NO_MEMORY, "alpha cannot begin: out of memory");
    EXPECT_EQ(atomic_load(&refused), TRAIN_OPEN_TRIES);
    rig_stop();
}

TEST(a_job_file_of_a_newer_agent_fails_only_where_it_cannot_be_read)
{
    rig_newer = true;
    rig_start(true);
    rig_submit_rest("run: [\"true\"]\n", 1);
    (void)rig_place(0, 1, WIRE_CAUSE_PLACED);
    expect_tried_again(SH_ERR_INVALID,
                       "alpha cannot read the job: job:1:2: a_newer_key: unknown key");
    rig_stop();
}
