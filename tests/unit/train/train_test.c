/* SPDX-License-Identifier: Apache-2.0 */
#include "herd.h"
#include "metrics.h"
#include "tst.h"

#include "base/host/host.h"
#include "kernels/format/safetensors.h"
#include "train/shelf.h"
#include "wire/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t ALL[] = {0, 1, 2, 3};
static const struct memory_net_config SLOW = {.seed = 5, .delay_us = 2000, .outbox_bytes = 300000};

TEST(one_agent_trains_commits_a_model_and_says_what_it_measured)
{
    struct herd h;
    struct jobs_unit unit;
    struct service_point points[64];
    herd_open(&h, 1, NULL);
    herd_submit(&h, &(struct herd_job){.epochs = 6});
    (void)herd_place(&h, ALL, 1, WIRE_CAUSE_PLACED);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT_EQ(unit.outcome.steps, 24);
    EXPECT(!unit.partial);
    const struct jobs_metrics *m = &unit.outcome.metrics;
    EXPECT_EQ(m->val_total, 32);
    EXPECT_EQ(m->test_total, 320);
    EXPECT(m->test_correct > 280);
    EXPECT(m->train_loss > 0 && m->train_loss < 0.5);
    EXPECT_EQ(herd_points(&h, METRIC_LOSS, points, 64), 24);
    EXPECT_EQ(points[23].step, 24);
    EXPECT_EQ(herd_points(&h, METRIC_VAL_ACCURACY, points, 64), 6);
    EXPECT_EQ(points[5].step, 24);
    EXPECT_NEAR(points[5].value, (double)m->val_correct / 32.0, 1e-12);
    EXPECT_EQ(herd_points(&h, METRIC_TEST_ACCURACY, points, 64), 1);
    EXPECT_NEAR(points[0].value, (double)m->test_correct / 320.0, 1e-12);
    EXPECT(herd_logged(&h, "placed: step 0, 1 agent: alpha 0-7"));
    herd_close(&h);
}

TEST(a_model_that_predicts_a_number_counts_nothing_as_right)
{
    struct herd h;
    struct jobs_unit unit;
    struct service_point points[8];
    herd_open(&h, 1, NULL);
    herd_submit(&h, &(struct herd_job){.number = true, .layers = "[{dense: 1}]"});
    (void)herd_place(&h, ALL, 1, WIRE_CAUSE_PLACED);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT_EQ(unit.outcome.metrics.test_total, 0);
    EXPECT_EQ(unit.outcome.metrics.val_total, 0);
    EXPECT(unit.outcome.metrics.val_loss > 0);
    EXPECT_EQ(herd_points(&h, METRIC_TEST_LOSS, points, 8), 1);
    EXPECT_EQ(herd_points(&h, METRIC_TEST_ACCURACY, points, 8), 0);
    EXPECT(!herd_logged(&h, "correct"));
    herd_close(&h);
}

TEST(the_model_file_holds_every_tensor_and_what_prediction_needs)
{
    struct herd h;
    struct jobs_unit unit;
    uint64_t size = 0;
    size_t got = 0;
    struct kn_safetensors file;
    herd_open(&h, 1, NULL);
    herd_submit(&h, &(struct herd_job){.layers = "[{dense: 16}, batchnorm, relu, {dense: 3}]"});
    (void)herd_place(&h, ALL, 1, WIRE_CAUSE_PLACED);
    herd_await_end(&h, &unit);
    EXPECT_EQ(service_blob_fetch(h.agents[0].s, unit.outcome.file, &size, 0), SH_OK);
    uint8_t *bytes = malloc(size);
    EXPECT(bytes != NULL);
    EXPECT_EQ(service_blob_read(h.agents[0].s, unit.outcome.file, 0, bytes, size, &got), SH_OK);
    EXPECT_EQ(got, size);
    EXPECT_EQ(kn_safetensors_read(&file, bytes, size, NULL), KN_OK);
    EXPECT_EQ(file.count, 8);
    EXPECT(kn_safetensors_find(&file, "dense1.weight") != NULL);
    EXPECT(kn_safetensors_find(&file, "bn1.running_var") != NULL);
    EXPECT_STR(kn_safetensors_meta(&file, "shoal.classes"), "[\"a\",\"b\",\"c\"]");
    EXPECT_STR(kn_safetensors_meta(&file, "shoal.reproducible"), "true");
    kn_safetensors_close(&file);
    free(bytes);
    herd_close(&h);
}

TEST(any_number_of_agents_gives_the_same_bytes)
{
    const struct herd_job job = {.epochs = 3};
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    for (uint32_t agents = 2; agents <= 4; agents++) {
        herd_run(agents, NULL, &job, &unit);
        herd_expect_same(&unit, &alone);
    }
}

