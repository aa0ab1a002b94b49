/* SPDX-License-Identifier: Apache-2.0
 *
 * Members that mix their models and wait for nobody. */
#include "herd.h"
#include "tst.h"

#include <stdio.h>
#include <string.h>

static const uint32_t ALL[] = {0, 1, 2, 3};
static const char LAYERS[] = "[{dense: 64}, relu, {dense: 3}]";
static const struct herd_job SHORT = {.layers = LAYERS,
                                      .epochs = 30,
                                      .optimizer = "{adamw: {lr: 0.01}}",
                                      .local = "{steps: 2, average: gossip}"};

/* As long as the test has not seen what it waits for; then it is asked to stop. */
static const struct herd_job ENDLESS = {.layers = LAYERS,
                                        .epochs = 100000,
                                        .optimizer = "{adamw: {lr: 0.001}}",
                                        .local = "{steps: 2, average: gossip}"};

static void begin(struct herd *h, uint32_t agents, const struct herd_job *job,
                  const struct memory_net_config *net)
{
    herd_open(h, agents, net);
    herd_submit(h, job);
    (void)herd_place(h, ALL, agents, WIRE_CAUSE_PLACED);
}

static void expect_learnt(const struct jobs_unit *unit, uint32_t epochs)
{
    EXPECT_EQ(unit->state, JOBS_COMPLETED);
    EXPECT_EQ(unit->outcome.steps, (uint64_t)epochs * 4);
    EXPECT(unit->outcome.metrics.test_correct > 280);
}

/* All have been making steps for a while; how many had been given their first model. */
static uint32_t all_began(struct herd *h)
{
    herd_await_step(h, herd_step(h) + 200);
    return herd_lines(h, "begins with the model of");
}

static void stop(struct herd *h)
{
    struct jobs_unit unit;
    herd_ask_to_stop(h);
    herd_await_end(h, &unit);
    EXPECT_EQ(unit.state, JOBS_STOPPED);
    EXPECT(unit.partial);
}

static const uint32_t AGENTS[] = {1, 2, 3, 4};

TEST_ROWS(models_that_are_mixed_learn_and_are_one_in_the_end, AGENTS)
{
    struct herd h;
    struct jobs_unit unit;
    char text[64];
    begin(&h, AGENTS[tst_row], &SHORT, NULL);
    herd_await_end(&h, &unit);
    expect_learnt(&unit, SHORT.epochs);
    (void)snprintf(text, sizeof text, "the models of %u agent", AGENTS[tst_row]);
    EXPECT(herd_logged(&h, text));
    herd_close(&h);
}

TEST(models_are_mixed_over_a_bad_net)
{
    static const struct memory_net_config BAD = {
        .seed = 3, .loss_percent = 10, .delay_us = 4000, .outbox_bytes = 400000};
    struct herd h;
    struct jobs_unit unit;
    begin(&h, 3, &SHORT, &BAD);
    herd_await_end(&h, &unit);
    expect_learnt(&unit, SHORT.epochs);
    herd_close(&h);
}

TEST(parted_members_go_on_in_the_generation_that_they_have_and_come_together_again)
{
    struct herd h;
    begin(&h, 3, &ENDLESS, NULL);
    herd_await_company(&h, 3);
    uint32_t begun = all_began(&h);
    memory_bulk_cut(h.agents[2].bulk, true);
    herd_await_company(&h, 2);
    herd_await_step(&h, herd_step(&h) + 100);
    memory_bulk_cut(h.agents[2].bulk, false);
    herd_await_company(&h, 3);
    EXPECT_EQ(herd_lines(&h, "begins with the model of"), begun);
    stop(&h);
    herd_close(&h);
}

