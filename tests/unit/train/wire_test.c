/* SPDX-License-Identifier: Apache-2.0
 *
 * Training whose sums lose something on the way (train.wire). Members whose states differ by a bit
 * cannot begin another generation: the job would fail. */
#include "herd.h"
#include "tst.h"

#include "wire/frame.h"

#include <string.h>

static const uint32_t ALL[] = {0, 1, 2, 3};
static const struct memory_net_config LOSSY = {.seed = 3, .loss_percent = 2, .delay_us = 300};
static const struct memory_net_config NEAR = {.seed = 1, .one_machine = true};

static const struct {
    const char *wire;
    double less; /* times fewer bytes between two members */
} WIRES[] = {{"bf16", 1.9}, {"int8", 3.6}, {"{topk: {fraction: 0.1}}", 5.0}};

static uint64_t train_on(uint32_t agents, const struct memory_net_config *net,
                         const struct herd_job *job, struct jobs_unit *unit)
{
    struct herd h;
    herd_open(&h, agents, net);
    herd_submit(&h, job);
    (void)herd_place(&h, ALL, agents, WIRE_CAUSE_PLACED);
    herd_await_end(&h, unit);
    uint64_t bytes = memory_net_bytes(h.net, FRAME_TRAIN_CHUNK);
    EXPECT_EQ(unit->state, JOBS_COMPLETED);
    herd_close(&h);
    return bytes;
}

TEST_ROWS(sums_that_lose_something_learn_as_well_with_fewer_bytes, WIRES)
{
    struct herd_job job = {.epochs = 10};
    struct jobs_unit plain;
    struct jobs_unit unit;
    uint64_t whole = train_on(2, NULL, &job, &plain);
    job.wire = WIRES[tst_row].wire;
    uint64_t less = train_on(2, NULL, &job, &unit);
    EXPECT((double)whole >= WIRES[tst_row].less * (double)less);
    EXPECT(unit.outcome.metrics.test_correct > 280);
    EXPECT_NEAR(unit.outcome.metrics.val_loss, plain.outcome.metrics.val_loss, 0.05);
    EXPECT(memcmp(unit.outcome.state, plain.outcome.state, SH_DIGEST_BYTES) != 0);
}

TEST_ROWS(the_same_members_give_the_same_bytes_on_any_net, WIRES)
{
    const struct herd_job job = {.epochs = 6, .wire = WIRES[tst_row].wire};
    struct jobs_unit far;
    struct jobs_unit unit;
    (void)train_on(3, NULL, &job, &far);
    (void)train_on(3, &LOSSY, &job, &unit);
    herd_expect_same(&unit, &far);
    (void)train_on(3, &NEAR, &job, &unit);
    herd_expect_same(&unit, &far);
}

TEST_ROWS(an_agent_by_itself_loses_nothing, WIRES)
{
    struct herd_job job = {.epochs = 3};
    struct jobs_unit plain;
    struct jobs_unit unit;
    herd_reference(&job, &plain);
    job.wire = WIRES[tst_row].wire;
    herd_reference(&job, &unit);
    EXPECT_MEM(unit.outcome.model, plain.outcome.model, SH_DIGEST_BYTES);
    EXPECT_MEM(unit.outcome.state, plain.outcome.state, SH_DIGEST_BYTES);
}

TEST_ROWS(differences_of_ranks_on_their_own_lose_something_too, WIRES)
{
    struct herd_job job = {.layers =
                               "[{dense: 640}, batchnorm, relu, {dense: 64}, relu, {dense: 3}]",
                           .optimizer = "{adamw: {lr: 0.01}}",
                           .epochs = 8,
                           .local = "{steps: 3, warmup_epochs: 1, reset: true}"};
    struct jobs_unit plain;
    struct jobs_unit unit;
    (void)train_on(2, NULL, &job, &plain);
    job.wire = WIRES[tst_row].wire;
    (void)train_on(2, NULL, &job, &unit);
    EXPECT(unit.outcome.metrics.test_correct > 280);
    EXPECT(memcmp(unit.outcome.state, plain.outcome.state, SH_DIGEST_BYTES) != 0);
}

TEST_ROWS(members_that_go_and_come_find_the_others_with_equal_bits, WIRES)
{
    const struct herd_job job = {.epochs = 80, .wire = WIRES[tst_row].wire};
    struct herd h;
    struct jobs_unit unit;
    herd_open(&h, 4, NULL);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 3, WIRE_CAUSE_PLACED);
    memory_bulk_cut_after(h.agents[0].bulk, FRAME_TRAIN_CHUNK, 200);
    EXPECT(memory_bulk_wait_cut(h.agents[0].bulk, HERD_WAIT_US));
    (void)herd_place(&h, (const uint32_t[]){1, 2}, 2, WIRE_CAUSE_MEMBER_DEAD);
    EXPECT(memory_net_wait(h.net, FRAME_TRAIN_CHUNK, 300, HERD_WAIT_US));
    (void)herd_place(&h, (const uint32_t[]){1, 2, 3}, 3, WIRE_CAUSE_GROWN);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT(unit.outcome.metrics.test_correct > 280);
    EXPECT(herd_logged(&h, "delta took over the state of "));
    herd_close(&h);
}

TEST_ROWS(training_that_diverges_ends_by_name, WIRES)
{
    const struct herd_job job = {.optimizer = "{sgd: {lr: 1000}}",
                                 .layers = "[{dense: 640}, relu, {dense: 1}]",
                                 .number = true,
                                 .epochs = 50,
                                 .wire = WIRES[tst_row].wire};
    struct herd h;
    struct jobs_unit unit;
    struct jobs_job row;
    herd_open(&h, 2, NULL);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_FAILED);
    EXPECT_EQ(unit.fail_reason, SH_ERR_DIVERGED);
    herd_job(&h, &row);
    EXPECT(strncmp(row.fail_text, "step ", 5) == 0);
    herd_close(&h);
}