TEST(batch_statistics_and_dropout_do_not_depend_on_the_number_of_agents)
{
    const struct herd_job job = {.layers =
                                     "[{dense: 96}, batchnorm, relu, {dropout: 0.3}, {dense: 3}]",
                                 .optimizer = "{adamw: {lr: 0.01}}"};
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    herd_run(3, NULL, &job, &unit);
    herd_expect_same(&unit, &alone);
}

TEST(late_lost_and_disordered_frames_change_nothing)
{
    const struct herd_job job = {.epochs = 2};
    const struct memory_net_config net = {
        .seed = 5, .loss_percent = 2, .delay_us = 3000, .outbox_bytes = 300000};
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    herd_run(3, &net, &job, &unit);
    herd_expect_same(&unit, &alone);
}

static const struct memory_net_config NEAR = {.seed = 1, .one_machine = true};

/* Bytes of chunk frames that the job takes on the first agents. */
static uint64_t train_on(uint32_t agents, const struct memory_net_config *net,
                         const struct herd_job *job, struct jobs_unit *unit)
{
    struct herd h;
    herd_open(&h, agents, net);
    herd_submit(&h, job);
    (void)herd_place(&h, ALL, agents, WIRE_CAUSE_PLACED);
    herd_await_end(&h, unit);
    uint64_t bytes = memory_net_bytes(h.net, FRAME_TRAIN_CHUNK);
    herd_close(&h);
    return bytes;
}

TEST(members_on_one_machine_send_places_instead_of_bytes)
{
    const struct herd_job job = {.epochs = 10};
    struct jobs_unit alone;
    struct jobs_unit unit;
    struct train_shelf shelf;
    EXPECT_EQ(train_shelf_open(&shelf, 1, true), SH_OK);
    bool shared = shelf.number != 0;
    train_shelf_close(&shelf);
    if (!shared) {
        SKIP("memory cannot be shared here");
    }
    herd_reference(&job, &alone);
    for (uint32_t agents = 2; agents <= 4; agents++) {
        uint64_t far = train_on(agents, NULL, &job, &unit);
        herd_expect_same(&unit, &alone);
        uint64_t near = train_on(agents, &NEAR, &job, &unit);
        herd_expect_same(&unit, &alone);
        EXPECT(near < far / 4); /* the first rounds begin before shelves are taken */
    }
}

TEST(late_lost_and_disordered_places_change_nothing)
{
    const struct herd_job job = {.epochs = 4};
    const struct memory_net_config net = {
        .seed = 5, .loss_percent = 2, .delay_us = 3000, .one_machine = true};
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    herd_run(3, &net, &job, &unit);
    herd_expect_same(&unit, &alone);
}

TEST(a_member_killed_while_others_read_its_shelf_is_replaced_by_them)
{
    const struct herd_job job = {.epochs = 400 / tst_slower(), .checkpoint_every = 20};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    herd_open(&h, 3, &NEAR);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 3, WIRE_CAUSE_PLACED);
    herd_await_checkpoint(&h, 20);
    herd_stop(&h, 1);
    (void)herd_place(&h, (const uint32_t[]){0, 2}, 2, WIRE_CAUSE_MEMBER_DEAD);
    herd_await_end(&h, &unit);
    herd_expect_same(&unit, &alone);
    herd_close(&h);
}

TEST(another_seed_gives_another_model)
{
    struct jobs_unit one;
    struct jobs_unit two;
    herd_reference(&(struct herd_job){.seed = 1}, &one);
    herd_reference(&(struct herd_job){.seed = 2}, &two);
    EXPECT(memcmp(one.outcome.model, two.outcome.model, SH_DIGEST_BYTES) != 0);
}

TEST(a_member_killed_in_the_middle_of_a_step_is_replaced_by_the_others)
{
    const struct herd_job job = {.epochs = 40};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    herd_open(&h, 3, NULL);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 3, WIRE_CAUSE_PLACED);
    memory_bulk_cut_after(h.agents[1].bulk, FRAME_TRAIN_CHUNK, 200);
    EXPECT(memory_bulk_wait_cut(h.agents[1].bulk, HERD_WAIT_US));
    herd_unit(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_RUNNING);
    (void)herd_place(&h, (const uint32_t[]){0, 2}, 2, WIRE_CAUSE_MEMBER_DEAD);
    herd_await_end(&h, &unit);
    herd_expect_same(&unit, &alone);
    EXPECT(herd_logged(&h, "placed anew: a member died: step "));
    herd_close(&h);
}