TEST(the_only_one_left_goes_on_without_a_quorum)
{
    struct herd h;
    begin(&h, 3, &ENDLESS, NULL);
    herd_await_step(&h, 40);
    memory_service_quorum(h.agents[0].s, false);
    herd_stop(&h, 0);
    herd_stop(&h, 1);
    herd_await_company(&h, 1);
    herd_await_step(&h, herd_step(&h) + 100);
    memory_service_quorum(h.agents[0].s, true);
    herd_start(&h, 1);
    herd_start(&h, 0);
    (void)herd_place(&h, (const uint32_t[]){2, 0, 1}, 3, WIRE_CAUSE_MEMBER_DEAD);
    herd_await_log(&h, "alpha begins with the model of");
    herd_await_log(&h, "beta begins with the model of");
    herd_await_company(&h, 3);
    stop(&h);
    herd_close(&h);
}

TEST(a_member_that_was_left_out_comes_back_with_the_model_that_it_had)
{
    struct herd h;
    begin(&h, 3, &ENDLESS, NULL);
    herd_await_company(&h, 3);
    uint32_t begun = all_began(&h);
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_MEMBER_DEAD);
    herd_await_company(&h, 2);
    (void)herd_place(&h, ALL, 3, WIRE_CAUSE_GROWN);
    herd_await_company(&h, 3);
    EXPECT_EQ(herd_lines(&h, "begins with the model of"), begun);
    stop(&h);
    herd_close(&h);
}

TEST(when_the_first_dies_at_the_end_another_puts_the_models_together)
{
    struct herd h;
    struct jobs_unit unit;
    begin(&h, 3, &SHORT, NULL);
    memory_service_quorum(h.agents[0].s, false); /* nobody can end it */
    herd_await_step(&h, (uint64_t)SHORT.epochs * 4);
    herd_stop(&h, 0);
    memory_service_quorum(h.agents[0].s, true);
    (void)herd_place(&h, (const uint32_t[]){1, 2}, 2, WIRE_CAUSE_MEMBER_DEAD);
    herd_await_end(&h, &unit);
    expect_learnt(&unit, SHORT.epochs);
    EXPECT(herd_logged(&h, "the models of 2 agents are one"));
    herd_close(&h);
}

TEST(after_all_died_it_goes_on_with_the_checkpoint)
{
    struct herd h;
    struct herd_job job = ENDLESS;
    job.checkpoint_every = 20;
    begin(&h, 2, &job, NULL);
    herd_await_checkpoint(&h, 60);
    herd_stop(&h, 0);
    herd_stop(&h, 1);
    herd_start(&h, 0);
    herd_start(&h, 1);
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_MEMBER_DEAD);
    herd_await_log(&h, " goes on from the checkpoint after step ");
    stop(&h);
    herd_close(&h);
}

TEST(members_that_gave_way_go_on_with_the_models_that_they_had)
{
    struct herd h;
    struct jobs_unit unit;
    begin(&h, 2, &ENDLESS, NULL);
    herd_await_step(&h, 40);
    uint32_t begun = all_began(&h);
    herd_give_way(&h, &unit);
    EXPECT(unit.checkpoint_step > 0);
    (void)herd_place(&h, (const uint32_t[]){1, 0}, 2, WIRE_CAUSE_PLACED);
    herd_await_step(&h, unit.checkpoint_step + 40);
    EXPECT(!herd_logged(&h, " goes on from the checkpoint"));
    EXPECT_EQ(herd_lines(&h, "begins with the model of"), begun);
    stop(&h);
    herd_close(&h);
}

/* Nobody learns anything: whatever is mixed is the model that all began with. */
TEST(a_newcomer_that_two_give_to_at_once_has_their_model)
{
    const struct herd_job job = {
        .optimizer = "{sgd: {lr: 1e-30}}", .local = "{steps: 2, average: gossip}", .epochs = 60};
    const struct memory_net_config net = {.seed = 3, .delay_us = 3000};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    begin(&h, 3, &job, &net);
    herd_await_step(&h, 8);
    herd_stop(&h, 2);
    herd_start(&h, 2);
    (void)herd_place(&h, ALL, 3, WIRE_CAUSE_MEMBER_DEAD);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT(herd_logged(&h, "gamma begins with the model of"));
    EXPECT_NEAR(unit.outcome.metrics.val_loss, alone.outcome.metrics.val_loss, 1e-6);
    herd_close(&h);
}
