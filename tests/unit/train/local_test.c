/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranks that train on their own and average now and then. */
#include "herd.h"
#include "metrics.h"
#include "tst.h"

#include "wire/frame.h"

#include <string.h>

static const uint32_t ALL[] = {0, 1, 2, 3};

TEST(an_average_after_each_step_of_plain_descent_is_a_step_together)
{
    struct herd_job job = {.epochs = 4, .optimizer = "{sgd: {lr: 0.1}}"};
    struct jobs_unit together;
    struct jobs_unit unit;
    herd_reference(&job, &together);
    job.local = "{steps: 1, outer: {sgd: {lr: 1}}}";
    herd_reference(&job, &unit);
    EXPECT_EQ(unit.outcome.steps, 16);
    EXPECT_NEAR(unit.outcome.metrics.train_loss, together.outcome.metrics.train_loss, 1e-5);
    EXPECT_NEAR(unit.outcome.metrics.val_loss, together.outcome.metrics.val_loss, 1e-5);
    /* And it is another computation. */
    EXPECT(memcmp(unit.outcome.state, together.outcome.state, SH_DIGEST_BYTES) != 0);
}

TEST(ranks_on_their_own_learn_and_any_number_of_agents_gives_the_same_bytes)
{
    static const char *const WAYS[] = {"{steps: 3}", "{steps: 3, reset: true}",
                                       "{steps: 4, outer: {adamw: {lr: 0.02}}}",
                                       "{steps: 2, warmup_epochs: 2}"};
    for (size_t i = 0; i < SH_COUNT(WAYS); i++) {
        const struct herd_job job = {
            .layers = "[{dense: 96}, batchnorm, relu, {dropout: 0.1}, {dense: 3}]",
            .optimizer = "{adamw: {lr: 0.01}}",
            .epochs = 8,
            .local = WAYS[i]};
        struct jobs_unit alone;
        struct jobs_unit unit;
        herd_reference(&job, &alone);
        EXPECT(alone.outcome.metrics.test_correct > 280);
        for (uint32_t agents = 2; agents <= 3; agents++) {
            herd_run(agents, NULL, &job, &unit);
            herd_expect_same(&unit, &alone);
        }
    }
}

TEST(what_is_exchanged_is_one_average_a_stretch)
{
    struct herd h;
    struct jobs_unit unit;
    struct service_point points[64];
    const struct herd_job job = {.epochs = 6, .local = "{steps: 3, warmup_epochs: 1}"};
    herd_open(&h, 2, NULL);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT_EQ(unit.outcome.steps, 24);
    /* Four steps of the first epoch, then three and one. */
    static const uint64_t AT[] = {1, 2, 3, 4, 7, 8, 11, 12, 15, 16, 19, 20, 23, 24};
    EXPECT_EQ(herd_points(&h, METRIC_LOSS, points, 64), SH_COUNT(AT));
    for (size_t i = 0; i < SH_COUNT(AT); i++) {
        EXPECT_EQ(points[i].step, AT[i]);
    }
    herd_close(&h);
}

TEST(a_member_killed_within_a_stretch_is_replaced_by_the_others)
{
    const struct herd_job job = {
        .epochs = 60, .optimizer = "{adamw: {lr: 0.01}}", .local = "{steps: 3}"};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    herd_open(&h, 3, NULL);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 3, WIRE_CAUSE_PLACED);
    memory_bulk_cut_after(h.agents[0].bulk, FRAME_TRAIN_CHUNK, 200);
    EXPECT(memory_bulk_wait_cut(h.agents[0].bulk, HERD_WAIT_US));
    herd_unit(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_RUNNING);
    (void)herd_place(&h, (const uint32_t[]){1, 2}, 2, WIRE_CAUSE_MEMBER_DEAD);
    herd_await_end(&h, &unit);
    herd_expect_same(&unit, &alone);
    herd_close(&h);
}

TEST(after_all_died_it_goes_on_with_the_outer_momentum_of_the_checkpoint)
{
    const struct herd_job job = {.epochs = 40,
                                 .optimizer = "{adamw: {lr: 0.01}}",
                                 .local = "{steps: 3}",
                                 .checkpoint_every = 10};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    herd_open(&h, 2, NULL);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 1, WIRE_CAUSE_PLACED);
    herd_await_checkpoint(&h, 30);
    herd_stop(&h, 0);
    herd_unit(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_RUNNING);
    (void)herd_place(&h, (const uint32_t[]){1}, 1, WIRE_CAUSE_MEMBER_DEAD);
    herd_await_end(&h, &unit);
    herd_expect_same(&unit, &alone);
    EXPECT(herd_logged(&h, "beta goes on from the checkpoint after step "));
    herd_close(&h);
}

TEST(a_stretch_that_diverges_ends_the_job_naming_its_steps)
{
    struct herd h;
    struct jobs_unit unit;
    struct jobs_job row;
    const struct herd_job job = {.optimizer = "{sgd: {lr: 1000}}",
                                 .layers = "[{dense: 16}, relu, {dense: 1}]",
                                 .number = true,
                                 .epochs = 50,
                                 .local = "{steps: 4, outer: {sgd: {lr: 1}}}"};
    herd_open(&h, 1, NULL);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 1, WIRE_CAUSE_PLACED);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_FAILED);
    EXPECT_EQ(unit.fail_reason, SH_ERR_DIVERGED);
    herd_job(&h, &row);
    EXPECT(strncmp(row.fail_text, "steps 1 to 4, rank 0: ", 22) == 0);
    herd_close(&h);
}

/* A stretch of many steps is not waited for. */
TEST(a_job_that_stops_gives_up_its_stretch)
{
    struct herd h;
    struct jobs_unit unit;
    const struct herd_job job = {.epochs = 100000, .local = "{steps: 4}", .checkpoint_every = 4};
    herd_open(&h, 2, NULL);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    herd_await_checkpoint(&h, 4);
    herd_ask_to_stop(&h);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_STOPPED);
    EXPECT(unit.partial);
    herd_close(&h);
}