TEST(when_the_first_member_dies_the_next_one_writes_the_result)
{
    const struct herd_job job = {.epochs = 40};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit unit;
    struct service_point points[256];
    herd_reference(&job, &alone);
    herd_open(&h, 2, NULL);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    memory_bulk_cut_after(h.agents[0].bulk, FRAME_TRAIN_CHUNK, 150);
    EXPECT(memory_bulk_wait_cut(h.agents[0].bulk, HERD_WAIT_US));
    (void)herd_place(&h, (const uint32_t[]){1}, 1, WIRE_CAUSE_MEMBER_DEAD);
    herd_await_end(&h, &unit);
    herd_expect_same(&unit, &alone);
    /* No step is missing from what was measured. */
    EXPECT_EQ(herd_points(&h, METRIC_LOSS, points, 256), 160);
    herd_close(&h);
}

TEST(a_member_that_joins_takes_over_the_state_and_its_share)
{
    const struct herd_job job = {.epochs = 40, .checkpoint_every = 20};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    herd_open(&h, 3, NULL);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 1, WIRE_CAUSE_PLACED);
    herd_await_checkpoint(&h, 20);
    (void)herd_place(&h, ALL, 3, WIRE_CAUSE_GROWN);
    EXPECT(memory_net_wait(h.net, FRAME_TRAIN_CHUNK, 100, HERD_WAIT_US));
    herd_await_end(&h, &unit);
    herd_expect_same(&unit, &alone);
    EXPECT(herd_logged(&h, "gamma took over the state of alpha after step "));
    herd_close(&h);
}

TEST(after_all_died_the_newest_checkpoint_is_where_it_goes_on)
{
    const struct herd_job job = {.epochs = 40, .checkpoint_every = 10};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    herd_open(&h, 3, NULL);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    herd_await_checkpoint(&h, 30);
    for (uint32_t i = 0; i < 2; i++) {
        herd_stop(&h, i);
    }
    herd_unit(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_RUNNING);
    (void)herd_place(&h, (const uint32_t[]){2}, 1, WIRE_CAUSE_MEMBER_DEAD);
    herd_await_end(&h, &unit);
    herd_expect_same(&unit, &alone);
    EXPECT(herd_logged(&h, "gamma goes on from the checkpoint after step "));
    herd_close(&h);
}

static bool logged_wait(struct herd *h)
{
    uint64_t until = sh_now_us() + HERD_WAIT_US;
    bool found = herd_logged(h, "gamma waits for the checkpoint after step ");
    while (!found && sh_now_us() < until) {
        struct service_status status; /* nothing tells of lines */
        service_status(h->agents[0].s, &status);
        (void)service_wait_applied(h->agents[0].s, status.applied_index, 20000);
        found = herd_logged(h, "gamma waits for the checkpoint after step ");
    }
    return found;
}

TEST(the_newest_checkpoint_is_waited_for_where_it_cannot_be_had_now)
{
    const struct herd_job job = {.epochs = 40, .checkpoint_every = 10};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit unit;
    struct jobs_checkpoint newest;
    struct service_view *view;
    uint32_t count = 0;
    herd_reference(&job, &alone);
    herd_open(&h, 3, NULL);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 1, WIRE_CAUSE_PLACED);
    herd_await_checkpoint(&h, 30);
    herd_stop(&h, 0);
    EXPECT_EQ(service_view_open(h.agents[0].s, &view), SH_OK);
    EXPECT_EQ(jobs_checkpoint_list(service_view_table(view), (struct wire_unit){.job = h.job},
                                   &newest, 1, &count),
              SH_OK);
    service_view_close(view);
    memory_service_fetch_error(h.agents[0].s, newest.manifest, SH_ERR_TIMEOUT);
    (void)herd_place(&h, (const uint32_t[]){2}, 1, WIRE_CAUSE_MEMBER_DEAD);
    EXPECT(logged_wait(&h));
    EXPECT(!herd_logged(&h, "gamma begins"));
    memory_service_fetch_error(h.agents[0].s, newest.manifest, SH_OK);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.failures, 0);
    herd_expect_same(&unit, &alone);
    EXPECT(herd_logged(&h, "gamma goes on from the checkpoint after step "));
    herd_close(&h);
}

static void report(void *ctx, struct wire_unit unit, struct wire_fence fence,
                   const uint8_t lost[SH_NODE_ID_BYTES])
{
    struct herd *h = ctx;
    (void)unit;
    herd_note_lost(h, fence, lost);
}

TEST(a_restarted_member_says_that_it_lost_its_session_and_is_taken_in_again)
{
    const struct herd_job job = {.epochs = 40};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    herd_open(&h, 2, NULL);
    memory_service_on_lost(h.agents[1].s, report, &h);
    herd_submit(&h, &job);
    struct wire_fence fence = herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    memory_bulk_cut_after(h.agents[1].bulk, FRAME_TRAIN_CHUNK, 100);
    EXPECT(memory_bulk_wait_cut(h.agents[1].bulk, HERD_WAIT_US));
    herd_stop(&h, 1);
    herd_start(&h, 1);
    herd_await_lost(&h, fence, 1);
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_RENEWED);
    herd_await_end(&h, &unit);
    herd_expect_same(&unit, &alone);
    EXPECT(herd_logged(&h, "beta took over the state of alpha after step "));
    herd_close(&h);
}

TEST(a_lost_member_is_reported_to_the_coordinator)
{
    struct herd h;
    struct jobs_unit unit;
    herd_open(&h, 2, NULL);
    memory_service_on_lost(h.agents[0].s, report, &h);
    herd_submit(&h, &(struct herd_job){.epochs = 40});
    struct wire_fence fence = herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    memory_bulk_cut_after(h.agents[1].bulk, FRAME_TRAIN_CHUNK, 50);
    herd_await_lost(&h, fence, 1);
    (void)herd_place(&h, ALL, 1, WIRE_CAUSE_MEMBER_LOST);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    herd_close(&h);
}

TEST(a_loss_that_is_not_finite_ends_the_job_naming_step_rank_and_tensor)
{
    struct jobs_unit unit;
    struct herd h;
    struct jobs_job job;
    herd_open(&h, 2, NULL);
    herd_submit(&h, &(struct herd_job){.optimizer = "{sgd: {lr: 1000}}"});
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_FAILED);
    EXPECT_EQ(unit.fail_reason, SH_ERR_DIVERGED);
    herd_job(&h, &job);
    EXPECT(strncmp(job.fail_text, "step ", 5) == 0);
    EXPECT(strstr(job.fail_text, "dense") != NULL);
    EXPECT(strstr(job.fail_text, "rank") != NULL);
    herd_close(&h);
}

TEST(a_bad_cell_of_the_data_ends_the_job_naming_file_and_line)
{
    struct herd h;
    struct jobs_unit unit;
    struct jobs_job job;
    herd_open(&h, 1, NULL);
    herd_submit(&h, &(struct herd_job){.text_cell = true});
    (void)herd_place(&h, ALL, 1, WIRE_CAUSE_PLACED);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_FAILED);
    EXPECT_EQ(unit.fail_reason, SH_ERR_INVALID);
    herd_job(&h, &job);
    EXPECT(strstr(job.fail_text, "data.train: table.csv:101: column 4") != NULL);
    EXPECT(strstr(job.fail_text, "much") != NULL);
    herd_close(&h);
}

TEST(a_stopped_job_leaves_what_it_had_learned)
{
    struct herd h;
    struct jobs_unit unit;
    herd_open(&h, 2, NULL);
    herd_submit(&h, &(struct herd_job){.epochs = 4000, .checkpoint_every = 10});
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    herd_await_checkpoint(&h, 10);
    herd_ask_to_stop(&h);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_STOPPED);
    EXPECT(unit.partial);
    EXPECT(unit.outcome.steps >= 10);
    EXPECT(unit.outcome.steps < 16000);
    EXPECT_EQ(unit.outcome.metrics.test_total, 0);
    herd_close(&h);
}

TEST(a_stop_before_there_is_a_state_ends_the_unit_too)
{
    struct herd h;
    struct jobs_unit unit;
    herd_open(&h, 2, NULL);
    herd_submit(&h, &(struct herd_job){.epochs = 4000});
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    herd_ask_to_stop(&h);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_STOPPED);
    herd_close(&h);
}

TEST(a_gang_that_gives_way_leaves_the_step_where_it_stands)
{
    const struct herd_job job = {.epochs = 40, .checkpoint_every = 10};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    herd_open(&h, 3, &SLOW); /* enough to be asked on the way */
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    herd_await_checkpoint(&h, 10);
    herd_give_way(&h, &unit);
    uint64_t kept = unit.checkpoint_step;
    EXPECT(kept >= 10);
    (void)herd_place(&h, &ALL[2], 1, WIRE_CAUSE_PLACED);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.failures, 0);
    herd_expect_same(&unit, &alone);
    char text[96];
    (void)snprintf(text, sizeof text, "gamma goes on from the checkpoint after step %llu",
                   (unsigned long long)kept);
    EXPECT(herd_logged(&h, text));
    herd_close(&h);
}

TEST(a_gang_that_has_no_state_yet_gives_way_without_one)
{
    struct herd h;
    struct jobs_unit unit;
    herd_open(&h, 2, NULL);
    herd_submit(&h, &(struct herd_job){.epochs = 4000});
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    herd_give_way(&h, &unit);
    herd_close(&h);
}

/* The first member has just begun anew, and nobody keeps checkpoints. */
static uint64_t restart_first(struct herd *h, const struct memory_net_config *net)
{
    herd_open(h, 3, net);
    herd_submit(h, &(struct herd_job){.epochs = 1000});
    (void)herd_place(h, ALL, 3, WIRE_CAUSE_PLACED);
    herd_await_step(h, 12);
    herd_stop(h, 0);
    herd_start(h, 0);
    uint64_t step = herd_step(h);
    (void)herd_place(h, ALL, 3, WIRE_CAUSE_MEMBER_DEAD);
    return step;
}

TEST(a_restarted_first_member_gives_way_with_what_the_others_have)
{
    struct herd h;
    struct jobs_unit unit;
    uint64_t step = restart_first(&h, &SLOW);
    herd_give_way(&h, &unit);
    EXPECT(unit.checkpoint_step >= step);
    herd_close(&h);
}

TEST(a_restarted_first_member_stops_with_what_the_others_have)
{
    struct herd h;
    struct jobs_unit unit;
    uint64_t step = restart_first(&h, &SLOW);
    herd_ask_to_stop(&h);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_STOPPED);
    EXPECT(unit.outcome.steps >= step);
    herd_close(&h);
}

TEST(the_end_of_training_is_a_checkpoint_too)
{
    struct herd h;
    struct jobs_unit unit;
    herd_open(&h, 2, NULL);
    herd_submit(&h, &(struct herd_job){.epochs = 3, .checkpoint_every = 100000});
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_COMPLETED);
    EXPECT_EQ(unit.checkpoints, 1);
    EXPECT_EQ(unit.checkpoint_step, unit.outcome.steps);
    herd_close(&h);
}

TEST(a_checkpoint_that_rotted_is_passed_over)
{
    const struct herd_job job = {.epochs = 10, .checkpoint_every = 10};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    herd_open(&h, 1, NULL);
    herd_submit(&h, &job);
    herd_add_checkpoint(&h, "not a state at all");
    (void)herd_place(&h, ALL, 1, WIRE_CAUSE_RENEWED);
    herd_await_end(&h, &unit);
    herd_expect_same(&unit, &alone);
    EXPECT(herd_logged(&h, "alpha cannot use the checkpoint after step 7"));
    herd_close(&h);
}

TEST(a_damaged_chunk_is_asked_for_again)
{
    const struct herd_job job = {.epochs = 3};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit unit;
    herd_reference(&job, &alone);
    herd_open(&h, 2, NULL);
    memory_net_damage(h.net, FRAME_TRAIN_CHUNK, 200);
    herd_submit(&h, &job);
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    herd_await_end(&h, &unit);
    herd_expect_same(&unit, &alone);
    herd_close(&h);
}

TEST(a_damaged_state_is_not_trained_on)
{
    struct herd h;
    struct jobs_unit unit;
    struct jobs_job job;
    herd_open(&h, 2, NULL);
    herd_submit(&h, &(struct herd_job){.epochs = 4000, .checkpoint_every = 10});
    (void)herd_place(&h, ALL, 1, WIRE_CAUSE_PLACED);
    herd_await_checkpoint(&h, 10);
    memory_net_damage(h.net, FRAME_TRAIN_NOTE, 1000);
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_GROWN);
    herd_await_end(&h, &unit);
    EXPECT_EQ(unit.state, JOBS_FAILED);
    herd_job(&h, &job);
    EXPECT(strstr(job.fail_text, "beta cannot use the state that alpha sent") != NULL);
    herd_close(&h);
}

TEST(two_jobs_train_side_by_side)
{
    const struct herd_job job = {.epochs = 20};
    struct herd h;
    struct jobs_unit alone;
    struct jobs_unit first;
    struct jobs_unit second;
    herd_reference(&job, &alone);
    herd_open(&h, 2, NULL);
    herd_submit(&h, &job);
    uint64_t one = h.job;
    (void)herd_place(&h, ALL, 2, WIRE_CAUSE_PLACED);
    herd_submit(&h, &job);
    (void)herd_place(&h, (const uint32_t[]){1, 0}, 2, WIRE_CAUSE_PLACED);
    herd_await_end(&h, &second);
    h.job = one;
    herd_await_end(&h, &first);
    herd_expect_same(&first, &alone);
    herd_expect_same(&second, &alone);
    herd_close(&h);
}
